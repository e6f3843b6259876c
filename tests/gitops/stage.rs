//! The organisation of `examples/gitops` before any tool has looked at it, and what is to hold whichever
//! tool does. Must not know how a tool works.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Result, ensure};
use futures::StreamExt;
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, ListParams},
    core::{ApiResource, GroupVersionKind},
    runtime::{WatchStreamExt, watcher::watch_object},
};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::{
    cluster::Cluster,
    operator::{Operator, Settings},
    repository::Repository,
    resource::{self, Versions, fake_key},
};

/// How long something may take that needs nobody's help, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Of the platform team and of a service team.
pub(crate) const NAMESPACES: [&str; 2] = ["claude", "search"];

/// Every object of ours that `examples/gitops` makes in production.
pub(crate) const OBJECTS: [(&str, &str, &str); 5] = [
    ("Workspace", "claude", "production"),
    ("ApiKeyRef", "claude", "shared"),
    ("RoleBinding", "claude", "platform"),
    ("ApiKeyRef", "search", "search"),
    ("RoleBinding", "search", "search"),
];

/// Namespaces, accounts and keys; the repository is all that remains to be applied.
pub(crate) async fn set(cluster: &Cluster) -> Result<Repository> {
    for namespace in NAMESPACES {
        cluster.named_namespace(namespace, &[]).await?;
    }
    let accounts = "--kustomize=deploy/gitops/accounts";
    cluster.kubectl_ok(&["apply", "--server-side", accounts])?;
    // As External Secrets makes them.
    let mut lent = resource::secret("search", "anthropic-search", &fake_key("search"));
    lent["metadata"]["annotations"] =
        json!({"anthropic-rbac.io/allow-workspaces": "claude/production"});
    let shared = resource::secret("claude", "anthropic", &fake_key("shared"));
    resource::create(cluster, &[shared, lent]).await?;
    Repository::start()
}

/// What `deploy/gitops` has for a tool, reading from this repository.
pub(crate) fn shipped(cluster: &Cluster, folder: &str, repository: &Repository) -> Result<String> {
    let folder = format!("deploy/gitops/{folder}");
    let shipped = cluster.kubectl_ok(&["kustomize", &folder])?;
    Ok(shipped.replace(
        "https://git.example.com/platform/access.git",
        &repository.url(),
    ))
}

/// The operator, which may touch Secrets where there are keys.
pub(crate) async fn operator(cluster: &Cluster) -> Result<Operator> {
    let settings = Settings {
        secrets_in: &NAMESPACES,
        ..Settings::default()
    };
    Operator::start(cluster, settings).await
}

/// Objects of one kind of a tool.
pub(crate) fn api(
    client: &Client,
    (group, version, kind): (&str, &str, &str),
    plural: &str,
    namespace: &str,
) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk(group, version, kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// The resourceVersions of everything that the operator reads or writes.
pub(crate) async fn versions(cluster: &Cluster) -> Result<Versions> {
    let mut versions = Versions::new();
    for namespace in NAMESPACES {
        versions.extend(resource::versions(cluster, namespace).await?);
    }
    Ok(versions)
}

/// What the operator has made, as `KIND NAMESPACE/NAME`.
pub(crate) async fn outputs(cluster: &Cluster) -> Result<BTreeSet<String>> {
    let mut outputs = BTreeSet::new();
    for namespace in NAMESPACES {
        for kind in ["ConfigMap", "Secret"] {
            let ours = ListParams::default().labels("app.kubernetes.io/managed-by=anthropic-rbac");
            let api = resource::api(&cluster.client(), kind, namespace);
            for object in api.list(&ours).await?.items {
                outputs.insert(format!("{kind} {namespace}/{}", object.name_any()));
            }
        }
    }
    Ok(outputs)
}

/// Checks who owns which fields of every object of ours: this manager all of the spec and the operator all
/// of the status, and nobody else anything.
pub(crate) async fn owned_apart(cluster: &Cluster, manager: &str) -> Result<()> {
    for (kind, namespace, name) in OBJECTS {
        let object = resource::api(&cluster.client(), kind, namespace)
            .get(name)
            .await?;
        let entries = serde_json::to_value(&object.metadata.managed_fields)?;
        let mut owners = BTreeSet::new();
        for entry in entries.as_array().into_iter().flatten() {
            let manager = entry["manager"].as_str().unwrap_or_default();
            for field in entry["fieldsV1"].as_object().into_iter().flatten() {
                owners.insert((manager.to_owned(), field.0.clone()));
            }
        }
        let of = |field: &str| -> Vec<&str> {
            let with = owners.iter().filter(|(_, owned)| owned == field);
            with.map(|(manager, _)| manager.as_str()).collect()
        };
        for (field, owner) in [("f:spec", manager), ("f:status", "anthropic-rbac")] {
            ensure!(
                of(field) == [owner],
                "{field} of {kind} {namespace}/{name} is of {:?}",
                of(field)
            );
        }
    }
    Ok(())
}

/// Checks that meanwhile nothing changes, and that the operator writes nothing.
pub(crate) async fn untouched(
    cluster: &Cluster,
    meanwhile: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    let before = versions(cluster).await?;
    let audit = cluster.audit_log()?;
    let start = audit.mark().await?;
    meanwhile().await?;
    let writes = audit.since(start).await?.writes();
    ensure!(writes.is_empty(), "the operator wrote:\n{writes}");
    assert_eq!(versions(cluster).await?, before);
    Ok(())
}

/// All that was said in an object while it was watched, without repetitions.
pub(crate) struct History {
    seen: Arc<Mutex<Vec<String>>>,
    watching: JoinHandle<()>,
}

// === impl History ===

impl History {
    /// Watches an object from now on, which need not be there yet.
    pub(crate) fn of(
        api: Api<DynamicObject>,
        name: &str,
        said: impl Fn(&DynamicObject) -> Option<String> + Send + 'static,
    ) -> Self {
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (kept, name) = (Arc::clone(&seen), name.to_owned());
        let watching = tokio::spawn(async move {
            let mut changes = std::pin::pin!(watch_object(api, &name).default_backoff());
            while let Some(change) = changes.next().await {
                let Ok(Some(object)) = change else { continue };
                let Some(said) = said(&object) else { continue };
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.last() != Some(&said) {
                    kept.push(said);
                }
            }
        });
        Self { seen, watching }
    }

    /// What was said so far.
    pub(crate) fn so_far(&self) -> Vec<String> {
        let seen = self.seen.lock();
        seen.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

//! The organisation that is measured, and a floor: the same writes, issued blindly.
//! Must not measure anything but the time between two moments.

use std::{
    collections::BTreeSet,
    pin::pin,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    ResourceExt,
    api::{DynamicObject, ListParams, Patch, PatchParams, PostParams},
    runtime::watcher::{self, Event, watcher},
};
use serde_json::{Value, json};

use super::LONG;
use crate::{
    cluster::{Cluster, KINDS},
    operator::{OPERATOR_NAMESPACE, Operator},
    resource::{self, api, binding, fake_key, key, secret, service_account, workspace},
};

const WORKSPACES: usize = 5;
const NAMESPACES_EACH: usize = 10;
const BINDINGS_EACH: usize = 20;

/// Requests on their way at a time, the operator's default.
const IN_FLIGHT: usize = 16;

/// The organisation that is measured: one service a binding, one key a namespace.
pub(crate) struct Organisation {
    pub(crate) home: String,
    teams: Vec<String>,
}

/// Everything the operator writes for an organisation, in its order, without owners.
pub(crate) struct Bodies {
    pub(crate) outputs: Vec<(&'static str, Value)>,
    pub(crate) statuses: Vec<(&'static str, Value)>,
}

// === impl Organisation ===

impl Organisation {
    pub(crate) fn new(letter: char) -> Self {
        let teams = WORKSPACES * NAMESPACES_EACH;
        Self {
            home: format!("measure-{letter}-home"),
            teams: (0..teams)
                .map(|n| format!("measure-{letter}-{n:02}"))
                .collect(),
        }
    }

    pub(crate) fn namespaces(&self) -> impl Iterator<Item = &str> {
        [self.home.as_str()]
            .into_iter()
            .chain(self.teams.iter().map(String::as_str))
    }

    /// Creates all of it, as its users would have done before.
    pub(crate) async fn create(&self, cluster: &Cluster) -> Result<()> {
        for namespace in self.namespaces() {
            cluster.named_namespace(namespace, &[]).await?;
        }
        let home = self.home.as_str();
        let mut objects = Vec::new();
        for (n, teams) in self.teams.chunks(NAMESPACES_EACH).enumerate() {
            let allowed = json!([{"names": teams, "roles": ["user"], "apiKeyRefs": "Allow"}]);
            let name = format!("workspace-{n}");
            objects.push(workspace(
                home,
                &name,
                json!({"allowedNamespaces": allowed}),
            ));
            let name = format!("{home}/{name}");
            for team in teams {
                let service = |n: usize| format!("service-{n:02}");
                for n in 0..BINDINGS_EACH {
                    let service = service(n);
                    objects.push(binding(team, &service, &name, "user", &[&service]));
                }
                let mut source = secret(team, "source", &fake_key(team));
                source["metadata"]["annotations"] =
                    json!({"anthropic-rbac.io/allow-workspaces": name});
                objects.push(source);
                let mut mapped = key(team, "app", &name, "source", "target");
                let services = (0..BINDINGS_EACH).map(|n| service_account(&service(n)));
                mapped["spec"]["usedBy"] = services.collect();
                objects.push(mapped);
            }
        }
        stream::iter(&objects)
            .map(|object| resource::create_one(cluster, object))
            .buffer_unordered(IN_FLIGHT)
            .try_for_each(async |_| Ok(()))
            .await
    }

    pub(crate) async fn allow_secrets(&self, cluster: &Cluster) -> Result<()> {
        let mut bindings = Vec::new();
        for namespace in self.namespaces() {
            bindings.push(json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": {"name": "anthropic-rbac-secrets", "namespace": namespace},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "ClusterRole", "name": "anthropic-rbac-secrets",
                },
                "subjects": [{
                    "kind": "ServiceAccount",
                    "name": "anthropic-rbac", "namespace": OPERATOR_NAMESPACE,
                }],
            }));
        }
        let list = json!({"apiVersion": "v1", "kind": "List", "items": bindings});
        cluster.kubectl_stdin(&["create", "--filename=-"], &list.to_string())?;
        Ok(())
    }

    /// Waits until every object is ready, as somebody else sees it. `meanwhile` runs once all
    /// watches have listed; what counts is the time from its end.
    pub(crate) async fn all_ready(
        &self,
        cluster: &Cluster,
        meanwhile: impl FnOnce() -> Result<Operator>,
    ) -> Result<(Operator, Duration)> {
        let client = cluster.client();
        let watches = KINDS.map(|(kind, _)| {
            let api = api(&client, kind, "");
            watcher(api, watcher::Config::default())
                .map(move |event| (kind, event))
                .boxed()
        });
        let mut events = pin!(stream::select_all(watches));
        let mut meanwhile = Some(meanwhile);
        let mut started = None;
        let mut missing = BTreeSet::new();
        let mut unlisted = KINDS.len();
        let converged = async {
            while let Some((kind, event)) = events.next().await {
                match event? {
                    Event::InitApply(object) | Event::Apply(object) => {
                        let name = format!(
                            "{kind} {}/{}",
                            object.namespace().unwrap_or_default(),
                            object.name_any()
                        );
                        let ready = resource::condition(&object, "Ready");
                        if ready.is_some_and(|ready| ready["status"] == "True") {
                            missing.remove(&name);
                        } else {
                            missing.insert(name);
                        }
                    }
                    Event::InitDone => unlisted -= 1,
                    Event::Init | Event::Delete(_) => {}
                }
                if unlisted == 0 {
                    match &started {
                        None => {
                            let start = meanwhile.take().context("it starts once")?;
                            started = Some((start()?, Instant::now()));
                        }
                        Some(_) if missing.is_empty() => return Ok(()),
                        Some(_) => {}
                    }
                }
            }
            bail!("the watches ended")
        };
        tokio::time::timeout(LONG, converged)
            .await
            .context("it took too long")??;
        let (operator, start) = started.context("it was started")?;
        Ok((operator, start.elapsed()))
    }

    /// What the operator wrote, for a fresh copy of this organisation.
    pub(crate) async fn bodies(&self, cluster: &Cluster, copy: char) -> Result<Bodies> {
        let client = cluster.client();
        let own = self.home.trim_end_matches("home");
        let copied = |object: &DynamicObject| -> Result<Value> {
            let mut object = object.clone();
            let metadata = &mut object.metadata;
            metadata.owner_references = None;
            metadata.managed_fields = None;
            metadata.resource_version = None;
            metadata.uid = None;
            metadata.creation_timestamp = None;
            metadata.generation = None;
            let text = serde_json::to_string(&object)?;
            Ok(serde_json::from_str(
                &text.replace(own, &format!("measure-{copy}-")),
            )?)
        };
        let mut outputs = Vec::new();
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=anthropic-rbac");
        for namespace in self.namespaces() {
            for kind in ["Secret", "ConfigMap"] {
                for object in api(&client, kind, namespace).list(&ours).await?.items {
                    outputs.push((kind, copied(&object)?));
                }
            }
        }
        let mut statuses = Vec::new();
        for namespace in self.namespaces() {
            for (kind, _) in KINDS {
                let objects = api(&client, kind, namespace);
                for object in objects.list(&ListParams::default()).await?.items {
                    let mut object = copied(&object)?;
                    object["apiVersion"] = "anthropic-rbac.io/v1alpha1".into();
                    object["kind"] = kind.into();
                    let fields = object.as_object_mut().context("an object")?;
                    fields.remove("spec");
                    let metadata = &fields["metadata"];
                    let name = json!({
                        "name": metadata["name"], "namespace": metadata["namespace"],
                    });
                    fields.insert("metadata".into(), name);
                    statuses.push((kind, object));
                }
            }
        }
        Ok(Bodies { outputs, statuses })
    }
}

// === impl Bodies ===

impl Bodies {
    /// Writes the same for its copy, blindly: nothing that has to be written can be there
    /// sooner with this client and as many requests at a time.
    pub(crate) async fn write(&self, cluster: &Cluster) -> Result<Duration> {
        let client = cluster.client();
        let create = PostParams {
            field_manager: Some("anthropic-rbac".into()),
            ..PostParams::default()
        };
        let apply = PatchParams::apply("anthropic-rbac").force();
        let namespace = |body: &Value| {
            body["metadata"]["namespace"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        let mut outputs = Vec::new();
        for (kind, body) in &self.outputs {
            let object: DynamicObject = serde_json::from_value(body.clone())?;
            outputs.push((api(&client, kind, &namespace(body)), object));
        }
        let start = Instant::now();
        stream::iter(&outputs)
            .map(async |(api, object)| api.create(&create, object).await)
            .buffer_unordered(IN_FLIGHT)
            .try_for_each(async |_| Ok(()))
            .await?;
        stream::iter(&self.statuses)
            .map(async |(kind, body)| {
                let name = body["metadata"]["name"].as_str().unwrap_or_default();
                api(&client, kind, &namespace(body))
                    .patch_status(name, &apply, &Patch::Apply(body))
                    .await
            })
            .buffer_unordered(IN_FLIGHT)
            .try_for_each(async |_| Ok(()))
            .await?;
        Ok(start.elapsed())
    }
}

//! Objects and what is said of them: from a cluster the statuses that the operator wrote, from
//! manifests the statuses that it would write.
//! Must not work out a date or a state.

use std::fmt::Debug;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use kube::core::object::HasStatus;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::{Source, SourceArgs, cluster};
use crate::api::{
    ApiKeyRef, ApiKeyRefStatus, Guarded, RoleBinding, RoleBindingStatus, Workspace,
    WorkspaceStatus, convert,
};
use crate::cli::failure::Failure;
use crate::cli::screen::{say, warning_prefix};
use crate::facts::{Observed, SecretLookup, Snapshot};
use crate::plan::output::Status;
use crate::policy::key::ApiKey;
use crate::policy::name::{Name, NamespacedName};

/// An object with its status.
pub struct Said<S> {
    pub name: NamespacedName,
    pub status: S,
    /// Whether the status is about the object as it is now.
    pub is_current: bool,
}

/// An ApiKeyRef with its status.
pub struct Key {
    pub said: Said<ApiKeyRefStatus>,
    pub workspace: NamespacedName,
    pub service: Name,
    /// When the operator last wrote the status; `None` when it is a planned one.
    pub reported_at: Option<Timestamp>,
}

/// All objects, each kind sorted by name.
#[derive(Default)]
pub struct Statuses {
    pub workspaces: Vec<Said<WorkspaceStatus>>,
    pub bindings: Vec<Said<RoleBindingStatus>>,
    pub keys: Vec<Key>,
}

impl SourceArgs {
    /// Every ApiKeyRef, sorted by name: of the namespace `-n` names, else all. From a cluster
    /// nothing else is read, so that whoever may list ApiKeyRefs of a namespace can ask.
    ///
    /// # Errors
    /// When the manifests are wrong, or the cluster cannot be read.
    pub fn keys(&self, now: Timestamp) -> Result<Vec<Key>, Failure> {
        if self.is_files() {
            return Ok(planned(&self.read()?, now)?.keys);
        }
        let keys = crate::cli::block_on(self.stored::<ApiKeyRef>())?;
        let mut keys: Vec<Key> = keys.into_iter().filter_map(stored_key).collect();
        keys.sort_by(|a, b| a.said.name.cmp(&b.said.name));
        Ok(keys)
    }

    /// Every object, of the namespace `-n` names, else all.
    ///
    /// # Errors
    /// As [`SourceArgs::keys`].
    pub fn statuses(&self, now: Timestamp) -> Result<Statuses, Failure> {
        if self.is_files() {
            return planned(&self.read()?, now);
        }
        let keys = self.keys(now)?;
        let (workspaces, bindings) = crate::cli::block_on(async {
            let workspaces = self.stored::<Workspace>().await?;
            Ok((workspaces, self.stored::<RoleBinding>().await?))
        })?;
        let workspaces = workspaces.into_iter();
        let workspaces = workspaces.filter_map(|object| {
            let status = object.status.unwrap_or_default();
            let seen = status.observed_generation;
            said(&object.metadata, seen, status)
        });
        let bindings = bindings.into_iter();
        let bindings = bindings.filter_map(|object| {
            let status = object.status.unwrap_or_default();
            let seen = status.observed_generation;
            said(&object.metadata, seen, status)
        });
        let mut statuses = Statuses {
            workspaces: workspaces.collect(),
            bindings: bindings.collect(),
            keys,
        };
        statuses.sort();
        Ok(statuses)
    }

    async fn stored<K>(&self) -> Result<Vec<K>, Failure>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + HasStatus,
        Guarded<K>: Clone + DeserializeOwned + Debug,
    {
        let client = self.cluster.client().await?;
        let api: Api<Guarded<K>> = match &self.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        };
        let objects = cluster::pages(&api, "").await;
        let objects = objects.map_err(|error| cluster::unreadable::<K>(&error))?;
        let understood = objects.into_iter().filter_map(|object| match object.0 {
            Ok(object) => Some(object),
            Err(invalid) => {
                let part = |part: &Option<String>| part.clone().unwrap_or_default();
                say(format_args!(
                    "{}{} {}/{} is not understood: {}",
                    warning_prefix(),
                    K::kind(&()),
                    part(&invalid.metadata.namespace),
                    part(&invalid.metadata.name),
                    invalid.error
                ));
                None
            }
        });
        Ok(understood.collect())
    }
}

// === impl Statuses ===

impl Statuses {
    fn sort(&mut self) {
        self.workspaces.sort_by(|a, b| a.name.cmp(&b.name));
        self.bindings.sort_by(|a, b| a.name.cmp(&b.name));
        self.keys.sort_by(|a, b| a.said.name.cmp(&b.said.name));
    }
}

fn said<S>(meta: &kube::api::ObjectMeta, seen: Option<i64>, status: S) -> Option<Said<S>> {
    Some(Said {
        name: NamespacedName::new(meta.namespace.as_deref()?, meta.name.as_deref()?),
        status,
        is_current: seen.is_some() && seen == meta.generation,
    })
}

fn stored_key(object: ApiKeyRef) -> Option<Key> {
    let status = object.status.unwrap_or_default();
    let seen = status.observed_generation;
    Some(Key {
        said: said(&object.metadata, seen, status)?,
        workspace: convert::workspace_ref(&object.metadata, &object.spec.workspace_ref),
        service: object.spec.service.into(),
        reported_at: convert::reported_at(&object.metadata),
    })
}

fn planned(source: &Source, now: Timestamp) -> Result<Statuses, Failure> {
    let mut all = Statuses::default();
    for workspace in source.workspaces() {
        let (mut snapshot, _) = source.snapshot(&workspace, now)?;
        want_all(&mut snapshot);
        for update in crate::plan::plan(&snapshot).statuses {
            let name = update.name;
            match update.status {
                Status::Workspace(status) => all.workspaces.push(planned_status(name, *status)),
                Status::RoleBinding(status) => all.bindings.push(planned_status(name, *status)),
                Status::ApiKeyRef(status) => all.keys.extend(planned_key(&snapshot, name, *status)),
            }
        }
    }
    all.sort();
    Ok(all)
}

/// A status is planned where it differs from the stored one; here all are wanted.
fn want_all(snapshot: &mut Snapshot) {
    fn forget<T>(object: &mut Observed<T>) {
        object.status.content = None;
    }
    if let Some(facts) = &mut snapshot.workspace {
        forget(&mut Arc::make_mut(facts).object);
    }
    for facts in &mut snapshot.bindings {
        forget(&mut Arc::make_mut(facts).object);
    }
    for facts in &mut snapshot.keys {
        forget(&mut Arc::make_mut(facts).object);
    }
}

fn planned_status<S>(name: NamespacedName, status: S) -> Said<S> {
    Said {
        name,
        status,
        is_current: true,
    }
}

fn planned_key(
    snapshot: &Snapshot,
    name: NamespacedName,
    mut status: ApiKeyRefStatus,
) -> Option<Key> {
    let mut keys = snapshot.keys.iter();
    let facts = keys.find(|facts| facts.object.name == name)?;
    let key: &ApiKey = facts.object.spec.as_ref().ok()?;
    let looked_at = |secret| snapshot.secrets.get(&secret) != Some(&SecretLookup::Assumed);
    let mut staged = key.next.iter();
    if !looked_at(key.source.secret()) || !staged.all(|next| looked_at(next.source.secret())) {
        // It stands for a value that nobody has looked at.
        status.fingerprint = None;
    }
    Some(Key {
        said: planned_status(name, status),
        workspace: key.workspace.clone(),
        service: key.service.clone(),
        reported_at: None,
    })
}

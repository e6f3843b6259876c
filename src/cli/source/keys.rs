//! ApiKeyRefs and what is said of them: from a cluster the statuses that the operator wrote,
//! from manifests the statuses that it would write.
//! Must not work out a date or a state.

use std::sync::Arc;

use jiff::Timestamp;
use kube::Api;
use kube::core::DeserializeGuard;

use super::{Source, SourceArgs, cluster};
use crate::api::{ApiKeyRef, ApiKeyRefStatus, convert};
use crate::cli::failure::Failure;
use crate::cli::screen::{say, warning_prefix};
use crate::facts::SecretLookup;
use crate::plan::output::Status;
use crate::policy::name::{Name, NamespacedName};

/// An ApiKeyRef with its status.
pub struct Key {
    pub name: NamespacedName,
    pub workspace: NamespacedName,
    pub service: Name,
    pub status: ApiKeyRefStatus,
    /// When the operator last wrote the status; `None` when it is a planned one.
    pub reported_at: Option<Timestamp>,
}

impl SourceArgs {
    /// Every ApiKeyRef, sorted by name: of the namespace `-n` names, else all. From a cluster
    /// nothing else is read, so that whoever may list ApiKeyRefs of a namespace can ask.
    ///
    /// # Errors
    /// When the manifests are wrong, or the cluster cannot be read.
    pub fn keys(&self, now: Timestamp) -> Result<Vec<Key>, Failure> {
        let mut keys = if self.is_files() {
            planned(&self.read()?, now)?
        } else {
            crate::cli::block_on(self.stored())?
        };
        keys.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(keys)
    }

    async fn stored(&self) -> Result<Vec<Key>, Failure> {
        let client = self.cluster.client().await?;
        let api = match &self.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        };
        let objects = cluster::pages::<DeserializeGuard<ApiKeyRef>>(&api, "").await;
        let objects = objects.map_err(|error| cluster::unreadable::<ApiKeyRef>(&error))?;
        let mut keys = Vec::with_capacity(objects.len());
        for object in objects {
            match object.0 {
                Ok(object) => keys.extend(of_object(object)),
                Err(invalid) => {
                    let meta = &invalid.metadata;
                    let part = |part: &Option<String>| part.clone().unwrap_or_default();
                    say(format_args!(
                        "{}ApiKeyRef {}/{} is not understood: {}",
                        warning_prefix(),
                        part(&meta.namespace),
                        part(&meta.name),
                        invalid.error
                    ));
                }
            }
        }
        Ok(keys)
    }
}

fn of_object(object: ApiKeyRef) -> Option<Key> {
    let meta = object.metadata;
    Some(Key {
        name: NamespacedName::new(meta.namespace.as_deref()?, meta.name.as_deref()?),
        workspace: convert::workspace_ref(&meta, &object.spec.workspace_ref),
        service: object.spec.service.into(),
        status: object.status.unwrap_or_default(),
        reported_at: convert::reported_at(&meta),
    })
}

fn planned(source: &Source, now: Timestamp) -> Result<Vec<Key>, Failure> {
    let mut keys = Vec::new();
    for workspace in source.workspaces() {
        let (mut snapshot, _) = source.snapshot(&workspace, now)?;
        for facts in &mut snapshot.keys {
            // A status is planned where it differs from the stored one; here all are wanted.
            Arc::make_mut(facts).object.status.content = None;
        }
        let mut statuses = crate::plan::plan(&snapshot).statuses;
        for facts in &snapshot.keys {
            let name = &facts.object.name;
            let update = statuses.iter_mut().find(|update| {
                update.name == *name && matches!(update.status, Status::ApiKeyRef(_))
            });
            let (Some(update), Ok(key)) = (update, &facts.object.spec) else {
                continue;
            };
            let Status::ApiKeyRef(status) = &mut update.status else {
                continue;
            };
            let mut status = std::mem::take(&mut **status);
            let looked_at = |secret| snapshot.secrets.get(&secret) != Some(&SecretLookup::Assumed);
            let staged = key.next.iter().all(|next| looked_at(next.source.secret()));
            if !looked_at(key.source.secret()) || !staged {
                // It stands for a value that nobody has looked at.
                status.fingerprint = None;
            }
            keys.push(Key {
                name: name.clone(),
                workspace: key.workspace.clone(),
                service: key.service.clone(),
                status,
                reported_at: None,
            });
        }
    }
    Ok(keys)
}

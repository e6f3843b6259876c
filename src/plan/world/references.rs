//! Which Secrets our objects refer to, and the other way round.
//! Must not know what the Secrets hold.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::facts::{BindingFacts, KeyRefFacts, WorkspaceFacts};
use crate::plan::outputs::keys_name;
use crate::policy::finding::Kind;
use crate::policy::name::{Name, NamespacedName};
use crate::policy::subject::SubjectRef;

type Object = (Kind, NamespacedName);

/// References to Secrets, both ways.
#[derive(Debug, Default)]
pub struct References {
    /// By object: its workspace, and what it refers to.
    from: HashMap<Object, (NamespacedName, Vec<NamespacedName>)>,
    /// By namespace and name of the Secret: who refers to it.
    to: BTreeMap<Name, HashMap<Name, BTreeSet<Object>>>,
    /// By workspace: what is referred to, and how often.
    of_workspace: HashMap<NamespacedName, BTreeMap<NamespacedName, usize>>,
}

impl References {
    /// What an object of a workspace refers to now; nothing forgets the object.
    pub fn set(
        &mut self,
        object: Object,
        workspace: &NamespacedName,
        secrets: Vec<NamespacedName>,
    ) {
        if let Some((workspace, secrets)) = self.from.remove(&object) {
            for secret in &secrets {
                self.unlink(&object, &workspace, secret);
            }
        }
        if secrets.is_empty() {
            return;
        }
        for secret in &secrets {
            let of_namespace = self.to.entry(secret.namespace.clone()).or_default();
            of_namespace
                .entry(secret.name.clone())
                .or_default()
                .insert(object.clone());
            let of_workspace = self.of_workspace.entry(workspace.clone()).or_default();
            *of_workspace.entry(secret.clone()).or_default() += 1;
        }
        self.from.insert(object, (workspace.clone(), secrets));
    }

    /// Namespaces of Secrets that anything refers to.
    pub fn namespaces(&self) -> BTreeSet<Name> {
        self.to.keys().cloned().collect()
    }

    /// Secrets that a workspace and what is attached to it refer to.
    pub fn of_workspace(
        &self,
        workspace: &NamespacedName,
    ) -> impl Iterator<Item = &NamespacedName> {
        self.of_workspace
            .get(workspace)
            .into_iter()
            .flat_map(BTreeMap::keys)
    }

    /// Workspaces that refer to a Secret.
    pub fn to(&self, secret: &NamespacedName) -> BTreeSet<NamespacedName> {
        self.workspaces(self.objects_to(secret))
    }

    /// Workspaces that refer to any Secret of a namespace.
    pub fn in_namespace(&self, namespace: &Name) -> BTreeSet<NamespacedName> {
        let secrets = self.to.get(namespace).into_iter().flat_map(HashMap::values);
        self.workspaces(secrets.flatten())
    }

    /// ApiKeyRefs and RoleBindings that refer to a Secret, and so claim what is in it.
    pub fn claimants_to(&self, secret: &NamespacedName) -> Vec<(Kind, NamespacedName)> {
        let claimants = self
            .objects_to(secret)
            .filter(|(kind, _)| *kind != Kind::Workspace);
        claimants.cloned().collect()
    }

    fn objects_to(&self, secret: &NamespacedName) -> impl Iterator<Item = &Object> {
        let of_namespace = self.to.get(&secret.namespace);
        of_namespace
            .and_then(|names| names.get(&secret.name))
            .into_iter()
            .flatten()
    }

    fn workspaces<'a>(
        &self,
        objects: impl Iterator<Item = &'a Object>,
    ) -> BTreeSet<NamespacedName> {
        objects
            .filter_map(|object| self.from.get(object))
            .map(|(workspace, _)| workspace.clone())
            .collect()
    }

    fn unlink(&mut self, object: &Object, workspace: &NamespacedName, secret: &NamespacedName) {
        if let Some(names) = self.to.get_mut(&secret.namespace) {
            if let Some(objects) = names.get_mut(&secret.name) {
                objects.remove(object);
                if objects.is_empty() {
                    names.remove(&secret.name);
                }
            }
            if names.is_empty() {
                self.to.remove(&secret.namespace);
            }
        }
        if let Some(secrets) = self.of_workspace.get_mut(workspace) {
            if let Some(count) = secrets.get_mut(secret) {
                *count -= 1;
                if *count == 0 {
                    secrets.remove(secret);
                }
            }
            if secrets.is_empty() {
                self.of_workspace.remove(workspace);
            }
        }
    }
}

/// Secrets a Workspace refers to: client keys it blocks, and those that hold its gateways' keys.
pub fn of_workspace(facts: &WorkspaceFacts) -> Vec<NamespacedName> {
    let spec = facts.object.spec.as_ref();
    let mut secrets = spec
        .map(|spec| client_keys(&spec.blocked))
        .unwrap_or_default();
    secrets.extend(keys_of(facts));
    secrets
}

/// The Secrets with the keys of a Workspace's gateways.
pub fn keys_of(facts: &WorkspaceFacts) -> impl Iterator<Item = NamespacedName> {
    let NamespacedName { namespace, name } = &facts.object.name;
    let spec = facts.object.spec.as_ref().ok();
    let gateways = spec.into_iter().flat_map(|spec| &spec.gateways);
    gateways.map(|gateway| NamespacedName::new(namespace.clone(), keys_name(name, &gateway.name)))
}

/// Secrets a binding refers to: client keys it binds.
pub fn of_binding(facts: &BindingFacts) -> Vec<NamespacedName> {
    facts
        .object
        .spec
        .as_ref()
        .map(|grant| client_keys(&grant.subjects))
        .unwrap_or_default()
}

/// Secrets a key refers to: where it comes from, where it goes, and client keys that use it.
pub fn of_key(facts: &KeyRefFacts) -> Vec<NamespacedName> {
    let Ok(key) = &facts.object.spec else {
        return Vec::new();
    };
    let mut secrets = client_keys(&key.used_by);
    secrets.push(key.source.secret());
    secrets.extend(key.next.as_ref().map(|next| next.source.secret()));
    secrets.extend(key.target.as_ref().map(|target| {
        NamespacedName::new(facts.object.name.namespace.clone(), target.secret.clone())
    }));
    secrets.sort();
    secrets.dedup();
    secrets
}

fn client_keys(subjects: &[SubjectRef]) -> Vec<NamespacedName> {
    let mut secrets: Vec<_> = subjects
        .iter()
        .filter_map(|subject| match subject {
            SubjectRef::ClientKeySecret(secret) => Some(secret.clone()),
            SubjectRef::Known(_) => None,
        })
        .collect();
    secrets.sort();
    secrets.dedup();
    secrets
}

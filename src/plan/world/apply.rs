//! Changes in: what is known is brought up to date, and whoever it matters to is named.
//! Must not look further than the indices reach.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::attached::Attached;
use super::change::{Access, Change};
use super::claims::audiences;
use super::{Affected, Owner, World, references, unit};
use crate::api::metadata::{CLIENT_KEYS, ENVIRONMENT};
use crate::facts::{
    BindingFacts, KeyRefFacts, OutputFacts, OutputId, OutputKind, Ownership, SecretFacts,
    WorkspaceFacts,
};
use crate::policy::finding::Kind;
use crate::policy::key::ValueFacts;
use crate::policy::name::{Name, NamespacedName};
use crate::policy::selector::Labels;

impl World {
    /// Takes in a change; the workspaces for which something that matters is different now.
    /// Repeating a change, or changing what nobody decides by, affects nobody.
    pub fn apply(&mut self, change: Change) -> Affected {
        match change {
            Change::Workspace(facts) => self.set_workspace(&facts.object.name.clone(), Some(facts)),
            Change::WorkspaceGone(name) => self.set_workspace(&name, None),
            Change::Binding(mut facts) => {
                self.names.share(&mut facts);
                self.set_binding(&facts.object.name.clone(), Some(facts))
            }
            Change::BindingGone(name) => self.set_binding(&name, None),
            Change::KeyRef(facts) => self.set_key(&facts.object.name.clone(), Some(facts)),
            Change::KeyRefGone(name) => self.set_key(&name, None),
            Change::Namespace(name, labels) => self.set_namespace(&name, Some(labels)),
            Change::NamespaceGone(name) => self.set_namespace(&name, None),
            Change::ConfigMap(name, facts) => self.set_config_map(&name, Some(facts)),
            Change::ConfigMapGone(name) => self.set_config_map(&name, None),
            Change::Secret(name, facts) => self.set_secret(&name, Some(facts)),
            Change::SecretGone(name) => self.set_secret(&name, None),
            Change::SecretAccess(namespace, access) => self.set_access(&namespace, access),
            Change::PodAccess(scope, access) => self.pods.set_access(&scope, access),
            Change::Pod {
                scope,
                name,
                version,
                facts,
            } => self.pods.set(&scope, &name, Some((version, facts))),
            Change::PodGone(scope, name) => self.pods.set(&scope, &name, None),
            Change::Hurried(hurried) => self.pods.hurried(&hurried),
            Change::Reported(reported) => self.pods.reported(reported),
            Change::KeySet(id, lookup) => self.jwks.set(&id, lookup),
            Change::ClusterKeys(keys) => self.jwks.set_cluster(keys),
            Change::SecretValues {
                name,
                resource_version,
                values,
            } => self.set_values(&name, &resource_version, values),
        }
    }

    fn set_workspace(&mut self, name: &NamespacedName, facts: Option<WorkspaceFacts>) -> Affected {
        if !replace(&mut self.workspaces, name, facts) {
            return Affected::new();
        }
        let facts = self.workspaces.get(name);
        let named = facts
            .map(|facts| references::of_workspace(facts))
            .unwrap_or_default();
        let claims = facts.map(|facts| audiences(facts)).unwrap_or_default();
        let owner = (Kind::Workspace, name.clone());
        self.references.set(owner.clone(), name, named);
        self.pods.set_workspace(name, facts.map(|facts| &**facts));
        self.jwks.set_workspace(name, facts.map(|facts| &**facts));
        if facts.is_none() {
            self.last_policies.remove(name);
        }
        let mut affected = self.set_claims(&owner, claims);
        affected.extend(self.claim_all(name));
        affected.extend(self.rivals_for_client_keys(name));
        affected.insert(name.clone());
        affected
    }

    fn set_binding(&mut self, name: &NamespacedName, facts: Option<BindingFacts>) -> Affected {
        let before = self
            .bindings
            .get(name)
            .map(|facts| unit(&facts.workspace, name));
        if !replace(&mut self.bindings, name, facts) {
            return Affected::new();
        }
        let facts = self.bindings.get(name).cloned();
        let after = facts.as_ref().map(|facts| unit(&facts.workspace, name));
        if let Some(workspace) = &before {
            self.detach(workspace, |attached| drop(attached.bindings.remove(name)));
        }
        let mut named = Vec::new();
        if let (Some(workspace), Some(facts)) = (&after, facts) {
            named = references::of_binding(&facts);
            let attached = self.attached.entry(workspace.clone()).or_default();
            attached.bindings.insert(name.clone(), facts);
        }
        let of = after.as_ref().unwrap_or(name);
        let owner = (Kind::RoleBinding, name.clone());
        self.references.set(owner.clone(), of, named);
        let mut affected: Affected = before.into_iter().chain(after).collect();
        affected.extend(self.claim(&owner));
        // It may have ceased to claim, or begun to, by its state or time alone.
        affected.extend(self.rivals_of(&owner));
        affected
    }

    fn set_key(&mut self, name: &NamespacedName, facts: Option<KeyRefFacts>) -> Affected {
        let before = self
            .keys
            .get(name)
            .map(|facts| unit(&facts.workspace, name));
        if !replace(&mut self.keys, name, facts) {
            return Affected::new();
        }
        let facts = self.keys.get(name).cloned();
        let after = facts.as_ref().map(|facts| unit(&facts.workspace, name));
        if let Some(workspace) = &before {
            self.detach(workspace, |attached| drop(attached.keys.remove(name)));
        }
        let mut named = Vec::new();
        if let (Some(workspace), Some(facts)) = (&after, facts) {
            named = references::of_key(&facts);
            let attached = self.attached.entry(workspace.clone()).or_default();
            attached.keys.insert(name.clone(), facts);
        }
        let of = after.as_ref().unwrap_or(name);
        let owner = (Kind::ApiKeyRef, name.clone());
        self.references.set(owner.clone(), of, named);
        self.forget_departed(name);
        let left = self
            .outputs_of
            .get(&owner)
            .is_some_and(|left| !left.is_empty());
        if let (Some(workspace), None, true) = (&before, &after, left) {
            let departed = self.departed.entry(workspace.clone()).or_default();
            departed.insert(name.clone());
        }
        let mut affected: Affected = before.into_iter().chain(after).collect();
        affected.extend(self.claim(&owner));
        // Its status may say by now that it uses the key, or its scope that others may.
        affected.extend(self.rivals_of(&owner));
        affected
    }

    fn set_namespace(&mut self, name: &Name, labels: Option<Labels>) -> Affected {
        let before = self.namespaces.get(name).cloned();
        if !replace(&mut self.namespaces, name, labels) {
            return Affected::new();
        }
        let before = before.as_deref();
        let after = self.namespaces.get(name).map(|labels| &**labels);
        let environment = |labels: Option<&Labels>| labels?.get(ENVIRONMENT).cloned();
        let relabelled = environment(before) != environment(after);
        // Labels that cannot be seen are reported, whatever they were.
        let sighted = before.is_some() != after.is_some();
        let matters = |(workspace, facts): &(&NamespacedName, &Arc<WorkspaceFacts>)| {
            let attached = self.attached.get(workspace);
            let involved =
                attached.is_some_and(|attached| attached.namespaces().any(|n| n == name));
            let Ok(spec) = &facts.object.spec else {
                return false;
            };
            let moved = spec.allowed_namespaces.iter().any(|entry| {
                entry.which.contains(name, before) != entry.which.contains(name, after)
            });
            ((moved || sighted) && involved)
                || (relabelled && (involved || workspace.namespace == *name))
        };
        let affected = self.workspaces.iter().filter(matters);
        let affected: Affected = affected.map(|(name, _)| name.clone()).collect();
        let rivals = affected.iter();
        let mut rivals: Affected = rivals
            .flat_map(|workspace| self.rivals_for_client_keys(workspace))
            .collect();
        for workspace in &affected {
            rivals.extend(self.claim_all(workspace));
        }
        affected.into_iter().chain(rivals).collect()
    }

    fn set_config_map(&mut self, name: &NamespacedName, facts: Option<OutputFacts>) -> Affected {
        let id = OutputId {
            kind: OutputKind::ConfigMap,
            name: name.clone(),
        };
        let before = self.config_maps.remove(name);
        let after = facts.map(Arc::new);
        if let Some(facts) = &after {
            self.config_maps.insert(name.clone(), facts.clone());
        }
        if before == after {
            return Affected::new();
        }
        let remembers = |facts: &Option<Arc<OutputFacts>>| {
            let facts = facts.as_ref();
            facts.and_then(|facts| facts.marks.get(CLIENT_KEYS).cloned())
        };
        let remembered = remembers(&before) != remembers(&after);
        let owner = |facts: Option<Arc<OutputFacts>>| owner_of(name, &facts?.owner);
        let mut affected = self.set_owner(id, owner(before), owner(after));
        // Somebody else's under a name of ours is in the way of the workspace in the name.
        if let Some((workspace, _)) = name.name.split_once('.') {
            let workspace = NamespacedName::new(name.namespace.clone(), workspace);
            if remembered {
                affected.extend(self.rivals_for_client_keys(&workspace));
            }
            affected.insert(workspace);
        }
        affected
    }

    fn set_secret(&mut self, name: &NamespacedName, facts: Option<SecretFacts>) -> Affected {
        let id = OutputId {
            kind: OutputKind::Secret,
            name: name.clone(),
        };
        let owner = |facts: &Arc<SecretFacts>| owner_of(name, &facts.output.as_ref()?.owner);
        let scope = self.secrets.entry(name.namespace.clone()).or_default();
        let before = scope.by_name.get(&name.name).cloned();
        // What was read stays known while the Secret has not moved.
        let facts = facts.map(|mut facts| {
            let unmoved = before.as_ref().filter(|before| {
                before.uid == facts.uid && before.resource_version == facts.resource_version
            });
            if let (None, Some(unmoved)) = (&facts.values, unmoved) {
                facts.values.clone_from(&unmoved.values);
            }
            facts
        });
        if !replace(&mut scope.by_name, &name.name, facts) {
            return Affected::new();
        }
        let before = before.as_ref().and_then(owner);
        let after = scope.by_name.get(&name.name).and_then(owner);
        let mut affected = self.set_owner(id, before.clone(), after.clone());
        affected.extend(self.touched(name));
        // What a gateway's Secret remembers may be all that is known of a Workspace's keys.
        let owners = before.into_iter().chain(after);
        for (_, workspace) in owners.filter(|(kind, _)| *kind == Kind::Workspace) {
            affected.extend(self.claim_all(&workspace));
        }
        affected
    }

    fn set_access(&mut self, namespace: &Name, access: Access) -> Affected {
        let scope = self.secrets.entry(namespace.clone()).or_default();
        if scope.access == Some(access) {
            return Affected::new();
        }
        scope.access = Some(access);
        if access == Access::Denied {
            scope.by_name.clear();
        }
        self.references.in_namespace(namespace)
    }

    fn set_values(
        &mut self,
        name: &NamespacedName,
        resource_version: &Name,
        values: BTreeMap<Name, ValueFacts>,
    ) -> Affected {
        let scope = self.secrets.get_mut(&name.namespace);
        let Some(facts) = scope.and_then(|scope| scope.by_name.get_mut(&name.name)) else {
            return Affected::new();
        };
        let known = facts.values.as_deref() == Some(&values);
        if facts.resource_version != *resource_version || known {
            return Affected::new();
        }
        Arc::make_mut(facts).values = Some(Arc::new(values));
        self.touched(name)
    }

    /// Who is affected when a Secret is not as before: whoever refers to it, and whoever now
    /// or formerly claimed the same key as one of those, which may be in use by what it holds.
    fn touched(&mut self, secret: &NamespacedName) -> Affected {
        let mut affected = self.references.to(secret);
        for owner in self.references.claimants_to(secret) {
            affected.extend(self.claim(&owner));
            affected.extend(self.rivals_of(&owner));
        }
        affected
    }

    fn detach(&mut self, workspace: &NamespacedName, remove: impl FnOnce(&mut Attached)) {
        if let Some(attached) = self.attached.get_mut(workspace) {
            remove(attached);
            if attached.is_empty() {
                self.attached.remove(workspace);
            }
        }
    }

    /// An ApiKeyRef is back, or has left nothing any more.
    fn forget_departed(&mut self, key: &NamespacedName) {
        self.departed.retain(|_, keys| {
            keys.remove(key);
            !keys.is_empty()
        });
    }

    fn set_owner(&mut self, id: OutputId, before: Option<Owner>, after: Option<Owner>) -> Affected {
        if before != after {
            if let Some(owned) = before
                .as_ref()
                .and_then(|owner| self.outputs_of.get_mut(owner))
            {
                owned.remove(&id);
                if let (true, Some((Kind::ApiKeyRef, key))) = (owned.is_empty(), &before) {
                    self.forget_departed(key);
                }
            }
            if let Some(owner) = &after {
                self.outputs_of.entry(owner.clone()).or_default().insert(id);
            }
        }
        before
            .iter()
            .chain(&after)
            .filter_map(|owner| self.unit_of(owner))
            .collect()
    }
}

fn owner_of(object: &NamespacedName, owner: &Ownership) -> Option<Owner> {
    let named = |name: &Name| NamespacedName::new(object.namespace.clone(), name.clone());
    match owner {
        Ownership::Controlled { kind, name, .. } => Some((*kind, named(name))),
        Ownership::Inherited(heirs) => {
            let first = heirs.first()?;
            Some((Kind::ApiKeyRef, named(&first.name)))
        }
        Ownership::Retained(name) => Some((Kind::ApiKeyRef, named(name))),
        Ownership::Foreign => None,
    }
}

/// Puts or removes an entry; false when that changes nothing.
fn replace<K, V>(map: &mut HashMap<K, Arc<V>>, key: &K, value: Option<V>) -> bool
where
    K: Clone + Eq + std::hash::Hash,
    V: PartialEq,
{
    if map.get(key).map(|held| &**held) == value.as_ref() {
        return false;
    }
    match value {
        None => drop(map.remove(key)),
        Some(value) => drop(map.insert(key.clone(), Arc::new(value))),
    }
    true
}

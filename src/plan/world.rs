//! All facts known, indexed by workspace: changes in, snapshots out.
//! Must not decide anything, do IO, or read a clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use super::attached::Attached;
use super::claims::{Claim, Claims};
use super::facts::{
    BindingFacts, KeyRefFacts, OutputFacts, OutputId, OutputKind, Ownership, Rival, SecretFacts,
    SecretLookup, Snapshot, ValueLookup, WorkspaceFacts,
};
use super::references::References;
use crate::api::metadata::ENVIRONMENT;
use crate::policy::catalogue::Catalogue;
use crate::policy::finding::Kind;
use crate::policy::key::ValueFacts;
use crate::policy::name::{Name, NamespacedName};
use crate::policy::selector::Labels;

/// One thing that became known.
#[derive(Clone, Debug)]
pub enum Change {
    Workspace(WorkspaceFacts),
    WorkspaceGone(NamespacedName),
    Binding(BindingFacts),
    BindingGone(NamespacedName),
    KeyRef(KeyRefFacts),
    KeyRefGone(NamespacedName),
    Namespace(Name, Labels),
    NamespaceGone(Name),
    /// A ConfigMap with our label.
    ConfigMap(NamespacedName, OutputFacts),
    ConfigMapGone(NamespacedName),
    /// Any Secret of a namespace whose Secrets are looked at.
    Secret(NamespacedName, SecretFacts),
    SecretGone(NamespacedName),
    /// Whether a namespace's Secrets may be looked at, once that is known; `Listed` comes
    /// after all of them did.
    SecretAccess(Name, SecretAccess),
    /// The data keys of a Secret, read at this resourceVersion.
    SecretValues {
        name: NamespacedName,
        resource_version: Name,
        values: BTreeMap<Name, ValueFacts>,
    },
}

/// Whether a namespace's Secrets may be looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SecretAccess {
    /// Every Secret in it is known.
    Listed,
    /// We may not look.
    Denied,
}

/// What a Secret that nobody has looked at counts as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unseen {
    /// Not known yet: its workspace waits. What the operator does.
    Waits,
    /// Present with some value: what the command line does with files.
    Assumed,
    /// Absent: the command line's `--strict`.
    Absent,
}

/// Workspaces for which something that matters is different now.
pub type Affected = BTreeSet<NamespacedName>;

/// All facts known.
#[derive(Debug)]
pub struct World {
    catalogue: Arc<Catalogue>,
    unseen: Unseen,
    workspaces: HashMap<NamespacedName, Arc<WorkspaceFacts>>,
    bindings: HashMap<NamespacedName, Arc<BindingFacts>>,
    keys: HashMap<NamespacedName, Arc<KeyRefFacts>>,
    attached: HashMap<NamespacedName, Attached>,
    namespaces: HashMap<Name, Arc<Labels>>,
    config_maps: HashMap<NamespacedName, Arc<OutputFacts>>,
    secrets: HashMap<Name, SecretScope>,
    /// Our outputs by the object that owns them.
    outputs_of: HashMap<(Kind, NamespacedName), BTreeSet<OutputId>>,
    references: References,
    claims: Claims,
}

#[derive(Debug, Default)]
struct SecretScope {
    access: Option<SecretAccess>,
    by_name: HashMap<Name, Arc<SecretFacts>>,
}

// === impl World ===

impl World {
    /// Knows nothing yet.
    pub fn new(catalogue: Arc<Catalogue>, unseen: Unseen) -> Self {
        Self {
            catalogue,
            unseen,
            workspaces: HashMap::new(),
            bindings: HashMap::new(),
            keys: HashMap::new(),
            attached: HashMap::new(),
            namespaces: HashMap::new(),
            config_maps: HashMap::new(),
            secrets: HashMap::new(),
            outputs_of: HashMap::new(),
            references: References::default(),
            claims: Claims::default(),
        }
    }

    /// Takes in a change; the workspaces for which something that matters is different now.
    /// Repeating a change, or changing what nobody decides by, affects nobody.
    pub fn apply(&mut self, change: Change) -> Affected {
        match change {
            Change::Workspace(facts) => self.set_workspace(&facts.object.name.clone(), Some(facts)),
            Change::WorkspaceGone(name) => self.set_workspace(&name, None),
            Change::Binding(facts) => self.set_binding(&facts.object.name.clone(), Some(facts)),
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
            Change::SecretValues {
                name,
                resource_version,
                values,
            } => self.set_values(&name, &resource_version, values),
        }
    }

    /// Every workspace that exists or is referred to.
    pub fn workspaces(&self) -> BTreeSet<NamespacedName> {
        self.workspaces
            .keys()
            .chain(self.attached.keys())
            .cloned()
            .collect()
    }

    /// The namespaces whose Secrets must be looked at.
    pub fn secret_namespaces(&self) -> BTreeSet<Name> {
        self.references.namespaces()
    }

    /// What is known about one workspace; `None` while Secrets of a namespace it needs have
    /// not been looked at.
    pub fn snapshot(&self, workspace: &NamespacedName, now: Timestamp) -> Option<Snapshot> {
        let nothing = Attached::default();
        let attached = self.attached.get(workspace).unwrap_or(&nothing);
        let mut secrets = BTreeMap::new();
        for name in self.references.of_workspace(workspace) {
            secrets.insert(name.clone(), self.lookup(name)?);
        }
        let namespaces = attached.namespaces().chain([&workspace.namespace]);
        let known = |name: &Name| Some((name.clone(), self.namespaces.get(name)?.clone()));
        Some(Snapshot {
            now,
            name: workspace.clone(),
            workspace: self.workspaces.get(workspace).cloned(),
            bindings: attached.bindings.values().cloned().collect(),
            keys: attached.keys.values().cloned().collect(),
            namespaces: namespaces.filter_map(known).collect(),
            secrets,
            outputs: self.outputs(workspace, attached),
            rivals: self.rivals(workspace, attached),
            failures: BTreeMap::new(),
            catalogue: self.catalogue.clone(),
        })
    }

    fn set_workspace(&mut self, name: &NamespacedName, facts: Option<WorkspaceFacts>) -> Affected {
        if !replace(&mut self.workspaces, name, facts) {
            return Affected::new();
        }
        let facts = self.workspaces.get(name);
        let named = facts
            .map(|facts| super::references::of_workspace(facts))
            .unwrap_or_default();
        self.references
            .set((Kind::Workspace, name.clone()), name, named);
        Affected::from([name.clone()])
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
            named = super::references::of_binding(&facts);
            let attached = self.attached.entry(workspace.clone()).or_default();
            attached.bindings.insert(name.clone(), facts);
        }
        let of = after.as_ref().unwrap_or(name);
        self.references
            .set((Kind::RoleBinding, name.clone()), of, named);
        before.into_iter().chain(after).collect()
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
            named = super::references::of_key(&facts);
            let attached = self.attached.entry(workspace.clone()).or_default();
            attached.keys.insert(name.clone(), facts);
        }
        let of = after.as_ref().unwrap_or(name);
        self.references
            .set((Kind::ApiKeyRef, name.clone()), of, named);
        let mut affected: Affected = before.into_iter().chain(after).collect();
        affected.extend(self.claim(name));
        affected
    }

    fn set_namespace(&mut self, name: &Name, labels: Option<Labels>) -> Affected {
        let none = Arc::new(Labels::new());
        let before = self.namespaces.get(name).cloned();
        if !replace(&mut self.namespaces, name, labels) {
            return Affected::new();
        }
        let after = self.namespaces.get(name).unwrap_or(&none);
        let before = before.as_ref().unwrap_or(&none);
        let relabelled = before.get(ENVIRONMENT) != after.get(ENVIRONMENT);
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
            (moved && involved) || (relabelled && (involved || workspace.namespace == *name))
        };
        let affected = self.workspaces.iter().filter(matters);
        affected.map(|(workspace, _)| workspace.clone()).collect()
    }

    fn set_config_map(&mut self, name: &NamespacedName, facts: Option<OutputFacts>) -> Affected {
        let id = OutputId {
            kind: OutputKind::ConfigMap,
            name: name.clone(),
        };
        let before = self
            .config_maps
            .get(name)
            .and_then(|facts| owner_of(name, &facts.owner));
        if !replace(&mut self.config_maps, name, facts) {
            return Affected::new();
        }
        let after = self
            .config_maps
            .get(name)
            .and_then(|facts| owner_of(name, &facts.owner));
        self.set_owner(id, before, after)
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
        let after = scope.by_name.get(&name.name).and_then(owner);
        let mut affected = self.set_owner(id, before.as_ref().and_then(owner), after);
        affected.extend(self.touched(name));
        affected
    }

    fn set_access(&mut self, namespace: &Name, access: SecretAccess) -> Affected {
        let scope = self.secrets.entry(namespace.clone()).or_default();
        if scope.access == Some(access) {
            return Affected::new();
        }
        scope.access = Some(access);
        if access == SecretAccess::Denied {
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
    /// or formerly claimed the same key as one of those.
    fn touched(&mut self, secret: &NamespacedName) -> Affected {
        let mut affected = self.references.to(secret);
        for key in self.references.keys_to(secret) {
            affected.extend(self.claim(&key));
        }
        affected
    }

    /// Brings the claims of a key up to date.
    fn claim(&mut self, key: &NamespacedName) -> Affected {
        let claims = match self.keys.get(key).cloned() {
            Some(facts) => self.claims_of(&facts),
            None => BTreeSet::new(),
        };
        let others = self.claims.set(key, claims);
        let workspaces = others.iter().filter_map(|key| self.keys.get(key));
        workspaces
            .map(|facts| unit(&facts.workspace, &facts.object.name))
            .collect()
    }

    fn claims_of(&self, facts: &KeyRefFacts) -> BTreeSet<Claim> {
        let Ok(key) = &facts.object.spec else {
            return BTreeSet::new();
        };
        let namespace = &facts.object.name.namespace;
        let target = key.target.as_ref();
        let target =
            target.map(|target| NamespacedName::new(namespace.clone(), target.secret.clone()));
        let staged = key.next.as_ref().map(|next| &next.source);
        let digests = [Some(&key.source), staged]
            .into_iter()
            .flatten()
            .filter_map(|source| {
                let memory = target.as_ref().and_then(|target| self.memory(target));
                match self
                    .lookup(&source.secret())?
                    .value(source, memory.as_deref())
                {
                    ValueLookup::Known(value) => Some(Claim::Key(value.digest)),
                    ValueLookup::Missing
                    | ValueLookup::Unread
                    | ValueLookup::NoSecret
                    | ValueLookup::Denied
                    | ValueLookup::Assumed => None,
                }
            });
        let mut claims: BTreeSet<Claim> = digests.collect();
        claims.extend(target.map(Claim::Target));
        claims
    }

    fn memory(&self, target: &NamespacedName) -> Option<Arc<super::facts::KeyMemory>> {
        let secret = self
            .secrets
            .get(&target.namespace)?
            .by_name
            .get(&target.name)?;
        secret.output.as_ref()?.memory.clone()
    }

    fn lookup(&self, name: &NamespacedName) -> Option<SecretLookup> {
        let scope = self.secrets.get(&name.namespace);
        if let Some(secret) = scope.and_then(|scope| scope.by_name.get(&name.name)) {
            return Some(SecretLookup::Present(secret.clone()));
        }
        match (scope.and_then(|scope| scope.access), self.unseen) {
            (Some(SecretAccess::Denied), _) => Some(SecretLookup::Denied),
            (Some(SecretAccess::Listed), _) | (None, Unseen::Absent) => Some(SecretLookup::Absent),
            (None, Unseen::Assumed) => Some(SecretLookup::Assumed),
            (None, Unseen::Waits) => None,
        }
    }

    fn outputs(
        &self,
        workspace: &NamespacedName,
        attached: &Attached,
    ) -> BTreeMap<OutputId, Arc<OutputFacts>> {
        let owners = attached
            .keys
            .keys()
            .map(|key| (Kind::ApiKeyRef, key.clone()));
        let owners = owners.chain([(Kind::Workspace, workspace.clone())]);
        let owned = owners
            .filter_map(|owner| self.outputs_of.get(&owner))
            .flatten();
        let named = attached.keys.values().filter_map(|facts| {
            let target = facts.object.spec.as_ref().ok()?.target.as_ref()?;
            Some(OutputId::secret(
                facts.object.name.namespace.clone(),
                target.secret.clone(),
            ))
        });
        let mut found: BTreeMap<OutputId, Arc<OutputFacts>> = BTreeMap::new();
        for id in owned.cloned().chain(named) {
            if let Some(facts) = self.output(&id) {
                found.insert(id, facts);
            }
        }
        found
    }

    fn output(&self, id: &OutputId) -> Option<Arc<OutputFacts>> {
        match id.kind {
            OutputKind::ConfigMap => self.config_maps.get(&id.name).cloned(),
            OutputKind::Secret => {
                let scope = self.secrets.get(&id.name.namespace)?;
                let secret = scope.by_name.get(&id.name.name)?;
                Some(
                    secret
                        .output
                        .clone()
                        .unwrap_or_else(|| Arc::new(foreign(secret))),
                )
            }
        }
    }

    fn rivals(&self, workspace: &NamespacedName, attached: &Attached) -> Vec<Rival> {
        let mut rivals = BTreeMap::new();
        let others = attached
            .keys
            .keys()
            .flat_map(|key| self.claims.rivals_of(key));
        for name in others.filter(|name| !attached.keys.contains_key(*name)) {
            let Some(facts) = self.keys.get(name) else {
                continue;
            };
            let digest = self.claims.digests_of(name).next();
            let present = facts
                .versions
                .iter()
                .find(|version| version.active_until.is_none());
            rivals.insert(
                name.clone(),
                Rival {
                    name: name.clone(),
                    workspace: unit(&facts.workspace, name),
                    created: facts.object.created,
                    facts: facts.clone(),
                    digest,
                    in_use: digest.is_some_and(|digest| {
                        present.is_some_and(|version| version.fingerprint == digest.fingerprint())
                    }),
                },
            );
        }
        rivals
            .into_values()
            .filter(|rival| rival.workspace != *workspace)
            .collect()
    }

    fn detach(&mut self, workspace: &NamespacedName, remove: impl FnOnce(&mut Attached)) {
        if let Some(attached) = self.attached.get_mut(workspace) {
            remove(attached);
            if attached.is_empty() {
                self.attached.remove(workspace);
            }
        }
    }

    fn set_owner(&mut self, id: OutputId, before: Option<Owner>, after: Option<Owner>) -> Affected {
        if before != after {
            if let Some(owned) = before
                .as_ref()
                .and_then(|owner| self.outputs_of.get_mut(owner))
            {
                owned.remove(&id);
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

    fn unit_of(&self, (kind, name): &Owner) -> Option<NamespacedName> {
        match kind {
            Kind::Workspace => Some(name.clone()),
            Kind::ApiKeyRef => self
                .keys
                .get(name)
                .map(|facts| unit(&facts.workspace, name)),
            Kind::RoleBinding => None,
        }
    }
}

type Owner = (Kind, NamespacedName);

/// The unit of work an object belongs to: the workspace it names, or where that cannot be
/// told, a nameless one of its namespace, which does not exist.
fn unit(workspace: &Option<NamespacedName>, object: &NamespacedName) -> NamespacedName {
    let nameless = || NamespacedName::new(object.namespace.clone(), "");
    workspace.clone().unwrap_or_else(nameless)
}

fn owner_of(object: &NamespacedName, owner: &Ownership) -> Option<Owner> {
    let named = |name: &Name| NamespacedName::new(object.namespace.clone(), name.clone());
    match owner {
        Ownership::Controlled { kind, name, uid: _ } => Some((*kind, named(name))),
        Ownership::Retained(name) => Some((Kind::ApiKeyRef, named(name))),
        Ownership::Foreign => None,
    }
}

fn foreign(secret: &SecretFacts) -> OutputFacts {
    OutputFacts {
        uid: secret.uid.clone(),
        resource_version: secret.resource_version.clone(),
        owner: Ownership::Foreign,
        other_owners: Vec::new(),
        marks: BTreeMap::new(),
        data_keys: Vec::new(),
        intact: true,
        memory: None,
    }
}

/// Puts or removes an entry; false when that changes nothing.
fn replace<K, V>(map: &mut HashMap<K, Arc<V>>, key: &K, value: Option<V>) -> bool
where
    K: Clone + Eq + std::hash::Hash,
    V: PartialEq,
{
    match value {
        None => map.remove(key).is_some(),
        Some(value) => {
            if map.get(key).is_some_and(|held| **held == value) {
                return false;
            }
            map.insert(key.clone(), Arc::new(value));
            true
        }
    }
}

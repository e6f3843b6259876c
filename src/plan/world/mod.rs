//! All facts known, indexed by workspace: changes in, snapshots out.
//! Must not decide anything, do IO, or read a clock.

mod apply;
mod attached;
mod change;
mod claims;
mod jwks;
mod names;
mod pods;
mod references;
mod rivals;

pub use change::{Access, Change, Unseen};
pub use pods::{Hurried, Reported};

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use super::keys::data_key;
use crate::api::metadata::OPERATOR_NAMESPACE;
use crate::facts::{
    BindingFacts, KeyMemory, KeyRefFacts, KeySetId, LastPolicy, OutputFacts, OutputId, OutputKind,
    Ownership, PodScope, SecretFacts, SecretLookup, Snapshot, WorkspaceFacts,
};
use crate::gateway::envoy::Upstream;
use crate::policy::catalogue::Catalogue;
use crate::policy::finding::Kind;
use crate::policy::name::{Name, NamespacedName};
use crate::policy::selector::Labels;
use attached::Attached;
use claims::Claims;
use jwks::Jwks;
use names::Names;
use pods::Pods;
use references::References;

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
    /// Sorted, so that everything named after a workspace is found together.
    config_maps: BTreeMap<NamespacedName, Arc<OutputFacts>>,
    secrets: HashMap<Name, SecretScope>,
    /// Our outputs by the object that owns them.
    outputs_of: HashMap<(Kind, NamespacedName), BTreeSet<OutputId>>,
    /// By workspace: ApiKeyRefs that are gone and left outputs. Kubernetes collects these, but
    /// takes its time.
    departed: HashMap<NamespacedName, BTreeSet<NamespacedName>>,
    references: References,
    claims: Claims,
    names: Names,
    pods: Pods,
    jwks: Jwks,
    upstream: Arc<Upstream>,
    last_policies: HashMap<NamespacedName, Arc<LastPolicy>>,
    operator_namespace: Name,
}

#[derive(Debug, Default)]
struct SecretScope {
    access: Option<Access>,
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
            config_maps: BTreeMap::new(),
            secrets: HashMap::new(),
            outputs_of: HashMap::new(),
            departed: HashMap::new(),
            references: References::default(),
            claims: Claims::default(),
            names: Names::default(),
            pods: Pods::default(),
            jwks: Jwks::default(),
            upstream: Arc::default(),
            last_policies: HashMap::new(),
            operator_namespace: OPERATOR_NAMESPACE.into(),
        }
    }

    /// The same, with gateways that send to this address.
    pub fn with_upstream(self, upstream: Upstream) -> Self {
        let upstream = Arc::new(upstream);
        Self { upstream, ..self }
    }

    /// The same, of an operator that runs in this namespace.
    pub fn with_operator_in(self, namespace: &str) -> Self {
        let operator_namespace = namespace.into();
        Self {
            operator_namespace,
            ..self
        }
    }

    /// Takes another catalogue; whoever exists is affected by what models are known.
    pub fn set_catalogue(&mut self, catalogue: Arc<Catalogue>) -> Affected {
        if self.catalogue == catalogue {
            return Affected::new();
        }
        self.catalogue = catalogue;
        self.workspaces.keys().cloned().collect()
    }

    /// Every workspace that exists or is referred to.
    pub fn workspaces(&self) -> BTreeSet<NamespacedName> {
        self.workspaces
            .keys()
            .chain(self.attached.keys())
            .cloned()
            .collect()
    }

    /// Those that ApiKeyRefs refer to.
    pub fn workspaces_with_keys(&self) -> BTreeSet<NamespacedName> {
        let attached = self.attached.iter();
        let with_keys = attached.filter(|(_, attached)| !attached.keys.is_empty());
        with_keys.map(|(name, _)| name.clone()).collect()
    }

    /// The namespaces whose Secrets must be looked at.
    pub fn secret_namespaces(&self) -> BTreeSet<Name> {
        self.references.namespaces()
    }

    /// Pods that must be looked at, and no others from now on.
    pub fn pod_scopes(&mut self) -> BTreeSet<PodScope> {
        self.pods.scopes()
    }

    /// ConfigMaps with public keys that must be looked at, and no others from now on.
    pub fn key_sets(&mut self) -> BTreeSet<KeySetId> {
        self.jwks.sets()
    }

    /// Whether it must be known what this cluster signs ServiceAccount tokens with.
    pub fn needs_cluster_keys(&self) -> bool {
        self.jwks.needs_cluster()
    }

    /// Remembers what was planned for a workspace with pods to hurry; nothing forgets it.
    pub fn planned(&mut self, workspace: &NamespacedName, last: Option<Arc<LastPolicy>>) {
        match last {
            Some(last) => drop(self.last_policies.insert(workspace.clone(), last)),
            None => drop(self.last_policies.remove(workspace)),
        }
    }

    /// What is known about one workspace; `None` while Secrets of a namespace it needs, pods of its
    /// gateways, or public keys of its issuers, have not been looked at.
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
            skew: None,
            name: workspace.clone(),
            workspace: self.workspaces.get(workspace).cloned(),
            bindings: attached.bindings.values().cloned().collect(),
            keys: attached.keys.values().cloned().collect(),
            departed: self.departed.get(workspace).cloned().unwrap_or_default(),
            namespaces: namespaces.filter_map(known).collect(),
            secrets,
            outputs: self.outputs(workspace, attached),
            rivals: self.rivals(workspace, attached),
            shared_audiences: self.shared_audiences(workspace),
            client_key_rivals: self.client_key_rivals(workspace, attached),
            failures: BTreeMap::new(),
            pods: self.pods.of_workspace(workspace, self.unseen)?,
            loads: self.pods.loads_of(workspace),
            jwks: self.jwks.of_workspace(workspace, self.unseen)?,
            upstream: self.upstream.clone(),
            unhurried: BTreeMap::new(),
            last_policy: self.last_policies.get(workspace).cloned(),
            catalogue: self.catalogue.clone(),
            operator_namespace: self.operator_namespace.clone(),
        })
    }

    /// What the Secrets written from a key remember of it.
    fn memories<'a>(&'a self, facts: &'a KeyRefFacts) -> impl Iterator<Item = &'a KeyMemory> {
        let key = facts.object.spec.as_ref().ok();
        let namespace = &facts.object.name.namespace;
        let target = key.and_then(|key| key.target.as_ref()).map(|target| {
            let name = NamespacedName::new(namespace.clone(), target.secret.clone());
            (name, target.key.clone())
        });
        let workspace = self
            .workspaces
            .get(&unit(&facts.workspace, &facts.object.name));
        let gateways = workspace
            .into_iter()
            .flat_map(|workspace| references::keys_of(workspace));
        let gateways = gateways.filter_map(move |name| Some((name, data_key(facts, key?))));
        let output = |name: &NamespacedName| {
            let secret = self.secrets.get(&name.namespace)?.by_name.get(&name.name)?;
            secret.output.as_ref()
        };
        let of_target = target.and_then(|(name, data_key)| {
            let own = output(&name).filter(|found| found.is_of_key(&facts.object.name.name));
            own?.memory.get(&data_key)
        });
        let of_gateways =
            gateways.filter_map(move |(name, data_key)| output(&name)?.memory.get(&data_key));
        of_target.into_iter().chain(of_gateways)
    }

    fn lookup(&self, name: &NamespacedName) -> Option<SecretLookup> {
        let scope = self.secrets.get(&name.namespace);
        let access = scope.and_then(|scope| scope.access);
        let seen = scope.and_then(|scope| scope.by_name.get(&name.name));
        match (access, seen, self.unseen) {
            // What a cycle on its way still learns of one is not kept up to date.
            (Some(Access::Denied), ..) => Some(SecretLookup::Denied),
            (_, Some(secret), _) => Some(SecretLookup::Present(secret.clone())),
            (Some(Access::Listed), None, _) | (None, None, Unseen::Absent) => {
                Some(SecretLookup::Absent)
            }
            (None, None, Unseen::Assumed) => Some(SecretLookup::Assumed),
            (None, None, Unseen::Waits) => None,
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
        let departed = self.departed.get(workspace).into_iter().flatten();
        let departed = departed.map(|key| (Kind::ApiKeyRef, key.clone()));
        let owners = owners.chain([(Kind::Workspace, workspace.clone())]);
        let owners = owners.chain(departed);
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
        let keys = self.workspaces.get(workspace);
        let keys = keys
            .into_iter()
            .flat_map(|facts| references::keys_of(facts));
        let named = named.chain(keys.map(|name| OutputId {
            kind: OutputKind::Secret,
            name,
        }));
        let prefix =
            NamespacedName::new(workspace.namespace.clone(), format!("{}.", workspace.name));
        let after = self.config_maps.range(&prefix..).map(|(name, _)| name);
        let named_after = after.take_while(|name| {
            name.namespace == prefix.namespace && name.name.starts_with(&*prefix.name)
        });
        let named = named.chain(named_after.map(|name| OutputId {
            kind: OutputKind::ConfigMap,
            name: name.clone(),
        }));
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

    fn unit_of(&self, (kind, name): &Owner) -> Option<NamespacedName> {
        match kind {
            Kind::Workspace => Some(name.clone()),
            Kind::ApiKeyRef => self
                .keys
                .get(name)
                .map(|facts| unit(&facts.workspace, name)),
            Kind::RoleBinding => self
                .bindings
                .get(name)
                .map(|facts| unit(&facts.workspace, name)),
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

fn foreign(secret: &SecretFacts) -> OutputFacts {
    OutputFacts {
        uid: secret.uid.clone(),
        resource_version: secret.resource_version.clone(),
        owner: Ownership::Foreign,
        other_owners: Vec::new(),
        marks: BTreeMap::new(),
        data_keys: Vec::new(),
        tampered: BTreeSet::new(),
        memory: BTreeMap::new(),
        written: None,
    }
}

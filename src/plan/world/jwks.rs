//! Public keys of issuers, by who needs them: Workspaces with a gateway that checks tokens.
//! Must not judge them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Affected;
use super::change::Unseen;
use crate::facts::{JwksLookup, KeySetId, WorkspaceFacts};
use crate::policy::name::{Name, NamespacedName};
use crate::policy::workspace::{GatewayKind, IssuerKind, Jwks as Source};

/// Key sets by place. One is there while it is looked at: from when an issuer names it until it
/// is asked for which ones are named.
#[derive(Debug, Default)]
pub struct Jwks {
    sets: BTreeMap<KeySetId, Set>,
    /// What this cluster signs with, once known, and who needs it.
    cluster: Option<JwksLookup>,
    needs_cluster: Affected,
    issuers: HashMap<NamespacedName, BTreeMap<Name, Place>>,
}

#[derive(Debug, Default)]
struct Set {
    workspaces: Affected,
    lookup: Option<JwksLookup>,
}

/// Where an issuer's keys are.
#[derive(Clone, Debug)]
enum Place {
    Cluster,
    ConfigMap(KeySetId),
    Uri(Name),
}

impl Jwks {
    /// Which keys the gateways of a workspace check tokens by now; of one that is gone, none.
    pub fn set_workspace(&mut self, workspace: &NamespacedName, facts: Option<&WorkspaceFacts>) {
        let places = places(workspace, facts);
        for place in self.issuers.remove(workspace).into_iter().flatten() {
            if let (_, Place::ConfigMap(id)) = place
                && let Some(set) = self.sets.get_mut(&id)
            {
                set.workspaces.remove(workspace);
            }
        }
        self.needs_cluster.remove(workspace);
        for place in places.values() {
            match place {
                Place::Cluster => drop(self.needs_cluster.insert(workspace.clone())),
                Place::ConfigMap(id) => {
                    let set = self.sets.entry(id.clone()).or_default();
                    set.workspaces.insert(workspace.clone());
                }
                Place::Uri(_) => {}
            }
        }
        if !places.is_empty() {
            self.issuers.insert(workspace.clone(), places);
        }
    }

    /// Every place in a ConfigMap that an issuer names. What is known of others is forgotten: from
    /// now on nobody looks at them.
    pub fn sets(&mut self) -> BTreeSet<KeySetId> {
        self.sets.retain(|_, set| !set.workspaces.is_empty());
        self.sets.keys().cloned().collect()
    }

    /// Whether anybody needs the keys of this cluster.
    pub fn needs_cluster(&self) -> bool {
        !self.needs_cluster.is_empty()
    }

    /// The keys of a workspace's issuers by name; `None` while some have not been looked at.
    pub fn of_workspace(
        &self,
        workspace: &NamespacedName,
        unseen: Unseen,
    ) -> Option<BTreeMap<Name, JwksLookup>> {
        let mut found = BTreeMap::new();
        for (issuer, place) in self.issuers.get(workspace).into_iter().flatten() {
            let known = match place {
                Place::Cluster => self.cluster.clone(),
                Place::ConfigMap(id) => self.sets.get(id).and_then(|set| set.lookup.clone()),
                Place::Uri(uri) => Some(JwksLookup::Fetched(uri.clone())),
            };
            let lookup = match (known, unseen, place) {
                (Some(known), ..) => known,
                (None, Unseen::Waits, _) => return None,
                // No manifest can have what a cluster signs with.
                (None, Unseen::Assumed, _) | (None, Unseen::Absent, Place::Cluster) => {
                    JwksLookup::Assumed
                }
                (None, Unseen::Absent, _) => JwksLookup::Absent,
            };
            found.insert(issuer.clone(), lookup);
        }
        Some(found)
    }

    /// What is in a ConfigMap. Of one that nobody names any more nothing is kept.
    pub fn set(&mut self, id: &KeySetId, lookup: JwksLookup) -> Affected {
        let Some(set) = self.sets.get_mut(id) else {
            return Affected::new();
        };
        if set.lookup.as_ref() == Some(&lookup) {
            return Affected::new();
        }
        set.lookup = Some(lookup);
        set.workspaces.clone()
    }

    /// What this cluster signs with.
    pub fn set_cluster(&mut self, keys: JwksLookup) -> Affected {
        if self.cluster.as_ref() == Some(&keys) {
            return Affected::new();
        }
        self.cluster = Some(keys);
        self.needs_cluster.clone()
    }
}

fn places(workspace: &NamespacedName, facts: Option<&WorkspaceFacts>) -> BTreeMap<Name, Place> {
    let spec = facts.and_then(|facts| facts.object.spec.as_ref().ok());
    let checks = |gateway: &crate::policy::workspace::Gateway| gateway.kind == GatewayKind::Envoy;
    let Some(spec) = spec.filter(|spec| spec.gateways.iter().any(checks)) else {
        return BTreeMap::new();
    };
    let issuers = spec.effective_issuers(workspace);
    let places = issuers.iter().map(|issuer| {
        let place = match &issuer.kind {
            IssuerKind::Kubernetes => Place::Cluster,
            IssuerKind::Oidc { jwks, .. } => match jwks {
                Source::ConfigMap { name, key } => Place::ConfigMap(KeySetId {
                    config_map: NamespacedName::new(workspace.namespace.clone(), name.clone()),
                    key: key.clone(),
                }),
                Source::Uri(uri) => Place::Uri(uri.clone()),
            },
        };
        (issuer.name.clone(), place)
    });
    places.collect()
}

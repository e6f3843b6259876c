//! Pods of gateways, by who looks at them. Must not decide which of them count.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use super::Affected;
use super::change::{Access, Unseen};
use crate::facts::{Load, PodFacts, PodLookup, PodScope, WorkspaceFacts};
use crate::policy::digest::Digest;
use crate::policy::name::{Name, NamespacedName};

/// Pods by scope. A scope is there while it is looked at: from when a gateway names it until it
/// is asked for which ones are named.
#[derive(Debug, Default)]
pub struct Pods {
    scopes: BTreeMap<PodScope, Scope>,
    gateways: HashMap<NamespacedName, BTreeMap<Name, PodScope>>,
}

#[derive(Debug, Default)]
struct Scope {
    workspaces: Affected,
    access: Option<Access>,
    by_name: BTreeMap<Name, Pod>,
}

#[derive(Debug)]
struct Pod {
    version: Option<u64>,
    facts: Arc<PodFacts>,
    load: Option<Load>,
}

/// What a pod was hurried for, as the answer to the patch has it.
#[derive(Clone, Debug)]
pub struct Hurried {
    /// The pod.
    pub pod: NamespacedName,
    /// Its uid.
    pub uid: Name,
    /// Its version since then.
    pub version: Option<u64>,
    /// Digest of the content, by `WORKSPACE.GATEWAY`.
    pub contents: BTreeMap<Name, Digest>,
    /// When.
    pub at: Option<Timestamp>,
}

/// What the gateway in a pod says that it has loaded.
#[derive(Clone, Debug)]
pub struct Reported {
    /// The pod.
    pub pod: NamespacedName,
    /// The pod as it was when it was asked.
    pub asked: Arc<PodFacts>,
    /// What it says.
    pub load: Load,
}

impl Pods {
    /// Which pods the gateways of a workspace name now; of one that is gone, none.
    pub fn set_workspace(&mut self, workspace: &NamespacedName, facts: Option<&WorkspaceFacts>) {
        let spec = facts.and_then(|facts| facts.object.spec.as_ref().ok());
        let gateways = spec.into_iter().flat_map(|spec| &spec.gateways);
        let scopes = gateways.filter_map(|gateway| {
            let scope = PodScope {
                namespace: workspace.namespace.clone(),
                selector: gateway.pods.as_ref()?.to_string().into(),
            };
            Some((gateway.name.clone(), scope))
        });
        let scopes: BTreeMap<_, _> = scopes.collect();
        let before = self.gateways.remove(workspace).unwrap_or_default();
        for scope in scopes.values() {
            let scope = self.scopes.entry(scope.clone()).or_default();
            scope.workspaces.insert(workspace.clone());
        }
        for scope in before.values() {
            if scopes.values().all(|kept| kept != scope)
                && let Some(left) = self.scopes.get_mut(scope)
            {
                left.workspaces.remove(workspace);
            }
        }
        if !scopes.is_empty() {
            self.gateways.insert(workspace.clone(), scopes);
        }
    }

    /// Every scope that a gateway names. What is known of others is forgotten: from now on nobody
    /// looks at them.
    pub fn scopes(&mut self) -> BTreeSet<PodScope> {
        self.scopes.retain(|_, scope| !scope.workspaces.is_empty());
        self.scopes.keys().cloned().collect()
    }

    /// The pods of a workspace's gateways; `None` while some have not been looked at. Where
    /// nobody will look, they are left out.
    pub fn of_workspace(
        &self,
        workspace: &NamespacedName,
        unseen: Unseen,
    ) -> Option<BTreeMap<Name, PodLookup>> {
        let mut pods = BTreeMap::new();
        for (gateway, scope) in self.gateways.get(workspace).into_iter().flatten() {
            let scope = self.scopes.get(scope);
            let lookup = match (scope.and_then(|scope| scope.access), unseen) {
                (Some(Access::Denied), _) => PodLookup::Denied,
                (Some(Access::Listed), _) => {
                    let pods = scope.into_iter().flat_map(|scope| &scope.by_name);
                    let pods = pods.map(|(name, pod)| (name.clone(), pod.facts.clone()));
                    PodLookup::Known(pods.collect())
                }
                (None, Unseen::Waits) => return None,
                (None, Unseen::Assumed | Unseen::Absent) => continue,
            };
            pods.insert(gateway.clone(), lookup);
        }
        Some(pods)
    }

    /// What the pods of a workspace's gateways say that they have loaded, as far as they were asked.
    pub fn loads_of(&self, workspace: &NamespacedName) -> BTreeMap<Name, Load> {
        let scopes = self.gateways.get(workspace).into_iter();
        let scopes = scopes.flat_map(|gateways| gateways.values());
        let pods = scopes.filter_map(|scope| self.scopes.get(scope));
        let pods = pods.flat_map(|scope| &scope.by_name);
        pods.filter_map(|(name, pod)| Some((name.clone(), pod.load.clone()?)))
            .collect()
    }

    /// Whether the pods of a scope may be looked at.
    pub fn set_access(&mut self, scope: &PodScope, access: Access) -> Affected {
        let Some(scope) = self.scopes.get_mut(scope) else {
            return Affected::new();
        };
        if scope.access == Some(access) {
            return Affected::new();
        }
        scope.access = Some(access);
        if access == Access::Denied {
            scope.by_name.clear();
        }
        scope.workspaces.clone()
    }

    /// A pod of a scope as it is now, or that it is gone. What is older than what is known, or
    /// of a scope that nobody names any more, changes nothing.
    pub fn set(
        &mut self,
        scope: &PodScope,
        name: &Name,
        pod: Option<(Option<u64>, PodFacts)>,
    ) -> Affected {
        let Some(scope) = self.scopes.get_mut(scope) else {
            return Affected::new();
        };
        let Some((version, facts)) = pod else {
            return match scope.by_name.remove(name) {
                Some(_) => scope.workspaces.clone(),
                None => Affected::new(),
            };
        };
        let known = scope.by_name.get_mut(name);
        match known.filter(|known| known.facts.uid == facts.uid) {
            Some(known) if version < known.version => Affected::new(),
            Some(known) if *known.facts == facts => {
                known.version = version;
                Affected::new()
            }
            known => {
                // A gateway that has started anew has to be asked anew.
                let same = known.filter(|known| known.facts.is_same_run(&facts));
                let load = same.and_then(|known| known.load.take());
                let facts = Arc::new(facts);
                let pod = Pod {
                    version,
                    facts,
                    load,
                };
                scope.by_name.insert(name.clone(), pod);
                scope.workspaces.clone()
            }
        }
    }

    /// A pod was hurried: all scopes that have it know.
    pub fn hurried(&mut self, hurried: &Hurried) -> Affected {
        let mut affected = Affected::new();
        let NamespacedName { namespace, name } = &hurried.pod;
        for (of, scope) in &mut self.scopes {
            let known = scope.by_name.get_mut(name);
            let known = known.filter(|pod| {
                of.namespace == *namespace
                    && pod.facts.uid == hurried.uid
                    && pod.version <= hurried.version
            });
            if let Some(pod) = known {
                pod.version = hurried.version;
                let facts = Arc::make_mut(&mut pod.facts);
                facts.hurried.clone_from(&hurried.contents);
                facts.hurried_at = hurried.at;
                affected.extend(scope.workspaces.iter().cloned());
            }
        }
        affected
    }

    /// A pod was asked: all scopes that have it know.
    pub fn reported(&mut self, reported: Reported) -> Affected {
        let Reported { pod, asked, load } = reported;
        let mut affected = Affected::new();
        for (of, scope) in &mut self.scopes {
            let known = scope.by_name.get_mut(&pod.name);
            let known = known.filter(|known| {
                of.namespace == pod.namespace
                    && known.facts.is_same_run(&asked)
                    && known.load.as_ref() != Some(&load)
            });
            if let Some(known) = known {
                known.load = Some(load.clone());
                affected.extend(scope.workspaces.iter().cloned());
            }
        }
        affected
    }
}

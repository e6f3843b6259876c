//! Whose Secrets are watched: those of the namespaces that objects refer to, or of all.
//! Must not hold what is seen of them.

use std::collections::BTreeSet;

use super::SecretScope;
use super::object::ObjectKind;
use super::observe::Observer;
use crate::plan::world::{Access, Change, World};
use crate::policy::name::Name;

/// The watches of Secrets.
pub struct Secrets {
    scope: SecretScope,
    /// Namespaces that were ever needed. A watch is not ended when its namespace is no longer
    /// referred to: what we wrote there may still have to be taken away, and facts that
    /// nobody keeps up to date must not be there when it is referred to again.
    namespaces: BTreeSet<Name>,
    /// What the one watch of all says.
    everywhere: Option<Access>,
    /// Whether the namespaces may have become more.
    pub stale: bool,
}

// === impl Secrets ===

impl Secrets {
    /// None yet.
    pub fn new(scope: SecretScope) -> Self {
        Self {
            scope,
            namespaces: BTreeSet::new(),
            everywhere: None,
            stale: false,
        }
    }

    /// Starts the one watch of all, if there is to be one.
    pub fn start(&self, observer: &mut Observer) {
        if self.scope == SecretScope::Cluster {
            observer.start((ObjectKind::Secret, None));
        }
    }

    /// Watches the namespaces that a world refers to for the first time, and says what is known
    /// of them already.
    pub fn watch(&mut self, world: &World, observer: &mut Observer) -> Vec<Change> {
        if !std::mem::take(&mut self.stale) {
            return Vec::new();
        }
        let mut known = Vec::new();
        for namespace in world.secret_namespaces() {
            if !self.namespaces.insert(namespace.clone()) {
                continue;
            }
            match (self.scope, self.everywhere) {
                (SecretScope::Namespaced, _) => {
                    observer.start((ObjectKind::Secret, Some(namespace)));
                }
                (SecretScope::Cluster, Some(access)) => {
                    known.push(Change::SecretAccess(namespace, access));
                }
                (SecretScope::Cluster, None) => {}
            }
        }
        known
    }

    /// What it means that a watch, of one namespace or of all, may or may not see Secrets.
    pub fn access(&mut self, namespace: Option<Name>, access: Access) -> Vec<Change> {
        let change = |namespace| Change::SecretAccess(namespace, access);
        if let Some(namespace) = namespace {
            return vec![change(namespace)];
        }
        self.everywhere = Some(access);
        self.namespaces.iter().cloned().map(change).collect()
    }
}

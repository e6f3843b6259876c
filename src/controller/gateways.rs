//! What is looked at for the sake of gateways: the pods that they name, and the keys that they check
//! tokens by; no longer than they do.
//! Must not hold what is seen.

use std::collections::{BTreeMap, BTreeSet};

use tokio::task::AbortHandle;

use super::observe::Observer;
use crate::facts::{KeySetId, PodScope};
use crate::plan::world::World;

/// The watches of all gateways.
#[derive(Default)]
pub struct Gateways {
    pods: Watches<PodScope>,
    key_sets: Watches<KeySetId>,
    /// Of what this cluster signs with there is one.
    cluster_keys: Watches<()>,
    /// Whether gateways may name others than are watched.
    pub stale: bool,
}

/// Watches by what they look at.
struct Watches<K>(BTreeMap<K, AbortHandle>);

// === impl Gateways ===

impl Gateways {
    /// Watches what the gateways of a world name now, and nothing else any more.
    pub fn watch(&mut self, world: &mut World, observer: &mut Observer) {
        if !std::mem::take(&mut self.stale) {
            return;
        }
        self.pods
            .keep(world.pod_scopes(), |scope| observer.start_pods(scope));
        self.key_sets
            .keep(world.key_sets(), |id| observer.start_key_set(id));
        let cluster = world.needs_cluster_keys().then_some(());
        self.cluster_keys.keep(cluster.into_iter().collect(), |()| {
            observer.start_cluster_keys()
        });
    }
}

// === impl Watches ===

impl<K: Ord + Clone> Watches<K> {
    /// Ends those that are not needed, and starts those that are not there.
    fn keep(&mut self, needed: BTreeSet<K>, mut start: impl FnMut(K) -> AbortHandle) {
        self.0.retain(|what, watch| {
            let stays = needed.contains(what);
            if !stays {
                watch.abort();
            }
            stays
        });
        for what in needed {
            self.0
                .entry(what)
                .or_insert_with_key(|what| start(what.clone()));
        }
    }
}

impl<K> Default for Watches<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

//! Facts about the pods of gateways: which objects they have mounted, and what they were
//! hurried for. Must not hold anything of their containers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Load, OutputId};
use crate::policy::digest::{ContentId, Digest};
use crate::policy::name::Name;
use crate::policy::table::Policy;

/// Pods that are looked at: those of one namespace that one selector selects.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PodScope {
    /// Where.
    pub namespace: Name,
    /// Which of them, as list requests take it.
    pub selector: Name,
}

/// The pods of a scope.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PodLookup {
    /// All of them, by name.
    Known(BTreeMap<Name, Arc<PodFacts>>),
    /// We may not look.
    Denied,
}

/// One pod.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PodFacts {
    /// Its uid.
    pub uid: Name,
    /// When it was made, by the API server's clock.
    pub created: Option<Timestamp>,
    /// How far it is.
    pub phase: PodPhase,
    /// ConfigMaps and Secrets in its volumes, sorted. They cannot change.
    pub mounts: Vec<OutputId>,
    /// Digest of the content it was last hurried for, by `WORKSPACE.GATEWAY`.
    pub hurried: BTreeMap<Name, Digest>,
    /// When that was.
    pub hurried_at: Option<Timestamp>,
    /// Where its gateway can be asked, once it has an address.
    pub address: Option<IpAddr>,
    /// When the latest of its containers, or else the pod itself, was started.
    pub started: Option<Timestamp>,
    /// How often its containers were started again.
    pub restarts: i64,
}

/// What the gateways of a workspace have to load.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Awaited {
    /// Which static files: those that a gateway was started with.
    pub config: ContentId,
    /// Revision of the policy.
    pub revision: ContentId,
    /// In how many parts its subjects are.
    pub subjects: usize,
    /// Versions of the files that Envoy itself reads, by the name of the file.
    pub versions: BTreeMap<Name, ContentId>,
    /// Since when all of it is written.
    pub since: Timestamp,
}

/// How far a pod is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PodPhase {
    /// No kubelet has taken it on: it will start with what there is then.
    Waiting,
    /// A kubelet has mounted files for it, or is about to, whether it is ready or not.
    Mounted,
    /// It is being deleted, or has finished.
    Ending,
}

/// What was last planned for a workspace with pods to hurry.
#[derive(Clone, PartialEq, Debug)]
pub struct LastPolicy {
    /// The policy.
    pub policy: Policy,
    /// When a policy last took something away that the one before it gave.
    pub narrowed_at: Timestamp,
    /// What its gateways have to load; `None` without one that says what it has loaded.
    pub awaited: Option<Awaited>,
    /// What there was, or was to be, in the workspace's own namespace, each with when its content
    /// was last written; `None` if that was before anything was remembered.
    pub objects: BTreeMap<OutputId, Option<Timestamp>>,
    /// When some of it was last found missing; before that, when this was first planned.
    pub missed_at: Timestamp,
    /// Pods that have not loaded what is awaited.
    pub lagging: Lagging,
}

/// By name of a pod, what it said that it has loaded, and since when it says that while something
/// else is awaited.
pub type Lagging = BTreeMap<Name, (Option<Load>, Timestamp)>;

// === impl PodFacts ===

impl PodFacts {
    /// Whether it is still the pod it was, and its containers still run.
    pub fn is_same_run(&self, other: &Self) -> bool {
        let run = |pod: &Self| (pod.uid.clone(), pod.address, pod.restarts);
        run(self) == run(other)
    }
}

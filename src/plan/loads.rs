//! What the gateways in pods have loaded: judged by what they say themselves when they are asked,
//! never by what was written or hurried. Which are to be asked, and how long one may take.
//! Must not ask.
//!
//! A pod that is not ready is asked as well: a gateway without a policy is not, and nobody would
//! learn why. One without an address serves nobody, and is neither asked nor waited for.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::output::{Output, Plan};
use super::outputs::FilesAwaited;
use crate::api::metadata::CONTENT_SHA256;
use crate::facts::{Awaited, Lagging, Load, Loaded, PodFacts, PodLookup, Snapshot};
use crate::policy::finding::{Finding, Kind, ObjectId, Reason};
use crate::policy::name::{Name, NamespacedName};
use crate::policy::workspace::{GatewayKind, Workspace};

/// How long a gateway may take to load what was written. A kubelet that is not hurried shows it
/// to the pod after 28 to 84 s (n = 18).
pub const LOAD_LIMIT: SignedDuration = SignedDuration::from_secs(120);

/// Where a gateway says what it has loaded.
pub const STATUS_PORT: u16 = 8081;

/// Of what a pod says in its own words, this much is repeated.
const WORDS: usize = 300;

/// What the gateways of a workspace have loaded.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Loads {
    /// By gateway, its pods that are known, by name; one whose pods are not known is not in here.
    pub gateways: BTreeMap<Name, BTreeMap<Name, PodLoad>>,
    /// Pods to ask.
    pub asks: Vec<Ask>,
    /// By gateway, how many pods were started with other static files, and go by their rules.
    pub outdated: BTreeMap<Name, usize>,
    /// Those that lag, for the next plan.
    pub lagging: Lagging,
    /// When one that lags has lagged for too long.
    pub wake_at: Option<Timestamp>,
}

/// How far the gateway in a pod is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PodLoad {
    /// It has loaded all that is written.
    Loaded,
    /// It was not asked yet.
    Unasked,
    /// It has no address, so nobody can reach it.
    NotStarted,
    /// It has not, and may still take its time.
    Pending,
    /// It has not, and it is late.
    Late {
        /// Revision of the policy that it has.
        revision: Option<Name>,
        /// What is the matter, as the end of a sentence about the pod.
        why: String,
    },
}

/// A pod to ask.
#[derive(Clone, PartialEq, Debug)]
pub struct Ask {
    /// Its name.
    pub pod: NamespacedName,
    /// The pod as it is.
    pub facts: Arc<PodFacts>,
    /// Where.
    pub address: SocketAddr,
    /// What it has to load, in short: when that is different, it is asked at once.
    pub awaited: String,
    /// Whether that is loaded, so that it is asked only now and then.
    pub done: bool,
}

/// What is awaited from now on. The time begins anew while any of it has yet to be written.
pub fn awaited(snapshot: &Snapshot, outputs: &[Output], files: FilesAwaited) -> Awaited {
    let FilesAwaited {
        config,
        revision,
        subjects,
        versions,
    } = files;
    let prefix = format!("{}.", snapshot.name.name);
    let unwritten = outputs.iter().any(|output| {
        let found = snapshot.outputs.get(&output.id);
        let found = found.and_then(|found| found.marks.get(CONTENT_SHA256));
        let own = output.id.name.namespace == snapshot.name.namespace
            && output.id.name.name.starts_with(&prefix);
        // Of what is kept as it is nothing is known, and nothing is written.
        let planned = output.annotations.get(CONTENT_SHA256);
        let differs = planned.is_some_and(|planned| found != Some(planned));
        own && (differs || snapshot.failures.contains_key(&output.id))
    });
    let last = snapshot.last_policy.as_ref();
    let same = last
        .and_then(|last| last.awaited.as_ref())
        .filter(|last| last.revision == revision && last.subjects == subjects)
        .filter(|last| last.versions == versions && !unwritten);
    Awaited {
        since: same.map_or(snapshot.now, |last| last.since),
        config,
        revision,
        subjects,
        versions,
    }
}

/// How far the pods of a plan's gateways are.
pub fn loads(snapshot: &Snapshot, workspace: &Workspace, plan: &Plan) -> Loads {
    let mut loads = Loads::default();
    let last = plan.last_policy.as_ref();
    let Some(awaited) = last.and_then(|last| last.awaited.as_ref()) else {
        return loads;
    };
    let gateways = workspace.gateways.iter();
    for gateway in gateways.filter(|gateway| gateway.kind == GatewayKind::Envoy) {
        let (Some(Some(listed)), Some(PodLookup::Known(known))) = (
            plan.pods.gateways.get(&gateway.name),
            snapshot.pods.get(&gateway.name),
        ) else {
            continue;
        };
        let mut of_gateway = BTreeMap::new();
        for name in listed.iter().map(|pod| &pod.name) {
            let Some(facts) = known.get(name) else {
                continue;
            };
            let load = loads.of_pod(snapshot, awaited, name, facts);
            of_gateway.insert(name.clone(), load);
            if let Some(Load::Loaded(loaded)) = snapshot.loads.get(name)
                && *loaded.config != *awaited.config.to_string()
            {
                *loads.outdated.entry(gateway.name.clone()).or_default() += 1;
            }
        }
        loads.gateways.insert(gateway.name.clone(), of_gateway);
    }
    loads
}

/// What there is to say of gateways that were started with other rules.
pub fn findings(snapshot: &Snapshot, loads: &Loads) -> Vec<Finding> {
    let object = ObjectId::new(Kind::Workspace, &snapshot.name);
    let outdated = loads.outdated.iter();
    let findings = outdated.map(|(gateway, pods)| {
        let message = format!(
            "{pods} of the pods of gateway '{gateway}' were started with rules of another release of the operator, \
             or for another address of the API, and go by those. Restart them: kubectl rollout restart."
        );
        Finding::new(Reason::GatewayOutdated, &object, "spec.gateways", message)
    });
    findings.collect()
}

// === impl Loads ===

impl Loads {
    /// Whether some pod is about to be asked for the first time: what is said before that would be
    /// taken back in a moment.
    pub fn are_awaited(&self) -> bool {
        let mut pods = self.gateways.values().flat_map(BTreeMap::values);
        pods.any(|load| *load == PodLoad::Unasked)
    }

    /// A pod that is late: its gateway, its name and what is the matter.
    pub fn late(&self) -> Option<(&Name, &Name, &str)> {
        self.gateways.iter().find_map(|(gateway, pods)| {
            pods.iter().find_map(|(pod, load)| match load {
                PodLoad::Late { why, .. } => Some((gateway, pod, &**why)),
                PodLoad::Loaded | PodLoad::Unasked | PodLoad::NotStarted | PodLoad::Pending => None,
            })
        })
    }

    fn of_pod(
        &mut self,
        snapshot: &Snapshot,
        awaited: &Awaited,
        name: &Name,
        facts: &Arc<PodFacts>,
    ) -> PodLoad {
        let Some(address) = facts.address else {
            return PodLoad::NotStarted;
        };
        let load = snapshot.loads.get(name);
        let missing = match load {
            _ if !is_askable(address) => Some(Lag::new("has an address that is none of a pod")),
            None => None,
            Some(Load::Unreachable) => Some(Lag::new("does not answer")),
            Some(Load::NotAGateway) => Some(Lag::new(
                "does not say what it has loaded: it may be no gateway of this kind",
            )),
            Some(Load::Loaded(loaded)) => lag(snapshot, awaited, loaded),
        };
        if is_askable(address) {
            self.asks.push(Ask {
                pod: NamespacedName::new(snapshot.name.namespace.clone(), name.clone()),
                facts: facts.clone(),
                address: SocketAddr::new(address, STATUS_PORT),
                awaited: format!("{} {:?}", awaited.revision, awaited.versions),
                done: load.is_some() && missing.is_none(),
            });
        }
        let Some(Lag { revision, why }) = missing else {
            return if load.is_some() {
                PodLoad::Loaded
            } else {
                PodLoad::Unasked
            };
        };
        // One that loads nothing is late however often something else is awaited, one that loads
        // what was awaited a moment ago is not.
        let last = snapshot.last_policy.as_ref();
        let before = last.and_then(|last| last.lagging.get(name));
        let before = before.filter(|(said, _)| said.as_ref() == load);
        let since = before.map_or(awaited.since, |(_, since)| awaited.since.min(*since));
        self.lagging.insert(name.clone(), (load.cloned(), since));
        // A clock that is ahead must not give it more time than a start now would.
        let started = facts.started.map(|started| started.min(snapshot.now));
        let from = started.map_or(since, |started| started.max(since));
        let late_at = from.checked_add(LOAD_LIMIT).unwrap_or(Timestamp::MAX);
        if snapshot.now < late_at {
            self.wake_at = self.wake_at.into_iter().chain([late_at]).min();
            return PodLoad::Pending;
        }
        PodLoad::Late { revision, why }
    }
}

/// What is missing.
struct Lag {
    revision: Option<Name>,
    why: String,
}

impl Lag {
    fn new(why: &str) -> Self {
        Self {
            revision: None,
            why: why.to_owned(),
        }
    }
}

/// What a gateway has not loaded, if anything.
fn lag(snapshot: &Snapshot, awaited: &Awaited, loaded: &Loaded) -> Option<Lag> {
    let Loaded {
        workspace,
        config: _,
        revision,
        subjects,
        differ,
        error,
        versions,
    } = loaded;
    let mut behind = awaited.versions.iter().filter(|(file, version)| {
        let taken = versions.get(*file);
        taken.is_none_or(|taken| **taken != *version.to_string())
    });
    let why = if let Some(error) = error {
        format!("cannot read its files: {}", words(error))
    } else if revision.is_empty() {
        "has no policy".to_owned()
    } else if **workspace != *snapshot.name.to_string() {
        format!("has the files of Workspace {}", words(workspace))
    } else if **revision != *awaited.revision.to_string() {
        format!(
            "has revision {} of the policy, not {}",
            words(revision),
            awaited.revision
        )
    } else if *subjects != awaited.subjects || !differ.is_empty() {
        let differ: Vec<String> = differ.iter().take(5).map(|part| words(part)).collect();
        format!("has other subjects than its policy: {}", differ.join(", "))
    } else if let Some((file, _)) = behind.next() {
        format!("has not taken {file}: Envoy rejected it, or has not seen it yet")
    } else {
        return None;
    };
    let revision = Some(Name::from(words(revision))).filter(|revision| !revision.is_empty());
    Some(Lag { revision, why })
}

/// Words of somebody else, fit for a message.
fn words(text: &str) -> String {
    let plain = text.chars().filter(|c| !c.is_control());
    plain.take(WORDS).collect()
}

/// Whether a pod can have this address. Whoever may write the status of a pod could otherwise
/// point the operator at what a cloud serves to its machines.
fn is_askable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            !(ip.is_link_local() || ip.is_multicast() || ip.is_unspecified() || ip.is_broadcast())
        }
        IpAddr::V6(ip) => {
            !(ip.is_unicast_link_local() || ip.is_multicast() || ip.is_unspecified())
                && ip.to_ipv4_mapped().is_none()
        }
    }
}

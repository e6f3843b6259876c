//! Which pods are to be hurried: whose kubelets do not know yet that the files they have mounted
//! are different now. A kubelet looks again at once when its pod changes, else about once a minute.
//! Must not decide what is in the files.
//!
//! What identifies a pod as a gateway's: it is in the Workspace's namespace, the gateway's selector
//! selects it, and it mounts at least one object written for the Workspace. A pod that only carries
//! the labels, whoever made it, mounts none of them and is neither touched nor counted. One that
//! mounts them has the files whoever made it, and is to lose what is taken away as fast as the rest.
//!
//! Readiness does not matter: a pod that is not ready has the files as well, and may become ready
//! before its kubelet looks again. A pod without a kubelet starts with what there is then, and one
//! that ends needs nothing any more.
//!
//! A pod that was made after the last write has the content from its start and is not marked. Both
//! times are the API server's. What else a pod started with cannot be told from outside: one that
//! was made before, or whose files went away at an unknown time, is marked once.
//!
//! A pod that was marked for the present content may have seen another one since: what somebody
//! deletes or edits is restored, and the pods that mount it are marked again, at once, for it may
//! have given access that nobody granted.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::output::Plan;
use super::outputs;
use crate::api::metadata::CONTENT_SHA256;
use crate::facts::{OutputId, PodFacts, PodLookup, PodPhase, Snapshot};
use crate::policy::digest::Digest;
use crate::policy::name::{Name, NamespacedName};

/// Least time between two marks on one pod, for changes that take nothing away. Patches that
/// follow each other faster reach the pod no faster: a kubelet takes up to 1.3 s for them.
pub const PACE: SignedDuration = SignedDuration::from_secs(1);

/// A pod that was made this much later than a write has started with it: until it mounts its files
/// the write has come to its kubelet, as far as a mark would tell it any more. The API server
/// notes whole seconds, so it is more than one.
const ARRIVED: SignedDuration = SignedDuration::from_secs(2);

/// Pods of all gateways, and what is to be done about them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pods {
    /// By gateway: its pods, or `None` if they may not be looked at.
    pub gateways: BTreeMap<Name, Option<Vec<GatewayPod>>>,
    /// Pods to hurry now, by name.
    pub hurries: Vec<Hurry>,
    /// When more are to be hurried though nothing changes.
    pub wake_at: Option<Timestamp>,
}

/// A pod of a gateway.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GatewayPod {
    /// Its name.
    pub name: Name,
    /// Whether it started with the present content, or was hurried for it, or is about to be.
    pub present: bool,
    /// Which content it was hurried for.
    pub hurried_for: Option<Digest>,
}

/// One pod to hurry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hurry {
    /// The pod.
    pub pod: NamespacedName,
    /// Its uid: never a namesake.
    pub uid: Name,
    /// All it is hurried for from now on: digest of the content, by `WORKSPACE.GATEWAY`.
    pub contents: BTreeMap<Name, Digest>,
}

/// The objects of a workspace in its own namespace, once the plan is carried out.
struct Objects<'a> {
    snapshot: &'a Snapshot,
    by_id: BTreeMap<&'a OutputId, Object>,
}

/// One of them.
struct Object {
    /// Digest of what it holds.
    content: Name,
    /// When it was last changed; `None` if that is still to come, or not known.
    written: Option<Timestamp>,
    /// When a plan last wrote what it holds, this one or one before it, as far as that is
    /// remembered.
    planned_at: Option<Timestamp>,
}

/// The pods of a workspace once all of the plan but `unwritten` is written.
pub fn pods(snapshot: &Snapshot, plan: &Plan, unwritten: &BTreeSet<OutputId>) -> Pods {
    let objects = Objects::of(snapshot, plan, unwritten);
    let last = plan.last_policy.as_deref();
    let narrowed_at = last.map(|last| last.narrowed_at);
    // By the API server's clock.
    let missed_at = last
        .zip(snapshot.skew)
        .and_then(|(last, skew)| last.missed_at.checked_sub(skew).ok());
    let mut pods = Pods::default();
    let mut hurries: BTreeMap<&Name, Hurry> = BTreeMap::new();
    for (gateway, lookup) in &snapshot.pods {
        let PodLookup::Known(known) = lookup else {
            pods.gateways.insert(gateway.clone(), None);
            continue;
        };
        let key = Name::from(format!("{}.{gateway}", snapshot.name.name));
        let mut listed = Vec::new();
        for (name, pod) in known {
            if pod.phase != PodPhase::Mounted || !objects.mounted_by(pod, gateway) {
                continue;
            }
            let content = objects.content_of(pod.mounts.iter());
            let before = pod.hurried.get(&key).copied();
            let same = before == Some(content);
            let restored = same && objects.written_since(pod);
            let mut present = same && !restored || objects.started(pod, missed_at);
            if !present {
                let paced = || not_before(pod, narrowed_at, snapshot.now);
                match (!restored).then(paced).flatten() {
                    Some(at) => pods.wake_at = pods.wake_at.into_iter().chain([at]).min(),
                    None => {
                        let hurry = hurries.entry(name).or_insert_with(|| Hurry {
                            pod: NamespacedName::new(snapshot.name.namespace.clone(), name.clone()),
                            uid: pod.uid.clone(),
                            contents: pod.hurried.clone(),
                        });
                        hurry.contents.insert(key.clone(), content);
                        present = !snapshot.unhurried.contains_key(name);
                    }
                }
            }
            listed.push(GatewayPod {
                name: name.clone(),
                present,
                hurried_for: before,
            });
        }
        pods.gateways.insert(gateway.clone(), Some(listed));
    }
    pods.hurries = hurries.into_values().collect();
    pods
}

/// When the content of each object in the workspace's own namespace was last written, by this plan
/// or one before it, as far as that is remembered.
pub fn written(snapshot: &Snapshot, plan: &Plan) -> BTreeMap<OutputId, Timestamp> {
    let unwritten = snapshot.failures.keys().cloned().collect();
    let objects = Objects::of(snapshot, plan, &unwritten).by_id.into_iter();
    objects
        .filter_map(|(id, object)| Some((id.clone(), object.planned_at?)))
        .collect()
}

/// The ids of all objects that are a gateway's files, with their content as one digest.
pub fn gateway_content(
    snapshot: &Snapshot,
    plan: &Plan,
    gateway: &str,
) -> (Digest, BTreeSet<OutputId>) {
    let objects = Objects::of(snapshot, plan, &BTreeSet::new());
    let ids = objects.by_id.keys().copied();
    let ids: BTreeSet<OutputId> = ids
        .filter(|id| is_file(&snapshot.name.name, gateway, id))
        .cloned()
        .collect();
    (objects.content_of(ids.iter()), ids)
}

/// Until when a pod must wait; `None` when it need not.
fn not_before(pod: &PodFacts, narrowed_at: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    // A time in the future is somebody's invention.
    let last = pod.hurried_at.filter(|last| *last <= now)?;
    // Without a memory of what there was, anything may have been taken away.
    if narrowed_at? > last {
        return None;
    }
    let next = last.checked_add(PACE).ok()?;
    (next > now).then_some(next)
}

/// Whether an object is one of a gateway's files by its name, whether it exists or not.
fn is_file(workspace: &str, gateway: &str, id: &OutputId) -> bool {
    let own = outputs::gateway_file(workspace, id).is_some_and(|(whose, _)| *whose == *gateway);
    let shard = || {
        let rest = id.name.name.strip_prefix(workspace);
        rest.is_some_and(|rest| rest.starts_with(".subjects-"))
    };
    own || *id.name.name == *outputs::policy_name(workspace) || shard()
}

impl<'a> Objects<'a> {
    fn of(snapshot: &'a Snapshot, plan: &'a Plan, unwritten: &BTreeSet<OutputId>) -> Self {
        let home = &snapshot.name.namespace;
        let planned_at = |id: &OutputId| {
            let last = snapshot.last_policy.as_ref()?;
            *last.objects.get(id)?
        };
        let found = |id: &OutputId| {
            let found = snapshot.outputs.get(id).filter(|found| found.is_ours())?;
            let content = found.marks.get(CONTENT_SHA256).cloned().unwrap_or_default();
            let written = found.written.filter(|_| found.tampered.is_empty());
            Some(Object {
                content,
                written,
                planned_at: planned_at(id),
            })
        };
        let tampered = |id: &OutputId| {
            let found = snapshot.outputs.get(id);
            found.is_some_and(|found| !found.tampered.is_empty())
        };
        let mut by_id: BTreeMap<&OutputId, Object> = BTreeMap::new();
        for id in snapshot.outputs.keys() {
            if unwritten.contains(id) || !plan.stale.contains(id) {
                by_id.extend(found(id).map(|object| (id, object)));
            }
        }
        for output in &plan.outputs {
            let id = &output.id;
            let foreign = snapshot
                .outputs
                .get(id)
                .is_some_and(|found| !found.is_ours());
            if !foreign && !unwritten.contains(id) {
                // What is kept has the digest it had.
                let content = output.annotations.get(CONTENT_SHA256);
                let found = found(id).filter(|found| content.is_none_or(|c| *c == found.content));
                let found = found.map(|found| match content.is_some() && tampered(id) {
                    true => Object {
                        planned_at: Some(snapshot.now),
                        ..found
                    },
                    false => found,
                });
                let changed = || {
                    Some(Object {
                        content: content?.clone(),
                        written: None,
                        planned_at: Some(snapshot.now),
                    })
                };
                by_id.extend(found.or_else(changed).map(|object| (id, object)));
            }
        }
        by_id.retain(|id, _| id.name.namespace == *home);
        Self { snapshot, by_id }
    }

    /// Whether a pod has had the content of these objects since its start. Of those that are not
    /// there it is only known that none has gone since `missed_at`.
    fn started(&self, pod: &PodFacts, missed_at: Option<Timestamp>) -> bool {
        let since = |id| match (self.by_id.get(id), self.snapshot.outputs.get(id)) {
            (Some(object), _) => object.written,
            (None, Some(found)) if found.is_ours() => None, // it is about to go
            (None, _) => missed_at,
        };
        let has = |created: Timestamp, since: Timestamp| created.duration_since(since) >= ARRIVED;
        pod.created.is_some_and(|created| {
            let mut since = pod.mounts.iter().map(since);
            since.all(|since| since.is_some_and(|since| has(created, since)))
        })
    }

    /// Whether a pod mounts some whose content is about to be written, or was since it was hurried:
    /// a mark that did not go through is still to come.
    fn written_since(&self, pod: &PodFacts) -> bool {
        // A time in the future is from before a clock was set back, or somebody's invention.
        let past = |at: &Timestamp| *at <= self.snapshot.now;
        let hurried_at = pod.hurried_at.filter(past);
        let mut objects = pod.mounts.iter().filter_map(|id| self.by_id.get(id));
        objects.any(|object| {
            let planned_at = object.planned_at.filter(past);
            planned_at.is_some_and(|at| hurried_at.is_none_or(|last| last < at))
        })
    }

    fn mounted_by(&self, pod: &PodFacts, gateway: &str) -> bool {
        pod.mounts
            .iter()
            .any(|id| self.by_id.contains_key(id) || is_file(&self.snapshot.name.name, gateway, id))
    }

    /// The content of some objects, of which those that do not exist count for nothing.
    fn content_of<'i>(&self, ids: impl Iterator<Item = &'i OutputId>) -> Digest {
        let mut lines: Vec<&str> = Vec::new();
        for id in ids {
            if let Some(Object { content, .. }) = self.by_id.get(id) {
                lines.extend([id.kind.name(), &id.name.name, content]);
            }
        }
        Digest::of_lines(&lines)
    }
}

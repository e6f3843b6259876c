//! When the version before may be disabled at Anthropic: once no Secret of ours holds it, and
//! no running pod can still read it from one.
//! Must not wait for anything but time: what is not written yet is written in this very plan.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::Settled;
use super::places::{self, Place};
use crate::facts::{KeyVersion, Snapshot};
use crate::plan::output::Content;
use crate::policy::digest::Fingerprint;
use crate::policy::name::NamespacedName;

/// How long after a write a running pod may still see a mounted Secret as it was before: the
/// kubelet looks at a pod every 60 s, give or take half, and its own copy may be another 60 s
/// old. 28 to 84 s were measured (n = 18).
pub const PROJECTION: SignedDuration = SignedDuration::from_secs(180);

/// What is to be said of the version before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Retirement {
    /// That version.
    pub version: KeyVersion,
    /// Whether it may go.
    pub when: When,
}

/// Whether a version may go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum When {
    /// From this instant on.
    From(Timestamp),
    /// Not while this Secret is not written.
    Unwritten(NamespacedName),
    /// Not while another ApiKeyRef uses the same key.
    UsedElsewhere,
}

/// Considers the version before of every key.
pub(super) fn consider(snapshot: &Snapshot, settled: &mut [Option<Settled>]) {
    let here = settled.iter().flatten().filter_map(Settled::in_use);
    let elsewhere = snapshot.rivals.iter().flat_map(|rival| &rival.in_use);
    let in_use: BTreeSet<Fingerprint> = here.chain(elsewhere.copied()).collect();
    for (facts, settled) in snapshot.keys.iter().zip(settled) {
        let (Ok(key), Some(settled)) = (&facts.object.spec, settled) else {
            continue;
        };
        let mut versions = settled.versions.iter();
        let Some(version) = versions.find(|version| version.active_until.is_some()) else {
            continue;
        };
        let when = if in_use.contains(&version.fingerprint) {
            When::UsedElsewhere
        } else {
            let places = places::of(snapshot, facts, key);
            when(snapshot, settled, version, &places)
        };
        settled.retirement = Some(Retirement {
            version: version.clone(),
            when,
        });
    }
}

fn when(
    snapshot: &Snapshot,
    settled: &Settled,
    version: &KeyVersion,
    places: &[Place<'_>],
) -> When {
    let mut from = version.active_until.unwrap_or(snapshot.now);
    for place in places {
        let content = place.content(settled);
        let untold = content == Some(Content::Kept(None)) && place.memory().is_none();
        let unwritten = settled.untargeted && place.is_target;
        if untold || unwritten || snapshot.failures.contains_key(&place.id) {
            return When::Unwritten(place.id.name.clone());
        }
        if let Some(memory) = place.remember(snapshot, settled, content.as_ref()) {
            let projected = memory.since.checked_add(PROJECTION);
            from = from.max(projected.unwrap_or(Timestamp::MAX));
        }
    }
    When::From(from)
}

// === impl Retirement ===

impl Retirement {
    /// When what is to be said of it changes by itself.
    pub fn boundary(&self, now: Timestamp) -> Option<Timestamp> {
        match self.when {
            When::From(at) if at > now => Some(at),
            When::From(_) | When::Unwritten(_) | When::UsedElsewhere => None,
        }
    }
}

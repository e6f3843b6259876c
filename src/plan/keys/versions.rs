//! Which versions of a key there were, and the dates of the one in use.
//! Must not decide which one that is.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Dates, Settling, Value};
use crate::facts::{KeyVersion, SecretFacts, ValueLookup, in_use, whole_second};
use crate::policy::digest::Fingerprint;
use crate::policy::rotation::{Beginning, Origin, Rotation};

/// Versions remembered: the one in use and the five before it that a status shows.
pub(super) const REMEMBERED: usize = 6;

impl Settling<'_> {
    /// The version that is in use once this plan is carried out.
    pub(super) fn in_use(&self, value: &Value, lookup: ValueLookup) -> Option<Fingerprint> {
        match value {
            Value::Use(handle) => Some(handle.digest.fingerprint()),
            Value::Keep => match self.held() {
                Some(held) => Some(held.sha256.fingerprint()),
                // Who may not look has not lost what there was: the status remembers it.
                None if lookup == ValueLookup::Denied => in_use(&self.facts.versions),
                None => None,
            },
            Value::Empty(_) => None,
        }
    }

    /// All versions seen, latest first, brought up to the one in use.
    pub(super) fn versions(&self, in_use: Option<Fingerprint>) -> Vec<KeyVersion> {
        let now = whole_second(self.snapshot.now);
        let mut known: BTreeMap<Fingerprint, KeyVersion> = BTreeMap::new();
        let remembered = self.memories().flat_map(|memory| &memory.versions);
        for version in remembered.chain(&self.facts.versions) {
            let entry = known
                .entry(version.fingerprint)
                .or_insert_with(|| version.clone());
            entry.first_seen = entry.first_seen.min(version.first_seen);
            entry.key_id = entry.key_id.take().or_else(|| version.key_id.clone());
            entry.issued = entry.issued.or(version.issued);
            entry.expires = entry.expires.or(version.expires);
        }
        for version in known.values_mut() {
            if Some(version.fingerprint) == in_use {
                version.active_until = None;
            } else if version.active_until.is_none() {
                version.active_until = Some(now);
            }
        }
        if let Some(fingerprint) = in_use {
            known.entry(fingerprint).or_insert(KeyVersion {
                fingerprint,
                first_seen: now,
                active_until: None,
                key_id: None,
                issued: None,
                expires: None,
            });
        }
        let mut versions: Vec<_> = known.into_values().collect();
        let latest = |version: &KeyVersion| {
            let until = version.active_until.unwrap_or(Timestamp::MAX);
            std::cmp::Reverse((until, version.first_seen, version.fingerprint))
        };
        versions.sort_by_key(latest);
        versions.truncate(REMEMBERED);
        versions
    }

    pub(super) fn dates(
        &self,
        fingerprint: Fingerprint,
        versions: &[KeyVersion],
        secret: Option<&SecretFacts>,
    ) -> Dates {
        let now = self.snapshot.now;
        let notes = secret.and_then(|secret| secret.notes.as_deref());
        let annotated = notes
            .and_then(|notes| notes.issued_at)
            .map(|at| (at, Origin::Annotation));
        let own = versions
            .iter()
            .find(|version| version.fingerprint == fingerprint);
        let first_seen = own.map_or(now, |version| version.first_seen);
        let others = || {
            versions
                .iter()
                .filter(|version| version.fingerprint != fingerprint)
        };
        let returned = others().any(|version| version.first_seen > first_seen);
        // The dates at hand may be those of the version it came back after.
        let given = annotated.or(self.key.issued_at.map(|at| (at, Origin::Spec)));
        let beginning = Beginning {
            first_seen,
            previous_seen: others()
                .map(|v| v.first_seen)
                .filter(|at| *at < first_seen)
                .max(),
            given: given.filter(|(at, _)| !returned || *at <= first_seen),
            // A Secret made anew does not make its key new.
            secret_created: secret
                .and_then(|secret| secret.created)
                .into_iter()
                .chain(own.and_then(|own| own.issued).and_then(created))
                .min()
                .map(|at| at.min(first_seen)),
        };
        // While the source cannot be looked at, what was known of it last holds.
        let remembered = own.filter(|_| secret.is_none());
        let issued = remembered
            .and_then(|own| own.issued)
            .or_else(|| beginning.issued(now));
        let expires = notes
            .and_then(|notes| notes.expires_at)
            .or(remembered.and_then(|own| own.expires))
            .or(self.key.expires_at);
        let rotation = self.workspace_rotation().tightened(self.key.rotation);
        let key_id = notes
            .and_then(|notes| notes.key_id.clone())
            .or_else(|| remembered.and_then(|own| own.key_id.clone()))
            .or_else(|| self.key.key_id.clone())
            // An id that an earlier version had was not brought up to date: it is not this one's.
            .filter(|id| !others().any(|version| version.key_id.as_ref() == Some(id)));
        Dates {
            issued,
            expires,
            key_id,
            clock: rotation.0.clock(issued.map(|(at, _)| at), expires, now),
            given_in_future: given.is_some() && beginning.given_in_future(now),
            rotation,
        }
    }

    fn workspace_rotation(&self) -> Rotation {
        let workspace = self.snapshot.workspace.as_ref();
        let spec = workspace.and_then(|facts| facts.object.spec.as_ref().ok());
        Rotation::of_workspace(spec.map(|spec| spec.rotation).unwrap_or_default())
    }
}

/// The date of issue, if it was only that of the Secret.
fn created((at, origin): (Timestamp, Origin)) -> Option<Timestamp> {
    (origin == Origin::SecretCreation).then_some(at)
}

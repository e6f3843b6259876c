//! What only one ApiKeyRef can have, whatever workspace it belongs to, and who claims it.
//! Must not decide who gets it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::policy::digest::Digest;
use crate::policy::name::NamespacedName;

/// Something claimed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Claim {
    /// A key, by its full digest.
    Key(Digest),
    /// A Secret to write to.
    Target(NamespacedName),
}

/// Claims by ApiKeyRef, both ways.
#[derive(Debug, Default)]
pub struct Claims {
    by_key: HashMap<NamespacedName, BTreeSet<Claim>>,
    claimants: BTreeMap<Claim, BTreeSet<NamespacedName>>,
}

impl Claims {
    /// What an ApiKeyRef claims now. Gives the other claimants of all that it no longer, or
    /// newly, claims: for them the world has changed.
    pub fn set(
        &mut self,
        key: &NamespacedName,
        claims: BTreeSet<Claim>,
    ) -> BTreeSet<NamespacedName> {
        let before = self.by_key.remove(key).unwrap_or_default();
        let mut others = BTreeSet::new();
        for claim in before.difference(&claims) {
            if let Some(claimants) = self.claimants.get_mut(claim) {
                claimants.remove(key);
                others.extend(claimants.iter().cloned());
                if claimants.is_empty() {
                    self.claimants.remove(claim);
                }
            }
        }
        for claim in claims.difference(&before) {
            let claimants = self.claimants.entry(claim.clone()).or_default();
            others.extend(claimants.iter().cloned());
            claimants.insert(key.clone());
        }
        if !others.is_empty() {
            others.insert(key.clone());
        }
        if !claims.is_empty() {
            self.by_key.insert(key.clone(), claims);
        }
        others
    }

    /// Other ApiKeyRefs that claim anything this one claims.
    pub fn rivals_of(&self, key: &NamespacedName) -> impl Iterator<Item = &NamespacedName> {
        let claims = self.by_key.get(key).into_iter().flatten();
        let claimants = claims
            .filter_map(|claim| self.claimants.get(claim))
            .flatten();
        claimants.filter(move |other| *other != key)
    }

    /// Digests an ApiKeyRef claims.
    pub fn digests_of(&self, key: &NamespacedName) -> impl Iterator<Item = Digest> {
        self.by_key
            .get(key)
            .into_iter()
            .flatten()
            .filter_map(|claim| match claim {
                Claim::Key(digest) => Some(*digest),
                Claim::Target(_) => None,
            })
    }
}

//! Who else claims what can belong to one workspace only: keys, ids of keys, targets, client keys,
//! audiences. Must not decide who wins.

use std::collections::{BTreeMap, BTreeSet};

use super::attached::Attached;
use super::claims::Claim;
use super::{Owner, World, unit};
use crate::facts::{KeyRefFacts, Rival, Rivalry, in_use};
use crate::plan::client_keys;
use crate::policy::digest::{Digest, Fingerprint};
use crate::policy::finding::Kind;
use crate::policy::name::{Name, NamespacedName};
use crate::policy::resolve::ClientKeyRival;

impl World {
    /// Who rivals a workspace by all that is known now: what was read since its snapshot was
    /// made may show that others claim the same.
    pub fn rivalry(&self, workspace: &NamespacedName) -> Rivalry {
        let nothing = Attached::default();
        let attached = self.attached.get(workspace).unwrap_or(&nothing);
        Rivalry {
            keys: self.rivals(workspace, attached),
            client_keys: self.client_key_rivals(workspace, attached),
        }
    }

    pub(super) fn rivals(&self, workspace: &NamespacedName, attached: &Attached) -> Vec<Rival> {
        let mut rivals = BTreeMap::new();
        let own = attached
            .keys
            .keys()
            .map(|key| (Kind::ApiKeyRef, key.clone()));
        let own: Vec<Owner> = own.collect();
        let others = own.iter().flat_map(|key| self.claims.rivals_of(key));
        let others = others.map(|(_, name)| name);
        for name in others.filter(|name| !attached.keys.contains_key(*name)) {
            let Some(facts) = self.keys.get(name) else {
                continue;
            };
            let owner = (Kind::ApiKeyRef, name.clone());
            let mut digests = Vec::new();
            let mut key_ids = Vec::new();
            for claim in self.claims.of(&owner) {
                match claim {
                    Claim::Key(digest) => digests.push(*digest),
                    Claim::KeyId(id) => key_ids.push(id.clone()),
                    Claim::Version(_)
                    | Claim::Target(_)
                    | Claim::ClientKey(_)
                    | Claim::Audience(..) => {}
                }
            }
            rivals.insert(
                name.clone(),
                Rival {
                    name: name.clone(),
                    workspace: unit(&facts.workspace, name),
                    created: facts.object.created,
                    facts: facts.clone(),
                    digests,
                    key_ids,
                    in_use: self.in_use(facts),
                },
            );
        }
        rivals
            .into_values()
            .filter(|rival| rival.workspace != *workspace)
            .collect()
    }

    /// Versions of a key that are in use. A status may be lost, and is written last.
    fn in_use(&self, facts: &KeyRefFacts) -> BTreeSet<Fingerprint> {
        let held = self.memories(facts).filter(|memory| !memory.emptied);
        let held = held.map(|memory| memory.sha256.fingerprint());
        held.chain(in_use(&facts.versions)).collect()
    }

    pub(super) fn shared_audiences(
        &self,
        workspace: &NamespacedName,
    ) -> BTreeMap<Name, NamespacedName> {
        let mut shared = BTreeMap::new();
        let elsewhere =
            |other: &NamespacedName| (other.namespace != workspace.namespace, other.clone());
        for (claim, other) in self.claims.rivals_of(&(Kind::Workspace, workspace.clone())) {
            if let Claim::Audience(_, audience) = claim {
                let first = shared.entry(audience.clone()).or_insert(other);
                if elsewhere(other) < elsewhere(first) {
                    *first = other;
                }
            }
        }
        let owned = shared.into_iter();
        owned
            .map(|(audience, other)| (audience, other.clone()))
            .collect()
    }

    pub(super) fn client_key_rivals(
        &self,
        workspace: &NamespacedName,
        attached: &Attached,
    ) -> Vec<ClientKeyRival> {
        let mut rivals = BTreeMap::new();
        for binding in attached.bindings.keys() {
            for (claim, other) in self.claims.rivals_of(&(Kind::RoleBinding, binding.clone())) {
                let Claim::ClientKey(digest) = claim else {
                    continue;
                };
                if let Some(rival) = self.client_key_rival(workspace, *digest, other) {
                    rivals.insert((*digest, other), rival);
                }
            }
        }
        rivals.into_values().collect()
    }

    /// Another workspace's binding as a rival for a client key; `None` when it gives nothing.
    fn client_key_rival(
        &self,
        own: &NamespacedName,
        digest: Digest,
        binding: &NamespacedName,
    ) -> Option<ClientKeyRival> {
        let facts = self.bindings.get(binding)?;
        let grant = facts.object.spec.as_ref().ok()?;
        let elsewhere = &grant.workspace;
        let workspace = self.workspaces.get(elsewhere)?.object.spec.as_ref().ok()?;
        let labels = self.namespaces.get(&binding.namespace);
        let labels = labels.map(|labels| &**labels);
        let admitted = workspace.admits(
            &elsewhere.namespace,
            &binding.namespace,
            labels,
            &grant.role,
        );
        if elsewhere == own || !grant.enabled || !admitted {
            return None;
        }
        let policy = self.output(&client_keys::policy_of(elsewhere));
        let in_use = client_keys::in_use(policy.as_deref());
        let in_use = in_use.get(&binding.namespace);
        Some(ClientKeyRival {
            digest,
            binding: binding.clone(),
            created: facts.object.created,
            window: grant.window,
            in_use: in_use.is_some_and(|set| set.contains(&digest.fingerprint())),
        })
    }
}

//! Who else claims the same target or the same key, looked up once for all keys of a workspace:
//! however many there are, settling them stays linear.
//! Must not decide what the loser gets.

use std::collections::{BTreeSet, HashMap};

use super::Settling;
use crate::facts::{Heir, KeyRefFacts, OutputId, Ownership, Rival, Snapshot, ValueLookup};
use crate::policy::digest::Digest;
use crate::policy::key::ApiKey;
use crate::policy::name::Name;

/// Claims of a workspace's keys and their rivals.
pub(super) struct Contenders<'a> {
    /// Who wants each target, and the best right to it.
    targets: HashMap<OutputId, (Vec<&'a KeyRefFacts>, &'a KeyRefFacts)>,
    /// For each key of this workspace: who has it first, and first for another service.
    services: HashMap<Digest, (Service<'a>, Option<Service<'a>>)>,
    /// ApiKeyRefs of other workspaces by key.
    rivals: HashMap<Digest, Vec<&'a Rival>>,
    /// The same by Anthropic's id.
    by_id: HashMap<&'a Name, Vec<&'a Rival>>,
}

type Service<'a> = (&'a KeyRefFacts, &'a Name);

impl<'a> Contenders<'a> {
    /// Looks at every key once.
    pub(super) fn of(snapshot: &'a Snapshot) -> Self {
        let mut contenders = Self {
            targets: HashMap::new(),
            services: HashMap::new(),
            rivals: HashMap::new(),
            by_id: HashMap::new(),
        };
        for facts in &snapshot.keys {
            let Ok(key) = &facts.object.spec else {
                continue;
            };
            contenders.claim_target(snapshot, facts, key);
            // Whoever may not use a key does not have it.
            let settling = Settling::new(snapshot, facts, key);
            let (source, lookup) = settling.source();
            if let ValueLookup::Known(value) = lookup
                && settling.value_matters()
                && settling.may_be_read(source)
            {
                contenders.claim_key(value.digest, (facts, &key.service));
            }
        }
        for rival in &snapshot.rivals {
            if let Ok(key) = &rival.facts.object.spec {
                contenders.claim_target(snapshot, &rival.facts, key);
            }
            for digest in &rival.digests {
                contenders.rivals.entry(*digest).or_default().push(rival);
            }
            for id in &rival.key_ids {
                contenders.by_id.entry(id).or_default().push(rival);
            }
        }
        contenders
    }

    /// Who has the best right to a target: who writes it; else the oldest; else the first by name.
    pub(super) fn target(&self, id: &OutputId) -> Option<&'a KeyRefFacts> {
        self.targets.get(id).map(|(_, best)| *best)
    }

    /// Who wants a target besides whoever has it, sorted. From files nobody can inherit.
    pub(super) fn heirs(&self, facts: &KeyRefFacts, key: &ApiKey) -> Vec<Heir> {
        let id = target_of(facts, key);
        let Some((all, best)) = id.and_then(|id| self.targets.get(&id)) else {
            return Vec::new();
        };
        let others = all
            .iter()
            .filter(|facts| facts.object.name != best.object.name);
        let heirs = others.filter_map(|facts| {
            Some(Heir {
                name: facts.object.name.name.clone(),
                uid: facts.object.uid.clone()?,
            })
        });
        let sorted: BTreeSet<Heir> = heirs.collect();
        sorted.into_iter().collect()
    }

    /// Another ApiKeyRef of this workspace that has this key for another service.
    pub(super) fn other_service(&self, digest: Digest, service: &Name) -> Option<&'a KeyRefFacts> {
        let (first, second) = self.services.get(&digest)?;
        let mut known = std::iter::once(first).chain(second);
        known
            .find(|(_, other)| *other != service)
            .map(|(facts, _)| *facts)
    }

    /// ApiKeyRefs of other workspaces that have this key.
    pub(super) fn rivals(&self, digest: Digest) -> impl Iterator<Item = &'a Rival> {
        self.rivals.get(&digest).into_iter().flatten().copied()
    }

    /// ApiKeyRefs of other workspaces that name this id.
    pub(super) fn with_id(&self, id: &Name) -> impl Iterator<Item = &'a Rival> {
        self.by_id.get(id).into_iter().flatten().copied()
    }

    fn claim_target(&mut self, snapshot: &Snapshot, facts: &'a KeyRefFacts, key: &ApiKey) {
        let Some(id) = target_of(facts, key) else {
            return;
        };
        let owner = snapshot
            .outputs
            .get(&id)
            .and_then(|output| match &output.owner {
                Ownership::Controlled { name, .. } | Ownership::Retained(name) => {
                    Some(name.clone())
                }
                Ownership::Inherited(heirs) => heirs.first().map(|heir| heir.name.clone()),
                Ownership::Foreign => None,
            });
        let rank = |facts: &KeyRefFacts| {
            let name = &facts.object.name.name;
            (
                Some(name) != owner.as_ref(),
                facts.object.created,
                name.clone(),
            )
        };
        let (all, best) = self
            .targets
            .entry(id)
            .or_insert_with(|| (Vec::new(), facts));
        all.push(facts);
        if rank(facts) < rank(best) {
            *best = facts;
        }
    }

    fn claim_key(&mut self, digest: Digest, service: Service<'a>) {
        let (first, second) = self.services.entry(digest).or_insert((service, None));
        if second.is_none() && first.1 != service.1 {
            *second = Some(service);
        }
    }
}

fn target_of(facts: &KeyRefFacts, key: &ApiKey) -> Option<OutputId> {
    let target = key.target.as_ref()?;
    let namespace = facts.object.name.namespace.clone();
    Some(OutputId::secret(namespace, target.secret.clone()))
}

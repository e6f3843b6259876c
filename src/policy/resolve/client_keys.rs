//! Whose a client key is when two namespaces name it, and which ones are blocked.
//! Must not see a client key; digests and ids only.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use super::{ClientKeys, Facts, GrantFacts, Resolver, reason};
use crate::policy::digest::Digest;
use crate::policy::finding::{Kind, Reason};
use crate::policy::grant::Phase;
use crate::policy::name::{Name, NamespacedName};
use crate::policy::subject::{Subject, SubjectId, SubjectRef};

impl Resolver<'_> {
    /// The client keys of a namespace's Secret that are its own to use, and what is wrong with the
    /// others.
    pub(super) fn own_client_keys(
        &self,
        namespace: &str,
        digests: &BTreeSet<Digest>,
    ) -> (Vec<Subject>, Option<(&'static str, String)>) {
        let is_own = |digest: &&Digest| {
            let owner = self.client_key_owners.get(*digest);
            owner.is_none_or(|owner| **owner == *namespace)
        };
        let own: Vec<_> = digests.iter().filter(is_own).copied().collect();
        let message = match (digests.len() - own.len(), digests.len()) {
            (0, _) => None,
            (1, 1) => Some("another namespace uses the same client key; make a new one".to_owned()),
            (taken, all) => Some(format!(
                "another namespace uses some of its client keys ({taken} of {all}), which work there \
                 alone; make new ones in their place"
            )),
        };
        (
            own.into_iter().map(Subject::ClientKey).collect(),
            message.map(|message| (reason::CLIENT_KEY_IN_USE, message)),
        )
    }

    /// A blocked client key is blocked by its digest wherever it is bound. Call it once all
    /// bindings and keys are resolved.
    pub(super) fn blocked(&mut self) -> BTreeSet<SubjectId> {
        let mut blocked = BTreeSet::new();
        for named in &self.facts.workspace.blocked {
            let ids = match named {
                SubjectRef::Known(subject) => BTreeSet::from([subject.id()]),
                SubjectRef::ClientKeySecret(secret) => self.blocked_by(secret),
            };
            for id in &ids {
                self.names.entry(*id).or_insert_with(|| named.clone());
            }
            blocked.extend(ids);
        }
        blocked
    }

    /// The ids behind a Secret whose client keys are blocked: what is in it, else what was last
    /// known to be in it. Of another namespace's only those that have something here, so that
    /// blocking a Secret tells nobody whether it exists.
    fn blocked_by(&mut self, secret: &NamespacedName) -> BTreeSet<SubjectId> {
        let at_home = secret.namespace == self.facts.name.namespace;
        let known = match self.facts.client_keys.get(secret) {
            Some(ClientKeys::Known(digests)) => Some(digests),
            Some(ClientKeys::Unusable(..)) | None => None,
        };
        let ids: BTreeSet<SubjectId> = match known {
            Some(digests) => digests
                .iter()
                .map(|digest| Subject::ClientKey(*digest).id())
                .filter(|id| at_home || self.subjects.contains_key(id))
                .collect(),
            None => {
                let secret = Name::from(secret.to_string());
                self.facts
                    .last_blocked
                    .get(&secret)
                    .cloned()
                    .unwrap_or_default()
            }
        };
        let attached = at_home || self.is_attached(&secret.namespace);
        if known.is_none() || !attached {
            let why = if attached {
                "does not exist, holds no client keys, or may not be read"
            } else {
                "is of a namespace that has no binding here, so what it holds is not told"
            };
            let message = format!(
                "Secret {secret} {why}; of its client keys those stay blocked that were last known. Name \
                 them by sha256 to block them whatever becomes of the Secret."
            );
            let workspace = (Kind::Workspace, self.facts.name);
            self.find(
                Reason::UnresolvedBlock,
                workspace,
                "spec.blockedSubjects",
                &message,
            );
        }
        if !ids.is_empty() {
            self.blocked_client_keys.insert(secret.clone(), ids.clone());
        }
        ids
    }

    /// Whether a binding of that namespace counts here.
    fn is_attached(&self, namespace: &Name) -> bool {
        let mut grants = self.facts.grants.iter();
        grants.any(|grant| grant.name.namespace == *namespace) && self.ceiling(namespace).is_some()
    }
}

/// Which namespace a client key belongs to: the one that uses it already; else the one whose
/// binding is oldest, then first by name. A binding that may not give its role, is disabled or
/// over claims nothing: nobody takes over a credential by naming it.
pub(super) fn client_key_owners(facts: &Facts<'_>) -> HashMap<Digest, Name> {
    let mut best: HashMap<Digest, Rank<'_>> = HashMap::new();
    for binding in facts.grants {
        let namespace = &binding.name.namespace;
        let in_use = facts.client_keys_in_use.get(namespace);
        let in_use =
            |digest: &Digest| in_use.is_some_and(|set| set.contains(&digest.fingerprint()));
        let mut claimed = digests(facts, binding).peekable();
        if claimed.peek().is_some() && counts(facts, binding) {
            claimed.for_each(|digest| {
                claim(
                    &mut best,
                    digest,
                    (!in_use(&digest), binding.created, binding.name),
                );
            });
        }
    }
    for rival in facts.client_key_rivals {
        if rival.window.phase(facts.now) != Phase::Expired {
            claim(
                &mut best,
                rival.digest,
                (!rival.in_use, rival.created, &rival.binding),
            );
        }
    }
    best.into_iter()
        .map(|(digest, (.., binding))| (digest, binding.namespace.clone()))
        .collect()
}

/// Whether it is not in use, since when its binding is there, and that binding's name: the least
/// keeps the client key.
type Rank<'a> = (bool, Option<Timestamp>, &'a NamespacedName);

fn claim<'a>(best: &mut HashMap<Digest, Rank<'a>>, digest: Digest, rank: Rank<'a>) {
    let held = best.entry(digest).or_insert(rank);
    *held = rank.min(*held);
}

/// The instants at which a client key becomes free, because a binding elsewhere ends.
pub(super) fn ends_of_rivals(facts: &Facts<'_>) -> Vec<Timestamp> {
    let rivals = facts.client_key_rivals.iter();
    let ends = rivals.filter_map(|rival| rival.window.expires_at);
    ends.filter(|at| *at > facts.now).collect()
}

/// Digests of the client keys that a binding names.
fn digests<'a>(
    facts: &'a Facts<'_>,
    binding: &'a GrantFacts<'_>,
) -> impl Iterator<Item = Digest> + 'a {
    let of_subject = |named: &'a SubjectRef| {
        let (own, of_secret) = match named {
            SubjectRef::Known(Subject::ClientKey(digest)) => (Some(*digest), None),
            SubjectRef::ClientKeySecret(secret) => match facts.client_keys.get(secret) {
                Some(ClientKeys::Known(digests)) => (None, Some(digests)),
                Some(ClientKeys::Unusable(..)) | None => (None, None),
            },
            SubjectRef::Known(
                Subject::ServiceAccount(_) | Subject::User { .. } | Subject::Group { .. },
            ) => (None, None),
        };
        own.into_iter()
            .chain(of_secret.into_iter().flatten().copied())
    };
    binding.grant.subjects.iter().flat_map(of_subject)
}

/// Whether a binding may give its role here, now or later.
fn counts(facts: &Facts<'_>, binding: &GrantFacts<'_>) -> bool {
    let namespace = &binding.name.namespace;
    let labels = facts.namespaces.get(namespace);
    let grant = binding.grant;
    let admitted = facts
        .workspace
        .admits(&facts.name.namespace, namespace, labels, &grant.role);
    admitted && grant.enabled && grant.window.phase(facts.now) != Phase::Expired
}

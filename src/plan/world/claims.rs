//! What only one object can have, whatever workspace it belongs to, and who claims it.
//! Must not decide who gets it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Affected, Owner, World};
use crate::facts::{BindingFacts, KeyRefFacts, SecretLookup, ValueLookup, WorkspaceFacts};
use crate::plan::client_keys;
use crate::policy::digest::{Digest, Fingerprint};
use crate::policy::finding::Kind;
use crate::policy::key::ApiKey;
use crate::policy::name::{Name, NamespacedName};
use crate::policy::resolve::ClientKeys;
use crate::policy::subject::{Subject, SubjectRef};
use crate::policy::workspace::{Issuer, IssuerKind};

/// Something claimed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Claim {
    /// An API key, by its full digest: an ApiKeyRef's.
    Key(Digest),
    /// Anthropic's id of a key: an ApiKeyRef's.
    KeyId(Name),
    /// A version that is in use, or was: an ApiKeyRef's. While one has it in use it cannot be
    /// disabled for the sake of another that had.
    Version(Fingerprint),
    /// A Secret to write to: an ApiKeyRef's.
    Target(NamespacedName),
    /// A client key, by its full digest: a RoleBinding's.
    ClientKey(Digest),
    /// Tokens of one issuer (by URL; `None` is this cluster) meant for one audience: a
    /// Workspace's.
    Audience(Option<Name>, Name),
}

/// Claims by claimant, both ways.
#[derive(Debug, Default)]
pub struct Claims {
    by_claimant: HashMap<Owner, BTreeSet<Claim>>,
    claimants: BTreeMap<Claim, BTreeSet<Owner>>,
}

impl Claims {
    /// What somebody claims now. Gives the other claimants of all that it no longer, or newly,
    /// claims, and itself among them: for them the world has changed.
    pub fn set(&mut self, claimant: &Owner, claims: BTreeSet<Claim>) -> BTreeSet<Owner> {
        let before = self.by_claimant.remove(claimant).unwrap_or_default();
        let mut others = BTreeSet::new();
        for claim in before.difference(&claims) {
            if let Some(claimants) = self.claimants.get_mut(claim) {
                claimants.remove(claimant);
                others.extend(claimants.iter().cloned());
                if claimants.is_empty() {
                    self.claimants.remove(claim);
                }
            }
        }
        for claim in claims.difference(&before) {
            let claimants = self.claimants.entry(claim.clone()).or_default();
            others.extend(claimants.iter().cloned());
            claimants.insert(claimant.clone());
        }
        if !others.is_empty() {
            others.insert(claimant.clone());
        }
        if !claims.is_empty() {
            self.by_claimant.insert(claimant.clone(), claims);
        }
        others
    }

    /// Other claimants of anything this one claims, with what they both claim.
    pub fn rivals_of(&self, claimant: &Owner) -> impl Iterator<Item = (&Claim, &NamespacedName)> {
        let shared = self.of(claimant).flat_map(|claim| {
            let claimants = self.claimants.get(claim).into_iter().flatten();
            claimants.map(move |other| (claim, other))
        });
        shared
            .filter(move |(_, other)| *other != claimant)
            .map(|(claim, (_, name))| (claim, name))
    }

    /// What somebody claims.
    pub fn of(&self, claimant: &Owner) -> impl Iterator<Item = &Claim> {
        self.by_claimant.get(claimant).into_iter().flatten()
    }
}

// === impl World ===

impl World {
    /// Brings the claims of a workspace's keys up to date; whoever may look at them otherwise.
    pub(super) fn claim_all(&mut self, workspace: &NamespacedName) -> Affected {
        let attached = self.attached.get(workspace).into_iter();
        let keys: Vec<Owner> = attached
            .flat_map(|attached| attached.keys.keys())
            .map(|key| (Kind::ApiKeyRef, key.clone()))
            .collect();
        let mut affected = Affected::new();
        for key in &keys {
            affected.extend(self.claim(key));
            affected.extend(self.rivals_of(key));
        }
        affected
    }

    /// Brings the claims of a key or binding up to date.
    pub(super) fn claim(&mut self, owner: &Owner) -> Affected {
        let (kind, name) = owner;
        let claims = match kind {
            Kind::ApiKeyRef => self.keys.get(name).map(|facts| self.claims_of_key(facts)),
            Kind::RoleBinding => {
                let facts = self.bindings.get(name);
                facts.map(|facts| self.claims_of_binding(facts))
            }
            Kind::Workspace => None,
        };
        self.set_claims(owner, claims.unwrap_or_default())
    }

    /// Other workspaces with a binding that names a client key of one of this workspace's.
    pub(super) fn rivals_for_client_keys(&self, workspace: &NamespacedName) -> Affected {
        let attached = self.attached.get(workspace).into_iter();
        let bindings = attached.flat_map(|attached| attached.bindings.keys());
        bindings
            .flat_map(|binding| self.rivals_of(&(Kind::RoleBinding, binding.clone())))
            .collect()
    }

    /// Workspaces of whoever claims the same as a key or binding: it may have come to use it, or
    /// ceased to, while the claims are as before.
    pub(super) fn rivals_of(&self, owner: &Owner) -> Affected {
        let rivals = self.claims.rivals_of(owner);
        let units = rivals.map(|(_, name)| self.unit_of(&(owner.0, name.clone())));
        units.flatten().collect()
    }

    pub(super) fn set_claims(&mut self, owner: &Owner, claims: BTreeSet<Claim>) -> Affected {
        let others = self.claims.set(owner, claims);
        let workspaces = others.iter().filter_map(|other| self.unit_of(other));
        workspaces.collect()
    }

    fn claims_of_binding(&self, facts: &BindingFacts) -> BTreeSet<Claim> {
        let mut claims = BTreeSet::new();
        let Ok(grant) = &facts.object.spec else {
            return claims;
        };
        for subject in &grant.subjects {
            match subject {
                SubjectRef::Known(Subject::ClientKey(digest)) => {
                    claims.insert(Claim::ClientKey(*digest));
                }
                SubjectRef::ClientKeySecret(secret) => {
                    let lookup = self.lookup(secret);
                    let keys = lookup.map(|lookup| client_keys::of_lookup(secret, &lookup));
                    if let Some(ClientKeys::Known(digests)) = keys {
                        claims.extend(digests.into_iter().map(Claim::ClientKey));
                    }
                }
                SubjectRef::Known(
                    Subject::ServiceAccount(_) | Subject::User { .. } | Subject::Group { .. },
                ) => {}
            }
        }
        claims
    }

    fn claims_of_key(&self, facts: &KeyRefFacts) -> BTreeSet<Claim> {
        let Ok(key) = &facts.object.spec else {
            return BTreeSet::new();
        };
        let namespace = &facts.object.name.namespace;
        let target = key.target.as_ref();
        let target =
            target.map(|target| NamespacedName::new(namespace.clone(), target.secret.clone()));
        let mut claims = BTreeSet::new();
        let staged = key.next.as_ref().map(|next| &next.source);
        let sources = [Some(&key.source), staged].into_iter().flatten();
        for source in sources.filter(|_| self.is_admitted(facts, key)) {
            let lookup = self.lookup(&source.secret());
            let Some(lookup) = lookup.filter(|lookup| {
                // Whoever may not use a key has no claim to it.
                lookup.permits(namespace, &source.namespace) && !lookup.is_output()
            }) else {
                continue;
            };
            if let ValueLookup::Known(value) = lookup.value(source, self.memories(facts))
                && !key
                    .revoked_fingerprints
                    .contains(&value.digest.fingerprint())
            {
                claims.insert(Claim::Key(value.digest));
            }
            if let SecretLookup::Present(secret) = lookup {
                let notes = secret.notes.as_ref();
                let id = notes.and_then(|notes| notes.key_id.clone());
                claims.extend(id.map(Claim::KeyId));
            }
        }
        claims.extend(key.key_id.clone().map(Claim::KeyId));
        let remembered = self.memories(facts).flat_map(|memory| &memory.versions);
        let versions = remembered.chain(&facts.versions);
        claims.extend(versions.map(|version| Claim::Version(version.fingerprint)));
        claims.extend(target.map(Claim::Target));
        claims
    }

    /// Whether a key may attach where it wants to and is not revoked: else it has no claim to the
    /// key it names, whoever uses that one.
    fn is_admitted(&self, facts: &KeyRefFacts, key: &ApiKey) -> bool {
        let namespace = &facts.object.name.namespace;
        let labels = self.namespaces.get(namespace).map(|labels| &**labels);
        let workspace = self.workspaces.get(&key.workspace);
        let spec = workspace.and_then(|workspace| workspace.object.spec.as_ref().ok());
        !key.revoked
            && spec.is_some_and(|spec| {
                let ceiling = spec.ceiling_of(&key.workspace.namespace, namespace, labels);
                spec.enabled && ceiling.is_some_and(|ceiling| ceiling.may_attach_keys())
            })
    }
}

/// The audiences of the tokens a Workspace takes.
pub(super) fn audiences(facts: &WorkspaceFacts) -> BTreeSet<Claim> {
    let Ok(workspace) = &facts.object.spec else {
        return BTreeSet::new();
    };
    let issuers = workspace.effective_issuers(&facts.object.name);
    let of_issuer = |issuer: &Issuer| {
        let url = match &issuer.kind {
            IssuerKind::Kubernetes => None,
            IssuerKind::Oidc { issuer_url, .. } => Some(issuer_url.clone()),
        };
        let audiences = issuer.audiences.iter().cloned();
        let claims = audiences.map(move |audience| Claim::Audience(url.clone(), audience));
        claims.collect::<Vec<_>>()
    };
    issuers.iter().flat_map(of_issuer).collect()
}

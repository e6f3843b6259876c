//! Where a key's value may go: the gateway, the target, and who else claims either.
//! Must not decide which value it is.

use super::contenders::Contenders;
use super::{Settling, Trouble, Value, denied_in, gateways};
use crate::api::conditions::reason;
use crate::facts::{OutputId, Ownership, Rival, SecretFacts, SecretLookup, in_use};
use crate::policy::digest::{Digest, Fingerprint};
use crate::policy::finding::Kind;
use crate::policy::key::{Scope, SecretKey};
use crate::policy::name::Name;

impl<'a> Settling<'a> {
    /// What keeps the gateway of a Workspace elsewhere from getting the bytes.
    pub(super) fn gateway_trouble(
        &self,
        source: &SecretKey,
        secret: Option<&SecretFacts>,
    ) -> Option<Trouble> {
        let workspace = &self.snapshot.name;
        if source.namespace == workspace.namespace {
            return None;
        }
        // What cannot be looked at is not known to be forbidden; nothing new is used of it.
        let unseen = matches!(
            self.snapshot.secrets.get(&source.secret()),
            Some(SecretLookup::Assumed | SecretLookup::Denied)
        );
        let notes = secret.and_then(|secret| secret.notes.as_ref());
        if unseen || notes.is_some_and(|notes| notes.allow_workspaces.contains(workspace)) {
            return None;
        }
        let message = format!(
            "Secret {} does not permit its use by the gateway of Workspace {workspace}, so no request is sent \
             with it. Annotate it with anthropic-rbac.io/allow-workspaces: \"{workspace}\".",
            source.secret()
        );
        Some(Trouble::fault(reason::REF_NOT_PERMITTED, message))
    }

    /// What keeps a gateway's Secret from being written.
    pub(super) fn gateways_trouble(&self) -> Option<Trouble> {
        let gateways = self.places.iter().filter(|place| !place.is_target);
        gateways.into_iter().find_map(|place| {
            if let Some(SecretLookup::Denied) = self.snapshot.secrets.get(&place.id.name) {
                return Some(denied_in(self.snapshot, &place.id.name.namespace));
            }
            let foreign = place.found.is_some_and(|found| !found.is_ours());
            foreign.then(|| {
                let message = format!(
                    "Secret {} is where the gateway looks for its keys, and was not made by this operator, so \
                     it is left alone. Delete it, or rename the gateway.",
                    place.id.name
                );
                Trouble::fault(reason::NOT_OURS, message)
            })
        })
    }

    /// What keeps the target from being written.
    pub(super) fn target_trouble(&self, contenders: &Contenders<'_>) -> Option<Trouble> {
        let target = self.key.target.as_ref()?;
        let namespace = &self.facts.object.name.namespace;
        let id = OutputId::secret(namespace.clone(), target.secret.clone());
        if let Some(SecretLookup::Denied) = self.snapshot.secrets.get(&id.name) {
            return Some(denied_in(self.snapshot, namespace));
        }
        let found = self.snapshot.outputs.get(&id);
        let is_gateways = found.is_some_and(|found| {
            matches!(
                &found.owner,
                Ownership::Controlled {
                    kind: Kind::Workspace,
                    ..
                }
            )
        });
        if is_gateways || gateways(self.snapshot).any(|gateway| gateway == id) {
            let message = format!(
                "Secret {} is for a gateway's keys. Name another target.",
                target.secret
            );
            return Some(Trouble::fault(reason::TARGET_CONFLICT, message));
        }
        if found.is_some_and(|found| !found.is_ours()) {
            let message = format!(
                "Secret {} exists and was not made by this operator, so it is left alone. Delete it, or name \
                 another target.",
                id.name
            );
            return Some(Trouble::fault(reason::NOT_OURS, message));
        }
        let winner = &contenders.target(&id)?.object.name;
        if *winner == self.facts.object.name {
            return None;
        }
        let message = format!(
            "ApiKeyRef {} already writes Secret {}. Name another target in one of the two.",
            winner.name, target.secret
        );
        Some(Trouble::fault(reason::TARGET_CONFLICT, message))
    }

    /// Whether both have a key that is valid in several workspaces.
    fn may_share(&self, rival: &Rival) -> bool {
        let other = rival.facts.object.spec.as_ref().ok();
        self.key.scope == Scope::Organization
            && other.is_some_and(|other| other.scope == Scope::Organization)
    }

    /// Whether another Workspace's ApiKeyRef gives another key the same id: of the two, one is
    /// wrong about its key.
    pub(super) fn id_is_elsewhere(
        &self,
        id: &Name,
        in_use: Option<Fingerprint>,
        contenders: &Contenders<'_>,
    ) -> bool {
        contenders.with_id(id).any(|rival| {
            let mut digests = rival.digests.iter();
            let same = digests.any(|digest| Some(digest.fingerprint()) == in_use);
            !same && !self.may_share(rival)
        })
    }

    /// Who keeps a key that two workspaces claim: who uses it already; else whose namespace it
    /// comes from; else the older; else the first by name.
    fn yields_to(&self, rival: &Rival, digest: Digest) -> bool {
        let version = digest.fingerprint();
        let own = &self.facts.object;
        let theirs = rival.facts.object.spec.as_ref().ok();
        let at_home = theirs.is_some_and(|key| key.source.namespace == rival.name.namespace);
        let rank = (
            !rival.in_use.contains(&version),
            !at_home,
            rival.created,
            &rival.name,
        );
        let mut held = self.memories().filter(|memory| !memory.emptied);
        let in_use = held.any(|memory| memory.sha256 == digest)
            || in_use(&self.facts.versions) == Some(version);
        rank < (
            !in_use,
            self.key.source.namespace != own.name.namespace,
            own.created,
            &own.name,
        )
    }

    /// What stays of a key whose present value is another Workspace's: the last good version,
    /// unless it is that very value.
    pub(super) fn without_claim(
        &self,
        source: &SecretKey,
        digest: Digest,
        trouble: &Trouble,
    ) -> Value {
        if self.memories().any(|memory| memory.sha256 == digest) {
            Value::Empty(trouble.clone())
        } else {
            self.last_good(source, trouble)
        }
    }

    /// Who else has this very key.
    pub(super) fn shared(&self, digest: Digest, contenders: &Contenders<'_>) -> Option<Trouble> {
        let own = &self.facts.object.name;
        let stronger = contenders
            .rivals(digest)
            .filter(|rival| !self.may_share(rival))
            .find(|rival| self.yields_to(rival, digest));
        if stronger.is_some() {
            let message = "Another Workspace already uses the same key, and a key belongs to one. Make a key of \
                           this Workspace's own, or set scope: Organization on both if Anthropic made it so.";
            return Some(Trouble::fault(reason::KEY_IN_ANOTHER_WORKSPACE, message));
        }
        let twin = contenders.other_service(digest, &self.key.service)?;
        let whose = if twin.object.name.namespace == own.namespace {
            format!("ApiKeyRef {}", twin.object.name)
        } else {
            "an ApiKeyRef of another namespace".to_owned()
        };
        let message = format!(
            "The same key serves {whose}. Make one key for each service, so that one can be revoked alone."
        );
        Some(Trouble::fault(reason::SHARED_KEY, message))
    }
}

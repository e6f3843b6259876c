//! What is to become of each key of a workspace: which version is used, kept, or taken away,
//! and why. Must not see a key's bytes.

mod contenders;
mod destination;
mod places;
mod retirement;
mod room;
mod source;
mod versions;

pub use places::{Place, data_key, gateways};
pub use retirement::{Retirement, When};

use contenders::Contenders;
use jiff::Timestamp;

use super::output::KeyHandle;
use crate::api::conditions::reason;
use crate::facts::{
    Heir, KeyMemory, KeyRefFacts, KeyVersion, SecretFacts, SecretLookup, Snapshot, ValueLookup,
    in_use,
};
use crate::policy::digest::{Digest, Fingerprint};
use crate::policy::key::{ApiKey, SecretKey};
use crate::policy::name::{Name, NamespacedName};
use crate::policy::rotation::{Clock, Origin, Rotation};
use crate::policy::subject::SubjectRef;

/// What is to become of one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settled {
    /// Its value.
    pub value: Value,
    /// What is wrong with what it refers to.
    pub unresolved: Option<Trouble>,
    /// What keeps its target, or a gateway's Secret, from being written with it.
    pub unprogrammed: Option<Trouble>,
    /// Whether that is the target's trouble, which is then left alone.
    pub untargeted: bool,
    /// Who else wants its target, which it has.
    pub heirs: Vec<Heir>,
    /// Who else has the same key, if that matters.
    pub shared: Option<Trouble>,
    /// Whether another Workspace's ApiKeyRef gives another key the same id.
    pub id_elsewhere: bool,
    /// Versions seen, latest first.
    pub versions: Vec<KeyVersion>,
    /// The dates of the version in use.
    pub dates: Option<Dates>,
    /// Whether the gateway may send requests with it, and which version.
    pub usable: Option<Fingerprint>,
    /// How many versions of it the gateways' Secrets have room to remember.
    pub room: usize,
    /// What is to be said of the version before.
    pub retirement: Option<Retirement>,
}

/// What is to become of a key's value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// This version is used.
    Use(KeyHandle),
    /// What was there stays: the last good version, if any.
    Keep,
    /// It is taken away, because that was asked for or a permission ended.
    Empty(Trouble),
}

/// Why something is not as one might expect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// The condition's reason.
    pub reason: &'static str,
    /// Cause and fix.
    pub message: String,
    /// Whether it is just what was asked for, and so no fault.
    pub wanted: bool,
}

/// Dates of a version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dates {
    /// When it was issued, and who says so.
    pub issued: Option<(Timestamp, Origin)>,
    /// When Anthropic stops taking it.
    pub expires: Option<Timestamp>,
    /// Anthropic's id of it.
    pub key_id: Option<Name>,
    /// Where it stands.
    pub clock: Clock,
    /// Whether a date of issue was given that lies in the future.
    pub given_in_future: bool,
    /// How it is rotated, and whether the ApiKeyRef asked for less than the Workspace.
    pub rotation: (Rotation, bool),
}

// === impl Trouble ===

impl Trouble {
    fn fault(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            wanted: false,
        }
    }

    fn wanted(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            wanted: true,
        }
    }
}

// === impl Dates ===

impl Dates {
    /// Whether it is overdue where overdue keys are to be taken away.
    pub fn calls_for_suspension(&self) -> bool {
        self.rotation.0.suspend && self.clock.state.is_due()
    }
}

// === impl Settled ===

impl Settled {
    /// The version that is in use once this plan is carried out.
    pub fn in_use(&self) -> Option<Fingerprint> {
        in_use(&self.versions)
    }
}

/// Settles every key of a snapshot, in its order; `None` for one whose spec is not understood.
pub fn settle(snapshot: &Snapshot) -> Vec<Option<Settled>> {
    let contenders = Contenders::of(snapshot);
    let keys = snapshot.keys.iter();
    let settled = keys.map(|facts| {
        let key = facts.object.spec.as_ref().ok()?;
        Some(Settling::new(snapshot, facts, key).settle(&contenders))
    });
    let mut settled = settled.collect::<Vec<_>>();
    room::make(snapshot, &mut settled);
    retirement::consider(snapshot, &mut settled);
    settled
}

impl Snapshot {
    /// Secrets whose values must be read before this can be planned.
    pub fn unread(&self) -> Vec<NamespacedName> {
        let mut secrets = Vec::new();
        for facts in &self.keys {
            let Ok(key) = &facts.object.spec else {
                continue;
            };
            let settling = Settling::new(self, facts, key);
            if settling.value_matters() {
                let unread = settling
                    .sources()
                    .filter(|source| settling.may_be_read(source))
                    .filter(|source| settling.lookup(source) == ValueLookup::Unread);
                secrets.extend(unread.map(SecretKey::secret));
            }
        }
        let unread = |name: &&NamespacedName| match self.secrets.get(*name) {
            Some(SecretLookup::Present(secret)) => secret.is_client_key && secret.values.is_none(),
            Some(SecretLookup::Absent | SecretLookup::Denied | SecretLookup::Assumed) | None => {
                false
            }
        };
        secrets.extend(self.client_keys().filter(unread).cloned());
        secrets.sort();
        secrets.dedup();
        secrets
    }
}

impl Snapshot {
    /// What our Secrets remember of a key.
    pub fn remembered<'a>(&'a self, facts: &'a KeyRefFacts) -> impl Iterator<Item = &'a KeyMemory> {
        let key = facts.object.spec.as_ref().ok();
        let places = key.map(|key| places::of(self, facts, key));
        let places = places.into_iter().flatten();
        places.filter_map(|place| place.memory())
    }

    /// Secrets that are named for the client keys in them.
    fn client_keys(&self) -> impl Iterator<Item = &NamespacedName> {
        let workspace = self.workspace.iter();
        let blocked = workspace.filter_map(|facts| Some(&facts.object.spec.as_ref().ok()?.blocked));
        let bindings = self.bindings.iter();
        let bound = bindings.filter_map(|facts| Some(&facts.object.spec.as_ref().ok()?.subjects));
        let keys = self.keys.iter();
        let served = keys.filter_map(|facts| Some(&facts.object.spec.as_ref().ok()?.used_by));
        let subjects = blocked.chain(bound).chain(served).flatten();
        subjects
            .filter_map(|subject| match subject {
                SubjectRef::ClientKeySecret(secret) => Some(secret),
                SubjectRef::Known(_) => None,
            })
            .filter(|secret| self.involves(&secret.namespace))
    }

    /// Whether a namespace has to do with this workspace: its own, or one from which something
    /// attaches. Nobody learns anything of another's Secret by blocking the client keys in it.
    pub fn involves(&self, namespace: &str) -> bool {
        let bindings = &self.bindings;
        let keys = &self.keys;
        // Both are sorted by name, namespaces first.
        *self.name.namespace == *namespace
            || bindings
                .binary_search_by(|facts| (*facts.object.name.namespace).cmp(namespace))
                .is_ok()
            || keys
                .binary_search_by(|facts| (*facts.object.name.namespace).cmp(namespace))
                .is_ok()
    }
}

struct Settling<'a> {
    snapshot: &'a Snapshot,
    facts: &'a KeyRefFacts,
    key: &'a ApiKey,
    /// Where its value is or goes: the target first.
    places: Vec<Place<'a>>,
}

// === impl Settling ===

impl<'a> Settling<'a> {
    fn new(snapshot: &'a Snapshot, facts: &'a KeyRefFacts, key: &'a ApiKey) -> Self {
        Self {
            snapshot,
            facts,
            key,
            places: places::of(snapshot, facts, key),
        }
    }

    fn settle(&self, contenders: &Contenders<'_>) -> Settled {
        let (source, lookup) = self.source();
        let (mut value, mut unresolved) = match self.admission() {
            // Its value is of no interest, and not read.
            trouble if self.key.revoked => {
                let message = "The key is revoked, as spec.state asks, and was taken away.";
                let revoked = Trouble::wanted(reason::REVOKED, message);
                (Value::Empty(revoked), trouble)
            }
            Some(trouble) => (self.without_admission(&trouble), Some(trouble)),
            None => self.value(source, lookup),
        };
        let shared = match &value {
            Value::Use(handle) => self.shared(handle.digest, contenders),
            Value::Keep | Value::Empty(_) => None,
        };
        if let (Value::Use(handle), Some(trouble)) = (&value, &shared)
            && trouble.reason == reason::KEY_IN_ANOTHER_WORKSPACE
        {
            value = self.without_claim(source, handle.digest, trouble);
            unresolved = unresolved.or_else(|| shared.clone());
        }
        let in_use = self.in_use(&value, lookup);
        let mut versions = self.versions(in_use);
        let secret = self.secret(source);
        let dates = in_use.map(|version| self.dates(version, &versions, secret));
        if let (Some(dates), Some(present)) = (&dates, versions.first_mut()) {
            present.key_id.clone_from(&dates.key_id);
            present.issued = dates.issued;
            present.expires = dates.expires;
        }
        if let Some(dates) = &dates
            && self.is_suspended(dates, in_use)
        {
            let message = "The key is overdue and the rotation says Suspend, so it was taken away. Put a new version into the source.";
            let trouble = Trouble::fault(reason::SUSPENDED, message);
            unresolved = unresolved.or_else(|| Some(trouble.clone()));
            value = Value::Empty(trouble);
        }
        let id = dates.as_ref().and_then(|dates| dates.key_id.as_ref());
        let id_elsewhere = id.is_some_and(|id| self.id_is_elsewhere(id, in_use, contenders));
        let gateway = self.gateway_trouble(source, secret);
        let held = in_use.filter(|_| !matches!(value, Value::Empty(_)) && gateway.is_none());
        if matches!(value, Value::Use(_)) {
            unresolved = unresolved.or(gateway);
            unresolved = unresolved.or_else(|| self.next_trouble(source));
        }
        let target = self.target_trouble(contenders);
        Settled {
            usable: held,
            untargeted: target.is_some(),
            heirs: contenders.heirs(self.facts, self.key),
            unprogrammed: target.or_else(|| self.gateways_trouble()),
            value,
            unresolved,
            shared,
            id_elsewhere,
            versions,
            dates,
            room: 0,
            retirement: None,
        }
    }

    /// Whether it is taken away for being overdue. Not while two clocks disagree on that,
    /// unless it is away already.
    fn is_suspended(&self, dates: &Dates, in_use: Option<Fingerprint>) -> bool {
        let is_away = || {
            let memory = self.memory();
            memory
                .is_some_and(|memory| memory.emptied && Some(memory.sha256.fingerprint()) == in_use)
        };
        dates.rotation.0.suspend
            && dates.clock.state.is_due()
            && (!self.snapshot.clocks_differ() || is_away())
    }

    fn is_revoked(&self, digest: Digest) -> bool {
        self.key
            .revoked_fingerprints
            .contains(&digest.fingerprint())
    }

    /// What is remembered of it: on its target, else in a gateway's Secret.
    fn memory(&self) -> Option<&'a KeyMemory> {
        self.memories().next()
    }

    fn memories(&self) -> impl Iterator<Item = &'a KeyMemory> {
        self.places.iter().filter_map(Place::memory)
    }

    /// What is still there as it was left.
    fn held(&self) -> Option<&'a KeyMemory> {
        self.places.iter().find_map(Place::held)
    }

    fn lookup(&self, source: &SecretKey) -> ValueLookup {
        let secret = self.snapshot.secrets.get(&source.secret());
        secret.map_or(ValueLookup::Unread, |secret| {
            secret.value(source, self.memories())
        })
    }

    fn secret(&self, source: &SecretKey) -> Option<&'a SecretFacts> {
        match self.snapshot.secrets.get(&source.secret())? {
            SecretLookup::Present(secret) => Some(secret),
            SecretLookup::Absent | SecretLookup::Denied | SecretLookup::Assumed => None,
        }
    }
}

/// What to say where Secrets may not be touched, and the command that permits it.
pub fn denied_in(snapshot: &Snapshot, namespace: &str) -> Trouble {
    let message = format!(
        "The operator may not touch Secrets in namespace {namespace}. An administrator can permit it: \
         kubectl create rolebinding anthropic-rbac-secrets -n {namespace} --clusterrole=anthropic-rbac-secrets \
         --serviceaccount={}",
        snapshot.operator_account()
    );
    Trouble::fault(reason::SECRET_ACCESS_DENIED, message)
}

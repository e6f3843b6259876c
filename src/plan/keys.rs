//! What is to become of each key of a workspace: which version is used, kept, or taken away,
//! and why. Must not see a key's bytes.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::facts::{
    KeyMemory, KeyRefFacts, KeyVersion, OutputFacts, OutputId, Ownership, Rival, SecretFacts,
    SecretLookup, Snapshot, ValueLookup,
};
use super::output::KeyHandle;
use crate::api::conditions::reason;
use crate::policy::digest::{Digest, Fingerprint};
use crate::policy::key::{ApiKey, Scope, SecretKey};
use crate::policy::name::{Name, NamespacedName};
use crate::policy::rotation::{Beginning, Clock, Origin, Rotation};
use crate::policy::selector::Labels;
use crate::policy::workspace::Workspace;

/// What is to become of one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settled {
    /// Its value.
    pub value: Value,
    /// What is wrong with what it refers to.
    pub unresolved: Option<Trouble>,
    /// What keeps its target from being written.
    pub unprogrammed: Option<Trouble>,
    /// Who else has the same key, if that matters.
    pub shared: Option<Trouble>,
    /// Versions seen, latest first.
    pub versions: Vec<KeyVersion>,
    /// The dates of the version in use.
    pub dates: Option<Dates>,
    /// Whether the gateway may send requests with it, and which version.
    pub usable: Option<Fingerprint>,
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

/// Versions remembered besides the one in use, as the API promises.
const REMEMBERED: usize = 6;

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

/// Settles every key of a snapshot, in its order; `None` for one whose spec is not understood.
pub fn settle(snapshot: &Snapshot) -> Vec<Option<Settled>> {
    let keys = snapshot.keys.iter();
    let settled = keys.map(|facts| {
        let key = facts.object.spec.as_ref().ok()?;
        Some(Settling::new(snapshot, facts, key).settle())
    });
    settled.collect()
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
                let sources = settling.sources().into_iter();
                let unread =
                    sources.filter(|source| settling.lookup(source) == ValueLookup::Unread);
                secrets.extend(unread.map(SecretKey::secret));
            }
        }
        let client_keys = self.secrets.iter().filter(|(_, lookup)| match lookup {
            SecretLookup::Present(secret) => secret.is_client_key && secret.values.is_none(),
            SecretLookup::Absent | SecretLookup::Denied | SecretLookup::Assumed => false,
        });
        secrets.extend(client_keys.map(|(name, _)| name.clone()));
        secrets.sort();
        secrets.dedup();
        secrets
    }
}

struct Settling<'a> {
    snapshot: &'a Snapshot,
    facts: &'a KeyRefFacts,
    key: &'a ApiKey,
    output: Option<&'a OutputFacts>,
}

// === impl Settling ===

impl<'a> Settling<'a> {
    fn new(snapshot: &'a Snapshot, facts: &'a KeyRefFacts, key: &'a ApiKey) -> Self {
        let target = key.target.as_ref().map(|target| {
            OutputId::secret(facts.object.name.namespace.clone(), target.secret.clone())
        });
        let output = target
            .and_then(|id| snapshot.outputs.get(&id))
            .map(|output| &**output);
        Self {
            snapshot,
            facts,
            key,
            output,
        }
    }

    fn settle(&self) -> Settled {
        let (source, lookup) = self.source();
        let (mut value, mut unresolved) = match self.admission() {
            Some(trouble) => (self.without_admission(&trouble), Some(trouble)),
            None => self.value(source, lookup),
        };
        let shared = match &value {
            Value::Use(handle) => self.shared(handle.digest),
            Value::Keep | Value::Empty(_) => None,
        };
        if shared
            .as_ref()
            .is_some_and(|trouble| trouble.reason == reason::KEY_IN_ANOTHER_WORKSPACE)
        {
            value = Value::Keep;
            unresolved = unresolved.or_else(|| shared.clone());
        }
        let in_use = self.in_use(&value);
        let versions = self.versions(in_use);
        let secret = self.secret(source);
        let dates = in_use.map(|digest| self.dates(digest.fingerprint(), &versions, secret));
        if let Some(dates) = &dates
            && dates.rotation.0.suspend
            && dates.clock.state.is_due()
        {
            let message = "The key is overdue and the rotation says Suspend, so it was taken away. Put a new version into the source.";
            let trouble = Trouble::fault(reason::SUSPENDED, message);
            unresolved = unresolved.or_else(|| Some(trouble.clone()));
            value = Value::Empty(trouble);
        }
        let gateway = self.gateway_trouble(source, secret);
        let held = in_use.filter(|_| !matches!(value, Value::Empty(_)) && gateway.is_none());
        if matches!(value, Value::Use(_)) {
            unresolved = unresolved.or(gateway);
        }
        Settled {
            usable: held.map(|digest| digest.fingerprint()),
            unprogrammed: self.target_trouble(),
            value,
            unresolved,
            shared,
            versions,
            dates,
        }
    }

    /// Whether the key may attach to the workspace at all.
    fn admission(&self) -> Option<Trouble> {
        let home = &self.facts.object.name.namespace;
        let name = &self.snapshot.name;
        let elsewhere = *home != name.namespace;
        let not_permitted = || {
            let message = format!(
                "Workspace {name} does not exist or does not admit ApiKeyRefs of this namespace; ask its \
                 owner for an entry in spec.allowedNamespaces with apiKeyRefs: Allow."
            );
            Some(Trouble::fault(reason::REF_NOT_PERMITTED, message))
        };
        let workspace = match self
            .snapshot
            .workspace
            .as_ref()
            .map(|facts| &facts.object.spec)
        {
            None if elsewhere => return not_permitted(),
            None => {
                let message = format!(
                    "Workspace {name} does not exist. Create it, or correct spec.workspaceRef."
                );
                return Some(Trouble::fault(reason::WORKSPACE_NOT_FOUND, message));
            }
            Some(Err(_)) => {
                let message = format!("Workspace {name} is not accepted; its status says why.");
                return Some(Trouble::fault(reason::INVALID_SPEC, message));
            }
            Some(Ok(workspace)) => workspace,
        };
        if !may_attach(self.snapshot, workspace, home) {
            return not_permitted();
        }
        if !workspace.enabled {
            let message = format!("Workspace {name} is Disabled, so its keys are taken away.");
            return Some(Trouble::wanted(reason::WORKSPACE_DISABLED, message));
        }
        self.key.revoked.then(|| {
            Trouble::wanted(
                reason::REVOKED,
                "The key is revoked, as spec.state asks, and was taken away.",
            )
        })
    }

    /// A permission that ended, and a wish, take the key away at once. A missing Workspace in
    /// the same namespace is a missing thing: the last good stays.
    fn without_admission(&self, trouble: &Trouble) -> Value {
        if trouble.reason == reason::WORKSPACE_NOT_FOUND || trouble.reason == reason::INVALID_SPEC {
            Value::Keep
        } else {
            Value::Empty(trouble.clone())
        }
    }

    fn value_matters(&self) -> bool {
        self.admission().is_none()
    }

    /// The staged successor once it is there and its time has come, else the source.
    fn source(&self) -> (&'a SecretKey, ValueLookup) {
        if let Some(next) = &self.key.next
            && next.activate_at.is_none_or(|at| at <= self.snapshot.now)
        {
            let lookup = self.lookup(&next.source);
            let permitted = self.source_permitted(&next.source);
            let good = matches!(lookup, ValueLookup::Known(facts)
                if facts.shape.wrong_as_api_key().is_none() && !self.is_revoked(facts.digest));
            if good && permitted {
                return (&next.source, lookup);
            }
        }
        (&self.key.source, self.lookup(&self.key.source))
    }

    fn sources(&self) -> Vec<&'a SecretKey> {
        let next = self.key.next.as_ref();
        let due = next.filter(|next| next.activate_at.is_none_or(|at| at <= self.snapshot.now));
        [Some(&self.key.source), due.map(|next| &next.source)]
            .into_iter()
            .flatten()
            .collect()
    }

    fn value(&self, source: &'a SecretKey, lookup: ValueLookup) -> (Value, Option<Trouble>) {
        if !self.source_permitted(source) {
            let message = format!(
                "Secret {} does not exist or does not permit its use here; ask its owner for the \
                 annotation anthropic-rbac.io/allow-namespaces.",
                source.secret()
            );
            let trouble = Trouble::fault(reason::REF_NOT_PERMITTED, message);
            return (Value::Empty(trouble.clone()), Some(trouble));
        }
        if self
            .secret(source)
            .is_some_and(|secret| secret.output.is_some())
        {
            let message = format!(
                "Secret {} is written by this operator and cannot be a source. Name the Secret the key was put into.",
                source.secret()
            );
            let trouble = Trouble::fault(reason::REF_NOT_PERMITTED, message);
            return (self.last_good(source, &trouble), Some(trouble));
        }
        let trouble = match lookup {
            ValueLookup::Known(facts) => match facts.shape.wrong_as_api_key() {
                None if self.is_revoked(facts.digest) => {
                    let message = format!(
                        "Version {} is revoked and was taken away. Put a new version into {source}.",
                        facts.digest.fingerprint()
                    );
                    let trouble = Trouble::wanted(reason::REVOKED, message);
                    return (Value::Empty(trouble.clone()), Some(trouble));
                }
                None => {
                    let handle = KeyHandle {
                        source: source.clone(),
                        digest: facts.digest,
                    };
                    return (Value::Use(handle), None);
                }
                Some(wrong) => {
                    let message = format!(
                        "The value in {source} is not used: {wrong}. Put one API key there."
                    );
                    Trouble::fault(reason::INVALID_KEY, message)
                }
            },
            ValueLookup::Assumed => {
                let assumed = ["assumed", &source.namespace, &source.name, &source.key];
                let digest = Digest::of_lines(&assumed);
                return (
                    Value::Use(KeyHandle {
                        source: source.clone(),
                        digest,
                    }),
                    None,
                );
            }
            ValueLookup::NoSecret => {
                let message = format!(
                    "Secret {} does not exist. Create it, or correct spec.source.",
                    source.secret()
                );
                Trouble::fault(reason::SOURCE_NOT_FOUND, message)
            }
            ValueLookup::Missing => {
                let message = format!(
                    "Secret {} has no data key {}. Add it, or correct spec.source.",
                    source.secret(),
                    source.key
                );
                Trouble::fault(reason::SOURCE_KEY_MISSING, message)
            }
            ValueLookup::Denied => denied(&source.namespace),
            ValueLookup::Unread => Trouble::fault(
                reason::PENDING,
                format!("Secret {} has not been read yet.", source.secret()),
            ),
        };
        (self.last_good(source, &trouble), Some(trouble))
    }

    /// The last good version stays, unless the reference was moved away from it or it is
    /// revoked by now.
    fn last_good(&self, source: &SecretKey, trouble: &Trouble) -> Value {
        let Some(memory) = self.memory() else {
            return Value::Keep;
        };
        let moved = memory.source != *source
            && self
                .key
                .next
                .as_ref()
                .is_none_or(|next| memory.source != next.source);
        if moved || self.is_revoked(memory.sha256) {
            Value::Empty(trouble.clone())
        } else {
            Value::Keep
        }
    }

    fn source_permitted(&self, source: &SecretKey) -> bool {
        let home = &self.facts.object.name.namespace;
        if source.namespace == *home {
            return true;
        }
        match self.snapshot.secrets.get(&source.secret()) {
            Some(SecretLookup::Present(secret)) => secret.notes.as_ref().is_some_and(|notes| {
                notes
                    .allow_namespaces
                    .iter()
                    .any(|name| **name == *"*" || name == home)
            }),
            // Whether it permits cannot be told; that is said as such.
            Some(SecretLookup::Denied | SecretLookup::Assumed) => true,
            Some(SecretLookup::Absent) | None => false,
        }
    }

    /// What keeps the gateway of a Workspace elsewhere from getting the bytes.
    fn gateway_trouble(&self, source: &SecretKey, secret: Option<&SecretFacts>) -> Option<Trouble> {
        let workspace = &self.snapshot.name;
        if source.namespace == workspace.namespace {
            return None;
        }
        let assumed = matches!(
            self.snapshot.secrets.get(&source.secret()),
            Some(SecretLookup::Assumed)
        );
        let notes = secret.and_then(|secret| secret.notes.as_ref());
        if assumed || notes.is_some_and(|notes| notes.allow_workspaces.contains(workspace)) {
            return None;
        }
        let message = format!(
            "Secret {} does not permit its use by the gateway of Workspace {workspace}, so no request is sent \
             with it. Annotate it with anthropic-rbac.io/allow-workspaces: \"{workspace}\".",
            source.secret()
        );
        Some(Trouble::fault(reason::REF_NOT_PERMITTED, message))
    }

    /// What keeps the target from being written.
    fn target_trouble(&self) -> Option<Trouble> {
        let target = self.key.target.as_ref()?;
        let namespace = &self.facts.object.name.namespace;
        let id = OutputId::secret(namespace.clone(), target.secret.clone());
        if let Some(SecretLookup::Denied) = self.snapshot.secrets.get(&id.name) {
            return Some(denied(namespace));
        }
        if self.output.is_some_and(|output| !output.is_ours()) {
            let message = format!(
                "Secret {} exists and was not made by this operator, so it is left alone. Delete it, or name \
                 another target.",
                id.name
            );
            return Some(Trouble::fault(reason::NOT_OURS, message));
        }
        let winner = self.target_winner(&target.secret)?;
        let message = format!(
            "ApiKeyRef {winner} already writes Secret {}. Name another target in one of the two.",
            target.secret
        );
        Some(Trouble::fault(reason::TARGET_CONFLICT, message))
    }

    /// Another ApiKeyRef that has the same target and the better right to it.
    fn target_winner(&self, secret: &Name) -> Option<&'a Name> {
        let own = &self.facts.object.name;
        let owner = self.output.and_then(|output| match &output.owner {
            Ownership::Controlled { name, .. } | Ownership::Retained(name) => Some(name),
            Ownership::Foreign => None,
        });
        let here = self.snapshot.keys.iter().map(|facts| &**facts);
        let elsewhere = self.snapshot.rivals.iter().map(|rival| &*rival.facts);
        let same_target = here.chain(elsewhere).filter(|other| {
            let target = other
                .object
                .spec
                .as_ref()
                .ok()
                .and_then(|key| key.target.as_ref());
            other.object.name.namespace == own.namespace
                && target.is_some_and(|target| target.secret == *secret)
        });
        let rank = |facts: &&KeyRefFacts| {
            let name = &facts.object.name.name;
            (Some(name) != owner, facts.object.created, name.clone())
        };
        let winner = same_target.min_by_key(rank)?;
        (winner.object.name != *own).then_some(&winner.object.name.name)
    }

    /// Who else has this very key.
    fn shared(&self, digest: Digest) -> Option<Trouble> {
        let own = &self.facts.object.name;
        let foreign = self
            .snapshot
            .rivals
            .iter()
            .filter(|rival| rival.digest == Some(digest));
        let both = |rival: &&Rival| {
            let other = rival.facts.object.spec.as_ref().ok();
            self.key.scope == Scope::Organization
                && other.is_some_and(|other| other.scope == Scope::Organization)
        };
        let stronger = foreign
            .filter(|rival| !both(rival))
            .find(|rival| rival.is_stronger_than(self.facts, self.key, digest));
        if stronger.is_some() {
            let message = "Another Workspace already uses the same key, and a key belongs to one. Make a key of \
                           this Workspace's own, or set scope: Organization on both if Anthropic made it so.";
            return Some(Trouble::fault(reason::KEY_IN_ANOTHER_WORKSPACE, message));
        }
        let twin = self
            .snapshot
            .keys
            .iter()
            .filter(|other| other.object.name != *own)
            .find(|other| {
                let spec = other.object.spec.as_ref().ok();
                spec.is_some_and(|key| {
                    key.service != self.key.service
                        && Settling::new(self.snapshot, other, key)
                            .lookup(&key.source)
                            .digest()
                            == Some(digest)
                })
            })?;
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

    /// Digest of the version that is in use once this plan is carried out.
    fn in_use(&self, value: &Value) -> Option<Digest> {
        match value {
            Value::Use(handle) => Some(handle.digest),
            Value::Keep => self
                .memory()
                .filter(|memory| !memory.emptied)
                .map(|memory| memory.sha256),
            Value::Empty(_) => None,
        }
    }

    /// All versions seen, latest first, brought up to the one in use.
    fn versions(&self, in_use: Option<Digest>) -> Vec<KeyVersion> {
        let now = whole_second(self.snapshot.now);
        let mut known: BTreeMap<Fingerprint, KeyVersion> = BTreeMap::new();
        let remembered = self
            .memory()
            .map(|memory| memory.versions.as_slice())
            .unwrap_or_default();
        for version in remembered.iter().chain(&self.facts.versions) {
            let entry = known
                .entry(version.fingerprint)
                .or_insert_with(|| version.clone());
            entry.first_seen = entry.first_seen.min(version.first_seen);
            entry.key_id = entry.key_id.take().or_else(|| version.key_id.clone());
        }
        let in_use = in_use.map(|digest| digest.fingerprint());
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

    fn dates(
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
                .map(|at| at.min(first_seen)),
        };
        let issued = beginning.issued(now);
        let expires = notes
            .and_then(|notes| notes.expires_at)
            .or(self.key.expires_at);
        let rotation = self.workspace_rotation().tightened(self.key.rotation);
        let key_id = notes
            .and_then(|notes| notes.key_id.clone())
            .or_else(|| self.key.key_id.clone());
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

    fn is_revoked(&self, digest: Digest) -> bool {
        self.key
            .revoked_fingerprints
            .contains(&digest.fingerprint())
    }

    fn memory(&self) -> Option<&'a KeyMemory> {
        self.output.and_then(|output| output.memory.as_deref())
    }

    fn lookup(&self, source: &SecretKey) -> ValueLookup {
        let secret = self.snapshot.secrets.get(&source.secret());
        secret.map_or(ValueLookup::Unread, |secret| {
            secret.value(source, self.memory())
        })
    }

    fn secret(&self, source: &SecretKey) -> Option<&'a SecretFacts> {
        match self.snapshot.secrets.get(&source.secret())? {
            SecretLookup::Present(secret) => Some(secret),
            SecretLookup::Absent | SecretLookup::Denied | SecretLookup::Assumed => None,
        }
    }
}

// === impl Rival ===

impl Rival {
    /// Who keeps a key that two workspaces claim: who uses it already; else whose namespace it
    /// comes from; else the older; else the first by name.
    fn is_stronger_than(&self, facts: &KeyRefFacts, key: &ApiKey, digest: Digest) -> bool {
        let own = &facts.object;
        let used = facts
            .versions
            .iter()
            .find(|version| version.active_until.is_none());
        let in_use = used.is_some_and(|version| version.fingerprint == digest.fingerprint());
        let theirs = self.facts.object.spec.as_ref().ok();
        let at_home = theirs.is_some_and(|key| key.source.namespace == self.name.namespace);
        let rank = (!self.in_use, !at_home, self.created, &self.name);
        rank < (
            !in_use,
            key.source.namespace != own.name.namespace,
            own.created,
            &own.name,
        )
    }
}

impl ValueLookup {
    fn digest(self) -> Option<Digest> {
        match self {
            Self::Known(facts) => Some(facts.digest),
            Self::Missing | Self::Unread | Self::NoSecret | Self::Denied | Self::Assumed => None,
        }
    }
}

/// Statuses and annotations hold whole seconds; so does what is remembered.
pub fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn may_attach(snapshot: &Snapshot, workspace: &Workspace, namespace: &Name) -> bool {
    let none = Labels::new();
    let labels = snapshot
        .namespaces
        .get(namespace)
        .map_or(&none, |labels| &**labels);
    workspace
        .ceiling_of(&snapshot.name.namespace, namespace, labels)
        .is_some_and(|ceiling| ceiling.may_attach_keys())
}

fn denied(namespace: &str) -> Trouble {
    let message = format!(
        "The operator may not touch Secrets in namespace {namespace}. An administrator can permit it: \
         kubectl create rolebinding anthropic-rbac-secrets -n {namespace} --clusterrole=anthropic-rbac-secrets \
         --serviceaccount=anthropic-rbac-system:anthropic-rbac"
    );
    Trouble::fault(reason::SECRET_ACCESS_DENIED, message)
}

//! The Secrets a key is put into: what each holds of it, and what it is to hold.
//! Must not decide which version is used.

use jiff::Timestamp;

use super::{Settled, Value};
use crate::facts::{KeyMemory, KeyRefFacts, OutputFacts, OutputId, Snapshot, whole_second};
use crate::plan::output::{Content, KeyHandle};
use crate::plan::outputs::keys_name;
use crate::policy::digest::Digest;
use crate::policy::key::{ApiKey, Target};
use crate::policy::name::Name;
use crate::policy::table::KeyRow;

/// One data key of a Secret of ours that is there for one ApiKeyRef.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// The Secret.
    pub id: OutputId,
    /// The data key.
    pub data_key: Name,
    /// The Secret as it is.
    pub found: Option<&'a OutputFacts>,
    /// Whether it is the ApiKeyRef's own target, and not a gateway's.
    pub is_target: bool,
    /// Whether what is there was written for this ApiKeyRef: while two fight for one target, or
    /// one has just lost it, the other's versions are not its own.
    pub is_own: bool,
    /// Whether one that is gone has left it to this ApiKeyRef.
    pub is_left: bool,
}

/// The places of a key: its target first, then the gateways of its Workspace.
pub(super) fn of<'a>(snapshot: &'a Snapshot, facts: &KeyRefFacts, key: &ApiKey) -> Vec<Place<'a>> {
    let target = key.target.as_ref();
    let target = target.map(|target| Place::target(snapshot, facts, target));
    let data_key = data_key(facts, key);
    let gateways = gateways(snapshot).map(|id| Place::gateway(snapshot, id, data_key.clone()));
    target.into_iter().chain(gateways).collect()
}

/// The keys Secret of each gateway of a Workspace.
pub fn gateways(snapshot: &Snapshot) -> impl Iterator<Item = OutputId> {
    let workspace = snapshot.workspace.as_ref();
    let spec = workspace.and_then(|facts| facts.object.spec.as_ref().ok());
    let gateways = spec.into_iter().flat_map(|spec| &spec.gateways);
    gateways.map(|gateway| {
        let name = keys_name(&snapshot.name.name, &gateway.name);
        OutputId::secret(snapshot.name.namespace.clone(), name)
    })
}

/// A key's data key in a gateway's Secret: the id that subjects name it by in `policy.json`.
pub fn data_key(facts: &KeyRefFacts, key: &ApiKey) -> Name {
    let row = KeyRow {
        api_key_ref: Name::from(facts.object.name.to_string()),
        scope: key.scope,
        fingerprint: None,
    };
    Name::from(row.id().to_string())
}

// === impl Place ===

impl<'a> Place<'a> {
    /// The target of an ApiKeyRef.
    pub fn target(snapshot: &'a Snapshot, facts: &KeyRefFacts, target: &Target) -> Self {
        let namespace = facts.object.name.namespace.clone();
        let id = OutputId::secret(namespace, target.secret.clone());
        let found = snapshot.outputs.get(&id).map(|found| &**found);
        Self {
            is_own: found.is_some_and(|found| found.is_of_key(&facts.object.name.name)),
            is_left: found.is_some_and(|found| found.is_left_to(&facts.object.name.name)),
            found,
            id,
            data_key: target.key.clone(),
            is_target: true,
        }
    }

    /// A key's place in a gateway's Secret.
    pub fn gateway(snapshot: &'a Snapshot, id: OutputId, data_key: Name) -> Self {
        Self {
            found: snapshot.outputs.get(&id).map(|found| &**found),
            id,
            data_key,
            is_target: false,
            is_own: true,
            is_left: false,
        }
    }

    fn own(&self) -> Option<&'a OutputFacts> {
        self.found.filter(|_| self.is_own)
    }

    /// What the Secret remembers of the key.
    pub fn memory(&self) -> Option<&'a KeyMemory> {
        self.own()?.memory.get(&self.data_key)
    }

    /// The same, if the key is there as it was left.
    pub fn held(&self) -> Option<&'a KeyMemory> {
        self.own()?.holds(&self.data_key)
    }

    /// What is to be there; `None` is no data key at all.
    pub fn content(&self, settled: &Settled) -> Option<Content> {
        let version = if self.is_target {
            settled.in_use()
        } else {
            Some(settled.usable?)
        };
        let kept = self.held().map(|held| held.sha256);
        let kept = kept.filter(|digest| Some(digest.fingerprint()) == version);
        match (&settled.value, self.is_target) {
            (Value::Use(handle), _) => Some(Content::Key(handle.clone())),
            (Value::Keep, _) if kept.is_some() => Some(Content::Kept(kept)),
            // Another version than the one that stays, of which a plan was not finished.
            (Value::Keep, true) if self.held().is_some() => Some(Content::Emptied),
            // There is nothing to keep or to take away where nothing is.
            (Value::Keep, true) if self.is_own => Some(Content::Kept(None)),
            // Of others' values only those go that are left to nobody else.
            (Value::Keep | Value::Empty(_), true) => {
                (self.is_own || self.is_left).then_some(Content::Emptied)
            }
            (Value::Keep | Value::Empty(_), false) => None,
        }
    }

    /// What the Secret is to remember along with that. While nothing but the source's
    /// resourceVersion has moved it is left as it is: that is not worth a write.
    pub fn remember(
        &self,
        snapshot: &Snapshot,
        settled: &Settled,
        content: Option<&Content>,
    ) -> Option<KeyMemory> {
        if !self.is_target && settled.room == 0 {
            return None;
        }
        let before = self.memory();
        let now = whole_second(snapshot.now);
        let mut versions = settled.versions.clone();
        if !self.is_target {
            versions.truncate(settled.room);
        }
        let read = |handle: &KeyHandle, emptied: bool| {
            let secret = snapshot.secrets.get(&handle.source.secret());
            let (uid, resource_version) = secret.map(|secret| secret.version()).unwrap_or_default();
            KeyMemory {
                source: handle.source.clone(),
                uid,
                resource_version,
                workspace: self.is_target.then(|| snapshot.name.clone()),
                sha256: handle.digest,
                emptied,
                since: self.since((!emptied).then_some(handle.digest), now),
                versions: versions.clone(),
            }
        };
        let memory = match (content, &settled.value) {
            (Some(Content::Key(handle)), _) => read(handle, false),
            (Some(Content::Kept(_)), _) => KeyMemory {
                versions,
                ..before?.clone()
            },
            // It is known and not given out; it need not be read again to know that.
            (_, Value::Use(handle)) => read(handle, true),
            (_, Value::Keep | Value::Empty(_)) => KeyMemory {
                emptied: true,
                since: self.since(None, now),
                versions,
                ..before?.clone()
            },
        };
        let unmoved = before.filter(|before| {
            let dated = KeyMemory {
                uid: memory.uid.clone(),
                resource_version: memory.resource_version.clone(),
                ..(*before).clone()
            };
            dated == memory
        });
        Some(unmoved.cloned().unwrap_or(memory))
    }

    /// Since when this value is there, or none: what is not so yet is so from now on.
    fn since(&self, wanted: Option<Digest>, now: Timestamp) -> Timestamp {
        let is_so = match wanted {
            Some(digest) => self.held().filter(|held| held.sha256 == digest),
            None => self.memory().filter(|memory| memory.emptied),
        };
        is_so.map_or(now, |memory| memory.since)
    }
}

//! From what should exist and what does exist to the writes between them, in the order they
//! must happen. Pure: no write without a difference, and no difference without a write.
//! Must not send anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::output::{Content, KeyHandle, Output, Owner, Plan};
use crate::api::metadata::CONTENT_SHA256;
use crate::facts::{OutputFacts, OutputId, OutputKind, Ownership};
use crate::policy::name::Name;

/// One write. All carry what they expect to find, and fail rather than meet anything else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Write {
    /// Nothing is there.
    Create(Output),
    /// Something of ours is there with this resourceVersion and differs.
    Patch {
        output: Output,
        found: Arc<OutputFacts>,
        /// Data keys on it that do not belong there.
        remove: Vec<Name>,
        /// Whether the data is to be written, or only labels, annotations and owner.
        data: bool,
    },
    /// Something of ours is there that should not be.
    Delete {
        id: OutputId,
        found: Arc<OutputFacts>,
    },
}

impl Plan {
    /// The writes from `existing` to this plan: first what takes away, then the rest. Statuses
    /// come after all of them and are not part of this. Foreign objects are left alone.
    pub fn writes(&self, existing: &BTreeMap<OutputId, Arc<OutputFacts>>) -> Vec<Write> {
        let mut writes: Vec<Write> = Vec::new();
        for id in &self.stale {
            if let Some(found) = existing.get(id).filter(|found| found.is_ours()) {
                writes.push(Write::Delete {
                    id: id.clone(),
                    found: found.clone(),
                });
            }
        }
        for output in &self.outputs {
            let write = match existing.get(&output.id) {
                None if output.data.values().any(|c| matches!(c, Content::Kept(_))) => None,
                None => Some(Write::Create(output.clone())),
                Some(found) if !found.is_ours() => None,
                Some(found) => patch(output, found),
            };
            writes.extend(write);
        }
        writes.sort_by_key(Write::rank);
        writes
    }
}

// === impl Write ===

impl Write {
    /// The rank of what takes a key away.
    pub const FIRST: u8 = 0;

    /// What it writes to.
    pub fn id(&self) -> &OutputId {
        match self {
            Self::Create(output) | Self::Patch { output, .. } => &output.id,
            Self::Delete { id, .. } => id,
        }
    }

    /// The keys that it writes.
    pub fn keys(&self) -> impl Iterator<Item = &KeyHandle> {
        let data = match self {
            Self::Create(output)
            | Self::Patch {
                output, data: true, ..
            } => Some(&output.data),
            Self::Patch { data: false, .. } | Self::Delete { .. } => None,
        };
        data.into_iter()
            .flat_map(BTreeMap::values)
            .filter_map(|content| match content {
                Content::Key(handle) => Some(handle),
                Content::Text(_) | Content::Emptied | Content::Kept(_) => None,
            })
    }

    /// What of it can be done without any key: what is to go from where others are to come.
    pub fn without_keys(&self) -> Option<Self> {
        if self.keys().next().is_none() {
            return Some(self.clone());
        }
        let Self::Patch {
            output,
            found,
            remove,
            data: true,
        } = self
        else {
            return None;
        };
        let removes = !remove.is_empty() || output.data.values().any(|c| *c == Content::Emptied);
        let mut output = output.clone();
        for content in output.data.values_mut() {
            if *content != Content::Emptied {
                *content = Content::Kept(None);
            }
        }
        // They speak of the whole, which is not so yet.
        output.annotations.clear();
        removes.then(|| Self::Patch {
            output,
            found: found.clone(),
            remove: remove.clone(),
            data: true,
        })
    }

    /// Writes of a lower rank go first: taking a key away before everything, and a policy that
    /// may name a new key after the Secret that holds it.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Delete { id, .. } if id.kind == OutputKind::Secret => Self::FIRST,
            Self::Create(output) | Self::Patch { output, .. } if output.takes_away() => Self::FIRST,
            Self::Create(output) | Self::Patch { output, .. } => match output.id.kind {
                OutputKind::Secret => 1,
                OutputKind::ConfigMap => 2,
            },
            Self::Delete { .. } => 3,
        }
    }
}

fn patch(output: &Output, found: &Arc<OutputFacts>) -> Option<Write> {
    let remove: Vec<Name> = found
        .data_keys
        .iter()
        .filter(|key| !output.data.contains_key(*key))
        .cloned()
        .collect();
    let same_content = found.marks.get(CONTENT_SHA256) == output.annotations.get(CONTENT_SHA256);
    let written = |key: &Name, content: &Content| match content {
        // Somebody's edit of a value that is kept cannot be undone: its source is gone.
        Content::Kept(_) => true,
        Content::Text(_) | Content::Emptied => same_content && found.is_intact(key),
        Content::Key(handle) => found
            .holds(key)
            .is_some_and(|held| held.sha256 == handle.digest),
    };
    // What is there already is not sent again: of fifty keys, one that changed is one to read.
    let mut changed = output.clone();
    for (key, content) in &mut changed.data {
        if written(key, content) {
            let digest = match content {
                Content::Key(handle) => Some(handle.digest),
                Content::Text(_) | Content::Emptied | Content::Kept(_) => None,
            };
            *content = Content::Kept(digest);
        }
    }
    let is_kept = |content: &Content| matches!(content, Content::Kept(_));
    let data = !changed.data.values().all(is_kept) || !remove.is_empty();
    let marks = output.labels.iter().chain(&output.annotations);
    let metadata = !owned_by(found, &output.owner)
        || marks
            .into_iter()
            .any(|(key, value)| found.marks.get(key) != Some(value));
    (data || metadata).then(|| Write::Patch {
        output: changed,
        found: found.clone(),
        remove,
        data,
    })
}

fn owned_by(found: &OutputFacts, owner: &Owner) -> bool {
    match (&found.owner, owner) {
        (
            Ownership::Controlled {
                kind,
                name,
                uid,
                heirs,
            },
            Owner::Controller {
                kind: want_kind,
                name: want_name,
                uid: want_uid,
                heirs: want_heirs,
            },
        ) => {
            let same = (kind, name, heirs) == (want_kind, want_name, want_heirs);
            same && Some(uid) == want_uid.as_ref()
        }
        (Ownership::Retained(name), Owner::Retained(want)) => name == want,
        (
            Ownership::Controlled { .. }
            | Ownership::Inherited(_)
            | Ownership::Retained(_)
            | Ownership::Foreign,
            _,
        ) => false,
    }
}

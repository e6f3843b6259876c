//! Facts about Secrets that something refers to.
//! Must not hold a value.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{KeyMemory, OutputFacts};
use crate::policy::key::{SecretKey, Shape, ValueFacts};
use crate::policy::name::{Name, NamespacedName};

/// What can be said of a Secret that something refers to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SecretLookup {
    /// It is there.
    Present(Arc<SecretFacts>),
    /// It is not.
    Absent,
    /// We may not look.
    Denied,
    /// Nobody looked: offline, a Secret that is not among the files counts as present.
    Assumed,
}

/// A Secret, by its metadata.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecretFacts {
    /// Its uid; empty when it comes from a file.
    pub uid: Name,
    /// Its resourceVersion; empty when it comes from a file.
    pub resource_version: Name,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Whether it has the client-key label.
    pub is_client_key: bool,
    /// What its annotations grant and say, if anything.
    pub notes: Option<Box<SourceNotes>>,
    /// What it is to us as a place to write to; `None` for the many that are not ours.
    pub output: Option<Arc<OutputFacts>>,
    /// Its data keys, once read; `None` until then.
    pub values: Option<Arc<BTreeMap<Name, ValueFacts>>>,
}

/// Annotations of a source Secret.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SourceNotes {
    /// Namespaces whose ApiKeyRefs may use it; empty is its own only.
    pub allow_namespaces: Vec<Name>,
    /// Workspaces whose gateway may get its bytes, besides those of its own namespace.
    pub allow_workspaces: Vec<NamespacedName>,
    /// Anthropic's id of the version in it.
    pub key_id: Option<Name>,
    /// When that version was made.
    pub issued_at: Option<Timestamp>,
    /// When Anthropic stops taking it.
    pub expires_at: Option<Timestamp>,
    /// Those of its annotations that should say one of the above, and are not understood.
    pub malformed: Vec<&'static str>,
}

/// What is known of one data key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ValueLookup {
    /// It is there and was read.
    Known(ValueFacts),
    /// The Secret is there without it.
    Missing,
    /// The Secret is there and has to be read first.
    Unread,
    /// The Secret is not there.
    NoSecret,
    /// We may not look.
    Denied,
}

// === impl SecretLookup ===

impl SecretLookup {
    /// Its uid and resourceVersion, empty where it has none.
    pub fn version(&self) -> (Name, Name) {
        match self {
            Self::Present(secret) => (secret.uid.clone(), secret.resource_version.clone()),
            Self::Absent | Self::Denied | Self::Assumed => (Name::default(), Name::default()),
        }
    }

    /// Whether it is one that this operator writes, which is never a source.
    pub fn is_output(&self) -> bool {
        match self {
            Self::Present(secret) => secret.output.is_some(),
            Self::Absent | Self::Denied | Self::Assumed => false,
        }
    }

    /// Whether ApiKeyRefs of `namespace` may use it; it is in `own`. Of one that nobody could look
    /// at that cannot be told: it is not known to be forbidden, and nothing is known of its value.
    pub fn permits(&self, namespace: &str, own: &str) -> bool {
        match self {
            _ if namespace == own => true,
            Self::Present(secret) => secret.notes.as_ref().is_some_and(|notes| {
                let mut allowed = notes.allow_namespaces.iter();
                allowed.any(|name| **name == *"*" || **name == *namespace)
            }),
            Self::Denied | Self::Assumed => true,
            Self::Absent => false,
        }
    }

    /// What is known of one data key, by having read it or by what was remembered of it on the
    /// Secrets written from it.
    pub fn value<'a>(
        &self,
        source: &SecretKey,
        memories: impl IntoIterator<Item = &'a KeyMemory>,
    ) -> ValueLookup {
        let secret = match self {
            Self::Present(secret) => secret,
            Self::Absent => return ValueLookup::NoSecret,
            Self::Denied => return ValueLookup::Denied,
            Self::Assumed => return ValueLookup::Known(ValueFacts::assumed(source)),
        };
        if let Some(values) = &secret.values {
            let known = values.get(&source.key);
            return known.map_or(ValueLookup::Missing, |facts| ValueLookup::Known(*facts));
        }
        let remembered = memories.into_iter().find(|memory| {
            memory.source == *source
                && memory.uid == secret.uid
                && memory.resource_version == secret.resource_version
        });
        remembered.map_or(ValueLookup::Unread, |memory| {
            ValueLookup::Known(ValueFacts {
                digest: memory.sha256,
                shape: Shape::ApiKey,
            })
        })
    }
}

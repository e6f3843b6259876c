//! Facts about objects we write: whose they are and whether they are as we left them.
//! Must not hold their data.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::KeyMemory;
use crate::policy::finding::Kind;
use crate::policy::name::{Name, NamespacedName};

/// Kind and name of an object we write.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OutputId {
    /// Its kind.
    pub kind: OutputKind,
    /// Its name.
    pub name: NamespacedName,
}

/// Kinds of objects we write.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum OutputKind {
    ConfigMap,
    Secret,
}

/// What exists under a name we write to, by its metadata alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutputFacts {
    /// Its uid.
    pub uid: Name,
    /// Its resourceVersion.
    pub resource_version: Name,
    /// Whose it is.
    pub owner: Ownership,
    /// Other owner references on it, which survive.
    pub other_owners: Vec<OtherOwner>,
    /// Our labels and annotations on it as they are now.
    pub marks: BTreeMap<Name, Name>,
    /// Every data key it has, whoever wrote it.
    pub data_keys: Vec<Name>,
    /// Those of them that somebody else wrote after us: told from the field managers, which the
    /// API server keeps, so that no restart needs to read the data to know.
    pub tampered: BTreeSet<Name>,
    /// What it remembers of the keys in it, by data key.
    pub memory: BTreeMap<Name, KeyMemory>,
    /// When anybody last changed it, as the API server noted it.
    pub written: Option<Timestamp>,
}

/// Whose an object is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ownership {
    /// Ours, through a controller owner reference to one of our objects.
    Controlled {
        /// That object's kind.
        kind: Kind,
        /// Its name.
        name: Name,
        /// Its uid.
        uid: Name,
        /// Who takes it over, sorted.
        heirs: Vec<Heir>,
    },
    /// Ours, since who it belonged to is gone and these are to take it over; at least one, sorted.
    Inherited(Vec<Heir>),
    /// Ours, left behind or meant to stay behind when this ApiKeyRef goes.
    Retained(Name),
    /// Somebody else's: never written, labelled or deleted.
    Foreign,
}

/// An ApiKeyRef that wants a target that another one has. It is among the owners, so that
/// Kubernetes does not collect the target together with the other one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Heir {
    /// Its name.
    pub name: Name,
    /// Its uid.
    pub uid: Name,
}

/// An owner reference of somebody else's, carried along unchanged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OtherOwner {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub uid: String,
}

/// Why a write did not go through, as far as a status should say it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WriteFailure {
    /// We may not.
    Forbidden,
    /// There is an object of that name that is not ours.
    NotOurs,
    /// Anything else the API server said; never holds a value that was written.
    Refused(String),
}

// === impl OutputId ===

impl OutputId {
    /// Names a ConfigMap.
    pub fn config_map(namespace: impl Into<Name>, name: impl Into<Name>) -> Self {
        Self {
            kind: OutputKind::ConfigMap,
            name: NamespacedName::new(namespace, name),
        }
    }

    /// Names a Secret.
    pub fn secret(namespace: impl Into<Name>, name: impl Into<Name>) -> Self {
        Self {
            kind: OutputKind::Secret,
            name: NamespacedName::new(namespace, name),
        }
    }
}

impl OutputKind {
    /// Its name in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

impl std::fmt::Display for OutputId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.name)
    }
}

// === impl OutputFacts ===

impl OutputFacts {
    /// Whether it was written for the ApiKeyRef of this name, in its namespace.
    pub fn is_of_key(&self, key: &str) -> bool {
        match &self.owner {
            Ownership::Controlled {
                kind: Kind::ApiKeyRef,
                name,
                ..
            }
            | Ownership::Retained(name) => **name == *key,
            Ownership::Controlled { .. } | Ownership::Inherited(_) | Ownership::Foreign => false,
        }
    }

    /// Whether one that is gone has left it to the ApiKeyRef of this name.
    pub fn is_left_to(&self, key: &str) -> bool {
        match &self.owner {
            Ownership::Inherited(heirs) => heirs.iter().any(|heir| *heir.name == *key),
            Ownership::Controlled { .. } | Ownership::Retained(_) | Ownership::Foreign => false,
        }
    }

    /// Whether we may write it.
    pub fn is_ours(&self) -> bool {
        !matches!(self.owner, Ownership::Foreign)
    }

    /// Whether a data key is there as we left it.
    pub fn is_intact(&self, data_key: &str) -> bool {
        self.data_keys.iter().any(|key| **key == *data_key) && !self.tampered.contains(data_key)
    }

    /// What it remembers of the key under a data key, if that key is still there as we left it.
    pub fn holds(&self, data_key: &str) -> Option<&KeyMemory> {
        let memory = self.memory.get(data_key)?;
        (!memory.emptied && self.is_intact(data_key)).then_some(memory)
    }
}

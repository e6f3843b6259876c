//! Facts: what is known of the world at one instant, in small owned pieces. Manifests on disk
//! and Kubernetes watches both become these, and nothing downstream can tell which.
//! Must not hold key bytes, nor anything nobody decides by.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::policy::catalogue::Catalogue;
use crate::policy::digest::{Digest, Fingerprint, Hex};
use crate::policy::finding::Kind;
use crate::policy::grant::Grant;
use crate::policy::key::{ApiKey, SecretKey, Shape, ValueFacts};
use crate::policy::name::{Name, NamespacedName};
use crate::policy::rotation::{Origin, State};
use crate::policy::selector::Labels;
use crate::policy::workspace::Workspace;

/// Everything one plan is made from: one workspace and all that touches it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The instant it shows.
    pub now: Timestamp,
    /// The workspace it is about, whether it exists or not.
    pub name: NamespacedName,
    /// The Workspace, if it exists.
    pub workspace: Option<Arc<WorkspaceFacts>>,
    /// RoleBindings that refer to it, sorted by name.
    pub bindings: Vec<Arc<BindingFacts>>,
    /// ApiKeyRefs that refer to it, sorted by name.
    pub keys: Vec<Arc<KeyRefFacts>>,
    /// Labels of the namespaces involved; one that is missing does not exist.
    pub namespaces: BTreeMap<Name, Arc<Labels>>,
    /// Secrets that are referred to.
    pub secrets: BTreeMap<NamespacedName, SecretLookup>,
    /// What exists under the names we write to, or says that it is ours for this workspace.
    pub outputs: BTreeMap<OutputId, Arc<OutputFacts>>,
    /// ApiKeyRefs that claim something this workspace's keys claim too.
    pub rivals: Vec<Rival>,
    /// Writes that failed in this very round: what they were for is not programmed.
    pub failures: BTreeMap<OutputId, WriteFailure>,
    /// Known models.
    pub catalogue: Arc<Catalogue>,
}

/// One object of ours, as stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Observed<T> {
    /// Its name.
    pub name: NamespacedName,
    /// Its uid; `None` when it comes from a file.
    pub uid: Option<Name>,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Its spec, or what is wrong with it: a schema may once have allowed more than this
    /// release understands.
    pub spec: Result<T, Invalid>,
    /// What its status says now.
    pub status: StatusMark,
}

/// Why a spec is not understood.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Invalid {
    /// Path of the field, such as `spec.roles[0].maxTokens`.
    pub field: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// What must be remembered of a status to know whether a new one differs, without keeping
/// it: 50,000 of them are held.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StatusMark {
    /// Digest of all that we would write; `None` when there is no status of ours.
    pub content: Option<Hex<16>>,
    /// Since when each condition has its present status.
    pub conditions: Box<[Transition]>,
}

/// Since when a condition has its status. Small, because there are five for every binding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transition {
    /// The condition's type, one of [`crate::api::conditions::OURS`].
    pub kind: &'static str,
    /// Its status.
    pub is: Is,
    /// Since then.
    pub since: Timestamp,
}

/// A condition's status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Is {
    True,
    False,
    Unknown,
}

/// A Workspace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkspaceFacts {
    /// The object.
    pub object: Observed<Workspace>,
}

/// A RoleBinding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BindingFacts {
    /// The object.
    pub object: Observed<Grant>,
    /// The Workspace it names, known even when the rest is not understood.
    pub workspace: Option<NamespacedName>,
}

/// An ApiKeyRef.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyRefFacts {
    /// The object.
    pub object: Observed<ApiKey>,
    /// The Workspace it names, known even when the rest is not understood.
    pub workspace: Option<NamespacedName>,
    /// The rotation state its status shows: a change of it is an Event.
    pub rotation: Option<State>,
    /// Versions its status remembers, latest first, the one in use among them.
    pub versions: Vec<KeyVersion>,
}

/// One version of a key, as remembered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyVersion {
    /// Which.
    pub fingerprint: Fingerprint,
    /// When it was first seen here.
    pub first_seen: Timestamp,
    /// When it was first seen to be replaced; `None` while in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_until: Option<Timestamp>,
    /// Anthropic's id of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<Name>,
    /// When it was issued and who said so, as last known: its source may be gone by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<(Timestamp, Origin)>,
    /// When Anthropic stops taking it, as last known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// What a Secret we wrote remembers about where its value came from, in its
/// `anthropic-rbac.io/key-versions` annotation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyMemory {
    /// The data key the value was read from.
    pub source: SecretKey,
    /// The source Secret's uid then.
    pub uid: Name,
    /// The source Secret's resourceVersion then: while it has not moved, nothing is read.
    pub resource_version: Name,
    /// Digest of the value that was read then.
    pub sha256: Digest,
    /// Whether the value was taken away since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub emptied: bool,
    /// Versions seen, latest first.
    pub versions: Vec<KeyVersion>,
}

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
}

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
    /// False when somebody else wrote any of its data after us: told from the field managers,
    /// which the API server keeps, so that no restart needs to read the data to know.
    pub intact: bool,
    /// What it remembers of its key.
    pub memory: Option<Arc<KeyMemory>>,
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
    },
    /// Ours, left behind or meant to stay behind when this ApiKeyRef goes.
    Retained(Name),
    /// Somebody else's: never written, labelled or deleted.
    Foreign,
}

/// An owner reference of somebody else's, carried along unchanged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OtherOwner {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub uid: String,
}

/// Another workspace's ApiKeyRef that claims the same key or the same target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rival {
    /// The ApiKeyRef.
    pub name: NamespacedName,
    /// The Workspace it names.
    pub workspace: NamespacedName,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// What it asks for.
    pub facts: Arc<KeyRefFacts>,
    /// Digest of its present value, if known.
    pub digest: Option<Digest>,
    /// Whether that digest is recorded on a Secret written for it: it was there first.
    pub in_use: bool,
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

// === impl Is ===

impl Is {
    /// As the API writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }

    /// As the API writes it; what is none of the three tells nothing.
    pub fn parse(text: &str) -> Self {
        match text {
            "True" => Self::True,
            "False" => Self::False,
            _ => Self::Unknown,
        }
    }
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
    /// Nobody looked: offline it counts as present.
    Assumed,
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

    /// What is known of one data key, by having read it or by what was remembered of it on a
    /// Secret written from it.
    pub fn value(&self, source: &SecretKey, memory: Option<&KeyMemory>) -> ValueLookup {
        let secret = match self {
            Self::Present(secret) => secret,
            Self::Absent => return ValueLookup::NoSecret,
            Self::Denied => return ValueLookup::Denied,
            Self::Assumed => return ValueLookup::Assumed,
        };
        if let Some(values) = &secret.values {
            let known = values.get(&source.key);
            return known.map_or(ValueLookup::Missing, |facts| ValueLookup::Known(*facts));
        }
        let remembered = memory.filter(|memory| {
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

// === impl OutputFacts ===

impl OutputFacts {
    /// Whether we may write it.
    pub fn is_ours(&self) -> bool {
        !matches!(self.owner, Ownership::Foreign)
    }
}

//! Facts about objects of ours: what is stored, and what their statuses say.
//! Must not hold a status itself.

use jiff::Timestamp;

use super::KeyVersion;
use crate::policy::digest::Hex;
use crate::policy::grant::Grant;
use crate::policy::key::ApiKey;
use crate::policy::name::{Name, NamespacedName};
use crate::policy::rotation::State;
use crate::policy::workspace::Workspace;

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

//! An API key as the domain sees it: a reference, its versions by fingerprint, and what is
//! to be done with its value. Must not hold, or be able to hold, a key's bytes.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::digest::{Digest, Fingerprint};
use super::name::{Name, NamespacedName};
use super::rotation::RotationWish;
use super::subject::SubjectRef;

/// What an ApiKeyRef asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiKey {
    /// The workspace the key belongs to.
    pub workspace: NamespacedName,
    /// The service it was made for.
    pub service: Name,
    /// Anthropic's id of the present version, if given here.
    pub key_id: Option<Name>,
    /// How far it reaches at Anthropic.
    pub scope: Scope,
    /// Where its value is.
    pub source: SecretKey,
    /// Its staged successor.
    pub next: Option<Next>,
    /// The Secret it is mapped into; `None` is the gateway only.
    pub target: Option<Target>,
    /// Whose requests the gateway sends with it.
    pub used_by: Vec<SubjectRef>,
    /// When the present version was made, if given here.
    pub issued_at: Option<Timestamp>,
    /// When Anthropic stops taking it, if given here.
    pub expires_at: Option<Timestamp>,
    /// Rotation, within what the Workspace sets.
    pub rotation: RotationWish,
    /// True takes it away at once.
    pub revoked: bool,
    /// Versions never to be used again.
    pub revoked_fingerprints: BTreeSet<Fingerprint>,
}

/// One data key of a Secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct SecretKey {
    /// The Secret's namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// The data key in it.
    pub key: Name,
}

/// A staged successor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Next {
    /// Where its value is.
    pub source: SecretKey,
    /// Not before this instant; `None` is as soon as it is there.
    pub activate_at: Option<Timestamp>,
}

/// The Secret a key is mapped into.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Its name, in the ApiKeyRef's namespace.
    pub secret: Name,
    /// The data key in it.
    pub key: Name,
    /// True leaves it behind when the ApiKeyRef goes.
    pub retain: bool,
}

/// How far a key reaches at Anthropic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "operator", derive(schemars::JsonSchema))]
pub enum Scope {
    /// One workspace.
    Workspace,
    /// An identity-linked key that is valid in several; requests must name the workspace.
    Organization,
}

/// What one data key of a Secret holds, without its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ValueFacts {
    /// Of the value, trimmed as it would be used.
    pub digest: Digest,
    /// What it looks like.
    pub shape: Shape,
}

/// What a value looks like. Only the first is an API key that may be handed on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Shape {
    /// `sk-ant-api…` of the Claude API, one line.
    ApiKey,
    /// `sk-ant-admin…`: may manage the whole organisation.
    AdminKey,
    /// `sk-ant-api01-…`: a Claude Enterprise scoped key.
    EnterpriseKey,
    /// `sk-ant-oat…`: a short-lived token of somebody's login.
    OAuthToken,
    /// 32 to 256 visible ASCII characters that are none of the above and start not with `ey`.
    ClientKey,
    /// Nothing but blanks.
    Empty,
    /// More than one line, blanks inside, or not text.
    NotOneWord,
    /// Anything else.
    Unknown,
}

/// How long a client key is, in characters.
pub const CLIENT_KEY_LENGTH: std::ops::RangeInclusive<usize> = 32..=256;

/// The name of the data key a target gets where nobody says otherwise: the variable that
/// Anthropic's SDKs read.
pub const DEFAULT_TARGET_KEY: &str = "ANTHROPIC_API_KEY";

// === impl Shape ===

impl Shape {
    /// What is wrong with such a value where an API key belongs; `None` when it is one.
    pub const fn wrong_as_api_key(self) -> Option<&'static str> {
        match self {
            Self::ApiKey => None,
            Self::AdminKey => {
                Some("it is an Admin API key (sk-ant-admin…), which must never reach a workload")
            }
            Self::EnterpriseKey => Some(
                "it is a Claude Enterprise scoped key (sk-ant-api01-…), which must never reach a workload",
            ),
            Self::OAuthToken => {
                Some("it is an OAuth token (sk-ant-oat…), which must never reach a workload")
            }
            Self::Empty => Some("it is empty"),
            Self::NotOneWord => Some("it is not one line of visible characters"),
            Self::ClientKey | Self::Unknown => {
                Some("it does not look like an Anthropic API key (sk-ant-api…)")
            }
        }
    }
}

// === impl ValueFacts ===

impl ValueFacts {
    /// What stands for an API key that nobody has looked at: the same wherever it is used.
    pub fn assumed(source: &SecretKey) -> Self {
        let SecretKey {
            namespace,
            name,
            key,
        } = source;
        Self {
            digest: Digest::of_lines(&["assumed", namespace, name, key]),
            shape: Shape::ApiKey,
        }
    }
}

// === impl SecretKey ===

impl std::fmt::Display for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{} key {}", self.namespace, self.name, self.key)
    }
}

impl SecretKey {
    /// The Secret without the data key.
    pub fn secret(&self) -> NamespacedName {
        NamespacedName::new(self.namespace.clone(), self.name.clone())
    }
}

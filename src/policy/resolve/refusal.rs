//! Why an object, or one subject of it, gets nothing from a workspace. Words only.

use crate::policy::name::{Name, NamespacedName};

/// Why an object may not attach to the workspace.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// Missing and not permitted look the same from another namespace.
    #[error(
        "Workspace {0} does not exist or does not admit this namespace; \
         ask its owner for an entry in spec.allowedNamespaces"
    )]
    RefNotPermitted(NamespacedName),
    #[error("role '{0}' does not exist in this Workspace; bind one of: {1}")]
    RoleNotFound(Name, String),
    #[error("this namespace may not bind role '{0}' here; ask the Workspace's owner")]
    RoleNotPermitted(Name),
    #[error("Console roles may only be bound in the Workspace's own namespace")]
    ConsoleRoleNotPermitted,
    #[error(
        "from another namespace than the Workspace's, usedBy may name only ServiceAccounts and \
         client keys of the ApiKeyRef's own namespace; remove {0}"
    )]
    SubjectNotPermitted(String),
}

/// Why one subject gets nothing from a binding or key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SubjectProblem {
    /// The subject, as the command line writes it.
    pub subject: String,
    /// A stable name.
    pub reason: &'static str,
    /// Cause and fix.
    pub message: String,
}

/// The stable names of all these reasons: conditions and findings repeat them.
pub mod reason {
    /// A reference to another namespace is not permitted there, or leads nowhere: which of the two
    /// is not told.
    pub const REF_NOT_PERMITTED: &str = "RefNotPermitted";
    /// The Workspace has no role of that name.
    pub const ROLE_NOT_FOUND: &str = "RoleNotFound";
    /// The Workspace does not let this namespace bind that role.
    pub const ROLE_NOT_PERMITTED: &str = "RoleNotPermitted";
    /// The Workspace has no issuer of that name that vouches for such subjects.
    pub const ISSUER_NOT_FOUND: &str = "IssuerNotFound";
    /// This namespace may not name that subject.
    pub const SUBJECT_NOT_PERMITTED: &str = "SubjectNotPermitted";
    /// Another namespace already uses the same client key.
    pub const CLIENT_KEY_IN_USE: &str = "ClientKeyInUse";
    /// Not looked at yet, or not yet time.
    pub const PENDING: &str = "Pending";
}

// === impl Refusal ===

impl Refusal {
    /// Its stable name.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::RefNotPermitted(_) => reason::REF_NOT_PERMITTED,
            Self::RoleNotFound(..) => reason::ROLE_NOT_FOUND,
            Self::RoleNotPermitted(_) | Self::ConsoleRoleNotPermitted => reason::ROLE_NOT_PERMITTED,
            Self::SubjectNotPermitted(_) => reason::SUBJECT_NOT_PERMITTED,
        }
    }
}

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

// === impl Refusal ===

impl Refusal {
    /// Its stable name.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::RefNotPermitted(_) => "RefNotPermitted",
            Self::RoleNotFound(..) => "RoleNotFound",
            Self::RoleNotPermitted(_) | Self::ConsoleRoleNotPermitted => "RoleNotPermitted",
            Self::SubjectNotPermitted(_) => "SubjectNotPermitted",
        }
    }
}

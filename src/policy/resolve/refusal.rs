//! Why an object, or one subject of it, does not get what it asks of a workspace. Words only.

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

/// Why one subject does not get all of what a binding or key gives.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SubjectProblem {
    /// The subject, as the command line writes it.
    pub subject: String,
    /// A stable name.
    pub reason: &'static str,
    /// Cause and fix.
    pub message: String,
}

/// The stable names of all these reasons, and what each means: conditions and findings repeat
/// them.
pub mod reason {
    use crate::policy::explain::reasons;

    reasons! {
        REF_NOT_PERMITTED = "RefNotPermitted",
            "ResolvedRefs of a RoleBinding or ApiKeyRef",
            "A reference to another namespace is not permitted there, or leads nowhere: which of the two is not told.",
            "Correct the name, or ask the owner: of a Workspace for an entry in spec.allowedNamespaces (with apiKeyRefs: Allow for keys), of a source Secret for the annotations anthropic-rbac.io/allow-namespaces and allow-workspaces.";
        ROLE_NOT_FOUND = "RoleNotFound",
            "ResolvedRefs of a RoleBinding",
            "The Workspace has no role of that name.",
            "Bind one of the roles that the message lists, or add the role to spec.roles of the Workspace.";
        ROLE_NOT_PERMITTED = "RoleNotPermitted",
            "ResolvedRefs of a RoleBinding",
            "The Workspace does not let this namespace bind that role; Console roles may only be bound in the Workspace's own namespace.",
            "Bind a role that its entry in spec.allowedNamespaces of the Workspace names, or ask the Workspace's owner to add the role there.";
        ISSUER_NOT_FOUND = "IssuerNotFound",
            "problems of a RoleBinding, ResolvedRefs of an ApiKeyRef",
            "The Workspace has no issuer of that name that vouches for such subjects: a group needs an issuer with groupsClaim, a ServiceAccount one of type Kubernetes.",
            "Correct the subject's issuer, or add the issuer to spec.authentication.issuers of the Workspace.";
        SUBJECT_NOT_PERMITTED = "SubjectNotPermitted",
            "problems of a RoleBinding, ResolvedRefs of an ApiKeyRef",
            "This namespace may not name that subject: from elsewhere than the Workspace's namespace only its own ServiceAccounts and client keys may be named.",
            "Name a subject of this namespace, or ask the Workspace's owner for subjects: Any; an ApiKeyRef from elsewhere never serves others' subjects.";
        CLIENT_KEY_IN_USE = "ClientKeyInUse",
            "problems of a RoleBinding, ResolvedRefs of an ApiKeyRef",
            "Another namespace already uses the same client key, and keeps it.",
            "Make a new client key: 32 to 256 random visible characters.";
        PENDING = "Pending",
            "Active of a RoleBinding, problems, ResolvedRefs and Programmed of an ApiKeyRef",
            "It is not looked at yet, or its time, notBefore or activateAt, is still to come.",
            "Wait; if it stays, look at the operator's log.";
        EXPIRED = "Expired",
            "Active of a RoleBinding, RotationDue of an ApiKeyRef",
            "The end has passed: of the grant, or of the key at Anthropic.",
            "Delete the grant or give it a later expiresAt; put a new key into the source.";
        DISABLED = "Disabled",
            "Active of a RoleBinding",
            "The object says state: Disabled, so it grants nothing.",
            "Set spec.state to Enabled, or leave it out.";
    }
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

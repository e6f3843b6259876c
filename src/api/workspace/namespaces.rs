//! Which other namespaces may attach to a Workspace, and how far.
//! Says how it is written; whether a reference is granted is decided in the domain.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose access a namespace may grant.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub enum SubjectScope {
    /// ServiceAccounts and ClientKeys of that namespace.
    Own,
    /// Anybody's.
    Any,
}

/// Whether something is permitted.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub enum Permission {
    /// It is.
    Allow,
    /// It is not.
    Deny,
}

/// What some namespaces may attach.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceGrant {
    /// The namespaces, by label. {} = all namespaces. Unset = see names; exactly one of the two is
    /// set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// The namespaces, by name. Unset = see selector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
    /// ApplicationRoles that their RoleBindings may give. Unset = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// Own: their RoleBindings may name only ServiceAccounts and ClientKeys of their own namespace.
    /// Any: anybody. Unset = Own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subjects: Option<SubjectScope>,
    /// Allow or Deny: whether they may attach ApiKeyRefs. Unset = Deny.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_refs: Option<Permission>,
}

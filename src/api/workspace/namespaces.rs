//! Which other namespaces may attach to a Workspace, and how far.
//! Says how it is written; whether a reference is granted is decided in the domain.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::schema;

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
#[x_kube(
    validation = Rule::new("has(self.selector) != has(self.names)")
        .message("set exactly one of selector and names; selector: {} is every namespace"),
    validation = Rule::new("has(self.roles) || (has(self.apiKeyRefs) && self.apiKeyRefs == 'Allow')")
        .message("this entry allows nothing: set roles to the ApplicationRoles they may bind, or apiKeyRefs: Allow"),
)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceGrant {
    /// The namespaces, by label. {} = all namespaces. Unset = see names; exactly one of the two is
    /// set.
    #[schemars(schema_with = "schema::label_selector")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// The namespaces, by name. Unset = see selector.
    #[schemars(schema_with = "schema::namespaces")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
    /// ApplicationRoles that their RoleBindings may give. Unset = none.
    #[schemars(schema_with = "schema::role_names")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// Own: their RoleBindings may name only ServiceAccounts and ClientKeys of their own namespace.
    /// Any: anybody. Unset = Own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SubjectScope")]
    pub subjects: Option<SubjectScope>,
    /// Allow or Deny: whether they may attach ApiKeyRefs. Unset = Deny.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Permission")]
    pub api_key_refs: Option<Permission>,
}

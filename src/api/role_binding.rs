//! The RoleBinding kind: gives subjects a role in a workspace.
//! Describes what may be written; what a grant amounts to is the domain's business.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{State, Subject, WorkspaceRef, schema};

/// Which catalogue a role is from.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub enum RoleKind {
    /// A role of the Workspace: what may be asked of the API.
    ApplicationRole,
    /// A role in the Anthropic Console: recorded, not enforced here.
    ConsoleRole,
}

/// The role that a RoleBinding gives.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[x_kube(
    validation = Rule::new("self.kind != 'ApplicationRole' || self.name.matches('^[-a-z0-9]+$')")
        .message("an ApplicationRole's name is of a-z, 0-9 and '-': the built-in ones are viewer, user, power and admin")
        .field_path(".name"),
)]
#[serde(rename_all = "camelCase")]
pub struct RoleRef {
    /// ApplicationRole: a built-in role or one of the Workspace's roles. ConsoleRole: membership
    /// in the Anthropic Console, which is written down for people to carry out.
    pub kind: RoleKind,
    /// Name of the role. Built-in ApplicationRoles: viewer, user, power, admin. ConsoleRoles:
    /// Owner, Admin, Developer, Billing, LimitedDeveloper, ClaudeCodeUser, User.
    #[schemars(schema_with = "schema::role_name")]
    pub name: String,
}

/// What is wanted: these subjects have this role in this workspace, between these times.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "anthropic-rbac.io",
    version = "v1alpha1",
    kind = "RoleBinding",
    plural = "rolebindings",
    namespaced,
    status = "RoleBindingStatus",
    derive = "PartialEq",
    doc = "Gives subjects a role in a workspace. Grants add up, as in Kubernetes RBAC; kubectl calls it airb, because plain rolebindings are Kubernetes' own.",
    shortname = "airb",
    category = "anthropic",
    selectable = ".spec.workspaceRef.name",
    selectable = ".spec.workspaceRef.namespace",
    printcolumn(
        name = "Workspace",
        type_ = "string",
        json_path = ".spec.workspaceRef.name"
    ),
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.roleRef.name"),
    printcolumn(name = "Subjects", type_ = "integer", json_path = ".status.subjects"),
    printcolumn(
        name = "Active",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Active\")].status"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(
    validation = Rule::new("self.roleRef.kind != 'ConsoleRole' || self.subjects.all(s, s.kind == 'User' && !has(s.issuer))")
        .message("a ConsoleRole is for people of the Anthropic Console: list only Users, by e-mail address and without issuer")
        .field_path(".subjects"),
    validation = Rule::new("self.roleRef.kind != 'ApplicationRole' || self.subjects.all(s, !(s.kind in ['User', 'Group']) || has(s.issuer))")
        .message("a User or Group needs the issuer that vouches for it: set issuer to a name from the Workspace's authentication.issuers")
        .field_path(".subjects"),
    validation = Rule::new("!has(self.notBefore) || !has(self.expiresAt) || self.notBefore < self.expiresAt")
        .message("expiresAt must be after notBefore, or the grant never holds: correct one of the two")
        .field_path(".expiresAt"),
)]
#[serde(rename_all = "camelCase")]
pub struct RoleBindingSpec {
    /// The Workspace the role is given in. May be changed.
    pub workspace_ref: WorkspaceRef,
    /// The role that is given.
    pub role_ref: RoleRef,
    /// Who gets it: 1 to 256 subjects, each once. Grants add up, as in Kubernetes RBAC.
    #[schemars(schema_with = "schema::binding_subjects")]
    pub subjects: Vec<Subject>,
    /// First moment at which the grant holds. Unset = it holds from the start.
    #[schemars(schema_with = "schema::point_in_time")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// First moment at which the grant no longer holds. Unset = it does not end.
    #[schemars(schema_with = "schema::point_in_time")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Enabled, or Disabled to suspend the grant without deleting it. Unset = Enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "State")]
    pub state: Option<State>,
}

/// What was observed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RoleBindingStatus {
    /// The metadata.generation this status is about. -1 = not looked at yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, ResolvedRefs, Active, Programmed; Stalled when this object must be edited.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Number of subjects in the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subjects: Option<i64>,
    /// Subjects that do not get all that this binding asks for, and why: the first 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<SubjectProblem>,
    /// When the grant next starts or ends by itself. Unset = never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_transition: Option<Time>,
}

/// Why one subject does not get all that a binding asks for.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SubjectProblem {
    /// The subject, as `serviceaccount:NAMESPACE/NAME`, `user:ISSUER:NAME`, `group:ISSUER:NAME` or
    /// `clientkey:NAMESPACE/NAME`.
    pub subject: String,
    /// Stable name of the cause, in CamelCase.
    pub reason: String,
    /// What is wrong and what to do, in one line.
    pub message: String,
}

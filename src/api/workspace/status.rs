//! What was observed of a Workspace.
//! Shapes only: the plan fills them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ApiAccess, GatewayType};
use crate::api::{FindingStatus, FindingTotals, OnOverdue};

/// What was observed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceStatus {
    /// The metadata.generation this status is about. -1 = not looked at yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Accepted, Programmed; Stalled when this object must be edited.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Names the rules in force: gateways write it to their audit logs with each decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_revision: Option<String>,
    /// The limits in force, defaults filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<EffectiveWorkspace>,
    /// How much is attached to this Workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<WorkspaceCounts>,
    /// The gateway-neutral objects written for this Workspace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputStatus>,
    /// The gateways, and how far they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub gateways: Vec<GatewayStatus>,
    /// What is odd about this Workspace and what is attached to it: the worst 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<FindingStatus>,
    /// How many findings there are of each severity, shown or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding_totals: Option<FindingTotals>,
    /// When something here next changes by itself: a grant starts or ends, a key becomes due.
    /// Unset = never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_transition: Option<Time>,
}

/// The limits in force.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveWorkspace {
    /// Requests per minute of all subjects together. Unset = no shared ceiling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<i64>,
    /// max_tokens for requests that name none, in tokens.
    pub default_max_tokens: i64,
    /// Models that any role may use at most. Unset = any model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// Every ApplicationRole that can be bound.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub roles: Vec<EffectiveRole>,
    /// When keys are to be replaced.
    pub rotation: EffectiveRotation,
}

/// One role, with every limit filled in.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveRole {
    /// Name of the role.
    pub name: String,
    /// Allowed, or None for a role that may not call the API.
    pub api_access: ApiAccess,
    /// Models it may use. Unset = it has no access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// Highest max_tokens of one request, in tokens. Unset = it has no access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<i64>,
    /// Requests per minute of each subject. Unset = it has no access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<i64>,
}

/// The rotation rules in force.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveRotation {
    /// Days from issue to replacement.
    pub period_days: i64,
    /// Days before that date at which a key counts as due soon.
    pub warn_days: i64,
    /// What happens to an overdue key: Flag or Suspend.
    pub on_overdue: OnOverdue,
}

/// How much is attached to a Workspace.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceCounts {
    /// RoleBindings that name this Workspace and may.
    pub bindings: i64,
    /// Those of them that hold now.
    pub active_bindings: i64,
    /// Different subjects with at least one role now.
    pub subjects: i64,
    /// ApiKeyRefs that name this Workspace and may.
    pub keys: i64,
    /// Those of them that are overdue or expired.
    pub keys_due: i64,
}

/// One object written for a Workspace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct OutputStatus {
    /// ConfigMap or Secret.
    pub kind: String,
    /// Name of the object, in this namespace.
    pub name: String,
    /// Hex SHA-256 of its content.
    pub content_sha256: String,
    /// Size of its content.
    pub bytes: i64,
}

/// One gateway, and how far it is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GatewayStatus {
    /// Name of the gateway, as in the spec.
    pub name: String,
    /// Type of the gateway, as in the spec.
    #[serde(rename = "type")]
    pub type_: GatewayType,
    /// Hex SHA-256 over all of its files.
    pub content_sha256: String,
    /// Number of objects written for it.
    pub objects: i64,
    /// Size of its files together.
    pub bytes: i64,
    /// How far its pods are. Unset = the gateway has no podSelector, or its pods may not be looked
    /// at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<GatewayPods>,
    /// How each limit is held by this gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["limit".into()]))]
    pub limits: Vec<LimitStatus>,
}

/// How far the pods of a gateway are.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GatewayPods {
    /// Number of pods that mount files of the gateway.
    pub total: i64,
    /// Number of those that started with the present files, or whose kubelet was told of them. It
    /// then takes well under a second to show them to the pod.
    pub hurried: i64,
    /// Number of pods that have loaded the present files, as they say themselves when the operator
    /// asks them. Unset = they are about to, for up to two minutes, or the gateway cannot say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loaded: Option<i64>,
    /// Those whose kubelet was not told, or that have not loaded the files in time: at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub lagging: Vec<LaggingPod>,
}

/// A pod that has older files and whose kubelet was not told of the present ones, or that has not
/// loaded them in time.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LaggingPod {
    /// Name of the pod.
    pub name: String,
    /// Hex SHA-256 of the files its kubelet was last told of. Unset = never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hurried_for: Option<String>,
    /// Revision of the policy that it has loaded. Unset = none, or not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loaded_revision: Option<String>,
    /// Why it has not loaded the present files. Unset = it has, or still has time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How well a gateway holds a limit.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub enum Enforcement {
    /// Exactly.
    Enforced,
    /// By each replica for itself, so that N replicas let N times as much through.
    PerReplica,
    /// Not at all.
    NotEnforced,
}

/// How a gateway holds one limit.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LimitStatus {
    /// Name of the limit.
    pub limit: String,
    /// Enforced; PerReplica: by each replica for itself, so that N replicas let N times as much
    /// through; or NotEnforced.
    pub enforcement: Enforcement,
}

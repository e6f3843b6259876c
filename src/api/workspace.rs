//! The Workspace kind: one Anthropic workspace and the gateway that serves it.
//! Describes what may be written; defaults and effects are the domain's business.

mod authentication;
mod namespaces;
mod roles;
mod status;

pub use authentication::{Authentication, Issuer, IssuerType};
pub use namespaces::{NamespaceGrant, Permission, SubjectScope};
pub use roles::{ApiAccess, RateLimits, RoleDefinition, Tier};
pub use status::{
    EffectiveRole, EffectiveRotation, EffectiveWorkspace, Enforcement, GatewayPods, GatewayStatus,
    LaggingPod, LimitStatus, OutputStatus, WorkspaceCounts, WorkspaceStatus,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{self, DNS_LABEL};
use super::{LocalRef, Rotation, State, Subject};

/// Which gateway the files are for.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub enum GatewayType {
    /// Envoy.
    Envoy,
    /// The LiteLLM proxy.
    LiteLLM,
}

/// The keys of a Workspace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(
    validation = Rule::new("has(self.defaultApiKeyRef) || has(self.rotation)")
        .message("empty keys say nothing: set defaultApiKeyRef or rotation, or leave keys out"),
)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceKeys {
    /// The ApiKeyRef, in this namespace, for subjects that no ApiKeyRef names. Unset = such
    /// subjects are denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_api_key_ref: Option<LocalRef>,
    /// When keys are to be replaced. An ApiKeyRef may only tighten it. Unset = every 90 days, with
    /// a warning 14 days ahead, and overdue keys are flagged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
}

/// One gateway that serves the Workspace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// Name of the gateway, unique in the Workspace and part of its outputs' names.
    #[schemars(schema_with = "schema::gateway_name")]
    pub name: String,
    /// Which gateway the files are for: Envoy or LiteLLM.
    #[serde(rename = "type")]
    pub type_: GatewayType,
    /// The gateway's pods in this namespace: of those it selects, the ones that mount files written
    /// for this Workspace. Changes are hurried to them, within about a second, and status shows how
    /// far they are; needs rights on pods there. Unset = pods are not looked at, and a change
    /// reaches them when their kubelet next looks, after about a minute.
    #[schemars(schema_with = "schema::pod_selector")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,
}

/// What is wanted of the workspace.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "anthropic-rbac.io",
    version = "v1alpha1",
    kind = "Workspace",
    plural = "workspaces",
    namespaced,
    status = "WorkspaceStatus",
    derive = "PartialEq",
    doc = "One Anthropic workspace and the gateway that serves it. It lives in the namespace where its gateway runs.",
    shortname = "aiws",
    category = "anthropic",
    printcolumn(name = "Environment", type_ = "string", json_path = ".spec.environment"),
    printcolumn(name = "RPM", type_ = "integer", json_path = ".status.effective.requestsPerMinute"),
    printcolumn(name = "Bindings", type_ = "integer", json_path = ".status.counts.bindings"),
    printcolumn(name = "Keys", type_ = "integer", json_path = ".status.counts.keys"),
    printcolumn(name = "Due", type_ = "integer", json_path = ".status.counts.keysDue"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new(format!("self.metadata.name.size() <= 40 && self.metadata.name.matches('{DNS_LABEL}')"))
        .message("a Workspace's name is at most 40 characters of a-z, 0-9 and '-', because names of its outputs are made from it: choose a shorter name without dots")
        .field_path(".metadata.name")
)]
#[x_kube(
    validation = Rule::new("!has(self.allowedNamespaces) || self.allowedNamespaces.all(a, !has(a.roles) || a.roles.all(r, r in ['viewer', 'user', 'power', 'admin'] || (has(self.roles) && self.roles.exists(x, x.name == r))))")
        .message("names a role that is neither built in (viewer, user, power, admin) nor among roles: correct the name, or add the role")
        .field_path(".allowedNamespaces"),
    validation = Rule::new("!has(self.blockedSubjects) || self.blockedSubjects.all(s, !has(s.issuer) || (has(self.authentication) && self.authentication.issuers.exists(i, i.type == 'OIDC' && i.name == s.issuer)))")
        .message("names an issuer that is no OIDC issuer of authentication.issuers, so that nobody would be blocked: correct the name")
        .field_path(".blockedSubjects"),
)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceSpec {
    /// Name for people. Unset = metadata.name.
    #[schemars(schema_with = "schema::display_name")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The environment it is for, compared with the label anthropic-rbac.io/environment of the
    /// namespaces that use it: a difference is reported, not denied. Unset = not compared.
    #[schemars(schema_with = "schema::label_value")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Anthropic's id of the workspace, such as wrkspc_01JwQvzr7rXLA5AGx3HKfFUJ. Needed for keys
    /// of scope Organization. Unset = unknown.
    #[schemars(schema_with = "schema::workspace_id")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_id: Option<String>,
    /// Ceiling on requests, shared by all subjects. Unset = the gateway has no shared ceiling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limits: Option<RateLimits>,
    /// Models that any role may use at most: an exact id, or a prefix with one trailing *. Unset =
    /// any model.
    #[schemars(schema_with = "schema::models")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// max_tokens for requests that name none, in tokens; a role's maxTokens still holds. Unset =
    /// 1024.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_max_tokens: Option<i64>,
    /// Roles that differ from the built-in ones (viewer, user, power, admin), or add to them.
    /// Unset = the built-in roles as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub roles: Option<Vec<RoleDefinition>>,
    /// Which key is the default, and when keys are to be replaced. Unset = no default key, and
    /// rotation every 90 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<WorkspaceKeys>,
    /// Who besides this namespace may attach RoleBindings and ApiKeyRefs, and how far. What a
    /// binding asks for must be allowed by one entry whole. Unset = nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub allowed_namespaces: Option<Vec<NamespaceGrant>>,
    /// Subjects that are denied whatever is granted to them: up to 256. Unset = none.
    #[schemars(schema_with = "schema::blocked_subjects")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_subjects: Option<Vec<Subject>>,
    /// Who vouches for callers. Unset = this cluster's ServiceAccounts, with the audience
    /// anthropic-rbac/NAMESPACE/NAME of this Workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Authentication>,
    /// The gateways that serve this Workspace. Unset = none: only the gateway-neutral policy is
    /// written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub gateways: Option<Vec<Gateway>>,
    /// Enabled, or Disabled to deny every request and take its keys out of gateways and target
    /// Secrets. Unset = Enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "State")]
    pub state: Option<State>,
}

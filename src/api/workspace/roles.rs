//! What a Workspace allows: its ceiling and its roles.
//! Says how they are written; the figures of tiers and built-in roles live in the domain.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::schema;

/// An Anthropic usage tier.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub enum Tier {
    /// Before 2026-06-26: 50 requests a minute.
    Tier1,
    /// Before 2026-06-26: 1,000 requests a minute.
    Tier2,
    /// Before 2026-06-26: 2,000 requests a minute.
    Tier3,
    /// Before 2026-06-26: 4,000 requests a minute.
    Tier4,
    /// 1,000 requests a minute.
    Start,
    /// 5,000 requests a minute.
    Build,
    /// 10,000 requests a minute.
    Scale,
}

/// The ceiling shared by all subjects of a Workspace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("has(self.tier) || has(self.requestsPerMinute)")
        .message("rateLimits without a limit says nothing: set tier or requestsPerMinute, or leave rateLimits out"),
)]
#[serde(rename_all = "camelCase")]
pub struct RateLimits {
    /// Anthropic usage tier, for its requests per minute: Start 1000, Build 5000, Scale 10000; of
    /// before 2026-06-26: Tier1 50, Tier2 1000, Tier3 2000, Tier4 4000. Unset = requestsPerMinute
    /// alone counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Tier")]
    pub tier: Option<Tier>,
    /// Requests per minute of all subjects together. Unset = the tier's.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<i64>,
}

/// Whether a role may call the API.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub enum ApiAccess {
    /// It may, within its limits.
    Allowed,
    /// It may not.
    None,
}

// Only user, power and admin have built-in limits to fall back on, so viewer is like a new role
// as soon as it is given access.
/// A role of a Workspace: a built-in one, changed field by field, or a new one.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("has(self.apiAccess) || self.name in ['viewer', 'user', 'power', 'admin']")
        .message("a role that is not built in must say whether it may call the API: set apiAccess to Allowed or None")
        .field_path(".apiAccess")
        .reason(Reason::FieldValueRequired),
    validation = Rule::new("!has(self.apiAccess) || self.apiAccess != 'Allowed' || self.name in ['user', 'power', 'admin'] || (has(self.models) && has(self.maxTokens) && has(self.requestsPerMinute))")
        .message("a role with access that has no built-in limits must set them all: set models, maxTokens and requestsPerMinute"),
    validation = Rule::new("!has(self.apiAccess) || self.apiAccess != 'None' || !(has(self.models) || has(self.maxTokens) || has(self.requestsPerMinute))")
        .message("a role without access has no limits: remove models, maxTokens and requestsPerMinute, or set apiAccess: Allowed"),
    validation = Rule::new("has(self.apiAccess) || self.name != 'viewer' || !(has(self.models) || has(self.maxTokens) || has(self.requestsPerMinute))")
        .message("viewer has no access, so it has no limits: remove models, maxTokens and requestsPerMinute, or set apiAccess: Allowed"),
)]
#[serde(rename_all = "camelCase")]
pub struct RoleDefinition {
    /// Name of the role. viewer, user, power and admin change the built-in role; any other name
    /// adds a role.
    #[schemars(schema_with = "schema::dns_label")]
    pub name: String,
    /// Allowed, or None for a role that may not call the API and so has no limits. Unset = as
    /// built in; a new role must set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ApiAccess")]
    pub api_access: Option<ApiAccess>,
    /// Models it may use: an exact id, or a prefix with one trailing *. Unset = as built in; a new
    /// role with access must set it.
    #[schemars(schema_with = "schema::models")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// Highest max_tokens of one request, in tokens. Unset = as built in; a new role with access
    /// must set it.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<i64>,
    /// Requests per minute of each subject. Unset = as built in; a new role with access must set
    /// it.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<i64>,
}

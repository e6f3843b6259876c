//! What a Workspace allows: its ceiling and its roles.
//! Says how they are written; the figures of tiers and built-in roles live in the domain.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
#[serde(rename_all = "camelCase")]
pub struct RateLimits {
    /// Anthropic usage tier, for its requests per minute: Start 1000, Build 5000, Scale 10000; of
    /// before 2026-06-26: Tier1 50, Tier2 1000, Tier3 2000, Tier4 4000. Unset = requestsPerMinute
    /// alone counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// Requests per minute of all subjects together. Unset = the tier's.
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

/// A role of a Workspace: a built-in one, changed field by field, or a new one.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RoleDefinition {
    /// Name of the role. viewer, user, power and admin change the built-in role; any other name
    /// adds a role.
    pub name: String,
    /// Allowed, or None for a role that may not call the API and so has no limits. Unset = as
    /// built in; a new role must set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_access: Option<ApiAccess>,
    /// Models it may use: an exact id, or a prefix with one trailing *. Unset = as built in; a new
    /// role with access must set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// Highest max_tokens of one request, in tokens. Unset = as built in; a new role with access
    /// must set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<i64>,
    /// Requests per minute of each subject. Unset = as built in; a new role with access must set
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<i64>,
}

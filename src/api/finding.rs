//! How a finding looks in a status.
//! Which findings exist and what causes them is the domain's business.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much a finding matters.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub enum Severity {
    /// Something asked for does not happen.
    Error,
    /// It works, but likely not as meant, or not for long.
    Warning,
    /// Worth knowing.
    Info,
}

/// One finding.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FindingStatus {
    /// Error: something asked for does not happen. Warning: it works, but likely not as meant, or
    /// not for long. Info: worth knowing.
    pub severity: Severity,
    /// Stable name of the kind of finding, in CamelCase: `anthropic-rbac explain REASON` gives
    /// cause and fix.
    pub reason: String,
    /// The object it is about, as `kind/name` or `kind/namespace/name`.
    pub object: String,
    /// Path of the field it is about, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong and what to do, in one line.
    pub message: String,
}

/// How many findings there are of each severity, shown or not.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FindingTotals {
    /// Number of errors.
    pub error: i64,
    /// Number of warnings.
    pub warning: i64,
    /// Number of notes.
    pub info: i64,
}

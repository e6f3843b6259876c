//! What came of a revocation, for programs. Must not judge.

use serde::Serialize;
use serde_json::Value;

use super::change::Change;
use super::consequences::Consequences;
use crate::policy::name::NamespacedName;

/// What came of it. All members are always there.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    api_key_ref: String,
    /// The one version; null is all of them.
    version: Option<String>,
    /// Anthropic's id of what is revoked, to be disabled there.
    pub key_id: Option<String>,
    /// Whether it was revoked before.
    pub already: bool,
    /// Whether it is stored that it is revoked.
    pub revoked: bool,
    /// Whether the operator has taken it away.
    pub taken_away: bool,
    /// How long that took, from the revocation on.
    pub seconds: Option<f64>,
    /// Why something of that is not so.
    pub message: Option<String>,
    /// What follows from it; null where that cannot be told.
    pub consequences: Option<Consequences>,
    /// The merge patch that revokes it.
    pub patch: Option<Value>,
    /// The merge patch that undoes it.
    pub undo: Option<Value>,
}

// === impl Report ===

impl Report {
    /// Nothing has been done yet.
    pub fn of(name: &NamespacedName, change: &Change) -> Self {
        Self {
            api_key_ref: name.to_string(),
            version: change.version.map(|version| version.to_string()),
            ..Self::default()
        }
    }
}

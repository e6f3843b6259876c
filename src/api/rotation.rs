//! When keys are to be replaced.
//! Says how it is written; the clock itself is the domain's business.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens to an overdue key.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub enum OnOverdue {
    /// It is flagged and goes on working.
    Flag,
    /// It is taken away until it is replaced.
    Suspend,
}

/// When keys are to be replaced.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("has(self.periodDays) || has(self.warnDays) || has(self.onOverdue)")
        .message("an empty rotation says nothing: set periodDays, warnDays or onOverdue, or leave rotation out"),
    validation = Rule::new("!has(self.periodDays) || !has(self.warnDays) || self.warnDays < self.periodDays")
        .message("warnDays must be less than periodDays, or a new key would be due soon at once: lower warnDays")
        .field_path(".warnDays"),
)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    /// Days from issue to replacement, 1 to 3650. Unset = the Workspace's; unset there = 90.
    #[schemars(range(min = 1, max = 3650))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_days: Option<i64>,
    /// Days before that date at which the key counts as due soon, less than periodDays. Unset =
    /// the Workspace's; unset there = 14.
    #[schemars(range(min = 0, max = 3649))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_days: Option<i64>,
    /// Flag: an overdue key is reported and goes on working. Suspend: it is taken out of gateway
    /// and target until it is replaced. Unset = the Workspace's; unset there = Flag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OnOverdue")]
    pub on_overdue: Option<OnOverdue>,
}

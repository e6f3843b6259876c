//! The switch that Workspaces and RoleBindings have.
//! Holds no rule about what being off means.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether an object has its effect.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub enum State {
    /// It has.
    Enabled,
    /// It has not, as if its effect were withdrawn.
    Disabled,
}

//! What is remembered of a status: enough to know whether another one differs.
//! Must not hold the status itself.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;

use crate::api::{ApiKeyRefStatus, RoleBindingStatus, WorkspaceStatus, conditions};
use crate::plan::facts::{StatusMark, Transition};
use crate::policy::digest::Hex;
use crate::policy::name::Name;

/// A status with conditions.
pub trait ReportsConditions: Clone + Serialize {
    /// Its conditions.
    fn conditions(&self) -> &Vec<Condition>;
    /// The same, to change.
    fn conditions_mut(&mut self) -> &mut Vec<Condition>;
}

macro_rules! reports_conditions {
    ($($status:ty),*) => {$(
        impl ReportsConditions for $status {
            fn conditions(&self) -> &Vec<Condition> {
                &self.conditions
            }
            fn conditions_mut(&mut self) -> &mut Vec<Condition> {
                &mut self.conditions
            }
        }
    )*};
}

reports_conditions!(WorkspaceStatus, RoleBindingStatus, ApiKeyRefStatus);

/// The condition types we write. Others on our objects are somebody else's and do not count.
const OURS: [&str; 9] = [
    conditions::ACCEPTED,
    conditions::ACTIVE,
    conditions::PREVIOUS_KEY_RETIRABLE,
    conditions::PROGRAMMED,
    conditions::READY,
    conditions::RESOLVED_REFS,
    conditions::ROTATION_DUE,
    conditions::STALLED,
    conditions::UNIQUE,
];

/// Digest of everything in a status that is ours, whatever the order of its conditions.
pub fn status_content<S: ReportsConditions>(status: &S) -> Hex<16> {
    let mut status = status.clone();
    let conditions = status.conditions_mut();
    conditions.retain(|condition| OURS.contains(&&*condition.type_));
    conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    let text = serde_json::to_vec(&status).expect("statuses are plain data with text keys");
    Hex::of(&text)
}

/// What is remembered of a stored status.
pub fn mark<S: ReportsConditions>(status: &S) -> StatusMark {
    let ours = status
        .conditions()
        .iter()
        .filter(|condition| OURS.contains(&&*condition.type_));
    StatusMark {
        content: Some(status_content(status)),
        conditions: ours
            .map(|condition| Transition {
                kind: Name::from(&*condition.type_),
                status: Name::from(&*condition.status),
                since: condition.last_transition_time.0,
            })
            .collect(),
    }
}

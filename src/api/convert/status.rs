//! What is remembered of a status: enough to know whether another one differs.
//! Must not hold the status itself.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;

use crate::api::conditions::{OURS, READY, reason};
use crate::api::{ApiKeyRefStatus, RoleBindingStatus, WorkspaceStatus};
use crate::facts::{Is, StatusMark, Transition};
use crate::policy::digest::Hex;
use crate::policy::explain::Explanation;

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

/// Digest of everything in a status that is ours, whatever the order of its conditions.
pub fn status_content<S: ReportsConditions>(status: &S) -> Hex<16> {
    let mut status = status.clone();
    let conditions = status.conditions_mut();
    conditions.retain(|condition| ours(&condition.type_).is_some());
    conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    let text = serde_json::to_vec(&status).expect("statuses are plain data with text keys");
    Hex::of(&text)
}

/// What is remembered of a stored status.
pub fn mark<S: ReportsConditions>(status: &S) -> StatusMark {
    let transitions = status.conditions().iter().filter_map(|condition| {
        Some(Transition {
            kind: ours(&condition.type_)?,
            is: Is::parse(&condition.status),
            since: condition.last_transition_time.0,
        })
    });
    StatusMark {
        content: Some(status_content(status)),
        conditions: transitions.collect(),
    }
}

/// How ready an object says it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Readiness {
    /// Status of its Ready condition; `Unknown` while it has none.
    pub ready: Is,
    /// Why; `Unknown` while it does not say, or for a reason of another release.
    pub reason: &'static Explanation,
}

/// How ready an object of this status says it is.
pub fn readiness<S: ReportsConditions>(status: Option<&S>) -> Readiness {
    let mut conditions = status.into_iter().flat_map(ReportsConditions::conditions);
    let ready = conditions.find(|condition| condition.type_ == READY);
    let why = ready.map_or(reason::UNKNOWN, |ready| &ready.reason);
    let known = |why: &str| reason::all().find(|known| known.name == why);
    let reason = known(why).or_else(|| known(reason::UNKNOWN));
    Readiness {
        ready: ready.map_or(Is::Unknown, |ready| Is::parse(&ready.status)),
        reason: reason.expect("the table has every constant"),
    }
}

/// The condition type, if it is one that we write. Others are somebody else's and do not count.
fn ours(kind: &str) -> Option<&'static str> {
    OURS.iter().copied().find(|ours| *ours == kind)
}

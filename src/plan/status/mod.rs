//! What the three kinds say of themselves. A status is planned only where it differs from the
//! stored one in something but time.
//! Must not decide: every sentence here repeats what was decided elsewhere.

pub mod api_key_ref;
mod gateways;
pub mod role_binding;
pub mod workspace;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::output::{Status, StatusUpdate};
use crate::api::conditions::{self, reason};
use crate::api::convert::{ReportsConditions, status_content};
use crate::facts::{Is, Observed, OutputId, Snapshot, StatusMark, WriteFailure, whole_second};

/// Most entries of a list in a status.
pub const MOST_LISTED: usize = 20;
/// Most bytes of a message in a status. A status repeats names that others chose, and has to be
/// written whatever they are.
const MESSAGE_BYTES: usize = 2048;

/// Conditions of one object, in the making.
pub struct Conditions<'a> {
    mark: &'a StatusMark,
    generation: Option<i64>,
    now: Timestamp,
    list: Vec<Condition>,
}

// === impl Conditions ===

impl<'a> Conditions<'a> {
    /// None yet, for an object as it is stored.
    pub fn of<T>(object: &'a Observed<T>, now: Timestamp) -> Self {
        Self {
            mark: &object.status,
            generation: object.generation,
            now: whole_second(now),
            list: Vec::new(),
        }
    }

    /// Adds one; its time is kept while its status is.
    pub fn set(&mut self, kind: &str, is: Is, reason: &str, message: impl Into<String>) {
        let before = self
            .mark
            .conditions
            .iter()
            .find(|before| before.kind == kind);
        let since = before
            .filter(|before| before.is == is)
            .map(|before| before.since);
        self.list.push(Condition {
            type_: kind.to_owned(),
            status: is.name().to_owned(),
            reason: reason.to_owned(),
            message: clipped(message.into()),
            observed_generation: self.generation,
            last_transition_time: Time(since.unwrap_or(self.now)),
        });
    }

    /// Whether the one of this type is true; an absent one is not.
    pub fn holds(&self, kind: &str) -> bool {
        self.list
            .iter()
            .any(|condition| condition.type_ == kind && condition.status == "True")
    }

    /// Adds `Ready`: true when all of these are, else with the reason of the first that is not.
    pub fn conclude(&mut self, parts: &[&str], ready_reason: &str, ready_message: &str) {
        let missing = parts.iter().find(|part| !self.holds(part));
        let failed = missing.and_then(|part| {
            let of_part = self
                .list
                .iter()
                .find(|condition| condition.type_ == **part)?;
            Some((of_part.reason.clone(), of_part.message.clone()))
        });
        match failed {
            Some((reason, message)) => self.set(conditions::READY, Is::False, &reason, message),
            None => self.set(conditions::READY, Is::True, ready_reason, ready_message),
        }
    }

    /// Adds `Stalled`: only while this very object must be edited.
    pub fn stall(&mut self, message: &str) {
        self.set(conditions::STALLED, Is::True, reason::INVALID_SPEC, message);
    }

    /// All of them, sorted by type as they will be stored.
    pub fn finish(mut self) -> Vec<Condition> {
        self.list.sort_by(|a, b| a.type_.cmp(&b.type_));
        self.list
    }
}

/// The update that brings a status about; `None` when it is so already.
pub fn update<T, S: ReportsConditions>(
    object: &Observed<T>,
    status: S,
    wrap: impl FnOnce(Box<S>) -> Status,
) -> Option<StatusUpdate> {
    let content = status_content(&status);
    (object.status.content != Some(content)).then(|| StatusUpdate {
        name: object.name.clone(),
        uid: object.uid.clone(),
        status: wrap(Box::new(status)),
        content,
    })
}

/// What a failed write means for a condition.
pub fn failure(snapshot: &Snapshot, id: &OutputId) -> Option<(&'static str, String)> {
    Some(match snapshot.failures.get(id)? {
        WriteFailure::NotOurs => (
            reason::NOT_OURS,
            format!(
                "{id} exists and was not made by this operator, so it is left alone. Delete or rename it."
            ),
        ),
        WriteFailure::Forbidden => (
            reason::WRITE_FAILED,
            format!("The operator may not write {id}. Check its ClusterRole and bindings."),
        ),
        WriteFailure::Refused(why) => (
            reason::WRITE_FAILED,
            format!("{id} could not be written: {why}"),
        ),
    })
}

/// A message of at most [`MESSAGE_BYTES`].
pub fn clipped(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES {
        let more = '…';
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES - more.len_utf8()));
        message.push(more);
    }
    message
}

/// A time in a status.
pub fn time(at: Option<Timestamp>) -> Option<Time> {
    at.map(Time)
}

/// A count in a status.
pub fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

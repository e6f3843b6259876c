//! Statuses and Events of a plan, sent to the API server. An Event goes before the status that
//! goes with it: whether it was announced is told from the status, and announcing it once more
//! after a crash in between changes nothing.
//! Must not decide what they say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde_json::{Value, json};

use super::execute::Delay;
use super::object::{ObjectKey, ObjectKind};
use super::read::{Reader, Stored};
use super::request::{Answer, Failure, Payload, Request, Verb};
use crate::api::metadata::{API_VERSION, NAME};
use crate::facts::Snapshot;
use crate::plan::output::{Announcement, Plan, Status, StatusUpdate};
use crate::policy::digest::Hex;
use crate::policy::finding::Kind;
use crate::policy::name::NamespacedName;

/// The `reportingController` of our Events.
const REPORTER: &str = "anthropic-rbac.io/anthropic-rbac";

/// How many statuses of one workspace are on their way at a time.
const STATUSES_AT_A_TIME: usize = 16;

/// How many statuses are written before a cycle that is out of date ends early: enough to get
/// ahead under constant churn, few enough that 10,000 statuses do not hold up an edit.
const STATUSES_AT_LEAST: usize = 64;

/// Longest note of an Event, and longest name of who reports it, in bytes, as the API server
/// has it.
const NOTE_LENGTH: usize = 1024;
const INSTANCE_LENGTH: usize = 128;

/// What became of statuses and Events.
#[derive(Debug, Default)]
pub struct Reported {
    /// How many statuses were written.
    pub written: usize,
    /// The API server does not want some of it.
    pub refused: bool,
    /// Why, and when at the earliest, the rest is tried again.
    pub later: Option<Delay>,
}

/// Sends what one plan has to say.
pub struct Reporter<'a> {
    pub reader: &'a Reader,
    pub snapshot: &'a Snapshot,
    /// Which process this is.
    pub identity: &'a str,
    /// Set when the plan is out of date.
    pub superseded: &'a Arc<AtomicBool>,
}

// === impl Reporter ===

impl Reporter<'_> {
    /// Sends all of it, or the first part of it if the plan is out of date by then.
    pub async fn all(&self, plan: &Plan) -> Reported {
        let mut events: BTreeMap<(Kind, &NamespacedName), Vec<&Announcement>> = BTreeMap::new();
        for event in &plan.events {
            events
                .entry((event.kind, &event.name))
                .or_default()
                .push(event);
        }
        let mut jobs: Vec<(Option<&StatusUpdate>, Vec<&Announcement>)> = Vec::new();
        for status in &plan.statuses {
            let events = events
                .remove(&(status.status.kind(), &status.name))
                .unwrap_or_default();
            jobs.push((Some(status), events));
        }
        // Announcements about objects whose status stays as it is.
        jobs.extend(events.into_values().map(|events| (None, events)));
        let mut reported = Reported::default();
        let mut running = FuturesUnordered::new();
        for (begun, (status, events)) in jobs.into_iter().enumerate() {
            if begun >= STATUSES_AT_LEAST && self.superseded.load(Ordering::Relaxed) {
                break;
            }
            if running.len() >= STATUSES_AT_A_TIME
                && let Some(one) = running.next().await
            {
                reported = reported.and(one);
            }
            running.push(self.one(status, events));
        }
        while let Some(one) = running.next().await {
            reported = reported.and(one);
        }
        reported
    }

    async fn one(&self, status: Option<&StatusUpdate>, events: Vec<&Announcement>) -> Reported {
        let mut reported = Reported::default();
        for event in events {
            match self.announce(event).await {
                Ok(()) | Err(Failure::AlreadyExists) => {}
                Err(Failure::Transient { why, after }) => {
                    reported.later = Some(Delay { why, after });
                    return reported;
                }
                // A status is worth more than an Event that nobody wants.
                Err(failure) => {
                    tracing::warn!(about = %event.name, reason = event.reason, ?failure, "no Event");
                }
            }
        }
        let Some(update) = status else {
            return reported;
        };
        match self.update(update).await {
            Ok(()) => reported.written = 1,
            // Its deletion, or its namesake's creation, is about to be seen.
            Err(Failure::NotFound) => {}
            Err(Failure::Transient { why, after }) => reported.later = Some(Delay { why, after }),
            Err(Failure::Conflict | Failure::AlreadyExists) => {
                let why = "the object was replaced meanwhile".into();
                reported.later = Some(Delay {
                    why,
                    after: Duration::ZERO,
                });
            }
            Err(failure @ (Failure::Forbidden | Failure::Refused(_))) => {
                let kind = update.status.kind().name();
                tracing::warn!(kind, name = %update.name, ?failure, "status not written");
                reported.refused = true;
            }
        }
        reported
    }

    async fn update(&self, update: &StatusUpdate) -> Result<(), Failure> {
        let key = ObjectKey::new(update.status.kind(), &update.name);
        let path = key.path().ok_or(Failure::NotFound)?;
        let request = Request {
            verb: Verb::Apply,
            kind: key.kind,
            path: format!("{path}/status?fieldManager={NAME}&force=true"),
            answer: Answer::Object,
            body: Payload::json(&status_body(update)),
        };
        self.reader.teller.begun(&key);
        let answer = self.reader.requester.send(self.reader.lane, request).await;
        match answer.and_then(|body| Stored::parse(&key, &body)) {
            Ok(stored) => {
                // Somebody may have edited it between the plan and this write.
                let surprise = stored.generation != self.planned_generation(update);
                self.reader.teller.learned(key, stored, surprise);
                Ok(())
            }
            Err(failure) => {
                self.reader.teller.ended(key);
                Err(failure)
            }
        }
    }

    /// The generation that the plan was made for.
    fn planned_generation(&self, update: &StatusUpdate) -> Option<i64> {
        let Snapshot {
            workspace,
            bindings,
            keys,
            ..
        } = self.snapshot;
        let name = &update.name;
        match update.status.kind() {
            Kind::Workspace => workspace.as_ref()?.object.generation,
            Kind::RoleBinding => {
                let found = bindings.binary_search_by(|facts| facts.object.name.cmp(name));
                bindings[found.ok()?].object.generation
            }
            Kind::ApiKeyRef => {
                let found = keys.binary_search_by(|facts| facts.object.name.cmp(name));
                keys[found.ok()?].object.generation
            }
        }
    }

    async fn announce(&self, event: &Announcement) -> Result<(), Failure> {
        let name = NamespacedName::new(event.name.namespace.clone(), event_name(event));
        let key = ObjectKey::new(ObjectKind::Event, &name);
        let nameless = || Failure::Refused("no Event can have such a name".into());
        let path = key.collection().ok_or_else(nameless)?;
        let body = event_body(event, self.snapshot.now, self.identity);
        let request = Request {
            verb: Verb::Create,
            kind: key.kind,
            path: format!("{path}?fieldManager={NAME}"),
            answer: Answer::Metadata,
            body: Payload::json(&body),
        };
        self.reader
            .requester
            .send(self.reader.lane, request)
            .await
            .map(drop)
    }
}

impl Reported {
    fn and(mut self, other: Self) -> Self {
        self.written += other.written;
        self.refused |= other.refused;
        let after = |later: &Option<Delay>| later.as_ref().map(|delay| delay.after);
        if after(&other.later) > after(&self.later) {
            self.later = other.later;
        }
        self
    }
}

/// Only what is ours: whatever else the body had would become ours with it. With the uid it is
/// never applied to a namesake that came later.
fn status_body(update: &StatusUpdate) -> Value {
    let mut metadata = json!({"name": &*update.name.name, "namespace": &*update.name.namespace});
    if let Some(uid) = &update.uid {
        metadata["uid"] = json!(&**uid);
    }
    let status = match &update.status {
        Status::Workspace(status) => serde_json::to_value(status),
        Status::RoleBinding(status) => serde_json::to_value(status),
        Status::ApiKeyRef(status) => serde_json::to_value(status),
    };
    json!({
        "apiVersion": API_VERSION,
        "kind": update.status.kind().name(),
        "metadata": metadata,
        "status": status.expect("statuses are plain data with text keys"),
    })
}

/// The same announcement has the same name, whoever makes it and however often.
fn event_name(event: &Announcement) -> String {
    let uid = event.uid.as_deref().unwrap_or_default();
    let id = Hex::<8>::of_lines(&[uid, event.reason, &event.once]);
    let name: String = event.name.name.chars().take(200).collect();
    format!("{}.{id}", name.trim_end_matches(['.', '-']))
}

fn event_body(event: &Announcement, now: Timestamp, identity: &str) -> Value {
    let note = &event.note[..event.note.floor_char_boundary(NOTE_LENGTH)];
    let instance = &identity[..identity.floor_char_boundary(INSTANCE_LENGTH)];
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": event_name(event), "namespace": &*event.name.namespace},
        "eventTime": MicroTime(now),
        "type": if event.warning { "Warning" } else { "Normal" },
        "reason": event.reason,
        "action": event.action,
        "note": note,
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": event.kind.name(),
            "namespace": &*event.name.namespace,
            "name": &*event.name.name,
            "uid": event.uid.as_deref(),
        },
        "reportingController": REPORTER,
        "reportingInstance": instance,
    })
}

#[cfg(test)]
mod tests;

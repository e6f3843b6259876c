//! What an ApiKeyRef says of itself, and what it announces. Never a key's value.
//! Must not decide.

use jiff::Timestamp;

use super::{Conditions, MOST_LISTED, clipped, failure, time, update};
use crate::api::conditions::{self, event, reason};
use crate::api::{ApiKeyRefStatus, FindingStatus, PreviousVersion};
use crate::facts::{Is, KeyRefFacts, KeyVersion, OutputId, Snapshot, in_use};
use crate::plan::keys::{Retirement, Settled, Trouble, Value, When, gateways};
use crate::plan::loads::Loads;
use crate::plan::output::{Announcement, Status, StatusUpdate};
use crate::policy::finding::{Finding, Kind};
use crate::policy::resolve::KeyOutcome;
use crate::policy::rotation::State;

/// Previous versions a status shows.
const PREVIOUS_SHOWN: usize = 5;

/// The status of a key, if it differs. `settled` is `None` when its spec is not understood,
/// `outcome` when there is no workspace to resolve it against.
pub fn status(
    snapshot: &Snapshot,
    facts: &KeyRefFacts,
    settled: Option<&Settled>,
    outcome: Option<&KeyOutcome>,
    findings: &[&Finding],
    loads: &Loads,
) -> Option<StatusUpdate> {
    let object = &facts.object;
    let mut conditions = Conditions::of(object, snapshot.now);
    let mut status = ApiKeyRefStatus {
        observed_generation: object.generation,
        findings: findings
            .iter()
            .take(MOST_LISTED)
            .map(|finding| shown(finding))
            .collect(),
        ..ApiKeyRefStatus::default()
    };
    match (&object.spec, settled) {
        (Ok(_), Some(settled)) => {
            versions(&mut status, settled, snapshot.now);
            resolved_refs(&mut conditions, settled, outcome);
            programmed(&mut conditions, snapshot, facts, settled);
            rotation_due(&mut conditions, settled);
            unique(&mut conditions, settled);
            retirable(&mut conditions, snapshot, settled, loads);
        }
        (spec, _) => {
            let message = spec
                .as_ref()
                .err()
                .map(ToString::to_string)
                .unwrap_or_default();
            conditions.stall(&message);
            for kind in [conditions::RESOLVED_REFS, conditions::PROGRAMMED] {
                conditions.set(kind, Is::False, reason::INVALID_SPEC, &*message);
            }
        }
    }
    let parts = [conditions::RESOLVED_REFS, conditions::PROGRAMMED];
    match settled.and_then(|settled| wanted(settled)) {
        Some(trouble) => conditions.conclude(&parts, trouble.reason, &trouble.message),
        None => conditions.conclude(
            &parts,
            reason::READY,
            "The key is where this object asks for it.",
        ),
    }
    status.conditions = conditions.finish();
    update(object, status, Status::ApiKeyRef)
}

/// The Event of a rotation state that was just reached.
pub fn announcement(facts: &KeyRefFacts, settled: Option<&Settled>) -> Option<Announcement> {
    let settled = settled?;
    let dates = settled.dates.as_ref()?;
    let state = dates.clock.state;
    let fingerprint = settled.in_use()?;
    let replaced = in_use(&facts.versions).is_some_and(|before| before != fingerprint);
    if facts.rotation == Some(state) && !replaced {
        return None;
    }
    let due = dates
        .clock
        .due_at
        .map(|at| at.to_string())
        .unwrap_or_default();
    let (warning, note) = match state {
        State::DueSoon => (
            false,
            format!(
                "Version {fingerprint} is due for rotation at {due}. Make a new key at Anthropic and put it into the source."
            ),
        ),
        State::Overdue => (
            true,
            format!(
                "Version {fingerprint} was due for rotation at {due}. Make a new key at Anthropic, put it into the source, and disable this version."
            ),
        ),
        State::Expired => (
            true,
            format!(
                "Version {fingerprint} has expired at Anthropic. Put a new key into the source."
            ),
        ),
        State::Fresh if replaced => (
            false,
            format!("Version {fingerprint} is fresh; it is due at {due}."),
        ),
        State::Fresh | State::Unknown => return None,
    };
    Some(Announcement {
        kind: Kind::ApiKeyRef,
        name: facts.object.name.clone(),
        uid: facts.object.uid.clone(),
        warning,
        reason: match state {
            State::DueSoon => event::ROTATION_DUE_SOON,
            State::Overdue => event::ROTATION_OVERDUE,
            State::Expired => event::KEY_EXPIRED,
            State::Fresh | State::Unknown => event::ROTATED,
        },
        action: "Rotate",
        note,
        once: format!("rotation/{}/{fingerprint}/{due}", state.name()),
    })
}

/// A finding as statuses show it.
pub fn shown(finding: &Finding) -> FindingStatus {
    FindingStatus {
        severity: match finding.severity {
            crate::policy::finding::Severity::Error => crate::api::Severity::Error,
            crate::policy::finding::Severity::Warning => crate::api::Severity::Warning,
            crate::policy::finding::Severity::Info => crate::api::Severity::Info,
        },
        reason: finding.reason.name().to_owned(),
        object: format!("{}/{}", finding.object.kind.name(), finding.object.name),
        field: (!finding.field.is_empty()).then(|| finding.field.clone()),
        message: clipped(finding.message.clone()),
    }
}

fn versions(status: &mut ApiKeyRefStatus, settled: &Settled, now: Timestamp) {
    let present = settled
        .versions
        .iter()
        .find(|version| version.active_until.is_none());
    let id = |version: &KeyVersion| version.key_id.as_deref().map(str::to_owned);
    if let Some(version) = present {
        status.fingerprint = Some(version.fingerprint.to_string());
        status.key_id = id(version);
        status.active_from = time(Some(version.first_seen));
    }
    if let Some(dates) = &settled.dates {
        status.key_id = dates
            .key_id
            .as_deref()
            .map(str::to_owned)
            .or(status.key_id.take());
        status.issued_at = time(dates.issued.map(|(at, _)| at));
        status.issued_at_origin = dates.issued.map(|(_, origin)| origin.into());
        status.expires_at = time(dates.expires);
        status.warn_at = time(dates.clock.warn_at);
        status.due_at = time(dates.clock.due_at);
    }
    let transition = settled.dates.as_ref();
    let transition = transition.and_then(|dates| dates.clock.next_transition);
    let retirement = settled.retirement.as_ref();
    let retirement = retirement.and_then(|retirement| retirement.boundary(now));
    status.next_transition = time(transition.into_iter().chain(retirement).min());
    let state = settled
        .dates
        .as_ref()
        .map_or(State::Unknown, |dates| dates.clock.state);
    status.rotation = Some(state.into());
    let previous = settled
        .versions
        .iter()
        .filter_map(|version| Some((version, version.active_until?)));
    status.previous = previous
        .take(PREVIOUS_SHOWN)
        .map(|(version, until)| PreviousVersion {
            fingerprint: version.fingerprint.to_string(),
            key_id: id(version),
            active_from: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(version.first_seen),
            active_until: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(until),
        })
        .collect();
}

fn resolved_refs(conditions: &mut Conditions<'_>, settled: &Settled, outcome: Option<&KeyOutcome>) {
    let fault = settled
        .unresolved
        .as_ref()
        .filter(|trouble| !trouble.wanted);
    let refused = outcome.and_then(|outcome| outcome.refused.as_ref());
    let problem = outcome.and_then(|outcome| outcome.problems.first());
    let (reason, message) = if let Some(trouble) = fault {
        (trouble.reason, trouble.message.clone())
    } else if let Some(refused) = refused {
        (refused.reason(), refused.to_string())
    } else if let Some(problem) = problem {
        (
            problem.reason,
            format!("{} is not served: {}.", problem.subject, problem.message),
        )
    } else {
        let message = "Everything it refers to is there and may be used.";
        return conditions.set(
            conditions::RESOLVED_REFS,
            Is::True,
            reason::RESOLVED_REFS,
            message,
        );
    };
    conditions.set(conditions::RESOLVED_REFS, Is::False, reason, message);
}

fn programmed(
    conditions: &mut Conditions<'_>,
    snapshot: &Snapshot,
    facts: &KeyRefFacts,
    settled: &Settled,
) {
    let key = facts.object.spec.as_ref().ok();
    let target = key
        .and_then(|key| key.target.as_ref())
        .map(|target| OutputId::secret(facts.object.name.namespace.clone(), target.secret.clone()));
    let exists = target
        .as_ref()
        .is_none_or(|id| snapshot.outputs.contains_key(id));
    let has_gateway = gateways(snapshot).next().is_some();
    let failed = target
        .clone()
        .into_iter()
        .chain(gateways(snapshot))
        .find_map(|id| failure(snapshot, &id));
    let (is, reason, message) = if let Some(trouble) = &settled.unprogrammed {
        (Is::False, trouble.reason, trouble.message.clone())
    } else if let Some((reason, message)) = failed {
        (Is::False, reason, message)
    } else {
        match &settled.value {
            Value::Use(_) if target.is_none() && !has_gateway => {
                let message = "It has no target and the Workspace no gateway; the policy names it for its users.";
                (Is::True, reason::PROGRAMMED, message.to_owned())
            }
            Value::Use(_) => (
                Is::True,
                reason::PROGRAMMED,
                "The key is written.".to_owned(),
            ),
            Value::Empty(trouble) if trouble.wanted => {
                (Is::True, trouble.reason, trouble.message.clone())
            }
            Value::Empty(trouble) => (Is::False, trouble.reason, trouble.message.clone()),
            Value::Keep if settled.dates.is_some() && exists => (
                Is::True,
                reason::PROGRAMMED,
                "The last good version stays in use.".to_owned(),
            ),
            Value::Keep => {
                let trouble = settled.unresolved.as_ref();
                let reason = trouble.map_or(reason::PENDING, |trouble| trouble.reason);
                (
                    Is::False,
                    reason,
                    "There is no good version to write yet.".to_owned(),
                )
            }
        }
    };
    conditions.set(conditions::PROGRAMMED, is, reason, message);
}

fn rotation_due(conditions: &mut Conditions<'_>, settled: &Settled) {
    let Some(dates) = &settled.dates else {
        let message = "No version is in use.";
        return conditions.set(
            conditions::ROTATION_DUE,
            Is::Unknown,
            reason::UNKNOWN,
            message,
        );
    };
    let due = dates
        .clock
        .due_at
        .map(|at| at.to_string())
        .unwrap_or_default();
    let state = dates.clock.state;
    let message = match state {
        State::Fresh => format!("It is due at {due}."),
        State::DueSoon => format!("It is due soon, at {due}. Make a new key at Anthropic and put it into the source."),
        State::Overdue => format!("It was due at {due}. Make a new key at Anthropic, put it into the source, then disable this one."),
        State::Expired => "It has expired at Anthropic and no longer works. Put a new key into the source.".to_owned(),
        State::Unknown => "No date of issue is known. Set spec.issuedAt, or annotate the source Secret with anthropic-rbac.io/issued-at.".to_owned(),
    };
    let is = match state {
        State::Overdue | State::Expired => Is::True,
        State::Fresh | State::DueSoon => Is::False,
        State::Unknown => Is::Unknown,
    };
    conditions.set(conditions::ROTATION_DUE, is, state.name(), message);
}

fn unique(conditions: &mut Conditions<'_>, settled: &Settled) {
    match (&settled.shared, &settled.value) {
        (Some(trouble), _) => {
            conditions.set(
                conditions::UNIQUE,
                Is::False,
                trouble.reason,
                &*trouble.message,
            );
        }
        (None, Value::Use(_)) => conditions.set(
            conditions::UNIQUE,
            Is::True,
            reason::UNIQUE,
            "No other service and no other Workspace that is known here uses the same key.",
        ),
        (None, Value::Keep | Value::Empty(_)) => conditions.set(
            conditions::UNIQUE,
            Is::Unknown,
            reason::UNKNOWN,
            "It has no value that could be compared.",
        ),
    }
}

/// Why a key is away as somebody asked for.
fn wanted(settled: &Settled) -> Option<&Trouble> {
    match &settled.value {
        Value::Empty(trouble) if trouble.wanted => Some(trouble),
        Value::Empty(_) | Value::Use(_) | Value::Keep => None,
    }
}

/// What may become of the version before the one in use.
fn retirable(
    conditions: &mut Conditions<'_>,
    snapshot: &Snapshot,
    settled: &Settled,
    loads: &Loads,
) {
    let Some(Retirement { version, when }) = &settled.retirement else {
        return conditions.set(
            conditions::PREVIOUS_KEY_RETIRABLE,
            Is::False,
            reason::NO_PREVIOUS_KEY,
            "There is no previous version.",
        );
    };
    let id = match &version.key_id {
        Some(id) => format!("{} ({id})", version.fingerprint),
        None => version.fingerprint.to_string(),
    };
    let (is, reason, message) = match (when, loads.late()) {
        (When::From(at), Some((gateway, pod, _))) if *at <= snapshot.now => (
            Is::False,
            reason::NOT_LOADED,
            format!(
                "Pod {pod} of gateway '{gateway}' may still send version {id}, since it has not loaded the \
                 present files. Programmed of the Workspace says why."
            ),
        ),
        (When::From(at), None) if *at <= snapshot.now => (
            Is::True,
            reason::RETIRABLE,
            format!(
                "Version {id} is in no Secret and no mounted file any more. Disable it at Anthropic, after a \
                 restart of the pods that read it from an environment variable."
            ),
        ),
        (When::From(at), _) => (
            Is::False,
            reason::NOT_LOADED,
            format!(
                "Running pods may read version {id} from a mounted file until {at}. Wait until then."
            ),
        ),
        (When::Unwritten(secret), _) => (
            Is::False,
            reason::NOT_LOADED,
            format!(
                "Secret {secret} may still hold version {id}, since it cannot be written. Programmed says why."
            ),
        ),
        (When::UsedElsewhere, _) => (
            Is::False,
            reason::SHARED_KEY,
            format!("Another ApiKeyRef uses version {id}. Give that one a key of its own first."),
        ),
    };
    conditions.set(conditions::PREVIOUS_KEY_RETIRABLE, is, reason, message);
}

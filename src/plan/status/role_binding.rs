//! What a RoleBinding says of itself. No effective limits: one edit of a Workspace must not
//! rewrite 50,000 statuses. Must not decide.

use super::{Conditions, MOST_LISTED, clipped, count, time, update};
use crate::api::conditions::{self, reason};
use crate::api::{RoleBindingStatus, SubjectProblem};
use crate::facts::{BindingFacts, Is, Snapshot};
use crate::plan::output::{Status, StatusUpdate};
use crate::policy::grant::Phase;
use crate::policy::resolve::GrantOutcome;

/// The status of a binding, if it differs. `outcome` is `None` where there is nothing to
/// resolve it against; `written` says what of the policy did not get written.
pub fn status(
    snapshot: &Snapshot,
    facts: &BindingFacts,
    outcome: Option<&GrantOutcome>,
    unwritten: Option<&(&'static str, String)>,
) -> Option<StatusUpdate> {
    let object = &facts.object;
    let mut conditions = Conditions::of(object, snapshot.now);
    let mut status = RoleBindingStatus {
        observed_generation: object.generation,
        ..RoleBindingStatus::default()
    };
    match &object.spec {
        Err(invalid) => {
            let message = invalid.to_string();
            conditions.stall(&message);
            refuse(&mut conditions, reason::INVALID_SPEC, &message);
        }
        Ok(grant) => {
            let members = grant.subjects.len() + grant.console_members.len();
            status.subjects = Some(count(members));
            // What is refused neither starts nor ends.
            let permitted = outcome.is_some_and(|outcome| outcome.refused.is_none());
            status.next_transition = time(
                grant
                    .window
                    .next_boundary(snapshot.now)
                    .filter(|_| grant.enabled && permitted),
            );
            match outcome {
                None => {
                    let (reason, message) = unattached(snapshot, facts);
                    refuse(&mut conditions, reason, &message);
                }
                Some(outcome) => resolved(&mut conditions, outcome, members, unwritten),
            }
            let problems = outcome
                .map(|outcome| &*outcome.problems)
                .unwrap_or_default();
            status.problems = problems
                .iter()
                .take(MOST_LISTED)
                .map(|problem| SubjectProblem {
                    subject: problem.subject.clone(),
                    reason: problem.reason.to_owned(),
                    message: clipped(problem.message.clone()),
                })
                .collect();
        }
    }
    conditions.conclude(
        &[conditions::RESOLVED_REFS, conditions::PROGRAMMED],
        reason::READY,
        "The policy says what this binding asks for.",
    );
    status.conditions = conditions.finish();
    update(object, status, Status::RoleBinding)
}

fn resolved(
    conditions: &mut Conditions<'_>,
    outcome: &GrantOutcome,
    members: usize,
    unwritten: Option<&(&'static str, String)>,
) {
    if let Some(refused) = &outcome.refused {
        return refuse(conditions, refused.reason(), &refused.to_string());
    }
    match outcome.problems.first() {
        None => conditions.set(
            conditions::RESOLVED_REFS,
            Is::True,
            reason::RESOLVED_REFS,
            "Everything it refers to is there and may be used.",
        ),
        Some(first) => {
            let message = format!(
                "{} of {members} subjects are not fully granted; the first is {}: {}.",
                outcome.problems.len(),
                first.subject,
                first.message
            );
            conditions.set(conditions::RESOLVED_REFS, Is::False, first.reason, message);
        }
    }
    let (is, why, message) = match outcome.phase {
        None => (
            Is::False,
            reason::DISABLED,
            "It is Disabled, as spec.state asks, and grants nothing.",
        ),
        Some(Phase::Active) => (Is::True, reason::ACTIVE, "It grants its role now."),
        Some(Phase::Pending) => (
            Is::False,
            reason::PENDING,
            "Its notBefore is still to come.",
        ),
        Some(Phase::Expired) => (
            Is::False,
            reason::EXPIRED,
            "Its expiresAt is past, and it grants nothing.",
        ),
    };
    conditions.set(conditions::ACTIVE, is, why, message);
    match unwritten {
        None => conditions.set(
            conditions::PROGRAMMED,
            Is::True,
            reason::PROGRAMMED,
            "The policy is written.",
        ),
        Some((reason, message)) => {
            conditions.set(conditions::PROGRAMMED, Is::False, reason, message.clone());
        }
    }
}

/// A binding that grants nothing at all.
fn refuse(conditions: &mut Conditions<'_>, reason: &str, message: &str) {
    for kind in [
        conditions::RESOLVED_REFS,
        conditions::ACTIVE,
        conditions::PROGRAMMED,
    ] {
        conditions.set(kind, Is::False, reason, message);
    }
}

/// Why a binding gets nothing of a Workspace that is not there or not accepted.
pub fn unattached(snapshot: &Snapshot, facts: &BindingFacts) -> (&'static str, String) {
    let workspace = &snapshot.name;
    let here = facts.object.name.namespace == workspace.namespace;
    if snapshot.workspace.is_some() && here {
        let message = format!("Workspace {workspace} is not accepted; its status says why.");
        (reason::INVALID_SPEC, message)
    } else if here {
        let message = format!(
            "Workspace {workspace} does not exist. Create it, or correct spec.workspaceRef."
        );
        (reason::WORKSPACE_NOT_FOUND, message)
    } else {
        let refused = crate::policy::resolve::Refusal::RefNotPermitted(workspace.clone());
        (refused.reason(), refused.to_string())
    }
}

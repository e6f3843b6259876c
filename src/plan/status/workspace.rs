//! What a Workspace says of itself, for everything attached to it. Must not decide.

use super::api_key_ref::shown;
use super::{Conditions, MOST_LISTED, count, failure, gateways, time, update};
use crate::api::conditions::{self, reason};
use crate::api::{
    ApiAccess, EffectiveRole, EffectiveRotation, EffectiveWorkspace, FindingTotals, OnOverdue,
    OutputStatus, WorkspaceCounts, WorkspaceStatus,
};
use crate::facts::{Is, OutputId, OutputKind, SecretLookup, Snapshot, WorkspaceFacts};
use crate::gateway::policy_json::Rendered;
use crate::plan::keys::{Settled, denied_in, gateways};
use crate::plan::output::{Output, Plan, Status, StatusUpdate};
use crate::plan::outputs::gateway_file;
use crate::policy::finding::Severity;
use crate::policy::grant::Phase;
use crate::policy::model::ModelSet;
use crate::policy::resolve::Resolution;
use crate::policy::rotation::Rotation;
use crate::policy::workspace::Workspace;

/// Most bytes of models in a status: a status repeats the spec, and both have to fit into one
/// object. Lists past them are left out.
const MODELS_BYTES: usize = 128 * 1024;

/// What of the policy did not get written, and why.
pub fn unwritten(snapshot: &Snapshot, outputs: &[Output]) -> Option<(&'static str, String)> {
    outputs
        .iter()
        .find_map(|output| failure(snapshot, &output.id))
}

/// What keeps keys out of a gateway's Secret.
fn keyless(snapshot: &Snapshot, settled: &[Option<Settled>]) -> Option<(&'static str, String)> {
    let failed = gateways(snapshot).find_map(|id| failure(snapshot, &id));
    let denied = || {
        let denied = |id: &OutputId| {
            let lookup = snapshot.secrets.get(&id.name);
            matches!(lookup, Some(SecretLookup::Denied))
        };
        let trouble = denied_in(snapshot, &snapshot.name.namespace);
        gateways(snapshot)
            .any(|id| denied(&id))
            .then_some((trouble.reason, trouble.message))
    };
    let full = || {
        let troubles = settled
            .iter()
            .flatten()
            .filter_map(|s| s.unprogrammed.as_ref());
        let full = troubles
            .filter(|trouble| trouble.reason == reason::WORKSPACE_FULL)
            .count();
        let message = format!(
            "The gateways have no room for {full} of the ApiKeyRefs; their statuses say so. Delete those that are \
             not needed, or use a second Workspace."
        );
        (full > 0).then_some((reason::WORKSPACE_FULL, message))
    };
    failed.or_else(denied).or_else(full)
}

/// The status of an accepted Workspace, if it differs.
pub fn accepted(
    snapshot: &Snapshot,
    facts: &WorkspaceFacts,
    workspace: &Workspace,
    (resolution, rendered): (&Resolution, &Rendered),
    settled: &[Option<Settled>],
    unwritten: Option<(&'static str, String)>,
    plan: &Plan,
) -> Option<StatusUpdate> {
    let object = &facts.object;
    let mut conditions = Conditions::of(object, snapshot.now);
    let message = "The spec makes sense as a whole.";
    conditions.set(conditions::ACCEPTED, Is::True, reason::ACCEPTED, message);
    let secrets: Vec<_> = gateways(snapshot).collect();
    let outputs = plan.outputs.iter().filter(|output| match output.id.kind {
        // Those are counted by gateway.
        OutputKind::ConfigMap => gateway_file(&snapshot.name.name, &output.id).is_none(),
        OutputKind::Secret => secrets.contains(&output.id),
    });
    let unwritten = unwritten.or_else(|| keyless(snapshot, settled));
    if unwritten.is_none() && plan.loads.are_awaited() {
        return None;
    }
    let trouble = unwritten.or_else(|| gateways::trouble(snapshot, workspace, plan));
    let written = || gateways::progress(plan).to_owned();
    let (is, why, message) = match trouble {
        Some((reason, message)) => (Is::False, reason, message),
        None => (Is::True, reason::PROGRAMMED, written()),
    };
    conditions.set(conditions::PROGRAMMED, is, why, message);
    gateways::prompt_projection(&mut conditions, snapshot, workspace, plan);
    let ready = if workspace.enabled {
        (reason::READY, "The policy is written.")
    } else {
        (
            reason::WORKSPACE_DISABLED,
            "The Workspace is Disabled, as spec.state asks: every request is denied.",
        )
    };
    conditions.conclude(
        &[conditions::ACCEPTED, conditions::PROGRAMMED],
        ready.0,
        ready.1,
    );
    let due = settled
        .iter()
        .flatten()
        .filter_map(|settled| settled.dates.as_ref());
    let status = WorkspaceStatus {
        observed_generation: object.generation,
        conditions: conditions.finish(),
        policy_revision: Some(rendered.revision.to_string()),
        effective: Some(effective(workspace, resolution)),
        counts: Some(WorkspaceCounts {
            bindings: count(snapshot.bindings.len()),
            active_bindings: count(
                resolution
                    .grants
                    .iter()
                    .filter(|outcome| {
                        outcome.refused.is_none() && outcome.phase == Some(Phase::Active)
                    })
                    .count(),
            ),
            subjects: count(resolution.policy.subjects.len()),
            keys: count(snapshot.keys.len()),
            keys_due: count(due.filter(|dates| dates.clock.state.is_due()).count()),
        }),
        outputs: outputs.map(output_status).collect(),
        gateways: gateways::gateways(snapshot, workspace, plan),
        findings: plan.findings.iter().take(MOST_LISTED).map(shown).collect(),
        finding_totals: Some(totals(plan)),
        next_transition: time(plan.wake_at),
    };
    update(object, status, Status::Workspace)
}

/// The status of a Workspace whose spec is not understood, if it differs.
pub fn refused(snapshot: &Snapshot, facts: &WorkspaceFacts, why: &str) -> Option<StatusUpdate> {
    let mut conditions = Conditions::of(&facts.object, snapshot.now);
    conditions.stall(why);
    for kind in [conditions::ACCEPTED, conditions::PROGRAMMED] {
        conditions.set(kind, Is::False, reason::INVALID_SPEC, why);
    }
    conditions.conclude(
        &[conditions::ACCEPTED, conditions::PROGRAMMED],
        reason::READY,
        "",
    );
    let status = WorkspaceStatus {
        observed_generation: facts.object.generation,
        conditions: conditions.finish(),
        ..WorkspaceStatus::default()
    };
    update(&facts.object, status, Status::Workspace)
}

fn effective(workspace: &Workspace, resolution: &Resolution) -> EffectiveWorkspace {
    let mut room = MODELS_BYTES;
    let mut names = |models: &ModelSet| {
        let names: Vec<String> = models.iter().map(ToString::to_string).collect();
        room = room.checked_sub(names.iter().map(|name| name.len() + 8).sum())?;
        Some(names)
    };
    let bound = workspace.models.as_ref().and_then(&mut names);
    let roles = resolution.roles.values().map(|role| EffectiveRole {
        name: role.name.to_string(),
        api_access: match role.access {
            Some(_) => ApiAccess::Allowed,
            None => ApiAccess::None,
        },
        models: role
            .access
            .as_ref()
            .and_then(|access| names(&access.models)),
        max_tokens: role
            .access
            .as_ref()
            .map(|access| access.max_tokens.get().into()),
        requests_per_minute: role
            .access
            .as_ref()
            .map(|access| access.requests_per_minute.get().into()),
    });
    let rotation = Rotation::of_workspace(workspace.rotation);
    EffectiveWorkspace {
        requests_per_minute: workspace.ceiling_per_minute().map(|rate| rate.get().into()),
        default_max_tokens: workspace.default_max_tokens.get().into(),
        models: bound,
        roles: roles.collect(),
        rotation: EffectiveRotation {
            period_days: rotation.period_days.into(),
            warn_days: rotation.warn_days.into(),
            on_overdue: if rotation.suspend {
                OnOverdue::Suspend
            } else {
                OnOverdue::Flag
            },
        },
    }
}

fn output_status(output: &Output) -> OutputStatus {
    OutputStatus {
        kind: output.id.kind.name().to_owned(),
        name: output.id.name.name.to_string(),
        content_sha256: output
            .content_sha256()
            .map(|digest| digest.to_string())
            .unwrap_or_default(),
        bytes: count(output.bytes()),
    }
}

fn totals(plan: &Plan) -> FindingTotals {
    let of = |severity| {
        count(
            plan.findings
                .iter()
                .filter(|f| f.severity == severity)
                .count(),
        )
    };
    FindingTotals {
        error: of(Severity::Error),
        warning: of(Severity::Warning),
        info: of(Severity::Info),
    }
}

//! Snapshot in, plan out: the one place where everything that should exist is derived from
//! everything that is known. Must not do IO or read a clock.

// A new variant of ours must be looked at wherever it matters.
#![warn(clippy::wildcard_enum_match_arm)]

mod ahead;
pub mod client_keys;
mod findings;
mod full;
pub mod issuers;
pub mod keys;
pub mod loads;
pub mod output;
pub mod outputs;
pub mod pods;
mod status;
#[cfg(test)]
mod tests;
pub mod world;
pub mod write;

pub use ahead::ahead;
pub use status::role_binding::unattached;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::facts::{Awaited, LastPolicy, OutputId, SecretLookup, Snapshot, WorkspaceFacts};
use jiff::{SignedDuration, Timestamp};
use keys::{Dates, Settled};
use output::Plan;

use crate::gateway::policy_json;
use crate::policy::name::Name;
use crate::policy::narrow::narrows;
use crate::policy::resolve::{Facts, GrantFacts, KeyFacts, Resolution, resolve};
use crate::policy::selector::Labels;
use crate::policy::workspace::Workspace;

/// When clocks that differ are compared again, if a key is to be taken away by them.
const CLOCKS_AGREE: SignedDuration = SignedDuration::from_secs(30);

/// Everything that should exist for one workspace. Total: what is wrong denies, and says so.
pub fn plan(snapshot: &Snapshot) -> Plan {
    let settled = keys::settle(snapshot);
    let mut plan = Plan::default();
    let targets = snapshot
        .keys
        .iter()
        .zip(&settled)
        .filter_map(|(facts, settled)| {
            let key = facts.object.spec.as_ref().ok()?;
            outputs::target(snapshot, facts, key, settled.as_ref()?)
        });
    plan.outputs.extend(targets);
    plan.findings = findings::of_keys(snapshot, &settled);
    plan.events.extend(
        snapshot
            .keys
            .iter()
            .zip(&settled)
            .filter_map(|(facts, settled)| {
                status::api_key_ref::announcement(facts, settled.as_ref())
            }),
    );
    plan.wake_at = wake_of_keys(snapshot, &settled);
    match snapshot
        .workspace
        .as_deref()
        .map(|facts| (facts, &facts.object.spec))
    {
        Some((facts, Ok(workspace))) => attached(snapshot, facts, workspace, &settled, &mut plan),
        Some((facts, Err(invalid))) => {
            closed(snapshot, &mut plan);
            plan.statuses.extend(status::workspace::refused(
                snapshot,
                facts,
                &invalid.to_string(),
            ));
            unresolved(snapshot, &settled, &mut plan);
        }
        None => unresolved(snapshot, &settled, &mut plan),
    }
    plan.outputs.sort_by(|a, b| a.id.cmp(&b.id));
    plan.stale = outputs::stale(snapshot, &plan.outputs);
    // Ever ahead, so that no status tells of it.
    let looks_again = clocks_compared(snapshot, &settled);
    plan.wake_at = plan.wake_at.into_iter().chain(looks_again).min();
    plan
}

/// The plan of an accepted Workspace and all that is attached to it.
fn attached(
    snapshot: &Snapshot,
    facts: &WorkspaceFacts,
    workspace: &Workspace,
    settled: &[Option<Settled>],
    plan: &mut Plan,
) {
    let mut resolution = resolved(snapshot, workspace, settled);
    let lost = full::fit(snapshot, &mut resolution);
    let settled = &*full::settle(snapshot, &lost, settled);
    let rendered = policy_json::render(&resolution.policy);
    let mut config_maps = outputs::config_maps(snapshot, &resolution, &rendered);
    let gateways = outputs::gateways_of(workspace);
    let files = outputs::gateway_files(snapshot, &gateways, &resolution.policy, rendered.revision);
    config_maps.extend(files.outputs);
    let unwritten = status::workspace::unwritten(snapshot, &config_maps);
    plan.outputs.extend(config_maps);
    plan.outputs
        .extend(outputs::keys(snapshot, &resolution.policy, settled));
    plan.findings
        .extend(findings::of_workspace(snapshot, workspace));
    plan.findings.extend(issuers::findings(snapshot, workspace));
    plan.findings.extend(resolution.findings.iter().cloned());
    plan.wake_at = plan
        .wake_at
        .into_iter()
        .chain(resolution.next_boundary)
        .min();

    plan.stale = outputs::stale(snapshot, &plan.outputs);
    let awaited = files
        .awaited
        .map(|files| loads::awaited(snapshot, &plan.outputs, files));
    plan.last_policy = remembered(snapshot, &resolution, plan, awaited);
    let unwritten_ids = snapshot.failures.keys().cloned().collect();
    plan.pods = pods::pods(snapshot, plan, &unwritten_ids);
    plan.loads = loads::loads(snapshot, workspace, plan);
    if let Some(last) = &mut plan.last_policy
        && last.lagging != plan.loads.lagging
    {
        Arc::make_mut(last).lagging = plan.loads.lagging.clone();
    }
    plan.findings.extend(loads::findings(snapshot, &plan.loads));
    plan.findings.sort();
    plan.findings.dedup();

    let understood = snapshot
        .bindings
        .iter()
        .filter(|facts| facts.object.spec.is_ok());
    let outcomes: BTreeMap<_, _> = understood
        .map(|facts| &facts.object.name)
        .zip(&resolution.grants)
        .collect();
    for binding in &snapshot.bindings {
        let outcome = outcomes.get(&binding.object.name).copied();
        let full = || full::of_binding(snapshot, &lost, binding);
        let unwritten = unwritten.clone().or_else(full);
        let status = status::role_binding::status(snapshot, binding, outcome, unwritten.as_ref());
        plan.statuses.extend(status);
    }
    let unwritten = unwritten.or_else(|| full::of_workspace(&lost));
    let understood = snapshot
        .keys
        .iter()
        .filter(|facts| facts.object.spec.is_ok());
    let outcomes: BTreeMap<_, _> = understood
        .map(|facts| &facts.object.name)
        .zip(&resolution.keys)
        .collect();
    let by_key = findings::by_key(&plan.findings);
    for (key, settled) in snapshot.keys.iter().zip(settled) {
        let outcome = outcomes.get(&key.object.name).copied();
        let own = by_key
            .get(&key.object.name)
            .map(|own| &**own)
            .unwrap_or_default();
        let status =
            status::api_key_ref::status(snapshot, key, settled.as_ref(), outcome, own, &plan.loads);
        plan.statuses.extend(status);
    }
    let parts = (&resolution, &rendered);
    let status =
        status::workspace::accepted(snapshot, facts, workspace, parts, settled, unwritten, plan);
    plan.statuses.extend(status);
    plan.resolution = Some(resolution);
}

/// What the next plan must know of this one, to tell whether anything was taken away.
fn remembered(
    snapshot: &Snapshot,
    resolution: &Resolution,
    plan: &Plan,
    awaited: Option<Awaited>,
) -> Option<Arc<LastPolicy>> {
    if snapshot.pods.is_empty() {
        return None;
    }
    let policy = &resolution.policy;
    let found = snapshot.outputs.iter().filter(|(_, found)| found.is_ours());
    let planned = plan.outputs.iter().map(|output| &output.id);
    let written = pods::written(snapshot, plan);
    let objects: BTreeMap<OutputId, Option<Timestamp>> = found
        .map(|(id, _)| id)
        .chain(planned)
        .filter(|id| id.name.namespace == snapshot.name.namespace)
        .map(|id| (id.clone(), written.get(id).copied()))
        .collect();
    let last = snapshot.last_policy.as_ref();
    if let Some(last) = last
        .filter(|last| last.policy == *policy && last.objects == objects && last.awaited == awaited)
    {
        return Some(last.clone());
    }
    let wider = last.filter(|last| !narrows(&last.policy, policy));
    let whole = last.filter(|last| last.objects.keys().all(|id| objects.contains_key(id)));
    Some(Arc::new(LastPolicy {
        policy: policy.clone(),
        narrowed_at: wider.map_or(snapshot.now, |last| last.narrowed_at),
        objects,
        awaited,
        missed_at: whole.map_or(snapshot.now, |last| last.missed_at),
        lagging: last.map(|last| last.lagging.clone()).unwrap_or_default(),
    }))
}

/// A Workspace that is not understood denies everything.
fn closed(snapshot: &Snapshot, plan: &mut Plan) {
    let workspace = Workspace {
        enabled: false,
        ..Workspace::default()
    };
    let nothing = Snapshot {
        bindings: Vec::new(),
        keys: Vec::new(),
        ..snapshot.clone()
    };
    let resolution = resolved(&nothing, &workspace, &[]);
    let rendered = policy_json::render(&resolution.policy);
    plan.outputs
        .extend(outputs::config_maps(snapshot, &resolution, &rendered));
    let gateways = outputs::gateways_found(snapshot);
    let files = outputs::gateway_files(snapshot, &gateways, &resolution.policy, rendered.revision);
    plan.outputs.extend(files.outputs);
    plan.outputs.extend(outputs::no_keys(snapshot));
    plan.resolution = Some(resolution);
}

/// Statuses where there is nothing to resolve against.
fn unresolved(snapshot: &Snapshot, settled: &[Option<Settled>], plan: &mut Plan) {
    for binding in &snapshot.bindings {
        plan.statuses
            .extend(status::role_binding::status(snapshot, binding, None, None));
    }
    let by_key = findings::by_key(&plan.findings);
    for (key, settled) in snapshot.keys.iter().zip(settled) {
        let own = by_key
            .get(&key.object.name)
            .map(|own| &**own)
            .unwrap_or_default();
        let status =
            status::api_key_ref::status(snapshot, key, settled.as_ref(), None, own, &plan.loads);
        plan.statuses.extend(status);
    }
}

fn resolved(snapshot: &Snapshot, workspace: &Workspace, settled: &[Option<Settled>]) -> Resolution {
    let grants: Vec<_> = snapshot
        .bindings
        .iter()
        .filter_map(|facts| {
            Some(GrantFacts {
                name: &facts.object.name,
                created: facts.object.created,
                grant: facts.object.spec.as_ref().ok()?,
            })
        })
        .collect();
    let keys: Vec<_> = snapshot
        .keys
        .iter()
        .zip(settled)
        .filter_map(|(facts, settled)| {
            Some(KeyFacts {
                name: &facts.object.name,
                created: facts.object.created,
                key: facts.object.spec.as_ref().ok()?,
                usable: settled.as_ref()?.usable,
            })
        })
        .collect();
    let policy = snapshot
        .outputs
        .get(&client_keys::policy_of(&snapshot.name));
    let policy = policy.map(|found| &**found);
    let labels = snapshot.namespaces.iter();
    let namespaces: BTreeMap<Name, Labels> = labels
        .map(|(name, labels)| (name.clone(), (**labels).clone()))
        .collect();
    resolve(&Facts {
        now: snapshot.now,
        name: &snapshot.name,
        workspace,
        grants: &grants,
        keys: &keys,
        namespaces: &namespaces,
        client_keys: &client_keys::of_secrets(snapshot),
        client_keys_in_use: &client_keys::in_use(policy),
        client_key_rivals: &snapshot.client_key_rivals,
        last_blocked: &client_keys::last_blocked(policy),
        catalogue: &snapshot.catalogue,
    })
}

/// When clocks that keep a key from being taken away are compared again.
fn clocks_compared(snapshot: &Snapshot, settled: &[Option<Settled>]) -> Option<Timestamp> {
    let settled = settled.iter().flatten();
    let mut dates = settled.filter_map(|settled| settled.dates.as_ref());
    let waits = snapshot.clocks_differ() && dates.any(Dates::calls_for_suspension);
    let again = snapshot.now.checked_add(CLOCKS_AGREE).ok();
    again.filter(|_| waits)
}

fn wake_of_keys(snapshot: &Snapshot, settled: &[Option<Settled>]) -> Option<Timestamp> {
    let clocks = settled
        .iter()
        .flatten()
        .filter_map(|settled| settled.dates.as_ref());
    let transitions = clocks.filter_map(|dates| dates.clock.next_transition);
    let retirements = settled.iter().flatten().filter_map(|settled| {
        let retirement = settled.retirement.as_ref()?;
        retirement.boundary(snapshot.now)
    });
    let staged = snapshot.keys.iter().filter_map(|facts| {
        let next = facts.object.spec.as_ref().ok()?.next.as_ref()?;
        next.activate_at.filter(|at| *at > snapshot.now)
    });
    // A date of issue in the future is ignored until it is past.
    let keys = snapshot.keys.iter();
    let given = keys.filter_map(|facts| facts.object.spec.as_ref().ok()?.issued_at);
    let secrets = snapshot.secrets.values().filter_map(|lookup| match lookup {
        SecretLookup::Present(secret) => secret.notes.as_ref()?.issued_at,
        SecretLookup::Absent | SecretLookup::Denied | SecretLookup::Assumed => None,
    });
    let given = given.chain(secrets).filter(|at| *at > snapshot.now);
    let of_versions = transitions.chain(retirements);
    of_versions.chain(staged).chain(given).min()
}

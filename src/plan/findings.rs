//! Findings that need more than the policy: rotation, sharing, environments, models.
//! Must not decide access.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::keys::Settled;
use crate::api::conditions::reason;
use crate::api::metadata::ENVIRONMENT;
use crate::facts::Snapshot;
use crate::policy::finding::{Finding, Kind, ObjectId, Reason};
use crate::policy::model::{ModelPattern, ModelSet};
use crate::policy::name::{Name, NamespacedName};
use crate::policy::rotation::Origin;
use crate::policy::workspace::Workspace;

/// Notice Anthropic gives before it stops serving a model, from its deprecation page.
const RETIREMENT_NOTICE: SignedDuration = SignedDuration::from_hours(60 * 24);

/// What there is to say of the keys.
pub fn of_keys(snapshot: &Snapshot, settled: &[Option<Settled>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (facts, settled) in snapshot.keys.iter().zip(settled) {
        let object = ObjectId::new(Kind::ApiKeyRef, &facts.object.name);
        let mut find = |reason, field: &str, message: String| {
            findings.push(Finding::new(reason, &object, field, message));
        };
        let Some(settled) = settled else {
            continue;
        };
        if let Some(shared) = settled
            .shared
            .as_ref()
            .filter(|shared| shared.reason == reason::SHARED_KEY)
        {
            find(Reason::SharedKey, "spec.source", shared.message.clone());
        }
        let Some(dates) = &settled.dates else {
            continue;
        };
        if dates.given_in_future {
            let message = "The date of issue lies in the future and is ignored. Give the date the key was made.";
            find(Reason::FutureIssueDate, "spec.issuedAt", message.into());
        }
        let guessed = dates
            .issued
            .is_none_or(|(_, origin)| origin == Origin::SecretCreation);
        if guessed && !dates.given_in_future {
            let message = "When the key was made is not known; its Secret's creation stands in for it. Set \
                           spec.issuedAt, or annotate the source with anthropic-rbac.io/issued-at.";
            find(Reason::KeyWithoutIssueDate, "spec.issuedAt", message.into());
        }
        let (rotation, looser) = dates.rotation;
        if looser {
            let message = format!(
                "It asks for a slower rotation than its Workspace, which only the Workspace can allow; \
                 {} days with a warning of {} hold. Ask for less, or nothing.",
                rotation.period_days, rotation.warn_days
            );
            find(Reason::LooserRotation, "spec.rotation", message);
        }
        if rotation.warn_days >= rotation.period_days {
            let message = format!(
                "The warning time of {} days is no shorter than the period of {}, so the key is always due \
                 soon. Shorten warnDays.",
                rotation.warn_days, rotation.period_days
            );
            find(Reason::WarnBeyondPeriod, "spec.rotation.warnDays", message);
        }
    }
    findings
}

/// What there is to say of the Workspace's own settings.
pub fn of_workspace(snapshot: &Snapshot, workspace: &Workspace) -> Vec<Finding> {
    let object = ObjectId::new(Kind::Workspace, &snapshot.name);
    let mut findings = Vec::new();
    let mut find = |reason, field: &str, message: String| {
        findings.push(Finding::new(reason, &object, field, message));
    };
    if let Some(tier) = workspace.tier
        && let Some(successor) = tier.successor()
    {
        let message = format!(
            "Anthropic replaced its tiers 1 to 4 on 2026-06-26; the figure of {tier:?} is used as it was. Name \
             the tier you have now, {successor} perhaps, or write requestsPerMinute."
        );
        find(Reason::LegacyTier, "spec.rateLimits.tier", message);
    }
    let label = snapshot.namespaces.get(&snapshot.name.namespace);
    let label = label.and_then(|labels| labels.get(ENVIRONMENT));
    if let (Some(own), Some(label)) = (&workspace.environment, label)
        && own != label
    {
        let message = format!(
            "The Workspace is for {own}, its namespace is labelled {label}. Correct the one that is wrong."
        );
        find(Reason::EnvironmentMismatch, "spec.environment", message);
    }
    if let Some(models) = &workspace.models {
        models_of(snapshot, "spec.models", models, &mut find);
    }
    for (name, change) in &workspace.roles {
        if let Some(models) = &change.models {
            let field = format!("spec.roles[{name}].models");
            models_of(snapshot, &field, models, &mut find);
        }
    }
    findings
}

/// The findings about keys, by key.
pub fn by_key(findings: &[Finding]) -> BTreeMap<&NamespacedName, Vec<&Finding>> {
    let mut by_key: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for finding in findings {
        if finding.object.kind == Kind::ApiKeyRef {
            by_key
                .entry(&finding.object.name)
                .or_default()
                .push(finding);
        }
    }
    by_key
}

fn models_of(
    snapshot: &Snapshot,
    field: &str,
    models: &ModelSet,
    find: &mut impl FnMut(Reason, &str, String),
) {
    for pattern in models.iter() {
        match pattern {
            ModelPattern::Exact(id) => model(snapshot, field, pattern, id, find),
            ModelPattern::Prefix(_) if snapshot.catalogue.matching(pattern).next().is_some() => {}
            ModelPattern::Prefix(_) => {
                find(Reason::UnknownModel, field, unknown(snapshot, pattern));
            }
        }
    }
}

fn model(
    snapshot: &Snapshot,
    field: &str,
    pattern: &ModelPattern,
    id: &Name,
    find: &mut impl FnMut(Reason, &str, String),
) {
    let Some(known) = snapshot.catalogue.get(id) else {
        return find(Reason::UnknownModel, field, unknown(snapshot, pattern));
    };
    let Some(end) = known.retires_at else {
        return;
    };
    if end <= snapshot.now {
        let message =
            format!("Anthropic stopped serving '{id}' at {end}. Name a model that it serves.");
        find(Reason::RetiredModel, field, message);
    } else if notice(end) <= snapshot.now {
        let message = format!("Anthropic stops serving '{id}' at {end}. Plan its successor.");
        find(Reason::RetiringModel, field, message);
    }
}

fn unknown(snapshot: &Snapshot, pattern: &ModelPattern) -> String {
    let fix = match snapshot.catalogue.nearest(pattern, snapshot.now) {
        Some(meant) => format!("did you mean '{meant}'?"),
        None => "check its spelling.".to_owned(),
    };
    format!("No known model is '{pattern}'. It is kept as written; {fix}")
}

fn notice(end: Timestamp) -> Timestamp {
    end.checked_sub(RETIREMENT_NOTICE).unwrap_or(Timestamp::MIN)
}

//! Findings that need more than the policy: rotation, sharing, environments, tiers.
//! Must not decide access.

use std::collections::BTreeMap;

use super::keys::Settled;
use crate::api::conditions::reason;
use crate::api::metadata::{ALLOW_WORKSPACES, ENVIRONMENT, EXPIRES_AT, ISSUED_AT, KEY_ID};
use crate::facts::{KeyRefFacts, SecretLookup, Snapshot};
use crate::policy::finding::{Finding, Kind, ObjectId, Reason};
use crate::policy::key::{ApiKey, Scope};
use crate::policy::name::{Name, NamespacedName};
use crate::policy::rotation::{Origin, Rotation, RotationWish};
use crate::policy::workspace::Workspace;

/// What there is to say of the keys.
pub fn of_keys(snapshot: &Snapshot, settled: &[Option<Settled>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let workspace = snapshot.workspace.as_ref();
    let workspace = workspace.and_then(|facts| facts.object.spec.as_ref().ok());
    let no_workspace_id = workspace.is_some_and(|workspace| workspace.workspace_id.is_none());
    for (facts, settled) in snapshot.keys.iter().zip(settled) {
        let object = ObjectId::new(Kind::ApiKeyRef, &facts.object.name);
        let mut find = |reason, field: &str, message: String| {
            findings.push(Finding::new(reason, &object, field, message));
        };
        let Some(settled) = settled else {
            continue;
        };
        if let Some((own, label)) = other_environment(snapshot, &facts.object.name) {
            let message = format!(
                "The key's namespace is labelled {label}, its Workspace is for {own}. Refer to the Workspace \
                 that is meant, or correct the one that is wrong."
            );
            find(Reason::EnvironmentMismatch, "spec.workspaceRef", message);
        }
        if settled.id_elsewhere {
            let message = "An ApiKeyRef of another Workspace gives another key the same id, and one of the two is \
                           wrong. Look the key up in the Anthropic Console, and correct keyId.";
            find(Reason::SharedKey, "spec.keyId", message.into());
        }
        if let Some(shared) = settled
            .shared
            .as_ref()
            .filter(|shared| shared.reason == reason::SHARED_KEY)
        {
            find(Reason::SharedKey, "spec.source", shared.message.clone());
        }
        for (field, message) in malformed(snapshot, facts) {
            find(Reason::MalformedAnnotation, field, message);
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
        let organization = |key: &ApiKey| key.scope == Scope::Organization;
        if no_workspace_id && facts.object.spec.as_ref().is_ok_and(organization) {
            let message = "A key of scope Organization is valid in several workspaces, and the Workspace has no id \
                           to name in its requests, so Anthropic refuses them. Set spec.workspaceId of the Workspace.";
            find(Reason::NoWorkspaceId, "spec.scope", message.into());
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
        let own = facts.object.spec.as_ref().map(|key| key.rotation);
        let own = own.is_ok_and(|wish| wish != RotationWish::default());
        if own && rotation.warn_days >= rotation.period_days {
            let field = "spec.rotation.warnDays";
            find(Reason::WarnBeyondPeriod, field, always_due(rotation));
        }
    }
    findings
}

/// Annotations of a key's sources that are not understood. Of a Secret that may not be used
/// nothing is told.
fn malformed(snapshot: &Snapshot, facts: &KeyRefFacts) -> Vec<(&'static str, String)> {
    let Ok(key) = &facts.object.spec else {
        return Vec::new();
    };
    let staged = key.next.iter().map(|next| ("spec.next", &next.source));
    let sources = std::iter::once(("spec.source", &key.source)).chain(staged);
    let home = &facts.object.name.namespace;
    let seen = sources.filter_map(|(field, source)| {
        let lookup = snapshot.secrets.get(&source.secret())?;
        match lookup {
            SecretLookup::Present(secret) if lookup.permits(home, &source.namespace) => {
                Some((field, source.secret(), secret.notes.as_ref()?))
            }
            SecretLookup::Present(_)
            | SecretLookup::Absent
            | SecretLookup::Denied
            | SecretLookup::Assumed => None,
        }
    });
    let told = seen.flat_map(|(field, secret, notes)| {
        notes.malformed.iter().map(move |annotation| {
            let form = match *annotation {
                ISSUED_AT | EXPIRES_AT => "a time such as 2026-12-01T00:00:00Z",
                KEY_ID => "the id that Anthropic gives, such as apikey_01Rj2N8SVvo6BePZj99NhmiT",
                ALLOW_WORKSPACES => "NAMESPACE/NAME, with commas between several",
                _ => "names of namespaces with commas between them, or *",
            };
            let message = format!(
                "The annotation {annotation} of Secret {secret} is not understood, so it says nothing. \
                 Write {form}."
            );
            (field, message)
        })
    });
    told.collect()
}

/// The environments of a Workspace and of a namespace that refers to it, if they differ. Of its
/// own namespace the Workspace tells itself.
fn other_environment<'a>(
    snapshot: &'a Snapshot,
    key: &NamespacedName,
) -> Option<(&'a Name, &'a Name)> {
    let workspace = snapshot.workspace.as_ref()?.object.spec.as_ref().ok()?;
    let own = workspace.environment.as_ref()?;
    let label = snapshot.namespaces.get(&key.namespace)?.get(ENVIRONMENT)?;
    (key.namespace != snapshot.name.namespace && own != label).then_some((own, label))
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
    let environments = environments(snapshot, workspace);
    for (field, message) in environments {
        find(Reason::EnvironmentMismatch, field, message);
    }
    for (audience, other) in &snapshot.shared_audiences {
        let whose = if other.namespace == snapshot.name.namespace {
            format!("Workspace {other}")
        } else {
            "A Workspace of another namespace".to_owned()
        };
        let message = format!(
            "{whose} takes tokens of the same issuer and audience '{audience}' too, so either gateway could \
             replay at the other what it is sent. Give each an audience of its own."
        );
        let field = "spec.authentication.issuers";
        find(Reason::SharedAudience, field, message);
    }
    let rotation = Rotation::of_workspace(workspace.rotation);
    if rotation.warn_days >= rotation.period_days {
        let field = "spec.keys.rotation.warnDays";
        find(Reason::WarnBeyondPeriod, field, always_due(rotation));
    }
    findings
}

/// Where the Workspace's environment is not that of a namespace it has to do with: its own, or
/// one that something attaches from.
fn environments(snapshot: &Snapshot, workspace: &Workspace) -> Vec<(&'static str, String)> {
    let Some(own) = &workspace.environment else {
        return Vec::new();
    };
    let home = &snapshot.name.namespace;
    let labelled = snapshot.namespaces.iter().filter_map(|(name, labels)| {
        let label = labels.get(ENVIRONMENT).filter(|label| *label != own)?;
        (name == home || workspace.ceiling_of(home, name, Some(labels)).is_some())
            .then_some((name, label))
    });
    let told = labelled.map(|(name, label)| {
        if name == home {
            let message = format!(
                "The Workspace is for {own}, its namespace is labelled {label}. Correct the one that is wrong."
            );
            ("spec.environment", message)
        } else {
            let message = format!(
                "The Workspace is for {own}, but namespace {name}, which attaches to it, is labelled {label}. \
                 Attach it to a Workspace of its own environment, or correct the label."
            );
            ("spec.allowedNamespaces", message)
        }
    });
    told.collect()
}

fn always_due(rotation: Rotation) -> String {
    format!(
        "The warning time of {} days is no shorter than the period of {}, so keys are always due soon. \
         Shorten warnDays.",
        rotation.warn_days, rotation.period_days
    )
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

//! `access`: everything one caller may do, and what names it without effect.
//! Must not hold a rule: it asks the resolved policy and prints the answer.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use super::caller::{CallerArgs, SUBJECT_HELP};
use super::failure::{Exit, Failure};
use super::layout::{columns, moment_or_none};
use super::screen::{BAD, Format, GOOD, count, styled};
use super::source::{Place, Source, SourceArgs};
use super::typed;
use crate::facts::{BindingFacts, Snapshot};
use crate::plan::{plan, unattached};
use crate::policy::access::{Access, Caller, Closed, Opened, closed};
use crate::policy::finding::Kind;
use crate::policy::grant::RoleRef;
use crate::policy::name::NamespacedName;
use crate::policy::resolve::Resolution;

/// Say what a subject may do, in every workspace
#[derive(clap::Args, Debug)]
#[command(after_help = format!("\
{SUBJECT_HELP}

Examples:
  anthropic-rbac access serviceaccount:search/search -f examples/seed
  anthropic-rbac access user:corp:uma@example.com --groups data-science -w production

Exit codes: 0 it has access to some model, 1 it has none, 2 no answer."))]
pub struct Args {
    #[command(flatten)]
    caller: CallerArgs,
    /// Only this Workspace: NAME, or NAMESPACE/NAME
    #[arg(short, long, value_name = "W")]
    workspace: Option<String>,
    /// When it is asked, such as 2026-12-01T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = typed::time)]
    at: Option<Timestamp>,
    #[command(flatten)]
    source: SourceArgs,
    /// How the answer is written
    #[arg(short = 'o', long = "output", value_enum, default_value_t)]
    format: Format,
}

/// The answer as programs read it. All members are always there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    subject: String,
    groups: Vec<String>,
    at: Timestamp,
    workspaces: Vec<InWorkspace>,
    assumptions: BTreeSet<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InWorkspace {
    workspace: String,
    decision: &'static str,
    reason: Option<&'static str>,
    message: Option<String>,
    api_key_ref: Option<String>,
    requests_per_minute: Option<u32>,
    grants: Vec<Grant>,
    without_effect: Vec<WithoutEffect>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Grant {
    role: String,
    binding: String,
    #[serde(flatten)]
    place: Place,
    /// Whom the binding names.
    through: String,
    /// Models of the role that the workspace allows.
    models: Vec<String>,
    /// Models of the role.
    role_models: Vec<String>,
    max_tokens: u32,
    requests_per_minute: u32,
    active_from: Option<Timestamp>,
    active_until: Option<Timestamp>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WithoutEffect {
    binding: String,
    #[serde(flatten)]
    place: Place,
    through: String,
    role: String,
    reason: &'static str,
    message: String,
}

/// Runs it.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    // Exit code 1 is an answer here, and nothing else may look like it.
    answered(args).map_err(Failure::into_bad_input)
}

fn answered(args: &Args) -> Result<Exit, Failure> {
    let typed = args.caller.read()?;
    let at = args.at.unwrap_or_else(Timestamp::now);
    let source = args.source.read()?;
    let workspaces = match &args.workspace {
        Some(name) => vec![source.workspace(name)?],
        None => source.workspaces(),
    };
    let mut answer = Answer {
        subject: typed.subject.to_string(),
        groups: args.caller.groups.clone(),
        at,
        workspaces: Vec::new(),
        assumptions: BTreeSet::new(),
    };
    for workspace in workspaces {
        let (snapshot, assumptions) = source.snapshot(&workspace, at)?;
        let caller = typed.caller(&source, &snapshot)?;
        if let Some(found) = InWorkspace::of(&source, &snapshot, &caller, at) {
            answer.workspaces.push(found);
            answer.assumptions.extend(assumptions);
        }
    }
    let is_any = answer.workspaces.iter().any(InWorkspace::is_allowed);
    super::screen::answer(&match args.format {
        Format::Text => answer.text(),
        Format::Json => super::screen::json(&answer),
    })?;
    Ok(if is_any { Exit::Done } else { Exit::No })
}

// === impl InWorkspace ===

impl InWorkspace {
    /// `None` where nothing of the workspace is about the caller.
    fn of(source: &Source, snapshot: &Snapshot, caller: &Caller, at: Timestamp) -> Option<Self> {
        let resolution = plan(snapshot).resolution;
        let access = resolution
            .as_ref()
            .map(|resolution| caller.access(&resolution.policy, at));
        let without_effect = without_effect(source, snapshot, resolution.as_ref(), caller);
        let concerned = access
            .as_ref()
            .is_some_and(|access| !access.grants.is_empty() || !access.blocked.is_empty());
        if !concerned && without_effect.is_empty() {
            return None;
        }
        let denied = access.as_ref().map(|access| access.denied.as_ref());
        let allowed = denied.is_some_and(|denied| denied.is_none());
        let denial = denied.flatten();
        let opened = access.iter().flat_map(|access| &access.grants);
        Some(Self {
            workspace: snapshot.name.to_string(),
            decision: if allowed { "Allow" } else { "Deny" },
            reason: denial.map(|denial| denial.name()),
            message: access.as_ref().and_then(message),
            api_key_ref: access
                .as_ref()
                .and_then(|access| Some(access.key?.api_key_ref.to_string())),
            requests_per_minute: access
                .as_ref()
                .and_then(|access| Some(access.requests_per_minute?.get())),
            grants: opened.map(|opened| Grant::of(source, opened)).collect(),
            without_effect,
        })
    }

    fn is_allowed(&self) -> bool {
        self.decision == "Allow"
    }

    fn text(&self) -> String {
        let mut text = if self.is_allowed() {
            styled(GOOD, format_args!("{}: allowed", self.workspace))
        } else {
            styled(BAD, format_args!("{}: denied", self.workspace))
        };
        if let (Some(message), Some(reason)) = (&self.message, self.reason) {
            let _ = write!(text, ", {message} ({reason})");
        }
        if let (Some(key), Some(rate), true) = (
            &self.api_key_ref,
            self.requests_per_minute,
            self.is_allowed(),
        ) {
            let _ = write!(text, ", key {key}, {rate} requests/min over all models");
        }
        text.push('\n');
        if !self.grants.is_empty() {
            if !self.is_allowed() {
                text.push_str("  Without that, it would have:\n");
            }
            let rows: Vec<_> = self.grants.iter().map(Grant::row).collect();
            let headings = ["ROLE", "MODELS", "MAX TOKENS", "RPM", "UNTIL", "BINDING"];
            text.push_str(&columns(headings, &rows));
        }
        if !self.without_effect.is_empty() {
            text.push_str("  Bindings without effect:\n");
            let rows: Vec<_> = self.without_effect.iter().map(WithoutEffect::row).collect();
            text.push_str(&columns(["BINDING", "ROLE", "REASON", "WHY"], &rows));
        }
        text
    }
}

/// The denial, with who or what it is about.
fn message(access: &Access<'_>) -> Option<String> {
    let denial = access.denied.as_ref()?;
    let about = match (access.blocked.first(), access.key) {
        (Some(blocked), _) => format!(": {blocked}"),
        (None, Some(key)) if key.fingerprint.is_none() && denial.name() == "NoKey" => {
            format!(": ApiKeyRef {} has no usable version", key.api_key_ref)
        }
        (None, Some(_) | None) => String::new(),
    };
    Some(format!("{denial}{about}"))
}

/// Bindings that name the caller and give it nothing.
fn without_effect(
    source: &Source,
    snapshot: &Snapshot,
    resolution: Option<&Resolution>,
    caller: &Caller,
) -> Vec<WithoutEffect> {
    let understood = snapshot.bindings.iter().filter_map(|facts| {
        let grant = facts.object.spec.as_ref().ok()?;
        Some((facts, grant))
    });
    let mut outcomes = resolution
        .into_iter()
        .flat_map(|resolution| &resolution.grants);
    let mut found = Vec::new();
    for (facts, grant) in understood {
        let outcome = outcomes.next();
        for named in &grant.subjects {
            let Some(identity) = caller.named(named) else {
                continue;
            };
            let why = match (resolution, outcome) {
                (Some(resolution), Some(outcome)) => {
                    closed(&resolution.policy, grant, outcome, named)
                }
                (Some(_) | None, _) => {
                    let (reason, message) = unattached(snapshot, facts);
                    Some(Closed { reason, message })
                }
            };
            found.extend(why.map(|Closed { reason, message }| WithoutEffect {
                binding: facts.object.name.to_string(),
                place: place(source, facts),
                through: identity.named.to_string(),
                role: match &grant.role {
                    RoleRef::Application(role) | RoleRef::Console(role) => role.to_string(),
                },
                reason,
                message,
            }));
        }
    }
    found
}

fn place(source: &Source, facts: &BindingFacts) -> Place {
    source.place(Kind::RoleBinding, &facts.object.name)
}

// === impl Grant ===

impl Grant {
    fn of(source: &Source, opened: &Opened<'_>) -> Self {
        let name = NamespacedName::parse(opened.binding);
        let names = |models: &crate::policy::model::ModelSet| {
            models.iter().map(ToString::to_string).collect()
        };
        Self {
            role: opened.role.to_string(),
            binding: opened.binding.to_string(),
            place: name
                .map(|name| source.place(Kind::RoleBinding, &name))
                .unwrap_or_default(),
            through: opened.through.to_string(),
            models: names(&opened.models),
            role_models: names(opened.role_models),
            max_tokens: opened.max_tokens.get(),
            requests_per_minute: opened.requests_per_minute.get(),
            active_from: opened.window.not_before,
            active_until: opened.window.expires_at,
        }
    }

    fn row(&self) -> [String; 6] {
        [
            self.role.clone(),
            self.models.join("\n"),
            self.max_tokens.to_string(),
            self.requests_per_minute.to_string(),
            moment_or_none(self.active_until),
            from(&self.binding, &self.place, &self.through),
        ]
    }
}

// === impl WithoutEffect ===

impl WithoutEffect {
    fn row(&self) -> [String; 4] {
        [
            from(&self.binding, &self.place, &self.through),
            self.role.clone(),
            self.reason.to_owned(),
            self.message.clone(),
        ]
    }
}

/// A binding, where it is written, and the group it is for if it is for one.
fn from(binding: &str, place: &Place, through: &str) -> String {
    let mut text = binding.to_owned();
    if let Some(place) = place.text() {
        let _ = write!(text, "\n{place}");
    }
    if through.starts_with("group:") {
        let _ = write!(text, "\n{through}");
    }
    text
}

// === impl Answer ===

impl Answer {
    fn text(&self) -> String {
        let allowed = self
            .workspaces
            .iter()
            .filter(|workspace| workspace.is_allowed())
            .count();
        let mut text = match (allowed, self.workspaces.len()) {
            (0, 0) => format!("{} is named nowhere and has no access\n", self.subject),
            (0, _) => format!("{} has no access\n", self.subject),
            (n, _) => format!("{} has access in {}\n", self.subject, count(n, "workspace")),
        };
        for workspace in &self.workspaces {
            text.push('\n');
            text.push_str(&workspace.text());
        }
        if self
            .workspaces
            .iter()
            .any(|w| w.reason.is_some() || !w.without_effect.is_empty())
        {
            text.push_str("\n'anthropic-rbac explain REASON' says what to do about it\n");
        }
        for assumed in &self.assumptions {
            let _ = writeln!(text, "assumed: {assumed}");
        }
        text
    }
}

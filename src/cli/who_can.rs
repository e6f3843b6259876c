//! `who-can`: everybody who may use a model.
//! Must not hold a rule: it asks `decide` about everybody the policy knows.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::failure::{Exit, Failure};
use super::layout::{columns, moment_or_none};
use super::screen::{Format, GOOD, count, styled};
use super::source::{Place, SourceArgs};
use super::typed;
use crate::plan::plan;
use crate::policy::access::{Caller, Identity};
use crate::policy::finding::Kind;
use crate::policy::name::NamespacedName;
use crate::policy::subject::{Subject, SubjectRef};

/// List everybody who may use a model
#[derive(clap::Args, Debug)]
#[command(after_help = "\
A group stands for its members, whoever they are: its issuer knows. A member may be allowed more by
a binding of its own, or be blocked.

Examples:
  anthropic-rbac who-can -w production --model claude-opus-4-20250514 -f examples/seed
  anthropic-rbac who-can -w production --model claude-opus-5 --max-tokens 8000 -o json

Exit codes: 0 somebody can, 1 nobody can, 2 no answer.")]
pub struct Args {
    /// The Workspace: NAME, or NAMESPACE/NAME
    #[arg(short, long, value_name = "W")]
    workspace: String,
    /// The model that is asked for
    #[arg(long, value_name = "M")]
    model: String,
    /// Only those whose requests for so many tokens are not cut down
    #[arg(long, value_name = "N", value_parser = typed::max_tokens, allow_negative_numbers = true)]
    max_tokens: Option<u64>,
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
struct Answer<'a> {
    workspace: String,
    model: &'a str,
    at: Timestamp,
    subjects: Vec<Able>,
    assumptions: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Able {
    subject: String,
    /// Whether it stands for its members.
    group: bool,
    role: String,
    binding: String,
    #[serde(flatten)]
    place: Place,
    max_tokens: u32,
    requests_per_minute: u32,
    api_key_ref: String,
    active_until: Option<Timestamp>,
}

/// Runs it.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    // Exit code 1 is an answer here, and nothing else may look like it.
    answered(args).map_err(Failure::into_bad_input)
}

fn answered(args: &Args) -> Result<Exit, Failure> {
    let at = args.at.unwrap_or_else(Timestamp::now);
    if args.max_tokens == Some(0) {
        let message = "--max-tokens must be at least 1";
        return Err(Failure::BadInput(message.to_owned()));
    }
    let source = args.source.read()?;
    let workspace = source.workspace(&args.workspace)?;
    let (snapshot, assumptions) = source.snapshot(&workspace, at)?;
    let resolution = plan(&snapshot)
        .resolution
        .ok_or_else(|| Failure::BadInput(format!("Workspace {workspace} does not exist")))?;
    let mut identities: BTreeMap<&SubjectRef, Identity> = BTreeMap::new();
    for (id, named) in &resolution.names {
        let identity = identities.entry(named).or_insert_with(|| Identity {
            named: named.clone(),
            ids: Vec::new(),
        });
        identity.ids.push(*id);
    }
    let able = identities.into_values().filter_map(|subject| {
        let caller = Caller {
            subject,
            groups: Vec::new(),
        };
        // More than any limit: what comes back is the limit.
        let asked = (args.model.as_str(), Some(u64::MAX));
        let permit = caller.decide(&resolution.policy, asked, at).ok()?;
        let max_tokens = permit.max_tokens().get();
        if args
            .max_tokens
            .is_some_and(|asked| asked > max_tokens.into())
        {
            return None;
        }
        let access = caller.access(&resolution.policy, at);
        let grant = access
            .grants
            .iter()
            .find(|grant| grant.binding == permit.binding() && grant.role == permit.role());
        let named = &caller.subject.named;
        Some(Able {
            subject: named.to_string(),
            group: matches!(named, SubjectRef::Known(Subject::Group { .. })),
            role: permit.role().to_string(),
            binding: permit.binding().to_string(),
            place: NamespacedName::parse(permit.binding())
                .map(|name| source.place(Kind::RoleBinding, &name))
                .unwrap_or_default(),
            max_tokens,
            requests_per_minute: permit.requests_per_minute().get(),
            api_key_ref: permit.api_key_ref().to_string(),
            active_until: grant.and_then(|grant| grant.window.expires_at),
        })
    });
    let mut able: Vec<Able> = able.collect();
    able.sort_by(|a, b| a.subject.cmp(&b.subject));
    let answer = Answer {
        workspace: workspace.to_string(),
        model: &args.model,
        at,
        subjects: able,
        assumptions,
    };
    super::screen::answer(&match args.format {
        Format::Text => answer.text(),
        Format::Json => super::screen::json(&answer),
    })?;
    Ok(if answer.subjects.is_empty() {
        Exit::No
    } else {
        Exit::Done
    })
}

// === impl Answer ===

impl Answer<'_> {
    fn text(&self) -> String {
        let Self {
            workspace,
            model,
            subjects,
            ..
        } = self;
        let mut text = match subjects.len() {
            0 => format!("nobody may use {model} in {workspace}\n"),
            n => {
                let who = styled(GOOD, count(n, "subject"));
                format!("{who} may use {model} in {workspace}\n")
            }
        };
        let rows: Vec<_> = subjects.iter().map(Able::row).collect();
        let headings = ["WHO", "ROLE", "MAX TOKENS", "RPM", "UNTIL", "BINDING, KEY"];
        if !rows.is_empty() {
            text.push_str(&columns(headings, &rows));
        }
        for assumed in &self.assumptions {
            text.push_str(&format!("assumed: {assumed}\n"));
        }
        text
    }
}

// === impl Able ===

impl Able {
    fn row(&self) -> [String; 6] {
        let members = if self.group { "\n(its members)" } else { "" };
        let place = self.place.text();
        let place = place.map(|place| format!("\n{place}")).unwrap_or_default();
        [
            format!("{}{members}", self.subject),
            self.role.clone(),
            self.max_tokens.to_string(),
            self.requests_per_minute.to_string(),
            moment_or_none(self.active_until),
            format!("{}{place}\nkey {}", self.binding, self.api_key_ref),
        ]
    }
}

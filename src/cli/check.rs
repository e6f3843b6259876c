//! `check`: one decision, and which binding made it.
//! Must not hold a rule: it asks `decide` and prints the answer.

use jiff::Timestamp;
use serde::Serialize;

use super::caller::{CallerArgs, SUBJECT_HELP};
use super::failure::{Exit, Failure};
use super::screen::{BAD, Format, GOOD, say, styled, table};
use super::source::{Rendered, SourceArgs};
use super::typed;
use crate::gateway::policy_json;
use crate::plan::outputs::policy_name;
use crate::policy::access::Caller;
use crate::policy::decide::{Denial, Permit};
use crate::policy::drift::is_rendered;
use crate::policy::name::NamespacedName;
use crate::policy::resolve::Resolution;
use crate::policy::subject::SubjectRef;
use crate::policy::table::Policy;

/// Say whether a request would be allowed, and why
#[derive(clap::Args, Debug)]
#[command(after_help = format!("\
{SUBJECT_HELP}

Examples:
  anthropic-rbac check serviceaccount:search/search -w production --model claude-haiku-4-5 -f .
  anthropic-rbac check user:corp:uma@example.com --groups data-science -w claude/production \\
    --model claude-opus-4-5 --max-tokens 9999 -f examples/seed -o json

Exit codes: 0 allowed, 1 denied, 2 no answer: bad input, or a cluster that cannot be read."))]
pub struct Args {
    #[command(flatten)]
    caller: CallerArgs,
    /// The Workspace: NAME, or NAMESPACE/NAME
    #[arg(short, long, value_name = "W")]
    workspace: String,
    /// The model that is asked for
    #[arg(long, value_name = "M")]
    model: String,
    /// The max_tokens that is asked for
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
    decision: &'static str,
    status: u16,
    message: Option<String>,
    model: &'a str,
    max_tokens: Option<u32>,
    requests_per_minute: Option<u32>,
    role: Option<&'a str>,
    binding: Option<&'a str>,
    api_key_ref: Option<&'a str>,
    workspace: String,
    policy_revision: String,
    /// What is rendered in the cluster, which is what gateways go by; `null` of files.
    rendered: Option<InCluster>,
    assumptions: Vec<String>,
}

/// The policy that is rendered in the cluster.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InCluster {
    /// Current, or how it differs from what the specs give now.
    state: &'static str,
    revision: Option<String>,
    /// What it says of the request; `null` of client keys, whose ids in it are not known here.
    decision: Option<&'static str>,
    message: Option<String>,
}

/// Runs it.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    // Exit code 1 is an answer here, and nothing else may look like it.
    decided(args).map_err(Failure::into_bad_input)
}

fn decided(args: &Args) -> Result<Exit, Failure> {
    let typed = args.caller.read()?;
    let at = args.at.unwrap_or_else(Timestamp::now);
    let source = args.source.read()?;
    let workspace = source.workspace(&args.workspace)?;
    let (snapshot, assumptions) = source.snapshot(&workspace, at)?;
    let caller = typed.caller(&source, &snapshot)?;
    let Some(resolution) = crate::plan::plan(&snapshot).resolution else {
        return Err(Failure::BadInput(format!(
            "Workspace {workspace} does not exist"
        )));
    };
    typed.note_issuer(&resolution.policy);
    let asked = (args.model.as_str(), args.max_tokens);
    let outcome = caller.decide(&resolution.policy, asked, at);
    let mut answer = Answer::new(args, &workspace, &resolution.policy, &outcome, assumptions);
    if !args.source.is_files() {
        // What is rendered now is to be compared with what the specs give now.
        let (snapshot, _) = source.snapshot(&workspace, Timestamp::now())?;
        if let Some(now) = crate::plan::plan(&snapshot).resolution {
            let rendered = super::block_on(args.source.cluster().rendered(&workspace))?;
            let in_cluster = InCluster::of(&rendered, &now, &caller, asked, at);
            in_cluster.note(&workspace, answer.decision);
            answer.rendered = Some(in_cluster);
        }
    }
    super::screen::answer(&match args.format {
        Format::Text => answer.text(),
        Format::Json => super::screen::json(&answer),
    })?;
    Ok(if outcome.is_ok() {
        Exit::Done
    } else {
        Exit::No
    })
}

// === impl InCluster ===

impl InCluster {
    fn of(
        rendered: &Rendered,
        now: &Resolution,
        caller: &Caller,
        asked: (&str, Option<u64>),
        at: Timestamp,
    ) -> Self {
        let only = |state, message: Option<String>| Self {
            state,
            revision: None,
            decision: None,
            message,
        };
        match rendered {
            Rendered::Missing => only("Missing", None),
            Rendered::Denied => only("Unknown", Some("you may not read it".to_owned())),
            Rendered::Broken(why) => only("Broken", Some(why.clone())),
            Rendered::Policy {
                revision,
                policy,
                edited,
            } => {
                let known = !matches!(caller.subject.named, SubjectRef::ClientKeySecret(_));
                let outcome = known.then(|| caller.decide(policy, asked, at));
                Self {
                    state: match (edited, is_rendered(&now.policy, &now.names, policy)) {
                        (true, _) => "Edited",
                        (false, true) => "Current",
                        (false, false) => "Behind",
                    },
                    revision: Some(revision.to_string()),
                    decision: outcome.as_ref().map(decision),
                    message: outcome
                        .and_then(Result::err)
                        .map(|denial| denial.to_string()),
                }
            }
        }
    }

    /// Says how it differs, if it does.
    fn note(&self, workspace: &NamespacedName, decision: &str) {
        let object = format!(
            "ConfigMap {}/{}",
            workspace.namespace,
            policy_name(&workspace.name)
        );
        let why = self.message.as_deref().unwrap_or_default();
        let how = match self.state {
            "Missing" => {
                "is not there: the operator does not run, or does not serve this namespace"
                    .to_owned()
            }
            "Unknown" => "cannot be compared: you may not read it".to_owned(),
            "Broken" => format!("is no policy ({why}): gateways keep the last good one, or deny"),
            "Edited" => "was changed by somebody else than the operator".to_owned(),
            "Behind" => {
                "differs from what the specs give now: the operator is behind, or does not run"
                    .to_owned()
            }
            _ => return,
        };
        let else_says = match (self.decision, why) {
            (Some(other), "") if other != decision => format!("; by it, the answer is {other}"),
            (Some(other), why) if other != decision => {
                format!("; by it, the answer is {other}: {why}")
            }
            (Some(_) | None, _) => String::new(),
        };
        say(format_args!("note: {object} {how}{else_says}"));
    }
}

fn decision<T, E>(outcome: &Result<T, E>) -> &'static str {
    match outcome {
        Ok(_) => "Allow",
        Err(_) => "Deny",
    }
}

// === impl Answer ===

impl<'a> Answer<'a> {
    fn new(
        args: &'a Args,
        workspace: &NamespacedName,
        policy: &Policy,
        outcome: &'a Result<Permit, Denial>,
        assumptions: Vec<String>,
    ) -> Self {
        let (permit, denial) = match outcome {
            Ok(permit) => (Some(permit), None),
            Err(denial) => (None, Some(denial)),
        };
        Self {
            decision: decision(outcome),
            status: denial.map_or(200, Denial::status),
            message: denial.map(ToString::to_string),
            model: &args.model,
            max_tokens: permit.map(|permit| permit.max_tokens().get()),
            requests_per_minute: permit.map(|permit| permit.requests_per_minute().get()),
            role: permit.map(|permit| &**permit.role()),
            binding: permit.map(|permit| &**permit.binding()),
            api_key_ref: permit.map(|permit| &**permit.api_key_ref()),
            workspace: workspace.to_string(),
            policy_revision: policy_json::render(policy).revision.to_string(),
            rendered: None,
            assumptions,
        }
    }

    fn text(&self) -> String {
        let style = if self.message.is_none() { GOOD } else { BAD };
        let status = self.message.as_ref().map(|_| self.status.to_string());
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let number = |number: Option<u32>| number.map(|number| number.to_string());
        let rows = [
            ("message", self.message.clone()),
            ("status", status),
            ("role", owned(self.role)),
            ("binding", owned(self.binding)),
            ("model", Some(self.model.to_owned())),
            ("max tokens", number(self.max_tokens)),
            ("requests/min", number(self.requests_per_minute)),
            ("key", owned(self.api_key_ref)),
            ("workspace", Some(self.workspace.clone())),
            ("policy revision", Some(self.policy_revision.clone())),
            (
                "in the cluster",
                self.rendered
                    .as_ref()
                    .map(|rendered| rendered.state.to_owned()),
            ),
        ];
        let rows = rows
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let assumed = self
            .assumptions
            .iter()
            .map(|assumed| ("assumed", assumed.clone()));
        format!(
            "{}\n{}",
            styled(style, self.decision),
            table(rows.chain(assumed))
        )
    }
}

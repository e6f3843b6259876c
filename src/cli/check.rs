//! `check`: one decision, and which binding made it.
//! Must not hold a rule: it asks `decide` and prints the answer.

use jiff::Timestamp;
use serde::Serialize;

use super::caller::{SUBJECT_HELP, Typed};
use super::failure::{Exit, Failure};
use super::screen::{BAD, Format, GOOD, styled, table};
use super::source::SourceArgs;
use crate::gateway::policy_json;
use crate::policy::decide::{Denial, Permit};
use crate::policy::name::NamespacedName;
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
    /// Who calls
    #[arg(value_name = "SUBJECT")]
    subject: String,
    /// The Workspace: NAME, or NAMESPACE/NAME
    #[arg(short, long, value_name = "W")]
    workspace: String,
    /// The model that is asked for
    #[arg(long, value_name = "M")]
    model: String,
    /// The max_tokens that is asked for
    #[arg(long, value_name = "N")]
    max_tokens: Option<u64>,
    /// Groups of the user, by its issuer's names; 64 count, those that sort first
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    groups: Vec<String>,
    /// When it is asked, such as 2026-12-01T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
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
    assumptions: Vec<String>,
}

/// Runs it.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    // Exit code 1 is an answer here, and nothing else may look like it.
    decided(args).map_err(Failure::into_bad_input)
}

fn decided(args: &Args) -> Result<Exit, Failure> {
    let typed = Typed::parse(&args.subject, &args.groups)?;
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
    let asked = (args.model.as_str(), args.max_tokens);
    let outcome = caller.decide(&resolution.policy, asked, at);
    let answer = Answer::new(args, &workspace, &resolution.policy, &outcome, assumptions);
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
            decision: if permit.is_some() { "Allow" } else { "Deny" },
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

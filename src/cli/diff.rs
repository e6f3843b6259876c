//! `diff`: what a change of manifests does to access, before it is applied.
//! Must not hold a rule: `compare` says what differs, and this writes it down.

mod answer;
mod markdown;
mod text;

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::failure::{Exit, Failure};
use super::source::{ChangeArgs, Source};
use super::typed;
use crate::plan::ahead;
use crate::policy::compare::{Side, Span, compare, trust};
use crate::policy::name::NamespacedName;
use crate::policy::workspace::Workspace;
use answer::{Answer, Change};

/// Say what a change does to access, before it is applied
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Who gains or loses which model, whose limits or key change, who vouches for callers, who gets into
the Console: now, and at every later time at which a grant begins or ends. Against a cluster, the
manifests are applied to it as kubectl apply does: what they do not mention stays. To see what
deleting does, compare two folders. One of the two may hold no manifests, as before the first or
after the last: nobody may do anything there.

Examples:
  anthropic-rbac diff -f .                                   # what 'kubectl apply' would do
  git worktree add ../main main && anthropic-rbac diff -f . --against ../main -o markdown
  anthropic-rbac diff -f new --against old --fail-on widened

Exit codes: 0 nothing changes (with --fail-on widened: nothing gets wider), 1 something does,
2 no answer: bad input, or a cluster that cannot be read.")]
pub struct Args {
    #[command(flatten)]
    change: ChangeArgs,
    /// Exit with 1 only when this is so
    #[arg(long, value_enum, value_name = "WHEN")]
    fail_on: Option<FailOn>,
    /// The time from which it is compared, such as 2026-12-01T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = typed::time)]
    at: Option<Timestamp>,
    /// How the answer is written
    #[arg(short = 'o', long = "output", value_enum, default_value_t)]
    format: DiffFormat,
}

/// When a change is a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum FailOn {
    /// Somebody may do more than before, or may be let in by somebody else.
    Widened,
}

/// How a comparison is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
enum DiffFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object.
    Json,
    /// For a comment on a pull request.
    Markdown,
}

/// Runs it.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    // Exit code 1 is an answer here, and nothing else may look like it.
    compared(args).map_err(Failure::into_bad_input)
}

fn compared(args: &Args) -> Result<Exit, Failure> {
    let at = args.at.unwrap_or_else(Timestamp::now);
    let (before, after) = args.change.read()?;
    let names = before.workspaces().into_iter().chain(after.workspaces());
    let names: BTreeSet<NamespacedName> = names.collect();
    let mut answer = Answer::new(at);
    for name in names {
        let (old, old_assumed) = side(&before, &name, at)?;
        let (new, new_assumed) = side(&after, &name, at)?;
        let comparison = compare(old.as_ref(), new.as_ref());
        let change = match (&old, &new) {
            (None, Some(_)) => Change::Appears,
            (Some(_), None) => Change::Goes,
            (Some(_), Some(_)) | (None, None) => Change::Changes,
        };
        if change != Change::Changes || !comparison.is_empty() {
            answer.add(&name, change, &comparison);
            answer.assumptions.extend(old_assumed);
            answer.assumptions.extend(new_assumed);
        }
    }
    super::screen::answer(&match args.format {
        DiffFormat::Text => answer.text(),
        DiffFormat::Json => super::screen::json(&answer),
        DiffFormat::Markdown => answer.markdown(),
    })?;
    let failed = match args.fail_on {
        None => answer.changes,
        Some(FailOn::Widened) => answer.widened,
    };
    Ok(if failed { Exit::No } else { Exit::Done })
}

/// What holds in a workspace from now on; `None` where there is none.
fn side(
    source: &Source,
    name: &NamespacedName,
    at: Timestamp,
) -> Result<(Option<Side>, Vec<String>), Failure> {
    let (snapshot, assumptions) = source.snapshot(name, at)?;
    let Some(facts) = &snapshot.workspace else {
        return Ok((None, assumptions));
    };
    let spec = facts.object.spec.as_ref().ok();
    let plans = ahead(&snapshot).into_iter();
    let spans: Vec<Span> = plans
        .filter_map(|(from, plan)| {
            let resolution = plan.resolution?;
            Some(Span {
                from,
                policy: resolution.policy,
                names: resolution.names,
                console: resolution.console,
            })
        })
        .collect();
    let first = spans.first();
    let trust = first.map(|span| trust(&span.policy, spec.unwrap_or(&Workspace::default())));
    let side = Side {
        trust: trust.unwrap_or_default(),
        spans,
    };
    Ok((Some(side), assumptions))
}

//! `offboard`: all that must go when somebody leaves or is compromised, the block that works at
//! once first. Prints it; blocks in the cluster only when told to.
//! Must not hold a rule, and must not touch anything but `blockedSubjects`.

mod answer;
mod apply;

use jiff::Timestamp;

use super::caller::{SUBJECT_HELP, Typed};
use super::failure::{Exit, Failure};
use super::screen::Format;
use super::source::{Source, SourceArgs};
use crate::facts::Snapshot;
use crate::policy::access::Caller;
use crate::policy::offboard::{Attached, offboard};
use answer::Answer;

/// Say what must go when a subject leaves, and block it at once
#[derive(clap::Args, Debug)]
#[command(after_help = format!("\
{SUBJECT_HELP}

Prints where to block it, which beats every grant at once; the bindings that name it; groups it may
be in, which only its issuer knows; keys only it used, to be disabled at Anthropic; Console roles.
Nothing is changed without --apply, and with it only spec.blockedSubjects of Workspaces.

Examples:
  anthropic-rbac offboard user:corp:eve@example.com
  anthropic-rbac offboard user:corp:eve@example.com --apply
  anthropic-rbac offboard serviceaccount:search/search -f examples/seed -o json

Exit codes: 0 printed, and with --apply blocked, 1 not blocked everywhere, 2 bad input."))]
pub struct Args {
    /// Who leaves
    #[arg(value_name = "SUBJECT")]
    subject: String,
    /// Block it in the cluster, once all is printed
    #[arg(long, conflicts_with = "files")]
    apply: bool,
    #[command(flatten)]
    source: SourceArgs,
    /// How the answer is written
    #[arg(short = 'o', long = "output", value_enum, default_value_t)]
    format: Format,
}

/// Runs it.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let typed = Typed::parse(&args.subject, &[])?;
    let source = args.source.read()?;
    let mut answer = Answer::new(&typed.subject);
    for workspace in source.workspaces() {
        let (snapshot, _) = source.snapshot(&workspace, Timestamp::now())?;
        let caller = typed.caller(&source, &snapshot)?;
        in_workspace(&source, &snapshot, &caller, &mut answer);
    }
    super::screen::answer(&match args.format {
        Format::Text => answer.text(args.apply),
        Format::Json => super::screen::json(&answer),
    })?;
    if args.apply {
        return super::block_on(apply::block(args.source.cluster(), &typed.subject, &answer));
    }
    Ok(Exit::Done)
}

fn in_workspace(source: &Source, snapshot: &Snapshot, caller: &Caller, answer: &mut Answer) {
    let workspace = snapshot.workspace.as_ref();
    let grants = snapshot.bindings.iter().filter_map(|facts| {
        let grant = facts.object.spec.as_ref().ok()?;
        Some((&facts.object.name, grant))
    });
    let keys = snapshot.keys.iter().filter_map(|facts| {
        let key = facts.object.spec.as_ref().ok()?;
        Some((&facts.object.name, key))
    });
    let attached = Attached {
        workspace: workspace.and_then(|facts| facts.object.spec.as_ref().ok()),
        grants: grants.collect(),
        keys: keys.collect(),
    };
    if let Some(found) = offboard(&caller.subject, &attached) {
        answer.add(source, snapshot, &attached, &found);
    }
}

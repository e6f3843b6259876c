//! `calendar`: the days keys are due, for a calendar.
//! Must not know how a calendar is written.

use jiff::Timestamp;

use super::failure::{Exit, Failure};
use super::keys::of_workspace;
use super::screen::{answer, count, say};
use super::source::SourceArgs;
use crate::calendar::{About, MOST_EVENTS, Reminder, render};

/// Print the days keys are due for rotation as an iCalendar file
#[derive(clap::Args, Debug)]
#[command(
    mut_arg("namespace", |arg| arg.help(
        "From a cluster, only ApiKeyRefs of this namespace; of manifests, the namespace of those \
         that name none [default: default]")),
    mut_arg("all_namespaces", |arg| arg.help("ApiKeyRefs of all namespaces, as without -n")),
    after_help = "\
An all-day event for each key that has a due date, with an alarm when its warning time begins. The
same facts make the same bytes. Each version of a key has its own event, which goes when the
version is replaced or revoked.

To subscribe to it, let the operator serve it: see 'anthropic-rbac operator --calendar'.

Examples:
  anthropic-rbac calendar > keys.ics
  anthropic-rbac calendar -n search > search.ics
  anthropic-rbac calendar -f examples/seed -w production > keys.ics

Exit codes: 0 printed, 1 the cluster cannot be read, 2 bad input."
)]
pub struct Args {
    /// Only keys of this Workspace: NAME, or NAMESPACE/NAME
    #[arg(short, long, value_name = "W")]
    workspace: Option<String>,
    #[command(flatten)]
    source: SourceArgs,
}

/// Runs it.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let keys = args.source.keys(Timestamp::now())?;
    let keys = of_workspace(keys, args.workspace.as_deref())?;
    let reminders = keys.iter().filter_map(|key| {
        let about = About {
            key: &key.said.name,
            service: &key.service,
            workspace: &key.workspace,
            reported_at: key.reported_at,
        };
        Reminder::of(about, &key.said.status)
    });
    let reminders: Vec<Reminder> = reminders.collect();
    answer(&render(&reminders))?;
    let dateless = keys.len() - reminders.len();
    if dateless > 0 {
        say(format_args!(
            "note: {} without a due date; 'anthropic-rbac keys' says why",
            count(dateless, "key")
        ));
    }
    if reminders.len() > MOST_EVENTS {
        say(format_args!(
            "note: of {} only the first {MOST_EVENTS} are in it; take them by -n or -w",
            count(reminders.len(), "event")
        ));
    }
    Ok(Exit::Done)
}

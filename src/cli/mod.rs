//! The command line: a file a subcommand, each from what was typed to what the core is asked,
//! and from its answer to text.
//! Must not hold rules: whatever is decided is decided in `plan` and `policy`.

mod access;
mod calendar;
mod caller;
mod check;
mod completions;
mod crds;
mod diff;
mod explain;
mod failure;
mod folder;
mod init;
mod keys;
mod layout;
mod lint;
mod manifests;
mod notice;
mod offboard;
mod operator;
mod reference;
mod render;
mod revoke;
mod schema;
mod screen;
mod source;
mod status;
mod typed;
mod upstream;
mod who_can;

use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Styles};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, FromArgMatches as _, Parser};

use failure::Failure;

/// Claude behind Kubernetes access control
///
/// Decides who may call which Claude model, renders what gateways enforce, maps API keys and
/// flags their rotation: from manifests on disk or as an operator in a cluster.
#[derive(Parser, Debug)]
#[command(
    name = "anthropic-rbac",
    version,
    max_term_width = 100,
    styles = Styles::styled()
        .header(AnsiColor::Green.on_default().bold())
        .usage(AnsiColor::Green.on_default().bold())
        .literal(AnsiColor::Cyan.on_default().bold())
        .placeholder(AnsiColor::Cyan.on_default()),
    after_help = "\
Examples:
  anthropic-rbac init                                   # a starter set of manifests
  anthropic-rbac render -f examples/seed --out out      # what the operator would write
  anthropic-rbac lint -f examples/seed                  # what is wrong with it, and where
  anthropic-rbac check serviceaccount:search/search -w production \\
    --model claude-haiku-4-5 -f examples/seed           # one decision
  anthropic-rbac access user:corp:uma@example.com       # all that somebody may do
  anthropic-rbac diff -f .                              # what applying this would change
  anthropic-rbac explain RefNotPermitted                # what a reason means

Exit codes: 0 done or allowed, 1 failed, denied or different, 2 bad input.
Called kubectl-anthropic_rbac on PATH, it is 'kubectl anthropic-rbac', too."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Operator(operator::Args),
    Render(render::Args),
    Check(check::Args),
    Access(access::Args),
    WhoCan(who_can::Args),
    Diff(diff::Args),
    Offboard(offboard::Args),
    Explain(explain::Args),
    Status(status::Args),
    Keys(keys::Args),
    Calendar(calendar::Args),
    Lint(lint::Args),
    Revoke(revoke::Args),
    Init(init::Args),
    Crds(crds::Args),
    Schema(schema::Args),
    #[command(hide = true)]
    Reference(reference::Args),
    Completions(completions::Args),
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let parsed = Cli::command().bin_name(called_as()).try_get_matches();
    let parsed = parsed.unwrap_or_else(|error| with_tip(error).exit());
    let cli = Cli::from_arg_matches(&parsed).unwrap_or_else(|error| error.exit());
    let ended = match cli.command {
        Command::Operator(args) => operator::run(args),
        Command::Render(args) => render::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Access(args) => access::run(&args),
        Command::WhoCan(args) => who_can::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Offboard(args) => offboard::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Keys(args) => keys::run(&args),
        Command::Calendar(args) => calendar::run(&args),
        Command::Lint(args) => lint::run(&args),
        Command::Revoke(args) => revoke::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Crds(args) => crds::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Reference(args) => reference::run(&args),
        Command::Completions(args) => completions::run(&args),
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            screen::say(&failure);
            failure.exit_code()
        }
    }
}

/// Says, where a SUBJECT or NAME is missing, that it is no more one after `-f`, which takes many.
fn with_tip(mut error: clap::Error) -> clap::Error {
    let missing = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(names)) => names.iter().any(|name| name.starts_with('<')),
        Some(_) | None => false,
    };
    let files = std::env::args_os().any(|arg| arg == "-f" || arg == "--filename");
    if missing && files && error.kind() == ErrorKind::MissingRequiredArgument {
        let tip = "all that stands after -f counts as files: write this before it";
        let tips = ContextValue::StyledStrs(vec![tip.into()]);
        error.insert(ContextKind::Suggested, tips);
    }
    error
}

/// How help calls it: as a kubectl plugin its name is another.
fn called_as() -> &'static str {
    let name = std::env::args_os().next().map(std::path::PathBuf::from);
    let name = name.as_deref().and_then(std::path::Path::file_stem);
    match name.is_some_and(|name| name.as_encoded_bytes().starts_with(b"kubectl-")) {
        true => "kubectl anthropic-rbac",
        false => "anthropic-rbac",
    }
}

/// Carries a future through, for commands that talk to a cluster.
fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
    runtime.block_on(future)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

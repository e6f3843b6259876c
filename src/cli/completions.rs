//! `completions`: what a shell needs to complete this command line.
//! Must not write anywhere but to stdout.

use clap::CommandFactory as _;
use clap_complete::aot::{Shell, generate};

use super::failure::{Exit, Failure};
use super::screen::answer;

/// Print a shell completion script
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  source <(anthropic-rbac completions bash)
  anthropic-rbac completions zsh > \"${fpath[1]}/_anthropic-rbac\"
  anthropic-rbac completions fish > ~/.config/fish/completions/anthropic-rbac.fish

As a kubectl plugin the binary is called kubectl-anthropic_rbac (kubectl turns the underscore
into a dash): link it anywhere on PATH, and 'kubectl anthropic-rbac check …' works. kubectl
completes plugins by a helper on PATH called kubectl_complete-anthropic_rbac.")]
pub struct Args {
    /// The shell to complete in
    shell: Supported,
}

/// The shells that there is a script for.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Supported {
    Bash,
    Zsh,
    Fish,
}

/// Runs it.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let shell = match args.shell {
        Supported::Bash => Shell::Bash,
        Supported::Zsh => Shell::Zsh,
        Supported::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(
        shell,
        &mut super::Cli::command(),
        "anthropic-rbac",
        &mut script,
    );
    answer(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

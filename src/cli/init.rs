//! `init`: a starter set of manifests that works and teaches.
//! Must not overwrite anything unless told to.

use std::path::{Path, PathBuf};

use super::failure::{Exit, Failure};
use super::folder::{self, Readers};
use super::screen::answer;

/// Write a starter set of manifests
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  anthropic-rbac init
  anthropic-rbac init --layout teams --out platform/claude")]
pub struct Args {
    /// Folder to write to
    #[arg(long, value_name = "DIR", default_value = "anthropic-rbac")]
    out: PathBuf,
    /// What to start with
    #[arg(long, value_enum, default_value_t)]
    layout: Layout,
    /// Overwrite files that are already there
    #[arg(long)]
    force: bool,
}

/// Who shares the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
enum Layout {
    /// One team that runs the gateway and calls Claude, in one namespace
    #[default]
    Single,
    /// A platform team that runs the gateway, and service teams in namespaces of their own
    Teams,
}

/// A file of a starter set: its name and what is in it.
type File = (&'static str, &'static str);

const SINGLE: &[File] = &[
    (
        "00-namespace.yaml",
        include_str!("init/single/00-namespace.yaml"),
    ),
    (
        "10-workspace.yaml",
        include_str!("init/single/10-workspace.yaml"),
    ),
    ("20-key.yaml", include_str!("init/single/20-key.yaml")),
    ("30-access.yaml", include_str!("init/single/30-access.yaml")),
];

const TEAMS: &[File] = &[
    (
        "platform/00-namespace.yaml",
        include_str!("init/teams/platform/00-namespace.yaml"),
    ),
    (
        "platform/10-workspace.yaml",
        include_str!("init/teams/platform/10-workspace.yaml"),
    ),
    (
        "platform/20-key.yaml",
        include_str!("init/teams/platform/20-key.yaml"),
    ),
    (
        "platform/30-access.yaml",
        include_str!("init/teams/platform/30-access.yaml"),
    ),
    (
        "teams/search/00-namespace.yaml",
        include_str!("init/teams/teams/search/00-namespace.yaml"),
    ),
    (
        "teams/search/20-key.yaml",
        include_str!("init/teams/teams/search/20-key.yaml"),
    ),
    (
        "teams/search/30-access.yaml",
        include_str!("init/teams/teams/search/30-access.yaml"),
    ),
];

/// Runs it.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let files = args.layout.files();
    let paths: Vec<PathBuf> = files.iter().map(|(name, _)| args.out.join(name)).collect();
    let there: Vec<&PathBuf> = paths.iter().filter(|path| path.exists()).collect();
    if let (Some(first), false) = (there.first(), args.force) {
        return Err(Failure::BadInput(format!(
            "{} exists{}; name another folder with --out, or overwrite with --force",
            first.display(),
            match there.len() - 1 {
                0 => String::new(),
                more => format!(", and {more} more"),
            },
        )));
    }
    let mut text = String::new();
    for (path, (_, content)) in paths.iter().zip(files) {
        folder::write(path, content, Readers::Usual)?;
        text.push_str(&format!("wrote {}\n", path.display()));
    }
    text.push_str(&next_steps(&args.out, args.layout));
    answer(&text)?;
    Ok(Exit::Done)
}

// === impl Layout ===

impl Layout {
    fn files(self) -> &'static [File] {
        match self {
            Self::Single => SINGLE,
            Self::Teams => TEAMS,
        }
    }
}

fn next_steps(out: &Path, layout: Layout) -> String {
    let out = out.display();
    let (subject, secret, recursive) = match layout {
        Layout::Single => (
            "serviceaccount:claude/app",
            "-n claude create secret generic anthropic",
            "",
        ),
        Layout::Teams => (
            "serviceaccount:search/search",
            "-n search create secret generic anthropic-search",
            " --recursive",
        ),
    };
    format!(
        "
Next:
  1. Read the files, and put your own names in.
  2. See what they amount to, without any cluster:
       anthropic-rbac render -f {out} --out -
       anthropic-rbac check {subject} -w production --model claude-haiku-4-5 -f {out}
  3. Install the operator, then apply them:
       kubectl apply{recursive} -f {out}
  4. Make the key's Secret by hand or from your vault; it belongs into no repository:
       kubectl {secret} --from-file=api-key=/dev/stdin
  5. Watch it become ready:
       kubectl get aiws,airb,aikey -A
"
    )
}

//! `lint`: everything that is wrong with manifests, or with what is applied to a cluster, and
//! where: what the API server would refuse, what would not become ready, what was found.
//! Must not hold a rule: it says what reading and planning say.

mod github;
mod sarif;

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::failure::{Exit, Failure};
use super::notice::{Notice, Notices};
use super::screen::{self, count};
use super::source::SourceArgs;
use crate::policy::finding::Severity;

/// Find everything that is wrong with manifests or with a cluster's objects
#[derive(clap::Args, Debug)]
#[command(after_help = "\
With -f no cluster is asked: an object that the API server would refuse is an error here, by the
same rules and at its line. Of the rest it says what would not become ready and what a person
should look at. Where only a cluster knows who came first, two claimants of one key or of one
target are an error. Without -f it says the same of what is applied to the current cluster.

Examples:
  anthropic-rbac lint -f examples/seed
  kubectl kustomize overlays/prod | anthropic-rbac lint -f -
  anthropic-rbac lint -f manifests -o sarif > lint.sarif
  anthropic-rbac lint -n claude

Exit codes: 0 no errors, 1 errors (or, with --fail-on warning, warnings), 2 it could not run.")]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    /// What ends in exit code 1
    #[arg(long, value_name = "SEVERITY", value_enum, default_value_t)]
    fail_on: FailOn,
    /// The time to judge by, such as 2026-12-01T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// How findings are written: a line each, JSON, commands of a GitHub workflow, SARIF 2.1.0
    #[arg(short = 'o', long = "output", value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
enum FailOn {
    #[default]
    Error,
    Warning,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
    Github,
    Sarif,
}

/// All there is to say, in the order of files and lines.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    errors: usize,
    warnings: usize,
    infos: usize,
    findings: Vec<Notice>,
    assumptions: BTreeSet<String>,
}

/// Runs it.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    // Exit code 1 is an answer here, and nothing else may look like it.
    linted(args).map_err(|failure| match failure {
        Failure::Failed(message) => Failure::BadInput(message),
        failure @ (Failure::BadInput(_) | Failure::Problems(_)) => failure,
    })
}

fn linted(args: &Args) -> Result<Exit, Failure> {
    let (source, problems) = args.source.read_all()?;
    let plans = source.plans(args.at.unwrap_or_else(Timestamp::now))?;
    let Notices {
        not_ready,
        rotation,
        findings,
    } = Notices::of(&source, &plans);
    let notices = problems.iter().chain(&source.key_sets);
    let notices = notices.map(Notice::of_problem);
    let notices = notices.chain(not_ready).chain(rotation).chain(findings);
    let assumptions = plans.iter().flat_map(|(.., assumed)| assumed.clone());
    let report = Report::new(notices.collect(), assumptions.collect());
    screen::answer(&match args.format {
        Format::Text => report.text(),
        Format::Json => screen::json(&report),
        Format::Github => report.findings.iter().map(github::command).collect(),
        Format::Sarif => screen::json(&sarif::log(&report.findings)),
    })?;
    let unread = problems.iter().filter(|problem| problem.mark.is_none());
    match unread.count() {
        0 => {}
        n => {
            let files = count(n, "file or folder");
            return Err(Failure::BadInput(format!("{files} could not be read")));
        }
    }
    let fails = match args.fail_on {
        FailOn::Error => report.errors > 0,
        FailOn::Warning => report.errors + report.warnings > 0,
    };
    Ok(if fails { Exit::No } else { Exit::Done })
}

// === impl Report ===

impl Report {
    fn new(notices: BTreeSet<Notice>, assumptions: BTreeSet<String>) -> Self {
        let of = |rank| notices.iter().filter(|notice| notice.rank == rank).count();
        let (errors, warnings, infos) = (
            of(Severity::Error),
            of(Severity::Warning),
            of(Severity::Info),
        );
        let mut findings: Vec<Notice> = notices.into_iter().collect();
        findings.sort_by(|a, b| {
            let place = |of: &Notice| (of.file.clone(), of.line, of.column);
            place(a).cmp(&place(b))
        });
        Self {
            errors,
            warnings,
            infos,
            findings,
            assumptions,
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for notice in &self.findings {
            if let Some(place) = notice.place() {
                text.push_str(&format!("{place}: "));
            }
            text.push_str(&format!("{}: {}\n", notice.heading(), notice.message));
        }
        for assumed in &self.assumptions {
            text.push_str(&format!("assumed: {assumed}\n"));
        }
        text.push_str(&format!(
            "{}, {}, {}\n",
            count(self.errors, "error"),
            count(self.warnings, "warning"),
            count(self.infos, "info")
        ));
        text
    }
}

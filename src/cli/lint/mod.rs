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
use super::source::{Source, SourceArgs};
use super::typed;
use crate::facts::KeySetId;
use crate::plan::issuers;
use crate::policy::finding::Severity;
use crate::policy::name::Name;

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
    #[arg(long, value_name = "TIME", value_parser = typed::time)]
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
    let at = args.at.unwrap_or_else(Timestamp::now);
    let plans = source.plans(at)?;
    let Notices {
        not_ready,
        rotation,
        findings,
    } = Notices::of(&source, &plans);
    let told = told_of_key_sets(&source, at)?;
    let planned = not_ready.into_iter().chain(rotation).chain(findings);
    let planned = planned.filter(|notice| !told.contains(notice));
    let read = problems.iter().chain(source.key_sets.values().flatten());
    let notices = read.map(Notice::of_problem).chain(planned);
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

/// What plans say of issuers whose public keys are in files: what is wrong there is said already,
/// at its line.
fn told_of_key_sets(source: &Source, at: Timestamp) -> Result<BTreeSet<Notice>, Failure> {
    let mut told = BTreeSet::new();
    if source.key_sets.is_empty() {
        return Ok(told);
    }
    for name in source.workspaces() {
        let (mut snapshot, _) = source.snapshot(&name, at)?;
        let facts = snapshot.workspace.clone();
        let Some(Ok(workspace)) = facts.as_deref().map(|facts| &facts.object.spec) else {
            continue;
        };
        let issuers = workspace.issuers.iter().filter(|issuer| {
            let id = KeySetId::of(&name.namespace, issuer);
            id.is_some_and(|id| source.key_sets.contains_key(&id))
        });
        let issuers: BTreeSet<&Name> = issuers.map(|issuer| &issuer.name).collect();
        snapshot.jwks.retain(|issuer, _| issuers.contains(issuer));
        let findings = issuers::findings(&snapshot, workspace);
        told.extend(
            findings
                .iter()
                .map(|finding| Notice::of_finding(source, finding)),
        );
    }
    Ok(told)
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

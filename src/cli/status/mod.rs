//! `status`: one screen for whoever is on call: is an operator at work, is everything ready, which
//! keys are due, what is odd.
//! Must not judge: it counts and repeats what statuses say.

mod leader;

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use super::failure::{Exit, Failure};
use super::keys::{Row as KeyRow, readiness};
use super::layout::{Cell, listing};
use super::screen::{BAD, Format, GOOD, WARNING, answer, styled, table};
use super::source::{SourceArgs, Statuses};
use super::typed;
use crate::api::{FindingStatus, FindingTotals, Severity, WorkspaceStatus};
use crate::policy::finding::Kind;
use crate::policy::name::NamespacedName;
use crate::policy::rotation::State;
use leader::{Leader, LeaderState, leader};

/// Show on one screen whether all is well
#[derive(clap::Args, Debug)]
#[command(
    mut_arg("namespace", |arg| arg.help(
        "From a cluster, only objects of this namespace; of manifests, the namespace of those \
         that name none [default: default]")),
    mut_arg("all_namespaces", |arg| arg.help("Objects of all namespaces, as without -n")),
    after_help = "\
From a cluster it shows what the operator reported in the statuses, and who holds its Lease. What
it lists is cut to ten lines each; -o json has all.

Examples:
  anthropic-rbac status
  anthropic-rbac status -n search -o json
  anthropic-rbac status -f manifests

Exit codes: 0 all is well, 1 something is not ready, a key is overdue, no operator is at work, or
the cluster cannot be read, 2 bad input. Findings change nothing about it: that is what lint is for."
)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    /// The time to ask about, such as 2026-12-01T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = typed::time)]
    at: Option<Timestamp>,
    /// How it is written
    #[arg(short = 'o', long = "output", value_enum, default_value_t)]
    format: Format,
}

/// Lines of each list on the screen.
const MOST_LINES: usize = 10;

/// All there is to show. All members are always there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Overview<'a> {
    /// `null` when manifests were read.
    operator: Option<Leader>,
    workspaces: Vec<WorkspaceRow<'a>>,
    ready: Vec<Count>,
    not_ready: Vec<NotReady<'a>>,
    due_keys: Vec<KeyRow<'a>>,
    findings: Vec<&'a FindingStatus>,
    finding_totals: FindingTotals,
}

/// How many of a kind are ready.
#[derive(Serialize)]
struct Count {
    kind: &'static str,
    total: usize,
    ready: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkspaceRow<'a> {
    namespace: &'a str,
    name: &'a str,
    ready: &'a str,
    reason: &'a str,
    bindings: i64,
    active_bindings: i64,
    subjects: i64,
    keys: i64,
    keys_due: i64,
    findings: FindingTotals,
}

#[derive(Serialize)]
struct NotReady<'a> {
    kind: &'static str,
    namespace: &'a str,
    name: &'a str,
    reason: &'a str,
    message: &'a str,
}

/// Runs it.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let now = args.at.unwrap_or_else(Timestamp::now);
    let statuses = args.source.statuses(now)?;
    let operator = match args.source.is_files() {
        false => Some(super::block_on(leader(args.source.cluster()))?),
        true => None,
    };
    let overview = Overview::new(operator, &statuses, now);
    answer(&match args.format {
        Format::Text => overview.text(),
        Format::Json => overview.json(),
    })?;
    Ok(if overview.is_well() {
        Exit::Done
    } else {
        Exit::No
    })
}

// === impl Overview ===

impl<'a> Overview<'a> {
    fn new(operator: Option<Leader>, statuses: &'a Statuses, now: Timestamp) -> Self {
        let Statuses {
            workspaces,
            bindings,
            keys,
        } = statuses;
        let mut not_ready = Vec::new();
        let mut ready = Vec::new();
        let of_workspaces = workspaces
            .iter()
            .map(|said| (&said.name, readiness(said, &said.status.conditions)));
        ready.push(count(Kind::Workspace, of_workspaces, &mut not_ready));
        let of_bindings = bindings
            .iter()
            .map(|said| (&said.name, readiness(said, &said.status.conditions)));
        ready.push(count(Kind::RoleBinding, of_bindings, &mut not_ready));
        let of_keys = keys.iter().map(|key| {
            let said = &key.said;
            (&said.name, readiness(said, &said.status.conditions))
        });
        ready.push(count(Kind::ApiKeyRef, of_keys, &mut not_ready));

        let mut due_keys: Vec<KeyRow<'_>> = keys.iter().map(|key| KeyRow::new(key, now)).collect();
        due_keys.retain(|row| row.state == State::DueSoon || row.state.is_due());
        due_keys.sort_by_key(|row| row.due_at);
        let findings = workspaces.iter().flat_map(|said| &said.status.findings);
        let mut findings: Vec<&FindingStatus> = findings.collect();
        findings.sort_by_key(|finding| (finding.severity, &finding.reason, &finding.object));
        let mut finding_totals = FindingTotals::default();
        for FindingTotals {
            error,
            warning,
            info,
        } in workspaces
            .iter()
            .filter_map(|said| said.status.finding_totals)
        {
            finding_totals.error += error;
            finding_totals.warning += warning;
            finding_totals.info += info;
        }
        Self {
            operator,
            workspaces: workspaces
                .iter()
                .map(|said| {
                    let readiness = readiness(said, &said.status.conditions);
                    WorkspaceRow::new(&said.name, &said.status, readiness)
                })
                .collect(),
            ready,
            not_ready,
            due_keys,
            findings,
            finding_totals,
        }
    }

    fn is_well(&self) -> bool {
        let overdue = self.due_keys.iter().any(|row| row.state.is_due());
        let works = self.operator.as_ref().is_none_or(Leader::may_work);
        self.not_ready.is_empty() && !overdue && works
    }

    fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("an overview is plain data");
        text.push('\n');
        text
    }

    fn text(&self) -> String {
        let mut text = table(self.summary());
        if !self.workspaces.is_empty() {
            let headings = [
                "WORKSPACE",
                "READY",
                "BINDINGS",
                "SUBJECTS",
                "KEYS",
                "DUE",
                "ERRORS",
                "WARNINGS",
                "REASON",
            ];
            let rows: Vec<Vec<Cell>> = self.workspaces.iter().map(WorkspaceRow::cells).collect();
            let _ = write!(text, "\n{}", listing(&headings, &rows));
        }
        section(&mut text, "Not ready", &self.not_ready, |text, object| {
            let NotReady {
                kind,
                namespace,
                name,
                reason,
                message,
            } = object;
            let reason = styled(BAD, reason);
            let _ = writeln!(
                text,
                "  {kind} {namespace}/{name} {reason}\n      {message}"
            );
        });
        section(&mut text, "Keys to replace", &self.due_keys, |text, row| {
            let style = if row.state.is_due() { BAD } else { WARNING };
            let state = styled(style, row.state.name());
            let KeyRow {
                namespace, name, ..
            } = row;
            let due = row.due_at.map(|at| at.to_string()).unwrap_or_default();
            let _ = writeln!(text, "  {namespace}/{name} {state} {due}");
        });
        // Notes are counted; a screen has no room for them.
        let findings = self.findings.iter();
        let findings: Vec<_> = findings
            .filter(|finding| finding.severity != Severity::Info)
            .collect();
        section(&mut text, "Findings", &findings, |text, finding| {
            let FindingStatus {
                severity,
                reason,
                object,
                message,
                field,
            } = finding;
            let severity = styled(style(*severity), format!("{severity:?}"));
            let field = field.as_deref().unwrap_or_default();
            let what = format!("  {severity} {reason} {object} {field}");
            let _ = writeln!(text, "{}\n      {message}", what.trim_end());
        });
        text
    }

    fn summary(&self) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        if let Some(operator) = &self.operator {
            let style = match operator.state {
                LeaderState::Leading => GOOD,
                LeaderState::Unknown => WARNING,
                LeaderState::Stopped | LeaderState::Absent => BAD,
            };
            rows.push(("operator", styled(style, operator.text())));
        }
        for Count { kind, total, ready } in &self.ready {
            let style = if ready == total { GOOD } else { BAD };
            rows.push((kind, styled(style, format!("{ready} of {total} ready"))));
        }
        let of = |states: &[State]| {
            let keys = self.due_keys.iter();
            keys.filter(|row| states.contains(&row.state)).count()
        };
        let over = of(&[State::Overdue, State::Expired]);
        let soon = of(&[State::DueSoon]);
        let style = match (over, soon) {
            (0, 0) => GOOD,
            (0, _) => WARNING,
            (_, _) => BAD,
        };
        let due = format!("{over} overdue or expired, {soon} due soon");
        rows.push(("rotation", styled(style, due)));
        let FindingTotals {
            error,
            warning,
            info,
        } = self.finding_totals;
        let style = match (error, warning) {
            (0, 0) => GOOD,
            (0, _) => WARNING,
            (_, _) => BAD,
        };
        let found = format!("{error} errors, {warning} warnings, {info} notes");
        rows.push(("findings", styled(style, found)));
        rows
    }
}

/// A list with its heading, cut to what a screen holds.
fn section<T>(text: &mut String, title: &str, items: &[T], line: impl Fn(&mut String, &T)) {
    if items.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}:");
    for item in items.iter().take(MOST_LINES) {
        line(text, item);
    }
    if items.len() > MOST_LINES {
        let _ = writeln!(text, "  and {} more: see -o json", items.len() - MOST_LINES);
    }
}

fn count<'a>(
    kind: Kind,
    objects: impl Iterator<Item = (&'a NamespacedName, (&'a str, &'a str, &'a str))>,
    not_ready: &mut Vec<NotReady<'a>>,
) -> Count {
    let kind = kind.name();
    let (mut total, mut ready) = (0, 0);
    for (name, (is, reason, message)) in objects {
        total += 1;
        if is == "True" {
            ready += 1;
        } else {
            not_ready.push(NotReady {
                kind,
                namespace: &name.namespace,
                name: &name.name,
                reason,
                message,
            });
        }
    }
    Count { kind, total, ready }
}

fn style(severity: Severity) -> anstyle::Style {
    match severity {
        Severity::Error => BAD,
        Severity::Warning => WARNING,
        Severity::Info => GOOD,
    }
}

// === impl WorkspaceRow ===

impl<'a> WorkspaceRow<'a> {
    fn new(
        name: &'a NamespacedName,
        status: &WorkspaceStatus,
        (ready, reason, _): (&'a str, &'a str, &'a str),
    ) -> Self {
        let counts = status.counts.unwrap_or_default();
        Self {
            namespace: &name.namespace,
            name: &name.name,
            ready,
            reason,
            bindings: counts.bindings,
            active_bindings: counts.active_bindings,
            subjects: counts.subjects,
            keys: counts.keys,
            keys_due: counts.keys_due,
            findings: status.finding_totals.unwrap_or_default(),
        }
    }

    fn cells(&self) -> Vec<Cell> {
        let bad = |holds: bool| holds.then_some(BAD);
        let number = |number: i64| Cell::new(number.to_string());
        vec![
            Cell::new(format!("{}/{}", self.namespace, self.name)),
            Cell::styled(self.ready, bad(self.ready != "True")),
            number(self.bindings),
            number(self.subjects),
            number(self.keys),
            Cell::styled(self.keys_due.to_string(), bad(self.keys_due > 0)),
            Cell::styled(
                self.findings.error.to_string(),
                bad(self.findings.error > 0),
            ),
            number(self.findings.warning),
            Cell::new(self.reason),
        ]
    }
}

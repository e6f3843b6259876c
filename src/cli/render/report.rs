//! What a render says about itself: what was written, and what is wrong with single objects.
//! Must not judge: every sentence comes from the plan.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Planned;
use crate::api::conditions;
use crate::cli::manifests::Mark;
use crate::cli::screen::{BAD, GOOD, WARNING, count, styled};
use crate::cli::source::Source;
use crate::plan::facts::OutputId;
use crate::plan::output::{Status, StatusUpdate};
use crate::policy::finding::{Finding, ObjectId, Severity};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// What was done about one object.
pub struct Written {
    pub id: OutputId,
    /// Its file; `None` when it was printed.
    pub path: Option<PathBuf>,
    pub change: Change,
}

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Change {
    Written,
    Unchanged,
    Removed,
    Printed,
}

/// All there is to say.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    objects: Vec<ObjectRow>,
    workspaces: Vec<String>,
    not_ready: Vec<Notice>,
    rotation: Vec<Notice>,
    findings: Vec<Notice>,
    assumptions: BTreeSet<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectRow {
    kind: &'static str,
    namespace: String,
    name: String,
    path: Option<String>,
    change: Change,
}

/// Something about one of our objects. Sorts worst first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
struct Notice {
    #[serde(skip)]
    rank: Severity,
    severity: &'static str,
    reason: String,
    object: String,
    field: Option<String>,
    message: String,
    file: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
}

// === impl Report ===

impl Report {
    /// Puts it together.
    pub fn new(source: &Source, plans: &[Planned], written: Vec<Written>) -> Self {
        let statuses = || plans.iter().flat_map(|(_, plan, _)| &plan.statuses);
        let notices = |of: fn(&Source, &StatusUpdate) -> Vec<Notice>| {
            let notices: BTreeSet<Notice> =
                statuses().flat_map(|status| of(source, status)).collect();
            notices.into_iter().collect()
        };
        let findings = plans.iter().flat_map(|(_, plan, _)| &plan.findings);
        let findings: BTreeSet<Notice> = findings
            .map(|finding| of_finding(source, finding))
            .collect();
        Self {
            objects: written.into_iter().map(row).collect(),
            workspaces: plans
                .iter()
                .map(|(workspace, ..)| workspace.to_string())
                .collect(),
            not_ready: notices(not_ready),
            rotation: notices(rotation),
            findings: findings.into_iter().collect(),
            assumptions: plans
                .iter()
                .flat_map(|(.., assumed)| assumed.clone())
                .collect(),
        }
    }

    /// Whether nothing is wrong.
    pub fn is_fine(&self) -> bool {
        let errors = self
            .findings
            .iter()
            .any(|finding| finding.rank == Severity::Error);
        self.not_ready.is_empty() && !errors
    }

    /// For programs.
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a report is plain data");
        text.push('\n');
        text
    }

    /// For people.
    pub fn text(&self, out: &Path) -> String {
        let mut text = self.headline(out);
        section(&mut text, "Not ready", &self.not_ready);
        section(&mut text, "Rotation", &self.rotation);
        section(&mut text, "Findings", &self.findings);
        if !self.assumptions.is_empty() {
            text.push_str("\nAssumed:\n");
            for assumed in &self.assumptions {
                let _ = writeln!(text, "  {assumed}");
            }
        }
        text
    }

    fn headline(&self, out: &Path) -> String {
        let of = |change| {
            self.objects
                .iter()
                .filter(|object| object.change == change)
                .count()
        };
        let made = self.objects.len() - of(Change::Removed);
        let of_what = count(self.workspaces.len(), "workspace");
        let made = styled(GOOD, count(made, "object"));
        if self
            .objects
            .iter()
            .all(|object| object.change == Change::Printed)
        {
            return format!("{made} of {of_what}\n");
        }
        format!(
            "{made} of {of_what} in {}: {} written, {} unchanged, {} removed\n",
            out.display(),
            of(Change::Written),
            of(Change::Unchanged),
            of(Change::Removed),
        )
    }
}

fn section(text: &mut String, title: &str, notices: &[Notice]) {
    if notices.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}:");
    for notice in notices {
        let style = match notice.rank {
            Severity::Error => BAD,
            Severity::Warning => WARNING,
            Severity::Info => GOOD,
        };
        let Notice {
            severity,
            reason,
            object,
            field,
            message,
            file,
            line,
            column,
            ..
        } = notice;
        let field = field
            .as_ref()
            .map(|field| format!(" {field}"))
            .unwrap_or_default();
        let _ = write!(
            text,
            "  {} {reason} {object}{field}",
            styled(style, severity)
        );
        if let (Some(file), Some(line), Some(column)) = (file, line, column) {
            let _ = write!(text, " ({file}:{line}:{column})");
        }
        let _ = writeln!(text, "\n      {message}");
    }
}

fn row(written: Written) -> ObjectRow {
    let Written { id, path, change } = written;
    ObjectRow {
        kind: id.kind.name(),
        namespace: id.name.namespace.to_string(),
        name: id.name.name.to_string(),
        path: path.map(|path| path.to_string_lossy().into_owned()),
        change,
    }
}

fn notice(
    source: &Source,
    rank: Severity,
    object: &ObjectId,
    (reason, field, message): (&str, &str, &str),
) -> Notice {
    let origin = source.origins.get(object).map(|origin| origin.of(field));
    let (file, mark) = match origin {
        Some((file, mark)) => (Some(file.to_owned()), Some(mark)),
        None => (None, None),
    };
    Notice {
        rank,
        severity: rank.name(),
        reason: reason.to_owned(),
        object: object.to_string(),
        field: (!field.is_empty()).then(|| field.to_owned()),
        message: message.to_owned(),
        file,
        line: mark.map(|Mark { line, .. }| line),
        column: mark.map(|Mark { column, .. }| column),
    }
}

fn of_finding(source: &Source, finding: &Finding) -> Notice {
    let Finding {
        severity,
        reason,
        object,
        field,
        message,
    } = finding;
    notice(source, *severity, object, (reason.name(), field, message))
}

/// What keeps an object from being Ready; where that is single subjects, each of them.
fn not_ready(source: &Source, update: &StatusUpdate) -> Vec<Notice> {
    let object = ObjectId::new(update.status.kind(), &update.name);
    let problems = match &update.status {
        Status::RoleBinding(status) => status.problems.as_slice(),
        Status::Workspace(_) | Status::ApiKeyRef(_) => &[],
    };
    let of_subjects = |reason: &str| problems.iter().any(|problem| problem.reason == reason);
    let ready = condition(&update.status, conditions::READY)
        .filter(|ready| ready.status != "True" && !of_subjects(&ready.reason))
        .map(|ready| {
            let what = (ready.reason.as_str(), "", ready.message.as_str());
            notice(source, Severity::Error, &object, what)
        });
    let problems = problems.iter().map(|problem| {
        let message = format!("{}: {}", problem.subject, problem.message);
        let what = (problem.reason.as_str(), "spec.subjects", message.as_str());
        notice(source, Severity::Error, &object, what)
    });
    ready.into_iter().chain(problems).collect()
}

/// Keys that are to be replaced.
fn rotation(source: &Source, update: &StatusUpdate) -> Vec<Notice> {
    let due =
        condition(&update.status, conditions::ROTATION_DUE).filter(|due| due.status == "True");
    let object = ObjectId::new(update.status.kind(), &update.name);
    let due = due.map(|due| {
        notice(
            source,
            Severity::Warning,
            &object,
            (&due.reason, "", &due.message),
        )
    });
    due.into_iter().collect()
}

fn condition<'a>(status: &'a Status, kind: &str) -> Option<&'a Condition> {
    let conditions = match status {
        Status::Workspace(status) => &status.conditions,
        Status::RoleBinding(status) => &status.conditions,
        Status::ApiKeyRef(status) => &status.conditions,
    };
    conditions.iter().find(|condition| condition.type_ == kind)
}

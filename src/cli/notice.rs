//! What there is to say about single objects: what keeps one from being ready, which key is due,
//! what was found. `render` and `lint` say it from here.
//! Must not judge: every sentence comes from the plan, or from whoever read the manifests.

use std::collections::BTreeSet;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;

use super::manifests::Mark;
use super::manifests::problem::Problem;
use super::screen::{BAD, GOOD, WARNING, styled};
use super::source::{Planned, Source};
use crate::api::conditions::{self, reason};
use crate::plan::output::{Status, StatusUpdate};
use crate::policy::finding::{Finding, Kind, ObjectId, Reason, Severity};
use crate::policy::name::NamespacedName;

/// One thing to say. Sorts worst first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// How bad.
    #[serde(skip)]
    pub rank: Severity,
    severity: &'static str,
    /// Stable name of the kind of thing that is wrong.
    pub reason: String,
    /// Kind and name of the object, as far as they are known.
    pub object: Option<String>,
    /// Path of the field, if it is about one.
    pub field: Option<String>,
    /// Cause and fix.
    pub message: String,
    /// The file the object is written in.
    pub file: Option<String>,
    /// Line of the field there, counted from 1.
    pub line: Option<u32>,
    /// Column of the field there, in characters, counted from 1.
    pub column: Option<u32>,
}

/// All there is to say about plans, each part worst first.
#[derive(Default)]
pub struct Notices {
    /// What keeps objects from being Ready.
    pub not_ready: BTreeSet<Notice>,
    /// Keys that are to be replaced.
    pub rotation: BTreeSet<Notice>,
    /// What a person should look at.
    pub findings: BTreeSet<Notice>,
}

// === impl Notices ===

impl Notices {
    /// What these plans say. What the operator of a cluster reported of an object goes over what
    /// a plan expects it to report.
    pub fn of(source: &Source, plans: &[Planned]) -> Self {
        let mut all = Self::default();
        for (workspace, plan, _) in plans {
            let counts = |notice: &Notice| !is_consequence(source, workspace, &notice.reason);
            for expected in &plan.statuses {
                let update = source.reported.get(&expected.object()).unwrap_or(expected);
                all.not_ready
                    .extend(not_ready(source, update).into_iter().filter(counts));
                all.rotation.extend(rotation(source, update));
            }
            let findings = plan.findings.iter();
            let findings = findings.map(|finding| Notice::of_finding(source, finding));
            all.findings.extend(findings.filter(counts));
        }
        all
    }
}

// === impl Notice ===

impl Notice {
    fn new(
        source: &Source,
        rank: Severity,
        object: &ObjectId,
        (reason, field, message): (&str, &str, &str),
    ) -> Self {
        let origin = source.origins.get(object).map(|origin| origin.of(field));
        let (file, mark) = match origin {
            Some((file, mark)) => (Some(file.to_owned()), Some(mark)),
            None => (None, None),
        };
        Self {
            rank,
            severity: rank.name(),
            reason: reason.to_owned(),
            object: Some(object.to_string()),
            field: (!field.is_empty()).then(|| field.to_owned()),
            message: message.to_owned(),
            file,
            line: mark.map(|Mark { line, .. }| line),
            column: mark.map(|Mark { column, .. }| column),
        }
    }

    /// What was found.
    pub fn of_finding(source: &Source, finding: &Finding) -> Self {
        let Finding {
            severity,
            reason,
            object,
            field,
            message,
        } = finding;
        Self::new(source, *severity, object, (reason.name(), field, message))
    }

    /// Something that is wrong with a manifest.
    pub fn of_problem(problem: &Problem) -> Self {
        let rank = Severity::Error;
        Self {
            rank,
            severity: rank.name(),
            reason: problem.reason.to_owned(),
            object: (!problem.object.is_empty()).then(|| problem.object.clone()),
            field: (!problem.field.is_root()).then(|| problem.field.to_string()),
            message: problem.message.clone(),
            file: Some(problem.file.to_string()),
            line: problem.mark.map(|Mark { line, .. }| line),
            column: problem.mark.map(|Mark { column, .. }| column),
        }
    }

    /// `FILE:LINE:COLUMN`, as far as it is known.
    pub fn place(&self) -> Option<String> {
        let mut place = self.file.clone()?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            place.push_str(&format!(":{line}:{column}"));
        }
        Some(place)
    }

    /// Severity and reason, coloured where colours are shown, and what it is about.
    pub fn heading(&self) -> String {
        let style = match self.rank {
            Severity::Error => BAD,
            Severity::Warning => WARNING,
            Severity::Info => GOOD,
        };
        format!("{} {}", styled(style, self.severity), self.about())
    }

    fn about(&self) -> String {
        let parts = [
            Some(&self.reason),
            self.object.as_ref(),
            self.field.as_ref(),
        ];
        let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        parts.join(" ")
    }
}

/// Two lines: what it is and where, and what to do.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.heading())?;
        if let Some(place) = self.place() {
            write!(f, " ({place})")?;
        }
        write!(f, "\n    {}", self.message)
    }
}

/// Whether it is only said because an object that is there could not be understood.
fn is_consequence(source: &Source, workspace: &NamespacedName, reason: &str) -> bool {
    let missed = if [reason::WORKSPACE_NOT_FOUND, reason::REF_NOT_PERMITTED].contains(&reason) {
        Kind::Workspace
    } else if reason == Reason::UnusedKey.name() {
        Kind::RoleBinding
    } else if reason == Reason::SubjectWithoutKey.name() {
        Kind::ApiKeyRef
    } else {
        return false;
    };
    let mut refused = source.refused.iter();
    refused
        .any(|(object, of)| object.kind == missed && of.as_ref().is_none_or(|of| of == workspace))
}

/// What keeps an object from being Ready; where that is single subjects, each of them.
fn not_ready(source: &Source, update: &StatusUpdate) -> Vec<Notice> {
    let object = update.object();
    let problems = match &update.status {
        Status::RoleBinding(status) => status.problems.as_slice(),
        Status::Workspace(_) | Status::ApiKeyRef(_) => &[],
    };
    let of_subjects = |reason: &str| problems.iter().any(|problem| problem.reason == reason);
    let ready = condition(&update.status, conditions::READY)
        .filter(|ready| ready.status != "True" && !of_subjects(&ready.reason))
        .map(|ready| {
            let field = field_of(object.kind, &ready.reason);
            let what = (ready.reason.as_str(), field, ready.message.as_str());
            Notice::new(source, Severity::Error, &object, what)
        });
    let problems = problems.iter().map(|problem| {
        let field = format!("spec.subjects[{}]", problem.subject);
        let what = (problem.reason.as_str(), &*field, &*problem.message);
        Notice::new(source, Severity::Error, &object, what)
    });
    ready.into_iter().chain(problems).collect()
}

/// The field that a reason is about, where that is always the same one.
fn field_of(kind: Kind, why: &str) -> &'static str {
    match (kind, why) {
        (Kind::Workspace, reason::UNSUPPORTED_GATEWAY) => "spec.gateways",
        (Kind::Workspace, reason::ISSUER_KEYS_NOT_FOUND) => "spec.authentication.issuers",
        (Kind::RoleBinding, reason::WORKSPACE_NOT_FOUND | reason::REF_NOT_PERMITTED)
        | (Kind::ApiKeyRef, reason::WORKSPACE_NOT_FOUND) => "spec.workspaceRef",
        (Kind::RoleBinding, reason::ROLE_NOT_FOUND | reason::ROLE_NOT_PERMITTED) => "spec.roleRef",
        (
            Kind::ApiKeyRef,
            reason::SOURCE_NOT_FOUND
            | reason::SOURCE_KEY_MISSING
            | reason::INVALID_KEY
            | reason::KEY_IN_ANOTHER_WORKSPACE,
        ) => "spec.source",
        (Kind::ApiKeyRef, reason::TARGET_CONFLICT | reason::NOT_OURS) => "spec.target",
        (
            Kind::ApiKeyRef,
            reason::SUBJECT_NOT_PERMITTED
            | reason::CLIENT_KEY_NOT_FOUND
            | reason::CLIENT_KEY_IN_USE
            | reason::INVALID_CLIENT_KEY
            | reason::ISSUER_NOT_FOUND,
        ) => "spec.usedBy",
        _ => "",
    }
}

/// Keys that are to be replaced.
fn rotation(source: &Source, update: &StatusUpdate) -> Vec<Notice> {
    let due =
        condition(&update.status, conditions::ROTATION_DUE).filter(|due| due.status == "True");
    let due = due.map(|due| {
        let what = (due.reason.as_str(), "", due.message.as_str());
        Notice::new(source, Severity::Warning, &update.object(), what)
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

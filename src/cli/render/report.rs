//! What a render says about itself: what was written, and what is wrong with single objects.
//! Must not judge: every sentence comes from the plan.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::notice::{Notice, Notices};
use crate::cli::screen::{GOOD, count, styled};
use crate::cli::source::{Planned, Source};
use crate::facts::OutputId;
use crate::policy::finding::Severity;

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
    not_ready: BTreeSet<Notice>,
    rotation: BTreeSet<Notice>,
    findings: BTreeSet<Notice>,
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

// === impl Report ===

impl Report {
    /// Puts it together.
    pub fn new(source: &Source, plans: &[Planned], written: Vec<Written>) -> Self {
        let Notices {
            not_ready,
            rotation,
            findings,
        } = Notices::of(source, plans);
        Self {
            objects: written.into_iter().map(row).collect(),
            workspaces: plans
                .iter()
                .map(|(workspace, ..)| workspace.to_string())
                .collect(),
            not_ready,
            rotation,
            findings,
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

fn section(text: &mut String, title: &str, notices: &BTreeSet<Notice>) {
    if notices.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}:");
    for line in notices.iter().flat_map(|notice| {
        notice
            .to_string()
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    }) {
        let _ = writeln!(text, "  {line}");
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

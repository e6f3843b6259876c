//! A comparison as people read it on a terminal. Must not judge.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::answer::{Access, Answer, Change, Console, Field, InWorkspace, Limits};
use crate::cli::layout::{columns, moment};
use crate::cli::screen::{BAD, GOOD, WARNING, count, styled};

/// Subjects of one change that are written out.
const MOST_NAMED: usize = 5;

// === impl Answer ===

impl Answer {
    /// On a terminal.
    pub fn text(&self) -> String {
        if !self.changes {
            return format!("{}\n", styled(GOOD, "access does not change"));
        }
        let workspaces = count(self.workspaces.len(), "workspace");
        let headline = self.headline();
        let headline = match self.widened {
            true => styled(WARNING, headline),
            false => styled(GOOD, headline),
        };
        let mut text = format!("{headline} in {workspaces}\n");
        for workspace in &self.workspaces {
            text.push('\n');
            text.push_str(&workspace.text(self.at));
        }
        if !self.assumptions.is_empty() {
            text.push('\n');
        }
        for assumed in &self.assumptions {
            let _ = writeln!(text, "assumed: {assumed}");
        }
        text
    }

    /// In a few words.
    pub(super) fn headline(&self) -> String {
        let mut directions: Vec<&str> = Vec::new();
        for workspace in &self.workspaces {
            directions.extend(workspace.access.iter().map(|change| change.direction));
            directions.extend(workspace.settings.iter().map(|change| change.direction));
            directions.extend(workspace.trust.iter().map(|change| change.direction));
            directions.extend(workspace.console.iter().map(|change| change.direction));
        }
        let of = |wanted: &str| directions.iter().filter(|is| **is == wanted).count();
        let parts = [
            (of("Widened"), "wider"),
            (of("Narrowed"), "narrower"),
            (of("Moved"), "otherwise"),
        ];
        let parts = parts.iter().filter(|(n, _)| *n > 0);
        let parts: Vec<String> = parts.map(|(n, how)| format!("{n} {how}")).collect();
        match parts.as_slice() {
            [] => "nobody's access changes".to_owned(),
            parts => format!("access changes: {}", parts.join(", ")),
        }
    }
}

// === impl InWorkspace ===

impl InWorkspace {
    /// What becomes of the workspace itself.
    pub(super) fn title(&self) -> String {
        match self.change {
            Change::Appears => format!("{} appears", self.workspace),
            Change::Goes => format!("{} goes", self.workspace),
            Change::Changes => self.workspace.clone(),
        }
    }

    fn text(&self, now: Timestamp) -> String {
        let style = if self.widened { BAD } else { GOOD };
        let mut text = format!("{}\n", styled(style, self.title()));
        let mut rows: Vec<[String; 5]> = Vec::new();
        rows.extend(self.access.iter().map(|change| change.row(now)));
        rows.extend(self.console.iter().map(|change| change.row(now)));
        if !rows.is_empty() {
            text.push_str(&columns(["", "WHO", "MODELS", "WHEN", "CHANGE"], &rows));
        }
        let fields = self.settings.iter().chain(&self.trust);
        let fields: Vec<[String; 4]> = fields.map(Field::row).collect();
        if !fields.is_empty() {
            text.push_str(&columns(["", "SETTING", "BEFORE", "AFTER"], &fields));
        }
        text
    }
}

/// What stands before a change.
pub(super) fn sign(direction: &str) -> &'static str {
    match direction {
        "Widened" => "+",
        "Narrowed" => "-",
        _ => "~",
    }
}

/// From when, and until when.
fn when((from, until): (Timestamp, Option<Timestamp>), now: Timestamp) -> String {
    let from = match from == now {
        true => "now".to_owned(),
        false => format!("from {}", moment(from)),
    };
    match until {
        None => from,
        Some(until) => format!("{from}\nuntil {}", moment(until)),
    }
}

// === impl Access ===

impl Access {
    pub(super) fn row(&self, now: Timestamp) -> [String; 5] {
        let mut who: Vec<String> = self
            .subjects
            .iter()
            .take(MOST_NAMED)
            .map(|subject| match subject.starts_with("group:") {
                true => format!("{subject} (its members)"),
                false => subject.clone(),
            })
            .collect();
        if self.subjects.len() > MOST_NAMED {
            who.push(format!("and {} more", self.subjects.len() - MOST_NAMED));
        }
        let models = self.models.iter().flatten();
        let models: Vec<&str> = models.map(|models| models.text.as_str()).collect();
        [
            sign(self.direction).to_owned(),
            who.join("\n"),
            models.join("\n"),
            when((self.from, self.until), now),
            self.change(),
        ]
    }

    fn change(&self) -> String {
        match (&self.before, &self.after, &self.note) {
            (None, Some(after), _) => format!("gains: {}", after.text()),
            (Some(before), None, _) => format!("loses: {}", before.text()),
            (Some(before), Some(after), _) => before.to(after),
            (None, None, note) => format!(
                "only with a further group: {}",
                note.as_deref().unwrap_or_default()
            ),
        }
    }
}

// === impl Limits ===

impl Limits {
    fn text(&self) -> String {
        format!(
            "{} tokens, {}/min, key {}",
            self.max_tokens, self.requests_per_minute, self.api_key_ref
        )
    }

    fn to(&self, after: &Self) -> String {
        let mut parts = Vec::new();
        if self.max_tokens != after.max_tokens {
            parts.push(format!(
                "tokens {} -> {}",
                self.max_tokens, after.max_tokens
            ));
        }
        if self.requests_per_minute != after.requests_per_minute {
            parts.push(format!(
                "requests/min {} -> {}",
                self.requests_per_minute, after.requests_per_minute
            ));
        }
        if self.api_key_ref != after.api_key_ref {
            parts.push(format!("key {} -> {}", self.api_key_ref, after.api_key_ref));
        }
        if parts.is_empty() {
            parts.push("scope of the key".to_owned());
        }
        parts.join("\n")
    }
}

// === impl Console ===

impl Console {
    pub(super) fn row(&self, now: Timestamp) -> [String; 5] {
        let verb = if self.gained { "gains" } else { "loses" };
        [
            sign(self.direction).to_owned(),
            self.person.clone(),
            String::new(),
            when((self.from, self.until), now),
            format!("{verb}: Console role {}", self.role),
        ]
    }
}

// === impl Field ===

impl Field {
    pub(super) fn row(&self) -> [String; 4] {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        [
            sign(self.direction).to_owned(),
            self.field.clone(),
            or_none(&self.before),
            or_none(&self.after),
        ]
    }
}

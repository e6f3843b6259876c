//! A comparison as programs read it; texts are made from it. Must not leave anything out.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use crate::policy::compare::{
    AccessChange, Allowed, Comparison, ConsoleChange, Direction, Effect, Setting, TrustChange,
};
use crate::policy::name::NamespacedName;
use crate::policy::ranges::Models;

/// All that differs. All members are always there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Whether anything differs.
    pub changes: bool,
    /// Whether anything gets wider.
    pub widened: bool,
    /// From when it is compared.
    pub at: Timestamp,
    /// Workspaces in which something differs.
    pub workspaces: Vec<InWorkspace>,
    /// What is taken for granted.
    pub assumptions: BTreeSet<String>,
}

/// What becomes of a workspace itself.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Change {
    /// It was not there.
    Appears,
    /// It is no longer there.
    Goes,
    /// It stays.
    Changes,
}

/// What differs in one workspace.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InWorkspace {
    pub workspace: String,
    pub change: Change,
    pub widened: bool,
    pub access: Vec<Access>,
    pub settings: Vec<Field>,
    pub trust: Vec<Field>,
    pub console: Vec<Console>,
}

/// What differs for some subjects.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    pub direction: &'static str,
    pub subjects: Vec<String>,
    /// `null` where it is not about single models.
    pub models: Option<Vec<ModelRange>>,
    pub from: Timestamp,
    pub until: Option<Timestamp>,
    pub effect: &'static str,
    pub before: Option<Limits>,
    pub after: Option<Limits>,
    pub note: Option<String>,
}

/// Models of a pattern, but for some.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelRange {
    pub pattern: String,
    pub except: Vec<String>,
    #[serde(skip)]
    pub text: String,
}

/// What an allowed request gets.
#[derive(PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    pub max_tokens: u32,
    pub default_max_tokens: u32,
    pub requests_per_minute: u32,
    pub api_key_ref: String,
}

/// A setting, or a field of an issuer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    pub direction: &'static str,
    pub field: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// A wanted membership of the Console.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Console {
    pub direction: &'static str,
    pub person: String,
    pub role: String,
    pub gained: bool,
    pub from: Timestamp,
    pub until: Option<Timestamp>,
}

// === impl Answer ===

impl Answer {
    /// Nothing differs yet.
    pub fn new(at: Timestamp) -> Self {
        Self {
            changes: false,
            widened: false,
            at,
            workspaces: Vec::new(),
            assumptions: BTreeSet::new(),
        }
    }

    /// Adds what differs in one workspace.
    pub fn add(&mut self, name: &NamespacedName, change: Change, comparison: &Comparison) {
        let widened = comparison.is_widened();
        self.changes = true;
        self.widened |= widened;
        self.workspaces.push(InWorkspace {
            workspace: name.to_string(),
            change,
            widened,
            access: comparison.access.iter().map(access).collect(),
            settings: comparison.settings.iter().map(setting).collect(),
            trust: comparison.trust.iter().map(issuer).collect(),
            console: comparison.console.iter().map(console).collect(),
        });
    }
}

const fn name(direction: Direction) -> &'static str {
    match direction {
        Direction::Widened => "Widened",
        Direction::Moved => "Moved",
        Direction::Narrowed => "Narrowed",
    }
}

fn access(change: &AccessChange) -> Access {
    let (effect, before, after, note) = match &change.effect {
        Effect::Gains(after) => ("Gains", None, Some(after), None),
        Effect::Loses(before) => ("Loses", Some(before), None, None),
        Effect::Changes(before, after) => ("Changes", Some(before), Some(after), None),
        Effect::WithGroups(note) => ("WithGroups", None, None, Some(note.clone())),
    };
    let models = change.models.as_ref();
    Access {
        direction: name(change.direction),
        subjects: change.subjects.iter().cloned().collect(),
        models: models.map(|models| models.iter().map(range).collect()),
        from: change.from,
        until: change.until,
        effect,
        before: before.map(limits),
        after: after.map(limits),
        note,
    }
}

fn range(models: &Models) -> ModelRange {
    ModelRange {
        pattern: models.pattern.to_string(),
        except: models.except.iter().map(ToString::to_string).collect(),
        text: models.to_string(),
    }
}

fn limits(allowed: &Allowed) -> Limits {
    Limits {
        max_tokens: allowed.max_tokens.get(),
        default_max_tokens: allowed.default_max_tokens.get(),
        requests_per_minute: allowed.requests_per_minute.get(),
        api_key_ref: allowed.api_key_ref.to_string(),
    }
}

fn setting(setting: &Setting) -> Field {
    Field {
        direction: name(setting.direction),
        field: setting.field.to_owned(),
        before: setting.before.clone(),
        after: setting.after.clone(),
    }
}

fn issuer(change: &TrustChange) -> Field {
    let field = match change.field {
        "" => format!("issuer {}", change.issuer),
        field => format!("issuer {}: {field}", change.issuer),
    };
    Field {
        direction: name(change.direction),
        field,
        before: change.before.clone(),
        after: change.after.clone(),
    }
}

fn console(change: &ConsoleChange) -> Console {
    Console {
        direction: name(change.direction()),
        person: change.person.to_string(),
        role: change.role.to_string(),
        gained: change.gained,
        from: change.from,
        until: change.until,
    }
}

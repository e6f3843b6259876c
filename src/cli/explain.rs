//! `explain`: cause and fix of everything we give a name to.
//! Must not hold an explanation: they stand beside what they explain.

use serde::Serialize;

use super::failure::{Exit, Failure};
use super::layout::{columns, hanging};
use super::manifests::problem;
use super::screen::{Format, GOOD, answer, styled};
use crate::api::conditions;
use crate::policy::explain::{Explanation, REFUSED, TROUBLES};
use crate::policy::finding::Reason;
use crate::policy::nearest::{nearest, suggestion};

/// Say what a reason, finding or denial means, and what to do
#[derive(clap::Args, Debug)]
#[command(after_help = "\
REASON is a name from a status, a finding, an Event or an answer; or the text of a denial; or some
words of a known trouble. Without it, everything is listed.

Examples:
  anthropic-rbac explain RefNotPermitted
  anthropic-rbac explain \"Role cannot access model: claude-opus-5\"
  anthropic-rbac explain works in dev fails in prod

Exit codes: 0 explained, 2 nothing is known by that name.")]
pub struct Args {
    /// What to explain
    #[arg(value_name = "REASON")]
    words: Vec<String>,
    /// How the answer is written
    #[arg(short = 'o', long = "output", value_enum, default_value_t)]
    format: Format,
}

/// One thing that is explained.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Entry {
    /// The name, in CamelCase.
    pub name: &'static str,
    /// What sort of thing it is.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Of a finding.
    pub severity: Option<&'static str>,
    /// Where it is seen.
    pub place: &'static str,
    /// How a denial's text begins.
    pub text: Option<&'static str>,
    /// What it means: a sentence.
    pub cause: &'static str,
    /// What to do: a sentence.
    pub fix: &'static str,
}

/// Runs it.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let asked = args.words.join(" ");
    let entries = entries();
    let found = if asked.trim().is_empty() {
        entries
    } else {
        find(&entries, asked.trim())?
    };
    let text = match args.format {
        Format::Json => super::screen::json(&found),
        Format::Text if args.words.is_empty() => list(&found),
        Format::Text => found.iter().map(Entry::text).collect::<Vec<_>>().join("\n"),
    };
    answer(&text)?;
    Ok(Exit::Done)
}

/// Everything there is to explain, in the order in which it is listed.
pub(super) fn entries() -> Vec<Entry> {
    let of = |kind| move |explained: &Explanation| Entry::new(kind, explained);
    let denials = REFUSED.iter().map(|refused| Entry {
        text: Some(refused.text).filter(|text| !text.is_empty()),
        ..Entry::new("denial", &refused.explanation)
    });
    let findings = Reason::ALL.iter().map(|reason| Entry {
        name: reason.name(),
        kind: "finding",
        severity: Some(reason.severity().name()),
        place: "findings of status, render and lint",
        text: None,
        cause: reason.cause(),
        fix: reason.fix(),
    });
    denials
        .chain(TROUBLES.iter().map(of("trouble")))
        .chain(conditions::reason::all().map(of("reason")))
        .chain(findings)
        .chain(conditions::event::ALL.iter().map(of("event")))
        .chain(problem::reason::ALL.iter().map(of("problem")))
        .chain(conditions::TYPES.iter().map(of("condition")))
        .collect()
}

/// Cause and fix of something that is said of an object.
pub fn of_object(name: &str) -> Option<(&'static str, &'static str)> {
    let entries = entries().into_iter();
    entries
        .filter(|entry| entry.kind != "denial")
        .find(|entry| entry.name == name)
        .map(|entry| (entry.cause, entry.fix))
}

/// What is meant: by name, else by the text of a denial, else by words of it.
fn find(entries: &[Entry], asked: &str) -> Result<Vec<Entry>, Failure> {
    let folded = asked.to_lowercase();
    let having = |test: &dyn Fn(&Entry) -> bool| -> Vec<Entry> {
        entries
            .iter()
            .filter(|entry| test(entry))
            .copied()
            .collect()
    };
    let named = having(&|entry| entry.name.eq_ignore_ascii_case(asked));
    if !named.is_empty() {
        return Ok(named);
    }
    let said = having(&|entry| {
        let text = entry.text.map(str::to_lowercase);
        text.is_some_and(|text| folded.contains(text.trim_end_matches(": ")))
    });
    if !said.is_empty() {
        return Ok(said);
    }
    let words: Vec<&str> = words_of(&folded).collect();
    let meant = having(&|entry| {
        let known = format!(
            "{} {} {} {}",
            entry.name,
            entry.place,
            entry.text.unwrap_or_default(),
            entry.cause
        )
        .to_lowercase();
        !words.is_empty() && words.iter().all(|word| known.contains(word))
    });
    if (1..=MOST_MEANT).contains(&meant.len()) {
        return Ok(meant);
    }
    let names: Vec<&str> = entries.iter().map(|entry| entry.name).collect();
    let hint = match nearest(asked, names.iter().copied()) {
        Some(_) => suggestion(asked, &names),
        None => "'anthropic-rbac explain' lists all names".to_owned(),
    };
    Err(Failure::BadInput(format!(
        "nothing is known as '{asked}'; {hint}"
    )))
}

/// With more than this, the words were too common to mean anything.
const MOST_MEANT: usize = 5;

/// Words that tell something.
fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'')
        .filter(|word| word.len() > 1 && !["the", "is", "in", "of", "to", "my"].contains(word))
}

/// All of it, by kind.
fn list(entries: &[Entry]) -> String {
    let mut text = String::new();
    for (kind, title) in [
        ("denial", "Denials, as check and gateways answer"),
        ("trouble", "Troubles"),
        ("reason", "Reasons of conditions and of subjects' problems"),
        ("finding", "Findings"),
        ("event", "Events"),
        ("problem", "Problems with manifests"),
        ("condition", "Conditions"),
    ] {
        let rows: Vec<[String; 2]> = entries
            .iter()
            .filter(|entry| entry.kind == kind)
            .map(|entry| [entry.name.to_owned(), entry.cause.to_owned()])
            .collect();
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("{}\n", styled(GOOD, title)));
        text.push_str(&columns(["NAME", "MEANS"], &rows));
    }
    text
}

// === impl Entry ===

impl Entry {
    fn new(kind: &'static str, explained: &Explanation) -> Self {
        let Explanation {
            name,
            place,
            cause,
            fix,
        } = *explained;
        Self {
            name,
            kind,
            severity: None,
            place,
            text: None,
            cause,
            fix,
        }
    }

    fn text(&self) -> String {
        let kind = match self.severity {
            Some(severity) => format!("{}, {severity}", self.kind),
            None => self.kind.to_owned(),
        };
        let mut text = format!("{} ({kind})\n", styled(GOOD, self.name));
        let rows = [
            ("seen", Some(self.place)),
            ("text", self.text),
            ("cause", Some(self.cause)),
            ("fix", Some(self.fix)),
        ];
        for (name, value) in rows {
            if let Some(value) = value {
                text.push_str(&format!("  {name:5}  {}\n", hanging(value, 9)));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(asked: &str) -> Vec<(&'static str, &'static str)> {
        let found = find(&entries(), asked).unwrap_or_default();
        found.iter().map(|entry| (entry.kind, entry.name)).collect()
    }

    #[test]
    fn a_name_finds_all_that_bear_it_whatever_its_case() {
        assert_eq!(
            names("sharedkey"),
            [("reason", "SharedKey"), ("finding", "SharedKey")]
        );
        assert_eq!(names("RotationDue"), [("condition", "RotationDue")]);
    }

    #[test]
    fn a_pasted_answer_finds_its_denial() {
        let denial = [("denial", "ModelOutsideRoles")];
        assert_eq!(names("Role cannot access model"), denial);
        assert_eq!(
            names("error 403: Role cannot access model: claude-opus-5"),
            denial
        );
    }

    #[test]
    fn the_guides_rows_are_found_by_their_words() {
        for (words, name) in [
            ("Key works in dev, fails in prod", "WrongWorkspaceKey"),
            ("New team member can't access", "MemberCannotAccess"),
            ("usage not visible", "UsageNotVisible"),
        ] {
            assert_eq!(names(words), [("trouble", name)], "{words}");
        }
    }

    #[test]
    fn nothing_is_not_taken_for_something() {
        for asked in ["zzz", "key", "the"] {
            assert_eq!(names(asked), [], "{asked}");
        }
    }
}

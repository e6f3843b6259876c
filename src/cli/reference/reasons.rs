//! The page to troubleshoot by: everything that `explain` knows, each under a heading that others
//! can link to. Must not explain anything by itself.

use super::{Page, plain, table, titled};
use crate::cli::explain::{Entry, entries};

/// How the fix of something begins that is as it should be.
const NOTHING: &str = "Nothing is to be done";

/// What is told under headings, by the kind that `explain` gives it.
const SECTIONS: [(&str, &str, &str); 6] = [
    (
        "reason",
        "Reasons of conditions",
        "Of conditions, and of the problems that a RoleBinding's status lists by subject.",
    ),
    (
        "denial",
        "Denials",
        "What `check` and gateways answer. The heading is the stable name; clients see the text.",
    ),
    (
        "finding",
        "Findings",
        "What is worth a look though nothing stops working over it: in a Workspace's and an ApiKeyRef's status, and in `lint` and `render`.",
    ),
    (
        "event",
        "Events",
        "`kubectl events --for aikey/NAME` shows them.",
    ),
    (
        "problem",
        "Problems with manifests",
        "What `lint` says of files before they are applied.",
    ),
    (
        "trouble",
        "Troubles",
        "Without a name, in the words of those who have them.",
    ),
];

/// The page.
pub(super) fn page() -> Page {
    let entries = entries();
    let of = |kind: &'static str| entries.iter().filter(move |entry| entry.kind == kind);
    let mut text = titled("Troubleshooting by reason");
    text += "`kubectl get aiws,airb,aikey -A` shows the reason of Ready of each object; `kubectl describe` and `anthropic-rbac status` show the message, which names the object and what to do. Look the reason up here, or with `anthropic-rbac explain REASON`, which prints the same.\n\n";
    text += "## Conditions\n\n";
    text += &table(
        ["type", "of", "means", "what to do"],
        of("condition").map(|of| {
            let place = of.place.trim_start_matches("condition of ");
            [
                format!("`{}`", of.name),
                plain(place),
                plain(of.cause),
                plain(of.fix),
            ]
        }),
    );
    for (kind, title, introduction) in SECTIONS {
        text += &format!("\n## {title}\n\n{introduction}\n");
        let mut wrong: Vec<&Entry> = of(kind).filter(|of| !of.fix.starts_with(NOTHING)).collect();
        wrong.sort_by_key(|of| of.name);
        text.extend(wrong.into_iter().map(section));
        let mut right: Vec<&Entry> = of(kind).filter(|of| of.fix.starts_with(NOTHING)).collect();
        right.sort_by_key(|of| of.name);
        if !right.is_empty() {
            text += "\n### Nothing is to be done\n\n";
            text += &table(
                ["reason", "seen", "means"],
                right
                    .iter()
                    .map(|of| [format!("`{}`", of.name), plain(of.place), plain(of.cause)]),
            );
        }
    }
    Page {
        name: "reasons",
        text,
    }
}

fn section(entry: &Entry) -> String {
    let mut text = format!("\n### {}\n\n", entry.name);
    let told = entry.text.map(|text| format!("`{}`", text.trim_end()));
    let severity = entry.severity.map(str::to_owned);
    let about = [
        ("Seen", Some(plain(entry.place))),
        ("Severity", severity),
        ("Text", told),
        ("Cause", Some(plain(entry.cause))),
        ("Fix", Some(plain(entry.fix))),
    ];
    for (name, value) in about {
        if let Some(value) = value {
            text += &format!("- {name}: {value}\n");
        }
    }
    text
}

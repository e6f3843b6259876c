//! A comparison as a comment on a pull request: the summary first, then a table, then what only
//! some want to see, folded. Names come from manifests: none may become markup.
//! Must not judge.

use std::fmt::Write as _;

use super::answer::{Answer, InWorkspace};

/// Rows of a table that are not folded.
const MOST_SHOWN: usize = 20;

// === impl Answer ===

impl Answer {
    /// For a pull request.
    pub fn markdown(&self) -> String {
        if !self.changes {
            return "**Claude access does not change.**\n".to_owned();
        }
        let verdict = match self.widened {
            true => "**Claude access gets wider.**",
            false => "**Claude access changes, and gets nowhere wider.**",
        };
        let mut text = format!("{verdict} In short: {}.\n", self.headline());
        for workspace in &self.workspaces {
            self.workspace(&mut text, workspace);
        }
        if !self.assumptions.is_empty() {
            let lines: Vec<String> = self.assumptions.iter().map(|a| escaped(a)).collect();
            let list = format!("- {}\n", lines.join("\n- "));
            folded(&mut text, "Taken for granted", &list);
        }
        text
    }

    fn workspace(&self, text: &mut String, workspace: &InWorkspace) {
        let _ = writeln!(text, "\n### {}\n", escaped(&workspace.title()));
        let access = workspace.access.iter().map(|change| change.row(self.at));
        let console = workspace.console.iter().map(|change| change.row(self.at));
        let rows: Vec<Vec<String>> = access.chain(console).map(Vec::from).collect();
        let headings = ["", "who", "models", "when", "change"];
        if rows.len() > MOST_SHOWN {
            table(text, &headings, &rows[..MOST_SHOWN]);
            let mut more = String::new();
            table(&mut more, &headings, &rows[MOST_SHOWN..]);
            let title = format!("{} more", rows.len() - MOST_SHOWN);
            folded(text, &title, &more);
        } else if !rows.is_empty() {
            table(text, &headings, &rows);
        }
        let fields = workspace.settings.iter().chain(&workspace.trust);
        let fields: Vec<Vec<String>> = fields.map(|field| field.row().into()).collect();
        if !fields.is_empty() {
            let mut settings = String::new();
            table(&mut settings, &["", "setting", "before", "after"], &fields);
            let wider = fields.iter().any(|row| row[0] == "+");
            // What gets wider is never folded away.
            match wider {
                true => {
                    let _ = write!(text, "\n{settings}");
                }
                false => folded(text, "Settings", &settings),
            }
        }
        if rows.is_empty() && fields.is_empty() {
            text.push_str("Nobody's access changes by that.\n");
        }
    }
}

fn table(text: &mut String, headings: &[&str], rows: &[Vec<String>]) {
    let _ = writeln!(text, "| {} |", headings.join(" | "));
    let _ = writeln!(text, "|{}", "---|".repeat(headings.len()));
    for row in rows {
        let cells = row.iter().map(|cell| {
            let lines: Vec<String> = cell.lines().map(escaped).collect();
            lines.join("<br>")
        });
        let cells: Vec<String> = cells.collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
}

fn folded(text: &mut String, title: &str, inside: &str) {
    let _ = write!(
        text,
        "\n<details><summary>{title}</summary>\n\n{inside}\n</details>\n"
    );
}

/// Text that is only text: whatever markdown or HTML could take for markup is written as its
/// number.
fn escaped(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        match c {
            '&' | '<' | '>' | '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '~' | '#' | '@' | '!' => {
                let _ = write!(safe, "&#{};", u32::from(c));
            }
            c => safe.push(c),
        }
    }
    // Nor a link.
    safe.replace("://", "&#58;//")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_becomes_markup() {
        let hostile = "<img src=x>|**@everyone**`[a](b)";
        let safe = escaped(hostile);
        assert!(
            !safe.contains(['<', '>', '|', '*', '@', '`', '[', ']']),
            "{safe}"
        );
        assert_eq!(escaped("user:corp:uma"), "user:corp:uma");
        assert_eq!(escaped("https://x"), "https&#58;//x");
    }
}

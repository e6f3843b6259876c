//! What a command says: answers to stdout, everything else to stderr. Colours only on a
//! terminal, and never with `NO_COLOR`.
//! Must not panic when nobody listens any more.

use std::fmt;
use std::io::{self, Write as _};

use anstyle::{AnsiColor, Style};

/// How answers are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object.
    Json,
}

/// Of headings and of what is fine.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Of what needs attention.
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// Of what is wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();

/// A text in a style.
pub fn styled(style: Style, text: impl fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// `error: ` as it stands before errors.
pub fn error_prefix() -> String {
    format!("{} ", styled(BAD, "error:"))
}

/// `warning: ` as it stands before warnings.
pub fn warning_prefix() -> String {
    format!("{} ", styled(WARNING, "warning:"))
}

/// Writes an answer.
///
/// # Errors
/// When it cannot be written, unless because its reader has heard enough, as `head` does.
pub fn answer(text: &str) -> Result<(), super::failure::Failure> {
    let mut stdout = anstream::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(
            super::failure::Failure::Failed(format!("cannot write to stdout: {error}")),
        ),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// An answer for programs.
pub fn json(answer: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(answer).expect("answers are plain data");
    text.push('\n');
    text
}

/// Says a line on stderr. There is nobody left to tell when that fails.
pub fn say(line: impl fmt::Display) {
    drop(writeln!(anstream::stderr().lock(), "{line}"));
}

/// Rows of two columns, aligned.
pub fn table<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let rows: Vec<(&str, String)> = rows.into_iter().collect();
    let width = rows
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    rows.iter()
        .map(|(name, value)| format!("  {name:width$}  {value}\n"))
        .collect()
}

/// One field of a row of many columns: text, and its style if it is to stand out.
pub struct Cell {
    text: String,
    style: Option<Style>,
}

/// Rows of many columns under their headings, aligned as kubectl does. An empty field is a dash.
pub fn columns(headings: &[&str], rows: &[Vec<Cell>]) -> String {
    let width = |column: usize| {
        let texts = rows.iter().filter_map(|row| row.get(column));
        let widest = texts.map(|cell| cell.text.chars().count()).max();
        headings[column].len().max(widest.unwrap_or(0))
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = (&str, Option<Style>)>| {
        let mut line = String::new();
        let mut blanks = 0;
        for ((text, style), width) in cells.zip(&widths) {
            line.extend(std::iter::repeat_n(' ', blanks));
            match style {
                Some(style) => line.push_str(&styled(style, text)),
                None => line.push_str(text),
            }
            blanks = width - text.chars().count() + 3;
        }
        line + "\n"
    };
    let mut text = line(&mut headings.iter().map(|heading| (*heading, None)));
    for row in rows {
        text += &line(&mut row.iter().map(|cell| (&*cell.text, cell.style)));
    }
    text
}

/// "1 file", "2 files".
pub fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

// === impl Cell ===

impl Cell {
    /// A field that stands out if it has a style.
    pub fn styled(text: impl Into<String>, style: Option<Style>) -> Self {
        let text: String = text.into();
        let text = if text.is_empty() {
            "-".to_owned()
        } else {
            text
        };
        Self { text, style }
    }

    /// A plain field.
    pub fn new(text: impl Into<String>) -> Self {
        Self::styled(text, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_field_and_no_line_ends_in_blanks() {
        let row = |a: &str, b: &str| vec![Cell::new(a), Cell::new(b)];
        assert_eq!(
            columns(&["NAME", "AGE"], &[row("é", "1d"), row("longer", "")]),
            "NAME     AGE\né        1d\nlonger   -\n"
        );
        let red = vec![Cell::styled("x", Some(BAD)), Cell::new("y")];
        let text = columns(&["N", "A"], &[red]);
        assert!(
            text.ends_with("   y\n") && text.contains('\u{1b}'),
            "{text:?}"
        );
    }
}

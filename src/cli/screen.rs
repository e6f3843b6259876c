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

/// "1 file", "2 files".
pub fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

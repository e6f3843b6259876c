//! `reference`: the pages of `docs/reference` that say what the program itself knows: fields,
//! reasons, commands. Must not hold what is said: each page reads the table that users meet.

mod commands;
mod kinds;
mod reasons;

use std::path::PathBuf;

use super::failure::{Exit, Failure};
use super::folder::{self, Readers};
use super::screen::{count, say};

/// Write the reference pages of the documentation
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// One page, as Markdown.
struct Page {
    /// Its file's name, without the ending.
    name: &'static str,
    text: String,
}

/// Runs it.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let mut pages = kinds::pages();
    pages.extend([reasons::page(), commands::all(), commands::operator()]);
    for Page { name, text } in &pages {
        let path = args.out.join(format!("{name}.md"));
        folder::write(&path, text, Readers::Usual)?;
    }
    let written = count(pages.len(), "page");
    say(format_args!("{written} written to {}", args.out.display()));
    Ok(Exit::Done)
}

/// How every page begins.
fn titled(title: &str) -> String {
    format!("# {title}\n\n<!-- Written by `make gen`. -->\n\n")
}

/// Text that is to be read as it is, also in a cell of a table.
fn plain(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '|' | '*' | '[' => escaped.extend(['\\', c]),
            '<' => escaped.push_str("&lt;"),
            '\n' => escaped.push(' '),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// A table; its cells are Markdown already.
fn table<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&headings.map(str::to_owned));
    text.push_str(&format!("|{}\n", "---|".repeat(N)));
    text.extend(rows.into_iter().map(|row| line(&row)));
    text
}

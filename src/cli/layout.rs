//! How answers are laid out for people: tables and paragraphs that fit a terminal of 100 columns.
//! Must not know what is laid out.

use std::iter;

use anstyle::Style;
use jiff::Timestamp;

use super::screen::styled;

/// Columns of a terminal that everything should fit.
const WIDTH: usize = 100;

/// A time; a whole day without its hours.
pub fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    text.strip_suffix("T00:00:00Z").unwrap_or(&text).to_owned()
}

/// A time that may not come.
pub fn moment_or_none(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), moment)
}

/// One field of a row: text, and its style if it is to stand out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cell {
    text: String,
    style: Option<Style>,
}

/// How a table stands on the screen.
struct Form {
    /// Blanks before each line.
    indent: usize,
    /// Blanks between two columns.
    gap: usize,
    /// Whether the last column goes on below, where it is too long for a line.
    breaks: bool,
}

/// A table of its own, aligned as kubectl does. An empty field is a dash.
pub fn listing(headings: &[&str], rows: &[Vec<Cell>]) -> String {
    let form = Form {
        indent: 0,
        gap: 3,
        breaks: false,
    };
    let rows = rows.iter().map(|row| {
        let cell = |cell: &Cell| match &*cell.text {
            "" => Cell::new("-"),
            _ => cell.clone(),
        };
        row.iter().map(cell).collect()
    });
    form.table(headings, rows.collect())
}

/// A table within a text. Lines of a cell stand below each other; in the last column, what is too
/// long for a line goes on below.
pub fn columns<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let form = Form {
        indent: 2,
        gap: 2,
        breaks: true,
    };
    let rows = rows.iter().map(|row| row.iter().map(Cell::new).collect());
    form.table(&headings, rows.collect())
}

/// A text broken into lines, of which all but the first begin at column `indent`; the first
/// stands there already.
pub fn hanging(text: &str, indent: usize) -> String {
    let mut broken = String::new();
    let mut at = indent;
    for word in text.split_whitespace() {
        let long = word.chars().count();
        if at > indent {
            if at + 1 + long > WIDTH {
                broken.push('\n');
                broken.push_str(&" ".repeat(indent));
                at = indent;
            } else {
                broken.push(' ');
                at += 1;
            }
        }
        broken.push_str(word);
        at += long;
    }
    broken
}

// === impl Cell ===

impl Cell {
    /// A field that stands out if it has a style.
    pub fn styled(text: impl Into<String>, style: Option<Style>) -> Self {
        let text = text.into();
        Self { text, style }
    }

    /// A plain field.
    pub fn new(text: impl Into<String>) -> Self {
        Self::styled(text, None)
    }

    fn width(&self) -> usize {
        let lines = self.text.lines().map(|line| line.chars().count());
        lines.max().unwrap_or(0)
    }
}

// === impl Form ===

impl Form {
    fn table(&self, headings: &[&str], mut rows: Vec<Vec<Cell>>) -> String {
        rows.insert(0, headings.iter().copied().map(Cell::new).collect());
        let mut starts = vec![self.indent];
        for column in 0..headings.len() {
            let cells = rows.iter().filter_map(|row| row.get(column));
            let widest = cells.map(Cell::width).max().unwrap_or(0);
            starts.push(starts[column] + widest + self.gap);
        }
        let last = headings.len() - 1;
        let mut text = String::new();
        for row in &mut rows {
            if let Some(cell) = row.get_mut(last).filter(|_| self.breaks) {
                let lines = cell.text.lines().map(|line| hanging(line, starts[last]));
                let lines: Vec<String> = lines.collect();
                let lines = lines.iter().flat_map(|line| line.lines());
                cell.text = lines.map(str::trim_start).collect::<Vec<_>>().join("\n");
            }
            let height = row.iter().map(|cell| cell.text.lines().count()).max();
            for at in 0..height.unwrap_or(0) {
                let mut written = 0;
                for (cell, start) in row.iter().zip(&starts) {
                    // Blanks come before a field, so that no line ends in them.
                    let part = cell.text.lines().nth(at).unwrap_or_default();
                    if part.is_empty() {
                        continue;
                    }
                    text.extend(iter::repeat_n(' ', start - written));
                    written = start + part.chars().count();
                    match cell.style {
                        Some(style) => text.push_str(&styled(style, part)),
                        None => text.push_str(part),
                    }
                }
                text.push('\n');
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::screen::BAD;

    #[test]
    fn columns_are_aligned_and_the_last_one_goes_on_below() {
        let long = "word ".repeat(25);
        let rows = [
            ["a".to_owned(), "b".to_owned()],
            ["längst".to_owned(), long.trim().to_owned()],
        ];
        let text = columns(["ONE", "TWO"], &rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..2], ["  ONE     TWO", "  a       b"]);
        assert!(lines[2].starts_with("  längst  word word"));
        assert!(lines[3].starts_with("          word"));
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH));
    }

    #[test]
    fn a_listing_is_as_wide_as_its_widest_fields_and_no_line_ends_in_blanks() {
        let row = |a: &str, b: &str| vec![Cell::new(a), Cell::new(b)];
        assert_eq!(
            listing(&["NAME", "AGE"], &[row("é", "1d"), row("longer", "")]),
            "NAME     AGE\né        1d\nlonger   -\n"
        );
        let red = vec![Cell::styled("x", Some(BAD)), Cell::new("y")];
        let text = listing(&["N", "A"], &[red]);
        assert!(
            text.ends_with("   y\n") && text.contains('\u{1b}'),
            "{text:?}"
        );
    }

    #[test]
    fn lines_of_a_cell_stand_below_each_other() {
        let rows = [["a\nb".to_owned(), "c".to_owned()]];
        assert_eq!(columns(["1", "2"], &rows), "  1  2\n  a  c\n  b\n");
    }

    #[test]
    fn a_word_that_fits_nowhere_stays_whole() {
        let long = "x".repeat(120);
        assert_eq!(
            hanging(&format!("a {long} b"), 4),
            format!("a\n    {long}\n    b")
        );
    }
}

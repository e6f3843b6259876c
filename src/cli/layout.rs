//! How answers are laid out for people: tables and paragraphs that fit a terminal of 100 columns.
//! Must not know what is laid out.

use jiff::Timestamp;

/// Columns of a terminal that everything should fit.
const WIDTH: usize = 100;
/// Between two columns of a table.
const GAP: usize = 2;

/// A time; a whole day without its hours.
pub fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    text.strip_suffix("T00:00:00Z").unwrap_or(&text).to_owned()
}

/// A time that may not come.
pub fn moment_or_none(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), moment)
}

/// A table with a heading over each column, indented by two. Lines of a cell stand below each
/// other; in the last column, what is too long for a line goes on below.
pub fn columns<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let headings = headings.map(str::to_owned);
    let all = || std::iter::once(&headings).chain(rows);
    let mut widths = [0; N];
    for row in all() {
        for (width, cell) in widths.iter_mut().zip(row) {
            let lines = cell.lines().map(|line| line.chars().count());
            *width = (*width).max(lines.max().unwrap_or(0));
        }
    }
    let last = widths
        .iter()
        .take(N - 1)
        .map(|width| width + GAP)
        .sum::<usize>()
        + GAP;
    let mut text = String::new();
    for row in all() {
        let mut cells: Vec<Vec<String>> = row
            .iter()
            .map(|cell| cell.lines().map(str::to_owned).collect())
            .collect();
        if let Some(cell) = cells.last_mut() {
            let lines = cell.iter().flat_map(|line| {
                let broken = hanging(line, last);
                broken
                    .lines()
                    .map(|line| line.trim_start().to_owned())
                    .collect::<Vec<_>>()
            });
            *cell = lines.collect();
        }
        let height = cells.iter().map(Vec::len).max().unwrap_or(0);
        for at in 0..height {
            let mut line = " ".repeat(GAP);
            for (cell, width) in cells.iter().zip(widths) {
                let part = cell.get(at).map_or("", String::as_str);
                line.push_str(&format!("{part:width$}", width = width + GAP));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text
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

#[cfg(test)]
mod tests {
    use super::*;

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

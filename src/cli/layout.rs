//! How answers are laid out for people: tables and paragraphs that fit a terminal of 100 columns.
//! Must not know what is laid out.

/// Columns of a terminal that everything should fit.
const WIDTH: usize = 100;
/// Between two columns of a table.
const GAP: usize = 2;

/// A table with a heading over each column, indented by two. What is too long for a line goes
/// on below in the last column.
pub fn columns<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let headings = headings.map(str::to_owned);
    let mut widths = [0; N];
    for row in std::iter::once(&headings).chain(rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in std::iter::once(&headings).chain(rows) {
        let mut line = " ".repeat(GAP);
        for (i, cell) in row.iter().enumerate() {
            if i + 1 == N {
                let at = line.chars().count();
                line.push_str(&hanging(cell, at));
            } else {
                line.push_str(&format!("{cell:width$}", width = widths[i] + GAP));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
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
    fn a_word_that_fits_nowhere_stays_whole() {
        let long = "x".repeat(120);
        assert_eq!(
            hanging(&format!("a {long} b"), 4),
            format!("a\n    {long}\n    b")
        );
    }
}

//! How iCalendar is written (RFC 5545): lines, their folding, the escaping of texts.
//! Must not know what an event is about.
//!
//! Written here rather than by a library: the one there is for Rust draws identifiers and the
//! time of day where none is given and sorts properties its own way, so that "same facts, same
//! bytes" would hang on its next release; and what is needed of the format is this one page.
//! Two libraries by other people read what comes out (`scripts/check-calendar.sh`).

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Octets of a line without its end (RFC 5545, 3.1).
const LINE: usize = 75;

/// A calendar in the making.
#[derive(Default)]
pub struct Writer {
    text: String,
}

// === impl Writer ===

impl Writer {
    /// A property whose value is as the format wants it already.
    pub fn property(&mut self, name: &str, value: &str) {
        self.line(&format!("{name}:{value}"));
    }

    /// A property whose value is text for people.
    pub fn text(&mut self, name: &str, value: &str) {
        self.property(name, &escaped(value));
    }

    /// A component with its properties.
    pub fn component(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.property("BEGIN", name);
        fill(self);
        self.property("END", name);
    }

    /// All of it.
    pub fn finish(self) -> String {
        self.text
    }

    /// A content line, folded where it is too long and never inside a character.
    fn line(&mut self, line: &str) {
        let mut used = 0;
        for character in line.chars() {
            if used + character.len_utf8() > LINE {
                self.text.push_str("\r\n ");
                used = 1;
            }
            self.text.push(character);
            used += character.len_utf8();
        }
        self.text.push_str("\r\n");
    }
}

/// The day of an instant in UTC, as `DATE`.
pub fn date(at: Timestamp) -> String {
    TimeZone::UTC
        .to_datetime(at)
        .date()
        .strftime("%Y%m%d")
        .to_string()
}

/// An instant as UTC `DATE-TIME`.
pub fn date_time(at: Timestamp) -> String {
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Text as `TEXT` (RFC 5545, 3.3.11), which has no control characters but the tab.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' | ';' | ',' => escaped.extend(['\\', character]),
            '\n' => escaped.push_str("\\n"),
            '\t' => escaped.push('\t'),
            character if character.is_control() => {}
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(name: &str, value: &str) -> String {
        let mut writer = Writer::default();
        writer.text(name, value);
        writer.finish()
    }

    #[test]
    fn a_line_of_75_octets_is_one_line_and_one_of_76_is_two() {
        let value = "a".repeat(LINE - "SUMMARY:".len());
        assert_eq!(written("SUMMARY", &value), format!("SUMMARY:{value}\r\n"));
        assert_eq!(
            written("SUMMARY", &format!("{value}b")),
            format!("SUMMARY:{value}\r\n b\r\n")
        );
    }

    #[test]
    fn a_line_is_not_folded_inside_a_character() {
        let value = format!("{}é", "a".repeat(LINE - "SUMMARY:".len() - 1));
        let folded = written("SUMMARY", &value);
        assert!(folded.ends_with("a\r\n é\r\n"), "{folded:?}");
    }

    #[test]
    fn what_means_something_to_the_format_is_escaped_and_control_characters_go() {
        assert_eq!(
            escaped("a,b;c\\d\r\ne\u{7}f: \"g\""),
            "a\\,b\\;c\\\\d\\nef: \"g\""
        );
    }

    #[test]
    fn an_instant_has_its_day_and_second_in_utc() {
        let at: Timestamp = "2026-11-30T23:59:59.9Z".parse().expect("a time");
        assert_eq!(
            (date(at), date_time(at)),
            ("20261130".to_owned(), "20261130T235959Z".to_owned())
        );
    }

    proptest! {
        #[test]
        fn whatever_the_text_it_can_be_read_back_from_lines_that_are_not_too_long(
            value in "(\\PC|[,;:\\\\\"\\n]){0,300}",
        ) {
            let text = written("DESCRIPTION", &value);
            let lines: Vec<&str> = text.strip_suffix("\r\n").expect("an end").split("\r\n").collect();
            for line in &lines {
                prop_assert!(line.len() <= LINE && !line.contains(['\r', '\n']), "{line:?}");
            }
            let unfolded = text.trim_end_matches("\r\n").replace("\r\n ", "");
            let read = unfolded.strip_prefix("DESCRIPTION:").expect("the name");
            let mut back = String::new();
            let mut characters = read.chars();
            while let Some(character) = characters.next() {
                match character {
                    '\\' => match characters.next() {
                        Some('n') => back.push('\n'),
                        other => back.extend(other),
                    },
                    character => back.push(character),
                }
            }
            prop_assert_eq!(back, value);
        }
    }
}

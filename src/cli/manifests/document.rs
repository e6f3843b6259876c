//! Text into documents: values, and beside them where each of them is.
//! Must not know what a document means.

use std::io::{self, Read as _};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::{MessageFormatter as _, UserMessageFormatter};

use super::files::Input;
use super::node::{Node, mark};
use super::place::{Inner, Mark, Place};
use super::problem::{Problem, reason};

/// One document of a file.
#[derive(Debug)]
pub struct Document {
    /// The file.
    pub file: Arc<str>,
    /// Which document of it, counted from 1; `None` when there is only one.
    pub number: Option<usize>,
    /// What it says.
    pub value: Value,
    /// Where it says so.
    pub place: Place,
}

/// Nesting that no manifest has.
const DEEPEST: usize = 100;

/// All documents of a file that can be read, and what is wrong with the others. JSON is YAML.
pub fn documents(input: &Input) -> (Vec<Document>, Vec<Problem>) {
    let mut nodes = Vec::new();
    let mut skipped = 0;
    // Where the reader gives up, the next document starts at the next marker all the same.
    while let Some(given_up) = read(&input.text, skipped, &mut nodes) {
        match next_document(&input.text, given_up) {
            Some(lines) => skipped = lines,
            None => break,
        }
    }
    let lines: Vec<&str> = input.text.lines().collect();
    let several = nodes.len() > 1;
    let mut documents = Vec::new();
    let mut problems = Vec::new();
    for (node, number) in nodes.into_iter().zip(1..) {
        let number = several.then_some(number);
        match node {
            Ok(Node { value, mut place }) => {
                doubt(&value, &mut place, &lines);
                documents.push(Document {
                    file: input.name.clone(),
                    number,
                    value,
                    place,
                });
            }
            Err(error) => problems.push(Problem {
                mark: error.location().map(mark),
                document: number,
                reason: reason::INVALID_YAML,
                ..Problem::of_file(&input.name, format!("not valid YAML: {}", words(&error)))
            }),
        }
    }
    (documents, problems)
}

/// Marks scalars that stand there without quotes and are text here, but a number elsewhere:
/// YAML 1.1 has octals with a leading zero, and underscores between digits.
fn doubt(value: &Value, place: &mut Place, lines: &[&str]) {
    match (value, &mut place.inner) {
        (Value::String(text), inner @ Inner::Leaf) => {
            let digits = text.trim_start_matches(['-', '+']);
            let is_number = digits.starts_with(|c: char| c.is_ascii_digit())
                && digits
                    .chars()
                    .all(|c| c.is_ascii_digit() || matches!(c, '_' | '.'))
                && (digits.starts_with('0') || digits.contains('_'))
                || ["0b", "0x", "0o"]
                    .iter()
                    .any(|base| digits.starts_with(base));
            let Mark { line, column } = place.value;
            let line = lines.get(line as usize - 1).unwrap_or(&"");
            let at: String = line.chars().skip(column as usize - 1).collect();
            if is_number && at.starts_with(&**text) {
                *inner = Inner::Doubtful;
            }
        }
        (Value::Array(values), Inner::List(places)) => {
            for (value, place) in values.iter().zip(places) {
                doubt(value, place, lines);
            }
        }
        (Value::Object(values), Inner::Map(places)) => {
            for (name, place) in places {
                if let Some(value) = values.get(&**name) {
                    doubt(value, place, lines);
                }
            }
        }
        _ => {}
    }
}

/// The one document of a file, as a value of a type of its own.
///
/// # Errors
/// What is wrong, and where.
pub fn value_of<T: DeserializeOwned>(input: &Input) -> Result<T, Vec<Problem>> {
    serde_saphyr::from_str_with_options(&input.text, options()).map_err(|error| {
        vec![Problem {
            mark: error.location().map(mark),
            reason: reason::INVALID_YAML,
            ..Problem::of_file(&input.name, words(&error))
        }]
    })
}

/// How all YAML is read. Size is the user's own business; depth and aliases are not, since a few
/// bytes of them can stand for very much.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        with_snippet: false,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        budget: serde_saphyr::budget! {
            max_reader_input_bytes: None,
            max_depth: DEEPEST,
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
            max_total_comment_bytes: usize::MAX,
            enforce_alias_anchor_ratio: false,
        },
    }
}

/// Reads documents from a line on, counted from 0. Gives the line of the error that it ended
/// with, if it did, counted from 1.
fn read(
    text: &str,
    from: usize,
    nodes: &mut Vec<Result<Node, serde_saphyr::Error>>,
) -> Option<usize> {
    let rest: usize = text.split_inclusive('\n').take(from).map(str::len).sum();
    // Empty lines in place of those left out, so that the others keep their numbers.
    let lines = io::repeat(b'\n').take(from as u64);
    let mut reader = lines.chain(&text.as_bytes()[rest..]);
    let before = nodes.len();
    nodes.extend(serde_saphyr::read_with_options::<_, Node>(
        &mut reader,
        options(),
    ));
    match nodes[before..].last() {
        Some(Err(error)) => usize::try_from(error.location()?.line()).ok(),
        Some(Ok(_)) | None => None,
    }
}

/// How many lines are before the first marker of a document after a line, counted from 1.
fn next_document(text: &str, line: usize) -> Option<usize> {
    let is_marker = |line: &str| {
        line.strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r']))
    };
    let mut lines = text.split('\n').enumerate().skip(line);
    lines.find(|(_, line)| is_marker(line)).map(|(i, _)| i)
}

/// What the reader says, without the text around it: that text may be a key.
fn words(error: &serde_saphyr::Error) -> String {
    UserMessageFormatter
        .format_message(error.without_snippet())
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::path::FieldPath;
    use super::*;

    fn read(text: &str) -> (Vec<Document>, Vec<Problem>) {
        documents(&Input {
            name: "a.yaml".into(),
            text: text.to_owned().into(),
        })
    }

    fn at(document: &Document, path: &str) -> (u32, u32) {
        let mark = document.place.mark(&FieldPath::parse(path));
        (mark.line, mark.column)
    }

    #[test]
    fn every_field_is_found_where_it_is_written() {
        let text = "\
# a comment
kind: Workspace
spec:
  roles:
  - name: user
    maxTokens: 12
  - {name: batch, models: [\"a\", b]}
  note: |
    two
    lines
";
        let (documents, problems) = read(text);
        assert_eq!((documents.len(), problems.as_slice()), (1, [].as_slice()));
        let document = &documents[0];
        assert_eq!(document.number, None);
        assert_eq!(at(document, "kind"), (2, 7));
        assert_eq!(at(document, "spec.roles[0]"), (5, 5));
        assert_eq!(at(document, "spec.roles[0].maxTokens"), (6, 16));
        assert_eq!(at(document, "spec.roles[1].models[1]"), (7, 33));
        assert_eq!(
            at(document, "spec.roles[1].absent"),
            (7, 5),
            "what is not there: around it"
        );
        let name = document
            .place
            .name_mark(&FieldPath::parse("spec.roles[0].maxTokens"));
        assert_eq!((name.line, name.column), (6, 5));
    }

    #[test]
    fn documents_are_counted_and_empty_ones_are_not() {
        let (documents, problems) = read("---\n# nothing\n---\na: 1\n---\n---\nb: 2\n");
        assert_eq!(problems, []);
        let numbers: Vec<_> = documents.iter().map(|document| document.number).collect();
        assert_eq!(numbers, [Some(1), Some(2)]);
        assert_eq!(at(&documents[1], "b"), (7, 4));
    }

    #[test]
    fn json_is_read_with_places_too() {
        let (documents, problems) =
            read("{\n\t\"kind\": \"List\",\n\t\"items\": [ {\"a\": 1.5} ]\n}\n");
        assert_eq!(problems, []);
        assert_eq!(
            documents[0].value,
            serde_json::json!({"kind": "List", "items": [{"a": 1.5}]})
        );
        assert_eq!(at(&documents[0], "items[0].a"), (3, 19));
    }

    #[test]
    fn a_field_twice_is_refused_and_the_next_document_still_read() {
        let (documents, problems) = read("a: 1\nb: 2\na: 3\n---\nc: 1\n");
        assert_eq!(documents.len(), 1);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].mark, Some(Mark { line: 3, column: 1 }));
        assert_eq!(problems[0].document, Some(1));
    }

    #[test]
    fn what_is_no_yaml_ends_with_its_document() {
        for broken in [
            "a: b: c",
            "a: [b\nc: d",
            "a: 'b\nc: d",
            "a: {b: 1",
            "a: *x",
            "a: \"\\q\"",
            "a:\n\tb: 1",
            "a: \u{1}",
        ] {
            let text = format!("a: 1\n---\n{broken}\n--- # next\nb: 1\n---\n{broken}\n---\nc: 1\n");
            let (documents, problems) = read(&text);
            let lines = broken.lines().count() as u32;
            let found: Vec<_> = documents
                .iter()
                .map(|document| (document.number, at(document, "").0))
                .collect();
            let expected = [(Some(1), 1), (Some(3), 4 + lines), (Some(5), 7 + 2 * lines)];
            assert_eq!(found, expected, "{broken:?}");
            assert_eq!(problems.len(), 2, "{broken:?}: {problems:?}");
        }
    }

    #[test]
    fn an_alias_is_where_it_is_used() {
        let (documents, _) = read("a: &x {n: 1}\nb: *x\n");
        assert_eq!(documents[0].value["b"]["n"], 1);
        assert_eq!(at(&documents[0], "b"), (2, 4));
    }

    #[test]
    fn numbers_that_tools_read_differently_stay_text() {
        let (documents, _) = read("a: 010\nb: 1_000\nc: 12\nd: 2026-01-01T00:00:00Z\n");
        assert_eq!(
            documents[0].value,
            serde_json::json!({"a": "010", "b": "1_000", "c": 12, "d": "2026-01-01T00:00:00Z"})
        );
    }

    #[test]
    fn a_broken_file_is_reported_without_what_is_in_it() {
        for text in [
            "stringData:\n  key: sk-ant-api03-CANARY\n bad: [\n",
            "key: \"sk-ant-api03-CANARY\n",
            "key: !!int sk-ant-api03-CANARY\n",
            "key: [sk-ant-api03-CANARY\nb: 1",
            "key: *sk-ant-api03-CANARY\n",
            "key: !sk-ant-api03-CANARY [a]\nx: {",
        ] {
            let (documents, problems) = read(text);
            assert!(documents.is_empty() && !problems.is_empty(), "{text}");
            for problem in problems {
                assert!(!problem.to_string().contains("CANARY"), "{problem}");
                assert!(problem.mark.is_some(), "{problem}");
            }
        }
    }
}

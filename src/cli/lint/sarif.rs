//! Findings as SARIF 2.1.0, the format in which code scanning services take results
//! (<https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>).
//! Must not say more than the findings do.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde_json::{Value, json};

use crate::cli::explain;
use crate::cli::notice::Notice;
use crate::policy::finding::Severity;

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// What the paths of files are relative to: the root of the repository, by convention.
const ROOT: &str = "%SRCROOT%";

/// A log of one run.
pub fn log(notices: &[Notice]) -> Value {
    let mut rules: BTreeMap<&str, Severity> = BTreeMap::new();
    for notice in notices {
        let rank = rules.entry(&notice.reason).or_insert(notice.rank);
        *rank = notice.rank.min(*rank);
    }
    let index: BTreeMap<&str, usize> = rules.keys().copied().zip(0..).collect();
    let rules: Vec<Value> = rules.into_iter().map(rule).collect();
    let results: Vec<Value> = notices
        .iter()
        .map(|notice| result(notice, index[notice.reason.as_str()]))
        .collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": env!("CARGO_PKG_NAME"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule((reason, rank): (&str, Severity)) -> Value {
    let (cause, fix) = explain::of_object(reason).unwrap_or_default();
    json!({
        "id": reason,
        "name": reason,
        "shortDescription": {"text": words(reason)},
        "fullDescription": {"text": cause},
        "help": {"text": format!("{cause} {fix}")},
        "defaultConfiguration": {"level": level(rank)},
    })
}

fn result(notice: &Notice, index: usize) -> Value {
    let about: Vec<&str> = [&notice.object, &notice.field]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    let about = about.join(" ");
    let text = match about.as_str() {
        "" => notice.message.clone(),
        about => format!("{about}: {}", notice.message),
    };
    let mut location = json!({});
    if let Some(file) = &notice.file {
        location["physicalLocation"] = json!({"artifactLocation": artifact(file)});
        if let (Some(line), Some(column)) = (notice.line, notice.column) {
            location["physicalLocation"]["region"] =
                json!({"startLine": line, "startColumn": column});
        }
    }
    if !about.is_empty() {
        location["logicalLocations"] = json!([{"fullyQualifiedName": about}]);
    }
    json!({
        "ruleId": notice.reason,
        "ruleIndex": index,
        "level": level(notice.rank),
        "message": {"text": text},
        "locations": [location],
    })
}

fn level(rank: Severity) -> &'static str {
    match rank {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

/// `RefNotPermitted` as `Ref not permitted`.
fn words(reason: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut after_small = false;
    for letter in reason.chars() {
        match words.last_mut() {
            Some(word) if !(letter.is_uppercase() && after_small) => word.push(letter),
            Some(_) | None => words.push(letter.to_string()),
        }
        after_small = letter.is_lowercase();
    }
    for word in words.iter_mut().skip(1) {
        if word.chars().any(char::is_lowercase) {
            *word = word.to_lowercase();
        }
    }
    words.join(" ")
}

/// The URI of a file: relative to the root where it is named so or lies below, whatever the
/// system's separator.
fn artifact(file: &str) -> Value {
    let path = Path::new(file);
    let here = std::env::current_dir().unwrap_or_default();
    let relative = path.strip_prefix(&here).unwrap_or(path);
    let mut parts: Vec<String> = Vec::new();
    let mut absolute = false;
    for component in relative.components() {
        match component {
            Component::CurDir => {}
            Component::RootDir => absolute = true,
            Component::Prefix(_) | Component::ParentDir | Component::Normal(_) => {
                parts.push(encoded(&component.as_os_str().to_string_lossy()));
            }
        }
    }
    let uri = parts.join("/");
    if absolute {
        json!({"uri": format!("file:///{uri}")})
    } else {
        json!({"uri": uri, "uriBaseId": ROOT})
    }
}

/// One part of a path with everything encoded that could mean something in a URI.
fn encoded(part: &str) -> String {
    let mut text = String::new();
    for byte in part.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte));
            }
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_relative_to_the_root_and_as_uris() {
        let here = std::env::current_dir().expect("a folder");
        let uri = |file: &str| artifact(file)["uri"].as_str().map(str::to_owned);
        assert_eq!(
            uri("./a b/ü#1.yaml").as_deref(),
            Some("a%20b/%C3%BC%231.yaml")
        );
        assert_eq!(uri("../up.yaml").as_deref(), Some("../up.yaml"));
        let below = here.join("in/x.yaml");
        assert_eq!(uri(&below.to_string_lossy()).as_deref(), Some("in/x.yaml"));
        assert_eq!(
            artifact("/elsewhere/x.yaml"),
            json!({"uri": "file:///elsewhere/x.yaml"})
        );
        assert_eq!(uri("<stdin>").as_deref(), Some("%3Cstdin%3E"));
    }

    #[test]
    fn a_reason_reads_as_words() {
        assert_eq!(words("RefNotPermitted"), "Ref not permitted");
        assert_eq!(words("InvalidYAML"), "Invalid YAML");
    }
}

//! What is wrong with one field, in words that say what to do.
//! Must not repeat a value that looks like a key.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::LocationSegment;
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;

use super::path::{FieldPath, Step};
use super::problem::shown;
use crate::cli::nearest::{nearest, suggestion};

/// One thing wrong with an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The field.
    pub path: FieldPath,
    /// Whether it is the field's name that is wrong, not its value.
    pub name: bool,
    /// Cause and fix.
    pub message: String,
}

// === impl Fault ===

impl Fault {
    /// Something wrong with a value.
    pub fn of_value(path: FieldPath, message: impl Into<String>) -> Self {
        Self { path, name: false, message: message.into() }
    }
}

/// What a schema finds wrong. `properties` gives the fields that may be at a path.
pub fn faults(error: &ValidationError<'_>, known: impl Fn(&FieldPath) -> Vec<String>) -> Vec<Fault> {
    let path: FieldPath = error
        .instance_path()
        .into_iter()
        .map(|segment| match segment {
            LocationSegment::Property(name) => Step::Field(name.into_owned()),
            LocationSegment::Index(index) => Step::Item(index),
        })
        .collect();
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let known = known(&path);
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            unexpected
                .iter()
                .map(|name| Fault {
                    path: path.field(name),
                    name: true,
                    message: format!("unknown field; {}", suggestion(name, &known)),
                })
                .collect()
        }
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![Fault::of_value(path.field(name), "is required")]
        }
        kind => vec![Fault::of_value(path, message(kind, error))],
    }
}

fn message(kind: &ValidationErrorKind, error: &ValidationError<'_>) -> String {
    let value = error.instance();
    match kind {
        ValidationErrorKind::Type { kind } => wrong_type(kind, value),
        ValidationErrorKind::Enum { options } => wrong_choice(options, value),
        ValidationErrorKind::Format { format } if format == "date-time" => {
            format!("{} is no time; write it as 2027-01-31T00:00:00Z", shown(value))
        }
        ValidationErrorKind::Pattern { pattern } => {
            format!("{} does not match {pattern}", shown(value))
        }
        ValidationErrorKind::Minimum { limit } => {
            format!("{} is too low; the lowest is {limit}", shown(value))
        }
        ValidationErrorKind::Maximum { limit } => {
            format!("{} is too high; the highest is {limit}", shown(value))
        }
        ValidationErrorKind::MinLength { limit: 1 } => "must not be empty".to_owned(),
        ValidationErrorKind::MinLength { limit } => format!("must have at least {limit} characters"),
        ValidationErrorKind::MaxLength { limit } => format!("must have at most {limit} characters"),
        ValidationErrorKind::MinItems { limit: 1 } => {
            "must not be empty; leave it out for none".to_owned()
        }
        ValidationErrorKind::MinItems { limit } => format!("must have at least {limit} entries"),
        ValidationErrorKind::MaxItems { limit } => format!("must have at most {limit} entries"),
        ValidationErrorKind::MinProperties { limit } => format!("must have at least {limit} fields"),
        ValidationErrorKind::MaxProperties { limit } => format!("must have at most {limit} fields"),
        other => format!("does not meet the schema's {}", other.keyword()),
    }
}

fn wrong_type(wanted: &TypeKind, value: &Value) -> String {
    let wanted: Vec<JsonType> = match wanted {
        TypeKind::Single(kind) => vec![*kind],
        TypeKind::Multiple(kinds) => kinds.into_iter().collect(),
    };
    let names: Vec<&str> = wanted.iter().map(|kind| with_article(*kind)).collect();
    let hint = match value {
        Value::Bool(_) if wanted.contains(&JsonType::String) => {
            "; put it in quotes (without them yes, no, on and off are booleans, too)"
        }
        Value::Number(_) if wanted.contains(&JsonType::String) => "; put it in quotes",
        Value::String(text) if wanted.contains(&JsonType::Integer) && is_plain_integer(text) => {
            "; leave out the quotes"
        }
        _ => "",
    };
    format!("want {}, found {}{hint}", names.join(" or "), shown(value))
}

/// Neither `010` nor `1_000`: what those are worth depends on who reads them.
fn is_plain_integer(text: &str) -> bool {
    text.parse::<i64>().is_ok_and(|number| number.to_string() == text)
}

fn with_article(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Null => "nothing",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "an integer",
        JsonType::Number => "a number",
        JsonType::String => "a text",
        JsonType::Array => "a list",
        JsonType::Object => "a mapping",
    }
}

fn wrong_choice(options: &Value, value: &Value) -> String {
    let options: Vec<&str> =
        options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let meant = value
        .as_str()
        .and_then(|text| nearest(text, options.iter().copied()))
        .map(|meant| format!("; did you mean '{meant}'?"))
        .unwrap_or_default();
    format!("want one of {}, found {}{meant}", options.join(", "), shown(value))
}

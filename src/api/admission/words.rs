//! What is wrong with a value, in the API server's words.
//! Names the field and what is allowed there, never the value.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::paths::LocationSegment;
use serde_json::Value;

use super::{Problem, element, member};

/// Whether the API server leaves rules unchecked when it finds this: rules rely on types and
/// lengths.
pub fn blocks_rules(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Required { .. }
            | Kind::Type { .. }
            | Kind::Enum { .. }
            | Kind::MaxItems { .. }
            | Kind::MaxLength { .. }
            | Kind::MaxProperties { .. }
            | Kind::Format { .. }
    )
}

/// The problem that a schema's error stands for.
pub fn problem(error: &ValidationError<'_>) -> Problem {
    let mut field = String::new();
    for segment in error.instance_path().segments() {
        field = match segment {
            LocationSegment::Property(name) => member(&field, &name),
            LocationSegment::Index(index) => element(&field, index),
        };
    }
    let message = match error.kind() {
        Kind::Required { property } => {
            field = member(&field, property.as_str().unwrap_or_default());
            "Required value".to_owned()
        }
        Kind::Enum { options } => {
            format!("Unsupported value: supported values: {}", listed(options))
        }
        Kind::Type { kind } => format!("must be of type {}", type_name(kind)),
        Kind::Format { format } => format!("must be of type {format}"),
        Kind::Pattern { pattern } => format!("should match '{pattern}'"),
        Kind::Minimum { limit } => format!("should be greater than or equal to {}", number(limit)),
        Kind::Maximum { limit } => format!("should be less than or equal to {}", number(limit)),
        Kind::MinLength { limit } => format!("should be at least {limit} chars long"),
        Kind::MaxLength { limit } => format!("Too long: may not be more than {limit} characters"),
        Kind::MinItems { limit } => format!("should have at least {limit} items"),
        Kind::MaxItems { limit } => format!("Too many: must have at most {limit} items"),
        Kind::MaxProperties { limit } => format!("Too many: must have at most {limit} entries"),
        other => format!("does not satisfy {}", other.keyword()),
    };
    Problem::new(field, message)
}

fn listed(options: &Value) -> String {
    let options: Vec<String> = options
        .as_array()
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    options.join(", ")
}

fn type_name(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => one.to_string(),
        TypeKind::Multiple(_) => "one of the types that the schema lists".to_owned(),
    }
}

fn number(limit: &Value) -> String {
    match limit {
        Value::Number(number) => match crate::api::crd::whole(number) {
            Some(whole) => whole.to_string(),
            None => number.to_string(),
        },
        other => other.to_string(),
    }
}

//! What an API server with our definitions would say of a manifest, without an API server.
//! Looks at one object alone, and never repeats a value that it refuses: it may be a key.

mod words;

use std::fmt;
use std::sync::LazyLock;

use kube::core::cel::{CompiledSchema, Validator as Rules, compile_schema};
use serde_json::{Map, Value};

use super::{API_VERSION, crd};

/// One reason to refuse a manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Path of the field, such as `spec.subjects[3].issuer`.
    pub field: String,
    /// What is wrong and, where a rule of ours is broken, what to do.
    pub message: String,
}

impl Problem {
    fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// Gives the object as an API server would store it: nulls dropped, `1024.0` as `1024`.
///
/// A status is left as it is: the API server takes none from a manifest.
///
/// # Errors
/// Every problem found, sorted: fields the schema does not know or lacks, values it refuses,
/// repeated entries of lists that are sets or maps, and broken rules. As on the API server, rules
/// are not looked at where types or lengths are wrong.
pub fn admit(object: &Value) -> Result<Value, Vec<Problem>> {
    let object = stored(object);
    let definition = match definition_of(&object) {
        Ok(definition) => definition,
        Err(problem) => return Err(vec![problem]),
    };
    let mut problems = metadata_problems(&object);
    let mut written = object.clone();
    if let Some(fields) = written.as_object_mut() {
        fields.remove("status");
    }
    unknown_fields(&definition.schema, &written, "", &mut problems);
    repeated_entries(&definition.schema, &written, "", &mut problems);
    let mut rules_apply = true;
    for error in definition.values.iter_errors(&written) {
        rules_apply &= !words::blocks_rules(error.kind());
        problems.push(words::problem(&error));
    }
    if rules_apply
        && let Err(broken) = Rules::new().validate_compiled(&definition.rules, &written, None)
    {
        problems.extend(
            broken
                .into_iter()
                .map(|rule| Problem::new(rule.field_path.trim_start_matches('.'), rule.message)),
        );
    }
    problems.sort();
    problems.dedup();
    if problems.is_empty() {
        Ok(object)
    } else {
        Err(problems)
    }
}

/// A definition, ready to check objects with.
struct Definition {
    kind: String,
    schema: Value,
    values: jsonschema::Validator,
    rules: CompiledSchema,
}

static DEFINITIONS: LazyLock<Vec<Definition>> = LazyLock::new(|| {
    crd::all()
        .iter()
        .map(|crd| {
            let schema = serde_json::to_value(crd::schema(crd)).expect("a schema is JSON");
            let values = jsonschema::options()
                .should_validate_formats(true)
                .build(&schema)
                .expect("a derived schema is a JSON schema");
            Definition {
                kind: crd.spec.names.kind.clone(),
                values,
                rules: compile_schema(&schema),
                schema,
            }
        })
        .collect()
});

fn definition_of(object: &Value) -> Result<&'static Definition, Problem> {
    if object["apiVersion"].as_str() != Some(API_VERSION) {
        return Err(Problem::new("apiVersion", format!("must be {API_VERSION}")));
    }
    let kind = object["kind"].as_str();
    DEFINITIONS
        .iter()
        .find(|definition| Some(definition.kind.as_str()) == kind)
        .ok_or_else(|| Problem::new("kind", "must be Workspace, RoleBinding or ApiKeyRef"))
}

/// What holds for the metadata of every object.
fn metadata_problems(object: &Value) -> Vec<Problem> {
    let metadata = &object["metadata"];
    let mut problems = Vec::new();
    match metadata["name"].as_str() {
        Some(name) if is_subdomain(name) => {}
        Some(_) => problems.push(Problem::new(
            "metadata.name",
            "must be an object's name: a-z, 0-9, '-' and '.', with a letter or digit at both ends",
        )),
        None => problems.push(Problem::new("metadata.name", "Required value")),
    }
    match &metadata["namespace"] {
        Value::Null => {}
        Value::String(name) if is_label(name) => {}
        _ => problems.push(Problem::new(
            "metadata.namespace",
            "must be a DNS label: a-z, 0-9 and '-', with a letter or digit at both ends",
        )),
    }
    problems
}

fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label_of_any_length)
}

fn is_label(name: &str) -> bool {
    name.len() <= 63 && is_label_of_any_length(name)
}

fn is_label_of_any_length(name: &str) -> bool {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.chars().all(inside) && !name.starts_with('-') && !name.ends_with('-')
}

/// The object without nulls in place of fields, and with whole numbers as integers.
fn stored(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.clone(), stored(value)))
                .collect::<Map<_, _>>(),
        ),
        Value::Array(items) => items.iter().map(stored).collect(),
        Value::Number(number) => crd::whole(number).map_or_else(|| value.clone(), Value::from),
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

/// Fields the schema does not name: the API server drops them, and kubectl refuses them.
fn unknown_fields(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let at = member(path, name);
                if path.is_empty() && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                    continue;
                }
                if let Some(known) = schema["properties"].get(name) {
                    unknown_fields(known, value, &at, problems);
                } else if schema.get("additionalProperties").is_none() {
                    problems.push(Problem::new(at, "unknown field: correct or remove it"));
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                unknown_fields(&schema["items"], item, &element(path, index), problems);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Entries that a set, or a map by some of its fields, has more than once.
fn repeated_entries(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(known) = schema["properties"].get(name) {
                    repeated_entries(known, value, &member(path, name), problems);
                }
            }
        }
        Value::Array(items) => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array();
            let identity = |item: &Value| match (schema["x-kubernetes-list-type"].as_str(), keys) {
                (Some("set"), _) => Some(vec![item.clone()]),
                (Some("map"), Some(keys)) => Some(
                    keys.iter()
                        .filter_map(Value::as_str)
                        .map(|key| item[key].clone())
                        .collect(),
                ),
                _ => None,
            };
            let mut seen = Vec::new();
            for (index, item) in items.iter().enumerate() {
                let at = element(path, index);
                repeated_entries(&schema["items"], item, &at, problems);
                if let Some(identity) = identity(item) {
                    if seen.contains(&identity) {
                        problems.push(Problem::new(at, "Duplicate value"));
                    } else {
                        seen.push(identity);
                    }
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn member(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn element(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

//! What an API server with our definitions would say of a manifest, without an API server: of
//! our kinds all, of Namespaces and Secrets what can matter to us.
//! Looks at one object alone, and never repeats a value that it refuses: it may be a key.

pub mod metadata;
mod words;

use std::fmt;
use std::sync::LazyLock;

use kube::core::cel::{CompiledSchema, Validator as Rules, compile_schema};
use serde_json::{Map, Value, json};

use super::{API_VERSION, crd};
use metadata::Naming;

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
/// A status is left as it is but for the names in it: the API server takes none from a manifest.
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
    let mut problems = metadata::problems(&object["metadata"], definition.naming);
    let mut written = object.clone();
    if let Some(fields) = written.as_object_mut() {
        fields.remove("status");
    }
    unknown_fields(&definition.schema, &object, "", &mut problems);
    repeated_entries(&definition.schema, &written, "", &mut problems);
    // A rule may be about the name.
    let mut rules_apply = object["metadata"]["name"].is_string();
    for error in definition.values.iter_errors(&written) {
        rules_apply &= !words::blocks_rules(error.kind());
        problems.push(words::problem(&error));
    }
    if rules_apply
        && let Some(rules) = &definition.rules
        && let Err(broken) = Rules::new().validate_compiled(rules, &written, None)
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

/// The schema of a kind that is admitted, with all of `metadata` in it.
pub fn schema(kind: &str) -> Option<&'static Value> {
    let mut definitions = DEFINITIONS.iter();
    let definition = definitions.find(|definition| definition.kind == kind)?;
    Some(&definition.schema)
}

/// A definition, ready to check objects with.
struct Definition {
    api_version: &'static str,
    kind: String,
    naming: Naming,
    schema: Value,
    values: jsonschema::Validator,
    /// Of our kinds.
    rules: Option<CompiledSchema>,
}

static DEFINITIONS: LazyLock<Vec<Definition>> = LazyLock::new(|| {
    let ours = crd::all().into_iter().map(|crd| {
        let schema = serde_json::to_value(crd::schema(&crd)).expect("a schema is JSON");
        let rules = compile_schema(&schema);
        let kind = &crd.spec.names.kind;
        let definition = Definition::new(API_VERSION, kind, Naming::Subdomain, schema);
        Definition {
            rules: Some(rules),
            ..definition
        }
    });
    ours.chain([
        Definition::new("v1", "Namespace", Naming::Label, namespace_schema()),
        Definition::new("v1", "Secret", Naming::Subdomain, secret_schema()),
    ])
    .collect()
});

fn definition_of(object: &Value) -> Result<&'static Definition, Problem> {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let known = DEFINITIONS
        .iter()
        .find(|definition| definition.api_version == api_version && definition.kind == kind);
    known.ok_or_else(|| {
        if api_version == API_VERSION {
            Problem::new("kind", "must be Workspace, RoleBinding or ApiKeyRef")
        } else {
            Problem::new("apiVersion", format!("must be {API_VERSION}"))
        }
    })
}

fn namespace_schema() -> Value {
    json!({"type": "object", "properties": {"spec": ANYTHING.clone()}})
}

/// The values are none of a schema's business: whoever reads them checks them.
fn secret_schema() -> Value {
    json!({"type": "object", "properties": {
        "data": ANYTHING.clone(),
        "immutable": {"type": "boolean"},
        "stringData": ANYTHING.clone(),
        "type": {"type": "string"},
    }})
}

/// The schema of what is not looked into.
static ANYTHING: LazyLock<Value> =
    LazyLock::new(|| json!({"x-kubernetes-preserve-unknown-fields": true}));

// === impl Definition ===

impl Definition {
    fn new(api_version: &'static str, kind: &str, naming: Naming, mut schema: Value) -> Self {
        let properties = &mut schema["properties"];
        properties["apiVersion"] = json!({"type": "string"});
        properties["kind"] = json!({"type": "string"});
        properties["metadata"] = metadata::schema();
        let values = jsonschema::options()
            .should_validate_formats(true)
            .with_format("date-time", is_time)
            .build(&schema)
            .expect("a definition's schema is a JSON schema");
        Self {
            api_version,
            kind: kind.to_owned(),
            naming,
            schema,
            values,
            rules: None,
        }
    }
}

/// Whether a text begins with a time and has a zone, as the API server has it: in any year, and
/// without a second 60. The rest of its form is for a pattern to say.
fn is_time(text: &str) -> bool {
    let Some((seconds, rest)) = text.split_at_checked(19) else {
        return false;
    };
    let zone = rest.trim_start_matches(|c: char| matches!(c, '.' | ',') || c.is_ascii_digit());
    !seconds.ends_with(":60")
        && seconds.parse::<jiff::civil::DateTime>().is_ok()
        && zone.starts_with(['Z', '+', '-'])
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
                if schema.get("x-kubernetes-preserve-unknown-fields").is_some() {
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
    if name.is_empty() || name.contains(['.', '[', ']', '"']) {
        format!("{path}[{name:?}]")
    } else if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn element(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

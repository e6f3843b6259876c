//! A CRD's schema as a JSON schema, so that files are held to what the API server holds objects
//! to: unknown fields are refused, and metadata is looked at, too.
//! Must not add a rule about our kinds: those are in the CRD.

use serde_json::{Map, Value, json};

/// What the API server knows in `metadata`.
const METADATA: [&str; 13] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
];

/// The JSON schema of a custom resource, from its structural schema.
pub fn of_custom_resource(structural: &Value) -> Value {
    let mut schema = closed(structural);
    schema["properties"]["metadata"] = metadata();
    schema
}

/// The JSON schema of any object of which only the metadata matters.
pub fn of_metadata() -> Value {
    json!({"type": "object", "properties": {"metadata": metadata()}})
}

fn metadata() -> Value {
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let mut properties: Map<String, Value> =
        METADATA.iter().chain(&["selfLink", "uid"]).map(|name| ((*name).to_owned(), json!({}))).collect();
    for name in ["name", "namespace"] {
        properties.insert(name.to_owned(), json!({"type": "string"}));
    }
    for name in ["labels", "annotations"] {
        properties.insert(name.to_owned(), texts.clone());
    }
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

/// Structural schemas say the same as JSON schemas, but for nullable, int-or-string, and that
/// fields nobody lists are dropped.
fn closed(structural: &Value) -> Value {
    let Value::Object(fields) = structural else {
        return structural.clone();
    };
    let flag = |name: &str| fields.get(name) == Some(&Value::Bool(true));
    let mut schema: Map<String, Value> = fields
        .iter()
        .filter(|(name, _)| !name.starts_with("x-kubernetes-"))
        .filter(|(name, _)| !matches!(name.as_str(), "nullable" | "default" | "description"))
        .map(|(name, value)| (name.clone(), below(name, value)))
        .collect();
    if flag("x-kubernetes-int-or-string") {
        schema.insert("type".to_owned(), json!(["integer", "string"]));
    }
    if flag("nullable")
        && let Some(Value::String(kind)) = schema.get("type").cloned()
    {
        schema.insert("type".to_owned(), json!([kind, "null"]));
    }
    if schema.contains_key("properties") && !flag("x-kubernetes-preserve-unknown-fields") {
        schema.entry("additionalProperties").or_insert(Value::Bool(false));
    }
    Value::Object(schema)
}

fn below(name: &str, value: &Value) -> Value {
    match (name, value) {
        ("properties", Value::Object(fields)) => {
            let fields = fields.iter().map(|(name, schema)| (name.clone(), closed(schema)));
            Value::Object(fields.collect())
        }
        ("items" | "additionalProperties", schema) => closed(schema),
        // Below these a structural schema lists only what is to be constrained.
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_refused_except_where_they_are_kept() {
        let structural = json!({
            "type": "object",
            "properties": {
                "a": {"type": "object", "properties": {"b": {"type": "string", "nullable": true}}},
                "kept": {"type": "object", "properties": {}, "x-kubernetes-preserve-unknown-fields": true},
                "any": {"type": "object", "additionalProperties": {"type": "string"}},
                "port": {"x-kubernetes-int-or-string": true},
            }
        });
        let schema = closed(&structural);
        let validator = jsonschema::validator_for(&schema).expect("a JSON schema");
        for good in [
            json!({"a": {"b": "x"}}),
            json!({"a": {"b": null}}),
            json!({"kept": {"x": 1}}),
            json!({"any": {"x": "y"}}),
            json!({"port": 1}),
            json!({"port": "http"}),
        ] {
            assert!(validator.is_valid(&good), "{good}");
        }
        for bad in [json!({"x": 1}), json!({"a": {"c": 1}}), json!({"any": {"x": 1}}), json!({"port": []})] {
            assert!(!validator.is_valid(&bad), "{bad}");
        }
    }
}

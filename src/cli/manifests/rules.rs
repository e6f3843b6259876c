//! Everything the API server would check about an object of one of our kinds before storing it:
//! schema, list keys, CEL. All of it comes from the CRD.
//! Must not hold a rule of its own.

use std::collections::HashMap;

use jsonschema::{Draft, Validator};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::cel;
use serde_json::Value;

use super::fault::{Fault, faults};
use super::path::{FieldPath, Step};
use super::shape;

/// The checks for one kind.
pub struct Rules {
    structural: Value,
    shape: Shape,
    cel: cel::CompiledSchema,
    evaluator: cel::Validator,
}

/// A JSON schema, ready to use.
pub struct Shape {
    schema: Value,
    validator: Validator,
}

// === impl Rules ===

impl Rules {
    /// Those of a definition.
    pub fn of(definition: &CustomResourceDefinition) -> Self {
        let schema = crate::api::crd::schema(definition);
        let structural = serde_json::to_value(schema).expect("a schema is JSON");
        Self {
            shape: Shape::new(shape::of_custom_resource(&structural)),
            cel: cel::compile_schema(&structural),
            evaluator: cel::Validator::new(),
            structural,
        }
    }

    /// What is wrong with an object. As on the API server, CEL has its say only about objects
    /// of the right shape: about others it could say anything.
    pub fn check(&self, object: &Value) -> Vec<Fault> {
        let mut faults = self.shape.check(object);
        repeats(&self.structural, object, &FieldPath::root(), &mut faults);
        if faults.is_empty()
            && let Err(errors) = self.evaluator.validate_compiled(&self.cel, object, None)
        {
            faults.extend(errors.into_vec().into_iter().map(|error| {
                Fault::of_value(FieldPath::parse(&error.field_path), error.message)
            }));
        }
        faults
    }
}

// === impl Shape ===

impl Shape {
    /// Prepares a schema.
    pub fn new(schema: Value) -> Self {
        let validator = jsonschema::options()
            // The dialect OpenAPI 3.0 is made from: `exclusiveMinimum` is a flag in it.
            .with_draft(Draft::Draft4)
            .should_validate_formats(true)
            .build(&schema)
            .expect("the schemas of this project are JSON schemas");
        Self { schema, validator }
    }

    /// What is wrong with a value.
    pub fn check(&self, value: &Value) -> Vec<Fault> {
        let known = |path: &FieldPath| self.fields_at(path);
        self.validator.iter_errors(value).flat_map(|error| faults(&error, known)).collect()
    }

    fn fields_at(&self, path: &FieldPath) -> Vec<String> {
        let mut schema = &self.schema;
        for step in path.steps() {
            schema = match step {
                Step::Field(name) => schema
                    .get("properties")
                    .and_then(|fields| fields.get(name))
                    .unwrap_or(&schema["additionalProperties"]),
                Step::Item(_) => &schema["items"],
            };
        }
        let fields = schema["properties"].as_object();
        fields.map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
    }
}

/// Entries of a keyed list, or members of a set, that are there more than once.
fn repeats(schema: &Value, value: &Value, path: &FieldPath, found: &mut Vec<Fault>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let below = schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]);
                repeats(below, value, &path.field(name), found);
            }
        }
        Value::Array(items) => {
            let mut first: HashMap<String, usize> = HashMap::new();
            for (i, item) in items.iter().enumerate() {
                let here = path.item(i);
                if let Some(key) = list_key(schema, item) {
                    let earlier = *first.entry(key.clone()).or_insert(i);
                    if earlier != i {
                        let message = format!("{key} is already at {}; keep one", path.item(earlier));
                        found.push(Fault::of_value(here.clone(), message));
                    }
                }
                repeats(&schema["items"], item, &here, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What an item of a list must not have in common with another.
fn list_key(schema: &Value, item: &Value) -> Option<String> {
    match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => Some(super::problem::shown(item)),
        Some("map") => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array()?.iter();
            let part = |key: &Value| {
                let key = key.as_str()?;
                Some(format!("{key} {}", super::problem::shown(item.get(key)?)))
            };
            keys.map(part).collect::<Option<Vec<_>>>().map(|parts| parts.join(", "))
        }
        _ => None,
    }
}

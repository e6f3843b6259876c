//! Kubernetes objects as they were rendered, found by what they are. Must not render any.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// Objects by kind, namespace and name.
pub(crate) type Objects = BTreeMap<String, Value>;

/// Reads documents; an object that is there twice is an error.
pub(crate) fn read(yaml: &str) -> Result<Objects> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(yaml).context("reading rendered YAML")?;
    let mut objects = Objects::new();
    for object in documents.into_iter().filter(|object| !object.is_null()) {
        let name = name(&object)?;
        let twice = objects.insert(name.clone(), object).is_some();
        ensure!(!twice, "{name} is rendered twice");
    }
    Ok(objects)
}

/// `Kind name`, or `Kind namespace/name`.
fn name(object: &Value) -> Result<String> {
    let metadata = &object["metadata"];
    let (Some(kind), Some(name)) = (object["kind"].as_str(), metadata["name"].as_str()) else {
        bail!("not an object: {object}");
    };
    Ok(match metadata["namespace"].as_str() {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    })
}

/// Where two sets of objects differ, a line each; empty when they are equal.
pub(crate) fn differences(left: &Objects, right: &Objects) -> Vec<String> {
    let mut differences = Vec::new();
    for name in left.keys().filter(|name| !right.contains_key(*name)) {
        differences.push(format!("{name}: only the first has it"));
    }
    for name in right.keys().filter(|name| !left.contains_key(*name)) {
        differences.push(format!("{name}: only the second has it"));
    }
    for (name, value) in left {
        if let Some(other) = right.get(name) {
            compare(name, value, other, &mut differences);
        }
    }
    differences
}

fn compare(path: &str, left: &Value, right: &Value, differences: &mut Vec<String>) {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let names = left
                .keys()
                .chain(right.keys().filter(|name| !left.contains_key(*name)));
            for name in names {
                let (left, right) = (left.get(name), right.get(name));
                let path = format!("{path} .{name}");
                match (left, right) {
                    (Some(left), Some(right)) => compare(&path, left, right, differences),
                    _ => differences.push(format!("{path}: {left:?} and {right:?}")),
                }
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (place, (left, right)) in left.iter().zip(right).enumerate() {
                compare(&format!("{path} [{place}]"), left, right, differences);
            }
        }
        // Helm passes numbers through floats on their way.
        (Value::Number(left), Value::Number(right)) if left.as_f64() == right.as_f64() => {}
        _ if left == right => {}
        _ => differences.push(format!("{path}: {left} and {right}")),
    }
}

//! The form of `metadata`, which the definitions of our kinds leave to the API server.
//! Must not know what any label or annotation means.

use serde_json::Value;

use super::fault::Fault;
use super::path::FieldPath;
use crate::policy::nearest::suggestion;

/// What there can be in it. What only a cluster sets is not offered when a name is wrong.
const WRITTEN: [&str; 6] = [
    "annotations",
    "finalizers",
    "generateName",
    "labels",
    "name",
    "namespace",
];
const SET_BY_CLUSTER: [&str; 9] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// What is wrong with the metadata of an object.
pub fn check(object: &Value) -> Vec<Fault> {
    let path = FieldPath::root().field("metadata");
    let Some(metadata) = object.get("metadata").and_then(Value::as_object) else {
        return vec![Fault::of_value(path, "is required, with a name")];
    };
    let mut faults = Vec::new();
    for (name, value) in metadata {
        let here = path.field(name);
        match name.as_str() {
            "labels" | "annotations" => texts(value, &here, &mut faults),
            name if WRITTEN.contains(&name) || SET_BY_CLUSTER.contains(&name) => {}
            name => {
                let message = format!("unknown field; {}", suggestion(name, &WRITTEN));
                faults.push(Fault::of_name(here, message));
            }
        }
    }
    faults
}

fn texts(value: &Value, path: &FieldPath, faults: &mut Vec<Fault>) {
    let entries = match value {
        Value::Object(entries) => entries,
        Value::Null => return,
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return faults.push(Fault::of_value(path.clone(), "must be a mapping of texts"));
        }
    };
    for (key, value) in entries {
        match value {
            Value::String(_) => {}
            Value::Bool(_) => faults.push(Fault::of_value(
                path.field(key),
                "must be a text; put it in quotes (without them yes, no, on and off are booleans, too)",
            )),
            Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                faults.push(Fault::of_value(path.field(key), "must be a text; put it in quotes"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn messages(metadata: Value) -> Vec<String> {
        let faults = check(&json!({"metadata": metadata}));
        faults
            .iter()
            .map(|fault| format!("{}: {}", fault.path, fault.message))
            .collect()
    }

    #[test]
    fn a_slip_in_metadata_is_not_passed_over() {
        assert_eq!(
            messages(json!({"name": "a", "labels": {"x": "true"}, "uid": "1"})),
            [""; 0]
        );
        assert_eq!(
            messages(
                json!({"name": "a", "lables": {}, "labels": {"x": true, "y": 1}, "annotations": []})
            ),
            [
                "metadata.annotations: must be a mapping of texts",
                "metadata.labels.x: must be a text; put it in quotes (without them yes, no, on and off are \
                 booleans, too)",
                "metadata.labels.y: must be a text; put it in quotes",
                "metadata.lables: unknown field; did you mean 'labels'?",
            ]
        );
        assert_eq!(check(&json!({})).len(), 1);
    }
}

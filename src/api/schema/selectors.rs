//! Label selectors, with the bounds and checks that Kubernetes' own kinds have and a plain
//! copy of the type lacks. Says nothing of what is selected.

use kube::core::{Reason, Rule};
use schemars::{Schema, SchemaGenerator, json_schema};

use super::with_rules;

const LABEL_KEY: &str =
    "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";

const BAD_KEY: &str = "a label key is a name of letters, digits, '-', '_' and '.', after an optional DNS prefix and '/': correct the key";

const LABEL_VALUE: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";

/// A label selector; `{}` selects everything.
pub fn label_selector(_: &mut SchemaGenerator) -> Schema {
    let requirement = json_schema!({
        "type": "object",
        "required": ["key", "operator"],
        "properties": {
            "key": {
                "description": "The label's key.",
                "type": "string",
                "minLength": 1,
                "maxLength": 317,
            },
            "operator": {
                "description": "In, NotIn: the label's value is, or is not, among values. Exists, DoesNotExist: there is, or is not, such a label.",
                "type": "string",
                "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
            },
            "values": {
                "description": "Values, for In and NotIn. Unset for Exists and DoesNotExist.",
                "type": "array",
                "maxItems": 64,
                "x-kubernetes-list-type": "atomic",
                "items": {"type": "string", "maxLength": 63, "pattern": LABEL_VALUE},
            },
        },
    });
    let requirement = with_rules(
        requirement,
        [
            Rule::new(format!("self.key.matches('{LABEL_KEY}')"))
                .message(BAD_KEY)
                .field_path(".key"),
            Rule::new(
                "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
            )
            .message("In and NotIn need values; Exists and DoesNotExist have none")
            .field_path(".values"),
        ],
    );
    let labels = with_rules(
        json_schema!({
            "description": "Labels that must all be there with these values.",
            "type": "object",
            "maxProperties": 32,
            "additionalProperties": {"type": "string", "maxLength": 63},
        }),
        [
            Rule::new(format!("self.all(k, k.matches('{LABEL_KEY}'))"))
                .message(BAD_KEY),
            Rule::new(format!("self.all(k, self[k].matches('{LABEL_VALUE}'))"))
                .message("a label value is of letters, digits, '-', '_' and '.', with a letter or digit at both ends: correct the value"),
        ],
    );
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "matchLabels": labels,
            "matchExpressions": {
                "description": "Further requirements, which must all hold.",
                "type": "array",
                "maxItems": 32,
                "x-kubernetes-list-type": "atomic",
                "items": requirement,
            },
        },
    })
}

/// A label selector that selects by something.
pub fn pod_selector(generator: &mut SchemaGenerator) -> Schema {
    with_rules(
        label_selector(generator),
        [Rule::new(
            "(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && size(self.matchExpressions) > 0)",
        )
        .message("an empty selector would take every pod of the namespace for the gateway: set matchLabels, or leave podSelector out")
        .reason(Reason::FieldValueRequired)],
    )
}

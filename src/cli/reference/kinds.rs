//! A page for each kind: what may be written, what the API server refuses, what status says.
//! Must not say of a field what its schema does not.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};

use super::{Page, plain, table, titled};
use crate::api::{conditions, crd};
use crate::policy::explain::Explanation;

/// How descriptions begin to say what leaving a field out means.
const UNSET: &str = "Unset = ";

/// A kind's manifests as they are shown: the least that makes sense, and every field there is.
struct Examples {
    page: &'static str,
    minimal: &'static str,
    complete: &'static str,
}

const EXAMPLES: [Examples; 3] = [
    Examples {
        page: "workspace",
        minimal: include_str!("examples/workspace.minimal.yaml"),
        complete: include_str!("examples/workspace.complete.yaml"),
    },
    Examples {
        page: "rolebinding",
        minimal: include_str!("examples/rolebinding.minimal.yaml"),
        complete: include_str!("examples/rolebinding.complete.yaml"),
    },
    Examples {
        page: "apikeyref",
        minimal: include_str!("examples/apikeyref.minimal.yaml"),
        complete: include_str!("examples/apikeyref.complete.yaml"),
    },
];

/// The pages, in the order in which the kinds are installed.
pub(super) fn pages() -> Vec<Page> {
    crd::all()
        .iter()
        .zip(&EXAMPLES)
        .map(|(definition, examples)| Page {
            name: examples.page,
            text: page(definition, examples),
        })
        .collect()
}

fn page(definition: &CustomResourceDefinition, examples: &Examples) -> String {
    let names = &definition.spec.names;
    let version = &definition.spec.versions[0];
    let schema = crd::schema(definition);
    let fields = fields(schema);
    let mut text = titled(&names.kind);
    text += &format!(
        "{}\n\n",
        plain(schema.description.as_deref().unwrap_or_default())
    );
    text += &format!(
        "`apiVersion: {}/{}`, namespaced; `kubectl get {}` or `{}.{}`.",
        definition.spec.group,
        version.name,
        names
            .short_names
            .iter()
            .flatten()
            .next()
            .unwrap_or(&names.plural),
        names.plural,
        definition.spec.group,
    );
    let columns = version.additional_printer_columns.iter().flatten();
    let columns: Vec<&str> = columns.map(|column| column.name.as_str()).collect();
    text += &format!(" It shows {}.\n\n", columns.join(", "));
    text += &format!("The least:\n\n```yaml\n{}```\n\n", examples.minimal);
    text += &format!("Every field:\n\n```yaml\n{}```\n\n", examples.complete);

    text += "## Spec\n\n";
    text += mutability(&fields);
    let spec = fields.iter().filter(|field| field.is_below("spec"));
    let rows = spec.map(|field| {
        let (meaning, unset) = field.meaning();
        [field.code(), field.takes(), unset, meaning]
    });
    text += &table(["field", "takes", "left out", "means"], rows);

    text += "\n## Rules\n\nWhat the API server refuses, beside types and bounds, with the words it says. `self` is the field that the rule stands at.\n\n";
    text += &rules(&fields);

    text += "\n## Conditions\n\n";
    let ours =
        |of: &&Explanation| of.place.contains(&names.kind) || of.place.contains("every kind");
    let rows = conditions::TYPES.iter().filter(ours);
    text += &table(
        ["type", "means", "what to do"],
        rows.map(|of| [format!("`{}`", of.name), plain(of.cause), plain(of.fix)]),
    );
    text += "\n[Reasons](reasons.md) has the reason of each, with cause and fix.\n";

    text += "\n## Status\n\nWritten by the operator alone.\n\n";
    let status = fields.iter().filter(|field| {
        // Below these it is as with every kind of Kubernetes.
        field.is_below("status") && !field.path.starts_with("status.conditions[]")
    });
    let rows = status.map(|field| [field.code(), field.takes(), plain(field.description())]);
    text += &table(["field", "takes", "means"], rows);
    text
}

fn mutability(fields: &[Field]) -> &'static str {
    let compared = |field: &Field| rules_of(field.schema).any(|(_, rule)| rule.contains("oldSelf"));
    match fields.iter().any(compared) {
        true => {
            "A rule below that names `oldSelf` compares with what is stored; every other field may be changed at any time.\n\n"
        }
        false => "Every field may be changed at any time; none is immutable.\n\n",
    }
}

/// Rules, each once with all places where it stands.
fn rules(fields: &[Field]) -> String {
    let mut order = Vec::new();
    let mut places: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for field in fields {
        for rule in rules_of(field.schema) {
            let at = places.entry(rule).or_insert_with(|| {
                order.push(rule);
                Vec::new()
            });
            at.push(field.code());
        }
    }
    let line = |rule: &(&str, &str)| {
        let (message, expression) = rule;
        let at = places[rule].join(", ");
        format!("- {at}: {}\n  `{expression}`\n", plain(message))
    };
    order.iter().map(line).collect()
}

fn rules_of(schema: &JSONSchemaProps) -> impl Iterator<Item = (&str, &str)> {
    let rules = schema.x_kubernetes_validations.iter().flatten();
    rules.map(|rule| (rule.message.as_deref().unwrap_or_default(), &*rule.rule))
}

/// A field, or the entry of a list.
struct Field<'a> {
    /// From the object's root, such as `spec.roles[].name`.
    path: String,
    required: bool,
    schema: &'a JSONSchemaProps,
}

/// All fields of an object, in the order of their paths.
fn fields(root: &JSONSchemaProps) -> Vec<Field<'_>> {
    let mut found = vec![Field {
        path: String::new(),
        required: false,
        schema: root,
    }];
    let mut at = 0;
    // A field's own fields follow it.
    while let Some(Field { path, schema, .. }) = found.get(at) {
        let named = schema
            .properties
            .iter()
            .flatten()
            .map(|(name, child)| Field {
                path: format!("{path}{}{name}", if path.is_empty() { "" } else { "." }),
                required: schema.required.iter().flatten().any(|of| of == name),
                schema: child,
            });
        let entry = items(schema).map(|child| Field {
            path: format!("{path}[]"),
            required: false,
            schema: child,
        });
        let below: Vec<Field> = named.chain(entry).collect();
        at += 1;
        found.splice(at..at, below);
    }
    found
}

fn items(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match schema.items.as_ref()? {
        JSONSchemaPropsOrArray::Schema(items) => Some(items),
        JSONSchemaPropsOrArray::Schemas(_) => None,
    }
}

// === impl Field ===

impl Field<'_> {
    /// Whether it is of this part. An entry of a list is told with the list, unless it has
    /// something to say.
    fn is_below(&self, part: &str) -> bool {
        let rest = self.path.strip_prefix(part);
        rest.is_some_and(|rest| rest.starts_with('.'))
            && (!self.path.ends_with("[]") || self.schema.description.is_some())
    }

    fn code(&self) -> String {
        format!("`{}`", self.path)
    }

    fn description(&self) -> &str {
        self.schema.description.as_deref().unwrap_or_default()
    }

    /// What it means, and what leaving it out means.
    fn meaning(&self) -> (String, String) {
        let (meaning, unset) = match self.description().split_once(UNSET) {
            Some((meaning, unset)) => (meaning.trim_end(), unset.trim_end_matches('.')),
            None => (self.description(), ""),
        };
        let unset = match self.required {
            true => "**required**".to_owned(),
            false => plain(unset),
        };
        (plain(meaning), unset)
    }

    /// Its type with its bounds.
    fn takes(&self) -> String {
        let Self { schema, .. } = self;
        if let Some(values) = &schema.enum_ {
            let values: Vec<String> = values
                .iter()
                .map(|value| format!("`{}`", value.0))
                .collect();
            return values.join(", ").replace('"', "");
        }
        let of = |least: Option<i64>, most: Option<i64>, what: &str| match (least, most) {
            (Some(least), Some(most)) => format!(", {least} to {most}{what}"),
            (None, Some(most)) => format!(", at most {most}{what}"),
            (Some(least), None) => format!(", at least {least}{what}"),
            (None, None) => String::new(),
        };
        match (schema.type_.as_deref(), schema.format.as_deref()) {
            (Some("string"), Some("date-time")) => "time, as in `2026-12-01T00:00:00Z`".to_owned(),
            (Some("string"), _) => {
                format!(
                    "text{}",
                    of(schema.min_length, schema.max_length, " characters")
                )
            }
            (Some("integer"), _) => {
                #[expect(clippy::cast_possible_truncation, reason = "bounds of integers")]
                let whole = |bound: Option<f64>| bound.map(|bound| bound as i64);
                format!(
                    "integer{}",
                    of(whole(schema.minimum), whole(schema.maximum), "")
                )
            }
            (Some("array"), _) => {
                let keys = schema.x_kubernetes_list_map_keys.iter().flatten();
                let keys: Vec<String> = keys.map(|key| format!(", one for each `{key}`")).collect();
                let set = schema.x_kubernetes_list_type.as_deref() == Some("set");
                format!(
                    "list{}{}{}",
                    of(schema.min_items, schema.max_items, " entries"),
                    keys.concat(),
                    if set { ", each once" } else { "" }
                )
            }
            (Some("object"), _) if schema.additional_properties.is_some() => {
                format!("map of text{}", of(None, schema.max_properties, " entries"))
            }
            (kind, _) => kind.unwrap_or_default().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// Every path that a manifest sets, as [`Field::path`] writes it.
    fn set(path: &str, value: &Value, found: &mut BTreeSet<String>) {
        found.insert(path.to_owned());
        match value {
            Value::Object(fields) => {
                for (name, child) in fields {
                    set(&format!("{path}.{name}"), child, found);
                }
            }
            Value::Array(entries) => {
                for entry in entries {
                    set(&format!("{path}[]"), entry, found);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn the_complete_example_of_a_kind_sets_every_field_and_the_minimal_one_is_of_the_same_kind() {
        for (definition, examples) in crd::all().iter().zip(&EXAMPLES) {
            let kind = definition.spec.names.kind.as_str();
            assert_eq!(kind.to_lowercase(), examples.page);
            let read = |text| serde_saphyr::from_str::<Value>(text).expect("YAML");
            assert_eq!(read(examples.minimal)["kind"], kind);
            let complete = read(examples.complete);
            assert_eq!(complete["kind"], kind);
            let mut there = BTreeSet::new();
            set("spec", &complete["spec"], &mut there);
            let fields = fields(crd::schema(definition));
            let missing: Vec<&String> = fields
                .iter()
                .map(|field| &field.path)
                .filter(|path| path.starts_with("spec") && !there.contains(*path))
                .collect();
            assert_eq!(missing, Vec::<&String>::new(), "{kind}");
        }
    }

    #[test]
    fn what_leaving_a_field_out_means_is_told_apart_from_what_it_means() {
        let field = |description: &str, required| {
            let schema = JSONSchemaProps {
                description: Some(description.to_owned()),
                ..Default::default()
            };
            let path = "spec.x".to_owned();
            Field {
                path,
                required,
                schema: &schema,
            }
            .meaning()
        };
        assert_eq!(
            field("Days | hours. Unset = 90; unset there = 1.", false),
            (
                "Days \\| hours.".to_owned(),
                "90; unset there = 1".to_owned()
            )
        );
        assert_eq!(
            field("Days.", true),
            ("Days.".to_owned(), "**required**".to_owned())
        );
    }
}

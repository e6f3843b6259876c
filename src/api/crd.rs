//! The three CustomResourceDefinitions, as they are installed.
//! Adds to what is derived from the types only what a derive cannot say.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::{Number, Value, json};

use super::{ApiKeyRef, RoleBinding, Workspace, metadata};

/// The three definitions, in the order in which they are installed and printed.
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![
        tidied(Workspace::crd()),
        tidied(RoleBinding::crd()),
        tidied(ApiKeyRef::crd()),
    ]
}

/// The name of the file that holds a definition.
pub fn file_name(crd: &CustomResourceDefinition) -> String {
    format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural)
}

/// A definition as YAML: the same bytes for the same definition.
///
/// # Errors
/// None that a definition of this project can cause; the YAML writer's error type allows for
/// values that have no YAML form.
pub fn yaml(crd: &CustomResourceDefinition) -> Result<String, serde_saphyr::ser_error::Error> {
    let mut value = serde_json::to_value(crd).expect("a definition is JSON");
    whole_numbers(&mut value);
    value.sort_all_objects();
    serde_saphyr::to_string(&value)
}

/// The schema of a definition's only version.
///
/// # Panics
/// On a definition without version or schema, which [`all`] does not give.
pub fn schema(crd: &CustomResourceDefinition) -> &JSONSchemaProps {
    crd.spec.versions[0]
        .schema
        .as_ref()
        .and_then(|validation| validation.open_api_v3_schema.as_ref())
        .expect("every definition of this project has a schema")
}

fn tidied(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    crd.metadata.labels = Some([(metadata::PART_OF.into(), metadata::NAME.into())].into());
    // Helm must not delete the definitions, and with them every object, on uninstall.
    crd.metadata.annotations = Some([("helm.sh/resource-policy".into(), "keep".into())].into());
    let root = crd.spec.versions[0]
        .schema
        .as_mut()
        .and_then(|validation| validation.open_api_v3_schema.as_mut())
        .expect("kube derives a schema");
    root.title = None;
    tidy(root);
    // Named so that a rule about the name can point at it; the API server knows the rest.
    let name = JSONSchemaProps {
        type_: Some("string".into()),
        ..Default::default()
    };
    let object_meta = JSONSchemaProps {
        type_: Some("object".into()),
        properties: Some([("name".into(), name)].into()),
        ..Default::default()
    };
    let properties = root.properties.get_or_insert_default();
    properties.insert("metadata".into(), object_meta);
    // Readiness tools take an object without status for ready: an object that nobody has looked
    // at yet must say so.
    properties
        .get_mut("status")
        .expect("every kind has a status")
        .default = Some(JSON(json!({"observedGeneration": -1})));
    crd
}

/// Drops `nullable` (null would be a third state beside set and unset, and rules would see it as
/// set; without it the API server drops nulls) and unwraps descriptions into paragraphs.
fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(description) = &mut schema.description {
        *description = unwrapped(description);
    }
    for child in schema
        .properties
        .iter_mut()
        .flat_map(|map| map.values_mut())
    {
        tidy(child);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        tidy(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        tidy(values);
    }
}

fn unwrapped(text: &str) -> String {
    text.split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join("\n\n")
}

/// Bounds are floats in the definition's type; `4096.0` would only puzzle readers.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(whole) = whole(number) {
                *number = whole.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// The integer that a float stands for, where it stands for one exactly.
pub(super) fn whole(number: &Number) -> Option<i64> {
    /// Beyond 2^53 not every integer is a float.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let float = number.as_f64().filter(|_| number.is_f64())?;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be exact")]
    let whole = float as i64;
    (float.fract() == 0.0 && float.abs() <= EXACT).then_some(whole)
}

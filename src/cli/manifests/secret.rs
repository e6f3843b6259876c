//! Secrets in files: their values become key material at once, and nothing else is kept of them.
//! Must never say anything about a value but that it cannot be read.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use kube::api::ObjectMeta;
use serde_json::Value;
use zeroize::{Zeroize as _, Zeroizing};

use super::fault::Fault;
use super::path::FieldPath;
use crate::material::KeyMaterial;
use crate::policy::name::Name;

/// A Secret from a file.
pub struct SecretManifest {
    /// Its metadata.
    pub meta: ObjectMeta,
    /// Its values.
    pub values: BTreeMap<Name, KeyMaterial>,
}

/// Takes the values out of a Secret, `stringData` over `data`, as the API server does it.
pub fn take_values(secret: &mut Value) -> (BTreeMap<Name, KeyMaterial>, Vec<Fault>) {
    let mut values = BTreeMap::new();
    let mut faults = Vec::new();
    for (field, encoded) in [("data", true), ("stringData", false)] {
        let path = FieldPath::root().field(field);
        let found = match secret.get_mut(field).map(Value::take) {
            None | Some(Value::Null) => continue,
            Some(Value::Object(found)) => found,
            Some(_) => {
                faults.push(Fault::of_value(path, "want a mapping"));
                continue;
            }
        };
        for (name, value) in found {
            if !is_data_key(&name) {
                faults.push(Fault::of_name(
                    path.clone(),
                    "a data key is of at most 253 letters, digits, '-', '_' and '.', and neither '.' nor begins with '..'",
                ));
            }
            match (value, encoded) {
                (Value::String(text), false) => {
                    values.insert(Name::from(name), KeyMaterial::new(text.into_bytes()));
                }
                (Value::String(mut text), true) => {
                    match decoded(&text) {
                        Some(bytes) => {
                            drop(values.insert(Name::from(name), KeyMaterial::new(bytes)))
                        }
                        None => faults.push(Fault::of_value(
                            path.field(&name),
                            "is not base64; put plain text under stringData",
                        )),
                    }
                    text.zeroize();
                }
                (Value::Null, _) => {}
                (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_), _) => {
                    faults.push(Fault::of_value(
                        path.field(&name),
                        "want a text; put it in quotes",
                    ));
                }
            }
        }
    }
    (values, faults)
}

/// As the API server has it. What is no such key is not repeated: it may be the value.
fn is_data_key(name: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=253).contains(&name.len())
        && name.chars().all(inside)
        && name != "."
        && !name.starts_with("..")
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    // Folded over lines it is still base64, and what is left over in the last letter is nobody's.
    let lines = |c: &char| !matches!(c, '\r' | '\n');
    let joined: Zeroizing<String> = Zeroizing::new(text.chars().filter(lines).collect());
    let config = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    let engine = GeneralPurpose::new(&STANDARD, config);
    engine.decode(joined.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn exposed(values: &BTreeMap<Name, KeyMaterial>, key: &str) -> Vec<u8> {
        values[key].expose().to_vec()
    }

    #[test]
    fn plain_text_goes_over_base64_and_nothing_stays_behind() {
        let mut secret =
            json!({"data": {"a": "YWJj\nZGVm", "b": "eA=="}, "stringData": {"b": "y\n"}});
        let (values, faults) = take_values(&mut secret);
        assert_eq!(faults, []);
        assert_eq!(
            (exposed(&values, "a"), exposed(&values, "b")),
            (b"abcdef".to_vec(), b"y".to_vec())
        );
        assert_eq!(secret, json!({"data": null, "stringData": null}));
    }

    #[test]
    fn what_is_no_value_is_named_and_not_shown() {
        let mut secret = json!({"data": {"a": "sk-ant-api03-CANARY", "b": 1}, "stringData": ["x"]});
        let (values, faults) = take_values(&mut secret);
        assert!(values.is_empty());
        let paths: Vec<_> = faults.iter().map(|fault| fault.path.to_string()).collect();
        assert_eq!(paths, ["data.a", "data.b", "stringData"]);
        assert!(!format!("{faults:?}").contains("CANARY"));
    }
}

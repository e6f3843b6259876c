//! What a revocation changes in an ApiKeyRef, and how it is undone.
//! Must not talk to anybody.

use serde_json::{Map, Value, json};

use crate::policy::digest::Fingerprint;
use crate::policy::name::NamespacedName;

/// A revocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// The version that is revoked; `None` is the key with all versions, also later ones.
    pub version: Option<Fingerprint>,
}

// === impl Change ===

impl Change {
    /// What is revoked, in words.
    pub fn what(&self, key: &NamespacedName) -> String {
        match self.version {
            Some(version) => format!("version {version} of ApiKeyRef {key}"),
            None => format!("ApiKeyRef {key}"),
        }
    }

    /// Fields of the spec as they are to be; `None` when they are so already. What else is
    /// revoked stays revoked.
    pub fn of(&self, spec: &Value) -> Option<Map<String, Value>> {
        let fields = match self.version {
            None if spec["state"] == "Revoked" => return None,
            None => json!({"state": "Revoked"}),
            Some(version) => {
                let mut revoked = spec["revokedFingerprints"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
                let version = Value::from(version.to_string());
                if revoked.contains(&version) {
                    return None;
                }
                revoked.push(version);
                json!({"revokedFingerprints": revoked})
            }
        };
        fields.as_object().cloned()
    }

    /// The same fields as they were, for a merge patch.
    pub fn undone(&self, before: &Value) -> Value {
        let field = self.field();
        json!({field: before[field]})
    }

    /// The same for whoever edits a file.
    pub fn in_words(&self, spec: &Value) -> String {
        let field = self.field();
        let changed = self.of(spec).unwrap_or_default();
        match changed.get(field) {
            Some(Value::String(text)) => format!("spec.{field}: {text}"),
            Some(value) => format!("spec.{field}: {value}"),
            None => format!("spec.{field}"),
        }
    }

    fn field(&self) -> &'static str {
        match self.version {
            None => "state",
            Some(_) => "revokedFingerprints",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Change = Change { version: None };

    fn version(text: &str) -> Change {
        Change {
            version: Fingerprint::parse(text),
        }
    }

    fn changed(change: Change, spec: Value) -> Option<Value> {
        change.of(&spec).map(Value::from)
    }

    #[test]
    fn a_key_is_revoked_by_its_state_once() {
        assert_eq!(changed(WHOLE, json!({})), Some(json!({"state": "Revoked"})));
        assert_eq!(changed(WHOLE, json!({"state": "Revoked"})), None);
        assert_eq!(WHOLE.undone(&json!({})), json!({"state": null}));
        assert_eq!(
            WHOLE.undone(&json!({"state": "Active"})),
            json!({"state": "Active"})
        );
    }

    #[test]
    fn a_version_is_revoked_beside_those_that_are_already() {
        let (first, second) = ("1a2b3c4d5e6f7081", "00000000000000ff");
        let one = json!({"revokedFingerprints": [first]});
        let both = json!({"revokedFingerprints": [first, second]});
        assert_eq!(changed(version(first), json!({})), Some(one.clone()));
        assert_eq!(changed(version(second), one.clone()), Some(both));
        assert_eq!(changed(version(first), one.clone()), None);
        assert_eq!(version(second).undone(&one), one);
        assert_eq!(
            version(first).undone(&json!({})),
            json!({"revokedFingerprints": null})
        );
    }

    #[test]
    fn whoever_edits_a_file_is_told_what_to_write() {
        assert_eq!(WHOLE.in_words(&json!({})), "spec.state: Revoked");
        assert_eq!(
            version("1a2b3c4d5e6f7081")
                .in_words(&json!({"revokedFingerprints": ["00000000000000ff"]})),
            r#"spec.revokedFingerprints: ["00000000000000ff","1a2b3c4d5e6f7081"]"#
        );
    }
}

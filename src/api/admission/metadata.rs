//! What an API server demands of the metadata of any object, ours or not.
//! Must not know what any label or annotation means.

use serde_json::{Value, json};

use super::{ANYTHING, Problem, member};

/// Bytes of all annotations together.
const MOST_ANNOTATIONS: usize = 256 * 1024;

/// How an object of some kind may be called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Naming {
    /// Dot-separated DNS labels.
    Subdomain,
    /// One DNS label.
    Label,
}

/// The fields of metadata and their types. What only a cluster sets is taken as it is.
pub fn schema() -> Value {
    let text = json!({"type": "string"});
    let texts = json!({"type": "object", "additionalProperties": text});
    let time = json!({"type": "string", "format": "date-time"});
    json!({
        "type": "object",
        "properties": {
            "annotations": texts,
            "creationTimestamp": time,
            "deletionGracePeriodSeconds": {"type": "integer"},
            "deletionTimestamp": time,
            "finalizers": {"type": "array", "items": text},
            "generateName": text,
            "generation": {"type": "integer"},
            "labels": texts,
            "managedFields": *ANYTHING,
            "name": text,
            "namespace": text,
            "ownerReferences": *ANYTHING,
            "resourceVersion": text,
            "selfLink": text,
            "uid": text,
        },
    })
}

/// What is wrong with the values of an object's metadata, where their types are right.
///
/// A name must be there: what a cluster would make of `generateName` cannot be referred to.
pub fn problems(metadata: &Value, naming: Naming) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut find = |field: &str, message: &str| {
        problems.push(Problem::new(format!("metadata.{field}"), message));
    };
    match &metadata["name"] {
        Value::String(name) if naming.allows(name) => {}
        Value::String(_) => find("name", naming.rule()),
        Value::Null => find("name", "Required value"),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {}
    }
    match metadata["namespace"].as_str() {
        Some(name) if !Naming::Label.allows(name) => find("namespace", Naming::Label.rule()),
        Some(_) | None => {}
    }
    for (key, value) in entries(&metadata["labels"]) {
        let field = member("labels", key);
        if !is_label_key(key) {
            find(&field, BAD_KEY);
        }
        if value.as_str().is_some_and(|value| !is_label_value(value)) {
            find(&field, BAD_VALUE);
        }
    }
    let mut bytes = 0;
    for (key, value) in entries(&metadata["annotations"]) {
        bytes += key.len() + value.as_str().map_or(0, str::len);
        if !is_label_key(&key.to_lowercase()) {
            find(&member("annotations", key), BAD_KEY);
        }
    }
    if bytes > MOST_ANNOTATIONS {
        find(
            "annotations",
            "Too long: may not be more than 262144 bytes together",
        );
    }
    let finalizers = metadata["finalizers"].as_array().into_iter().flatten();
    for (i, finalizer) in finalizers.enumerate() {
        if finalizer.as_str().is_some_and(|name| !is_label_key(name)) {
            find(&format!("finalizers[{i}]"), BAD_KEY);
        }
    }
    problems
}

const BAD_KEY: &str = "must be a name of at most 63 letters, digits, '-', '_' and '.', with a \
    letter or digit at both ends, after an optional DNS prefix and '/'";

const BAD_VALUE: &str = "must be a label value: at most 63 letters, digits, '-', '_' and '.', \
    with a letter or digit at both ends, or empty";

// === impl Naming ===

impl Naming {
    /// Whether an object may be named so.
    pub fn allows(self, name: &str) -> bool {
        match self {
            Self::Subdomain => name.len() <= 253 && name.split('.').all(is_dns_label),
            Self::Label => name.len() <= 63 && is_dns_label(name),
        }
    }

    const fn rule(self) -> &'static str {
        match self {
            Self::Subdomain => {
                "must be an object's name: at most 253 of a-z, 0-9, '-' and '.', with a letter or \
                 digit at both ends"
            }
            Self::Label => {
                "must be a DNS label: at most 63 of a-z, 0-9 and '-', with a letter or digit at \
                 both ends"
            }
        }
    }
}

/// A DNS label of any length: those of a subdomain are only bounded together.
fn is_dns_label(name: &str) -> bool {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.chars().all(inside) && !name.starts_with('-') && !name.ends_with('-')
}

/// Whether it can be a key of labels. So are keys of annotations in small letters, and finalizers.
pub fn is_label_key(key: &str) -> bool {
    let name = match key.split_once('/') {
        Some((prefix, _)) if !Naming::Subdomain.allows(prefix) => return false,
        Some((_, name)) => name,
        None => key,
    };
    !name.is_empty() && is_label_value(name)
}

/// Whether it can be the value of a label.
pub fn is_label_value(value: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let end = |c: char| c.is_ascii_alphanumeric();
    value.is_empty()
        || value.len() <= 63
            && value.chars().all(inside)
            && value.starts_with(end)
            && value.ends_with(end)
}

fn entries(map: &Value) -> impl Iterator<Item = (&String, &Value)> {
    map.as_object().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(metadata: Value, naming: Naming) -> Vec<String> {
        let problems = problems(&metadata, naming).into_iter();
        problems.map(|problem| problem.field).collect()
    }

    #[test]
    fn names_are_as_long_as_their_kind_allows_and_no_longer() {
        let named = |name: String, naming| fields(json!({"name": name}), naming);
        for (naming, longest) in [(Naming::Subdomain, 253), (Naming::Label, 63)] {
            assert_eq!(named("a".repeat(longest), naming), [""; 0]);
            assert_eq!(named("a".repeat(longest + 1), naming), ["metadata.name"]);
        }
        assert_eq!(named("a.b".into(), Naming::Subdomain), [""; 0]);
        assert_eq!(named("a.b".into(), Naming::Label), ["metadata.name"]);
    }

    #[test]
    fn keys_and_values_are_of_few_letters_and_the_prefix_is_a_domain() {
        let good = json!({
            "name": "a",
            "labels": {"a": "", "example.com/A_b.c": "x"},
            "annotations": {"Example.COM/a": "any text, \n even lines"},
            "finalizers": ["example.com/a"],
        });
        assert_eq!(fields(good, Naming::Subdomain), [""; 0]);
        let bad = json!({
            "name": "a",
            "labels": {"a b": "", "/a": "", "x/": "", "Example.com/a": "", "v": "-", "a/b/c": ""},
            "annotations": {"": "x"},
            "finalizers": ["a b"],
        });
        let expected = [
            "metadata.labels./a",
            "metadata.labels[\"Example.com/a\"]",
            "metadata.labels.a b",
            "metadata.labels.a/b/c",
            "metadata.labels.v",
            "metadata.labels.x/",
            "metadata.annotations[\"\"]",
            "metadata.finalizers[0]",
        ];
        assert_eq!(fields(bad, Naming::Subdomain), expected);
    }

    #[test]
    fn annotations_are_bounded_together() {
        let of = |bytes: usize| {
            let annotations = json!({"a": "x".repeat(bytes - 2), "b": ""});
            fields(
                json!({"name": "a", "annotations": annotations}),
                Naming::Label,
            )
        };
        assert_eq!(of(MOST_ANNOTATIONS), [""; 0]);
        assert_eq!(of(MOST_ANNOTATIONS + 1), ["metadata.annotations"]);
    }
}

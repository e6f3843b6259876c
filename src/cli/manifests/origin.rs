//! Where an object of ours is written, for whoever finds something about it later.
//! Must not hold more of the object than the names of its entries.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::path::{FieldPath, Step};
use super::place::{Mark, Place};

/// Where an object is written.
#[derive(Clone, Debug)]
pub struct Origin {
    file: Arc<str>,
    place: Place,
    /// Where in their lists entries are: `spec.roles[admin]` is number 3.
    entries: BTreeMap<String, usize>,
}

// === impl Origin ===

impl Origin {
    /// Of an object that is written at a place.
    pub fn new(file: Arc<str>, place: Place, object: &Value) -> Self {
        let mut entries = BTreeMap::new();
        for list in ["spec.roles", "spec.gateways", "spec.authentication.issuers"] {
            let value = list
                .split('.')
                .try_fold(object, |value, field| value.get(field));
            let items = value
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .enumerate();
            let named = items.filter_map(|(i, item)| Some((item.get("name")?.as_str()?, i)));
            entries.extend(named.map(|(name, i)| (format!("{list}[{name}]"), i)));
        }
        for list in ["subjects", "usedBy", "blockedSubjects"] {
            let items = object["spec"][list].as_array().into_iter().flatten();
            for (i, item) in items.enumerate() {
                let of_item = subjects(item, &object["metadata"]["namespace"]).into_iter();
                entries.extend(of_item.map(|subject| (format!("spec.{list}[{subject}]"), i)));
            }
        }
        Self {
            file,
            place,
            entries,
        }
    }

    /// The file, and where a field of the object is in it, or what is nearest around it.
    pub fn of(&self, field: &str) -> (&str, Mark) {
        let mut here = FieldPath::root();
        for step in FieldPath::parse(field).steps() {
            let next = here.with(step.clone());
            here = match step {
                Step::Field(_) | Step::Item(_) => next,
                Step::Entry(_) => match self.entries.get(&next.to_string()) {
                    Some(index) => here.with(Step::Item(*index)),
                    None => break,
                },
            };
        }
        (&self.file, self.place.mark(&here))
    }
}

/// An entry of a list of subjects as the command line writes it: several, when it is several
/// client keys.
fn subjects(entry: &Value, own_namespace: &Value) -> Vec<String> {
    let text = |field: &str| entry[field].as_str();
    let Some(kind) = text("kind").map(str::to_lowercase) else {
        return Vec::new();
    };
    if let Some(digests) = entry["sha256"].as_array() {
        let digests = digests
            .iter()
            .filter_map(|digest| digest.as_str()?.get(..16));
        return digests
            .map(|digest| format!("{kind}:sha256:{digest}"))
            .collect();
    }
    let scope = match text("issuer") {
        Some(issuer) => Some(format!("{issuer}:")),
        None => text("namespace")
            .or_else(|| own_namespace.as_str())
            .map(|namespace| format!("{namespace}/")),
    };
    let subject = scope.zip(text("name"));
    subject
        .map(|(scope, name)| format!("{kind}:{scope}{name}"))
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::document::documents;
    use super::super::files::Input;
    use super::*;

    #[test]
    fn entries_are_found_by_name_and_what_is_not_there_around_it() {
        let text =
            "spec:\n  roles:\n  - name: user\n    models: [a]\n  - name: batch\n    models: [b]\n";
        let (mut documents, _) = documents(&Input {
            name: "a.yaml".into(),
            text: text.to_owned().into(),
        });
        let document = documents.remove(0);
        let origin = Origin::new(document.file, document.place, &document.value);
        let line = |field: &str| origin.of(field).1.line;
        assert_eq!(line("spec.roles[batch].models"), 6);
        assert_eq!(line("spec.roles[1].models"), 6);
        assert_eq!(
            line("spec.roles[admin].models"),
            3,
            "a built-in role: at the list"
        );
        assert_eq!(origin.of("").0, "a.yaml");
    }

    #[test]
    fn subjects_are_found_by_what_the_command_line_calls_them() {
        let text = "\
metadata: {namespace: search}
spec:
  subjects:
  - {kind: ServiceAccount, name: own}
  - {kind: ServiceAccount, name: other, namespace: batch}
  - {kind: Group, name: 'data:science', issuer: corp}
  - {kind: ClientKey, sha256: [1a2b3c4d5e6f70810000]}
";
        let (mut documents, _) = documents(&Input {
            name: "a.yaml".into(),
            text: text.to_owned().into(),
        });
        let document = documents.remove(0);
        let origin = Origin::new(document.file, document.place, &document.value);
        let line = |subject: &str| origin.of(&format!("spec.subjects[{subject}]")).1.line;
        assert_eq!(line("serviceaccount:search/own"), 4);
        assert_eq!(line("serviceaccount:batch/other"), 5);
        assert_eq!(line("group:corp:data:science"), 6);
        assert_eq!(line("clientkey:sha256:1a2b3c4d5e6f7081"), 7);
        assert_eq!(line("user:corp:nobody"), 4, "at the list");
    }
}

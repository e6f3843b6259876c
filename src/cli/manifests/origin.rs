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
}

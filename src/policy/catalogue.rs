//! Models Anthropic is known to serve or to have served. A new model needs no entry here to
//! be allowed; entries serve aliases and findings only.
//! Must not decide access.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::model::{ModelPattern, ModelSet};
use super::name::Name;

/// What is known of one model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Model {
    /// The other id of the same model: dated for undated, and the other way round.
    pub alias: Option<Name>,
    /// When Anthropic stops, or stopped, serving it, if that is announced.
    pub retires_at: Option<Timestamp>,
}

/// Models by id.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Catalogue(BTreeMap<Name, Model>);

/// Ids, aliases and announced retirements, as of 2026-11-23. Sources: the model literals of
/// Anthropic's Python SDK 2.12.0 and its deprecation table; Anthropic's page on model ids
/// (2026-08-13), which says that ids from 4.6 on are pinned and undated, and that undated
/// ids up to 4.5 are aliases of a dated one.
const BUILT_IN: &[(&str, Option<&str>, Option<&str>)] = &[
    ("claude-fable-5", None, None),
    ("claude-fable-5-1", None, None),
    ("claude-fable-5-2", None, None),
    ("claude-haiku-4-5", Some("claude-haiku-4-5-20251001"), None),
    ("claude-haiku-5-5", None, None),
    ("claude-mythos-5", None, None),
    ("claude-mythos-5-1", None, None),
    ("claude-mythos-5-2", None, None),
    ("claude-mythos-preview", None, None),
    ("claude-opus-4-20250514", None, Some("2026-06-15T00:00:00Z")),
    ("claude-opus-4-5", Some("claude-opus-4-5-20251101"), None),
    ("claude-opus-4-6", None, None),
    ("claude-opus-4-7", None, None),
    ("claude-opus-4-8", None, None),
    ("claude-opus-5", None, None),
    ("claude-opus-5-5", None, None),
    (
        "claude-sonnet-4-20250514",
        None,
        Some("2026-06-15T00:00:00Z"),
    ),
    (
        "claude-sonnet-4-5",
        Some("claude-sonnet-4-5-20250929"),
        Some("2026-11-30T00:00:00Z"),
    ),
    ("claude-sonnet-4-6", None, None),
    ("claude-sonnet-5", None, None),
    ("claude-sonnet-5-5", None, None),
];

impl Catalogue {
    /// The catalogue that ships with this release.
    pub fn built_in() -> Self {
        let mut models = BTreeMap::new();
        for (id, alias, retires_at) in BUILT_IN {
            let retires_at = retires_at.and_then(|text| text.parse().ok());
            let mut add = |id: &str, alias: Option<&str>| {
                let alias = alias.map(Name::from);
                models.insert(Name::from(id), Model { alias, retires_at });
            };
            add(id, *alias);
            if let Some(dated) = alias {
                add(dated, Some(id));
            }
        }
        Self(models)
    }

    /// What is known of a model.
    pub fn get(&self, id: &str) -> Option<&Model> {
        self.0.get(id)
    }

    /// Whether any known model has this prefix.
    pub fn has_prefix(&self, prefix: &str) -> bool {
        self.0.keys().any(|id| id.starts_with(prefix))
    }

    /// The set with the alias of every exact id added, so that whoever reads it needs no
    /// catalogue.
    pub fn with_aliases(&self, set: &ModelSet) -> ModelSet {
        let alias = |pattern: &ModelPattern| match pattern {
            ModelPattern::Exact(id) => self.get(id)?.alias.clone().map(ModelPattern::Exact),
            ModelPattern::Prefix(_) => None,
        };
        set.iter()
            .cloned()
            .chain(set.iter().filter_map(alias))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_id_covers_its_dated_and_undated_alias() {
        let catalogue = Catalogue::built_in();
        let set = |id: &str| -> ModelSet { [ModelPattern::Exact(id.into())].into_iter().collect() };
        for id in ["claude-haiku-4-5", "claude-haiku-4-5-20251001"] {
            let both = catalogue.with_aliases(&set(id));
            assert!(both.allows("claude-haiku-4-5") && both.allows("claude-haiku-4-5-20251001"));
            assert!(!both.allows("claude-haiku-5-5"));
        }
        assert_eq!(
            catalogue.with_aliases(&set("claude-opus-5")),
            set("claude-opus-5")
        );
    }

    #[test]
    fn every_date_in_the_table_is_a_date() {
        let dated = BUILT_IN.iter().filter(|(_, _, retires)| retires.is_some());
        for (id, _, _) in dated {
            let known = Catalogue::built_in();
            assert!(
                known
                    .get(id)
                    .is_some_and(|model| model.retires_at.is_some()),
                "{id}"
            );
        }
    }
}

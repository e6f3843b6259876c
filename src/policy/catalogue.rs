//! Models Anthropic is known to serve or to have served. A new model needs no entry here to
//! be allowed; entries serve aliases and findings only. The one that ships is
//! `catalogue.json` beside this file, in the very format a user replaces it with.
//! Must not decide access.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::limits::MaxTokens;
use super::model::{ModelPattern, ModelSet};
use super::name::Name;
use super::nearest::nearest;

/// What is known of one model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Model {
    /// The other id of the same model: dated for undated, and the other way round.
    pub alias: Option<Name>,
    /// Most output tokens of one request, where Anthropic says so.
    pub max_output_tokens: Option<MaxTokens>,
    /// First instant at which Anthropic no longer serves it, if that is announced. A date it
    /// promises not to retire it before announces nothing.
    pub retires_at: Option<Timestamp>,
}

/// Models by id.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "Document")]
pub struct Catalogue {
    source: String,
    as_of: Date,
    models: BTreeMap<Name, Model>,
}

/// Why a text is no catalogue.
#[derive(Debug, thiserror::Error)]
pub enum NotACatalogue {
    /// It is no JSON, has a member the format does not know, or a value of the wrong type.
    #[error("not a model catalogue: {0}")]
    Format(#[from] serde_json::Error),
}

/// The layout of the file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    /// Who says so.
    source: String,
    /// The day it was true.
    as_of: Date,
    models: Vec<Entry>,
}

/// One model, under one or both of its ids.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    id: String,
    alias: Option<String>,
    max_output_tokens: Option<MaxTokens>,
    /// Served until this day begins, in UTC.
    retires_at: Option<Date>,
}

/// What is wrong with an entry.
#[derive(Debug, thiserror::Error)]
enum BadEntry {
    #[error("models[{0}]: '{1}' is no model id; give the exact id, without '*' or blanks")]
    Id(usize, String),
    #[error("models[{0}]: '{1}' is already the id or alias of models[{2}]; name every model once")]
    Twice(usize, String, usize),
    #[error("models[{0}].retiresAt: {1} is out of range; give the day Anthropic announced")]
    Date(usize, Date),
}

const BUILT_IN: &str = include_str!("catalogue.json");

impl Catalogue {
    /// The catalogue that ships with this release.
    pub fn built_in() -> Self {
        Self::parse(BUILT_IN).expect("a test reads the file that ships")
    }

    /// Reads a catalogue from JSON. YAML reads into the same type through its `Deserialize`.
    ///
    /// # Errors
    /// What is wrong and where: an unknown member, a bad date, an id that is none, or one that
    /// stands for two models.
    pub fn parse(json: &str) -> Result<Self, NotACatalogue> {
        Ok(serde_json::from_str(json)?)
    }

    /// Who says so.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The day it was true.
    pub fn as_of(&self) -> Date {
        self.as_of
    }

    /// What is known of a model.
    pub fn get(&self, id: &str) -> Option<&Model> {
        self.models.get(id)
    }

    /// Every id and alias with what is known of it, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Model)> {
        self.models.iter()
    }

    /// Every known model that an entry of a list stands for.
    pub fn matching<'a>(
        &'a self,
        pattern: &'a ModelPattern,
    ) -> impl Iterator<Item = (&'a Name, &'a Model)> {
        self.iter().filter(|(id, _)| pattern.matches(id))
    }

    /// What an entry that stands for no known model was probably meant to be, among the models
    /// that are served at `now`: a family left open, or a slip of a few letters.
    pub fn nearest(&self, pattern: &ModelPattern, now: Timestamp) -> Option<ModelPattern> {
        let served = || {
            let served = self.iter().filter(move |(_, model)| model.is_served(now));
            served.map(|(id, _)| &**id)
        };
        match pattern {
            ModelPattern::Exact(id) => {
                let family = format!("{id}-");
                if served().any(|known| known.starts_with(&family)) {
                    return Some(ModelPattern::Prefix(family.into()));
                }
                nearest(id, served()).map(|id| ModelPattern::Exact(id.into()))
            }
            ModelPattern::Prefix(prefix) => {
                let families = served()
                    .flat_map(|id| id.match_indices('-').map(|(dash, _)| &id[..=dash]))
                    .chain(served());
                nearest(prefix, families).map(|prefix| ModelPattern::Prefix(prefix.into()))
            }
        }
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

// === impl Model ===

impl Model {
    /// Whether Anthropic serves it then, as far as is announced.
    pub fn is_served(&self, at: Timestamp) -> bool {
        self.retires_at.is_none_or(|end| at < end)
    }
}

impl TryFrom<Document> for Catalogue {
    type Error = BadEntry;

    fn try_from(document: Document) -> Result<Self, BadEntry> {
        let mut models = BTreeMap::new();
        let mut places: BTreeMap<Name, usize> = BTreeMap::new();
        for (place, entry) in document.models.into_iter().enumerate() {
            let mut name = |id: &str| {
                let known = ModelPattern::parse(id);
                let Ok(ModelPattern::Exact(name)) = known else {
                    return Err(BadEntry::Id(place, id.to_owned()));
                };
                match places.insert(name.clone(), place) {
                    Some(first) => Err(BadEntry::Twice(place, id.to_owned(), first)),
                    None => Ok(name),
                }
            };
            let id = name(&entry.id)?;
            let alias = entry.alias.as_deref().map(name).transpose()?;
            let retires_at = entry
                .retires_at
                .map(|day| midnight(day).ok_or(BadEntry::Date(place, day)))
                .transpose()?;
            let model = |alias| Model {
                alias,
                max_output_tokens: entry.max_output_tokens,
                retires_at,
            };
            if let Some(alias) = &alias {
                models.insert(alias.clone(), model(Some(id.clone())));
            }
            models.insert(id, model(alias));
        }
        Ok(Self {
            source: document.source,
            as_of: document.as_of,
            models,
        })
    }
}

/// The instant at which a day begins in UTC.
fn midnight(day: Date) -> Option<Timestamp> {
    let start = day.to_datetime(Time::midnight()).to_zoned(TimeZone::UTC);
    Some(start.ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(id: &str) -> ModelPattern {
        ModelPattern::parse(id).expect("a pattern")
    }

    #[test]
    fn an_exact_id_covers_its_dated_and_undated_alias() {
        let catalogue = Catalogue::built_in();
        let set = |id: &str| -> ModelSet { [exact(id)].into_iter().collect() };
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
    fn both_ids_of_a_model_say_the_same_of_it() {
        let catalogue = Catalogue::built_in();
        let known = |id: &str| catalogue.get(id).expect("known").clone();
        assert_eq!(
            known("claude-sonnet-4-5-20250929"),
            Model {
                alias: Some("claude-sonnet-4-5".into()),
                ..known("claude-sonnet-4-5")
            }
        );
        assert_eq!(
            known("claude-sonnet-4-5"),
            Model {
                alias: Some("claude-sonnet-4-5-20250929".into()),
                max_output_tokens: None,
                retires_at: "2026-11-30T00:00:00Z".parse().ok(),
            }
        );
        let haiku = known("claude-haiku-4-5-20251001").max_output_tokens;
        assert_eq!(haiku.map(MaxTokens::get), Some(64_000));
    }

    #[test]
    fn what_is_wrong_with_a_catalogue_is_said_with_its_place() {
        let with = |models: &str| {
            let text = format!(r#"{{"source": "x", "asOf": "2026-11-23", "models": [{models}]}}"#);
            Catalogue::parse(&text).map_err(|error| error.to_string())
        };
        assert!(with(r#"{"id": "claude-opus-5"}"#).is_ok());
        for (bad, says) in [
            (r#"{"id": "a", "retired": true}"#, "unknown field `retired`"),
            (
                r#"{"id": "a", "retiresAt": "2026-02-30"}"#,
                "must be in range `1..=28`",
            ),
            (
                r#"{"id": "a", "retiresAt": "9999-12-31"}"#,
                "models[0].retiresAt",
            ),
            (r#"{"id": "a", "maxOutputTokens": 0}"#, "nonzero"),
            (r#"{"alias": "a"}"#, "missing field `id`"),
            (
                r#"{"id": "claude-*"}"#,
                "models[0]: 'claude-*' is no model id",
            ),
            (
                r#"{"id": "a"}, {"id": "a"}"#,
                "models[1]: 'a' is already the id or alias of models[0]",
            ),
            (
                r#"{"id": "a", "alias": "b"}, {"id": "b"}"#,
                "models[1]: 'b' is already",
            ),
            (r#"{"id": "a", "alias": "a"}"#, "models[0]: 'a' is already"),
        ] {
            let error = with(bad).expect_err(bad);
            assert!(error.contains(says), "{bad}: {error}");
        }
        let error = Catalogue::parse(r#"{"models": []}"#).expect_err("no source");
        assert!(error.to_string().contains("missing field `source`"));
    }

    #[test]
    fn an_unknown_name_finds_the_nearest_that_is_served() {
        let catalogue = Catalogue::built_in();
        let now = "2026-11-24T00:00:00Z".parse().expect("a time");
        let meant = |text: &str| {
            let found = catalogue.nearest(&exact(text), now);
            found.map(|pattern| pattern.to_string())
        };
        for (typed, want) in [
            ("claude-haiku-45", "claude-haiku-4-5"),
            ("claude-haiku-4-20250514", "claude-haiku-4-5-20251001"),
            ("claude-opus", "claude-opus-*"),
            ("claude-haku-*", "claude-haiku-*"),
            ("cluade-*", "claude-*"),
            ("Claude-Opus-5", "claude-opus-5"),
        ] {
            assert_eq!(meant(typed).as_deref(), Some(want), "{typed}");
        }
        assert_eq!(meant("gpt-4o"), None);
        let later = "2026-12-01T00:00:00Z".parse().expect("a time");
        let slip = exact("claude-sonnet-45");
        assert_eq!(
            catalogue.nearest(&slip, now),
            Some(exact("claude-sonnet-4-5"))
        );
        assert_ne!(
            catalogue.nearest(&slip, later),
            Some(exact("claude-sonnet-4-5"))
        );
    }
}

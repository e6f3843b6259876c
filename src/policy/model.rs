//! Which models an entry stands for: an exact id, or a prefix.
//! Must not know which models exist; that is the catalogue's.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::name::{Name, check_name};

/// One entry of a model list.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ModelPattern {
    /// Just this id.
    Exact(Name),
    /// Every id that starts so; the empty prefix is every model.
    Prefix(Name),
}

/// A sorted list of entries without repeats. Empty allows nothing.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<ModelPattern>")]
pub struct ModelSet(Vec<ModelPattern>);

/// Why an entry is no model pattern.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("model '{0}' must be an exact id or a prefix with one trailing '*'")]
pub struct NotAModel(String);

// === impl ModelPattern ===

impl ModelPattern {
    /// Reads an entry.
    ///
    /// # Errors
    /// When it is empty, too long, has a control character, or a `*` that is not last.
    pub fn parse(text: &str) -> Result<Self, NotAModel> {
        let wrong = || NotAModel(text.to_owned());
        check_name(text).map_err(|_| wrong())?;
        let (body, prefix) = match text.strip_suffix('*') {
            Some(body) => (body, true),
            None => (text, false),
        };
        if body.contains('*') || body.contains(char::is_whitespace) {
            return Err(wrong());
        }
        Ok(if prefix {
            Self::Prefix(body.into())
        } else {
            Self::Exact(body.into())
        })
    }

    /// Whether the entry stands for this model id, byte for byte.
    pub fn matches(&self, model: &str) -> bool {
        match self {
            Self::Exact(id) => **id == *model,
            Self::Prefix(prefix) => model.starts_with(&**prefix),
        }
    }

    /// Whether some id, known or not, is one that both entries stand for.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(id), pattern) | (pattern, Self::Exact(id)) => pattern.matches(id),
            (Self::Prefix(a), Self::Prefix(b)) => a.starts_with(&**b) || b.starts_with(&**a),
        }
    }
}

impl Serialize for ModelPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ModelPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

impl fmt::Display for ModelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(id) => f.write_str(id),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

// === impl ModelSet ===

impl ModelSet {
    /// Whether any entry stands for this model id.
    pub fn allows(&self, model: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(model))
    }

    /// Whether some id is allowed by both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let either = |pattern: &ModelPattern| other.0.iter().any(|other| pattern.overlaps(other));
        self.0.iter().any(either)
    }

    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = &ModelPattern> {
        self.0.iter()
    }
}

impl From<Vec<ModelPattern>> for ModelSet {
    fn from(patterns: Vec<ModelPattern>) -> Self {
        patterns.into_iter().collect()
    }
}

impl FromIterator<ModelPattern> for ModelSet {
    fn from_iter<I: IntoIterator<Item = ModelPattern>>(patterns: I) -> Self {
        let mut patterns: Vec<_> = patterns.into_iter().collect();
        patterns.sort();
        patterns.dedup();
        Self(patterns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_only_stands_at_the_end() {
        for bad in ["", "claude-*-4", "**", "*claude", "claude haiku", "a\tb"] {
            assert!(ModelPattern::parse(bad).is_err(), "{bad}");
        }
        let any = ModelPattern::parse("*").expect("one star");
        assert!(any.matches("claude-opus-5") && any.to_string() == "*");
    }

    #[test]
    fn two_lists_overlap_where_one_id_is_in_both() {
        let set = |text: &str| -> ModelSet {
            let patterns = text.split(',').map(ModelPattern::parse);
            patterns.map(|pattern| pattern.expect("pattern")).collect()
        };
        for (a, b, overlap) in [
            ("claude-opus-5", "claude-opus-5", true),
            ("claude-opus-5", "claude-opus-5-5", false),
            ("claude-opus-5", "claude-*", true),
            ("claude-opus-*", "claude-*", true),
            ("claude-opus-*", "claude-haiku-*", false),
            ("x,claude-opus-5-5", "y,claude-opus-*", true),
            ("*", "x", true),
        ] {
            assert_eq!(set(a).overlaps(&set(b)), overlap, "{a} {b}");
            assert_eq!(set(b).overlaps(&set(a)), overlap, "{b} {a}");
        }
    }

    #[test]
    fn an_exact_id_is_not_a_prefix() {
        let set: ModelSet = ["claude-haiku-*", "claude-opus-5"]
            .into_iter()
            .map(|p| ModelPattern::parse(p).expect("pattern"))
            .collect();
        assert!(set.allows("claude-haiku-4-5") && set.allows("claude-opus-5"));
        assert!(!set.allows("claude-opus-5-5") && !set.allows("claude-haiku"));
        assert!(
            !ModelSet::default().allows("claude-opus-5"),
            "empty allows nothing"
        );
    }
}

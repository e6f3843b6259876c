//! Model ids cut into ranges: ids of one range are told apart by none of a number of patterns, so
//! that one id speaks for all of them. Must not know which models exist.

use std::fmt;

use super::model::{ModelPattern, ModelSet};
use super::name::Name;

/// The ranges of some patterns. Together they cover every id, each id once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ranges(Vec<Range>);

/// The ids that its pattern matches and no longer pattern does.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Range {
    pattern: ModelPattern,
    /// One of its ids.
    id: String,
    /// The range of the longest prefix that matches it, too; only "every model" has none.
    within: Option<usize>,
}

/// Ids as people read them: those of a pattern, except those of longer ones.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Models {
    /// These.
    pub pattern: ModelPattern,
    /// But not these.
    pub except: Vec<ModelPattern>,
}

// === impl Ranges ===

impl Ranges {
    /// Cuts by these patterns, and "every model" besides.
    pub fn of<'a>(patterns: impl IntoIterator<Item = &'a ModelPattern>) -> Self {
        let mut patterns: Vec<ModelPattern> = patterns.into_iter().cloned().collect();
        patterns.push(ModelPattern::Prefix(Name::default()));
        // Shorter ones first, so that what contains a range comes before it.
        patterns.sort_by(|a, b| (body(a).len(), a).cmp(&(body(b).len(), b)));
        patterns.dedup();
        let bodies: Vec<&str> = patterns.iter().map(body).collect();
        let mut sorted = bodies.clone();
        sorted.sort_unstable();
        let ranges = patterns.iter().enumerate().map(|(i, pattern)| {
            let contains = |outer: &&usize| {
                let outer = &patterns[**outer];
                matches!(outer, ModelPattern::Prefix(_)) && outer.matches(body(pattern))
            };
            let before: Vec<usize> = (0..patterns.len())
                .filter(|j| *j != i && is_before(&patterns[*j], pattern))
                .collect();
            Range {
                id: match pattern {
                    ModelPattern::Exact(id) => id.to_string(),
                    ModelPattern::Prefix(prefix) => fresh(prefix, &sorted),
                },
                within: before.iter().rev().find(contains).copied(),
                pattern: pattern.clone(),
            }
        });
        Self(ranges.collect())
    }

    /// One id of each range, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|range| range.id.as_str())
    }

    /// Puts ranges of the same value together; `values` are in the order of [`Self::ids`].
    pub fn merged<T: PartialEq>(&self, values: &[T]) -> Vec<(usize, Models)> {
        let outer = |i: usize| self.0[i].within.filter(|outer| values[*outer] == values[i]);
        let outermost = |mut i: usize| {
            while let Some(outer) = outer(i) {
                i = outer;
            }
            i
        };
        let shown: Vec<usize> = (0..self.0.len()).filter(|i| outer(*i).is_none()).collect();
        let models = shown.iter().map(|i| {
            let inside = shown.iter().filter(|j| {
                self.0[**j]
                    .within
                    .is_some_and(|outer| outermost(outer) == *i)
            });
            let models = Models {
                pattern: self.0[*i].pattern.clone(),
                except: inside.map(|j| self.0[*j].pattern.clone()).collect(),
            };
            (*i, models)
        });
        models.collect()
    }
}

/// What of `models` is within `bound`, as patterns again; without a bound all of it.
pub fn within(models: &ModelSet, bound: Option<&ModelSet>) -> ModelSet {
    let Some(bound) = bound else {
        return models.clone();
    };
    let pairs = models
        .iter()
        .flat_map(|model| bound.iter().map(move |bound| (model, bound)));
    let common: Vec<ModelPattern> = pairs.filter_map(|(a, b)| narrower(a, b)).cloned().collect();
    let contained = |pattern: &ModelPattern| {
        common
            .iter()
            .any(|outer| outer != pattern && narrower(outer, pattern) == Some(pattern))
    };
    common
        .iter()
        .filter(|pattern| !contained(pattern))
        .cloned()
        .collect()
}

/// The one of two patterns that the other contains; `None` when they have no id in common.
fn narrower<'a>(a: &'a ModelPattern, b: &'a ModelPattern) -> Option<&'a ModelPattern> {
    let contains = |outer: &ModelPattern, inner: &ModelPattern| match outer {
        ModelPattern::Exact(_) => outer == inner,
        ModelPattern::Prefix(prefix) => body(inner).starts_with(&**prefix),
    };
    if contains(a, b) {
        Some(b)
    } else if contains(b, a) {
        Some(a)
    } else {
        None
    }
}

fn body(pattern: &ModelPattern) -> &str {
    match pattern {
        ModelPattern::Exact(body) | ModelPattern::Prefix(body) => body,
    }
}

/// Whether a range of `a` may contain one of `b`: a shorter prefix, or for an exact id the
/// prefix of the same letters.
fn is_before(a: &ModelPattern, b: &ModelPattern) -> bool {
    let equal = body(a).len() == body(b).len();
    body(a).len() < body(b).len() || equal && matches!(b, ModelPattern::Exact(_))
}

/// An id that begins so and with nothing longer of `bodies`, which are sorted.
fn fresh(prefix: &str, bodies: &[&str]) -> String {
    let taken = |next: char| {
        let id = format!("{prefix}{next}");
        let at = bodies.partition_point(|body| *body < id.as_str());
        bodies.get(at).is_some_and(|body| body.starts_with(&id))
    };
    let next = ('0'..=char::MAX).find(|next| !taken(*next));
    format!(
        "{prefix}{}",
        next.expect("there are more letters than patterns")
    )
}

impl fmt::Display for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pattern.fmt(f)?;
        for (i, pattern) in self.except.iter().enumerate() {
            f.write_str(if i == 0 { " except " } else { ", " })?;
            pattern.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<ModelPattern> {
        let parsed = texts.iter().map(|text| ModelPattern::parse(text));
        parsed.map(|pattern| pattern.expect("a pattern")).collect()
    }

    fn set(texts: &[&str]) -> ModelSet {
        patterns(texts).into_iter().collect()
    }

    #[test]
    fn each_range_has_an_id_that_only_it_and_what_contains_it_matches() {
        let all = patterns(&["a*", "a0*", "a0", "a1", "b", "a00*"]);
        let ranges = Ranges::of(&all);
        let ids: Vec<&str> = ranges.ids().collect();
        assert_eq!(ids, ["0", "b", "a2", "a0", "a1", "a01", "a000"]);
    }

    #[test]
    fn ranges_of_one_value_become_one_with_its_exceptions() {
        let all = patterns(&["claude-*", "claude-haiku-*", "claude-haiku-4-5"]);
        let ranges = Ranges::of(&all);
        let shown = |test: &dyn Fn(&str) -> bool| {
            let values: Vec<bool> = ranges.ids().map(test).collect();
            let merged = ranges.merged(&values).into_iter();
            let held = merged.filter(|(i, _)| values[*i]);
            held.map(|(_, models)| models.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(&|_| true), ["*"]);
        assert_eq!(shown(&|id| id.starts_with("claude-")), ["claude-*"]);
        assert_eq!(
            shown(&|id| !id.starts_with("claude-haiku-")),
            ["* except claude-haiku-*"]
        );
        assert_eq!(
            shown(&|id| id == "claude-haiku-4-5" || !id.starts_with("claude-")),
            ["* except claude-*", "claude-haiku-4-5"]
        );
    }

    #[test]
    fn what_is_within_a_bound_is_the_narrower_of_each_pair() {
        let bound = set(&["claude-haiku-*", "claude-opus-5"]);
        let models = |texts: &[&str]| within(&set(texts), Some(&bound));
        assert_eq!(models(&["*"]), bound);
        assert_eq!(models(&["claude-opus-*"]), set(&["claude-opus-5"]));
        assert_eq!(models(&["claude-haiku-4-5"]), set(&["claude-haiku-4-5"]));
        assert_eq!(models(&["claude-sonnet-*"]), ModelSet::default());
        assert_eq!(
            models(&["claude-*", "claude-haiku-4-5"]),
            bound,
            "nothing twice"
        );
        assert_eq!(within(&set(&["*"]), None), set(&["*"]));
    }
}

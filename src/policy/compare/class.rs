//! Subjects that no request can tell apart, compared once for all of them.
//! Must not judge: whether something is allowed, `decide` says.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::latent::{Others, latent};
use super::{AccessChange, Allowed, Both, Direction, Effect, MaxOf, Side, Span};
use crate::policy::decide::{Request, decide};
use crate::policy::digest::ContentId;
use crate::policy::grant::Window;
use crate::policy::name::Name;
use crate::policy::ranges::Ranges;
use crate::policy::subject::{Subject, SubjectId, SubjectRef};
use crate::policy::table::SubjectRow;

/// Subjects with the same rows on both sides.
pub(super) struct Class {
    /// Whose groups, or members, matter besides.
    pub kind: Kind,
    /// One of them, which speaks for all.
    pub id: SubjectId,
    /// All of them.
    pub subjects: BTreeSet<String>,
    /// Instants at which a grant of theirs begins or ends.
    boundaries: BTreeSet<Timestamp>,
}

/// Whether more than a subject itself decides about its requests.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Kind {
    /// A user of this issuer: its groups count, too.
    User(Name),
    /// A group of this issuer: its members' other groups and own grants count, too.
    Group(Name),
    /// Nothing else counts.
    Alone,
}

/// What a class differs in.
#[derive(Default)]
pub(super) struct Found {
    pub changes: Vec<AccessChange>,
    /// Which way requests without `max_tokens` go, if any.
    pub default_direction: Option<Direction>,
}

/// What is said of one subject, but for the names of the bindings that say it.
type Rows = Vec<Option<(bool, Vec<(ContentId, Window)>, Option<ContentId>)>>;

/// All subjects of both sides, by class.
pub(super) fn classes(both: &Both<'_>) -> Vec<Class> {
    let mut ids = BTreeSet::new();
    for policy in both.policies() {
        ids.extend(policy.subjects.keys().chain(&policy.blocked));
    }
    let mut classes: BTreeMap<(Kind, Rows), Class> = BTreeMap::new();
    for id in ids {
        let named = both.spans().find_map(|span| span.names.get(id));
        let kind = named.map_or(Kind::Alone, Kind::of);
        let class = classes
            .entry((kind.clone(), rows(both, id)))
            .or_insert_with(|| Class {
                kind,
                id: *id,
                subjects: BTreeSet::new(),
                boundaries: boundaries(both, id),
            });
        let name = named.map_or_else(|| id.to_string(), ToString::to_string);
        class.subjects.insert(name);
    }
    classes.into_values().collect()
}

fn rows(both: &Both<'_>, id: &SubjectId) -> Rows {
    let side = |side: Option<&Side>| {
        let spans = side.map(|side| side.spans.iter()).into_iter().flatten();
        let rows = spans.map(|Span { policy, .. }| {
            let row = policy.subjects.get(id);
            let mut grants: Vec<_> = grants(row).collect();
            grants.sort();
            grants.dedup();
            let key = row.and_then(|row| row.key);
            Some((policy.blocked.contains(id), grants, key))
        });
        rows.chain([None]).collect::<Rows>()
    };
    both.sides().into_iter().flat_map(side).collect()
}

fn grants(row: Option<&SubjectRow>) -> impl Iterator<Item = (ContentId, Window)> {
    let grants = row.into_iter().flat_map(|row| &row.grants);
    grants.map(|grant| (grant.role, grant.window()))
}

fn boundaries(both: &Both<'_>, id: &SubjectId) -> BTreeSet<Timestamp> {
    let rows = both.policies().map(|policy| policy.subjects.get(id));
    let windows = rows.flat_map(grants).map(|(_, window)| window);
    windows
        .flat_map(|window| [window.not_before, window.expires_at])
        .flatten()
        .collect()
}

// === impl Kind ===

impl Kind {
    fn of(named: &SubjectRef) -> Self {
        match named {
            SubjectRef::Known(Subject::User { issuer, .. }) => Self::User(issuer.clone()),
            SubjectRef::Known(Subject::Group { issuer, .. }) => Self::Group(issuer.clone()),
            SubjectRef::Known(Subject::ServiceAccount(_) | Subject::ClientKey(_))
            | SubjectRef::ClientKeySecret(_) => Self::Alone,
        }
    }
}

/// Before and after, for each range of models.
type Outcomes = Vec<(Option<Allowed>, Option<Allowed>)>;

/// A time in which nothing changes.
struct Spell {
    from: Timestamp,
    outcomes: Outcomes,
    /// What does not show by itself.
    latent: Option<(String, Direction)>,
}

// === impl Spell ===

impl Spell {
    fn goes_on_as(&self, later: &Self) -> bool {
        (&self.outcomes, &self.latent) == (&later.outcomes, &later.latent)
    }
}

// === impl Class ===

impl Class {
    /// What differs for it, and from when.
    pub(super) fn compare(&self, both: &Both<'_>, ranges: &Ranges, others: &Others) -> Found {
        let mut found = Found::default();
        let turns = both.turns();
        let Some(now) = turns.first().copied() else {
            return found;
        };
        let later = self.boundaries.iter().filter(|at| **at > now);
        let times: BTreeSet<Timestamp> = turns.iter().chain(later).copied().collect();
        let mut spells: Vec<Spell> = Vec::new();
        for at in times {
            let outcomes = self.outcomes(both, ranges, at);
            let seen = direction_of(&outcomes);
            let hidden = latent(self, both, ranges, others, at);
            found.default_direction = found.default_direction.max_of(hidden.default_direction);
            // What shows by itself need not be said again, unless it looks narrower than it is.
            let latent = hidden.change.filter(|(_, hidden)| match seen {
                None => true,
                Some(seen) => *hidden == Direction::Widened && seen != Direction::Widened,
            });
            let spell = Spell {
                from: at,
                outcomes,
                latent,
            };
            match spells.last() {
                Some(before) if before.goes_on_as(&spell) => {}
                Some(_) | None => spells.push(spell),
            }
        }
        let ends = spells.iter().skip(1).map(|spell| Some(spell.from));
        let ends: Vec<Option<Timestamp>> = ends.chain([None]).collect();
        for (spell, until) in spells.into_iter().zip(ends) {
            self.report(spell, until, ranges, &mut found);
        }
        found
    }

    fn report(&self, spell: Spell, until: Option<Timestamp>, ranges: &Ranges, found: &mut Found) {
        let change = |models, effect, direction| AccessChange {
            subjects: self.subjects.clone(),
            models,
            from: spell.from,
            until,
            effect,
            direction,
        };
        let mut by_effect: BTreeMap<Effect, (Vec<_>, Direction)> = BTreeMap::new();
        for (i, models) in ranges.merged(&spell.outcomes) {
            let (before, after) = &spell.outcomes[i];
            found.default_direction = found
                .default_direction
                .max_of(default_direction(before.as_ref(), after.as_ref()));
            if let Some((effect, direction)) = effect(before.clone(), after.clone()) {
                let entry = by_effect.entry(effect);
                entry.or_insert((Vec::new(), direction)).0.push(models);
            }
        }
        for (effect, (models, direction)) in by_effect {
            found.changes.push(change(Some(models), effect, direction));
        }
        if let Some((text, direction)) = spell.latent {
            found
                .changes
                .push(change(None, Effect::WithGroups(text), direction));
        }
    }

    fn outcomes(&self, both: &Both<'_>, ranges: &Ranges, at: Timestamp) -> Outcomes {
        let outcome = |side: Option<&Side>, model: &str| {
            let policy = &side?.at(at)?.policy;
            let ask = |max_tokens| {
                let request = Request {
                    subject: self.id,
                    groups: &[],
                    model,
                    max_tokens,
                    at,
                };
                decide(policy, &request).ok()
            };
            // More than any limit, so that the answer is the limit; and none at all.
            let (most, unasked) = (ask(Some(u64::MAX))?, ask(None)?);
            Some(Allowed::new(&most, unasked.max_tokens()))
        };
        let pair = |model| (outcome(both.before, model), outcome(both.after, model));
        ranges.ids().map(pair).collect()
    }
}

fn effect(before: Option<Allowed>, after: Option<Allowed>) -> Option<(Effect, Direction)> {
    match (before, after) {
        (None, None) => None,
        (None, Some(after)) => Some((Effect::Gains(after), Direction::Widened)),
        (Some(before), None) => Some((Effect::Loses(before), Direction::Narrowed)),
        (Some(before), Some(after)) => {
            let only_default = Allowed {
                default_max_tokens: after.default_max_tokens,
                ..before.clone()
            } == after;
            let direction = before.direction(&after);
            (!only_default).then_some((Effect::Changes(before, after), direction))
        }
    }
}

/// Which way the outcomes go that show by themselves.
fn direction_of(outcomes: &Outcomes) -> Option<Direction> {
    let directions = outcomes.iter().filter_map(|(before, after)| {
        let (_, direction) = effect(before.clone(), after.clone())?;
        Some(direction)
    });
    directions.min()
}

fn default_direction(before: Option<&Allowed>, after: Option<&Allowed>) -> Option<Direction> {
    let (before, after) = (before?.default_max_tokens, after?.default_max_tokens);
    match after.cmp(&before) {
        std::cmp::Ordering::Less => Some(Direction::Narrowed),
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(Direction::Widened),
    }
}

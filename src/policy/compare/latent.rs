//! What differs for a user or group only together with other groups: a grant of somebody who has
//! no key of its own yet, or a key of somebody who has no grant of its own. Nobody but the issuer
//! knows who is in which group, so this is told from the rows and errs towards saying more.
//! Must not be asked about subjects that have no groups.

use std::cmp::Ordering;
use std::collections::HashMap;

use jiff::Timestamp;

use super::class::{Class, Kind};
use super::{Both, Direction};
use crate::policy::grant::Phase;
use crate::policy::key::Scope;
use crate::policy::limits::{MaxTokens, RequestsPerMinute};
use crate::policy::name::Name;
use crate::policy::ranges::Ranges;
use crate::policy::subject::{Subject, SubjectId, SubjectRef};
use crate::policy::table::{KeyRow, Policy, WorkspaceState};

/// What other users and groups of each issuer could add, at any time, on each side.
pub(super) struct Others([HashMap<Name, Added>; 2]);

/// What users and groups could add.
#[derive(Clone, Copy, Default)]
struct Added {
    users: Lot,
    groups: Lot,
}

/// How many subjects have what.
#[derive(Clone, Copy, Default)]
struct Lot {
    with_access: usize,
    with_usable_key: usize,
    with_dead_key: usize,
}

/// What one subject contributes to a request it takes part in.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Part {
    /// Of the workspace.
    open: bool,
    blocked: bool,
    /// For each range of models.
    max_tokens: Vec<Option<MaxTokens>>,
    /// The same of requests that name none.
    default_max_tokens: Vec<Option<MaxTokens>>,
    requests_per_minute: Option<RequestsPerMinute>,
    key: Option<PartKey>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct PartKey {
    api_key_ref: Name,
    scope: Scope,
    usable: bool,
}

/// What differs for a class at a time without showing by itself.
#[derive(Default)]
pub(super) struct Hidden {
    /// In words, and which way that goes.
    pub change: Option<(String, Direction)>,
    /// Which way requests without `max_tokens` go, if any.
    pub default_direction: Option<Direction>,
}

/// Compares what a class contributes to requests in which it is not alone.
pub(super) fn latent(
    class: &Class,
    both: &Both<'_>,
    ranges: &Ranges,
    others: &Others,
    at: Timestamp,
) -> Hidden {
    let (issuer, is_user) = match &class.kind {
        Kind::User(issuer) => (issuer, true),
        Kind::Group(issuer) => (issuer, false),
        Kind::Alone => return Hidden::default(),
    };
    let side = |i: usize| {
        let policy = both.sides()[i].and_then(|side| Some(&side.at(at)?.policy));
        let part = Part::of(policy, class.id, ranges, at);
        let added = others.0[i].get(issuer).copied().unwrap_or_default();
        let context = Context::new(policy, added.besides(&part, is_user), is_user);
        (part, context)
    };
    let ((before, was), (after, is)) = (side(0), side(1));
    let (could, can) = (was.can(&before), is.can(&after));
    let defaults = before
        .default_max_tokens
        .iter()
        .zip(&after.default_max_tokens);
    let default_direction = defaults
        .filter(|_| could && can)
        .filter_map(
            |(before, after)| match after.as_ref()?.cmp(before.as_ref()?) {
                Ordering::Less => Some(Direction::Narrowed),
                Ordering::Equal => None,
                Ordering::Greater => Some(Direction::Widened),
            },
        )
        .min();
    let same = Part {
        default_max_tokens: after.default_max_tokens.clone(),
        ..before.clone()
    } == after;
    let change = (!same && (could || can)).then(|| {
        let wider = can && (!could || is_wider((&before, &was), (&after, &is)));
        let narrower = could && (!can || is_wider((&after, &is), (&before, &was)));
        let direction = match (wider, narrower) {
            (true, _) => Direction::Widened,
            (false, true) => Direction::Narrowed,
            (false, false) => Direction::Moved,
        };
        (words(&before, &after), direction)
    });
    Hidden {
        change,
        default_direction,
    }
}

/// What surrounds one subject on one side.
struct Context {
    default_usable: bool,
    others: Lot,
    is_user: bool,
}

// === impl Context ===

impl Context {
    fn new(policy: Option<&Policy>, others: Lot, is_user: bool) -> Self {
        let usable = |policy: &Policy| {
            let key = policy.workspace.default_key;
            let key = key.and_then(|id| policy.keys.get(&id));
            key.is_some_and(|key| key.fingerprint.is_some())
        };
        Self {
            default_usable: policy.is_some_and(usable),
            others,
            is_user,
        }
    }

    /// Whether a request that the subject takes part in can be allowed.
    fn can(&self, part: &Part) -> bool {
        let access = part.requests_per_minute.is_some() || self.others.with_access > 0;
        let elsewhere = self.default_usable || self.others.with_usable_key > 0;
        let key = match &part.key {
            Some(key) if self.is_user => key.usable,
            Some(key) => key.usable || self.others.with_usable_key > 0,
            None => elsewhere,
        };
        part.open && !part.blocked && access && key
    }
}

/// Whether some request that the subject takes part in can be allowed more than before.
fn is_wider((before, was): (&Part, &Context), (after, is): (&Part, &Context)) -> bool {
    let more_tokens = before
        .max_tokens
        .iter()
        .zip(&after.max_tokens)
        .any(|(before, after)| after > before);
    let more_requests = after.requests_per_minute > before.requests_per_minute;
    let dead = |key: &Option<PartKey>| key.as_ref().is_some_and(|key| !key.usable);
    let usable = |key: &Option<PartKey>| key.as_ref().is_some_and(|key| key.usable);
    let key = if before.key == after.key {
        false
    } else if dead(&before.key) {
        // It stood in the way of any other.
        usable(&after.key) || is.default_usable || is.others.with_usable_key > 0
    } else {
        let was_without =
            was.others.with_dead_key > 0 || before.key.is_none() && !was.default_usable;
        usable(&after.key) && was_without
    };
    more_tokens || more_requests || key
}

fn words(before: &Part, after: &Part) -> String {
    let mut words = Vec::new();
    match (before.open, after.open) {
        (false, true) => words.push("the workspace opens".to_owned()),
        (true, false) => words.push("the workspace closes".to_owned()),
        (true, true) | (false, false) => {}
    }
    match (before.blocked, after.blocked) {
        (false, true) => words.push("is blocked".to_owned()),
        (true, false) => words.push("is no longer blocked".to_owned()),
        (true, true) | (false, false) => {}
    }
    if (&before.max_tokens, before.requests_per_minute)
        != (&after.max_tokens, after.requests_per_minute)
    {
        words.push("other models or limits through its roles".to_owned());
    }
    if before.key != after.key {
        let name = |key: &Option<PartKey>| match key {
            Some(key) if key.usable => key.api_key_ref.to_string(),
            Some(key) => format!("{} (not usable)", key.api_key_ref),
            None => "none".to_owned(),
        };
        words.push(format!(
            "key of its own {} -> {}",
            name(&before.key),
            name(&after.key)
        ));
    }
    words.join(", ")
}

// === impl Part ===

impl Part {
    fn of(policy: Option<&Policy>, id: SubjectId, ranges: &Ranges, at: Timestamp) -> Self {
        let Some(policy) = policy else {
            let nothing: Vec<_> = ranges.ids().map(|_| None).collect();
            return Self {
                open: false,
                blocked: false,
                max_tokens: nothing.clone(),
                default_max_tokens: nothing,
                requests_per_minute: None,
                key: None,
            };
        };
        let row = policy.subjects.get(&id);
        let grants = row.into_iter().flat_map(|row| &row.grants);
        let held: Vec<_> = grants
            .filter(|grant| grant.window().phase(at) == Phase::Active)
            .filter_map(|grant| policy.roles.get(&grant.role)?.access.as_ref())
            .collect();
        let bound = policy.workspace.models.as_ref();
        let max_tokens = |model: &str| {
            let within = bound.is_none_or(|bound| bound.allows(model));
            let opening = held.iter().filter(|access| access.models.allows(model));
            let most = opening.map(|access| access.max_tokens).max();
            most.filter(|_| within)
        };
        let key = row.and_then(|row| policy.keys.get(&row.key?));
        let max_tokens: Vec<_> = ranges.ids().map(max_tokens).collect();
        let default = policy.workspace.default_max_tokens;
        let default_max_tokens = max_tokens.iter().map(|most| Some((*most)?.min(default)));
        Self {
            open: policy.workspace.state == WorkspaceState::Enabled,
            blocked: policy.blocked.contains(&id),
            default_max_tokens: default_max_tokens.collect(),
            max_tokens,
            requests_per_minute: held.iter().map(|access| access.requests_per_minute).max(),
            key: key.map(PartKey::of),
        }
    }
}

impl PartKey {
    fn of(key: &KeyRow) -> Self {
        Self {
            api_key_ref: key.api_key_ref.clone(),
            scope: key.scope,
            usable: key.fingerprint.is_some(),
        }
    }
}

// === impl Others ===

impl Others {
    /// Counts them once.
    pub(super) fn of(both: &Both<'_>) -> Self {
        Self(both.sides().map(|side| {
            let mut by_issuer: HashMap<Name, Added> = HashMap::new();
            for span in side.into_iter().flat_map(|side| &side.spans) {
                for (id, named) in &span.names {
                    let (issuer, is_user) = match named {
                        SubjectRef::Known(Subject::User { issuer, .. }) => (issuer, true),
                        SubjectRef::Known(Subject::Group { issuer, .. }) => (issuer, false),
                        SubjectRef::Known(_) | SubjectRef::ClientKeySecret(_) => continue,
                    };
                    let Some(row) = span.policy.subjects.get(id) else {
                        continue;
                    };
                    let added = by_issuer.entry(issuer.clone()).or_default();
                    let lot = match is_user {
                        true => &mut added.users,
                        false => &mut added.groups,
                    };
                    let opens = |role| {
                        let role = span.policy.roles.get(role);
                        role.is_some_and(|role| role.access.is_some())
                    };
                    if row.grants.iter().any(|grant| opens(&grant.role)) {
                        lot.with_access += 1;
                    }
                    let key = row.key.and_then(|id| span.policy.keys.get(&id));
                    match key.map(|key| key.fingerprint.is_some()) {
                        Some(true) => lot.with_usable_key += 1,
                        Some(false) => lot.with_dead_key += 1,
                        None => {}
                    }
                }
            }
            by_issuer
        }))
    }
}

impl Added {
    /// Those that can take part in a request besides one subject: of a user its groups, of a group
    /// its members and their other groups.
    fn besides(&self, part: &Part, is_user: bool) -> Lot {
        if is_user {
            return self.groups;
        }
        // Itself is among the groups that were counted.
        let itself = Lot {
            with_access: usize::from(part.requests_per_minute.is_some()),
            with_usable_key: usize::from(part.key.as_ref().is_some_and(|key| key.usable)),
            with_dead_key: usize::from(part.key.as_ref().is_some_and(|key| !key.usable)),
        };
        let rest = |users: usize, groups: usize, own: usize| users + groups.saturating_sub(own);
        Lot {
            with_access: rest(
                self.users.with_access,
                self.groups.with_access,
                itself.with_access,
            ),
            with_usable_key: rest(
                self.users.with_usable_key,
                self.groups.with_usable_key,
                itself.with_usable_key,
            ),
            with_dead_key: rest(
                self.users.with_dead_key,
                self.groups.with_dead_key,
                itself.with_dead_key,
            ),
        }
    }
}

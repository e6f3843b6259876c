//! Two policies of one workspace side by side, in terms of access: who gains or loses which
//! model, whose limits or key change, from when. What is allowed is asked of `decide` alone, for
//! one model id of each range that no pattern of either side can tell apart.
//!
//! Callers have groups, and which is known to their issuers only. So a user and a group are each
//! asked about by themselves; what changes for callers only together with a further group is
//! reported for the subject it is about, as [`Effect::WithGroups`].
//!
//! Must not know where the two come from.

mod class;
mod console;
mod latent;
mod trust;

pub use console::ConsoleChange;
pub use trust::{Trust, TrustChange, trust};

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::decide::Permit;
use super::key::Scope;
use super::limits::{MaxTokens, RequestsPerMinute};
use super::model::ModelPattern;
use super::name::Name;
use super::ranges::{Models, Ranges};
use super::subject::{SubjectId, SubjectRef};
use super::table::{Policy, WorkspaceState};
use class::classes;

/// One side: what holds in a workspace from now on.
#[derive(Clone, Debug)]
pub struct Side {
    /// Who vouches for callers.
    pub trust: Vec<Trust>,
    /// What holds from one instant to the next, in order; both sides begin at the same one.
    pub spans: Vec<Span>,
}

/// What holds for a time, but for the windows of its grants.
#[derive(Clone, Debug)]
pub struct Span {
    /// From this instant on, until the next span begins.
    pub from: Timestamp,
    /// The policy.
    pub policy: Policy,
    /// Whom its ids stand for.
    pub names: HashMap<SubjectId, SubjectRef>,
    /// Wanted Console membership: people by role.
    pub console: BTreeMap<Name, BTreeSet<Name>>,
}

/// All that differs between two sides.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Comparison {
    /// Settings of the workspace.
    pub settings: Vec<Setting>,
    /// Who vouches for callers.
    pub trust: Vec<TrustChange>,
    /// What subjects may do.
    pub access: Vec<AccessChange>,
    /// Wanted Console membership.
    pub console: Vec<ConsoleChange>,
}

/// A setting of the workspace that differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// The field, as a path from the object's root.
    pub field: &'static str,
    /// What it is worth before; `None` is nothing.
    pub before: Option<String>,
    /// And after.
    pub after: Option<String>,
    /// Which way that goes.
    pub direction: Direction,
}

/// Subjects for which the same changes, for the same time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessChange {
    /// Who.
    pub subjects: BTreeSet<String>,
    /// For which models; `None` where it is not about single ones.
    pub models: Option<Vec<Models>>,
    /// From when.
    pub from: Timestamp,
    /// Until when; `None` is for good.
    pub until: Option<Timestamp>,
    /// What changes.
    pub effect: Effect,
    /// Which way that goes.
    pub direction: Direction,
}

/// What changes for a subject.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Effect {
    /// Denied before.
    Gains(Allowed),
    /// Denied after.
    Loses(Allowed),
    /// Allowed before and after, with other limits or another key.
    Changes(Allowed, Allowed),
    /// It counts only for callers that have a further group, or a key through one.
    WithGroups(String),
}

/// What an allowed request gets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Allowed {
    /// Highest `max_tokens`.
    pub max_tokens: MaxTokens,
    /// `max_tokens` of requests that name none.
    pub default_max_tokens: MaxTokens,
    /// Requests per minute, over all models.
    pub requests_per_minute: RequestsPerMinute,
    /// The ApiKeyRef, as `namespace/name`.
    pub api_key_ref: Name,
    /// How far that key reaches.
    pub scope: Scope,
}

/// Which way a change goes. Whatever lets through more in any respect is wider.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Direction {
    /// Something is allowed that was not.
    Widened,
    /// Neither: another key, say.
    Moved,
    /// Something is no longer allowed.
    Narrowed,
}

/// Compares two sides; one that is `None` allows nothing.
pub fn compare(before: Option<&Side>, after: Option<&Side>) -> Comparison {
    let both = Both { before, after };
    let ranges = Ranges::of(both.policies().flat_map(patterns));
    let mut comparison = Comparison {
        settings: both.settings(),
        trust: trust::compare(before, after),
        access: Vec::new(),
        console: console::compare(&both),
    };
    let default_changes = both.setting(|policy| policy.workspace.default_max_tokens);
    let mut default_direction = None;
    let others = latent::Others::of(&both);
    for class in classes(&both) {
        let found = class.compare(&both, &ranges, &others);
        default_direction = default_direction.max_of(found.default_direction);
        comparison.access.extend(found.changes);
    }
    if let (Some((before, after)), Some(direction)) = (default_changes, default_direction) {
        comparison.settings.push(Setting {
            field: "spec.defaultMaxTokens",
            before: Some(before.to_string()),
            after: Some(after.to_string()),
            direction,
        });
    }
    let state = both.setting(|policy| policy.workspace.state);
    if let (Some((before, after)), false) = (state, comparison.access.is_empty()) {
        comparison.settings.push(Setting {
            field: "spec.state",
            before: Some(format!("{before:?}")),
            after: Some(format!("{after:?}")),
            direction: match after {
                WorkspaceState::Enabled => Direction::Widened,
                WorkspaceState::Disabled => Direction::Narrowed,
            },
        });
    }
    comparison.access.sort_by(|a, b| a.rank().cmp(&b.rank()));
    comparison
}

/// Every pattern by which a policy tells models apart.
fn patterns(policy: &Policy) -> impl Iterator<Item = &ModelPattern> {
    let roles = policy.roles.values();
    let roles = roles.filter_map(|role| Some(&role.access.as_ref()?.models));
    roles
        .chain(&policy.workspace.models)
        .flat_map(super::model::ModelSet::iter)
}

/// Both sides.
#[derive(Clone, Copy)]
struct Both<'a> {
    before: Option<&'a Side>,
    after: Option<&'a Side>,
}

/// The worse of two directions, where one may be missing.
trait MaxOf {
    fn max_of(self, other: Self) -> Self;
}

// === impl Both ===

impl<'a> Both<'a> {
    fn sides(&self) -> [Option<&'a Side>; 2] {
        [self.before, self.after]
    }

    fn spans(&self) -> impl Iterator<Item = &'a Span> {
        self.sides()
            .into_iter()
            .flatten()
            .flat_map(|side| &side.spans)
    }

    fn policies(&self) -> impl Iterator<Item = &'a Policy> {
        self.spans().map(|span| &span.policy)
    }

    /// The instants at which a span of either side begins, in order.
    fn turns(&self) -> BTreeSet<Timestamp> {
        self.spans().map(|span| span.from).collect()
    }

    /// A setting that differs and is there on both sides.
    fn setting<T: PartialEq>(&self, of: impl Fn(&Policy) -> T) -> Option<(T, T)> {
        let (before, after) = (self.before?.spans.first()?, self.after?.spans.first()?);
        let (before, after) = (of(&before.policy), of(&after.policy));
        (before != after).then_some((before, after))
    }

    /// Settings that matter by themselves.
    fn settings(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        let rate = self.setting(|policy| policy.workspace.requests_per_minute);
        if let Some((before, after)) = rate {
            let is_wider = match (before, after) {
                (Some(before), Some(after)) => after > before,
                (before, after) => before.is_some() && after.is_none(),
            };
            settings.push(Setting {
                field: "spec.rateLimits.requestsPerMinute",
                before: before.map(|rate| rate.to_string()),
                after: after.map(|rate| rate.to_string()),
                direction: if is_wider {
                    Direction::Widened
                } else {
                    Direction::Narrowed
                },
            });
        }
        let of_organization = |policy: &Policy| {
            let mut keys = policy.keys.values();
            keys.any(|key| key.scope == Scope::Organization)
        };
        let id = self.setting(|policy| policy.workspace.workspace_id.clone());
        if let Some((before, after)) = id.filter(|_| self.policies().any(of_organization)) {
            settings.push(Setting {
                field: "spec.workspaceId",
                before: before.map(|id| id.to_string()),
                after: after.map(|id| id.to_string()),
                direction: Direction::Moved,
            });
        }
        settings
    }
}

// === impl Side ===

impl Side {
    /// What holds at an instant.
    fn at(&self, at: Timestamp) -> Option<&Span> {
        let mut spans = self.spans.iter().rev();
        spans.find(|span| span.from <= at)
    }
}

// === impl Comparison ===

impl Comparison {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether anything is wider.
    pub fn is_widened(&self) -> bool {
        let settings = self.settings.iter().map(|setting| setting.direction);
        let trust = self.trust.iter().map(|change| change.direction);
        let access = self.access.iter().map(|change| change.direction);
        let console = self.console.iter().map(ConsoleChange::direction);
        let mut all = settings.chain(trust).chain(access).chain(console);
        all.any(|direction| direction == Direction::Widened)
    }
}

// === impl AccessChange ===

impl AccessChange {
    fn rank(&self) -> impl Ord {
        let Self {
            subjects,
            models,
            from,
            effect,
            direction,
            until: _,
        } = self;
        let first = subjects.first().cloned();
        (*from, *direction, effect.clone(), first, models.clone())
    }
}

// === impl Allowed ===

impl Allowed {
    fn new(permit: &Permit, default_max_tokens: MaxTokens) -> Self {
        Self {
            max_tokens: permit.max_tokens(),
            default_max_tokens,
            requests_per_minute: permit.requests_per_minute(),
            api_key_ref: permit.api_key_ref().clone(),
            scope: permit.scope(),
        }
    }

    /// Which way it goes from here to `other`.
    fn direction(&self, other: &Self) -> Direction {
        let pairs = [
            (self.max_tokens.get(), other.max_tokens.get()),
            (
                self.default_max_tokens.get(),
                other.default_max_tokens.get(),
            ),
            (
                self.requests_per_minute.get(),
                other.requests_per_minute.get(),
            ),
        ];
        if pairs.iter().any(|(before, after)| after > before) {
            Direction::Widened
        } else if pairs.iter().any(|(before, after)| after < before) {
            Direction::Narrowed
        } else {
            Direction::Moved
        }
    }
}

impl MaxOf for Option<Direction> {
    fn max_of(self, other: Self) -> Self {
        // `Widened` sorts first.
        [self, other].into_iter().flatten().min()
    }
}

//! Comparing policies, held to `decide`: what `compare` does not mention, no request meets; what
//! it mentions, some request meets; and nothing gets wider without being called so. Random
//! policies of a small world, in which every request can be tried.
//! `PROPERTY_CASES=100000 cargo test --test compare` tries more of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anthropic_rbac::policy::compare::{Comparison, Direction, Effect, Side, Span, compare};
use anthropic_rbac::policy::decide::{Request, decide};
use anthropic_rbac::policy::digest::{Digest, Fingerprint};
use anthropic_rbac::policy::key::Scope;
use anthropic_rbac::policy::limits::{MaxTokens, RequestsPerMinute};
use anthropic_rbac::policy::model::{ModelPattern, ModelSet};
use anthropic_rbac::policy::name::{Name, NamespacedName};
use anthropic_rbac::policy::narrow::narrows;
use anthropic_rbac::policy::subject::{Subject, SubjectId, SubjectRef};
use anthropic_rbac::policy::table::{
    AccessRow, GrantRow, KeyRow, Policy, RoleRow, SubjectRow, WorkspaceRow, WorkspaceState,
};
use jiff::Timestamp;
use proptest::prelude::*;

const PATTERNS: [&str; 6] = ["*", "a*", "ab*", "abc", "b", "b*"];
const MODELS: [&str; 7] = ["abc", "abd", "ab", "ax", "b", "bx", "z"];
const TIMES: i64 = 4;
const ROLES: usize = 3;
const KEYS: usize = 3;
/// Two users and three groups of one issuer, a group of another, a service and a client key.
const SUBJECTS: usize = 8;

fn subject(i: usize) -> Subject {
    let name = Name::from(format!("s{i}"));
    let issuer = Name::from("corp");
    match i {
        0 | 1 => Subject::User { issuer, name },
        2..=4 => Subject::Group { issuer, name },
        5 => Subject::Group {
            issuer: "other".into(),
            name,
        },
        6 => Subject::ServiceAccount(NamespacedName::new("n", "s")),
        _ => Subject::ClientKey(Digest::of(b"EXAMPLE")),
    }
}

/// Callers: everybody alone, and strangers and users of the issuer with every set of its groups.
fn callers() -> Vec<(SubjectId, Vec<SubjectId>)> {
    let ids: Vec<SubjectId> = (0..SUBJECTS).map(|i| subject(i).id()).collect();
    let stranger = SubjectId::of(b"stranger");
    let mut callers: Vec<_> = ids.iter().map(|id| (*id, Vec::new())).collect();
    for user in [stranger, ids[0], ids[1]] {
        for set in 1..8_usize {
            let groups = (0..3).filter(|i| set & (1 << i) != 0).map(|i| ids[2 + i]);
            callers.push((user, groups.collect()));
        }
    }
    callers
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A part of a policy, small enough to be drawn, and to be exchanged for another.
#[derive(Clone, Debug)]
enum Part {
    Workspace(bool, Option<u8>, u8, Option<usize>),
    Rate(Option<u8>),
    Role(Option<(u8, u8, u8)>),
    Key(bool, bool),
    Subject(Vec<(usize, Option<i64>, Option<i64>)>, Option<usize>, bool),
}

fn models(mask: u8) -> ModelSet {
    let chosen = PATTERNS.iter().enumerate();
    let chosen = chosen.filter(|(i, _)| mask & (1 << i) != 0);
    chosen
        .map(|(_, text)| ModelPattern::parse(text).unwrap())
        .collect()
}

fn tokens(n: u8) -> MaxTokens {
    MaxTokens::try_from(i64::from(n)).unwrap()
}

fn rate(n: u8) -> RequestsPerMinute {
    RequestsPerMinute::try_from(i64::from(n)).unwrap()
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let some = |most: u8| 1..=most;
    let mask = || 1..64_u8;
    let workspace = (
        prop::bool::weighted(0.85),
        prop::option::weighted(0.4, mask()),
        some(3),
        prop::option::weighted(0.6, 0..KEYS),
    );
    let workspace = workspace.prop_map(|(open, m, t, k)| Part::Workspace(open, m, t, k));
    let ceiling = prop::option::of(some(2)).prop_map(Part::Rate);
    let role = prop::option::weighted(0.8, (mask(), some(3), some(3))).prop_map(Part::Role);
    let key = (prop::bool::weighted(0.7), prop::bool::weighted(0.2));
    let key = key.prop_map(|(usable, wide)| Part::Key(usable, wide));
    let start = prop::option::weighted(0.3, 0..TIMES);
    let end = prop::option::weighted(0.3, 1..TIMES);
    let grants = prop::collection::vec((0..ROLES, start, end), 0..3);
    let subject = (
        grants,
        prop::option::weighted(0.3, 0..KEYS),
        prop::bool::weighted(0.1),
    );
    let subject = subject.prop_map(|(grants, key, blocked)| Part::Subject(grants, key, blocked));
    (
        workspace,
        ceiling,
        prop::collection::vec(role, ROLES),
        prop::collection::vec(key, KEYS),
        prop::collection::vec(subject, SUBJECTS),
    )
        .prop_map(|(workspace, ceiling, roles, keys, subjects)| {
            let rest = roles.into_iter().chain(keys).chain(subjects);
            [workspace, ceiling].into_iter().chain(rest).collect()
        })
}

fn policy(parts: &[Part]) -> Policy {
    let key_row = |i: usize, usable: bool, wide: bool| KeyRow {
        api_key_ref: format!("n/k{i}").into(),
        scope: if wide {
            Scope::Organization
        } else {
            Scope::Workspace
        },
        fingerprint: usable.then(|| Fingerprint::parse("1a2b3c4d5e6f7081").unwrap()),
    };
    let roles: Vec<RoleRow> = parts
        .iter()
        .filter_map(|part| match part {
            Part::Role(access) => Some(access),
            _ => None,
        })
        .enumerate()
        .map(|(i, access)| RoleRow {
            name: format!("r{i}").into(),
            access: access.map(|(mask, most, per_minute)| AccessRow {
                models: models(mask),
                max_tokens: tokens(most),
                requests_per_minute: rate(per_minute),
            }),
        })
        .collect();
    let keys: Vec<KeyRow> = parts
        .iter()
        .filter_map(|part| match part {
            Part::Key(usable, wide) => Some((*usable, *wide)),
            _ => None,
        })
        .enumerate()
        .map(|(i, (usable, wide))| key_row(i, usable, wide))
        .collect();
    let key_id = |i: &usize| keys[*i].id();
    let mut policy = Policy {
        workspace: WorkspaceRow {
            namespace: "n".into(),
            name: "w".into(),
            environment: None,
            workspace_id: None,
            state: WorkspaceState::Enabled,
            models: None,
            requests_per_minute: None,
            default_max_tokens: tokens(1),
            default_key: None,
            issuers: Vec::new(),
        },
        roles: roles.iter().map(|role| (role.id(), role.clone())).collect(),
        keys: keys.iter().map(|key| (key.id(), key.clone())).collect(),
        blocked: BTreeSet::new(),
        subjects: HashMap::new(),
    };
    let mut next = 0;
    for part in parts {
        match part {
            Part::Workspace(open, mask, most, key) => {
                if !open {
                    policy.workspace.state = WorkspaceState::Disabled;
                }
                policy.workspace.models = mask.map(models);
                policy.workspace.default_max_tokens = tokens(*most);
                policy.workspace.default_key = key.as_ref().map(key_id);
            }
            Part::Rate(ceiling) => policy.workspace.requests_per_minute = ceiling.map(rate),
            Part::Role(_) | Part::Key(..) => {}
            Part::Subject(grants, key, blocked) => {
                let id = subject(next).id();
                next += 1;
                if *blocked {
                    policy.blocked.insert(id);
                }
                let grants = grants
                    .iter()
                    .enumerate()
                    .map(|(i, (role, start, end))| GrantRow {
                        role: roles[*role].id(),
                        binding: format!("n/b{i}").into(),
                        not_before: start.map(at),
                        expires_at: end.map(at),
                    });
                let row = SubjectRow {
                    grants: grants.collect(),
                    key: key.as_ref().map(key_id),
                };
                if row != SubjectRow::default() {
                    policy.subjects.insert(id, row);
                }
            }
        }
    }
    policy
}

fn side(spans: &[(i64, Vec<Part>)]) -> Side {
    let names: HashMap<SubjectId, SubjectRef> = (0..SUBJECTS)
        .map(|i| (subject(i).id(), SubjectRef::Known(subject(i))))
        .collect();
    let spans = spans.iter().map(|(from, parts)| Span {
        from: at(*from),
        policy: policy(parts),
        names: names.clone(),
        console: BTreeMap::new(),
    });
    Side {
        trust: Vec::new(),
        spans: spans.collect(),
    }
}

/// Two sides that have more or less in common; each may turn once.
fn two_sides() -> impl Strategy<Value = (Side, Side)> {
    let kept = prop_oneof![Just(0.97), Just(0.85), Just(0.0)];
    let kept = kept.prop_flat_map(|kept| {
        let parts = 2 + ROLES + KEYS + SUBJECTS;
        prop::collection::vec(prop::bool::weighted(kept), parts)
    });
    let turn = || prop::option::weighted(0.3, (1..TIMES, parts()));
    (parts(), parts(), kept, turn(), turn()).prop_map(|(one, two, kept, turn, other)| {
        let mixed = kept.iter().zip(one.iter().zip(&two));
        let mixed = mixed.map(|(keep, (one, two))| if *keep { one } else { two });
        let mixed: Vec<Part> = mixed.cloned().collect();
        // A turn changes keys only, as it does outside: the rest has windows.
        let turned = |parts: &[Part], turn: Option<(i64, Vec<Part>)>| {
            let later = turn.map(|(at, new)| {
                let both = parts.iter().zip(new);
                let parts = both.map(|(old, new)| match new {
                    Part::Key(..) => new,
                    _ => old.clone(),
                });
                (at, parts.collect::<Vec<Part>>())
            });
            let spans: Vec<_> = std::iter::once((0, parts.to_vec())).chain(later).collect();
            side(&spans)
        };
        (turned(&one, turn), turned(&mixed, other))
    })
}

type Got = Option<(u32, u32, Name, Scope)>;

fn ask(
    side: &Side,
    caller: &(SubjectId, Vec<SubjectId>),
    (model, max_tokens): (&str, Option<u64>),
    at: Timestamp,
) -> Got {
    let span = side.spans.iter().rev().find(|span| span.from <= at)?;
    let request = Request {
        subject: caller.0,
        groups: &caller.1,
        model,
        max_tokens,
        at,
    };
    let permit = decide(&span.policy, &request).ok()?;
    Some((
        permit.max_tokens().get(),
        permit.requests_per_minute().get(),
        permit.api_key_ref().clone(),
        permit.scope(),
    ))
}

/// Whether any request at all gets something else, and whether any gets more.
fn tried(before: &Side, after: &Side) -> (Option<String>, Option<String>) {
    let (mut other, mut more) = (None, None);
    for caller in callers() {
        for model in MODELS {
            for max_tokens in [None, Some(2), Some(9)] {
                for second in 0..=TIMES {
                    let asked = (model, max_tokens);
                    let old = ask(before, &caller, asked, at(second));
                    let new = ask(after, &caller, asked, at(second));
                    if old == new {
                        continue;
                    }
                    let what = || format!("{caller:?} {asked:?} at {second}: {old:?} -> {new:?}");
                    let wider = match (&old, &new) {
                        (None, Some(_)) => true,
                        (Some(old), Some(new)) => new.0 > old.0 || new.1 > old.1,
                        (_, None) => false,
                    };
                    if wider {
                        more.get_or_insert_with(what);
                    }
                    other.get_or_insert_with(what);
                }
            }
        }
    }
    (other, more)
}

/// What is said of single models must be so for each of them, at once.
fn is_met(comparison: &Comparison, before: &Side, after: &Side) -> Result<(), String> {
    let ids: HashMap<String, SubjectId> = (0..SUBJECTS)
        .map(|i| (subject(i).to_string(), subject(i).id()))
        .collect();
    for change in &comparison.access {
        let Some(models) = &change.models else {
            continue;
        };
        for model in MODELS {
            let meant = models.iter().any(|models| {
                let excepted = models.except.iter().any(|pattern| pattern.matches(model));
                models.pattern.matches(model) && !excepted
            });
            if !meant {
                continue;
            }
            for name in &change.subjects {
                let caller = (ids[name], Vec::new());
                let got = |side| ask(side, &caller, (model, Some(9)), change.from);
                let (old, new) = (got(before), got(after));
                let met = match &change.effect {
                    Effect::Gains(_) => old.is_none() && new.is_some(),
                    Effect::Loses(_) => old.is_some() && new.is_none(),
                    Effect::Changes(..) => old.is_some() && new.is_some() && old != new,
                    Effect::WithGroups(_) => false,
                };
                if !met {
                    return Err(format!("{change:?} for {model}: {old:?} -> {new:?}"));
                }
            }
        }
    }
    Ok(())
}

/// A request that gets less, or nothing any more.
fn less(before: &Side, after: &Side) -> Option<String> {
    for caller in callers() {
        for model in MODELS {
            for second in 0..=TIMES {
                let [old, new] =
                    [before, after].map(|side| ask(side, &caller, (model, Some(9)), at(second)));
                let amounts = |got: &Got| got.as_ref().map(|(tokens, rate, ..)| (*tokens, *rate));
                let is_less = match (amounts(&old), amounts(&new)) {
                    (None, _) => false,
                    (Some(_), None) => true,
                    (Some(old), Some(new)) => new.0 < old.0 || new.1 < old.1,
                };
                if is_less {
                    return Some(format!(
                        "{caller:?} {model} at {second}: {old:?}, then {new:?}"
                    ));
                }
            }
        }
    }
    None
}

fn cases() -> u32 {
    let cases = std::env::var("PROPERTY_CASES").ok();
    cases.and_then(|cases| cases.parse().ok()).unwrap_or(300)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn what_a_comparison_says_is_what_requests_meet((before, after) in two_sides()) {
        let comparison = compare(Some(&before), Some(&after));
        let (other, more) = tried(&before, &after);
        if let Some(other) = other {
            prop_assert!(!comparison.is_empty(), "unsaid: {other}");
        }
        if let Some(more) = more {
            prop_assert!(comparison.is_widened(), "not called wider: {more}\n{comparison:?}");
        }
        if let Err(unmet) = is_met(&comparison, &before, &after) {
            prop_assert!(false, "{unmet}");
        }
    }

    #[test]
    fn whatever_takes_away_narrows((mut before, mut after) in two_sides()) {
        before.spans.truncate(1);
        after.spans.truncate(1);
        if let Some(less) = less(&before, &after) {
            let narrows = narrows(&before.spans[0].policy, &after.spans[0].policy);
            prop_assert!(narrows, "taken away unnoticed: {less}");
        }
    }

    #[test]
    fn nothing_is_said_where_no_request_and_no_group_could_tell((before, after) in two_sides()) {
        // Without users and groups what is said is exact.
        let alone = |side: &Side| {
            let mut side = side.clone();
            for span in &mut side.spans {
                for id in (0..6).map(|i| subject(i).id()) {
                    span.policy.subjects.remove(&id);
                    span.policy.blocked.remove(&id);
                }
                span.policy.workspace.requests_per_minute = None;
            }
            side
        };
        let (before, after) = (alone(&before), alone(&after));
        let comparison = compare(Some(&before), Some(&after));
        let (other, more) = tried(&before, &after);
        prop_assert_eq!(comparison.is_empty(), other.is_none(), "{:?}\n{:?}", comparison, other);
        prop_assert_eq!(comparison.is_widened(), more.is_some(), "{:?}\n{:?}", comparison, more);
    }

    #[test]
    fn a_policy_differs_from_nothing_by_all_it_allows_and_from_itself_by_nothing(
        (side, _) in two_sides()
    ) {
        prop_assert_eq!(compare(Some(&side), Some(&side)), Comparison::default());
        let nothing = Side { trust: Vec::new(), spans: Vec::new() };
        let (allowed, _) = tried(&side, &nothing);
        let (gone, come) = (compare(Some(&side), None), compare(None, Some(&side)));
        prop_assert!(allowed.is_none() || !gone.is_empty() && come.is_widened());
        prop_assert!(!gone.is_widened(), "{gone:?}");
        let directions = come.access.iter().map(|change| change.direction);
        prop_assert!(directions.clone().all(|direction| direction == Direction::Widened), "{come:?}");
    }
}

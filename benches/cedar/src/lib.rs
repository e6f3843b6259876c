//! One random policy in two forms: the resolved table that gateways read, and Cedar policies
//! with entities. The same few facts are written into both, side by side; neither is made from
//! the other, and no rule is shared.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write;

use anthropic_rbac::policy::decide::{Request as Asked, decide};
use anthropic_rbac::policy::digest::{ContentId, Fingerprint};
use anthropic_rbac::policy::key::Scope;
use anthropic_rbac::policy::limits::{MaxTokens, RequestsPerMinute};
use anthropic_rbac::policy::model::ModelPattern;
use anthropic_rbac::policy::name::NamespacedName;
use anthropic_rbac::policy::subject::{Subject, SubjectId};
use anthropic_rbac::policy::table::{
    AccessRow, GrantRow, KeyRow, Policy, RoleRow, SubjectRow, WorkspaceRow, WorkspaceState,
};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    PolicySet, Request, RestrictedExpression,
};
use jiff::Timestamp;

const MODELS: [&str; 6] = [
    "claude-haiku-4-5",
    "claude-haiku-5-5",
    "claude-sonnet-5",
    "claude-opus-5",
    "claude-fable-5",
    "gpt-x",
];
const PATTERNS: [&str; 7] = [
    "claude-haiku-*",
    "claude-sonnet-*",
    "claude-opus-5",
    "claude-*",
    "*",
    "claude-haiku-4-5",
    "gpt-x",
];
const CAPS: [i64; 4] = [64, 512, 4096, 8192];
/// Seconds; the middle of what is asked about.
const NOW: i64 = 1_780_000_000;
const BOUNDS: [i64; 4] = [NOW - 100, NOW, NOW + 1, NOW + 100];
const GROUPS: usize = 40;
/// As many as `spec.blockedSubjects` of a Workspace may name.
const MAX_BLOCKED: usize = 256;

/// A stream of choices that a seed determines: SplitMix64.
pub struct Random(u64);

impl Random {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 to before `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// A policy in both forms, and who may ask.
pub struct Pair {
    /// The resolved table.
    pub table: Policy,
    /// The same for Cedar: its policies,
    pub policies: PolicySet,
    /// and its entities.
    pub entities: Entities,
    callers: Vec<Caller>,
}

struct Caller {
    id: SubjectId,
    groups: Vec<SubjectId>,
    uid: EntityUid,
}

/// One question. It holds its own copy of who asks, as a request does that has just been read: to
/// find that among all callers would cost more than to decide.
pub struct Question<'a> {
    caller: &'a Caller,
    subject: SubjectId,
    groups: Vec<SubjectId>,
    model: &'static str,
    max_tokens: u32,
    at: Timestamp,
}

/// A role with the time it is given for: in Cedar, what its holders are members of.
type Held = (usize, Option<i64>, Option<i64>);

fn uid(kind: &str, id: impl std::fmt::Display) -> EntityUid {
    let kind: EntityTypeName = kind.parse().expect("a type");
    EntityUid::from_type_name_and_id(kind, EntityId::new(id.to_string()))
}

fn instant(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

/// A random policy for so many subjects.
pub fn pair(seed: u64, subjects: usize) -> Pair {
    let random = &mut Random::new(seed);
    let mut cedar = String::new();
    let mut entities = Vec::new();

    let enabled = !random.chance(3);
    if !enabled {
        cedar.push_str("forbid(principal, action, resource);\n");
    }
    let bound: Option<Vec<&str>> = random.chance(50).then(|| {
        (0..1 + random.below(3))
            .map(|_| *random.pick(&PATTERNS))
            .collect()
    });
    if let Some(patterns) = &bound {
        let _ = writeln!(
            cedar,
            "forbid(principal, action, resource) unless {{ {} }};",
            among(patterns)
        );
    }
    cedar.push_str("forbid(principal, action, resource) when { principal.blocked };\n");
    cedar.push_str(
        "forbid(principal, action, resource) when { principal in Group::\"blocked\" };\n",
    );
    cedar.push_str("forbid(principal, action, resource) unless { principal.hasKey };\n");

    let mut roles = Vec::new();
    for i in 0..6 {
        let name = format!("role-{i}");
        let models: Vec<&str> = (0..1 + random.below(3))
            .map(|_| *random.pick(&PATTERNS))
            .collect();
        let cap = *random.pick(&CAPS);
        let open = random.chance(85);
        let access = open.then(|| AccessRow {
            models: models
                .iter()
                .map(|text| ModelPattern::parse(text).expect("a pattern"))
                .collect(),
            max_tokens: MaxTokens::try_from(cap).expect("a limit"),
            requests_per_minute: RequestsPerMinute::try_from(60).expect("a limit"),
        });
        roles.push((
            RoleRow {
                name: name.as_str().into(),
                access,
            },
            models,
            cap,
            open,
        ));
    }

    let mut holders: BTreeMap<Held, String> = BTreeMap::new();
    let mut grants = |random: &mut Random, most: usize| {
        let mut rows = Vec::new();
        let mut parents = HashSet::new();
        for _ in 0..random.below(most + 1) {
            let role = random.below(roles.len());
            let start = random.chance(30).then(|| *random.pick(&BOUNDS));
            let end = random.chance(30).then(|| *random.pick(&BOUNDS));
            let n = holders.len();
            let held = holders
                .entry((role, start, end))
                .or_insert_with(|| format!("held-{n}"));
            parents.insert(uid("Held", &held));
            rows.push(GrantRow {
                role: roles[role].0.id(),
                binding: "claude/binding".into(),
                not_before: start.map(instant),
                expires_at: end.map(instant),
            });
        }
        rows.sort();
        (rows, parents)
    };

    let usable = KeyRow {
        api_key_ref: "claude/good".into(),
        scope: Scope::Workspace,
        fingerprint: Some(Fingerprint::of(b"EXAMPLE")),
    };
    let revoked = KeyRow {
        api_key_ref: "claude/gone".into(),
        scope: Scope::Workspace,
        fingerprint: None,
    };
    let mut table = Policy {
        workspace: workspace(enabled, bound.as_deref(), usable.id()),
        roles: roles
            .iter()
            .map(|(row, ..)| (row.id(), row.clone()))
            .collect(),
        keys: BTreeMap::from([
            (usable.id(), usable.clone()),
            (revoked.id(), revoked.clone()),
        ]),
        blocked: BTreeSet::new(),
        subjects: HashMap::new(),
    };

    let group = |i: usize| Subject::Group {
        issuer: "corp".into(),
        name: format!("group-{i}").into(),
    };
    for i in 0..GROUPS {
        let (rows, mut parents) = grants(random, 1);
        if random.chance(3) {
            table.blocked.insert(group(i).id());
            parents.insert(uid("Group", "blocked"));
        }
        table.subjects.insert(
            group(i).id(),
            SubjectRow {
                grants: rows,
                key: None,
            },
        );
        entities.push(Entity::new(uid("Group", i), HashMap::new(), parents).expect("an entity"));
    }
    let mut callers = Vec::with_capacity(subjects);
    for i in 0..subjects {
        let subject =
            Subject::ServiceAccount(NamespacedName::new("search", format!("account-{i}")));
        let (rows, mut parents) = grants(random, 3);
        let groups: BTreeSet<usize> = (0..random.below(3)).map(|_| random.below(GROUPS)).collect();
        parents.extend(groups.iter().map(|i| uid("Group", i)));
        let (blocked, without_key) = (random.chance(3), random.chance(5));
        let blocked = blocked && table.blocked.len() < MAX_BLOCKED;
        if blocked {
            table.blocked.insert(subject.id());
        }
        let key = without_key.then(|| revoked.id());
        table
            .subjects
            .insert(subject.id(), SubjectRow { grants: rows, key });
        let attributes = [("blocked", blocked), ("hasKey", !without_key)];
        let attributes =
            attributes.map(|(name, is)| (name.to_owned(), RestrictedExpression::new_bool(is)));
        let own = uid("Account", i);
        entities
            .push(Entity::new(own.clone(), HashMap::from(attributes), parents).expect("an entity"));
        let groups = groups.into_iter().map(|i| group(i).id()).collect();
        callers.push(Caller {
            id: subject.id(),
            groups,
            uid: own,
        });
    }

    for ((role, start, end), name) in &holders {
        let (_, models, cap, open) = &roles[*role];
        if *open {
            let _ = write!(
                cedar,
                "permit(principal in Held::\"{name}\", action, resource) when {{ {}",
                among(models)
            );
            let _ = write!(cedar, " && context.maxTokens <= {cap}");
            let _ = start.map(|start| write!(cedar, " && context.now >= {start}"));
            let _ = end.map(|end| write!(cedar, " && context.now < {end}"));
            cedar.push_str(" };\n");
        }
        entities.push(Entity::new_no_attrs(uid("Held", name), HashSet::new()));
    }
    entities.push(Entity::new_no_attrs(
        uid("Group", "blocked"),
        HashSet::new(),
    ));
    Pair {
        table,
        policies: cedar.parse().expect("Cedar policies"),
        entities: Entities::from_entities(entities, None).expect("entities"),
        callers,
    }
}

/// A Cedar condition: the model is one of these.
fn among(patterns: &[&str]) -> String {
    let each = patterns
        .iter()
        .map(|pattern| format!("context.model like \"{pattern}\""));
    format!("({})", each.collect::<Vec<_>>().join(" || "))
}

fn workspace(enabled: bool, bound: Option<&[&str]>, default_key: ContentId) -> WorkspaceRow {
    WorkspaceRow {
        namespace: "claude".into(),
        name: "production".into(),
        environment: None,
        workspace_id: None,
        state: if enabled {
            WorkspaceState::Enabled
        } else {
            WorkspaceState::Disabled
        },
        models: bound.map(|patterns| {
            patterns
                .iter()
                .map(|text| ModelPattern::parse(text).expect("a pattern"))
                .collect()
        }),
        requests_per_minute: None,
        default_max_tokens: MaxTokens::try_from(1024).expect("a limit"),
        default_key: Some(default_key),
        issuers: Vec::new(),
    }
}

impl Pair {
    /// A random question.
    pub fn question(&self, random: &mut Random) -> Question<'_> {
        let caller = random.pick(&self.callers);
        let second = random.pick(&BOUNDS) - random.below(2) as i64;
        Question {
            caller,
            subject: caller.id,
            groups: caller.groups.clone(),
            model: *random.pick(&MODELS),
            max_tokens: *random.pick(&[1, 64, 65, 512, 513, 4096, 8192, 8193]),
            at: instant(second),
        }
    }

    /// Whether the table lets all of it through: the model, and every token asked for.
    pub fn by_table(&self, question: &Question<'_>) -> bool {
        let asked = Asked {
            subject: question.subject,
            groups: &question.groups,
            model: question.model,
            max_tokens: Some(question.max_tokens.into()),
            at: question.at,
        };
        decide(&self.table, &asked)
            .is_ok_and(|permit| permit.max_tokens().get() == question.max_tokens)
    }

    /// Whether Cedar does.
    pub fn by_cedar(&self, authorizer: &Authorizer, request: &Request) -> bool {
        let response = authorizer.is_authorized(request, &self.policies, &self.entities);
        debug_assert_eq!(response.diagnostics().errors().count(), 0);
        response.decision() == Decision::Allow
    }
}

impl Question<'_> {
    /// The same question to Cedar.
    pub fn for_cedar(&self) -> Request {
        let context = Context::from_pairs([
            (
                "model".to_owned(),
                RestrictedExpression::new_string(self.model.to_owned()),
            ),
            (
                "maxTokens".to_owned(),
                RestrictedExpression::new_long(self.max_tokens.into()),
            ),
            (
                "now".to_owned(),
                RestrictedExpression::new_long(self.at.as_second()),
            ),
        ]);
        let (action, gateway) = (uid("Action", "call"), uid("Gateway", "edge"));
        let context = context.expect("a context");
        Request::new(self.caller.uid.clone(), action, gateway, context, None).expect("a request")
    }
}

impl std::fmt::Display for Question<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} for {} tokens of {} at {}",
            self.caller.uid, self.max_tokens, self.model, self.at
        )
    }
}

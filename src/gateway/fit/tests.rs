//! Real sizes against real limits. Ids are of one shard unless a test says otherwise, as those
//! of somebody would be who picks names until they fall there.

use std::collections::HashMap;

use super::*;
use crate::gateway::{console, policy_json};
use crate::policy::digest::Fingerprint;
use crate::policy::key::Scope;
use crate::policy::limits::{DEFAULT_MAX_TOKENS, MaxTokens, RequestsPerMinute};
use crate::policy::model::ModelPattern;
use crate::policy::name::NamespacedName;
use crate::policy::table::{
    AccessRow, IssuerRow, IssuerType, KeyRow, Policy, RoleRow, WorkspaceRow,
};

/// What an API server takes of one object's data.
const LIMIT: usize = 1024 * 1024;

fn empty() -> Resolution {
    Resolution {
        policy: Policy {
            workspace: WorkspaceRow {
                namespace: "claude".into(),
                name: "production".into(),
                environment: None,
                workspace_id: None,
                state: WorkspaceState::Enabled,
                models: None,
                requests_per_minute: None,
                default_max_tokens: DEFAULT_MAX_TOKENS,
                default_key: None,
                issuers: Vec::new(),
            },
            roles: BTreeMap::new(),
            keys: BTreeMap::new(),
            blocked: BTreeSet::new(),
            subjects: HashMap::new(),
        },
        roles: BTreeMap::new(),
        console: BTreeMap::new(),
        names: HashMap::new(),
        client_keys: BTreeMap::new(),
        blocked_client_keys: BTreeMap::new(),
        grants: Vec::new(),
        keys: Vec::new(),
        findings: Vec::new(),
        next_boundary: None,
    }
}

/// The id of a subject, in the first of all shards.
fn id_of(subject: &Subject) -> SubjectId {
    let mut id = subject.id();
    id.0[0] = 0;
    id
}

/// Grants a role to a ServiceAccount of a namespace, by a binding of that namespace.
fn bind(resolution: &mut Resolution, namespace: &str, account: usize, binding: &str) -> SubjectId {
    let name = NamespacedName::new(namespace, format!("a{account}"));
    let subject = Subject::ServiceAccount(name);
    let id = id_of(&subject);
    resolution.names.insert(id, SubjectRef::Known(subject));
    give(resolution, id, namespace, binding);
    id
}

fn give(resolution: &mut Resolution, id: SubjectId, namespace: &str, binding: &str) {
    let grant = GrantRow {
        role: ContentId::of(b"user"),
        binding: format!("{namespace}/{binding}").into(),
        not_before: None,
        expires_at: None,
    };
    let row = resolution.policy.subjects.entry(id).or_default();
    row.grants.push(grant);
}

/// Fits it, and holds every object to the API server's limit.
fn fitted(resolution: &mut Resolution, ages: &Ages) -> Lost {
    let lost = fit(resolution, ages, ages);
    let rendered = policy_json::render(&resolution.policy);
    let people = console::render(
        &NamespacedName::new("claude", "production"),
        &resolution.console,
    );
    let objects = rendered.shards.iter().chain([&rendered.policy, &people]);
    let largest = objects.map(String::len).max();
    assert!(largest < Some(LIMIT), "{largest:?}");
    assert!(rendered.shards.len() <= MAX_SHARDS);
    lost
}

#[test]
fn what_fits_is_left_as_it_is() {
    let mut resolution = empty();
    for account in 0..20_000_usize {
        let id = SubjectId::of(&account.to_le_bytes());
        give(&mut resolution, id, "search", &format!("binding-{account}"));
    }
    let before = resolution.clone();
    assert!(fitted(&mut resolution, &Ages::new()).is_nothing());
    assert_eq!(resolution, before);
}

#[test]
fn the_namespace_with_the_most_loses_its_newest_and_nobody_else_anything() {
    let mut resolution = empty();
    let small: Vec<SubjectId> = (0..200)
        .map(|account| bind(&mut resolution, "small", account, "all"))
        .collect();
    let long = "n".repeat(50);
    for account in 0..10_000 {
        bind(
            &mut resolution,
            "big",
            account,
            &format!("{long}-{account:06}"),
        );
    }
    let old = bind(&mut resolution, "big", 0, "old");
    let new = Name::from(format!("big/{long}-{:06}", 0));
    let ages = resolution
        .policy
        .subjects
        .values()
        .flat_map(|row| &row.grants);
    let at = |second| Timestamp::from_second(second).expect("in range");
    let mut ages: Ages = ages.map(|grant| (grant.binding.clone(), at(10))).collect();
    ages.insert("big/old".into(), at(1));
    ages.insert(new.clone(), at(99));

    let lost = fitted(&mut resolution, &ages);
    assert!(!lost.grants.is_empty() && !lost.everything && lost.keys.is_empty());
    assert!(
        lost.grants
            .keys()
            .all(|binding| binding.starts_with("big/"))
    );
    assert!(
        small
            .iter()
            .all(|id| resolution.policy.subjects[id].grants.len() == 1)
    );
    let row = &resolution.policy.subjects[&old];
    let bindings: Vec<&str> = row.grants.iter().map(|grant| &*grant.binding).collect();
    assert_eq!(bindings, ["big/old"], "the newest went, the oldest stays");
    assert!(lost.grants.contains_key(&new));
    let kept: usize = resolution
        .policy
        .subjects
        .values()
        .map(|row| row.grants.len())
        .sum();
    assert_eq!(kept + lost.grants.values().sum::<usize>(), 10_201);
    assert!(kept > 2_000, "only what does not fit is left out: {kept}");
}

#[test]
fn one_subject_named_by_thousands_does_not_fill_a_shard_for_the_others() {
    let mut resolution = empty();
    let victim = bind(&mut resolution, "small", 0, "own");
    for binding in 0..6_000 {
        give(&mut resolution, victim, "big", &format!("{binding:04}"));
    }
    let lost = fitted(&mut resolution, &Ages::new());
    assert!(
        lost.grants
            .keys()
            .all(|binding| binding.starts_with("big/"))
    );
    let grants = &resolution.policy.subjects[&victim].grants;
    assert!(grants.iter().any(|grant| *grant.binding == *"small/own"));
}

#[test]
fn thousands_of_keys_lose_the_newest_of_the_namespace_with_the_most() {
    let mut resolution = empty();
    let mut add = |namespace: &str, i: usize| {
        let row = KeyRow {
            api_key_ref: format!("{namespace}/{}-{i:05}", "k".repeat(100)).into(),
            scope: Scope::Workspace,
            fingerprint: Some(Fingerprint::of(&i.to_le_bytes())),
        };
        resolution.policy.keys.insert(row.id(), row.clone());
        row
    };
    let own = add("claude", 0);
    for i in 0..20_000 {
        add("big", i);
    }
    let small = add("small", 0);
    resolution.policy.workspace.default_key = Some(own.id());
    let (id, served) = (
        SubjectId::of(b"x"),
        SubjectRow {
            grants: Vec::new(),
            key: Some(small.id()),
        },
    );
    resolution.policy.subjects.insert(id, served);
    let lost = fitted(&mut resolution, &Ages::new());
    assert!(lost.keys.len() > 10_000 && lost.keys.iter().all(|name| name.starts_with("big/")));
    let kept = |row: &KeyRow| resolution.policy.keys.contains_key(&row.id());
    assert!(kept(&own) && kept(&small));
}

#[test]
fn roles_past_the_limit_open_nothing() {
    let mut resolution = empty();
    let patterns = (0..64).map(|i| ModelPattern::parse(&format!("{i:02}{}", "m".repeat(120))));
    let models: ModelSet = patterns
        .map(|pattern| pattern.expect("a pattern"))
        .collect();
    for i in 0..64 {
        let row = RoleRow {
            name: format!("role-{i:02}").into(),
            access: Some(AccessRow {
                models: models.clone(),
                max_tokens: MaxTokens::try_from(1).expect("a limit"),
                requests_per_minute: RequestsPerMinute::try_from(1).expect("a limit"),
            }),
        };
        let id = bind(&mut resolution, "search", i, &format!("b{i:02}"));
        resolution
            .policy
            .subjects
            .get_mut(&id)
            .expect("there")
            .grants[0]
            .role = row.id();
        resolution.policy.roles.insert(row.id(), row);
    }
    let lost = fitted(&mut resolution, &Ages::new());
    assert!(lost.roles.contains("role-63") && !lost.roles.contains("role-00"));
    assert_eq!(
        lost.grants.len(),
        lost.roles.len(),
        "who holds them is told"
    );
    assert_eq!(resolution.policy.roles.len() + lost.roles.len(), 64);
}

#[test]
fn blocking_more_than_can_be_listed_lets_nobody_in() {
    let mut resolution = empty();
    let secret = || SubjectRef::ClientKeySecret(NamespacedName::new("search", "client"));
    let ids: Vec<SubjectId> = (0..40_000_usize)
        .map(|i| SubjectId::of(&i.to_le_bytes()))
        .collect();
    for id in &ids {
        resolution.names.insert(*id, secret());
        resolution.policy.blocked.insert(*id);
    }
    let bound = &ids[..10_000];
    for id in bound {
        let other = bind(&mut resolution, "search", 0, "b");
        let row = resolution.policy.subjects.remove(&other).expect("there");
        resolution.policy.subjects.insert(*id, row);
    }
    let eve = Subject::User {
        issuer: "corp".into(),
        name: "eve".into(),
    };
    resolution.policy.blocked.insert(eve.id());
    resolution
        .names
        .insert(eve.id(), SubjectRef::Known(eve.clone()));
    fitted(&mut resolution, &Ages::new());
    let policy = &resolution.policy;
    assert!(
        policy.blocked.contains(&eve.id()),
        "a person's groups may let it in"
    );
    let let_in =
        |id: &&SubjectId| policy.subjects.contains_key(*id) && !policy.blocked.contains(*id);
    assert_eq!(bound.iter().find(let_in), None);
}

#[test]
fn a_workspace_that_does_not_fit_itself_denies_everything() {
    let mut resolution = empty();
    bind(&mut resolution, "search", 0, "b");
    let issuer = |i: usize| IssuerRow {
        name: format!("issuer-{i}").into(),
        kind: IssuerType::Oidc,
        audiences: vec!["\"".repeat(256).into(); 16],
        issuer_url: Some("https://login.example.com".into()),
        user_claim: None,
        groups_claim: None,
    };
    resolution.policy.workspace.issuers = (0..200).map(issuer).collect();
    let lost = fitted(&mut resolution, &Ages::new());
    assert!(lost.everything && resolution.policy.subjects.is_empty());
    assert_eq!(resolution.policy.workspace.state, WorkspaceState::Disabled);
}

#[test]
fn people_past_one_object_are_left_out_and_told() {
    let mut resolution = empty();
    let people = (0..10_000).map(|i| Name::from(format!("{i:05}{}@example.com", "p".repeat(200))));
    resolution.console.insert("User".into(), people.collect());
    let lost = fitted(&mut resolution, &Ages::new());
    let left_out = lost.people["User"].len();
    assert_eq!(resolution.console["User"].len() + left_out, 10_000);
    assert!(left_out > 0 && lost.people["User"].iter().all(|name| **name > *"02"));
}

#[test]
fn keys_for_accounts_without_a_grant_go_first_and_for_people_never() {
    let account =
        |i: usize| Subject::ServiceAccount(NamespacedName::new("search", format!("a{i}")));
    let person = |i: usize| Subject::User {
        issuer: "corp".into(),
        name: format!("p{i}").into(),
    };
    let with = |subject: &dyn Fn(usize) -> Subject, count: usize| {
        let mut resolution = empty();
        bind(&mut resolution, "small", 0, "own");
        for subject in (0..count).map(subject) {
            let id = id_of(&subject);
            let key = Some(ContentId::of(b"key"));
            resolution.policy.subjects.insert(
                id,
                SubjectRow {
                    grants: Vec::new(),
                    key,
                },
            );
            resolution.names.insert(id, SubjectRef::Known(subject));
        }
        let lost = fitted(&mut resolution, &Ages::new());
        (lost.everything, resolution.policy.subjects.len())
    };
    let (closed, left) = with(&account, 10_000);
    assert!(!closed && left > 4_000, "{left}");
    assert_eq!(
        with(&person, 10_000),
        (true, 0),
        "another key would step in for them"
    );
}

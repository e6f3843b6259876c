use super::*;
use crate::policy::key::Scope;
use crate::policy::limits::DEFAULT_MAX_TOKENS;
use crate::policy::model::ModelPattern;
use crate::policy::name::NamespacedName;
use crate::policy::resolve::{Refusal, SubjectProblem};
use crate::policy::table::{AccessRow, RoleRow, SubjectRow, WorkspaceRow, WorkspaceState};
use std::collections::{BTreeMap, BTreeSet, HashMap};

fn set(texts: &[&str]) -> ModelSet {
    let parsed = texts.iter().map(|text| ModelPattern::parse(text));
    parsed.map(|pattern| pattern.expect("a pattern")).collect()
}

fn role(name: &str, models: Option<&[&str]>, max_tokens: i64, rate: i64) -> RoleRow {
    RoleRow {
        name: name.into(),
        access: models.map(|models| AccessRow {
            models: set(models),
            max_tokens: MaxTokens::try_from(max_tokens).expect("a limit"),
            requests_per_minute: RequestsPerMinute::try_from(rate).expect("a limit"),
        }),
    }
}

fn at(hour: i64) -> Timestamp {
    Timestamp::from_second(hour * 3600).expect("in range")
}

fn grant(role: &RoleRow, binding: &str, until: Option<i64>) -> GrantRow {
    GrantRow {
        role: role.id(),
        binding: binding.into(),
        not_before: None,
        expires_at: until.map(at),
    }
}

fn identity(text: &str) -> Identity {
    match SubjectRef::parse(text).expect("a subject") {
        SubjectRef::Known(subject) => Identity {
            ids: vec![subject.id()],
            named: SubjectRef::Known(subject),
        },
        secret @ SubjectRef::ClientKeySecret(_) => Identity {
            ids: Vec::new(),
            named: secret,
        },
    }
}

fn caller(subject: &str, groups: &[&str]) -> Caller {
    Caller {
        subject: identity(subject),
        groups: groups.iter().map(|group| identity(group)).collect(),
    }
}

/// Uma is a user, her group `ds` has power; both over one default key.
fn policy() -> Policy {
    let (user, power) = (
        role("user", Some(&["claude-haiku-*"]), 512, 10),
        role("power", Some(&["*"]), 4096, 60),
    );
    let key = KeyRow {
        api_key_ref: "claude/shared".into(),
        scope: Scope::Workspace,
        fingerprint: crate::policy::digest::Fingerprint::parse("1a2b3c4d5e6f7081"),
    };
    let row = |grants: Vec<GrantRow>| SubjectRow { grants, key: None };
    let id = |text: &str| identity(text).ids[0];
    Policy {
        workspace: WorkspaceRow {
            namespace: "claude".into(),
            name: "production".into(),
            environment: None,
            workspace_id: None,
            state: WorkspaceState::Enabled,
            models: Some(set(&["claude-haiku-*", "claude-opus-5"])),
            requests_per_minute: None,
            default_max_tokens: DEFAULT_MAX_TOKENS,
            default_key: Some(key.id()),
            issuers: Vec::new(),
        },
        subjects: HashMap::from([
            (
                id("user:corp:uma"),
                row(vec![grant(&user, "claude/users", None)]),
            ),
            (
                id("group:corp:ds"),
                row(vec![grant(&power, "claude/ds", Some(10))]),
            ),
        ]),
        roles: [user, power].into_iter().map(|r| (r.id(), r)).collect(),
        keys: BTreeMap::from([(key.id(), key)]),
        blocked: BTreeSet::new(),
    }
}

fn opened(access: &Access<'_>) -> Vec<(String, String, u32)> {
    let row = |grant: &Opened<'_>| {
        let models: Vec<String> = grant.models.iter().map(ToString::to_string).collect();
        (
            grant.through.to_string(),
            models.join(" "),
            grant.max_tokens.get(),
        )
    };
    access.grants.iter().map(row).collect()
}

#[test]
fn access_is_what_the_workspace_leaves_of_each_grant_in_force() {
    let policy = policy();
    let uma = caller("user:corp:uma", &["group:corp:ds"]);
    let access = uma.access(&policy, at(9));
    assert_eq!(
        opened(&access),
        [
            ("user:corp:uma".to_owned(), "claude-haiku-*".to_owned(), 512),
            (
                "group:corp:ds".to_owned(),
                "claude-opus-5 claude-haiku-*".to_owned(),
                4096
            ),
        ]
    );
    assert_eq!(
        (access.denied, access.requests_per_minute.map(|r| r.get())),
        (None, Some(60))
    );
    let later = uma.access(&policy, at(10));
    assert_eq!(later.grants.len(), 1, "the group's grant ended");
    let without = caller("user:corp:uma", &[]);
    assert_eq!(opened(&without.access(&policy, at(9))).len(), 1);
}

#[test]
fn a_caller_without_any_access_is_told_the_denial_that_says_most() {
    let mut policy = policy();
    let stranger = caller("user:corp:eve", &[]);
    let uma = caller("user:corp:uma", &[]);
    assert_eq!(stranger.access(&policy, at(9)).denied, Some(Denial::NoRole));
    assert_eq!(uma.access(&policy, at(9)).denied, None);
    policy.workspace.default_key = None;
    assert_eq!(uma.access(&policy, at(9)).denied, Some(Denial::NoKey));
    policy.blocked.insert(uma.subject.ids[0]);
    let blocked = uma.access(&policy, at(9));
    assert_eq!(blocked.denied, Some(Denial::SubjectBlocked));
    assert_eq!(blocked.grants.len(), 1, "what it would have");
    let named = SubjectRef::parse("user:corp:uma").expect("a subject");
    assert_eq!(blocked.blocked, [&named]);
}

#[test]
fn of_several_client_keys_the_one_that_is_denied_speaks_for_all() {
    let policy = policy();
    let mut both = caller("user:corp:uma", &[]);
    both.subject.ids.extend(identity("user:corp:eve").ids);
    assert_eq!(both.access(&policy, at(9)).denied, Some(Denial::NoRole));
}

#[test]
fn a_binding_that_gives_nothing_says_why() {
    let grant = |role: &str| Grant {
        workspace: NamespacedName::new("claude", "production"),
        role: RoleRef::Application(role.into()),
        subjects: vec![identity("user:corp:uma").named],
        console_members: Vec::new(),
        window: Window {
            not_before: Some(at(1)),
            expires_at: Some(at(2)),
        },
        enabled: true,
    };
    let fine = GrantOutcome {
        refused: None,
        problems: Vec::new(),
        subjects: 1,
        phase: Some(Phase::Active),
    };
    let policy = {
        let mut policy = policy();
        for row in [
            role("viewer", None, 1, 1),
            role("old", Some(&["claude-2"]), 1, 1),
        ] {
            policy.roles.insert(row.id(), row);
        }
        policy
    };
    let uma = identity("user:corp:uma").named;
    let why = |role: &str, outcome: &GrantOutcome| {
        closed(&policy, &grant(role), outcome, &uma).map(|closed| closed.reason)
    };
    let phase = |phase| GrantOutcome {
        phase,
        ..fine.clone()
    };
    assert_eq!(why("user", &fine), None);
    assert_eq!(why("user", &phase(None)), Some("Disabled"));
    assert_eq!(why("user", &phase(Some(Phase::Pending))), Some("Pending"));
    assert_eq!(why("user", &phase(Some(Phase::Expired))), Some("Expired"));
    assert_eq!(why("viewer", &fine), Some("NoApiAccess"));
    assert_eq!(why("old", &fine), Some("ModelOutsideWorkspace"));
    let refused = GrantOutcome {
        refused: Some(Refusal::RoleNotPermitted("user".into())),
        ..fine.clone()
    };
    assert_eq!(why("user", &refused), Some("RoleNotPermitted"));
    let problem = |subject: &str| GrantOutcome {
        problems: vec![SubjectProblem {
            subject: subject.to_owned(),
            reason: reason::ISSUER_NOT_FOUND,
            message: String::new(),
        }],
        ..fine.clone()
    };
    assert_eq!(
        why("user", &problem("user:corp:uma")),
        Some("IssuerNotFound")
    );
    assert_eq!(why("user", &problem("user:corp:eve")), None, "another's");
}

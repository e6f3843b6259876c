//! Bodies against a policy: nothing in one reaches further than the caller's roles.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::*;
use crate::policy::limits::DEFAULT_MAX_TOKENS;
use crate::policy::model::{ModelPattern, ModelSet};
use crate::policy::subject::Subject;
use crate::policy::table::WorkspaceRow;

const HAIKU: &str = "claude-haiku-5-5";
const OPUS: &str = "claude-opus-5-5";
const FABLE: &str = "claude-fable-5";

fn models(patterns: &[&str]) -> ModelSet {
    let patterns = patterns.iter().map(|text| ModelPattern::parse(text));
    patterns
        .map(|pattern| pattern.expect("a pattern"))
        .collect()
}

fn role(name: &str, patterns: &[&str], max_tokens: i64) -> RoleRow {
    RoleRow {
        name: name.into(),
        access: Some(AccessRow {
            models: models(patterns),
            max_tokens: MaxTokens::try_from(max_tokens).expect("a limit"),
            requests_per_minute: RequestsPerMinute::try_from(10).expect("a limit"),
        }),
    }
}

fn search() -> SubjectId {
    Subject::Group {
        issuer: "corp".into(),
        name: "search".into(),
    }
    .id()
}

/// `search` may use haiku for 512 tokens and opus for 4096; the workspace has no fable.
fn policy() -> Policy {
    let roles = [
        role("user", &["claude-haiku-*"], 512),
        role("power", &["claude-opus-*", "claude-fable-*"], 4096),
    ];
    let key = KeyRow {
        api_key_ref: "claude/shared".into(),
        scope: Scope::Workspace,
        fingerprint: crate::policy::digest::Fingerprint::parse("0123456789abcdef"),
    };
    let grant = |role: &RoleRow| GrantRow {
        role: role.id(),
        binding: format!("claude/{}", role.name).into(),
        not_before: None,
        expires_at: None,
    };
    Policy {
        workspace: WorkspaceRow {
            namespace: "claude".into(),
            name: "production".into(),
            environment: None,
            workspace_id: None,
            state: WorkspaceState::Enabled,
            models: Some(models(&["claude-haiku-*", "claude-opus-*"])),
            requests_per_minute: None,
            default_max_tokens: DEFAULT_MAX_TOKENS,
            default_key: Some(key.id()),
            issuers: Vec::new(),
        },
        subjects: HashMap::from([(
            search(),
            SubjectRow {
                grants: roles.iter().map(grant).collect(),
                key: None,
            },
        )]),
        roles: roles.into_iter().map(|role| (role.id(), role)).collect(),
        keys: BTreeMap::from([(key.id(), key)]),
        blocked: BTreeSet::new(),
    }
}

fn posted(endpoint: Endpoint, body: &str) -> Result<u32, Denial> {
    let posted = Posted {
        subject: search(),
        groups: &[],
        endpoint,
        body: body.as_bytes(),
        at: Timestamp::UNIX_EPOCH,
    };
    decide_posted(&policy(), &posted).map(|permit| permit.max_tokens().get())
}

fn message(model: &str, rest: &str) -> Result<u32, Denial> {
    let body = format!(r#"{{"model": "{model}", "messages": []{rest}}}"#);
    posted(Endpoint::Messages, &body)
}

#[test]
fn a_body_is_held_to_the_caps_of_its_model() {
    assert_eq!(message(HAIKU, ""), Ok(512));
    assert_eq!(message(HAIKU, r#", "max_tokens": 5"#), Ok(5));
    assert_eq!(
        message(HAIKU, r#", "max_tokens": 99999999999999999999"#),
        Ok(512)
    );
    assert_eq!(message(OPUS, r#", "max_tokens": 9999"#), Ok(4096));
    assert_eq!(
        message(HAIKU, r#", "max_tokens": 0"#),
        Err(Denial::InvalidMaxTokens)
    );
    assert_eq!(
        message(FABLE, ""),
        Err(Denial::ModelOutsideWorkspace(FABLE.into()))
    );
    assert_eq!(
        message("claude-haiku", ""),
        Err(Denial::ModelOutsideWorkspace("claude-haiku".into()))
    );
}

#[test]
fn a_model_is_refused_alike_by_itself_and_in_a_body() {
    let mut policy = policy();
    policy.workspace.models = None;
    for role in policy.roles.values_mut() {
        role.access.as_mut().expect("access").models = models(&["*"]);
    }
    let asked = |model: &str| {
        let request = Request {
            subject: search(),
            groups: &[],
            model,
            max_tokens: None,
            at: Timestamp::UNIX_EPOCH,
        };
        let body = serde_json::json!({"model": model}).to_string();
        let posted = Posted {
            subject: search(),
            groups: &[],
            endpoint: Endpoint::Messages,
            body: body.as_bytes(),
            at: Timestamp::UNIX_EPOCH,
        };
        let outcome = decide(&policy, &request);
        assert_eq!(outcome, decide_posted(&policy, &posted), "{model:?}");
        outcome.map(drop)
    };
    for model in ["", "claude\n", &"m".repeat(257)] {
        assert_eq!(asked(model), Err(Denial::InvalidModel), "{model:?}");
    }
    assert_eq!(asked(&"m".repeat(256)), Ok(()));
}

#[test]
fn what_is_nested_is_held_to_the_same_rules() {
    let fallback = |rest: &str| format!(r#", "max_tokens": 400, "fallbacks": [{{{rest}}}]"#);
    assert_eq!(
        message(
            HAIKU,
            &fallback(r#""model": "claude-opus-5", "max_tokens": 4096"#)
        ),
        Ok(400)
    );
    let above = || Err(Denial::FieldNotAllowed("fallbacks".to_owned()));
    assert_eq!(
        message(
            HAIKU,
            &fallback(r#""model": "claude-opus-5", "max_tokens": 4097"#)
        ),
        above()
    );
    assert_eq!(
        message(
            OPUS,
            &fallback(r#""model": "claude-haiku-5-5", "max_tokens": 513"#)
        ),
        above()
    );
    assert_eq!(
        message(HAIKU, &fallback(r#""max_tokens": 513"#)),
        above(),
        "of the body's own model"
    );
    assert_eq!(message(HAIKU, &fallback(r#""max_tokens": 512"#)), Ok(400));
    assert_eq!(
        message(HAIKU, &fallback(r#""model": "claude-fable-5""#)),
        Err(Denial::ModelOutsideWorkspace(FABLE.into()))
    );
    let advisor = r#", "tools": [{"type": "advisor_20260301", "model": "claude-opus-5", "max_tokens": 5000}]"#;
    assert_eq!(
        message(HAIKU, advisor),
        Err(Denial::FieldNotAllowed("tools".to_owned()))
    );
}

#[test]
fn a_nested_model_gets_no_more_of_the_bodys_tokens_than_it_may() {
    let fallback = r#", "max_tokens": 513, "fallbacks": [{"model": "claude-haiku-5-5"}]"#;
    let above = Err(Denial::FieldNotAllowed("fallbacks".to_owned()));
    assert_eq!(message(OPUS, fallback), above);
    assert_eq!(message(OPUS, &fallback.replace("513", "512")), Ok(512));
}

#[test]
fn counting_tokens_is_held_to_models_and_to_no_number() {
    let count = |rest: &str| {
        let body = format!(r#"{{"model": "{HAIKU}", "messages": [], "max_tokens": "any"{rest}}}"#);
        posted(Endpoint::CountTokens, &body).map(drop)
    };
    assert_eq!(count(""), Ok(()));
    assert_eq!(
        count(r#", "x": {"model": "claude-opus-5", "max_tokens": 9999}"#),
        Ok(())
    );
    assert_eq!(
        count(r#", "x": {"model": "claude-fable-5"}"#),
        Err(Denial::ModelOutsideWorkspace(FABLE.into()))
    );
    assert_eq!(
        count(r#", "fallbacks": "default""#),
        Err(Denial::FieldNotAllowed("fallbacks".to_owned()))
    );
}

#[test]
fn who_may_nothing_is_told_so_before_the_body_is_read() {
    let stranger = Posted {
        subject: SubjectId::of(b"x"),
        groups: &[],
        endpoint: Endpoint::Messages,
        body: b"no body",
        at: Timestamp::UNIX_EPOCH,
    };
    assert_eq!(decide_posted(&policy(), &stranger), Err(Denial::NoRole));
    let member = Posted {
        groups: &[search()],
        ..stranger
    };
    assert_eq!(decide_posted(&policy(), &member), Err(Denial::InvalidBody));
}

#[test]
fn a_request_shows_one_credential_of_a_known_kind() {
    use crate::policy::caller::{Credential, Unauthenticated, credential};
    use crate::policy::digest::Digest;
    let key = b"client-key-EXAMPLE-0123456789abcdef";
    let id = Subject::ClientKey(Digest::of(key)).id();
    let mut policy = policy();
    policy.blocked.insert(id);
    let shown = |api_keys: &[&'static [u8]], bearers: &[&'static [u8]]| {
        credential(&policy, api_keys, bearers)
    };
    let known = Ok(Credential::ClientKey(id));
    assert_eq!(shown(&[key], &[]), known);
    assert_eq!(
        shown(&[key], &[b"bEARER client-key-EXAMPLE-0123456789abcdef"]),
        known
    );
    assert_eq!(
        shown(&[], &[b"Bearer eyJ.x.y"]),
        Ok(Credential::Token("eyJ.x.y"))
    );
    assert_eq!(shown(&[b"eyJ.x.y"], &[]), Ok(Credential::Token("eyJ.x.y")));
    assert_eq!(shown(&[], &[]), Err(Unauthenticated::Missing));
    assert_eq!(
        shown(&[key, b"eyJ.x.y"], &[]),
        Err(Unauthenticated::Several)
    );
    assert_eq!(
        shown(&[b""], &[b"Bearer eyJ.x.y"]),
        Err(Unauthenticated::Several)
    );
    for unknown in [
        b"sk-ant-api03-EXAMPLE".as_slice(),
        b"serviceaccount\nsearch\nsearch",
        b"",
        b"ey\xff",
    ] {
        assert_eq!(
            shown(&[unknown], &[]),
            Err(Unauthenticated::Unknown),
            "{unknown:?}"
        );
    }
    for scheme in [b"Basic eyJ".as_slice(), b"Bearer", b"eyJ.x.y", b""] {
        assert_eq!(
            shown(&[], &[scheme]),
            Err(Unauthenticated::Unknown),
            "{scheme:?}"
        );
    }
}

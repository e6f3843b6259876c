//! Who gets in, and who does not.

use serde_json::json;

use super::stage::{
    KEY_A, Stage, binding, condition, key, namespace, secret, service, text_of, workspace,
};
use crate::policy::decide::Denial;
use crate::policy::finding::Reason;

const HAIKU: &str = "claude-haiku-4-5";
const SEARCH: &str = "serviceaccount:claude/search";

/// A workspace with a default key, and bindings in its own namespace.
fn open(spec: serde_json::Value, bindings: &[serde_json::Value]) -> Stage {
    let mut whole = json!({"keys": {"defaultApiKeyRef": {"name": "shared"}}});
    whole
        .as_object_mut()
        .unwrap()
        .extend(spec.as_object().unwrap().clone());
    let mut stage = Stage::with(&[
        workspace(whole),
        secret("claude/source", KEY_A),
        key("claude/shared", json!({})),
    ]);
    bindings
        .iter()
        .for_each(|binding| drop(stage.apply(binding)));
    stage
}

#[test]
fn a_bound_subject_is_let_in_and_told_by_whom() {
    let stage = open(
        json!({}),
        &[binding("claude/b", "user", service("claude", "search"))],
    );
    let permit = stage.decide(SEARCH, HAIKU).expect("bound");
    assert_eq!(
        (&**permit.role(), &**permit.binding()),
        ("user", "claude/b")
    );
    assert_eq!(&**permit.api_key_ref(), "claude/shared");
    assert_eq!(
        (
            permit.max_tokens().get(),
            permit.requests_per_minute().get()
        ),
        (512, 10)
    );
    assert_eq!(
        stage.decide("serviceaccount:claude/other", HAIKU),
        Err(Denial::NoRole)
    );
}

#[test]
fn every_refusal_has_its_own_words() {
    let stage = open(
        json!({"models": ["claude-haiku-*", "claude-opus-5"], "blockedSubjects": [{"kind": "ServiceAccount", "name": "eve", "namespace": "claude"}]}),
        &[
            binding("claude/user", "user", service("claude", "search")),
            binding("claude/viewer", "viewer", service("claude", "vic")),
            binding("claude/eve", "admin", service("claude", "eve")),
        ],
    );
    let words = |subject: &str, model: &str| stage.decide(subject, model).unwrap_err().to_string();
    assert_eq!(
        words("serviceaccount:claude/eve", HAIKU),
        "Subject is blocked"
    );
    assert_eq!(
        words("serviceaccount:claude/vic", HAIKU),
        "Role does not allow API access"
    );
    assert_eq!(
        words(SEARCH, "claude-fable-5"),
        "Workspace does not allow model: claude-fable-5"
    );
    assert_eq!(
        words(SEARCH, "claude-opus-5"),
        "Role cannot access model: claude-opus-5"
    );
    let disabled = open(json!({"state": "Disabled"}), &[]);
    assert_eq!(
        disabled.decide(SEARCH, HAIKU),
        Err(Denial::WorkspaceDisabled)
    );
}

#[test]
fn roles_add_up_to_the_most_generous_for_each_model() {
    let stage = open(
        json!({"roles": [{"name": "batch", "apiAccess": "Allowed", "models": [HAIKU], "maxTokens": 9000, "requestsPerMinute": 1}]}),
        &[
            binding("claude/a", "user", service("claude", "search")),
            binding("claude/b", "batch", service("claude", "search")),
        ],
    );
    let permit = stage
        .decide_as(SEARCH, &[], HAIKU, Some(100_000))
        .expect("both allow it");
    assert_eq!(
        (permit.max_tokens().get(), &**permit.role()),
        (9000, "batch")
    );
    assert_eq!(
        permit.requests_per_minute().get(),
        10,
        "the highest rate, whatever the model"
    );
    let dated = stage
        .decide_as(SEARCH, &[], "claude-haiku-4-5-20251001", Some(100_000))
        .expect("alias");
    assert_eq!(
        dated.max_tokens().get(),
        9000,
        "the dated id is the same model"
    );
    let other = stage
        .decide_as(SEARCH, &[], "claude-haiku-5-5", Some(100_000))
        .expect("by user");
    assert_eq!((other.max_tokens().get(), &**other.role()), (512, "user"));
}

#[test]
fn max_tokens_are_the_smaller_of_asked_and_allowed() {
    let stage = open(
        json!({}),
        &[binding("claude/b", "admin", service("claude", "search"))],
    );
    let got = |asked| {
        stage
            .decide_as(SEARCH, &[], HAIKU, asked)
            .map(|permit| permit.max_tokens().get())
    };
    assert_eq!(got(None), Ok(1024));
    assert_eq!(
        (got(Some(1)), got(Some(8192)), got(Some(u64::MAX))),
        (Ok(1), Ok(8192), Ok(8192))
    );
    assert_eq!(got(Some(0)), Err(Denial::InvalidMaxTokens));
}

#[test]
fn without_a_key_nobody_is_let_in_and_no_other_key_steps_in() {
    let mut stage = open(
        json!({}),
        &[binding("claude/b", "user", service("claude", "search"))],
    );
    stage.apply(&secret("claude/own", "sk-ant-api03-EXAMPLE-own"));
    let own = json!({"source": {"secretKeyRef": {"name": "own", "key": "api-key"}}, "target": {"secretName": "own-target"},
                     "usedBy": [{"kind": "ServiceAccount", "name": "search"}]});
    stage.apply(&key("claude/own", own.clone()));
    assert_eq!(
        &**stage.decide(SEARCH, HAIKU).expect("own key").api_key_ref(),
        "claude/own"
    );
    let mut revoked = own;
    revoked["state"] = json!("Revoked");
    stage.apply(&key("claude/own", revoked));
    assert_eq!(
        stage.decide(SEARCH, HAIKU),
        Err(Denial::NoKey),
        "the shared key does not step in"
    );
}

#[test]
fn a_group_gives_its_members_role_and_key() {
    let issuers = json!({"authentication": {"issuers": [{"name": "corp", "type": "OIDC", "issuerURL": "https://login.example.com",
        "jwksURI": "https://login.example.com/keys", "groupsClaim": "groups", "audiences": ["claude"]}]}});
    let group = json!([{"kind": "Group", "name": "science", "issuer": "corp"}]);
    let stage = open(issuers, &[binding("claude/b", "user", group)]);
    let permit = stage.decide_as("user:corp:uma", &["group:corp:science"], HAIKU, None);
    assert_eq!(&**permit.expect("a member").binding(), "claude/b");
    assert_eq!(stage.decide("user:corp:uma", HAIKU), Err(Denial::NoRole));
}

#[test]
fn a_subject_that_nobody_vouches_for_is_left_out_and_the_others_are_not() {
    let mut both = service("claude", "search");
    both.as_array_mut()
        .unwrap()
        .push(json!({"kind": "User", "name": "uma", "issuer": "corp"}));
    let stage = open(json!({}), &[binding("claude/b", "user", both)]);
    assert!(stage.decide(SEARCH, HAIKU).is_ok());
    assert_eq!(stage.decide("user:corp:uma", HAIKU), Err(Denial::NoRole));
    let ready = condition(&stage.plan(), "Ready", "claude/b");
    assert_eq!(ready, ("False".into(), "IssuerNotFound".into()));
}

#[test]
fn another_namespace_attaches_only_as_far_as_it_is_admitted() {
    let admitted = json!({"allowedNamespaces": [{"selector": {"matchLabels": {"claude": "enabled"}}, "roles": ["user"]}]});
    let mut stage = open(
        admitted,
        &[
            binding("search/own", "user", service("search", "search")),
            binding("search/admin", "admin", service("search", "search")),
            binding("search/foreign", "user", service("batch", "batch")),
            binding("batch/own", "user", service("batch", "batch")),
        ],
    );
    stage.apply(&namespace("search", json!({"claude": "enabled"})));
    stage.apply(&namespace("batch", json!({})));
    let plan = stage.plan();
    let reason = |object: &str| condition(&plan, "ResolvedRefs", object).1;
    assert_eq!(reason("search/own"), "ResolvedRefs");
    assert_eq!(reason("search/admin"), "RoleNotPermitted");
    assert_eq!(reason("search/foreign"), "SubjectNotPermitted");
    assert_eq!(reason("batch/own"), "RefNotPermitted");
    let permit = stage
        .decide("serviceaccount:search/search", HAIKU)
        .expect("admitted");
    assert_eq!(
        permit.max_tokens().get(),
        512,
        "the admin binding gives nothing"
    );
    assert_eq!(
        stage.decide("serviceaccount:batch/batch", HAIKU),
        Err(Denial::NoRole)
    );

    let affected = stage.apply(&namespace("search", json!({})));
    assert_eq!(affected.len(), 1, "the label was what admitted it");
    assert_eq!(
        stage.decide("serviceaccount:search/search", HAIKU),
        Err(Denial::NoRole)
    );
}

#[test]
fn a_grant_holds_from_its_first_to_before_its_last_instant() {
    let mut timed = binding("claude/b", "user", service("claude", "search"));
    timed["spec"]["notBefore"] = json!("2026-12-01T00:00:00Z");
    timed["spec"]["expiresAt"] = json!("2027-01-01T00:00:00Z");
    let mut stage = open(json!({}), &[timed]);
    let mut at = |now: &str| {
        stage.at(now);
        (
            stage.decide(SEARCH, HAIKU).is_ok(),
            stage.plan().wake_at.map(|at| at.to_string()),
        )
    };
    assert_eq!(
        at("2026-11-30T23:59:59Z"),
        (false, Some("2026-12-01T00:00:00Z".into()))
    );
    assert!(at("2026-12-01T00:00:00Z").0 && at("2026-12-31T23:59:59Z").0);
    assert!(!at("2027-01-01T00:00:00Z").0);
    let plan = stage.plan();
    assert_eq!(
        condition(&plan, "Active", "claude/b"),
        ("False".into(), "Expired".into())
    );
    assert_eq!(
        condition(&plan, "Ready", "claude/b").0,
        "True",
        "what was asked for is so"
    );
    assert!(!text_of(&plan, "production.policy").contains("claude/b"));
}

#[test]
fn a_missing_workspace_is_told_from_within_and_not_from_elsewhere() {
    let stage = Stage::with(&[
        binding("claude/b", "user", service("claude", "search")),
        binding("search/b", "user", service("search", "search")),
    ]);
    let plan = stage.plan();
    assert_eq!(condition(&plan, "Ready", "claude/b").1, "WorkspaceNotFound");
    assert_eq!(condition(&plan, "Ready", "search/b").1, "RefNotPermitted");
    assert!(plan.outputs.is_empty() && plan.resolution.is_none());
}

#[test]
fn labels_that_nobody_may_see_admit_nobody_and_that_is_said() {
    let unlabelled =
        json!({"matchExpressions": [{"key": "restricted", "operator": "DoesNotExist"}]});
    let entry = |which: &str, value: serde_json::Value| {
        open(
            json!({"allowedNamespaces": [{which: value, "roles": ["user"]}]}),
            &[binding("search/b", "user", service("search", "a"))],
        )
    };
    let said = |stage: &Stage| {
        let findings = stage.plan().findings.into_iter();
        let found = findings.filter(|finding| finding.reason == Reason::NamespaceLabelsUnseen);
        found.map(|finding| finding.field).collect::<Vec<_>>()
    };
    let subject = "serviceaccount:search/a";
    let mut by_label = entry("selector", unlabelled);
    assert_eq!(by_label.decide(subject, HAIKU), Err(Denial::NoRole));
    assert_eq!(said(&by_label), ["spec.allowedNamespaces[0].selector"]);
    by_label.apply(&namespace("search", json!({})));
    assert!(by_label.decide(subject, HAIKU).is_ok());
    assert_eq!(said(&by_label), [""; 0]);
    for (which, value) in [("selector", json!({})), ("names", json!(["search"]))] {
        let stage = entry(which, value);
        assert!(stage.decide(subject, HAIKU).is_ok(), "{which}");
        assert_eq!(said(&stage), [""; 0], "{which}");
    }
}

#[test]
fn console_members_are_people_of_the_home_namespace_and_in_no_policy() {
    let mut console = binding(
        "claude/owners",
        "x",
        json!([{"kind": "User", "name": "ada@example.com"}]),
    );
    console["spec"]["roleRef"] = json!({"kind": "ConsoleRole", "name": "Owner"});
    let mut elsewhere = console.clone();
    elsewhere["metadata"]["namespace"] = json!("search");
    let admitted = json!({"allowedNamespaces": [{"names": ["search"], "roles": ["user"]}]});
    let stage = open(admitted, &[console, elsewhere]);
    let plan = stage.plan();
    assert!(text_of(&plan, "production.console").contains("ada@example.com"));
    assert!(!text_of(&plan, "production.policy").contains("ada@"));
    assert_eq!(condition(&plan, "Ready", "claude/owners").0, "True");
    assert_eq!(
        condition(&plan, "Ready", "search/owners").1,
        "RoleNotPermitted"
    );
}

#[test]
fn a_stored_object_that_is_not_understood_denies_and_holds_up_nobody() {
    let mut broken = binding("claude/broken", "user", service("claude", "eve"));
    broken["spec"]["subjects"][0]["kind"] = json!("Robot");
    let mut odd = binding(
        "claude/odd",
        "user",
        json!([{"kind": "User", "name": "uma"}]),
    );
    odd["spec"]["expiresAt"] = json!("2027-01-01T00:00:00Z");
    let stage = open(
        json!({}),
        &[
            broken,
            odd,
            binding("claude/b", "user", service("claude", "search")),
        ],
    );
    assert!(stage.decide(SEARCH, HAIKU).is_ok());
    let plan = stage.plan();
    assert_eq!(
        condition(&plan, "Stalled", "claude/odd"),
        ("True".into(), "InvalidSpec".into())
    );
    let nameless = stage.plan_of_nameless("claude");
    assert_eq!(
        condition(&nameless, "Ready", "claude/broken"),
        ("False".into(), "InvalidSpec".into())
    );
}

#[test]
fn a_workspace_that_is_not_understood_denies_everything() {
    let mut stage = open(
        json!({}),
        &[binding("claude/b", "user", service("claude", "search"))],
    );
    stage.apply(&workspace(json!({"rateLimits": {"tier": "Tier9"}})));
    assert_eq!(stage.decide(SEARCH, HAIKU), Err(Denial::WorkspaceDisabled));
    let plan = stage.plan();
    assert_eq!(
        condition(&plan, "Accepted", "claude/production"),
        ("False".into(), "InvalidSpec".into())
    );
    assert_eq!(condition(&plan, "Ready", "claude/b").0, "False");
}

#[test]
fn a_gateway_this_release_cannot_render_is_never_ready() {
    let stage = open(
        json!({"gateways": [{"name": "edge", "type": "Envoy"}, {"name": "proxy", "type": "LiteLLM"}]}),
        &[],
    );
    let ready = condition(&stage.plan(), "Ready", "claude/production");
    assert_eq!(ready, ("False".into(), "UnsupportedGateway".into()));
    let stage = open(
        json!({"gateways": [{"name": "edge", "type": "Envoy"}]}),
        &[],
    );
    let ready = condition(&stage.plan(), "Ready", "claude/production");
    assert_eq!(ready, ("True".into(), "Ready".into()));
}

//! Which key serves whom, and what ends with a permission.

use serde_json::{Value, json};

use super::stage::{KEY_A, Stage, binding, condition, key, namespace, secret, service, workspace};
use crate::policy::decide::Denial;

const HAIKU: &str = "claude-haiku-4-5";
const SEARCH: &str = "serviceaccount:search/search";

fn corp() -> Value {
    json!({"issuers": [
        {"name": "cluster", "type": "Kubernetes", "audiences": ["x"]},
        {"name": "corp", "type": "OIDC", "issuerURL": "https://login.example.com",
         "jwksURI": "https://login.example.com/keys", "groupsClaim": "groups", "audiences": ["claude"]},
    ]})
}

fn group(name: &str) -> Value {
    json!([{"kind": "Group", "name": name, "issuer": "corp"}])
}

/// A key for the gateway alone, from the one source.
fn gateway_key(name: &str, spec: Value) -> Value {
    let mut made = key(name, spec);
    made["spec"].as_object_mut().unwrap().remove("target");
    made
}

fn open(mut spec: Value, more: &[Value]) -> Stage {
    spec["keys"] = json!({"defaultApiKeyRef": {"name": "shared"}});
    let mut stage = Stage::with(&[
        workspace(spec),
        secret("claude/source", KEY_A),
        gateway_key("claude/shared", json!({})),
    ]);
    more.iter().for_each(|object| drop(stage.apply(object)));
    stage
}

#[test]
fn of_several_groups_with_keys_the_lowest_name_serves_and_no_other_steps_in() {
    let uma = "user:corp:uma";
    let groups = ["group:corp:a", "group:corp:b"];
    let with = |lower: Value| {
        let mut lower_key = json!({"usedBy": group("b")});
        lower_key
            .as_object_mut()
            .unwrap()
            .extend(lower.as_object().unwrap().clone());
        open(
            json!({"authentication": corp()}),
            &[
                binding("claude/g", "user", group("a")),
                gateway_key("claude/k1", lower_key),
                gateway_key("claude/k2", json!({"usedBy": group("a")})),
            ],
        )
    };
    let served = |stage: &Stage, groups: &[&str]| {
        let permit = stage.decide_as(uma, groups, HAIKU, None);
        permit.map(|permit| permit.api_key_ref().to_string())
    };
    let stage = with(json!({}));
    assert_eq!(served(&stage, &groups), Ok("claude/k1".into()));
    assert_eq!(served(&stage, &groups[..1]), Ok("claude/k2".into()));
    let revoked = with(json!({"state": "Revoked"}));
    assert_eq!(served(&revoked, &groups), Err(Denial::NoKey));
    assert_eq!(served(&revoked, &groups[..1]), Ok("claude/k2".into()));
}

#[test]
fn a_key_of_a_group_that_is_missing_denies_rather_than_give_way_to_another() {
    let stage = open(
        json!({"authentication": corp()}),
        &[
            binding("claude/g", "user", group("a")),
            gateway_key("claude/k1", json!({"usedBy": group("b")})),
            gateway_key("claude/k2", json!({"usedBy": group("a")})),
        ],
    );
    let mut policy = stage.plan().resolution.expect("a workspace").policy;
    let id = |name: &str| super::stage::known(name).id();
    let groups = [id("group:corp:a"), id("group:corp:b")];
    let chosen = |policy: &crate::policy::table::Policy| {
        let row = crate::policy::decide::key_of(policy, id("user:corp:uma"), &groups);
        row.map(|row| row.api_key_ref.to_string())
    };
    assert_eq!(chosen(&policy).as_deref(), Some("claude/k1"));
    policy
        .keys
        .retain(|_, row| *row.api_key_ref != *"claude/k1");
    assert_eq!(chosen(&policy), None);
}

#[test]
fn a_key_that_may_not_attach_is_no_choice_and_one_that_may_is_even_unusable() {
    let own = json!({"usedBy": [{"kind": "ServiceAccount", "name": "search"}]});
    let with = |api_key_refs: &str| {
        open(
            json!({"allowedNamespaces": [{"names": ["search"], "roles": ["user"], "apiKeyRefs": api_key_refs}]}),
            &[
                binding("search/b", "user", service("search", "search")),
                gateway_key("search/own", own.clone()),
            ],
        )
    };
    let refused = with("Deny");
    let permit = refused.decide(SEARCH, HAIKU).expect("the default serves");
    assert_eq!(&**permit.api_key_ref(), "claude/shared");
    assert_eq!(
        condition(&refused.plan(), "Ready", "search/own").1,
        "RefNotPermitted"
    );
    assert_eq!(
        with("Allow").decide(SEARCH, HAIKU),
        Err(Denial::NoKey),
        "its source is missing, and the default does not step in"
    );
}

#[test]
fn a_namespace_is_let_out_with_its_entry() {
    let admitted = json!({"allowedNamespaces": [{"names": ["search"], "roles": ["user"]}]});
    let mut stage = open(
        admitted,
        &[
            binding("search/b", "user", service("search", "search")),
            namespace("search", json!({})),
        ],
    );
    assert!(stage.decide(SEARCH, HAIKU).is_ok());
    let narrower = |entry: Value| {
        workspace(
            json!({"keys": {"defaultApiKeyRef": {"name": "shared"}}, "allowedNamespaces": [entry]}),
        )
    };
    stage.apply(&narrower(json!({"names": ["search"], "roles": ["power"]})));
    assert_eq!(stage.decide(SEARCH, HAIKU), Err(Denial::NoRole));
    assert_eq!(
        condition(&stage.plan(), "ResolvedRefs", "search/b").1,
        "RoleNotPermitted"
    );
    stage.apply(&narrower(json!({"names": ["batch"], "roles": ["user"]})));
    assert_eq!(stage.decide(SEARCH, HAIKU), Err(Denial::NoRole));
    assert_eq!(
        condition(&stage.plan(), "ResolvedRefs", "search/b").1,
        "RefNotPermitted"
    );
}

#[test]
fn who_is_in_a_blocked_group_is_blocked_whatever_else_is_granted() {
    let stage = open(
        json!({"authentication": corp(), "blockedSubjects": [{"kind": "Group", "name": "left", "issuer": "corp"}]}),
        &[binding(
            "claude/u",
            "admin",
            json!([{"kind": "User", "name": "uma", "issuer": "corp"}]),
        )],
    );
    let uma = "user:corp:uma";
    assert!(stage.decide(uma, HAIKU).is_ok());
    let member = stage.decide_as(uma, &["group:corp:left"], HAIKU, None);
    assert_eq!(member, Err(Denial::SubjectBlocked));
}

#[test]
fn a_disabled_binding_gives_nothing_and_is_what_was_asked_for() {
    let mut off = binding("claude/b", "user", service("search", "search"));
    let mut stage = open(json!({}), &[off.clone()]);
    assert!(stage.decide(SEARCH, HAIKU).is_ok());
    off["spec"]["state"] = json!("Disabled");
    stage.apply(&off);
    assert_eq!(stage.decide(SEARCH, HAIKU), Err(Denial::NoRole));
    let plan = stage.plan();
    assert_eq!(
        condition(&plan, "Active", "claude/b"),
        ("False".into(), "Disabled".into())
    );
    assert_eq!(condition(&plan, "Ready", "claude/b").0, "True");
}

#[test]
fn groups_need_an_issuer_that_names_them() {
    let mut without = corp();
    without["issuers"][1]
        .as_object_mut()
        .unwrap()
        .remove("groupsClaim");
    let with = |issuers: Value| {
        let stage = open(
            json!({"authentication": issuers}),
            &[binding("claude/g", "user", group("a"))],
        );
        let reason = condition(&stage.plan(), "ResolvedRefs", "claude/g").1;
        let member = stage.decide_as("user:corp:uma", &["group:corp:a"], HAIKU, None);
        (reason, member.is_ok())
    };
    assert_eq!(with(corp()), ("ResolvedRefs".into(), true));
    assert_eq!(with(without), ("IssuerNotFound".into(), false));
}

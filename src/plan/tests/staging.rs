//! One version after another: staged successors, cut-overs, and when the version before may go.

use serde_json::{Value, json};

use super::keys::{is_key, mapped, ready, status_of};
use super::stage::{KEY_A, KEY_B, Stage, condition, content_of, denied, key, secret, workspace};
use crate::facts::OutputId;
use crate::plan::output::{Content, Plan};
use crate::plan::world::Change;
use crate::policy::digest::Digest;
use crate::policy::name::NamespacedName;

const KEY_C: &str = "sk-ant-api03-EXAMPLE-cccccccccccccccc";
const CUT: &str = "2026-12-01T00:00:00Z";
/// When whatever was mounted at [`CUT`] has been replaced in running pods.
const PROJECTED: &str = "2026-12-01T00:03:00Z";

fn next(activate_at: Value) -> Value {
    json!({"next": {"secretKeyRef": {"name": "successor", "key": "api-key"}, "activateAt": activate_at}})
}

/// A key with a target and a gateway, and a successor that is to take over at [`CUT`].
fn staged() -> Stage {
    let gateways = json!({"gateways": [{"name": "edge", "type": "Envoy"}]});
    let mut stage = Stage::with(&[
        workspace(gateways),
        secret("claude/source", KEY_A),
        key("claude/search", json!({"keyId": "apikey_a"})),
    ]);
    stage.carry_out();
    stage.apply(&key("claude/search", with_id(next(json!(CUT)))));
    stage.apply(&successor(KEY_B));
    stage
}

fn with_id(mut spec: Value) -> Value {
    spec["keyId"] = json!("apikey_a");
    spec
}

fn successor(value: &str) -> Value {
    let mut secret = secret("claude/successor", value);
    secret["metadata"]["annotations"] = json!({"anthropic-rbac.io/key-id": "apikey_b"});
    secret
}

/// Whether target and gateway both get this key.
fn is_everywhere(plan: &Plan, value: &str) -> bool {
    let digest = Digest::of(value.as_bytes());
    let gateway = content_of(plan, "production.edge.keys");
    is_key(plan, value) && matches!(gateway, Some(Content::Key(handle)) if handle.digest == digest)
}

fn retirable(plan: &Plan) -> (String, String) {
    condition(plan, "PreviousKeyRetirable", "claude/search")
}

fn retirable_message(plan: &Plan) -> String {
    let status = status_of(plan);
    let mut conditions = status["conditions"].as_array().unwrap().iter();
    let condition = conditions.find(|condition| condition["type"] == "PreviousKeyRetirable");
    condition.unwrap()["message"].as_str().unwrap().to_owned()
}

#[test]
fn a_successor_takes_over_in_target_and_gateway_in_one_plan() {
    let mut stage = staged();
    assert_eq!(stage.writes(), [], "not before its time");
    assert_eq!(stage.plan().wake_at.unwrap().to_string(), CUT);
    stage.at(CUT);
    let plan = stage.carry_out();
    assert!(is_everywhere(&plan, KEY_B));
    let status = status_of(&plan);
    assert_eq!(
        (
            &status["keyId"],
            &status["previous"][0]["keyId"],
            &status["previous"][0]["activeUntil"]
        ),
        (&json!("apikey_b"), &json!("apikey_a"), &json!(CUT))
    );
    assert_eq!(stage.writes(), []);
}

#[test]
fn a_successor_that_is_taken_back_before_its_time_changes_nothing() {
    let mut stage = staged();
    stage.apply(&key("claude/search", json!({"keyId": "apikey_a"})));
    assert_eq!(stage.writes(), []);
    stage.at(CUT);
    assert_eq!(stage.writes(), []);
}

#[test]
fn moving_the_source_to_where_the_successor_was_writes_no_value() {
    let mut stage = staged();
    stage.at(CUT).carry_out();
    let moved = json!({"source": {"secretKeyRef": {"name": "successor", "key": "api-key"}}});
    stage.apply(&key("claude/search", moved));
    assert_eq!(stage.writes(), []);
    assert_eq!(status_of(&stage.plan())["keyId"], "apikey_b");
    assert_eq!(ready(&stage.plan()).0, "True");
}

#[test]
fn a_successor_that_has_taken_over_does_not_fall_back() {
    for (change, content, reason) in [
        (successor("not a key"), kept(KEY_B), "InvalidKey"),
        (
            successor("sk-ant-admin01-EXAMPLE"),
            kept(KEY_B),
            "InvalidKey",
        ),
        (
            key("claude/search", revoking(KEY_B)),
            Content::Emptied,
            "Revoked",
        ),
    ] {
        let mut stage = staged();
        stage.at(CUT).carry_out();
        stage.apply(&change);
        let plan = stage.plan();
        assert_eq!(content_of(&plan, "target"), Some(&content), "{change}");
        assert_eq!(ready(&plan).1, reason);
    }
    let mut stage = staged();
    stage.at(CUT).carry_out();
    stage.remove(Change::SecretGone(NamespacedName::new(
        "claude",
        "successor",
    )));
    assert_eq!(content_of(&stage.plan(), "target"), Some(&kept(KEY_B)));
    // Only whoever takes it out of the spec goes back.
    stage.apply(&key("claude/search", json!({})));
    assert!(is_everywhere(&stage.plan(), KEY_A));
}

fn kept(value: &str) -> Content {
    Content::Kept(Some(Digest::of(value.as_bytes())))
}

fn revoking(value: &str) -> Value {
    let mut spec = next(json!(CUT));
    let fingerprint = Digest::of(value.as_bytes()).fingerprint().to_string();
    spec["revokedFingerprints"] = json!([fingerprint]);
    spec
}

#[test]
fn a_successor_that_is_no_good_takes_nothing_over_and_says_why() {
    let mut stage = staged();
    stage.at(CUT);
    for (value, reason) in [
        ("not a key", "InvalidKey"),
        ("sk-ant-oat01-EXAMPLE", "InvalidKey"),
    ] {
        stage.apply(&successor(value));
        assert!(is_everywhere(&stage.plan(), KEY_A), "{value}");
        assert_eq!(ready(&stage.plan()).1, reason);
    }
    stage.remove(Change::SecretGone(NamespacedName::new(
        "claude",
        "successor",
    )));
    assert!(is_everywhere(&stage.plan(), KEY_A));
    assert_eq!(ready(&stage.plan()).0, "True", "it may be on its way");
    stage.apply(&key("claude/search", revoking(KEY_B)));
    stage.apply(&successor(KEY_B));
    assert!(is_everywhere(&stage.plan(), KEY_A));
}

#[test]
fn a_successor_takes_over_only_where_it_may_go_as_far() {
    let mut stage = staged();
    let lent = |annotations: Value| {
        let mut secret = secret("vault/successor", KEY_B);
        secret["metadata"]["annotations"] = annotations;
        secret
    };
    let elsewhere = json!({"next": {"secretKeyRef":
        {"name": "successor", "key": "api-key", "namespace": "vault"}}});
    stage.apply(&key("claude/search", elsewhere));
    for annotations in [
        json!({}),
        json!({"anthropic-rbac.io/allow-namespaces": "claude"}),
    ] {
        stage.apply(&lent(annotations));
        assert!(is_everywhere(&stage.plan(), KEY_A));
        assert_eq!(
            ready(&stage.plan()),
            ("False".into(), "RefNotPermitted".into())
        );
    }
    let whole = json!({"anthropic-rbac.io/allow-namespaces": "claude",
                       "anthropic-rbac.io/allow-workspaces": "claude/production"});
    stage.apply(&lent(whole));
    assert!(is_everywhere(&stage.carry_out(), KEY_B));
    // And is taken away like any other when it is no longer lent.
    stage.apply(&lent(json!({})));
    assert_eq!(content_of(&stage.plan(), "target"), Some(&Content::Emptied));
}

#[test]
fn the_version_before_may_go_once_no_pod_can_read_it_any_more() {
    let mut stage = staged();
    assert_eq!(
        retirable(&stage.plan()),
        ("False".into(), "NoPreviousKey".into())
    );
    stage.at(CUT);
    let plan = stage.carry_out();
    assert_eq!(retirable(&plan), ("False".into(), "NotLoaded".into()));
    assert_eq!(plan.wake_at.unwrap().to_string(), PROJECTED);
    assert_eq!(status_of(&plan)["nextTransition"], PROJECTED);
    stage.at("2026-12-01T00:02:59Z");
    assert_eq!(retirable(&stage.plan()).0, "False");
    let plan = stage.at(PROJECTED).plan();
    assert_eq!(retirable(&plan), ("True".into(), "Retirable".into()));
    let fingerprint = Digest::of(KEY_A.as_bytes()).fingerprint();
    let message = retirable_message(&plan);
    assert!(
        message.contains("apikey_a") && message.contains(&fingerprint.to_string()),
        "{message}"
    );
    assert_ne!(
        plan.wake_at.unwrap().to_string(),
        PROJECTED,
        "looked at once"
    );
}

#[test]
fn a_plain_change_of_the_source_is_the_same_cut_over() {
    let mut stage = staged();
    stage.apply(&key("claude/search", json!({"keyId": "apikey_a"})));
    stage.at(CUT).apply(&secret("claude/source", KEY_C));
    assert!(is_everywhere(&stage.carry_out(), KEY_C));
    assert_eq!(retirable(&stage.plan()).1, "NotLoaded");
    let plan = stage.at(PROJECTED).plan();
    assert_eq!(retirable(&plan).0, "True");
    assert!(retirable_message(&plan).contains("apikey_a"));
    assert_eq!(
        status_of(&plan).get("keyId"),
        None,
        "that was the other version's"
    );
}

#[test]
fn the_time_counts_from_the_write_and_not_from_the_wish() {
    let mut stage = staged();
    stage.at(CUT);
    // Nothing is written for an hour: the plan is only made.
    assert_eq!(retirable(&stage.plan()).1, "NotLoaded");
    let plan = stage.at("2026-12-01T01:00:00Z").carry_out();
    assert_eq!(retirable(&plan).1, "NotLoaded");
    assert_eq!(
        retirable(&stage.at("2026-12-01T01:02:59Z").plan()).1,
        "NotLoaded"
    );
    assert_eq!(
        retirable(&stage.at("2026-12-01T01:03:00Z").plan()).0,
        "True"
    );
}

#[test]
fn the_version_before_stays_while_a_secret_of_ours_may_hold_it() {
    let mut stage = staged();
    stage.at(CUT).carry_out();
    stage.at(PROJECTED);
    let name = NamespacedName::new("claude", "production");
    for failed in ["target", "production.edge.keys"] {
        let mut snapshot = stage.snapshot(&name);
        let failure = crate::facts::WriteFailure::Forbidden;
        snapshot
            .failures
            .insert(OutputId::secret("claude", failed), failure);
        assert_eq!(
            retirable(&crate::plan::plan(&snapshot)).1,
            "NotLoaded",
            "{failed}"
        );
    }
    stage.remove(denied("claude"));
    assert_eq!(retirable(&stage.plan()).0, "False");
}

#[test]
fn the_version_before_stays_while_another_key_is_the_same() {
    let mut stage = staged();
    stage.at(CUT).carry_out();
    stage.at(PROJECTED);
    let twin = json!({"source": {"secretKeyRef": {"name": "source", "key": "api-key"}}, "target": {"secretName": "other"}});
    stage.apply(&key("claude/twin", twin));
    assert_eq!(
        retirable(&stage.plan()),
        ("False".into(), "SharedKey".into())
    );
}

#[test]
fn a_revoked_version_is_said_to_be_gone_like_any_other() {
    let mut stage = mapped();
    stage
        .at(CUT)
        .apply(&key("claude/search", json!({"state": "Revoked"})));
    stage.carry_out();
    assert_eq!(retirable(&stage.plan()).1, "NotLoaded");
    assert_eq!(retirable(&stage.at(PROJECTED).plan()).0, "True");
}

#[test]
fn five_versions_before_are_shown_latest_first() {
    let mut stage = mapped();
    for day in 1..=8 {
        let value = format!("{KEY_A}-{day}");
        stage.at(&format!("2026-12-0{day}T00:00:00Z"));
        stage.apply(&secret("claude/source", &value));
        stage.carry_out();
    }
    let status = status_of(&stage.plan());
    let until: Vec<&str> = status["previous"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| version["activeUntil"].as_str().unwrap())
        .collect();
    assert_eq!(
        until,
        [8, 7, 6, 5, 4].map(|day| format!("2026-12-0{day}T00:00:00Z"))
    );
}

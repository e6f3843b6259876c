//! Versions of keys: when they are due, and how one follows another.

use serde_json::json;

use super::keys::{is_key, mapped, ready, status_of};
use super::stage::{KEY_A, KEY_B, condition, content_of, key, secret};
use crate::plan::output::Content;
use crate::policy::digest::Digest;

#[test]
fn a_new_value_becomes_the_version_in_use_and_the_old_one_is_remembered() {
    let mut stage = mapped();
    stage
        .at("2026-12-01T00:00:00Z")
        .apply(&secret("claude/source", KEY_B));
    let plan = stage.carry_out();
    let status = status_of(&plan);
    assert_eq!(
        status["fingerprint"],
        Digest::of(KEY_B.as_bytes()).fingerprint().to_string()
    );
    assert_eq!(
        status["previous"][0]["fingerprint"],
        Digest::of(KEY_A.as_bytes()).fingerprint().to_string()
    );
    assert_eq!(status["previous"][0]["activeUntil"], "2026-12-01T00:00:00Z");
    assert_eq!(
        (&status["issuedAtOrigin"], &status["issuedAt"]),
        (&json!("FirstSeen"), &json!("2026-12-01T00:00:00Z"))
    );
    // A comes back: it is as old as it was.
    stage
        .at("2026-12-05T00:00:00Z")
        .apply(&secret("claude/source", KEY_A));
    let status = status_of(&stage.carry_out());
    assert_eq!(
        (&status["issuedAt"], &status["dueAt"]),
        (
            &json!("2026-10-01T00:00:00Z"),
            &json!("2026-12-30T00:00:00Z")
        )
    );
}

#[test]
fn an_overdue_key_is_flagged_once_and_goes_on_working() {
    let mut stage = mapped();
    stage.at("2026-12-29T23:59:59Z");
    assert_eq!(
        condition(&stage.plan(), "RotationDue", "claude/search"),
        ("False".into(), "DueSoon".into())
    );
    assert_eq!(
        stage.plan().wake_at.unwrap().to_string(),
        "2026-12-30T00:00:00Z"
    );
    stage.at("2026-12-30T00:00:00Z");
    let plan = stage.plan();
    assert_eq!(
        condition(&plan, "RotationDue", "claude/search"),
        ("True".into(), "Overdue".into())
    );
    assert_eq!(ready(&plan).0, "True");
    assert!(is_key(&plan, KEY_A));
    let events: Vec<_> = plan.events.iter().map(|event| event.reason).collect();
    assert_eq!(events, ["RotationOverdue"]);
    let mut told = key("claude/search", json!({}));
    told["status"] = status_of(&plan);
    stage.apply(&told);
    assert_eq!(
        (stage.plan().events.len(), stage.plan().statuses.len()),
        (0, 1),
        "only the workspace's is left"
    );
}

#[test]
fn an_overdue_key_is_taken_away_where_that_is_asked_for() {
    let mut stage = mapped();
    stage.apply(&key(
        "claude/search",
        json!({"rotation": {"onOverdue": "Suspend"}}),
    ));
    assert!(is_key(&stage.plan(), KEY_A), "not before it is overdue");
    stage.at("2026-12-30T00:00:00Z");
    let plan = stage.plan();
    assert_eq!(content_of(&plan, "target"), Some(&Content::Emptied));
    assert_eq!(ready(&plan), ("False".into(), "Suspended".into()));
    stage.apply(&secret("claude/source", KEY_B));
    assert!(is_key(&stage.plan(), KEY_B));
}

#[test]
fn a_staged_successor_takes_over_when_it_is_there_and_its_time_has_come() {
    let mut stage = mapped();
    let next = json!({"next": {"secretKeyRef": {"name": "successor", "key": "api-key"}, "activateAt": "2026-12-01T00:00:00Z"}});
    stage.apply(&key("claude/search", next));
    stage.apply(&secret("claude/successor", KEY_B));
    assert!(is_key(&stage.plan(), KEY_A));
    assert_eq!(
        stage.plan().wake_at.unwrap().to_string(),
        "2026-12-01T00:00:00Z"
    );
    stage.at("2026-12-01T00:00:00Z");
    assert!(is_key(&stage.plan(), KEY_B));
    stage.apply(&secret("claude/successor", "not a key"));
    assert!(is_key(&stage.plan(), KEY_A), "only a good one takes over");
}

#[test]
fn a_replaced_version_is_announced_once() {
    let mut stage = mapped();
    let mut told = key("claude/search", json!({}));
    told["status"] = status_of(&stage.plan());
    stage.apply(&told);
    stage.apply(&secret("claude/source", KEY_B));
    let events: Vec<_> = stage
        .plan()
        .events
        .iter()
        .map(|event| event.reason)
        .collect();
    assert_eq!(events, ["Rotated"]);
    told["status"] = status_of(&stage.plan());
    stage.apply(&told);
    assert!(stage.plan().events.is_empty());
}

//! One key that two workspaces claim: who has it, who is told, and that the other holds nothing.

use serde_json::{Value, json};

use super::stage::{KEY_A, KEY_B, Stage, condition, content_of, key, object, secret, workspace};
use crate::material::KeyMaterial;
use crate::plan::output::{Content, Plan, Status};
use crate::plan::world::{Affected, Change};
use crate::policy::digest::Digest;
use crate::policy::name::NamespacedName;

const BOTH: [&str; 2] = ["claude/production", "claude/staging"];

/// `claude/search` of production, which is the younger, and has the name that comes last.
fn incumbent(spec: Value) -> Value {
    key("claude/search", spec)
}

/// `claude/newcomer` of staging.
fn newcomer(spec: Value) -> Value {
    let mut whole = json!({"workspaceRef": {"name": "staging"}, "target": {"secretName": "other"}});
    let fields = whole.as_object_mut().unwrap();
    fields.extend(spec.as_object().unwrap().clone());
    let mut object = key("claude/newcomer", whole);
    object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    object
}

fn staging(spec: Value) -> Value {
    object("Workspace", "claude/staging", spec)
}

/// Both workspaces, the incumbent, and its key in use; no status.
fn in_use() -> Stage {
    let mut stage = Stage::with(&[
        workspace(json!({})),
        staging(json!({})),
        secret("claude/source", KEY_A),
        incumbent(json!({})),
    ]);
    stage.carry_out();
    stage
}

fn names(affected: &Affected) -> Vec<String> {
    affected.iter().map(ToString::to_string).collect()
}

fn status_of(plan: &Plan, key: &str) -> Value {
    let mut updates = plan.statuses.iter();
    let update = updates.find(|update| *update.name.name == *key);
    match &update.expect("a status").status {
        Status::ApiKeyRef(status) => serde_json::to_value(status).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn has_key(plan: &Plan, secret: &str) -> bool {
    let want = Digest::of(KEY_A.as_bytes());
    matches!(content_of(plan, secret), Some(Content::Key(handle)) if handle.digest == want)
}

/// Readiness of the newcomer, and whether its target gets the key.
fn newcomer_of(stage: &Stage) -> ((String, String), bool) {
    let plan = stage.plan_of("claude/staging");
    let ready = condition(&plan, "Ready", "claude/newcomer");
    (ready, has_key(&plan, "other"))
}

fn refused() -> ((String, String), bool) {
    (("False".into(), "KeyInAnotherWorkspace".into()), false)
}

#[test]
fn a_value_read_shows_both_workspaces_that_they_are_rivals() {
    let mut unread = secret("claude/source", KEY_A);
    unread["stringData"] = json!({});
    let mut stage = Stage::with(&[
        workspace(json!({})),
        staging(json!({})),
        unread,
        incumbent(json!({})),
        newcomer(json!({})),
    ]);
    let rivals = |stage: &Stage| {
        BOTH.map(|workspace| {
            let rivalry = stage
                .world
                .rivalry(&NamespacedName::parse(workspace).unwrap());
            let names = rivalry.keys.iter().map(|rival| rival.name.to_string());
            names.collect::<Vec<_>>()
        })
    };
    assert_eq!(rivals(&stage), [[""; 0], [""; 0]]);
    let affected = stage.remove(Change::SecretValues {
        name: NamespacedName::new("claude", "source"),
        resource_version: "3".into(),
        values: [(
            "api-key".into(),
            KeyMaterial::new(KEY_A.as_bytes().to_vec()).facts(),
        )]
        .into(),
    });
    assert_eq!(names(&affected), BOTH);
    assert_eq!(rivals(&stage), [["claude/newcomer"], ["claude/search"]]);
}

#[test]
fn a_status_that_says_who_uses_a_key_is_news_to_the_other_workspace() {
    let mut stage = Stage::with(&[
        workspace(json!({})),
        staging(json!({})),
        secret("claude/source", KEY_A),
        incumbent(json!({})),
        newcomer(json!({})),
    ]);
    assert!(newcomer_of(&stage).1, "it is the older");
    let mut alone = Stage::with(&[
        workspace(json!({})),
        secret("claude/source", KEY_A),
        incumbent(json!({})),
    ]);
    let mut used = incumbent(json!({}));
    used["status"] = status_of(&alone.carry_out(), "search");
    assert_eq!(names(&stage.apply(&used)), BOTH);
    assert_eq!(newcomer_of(&stage), refused());
    assert_eq!(names(&stage.apply(&used)), [""; 0], "it is known");
}

#[test]
fn what_an_output_holds_is_in_use_without_any_status_and_news_to_the_other_workspace() {
    let mut stage = in_use();
    stage.apply(&newcomer(json!({})));
    assert_eq!(newcomer_of(&stage), refused());
    let gone = Change::SecretGone(NamespacedName::new("claude", "target"));
    assert_eq!(names(&stage.remove(gone)), BOTH);
    assert!(newcomer_of(&stage).1, "nothing tells who was first");
}

#[test]
fn of_two_that_use_one_key_the_loser_holds_nothing_of_it() {
    let organization = json!({"scope": "Organization"});
    let mut stage = Stage::with(&[
        workspace(json!({})),
        staging(json!({})),
        secret("claude/source", KEY_A),
        incumbent(organization.clone()),
        newcomer(organization),
    ]);
    for (workspace, target) in BOTH.into_iter().zip(["target", "other"]) {
        assert!(has_key(&stage.carry_out_of(workspace), target), "both may");
    }
    assert_eq!(names(&stage.apply(&newcomer(json!({})))), BOTH);
    let plan = stage.carry_out();
    assert_eq!(
        condition(&plan, "Ready", "claude/search"),
        refused().0,
        "the older has it"
    );
    assert_eq!(content_of(&plan, "target"), Some(&Content::Emptied));
    assert!(newcomer_of(&stage).1);
    assert_eq!(stage.writes(), [], "it is taken away once");
}

#[test]
fn whoever_may_not_use_a_key_does_not_keep_it_from_another_workspace() {
    let version = Digest::of(KEY_A.as_bytes()).fingerprint().to_string();
    let incumbents = [
        ("a revoked one", incumbent(json!({"state": "Revoked"}))),
        (
            "one whose version is revoked",
            incumbent(json!({"revokedFingerprints": [version]})),
        ),
        (
            "one of a disabled workspace",
            workspace(json!({"state": "Disabled"})),
        ),
        (
            "one of a workspace that is not there",
            incumbent(json!({"workspaceRef": {"name": "missing"}})),
        ),
    ];
    for (about, unfit) in incumbents {
        let mut stage = in_use();
        stage.apply(&newcomer(json!({})));
        assert_eq!(newcomer_of(&stage), refused(), "before it is {about}");
        let affected = names(&stage.apply(&unfit));
        assert!(affected.contains(&"claude/staging".to_owned()), "{about}");
        assert!(newcomer_of(&stage).1, "{about}");
        stage.carry_out();
        stage.carry_out_of("claude/staging");

        // Back again, it finds the key in use.
        stage.apply(&workspace(json!({})));
        stage.apply(&incumbent(json!({})));
        assert!(newcomer_of(&stage).1, "after {about}");
        let plan = stage.plan();
        assert_eq!(condition(&plan, "Ready", "claude/search"), refused().0);
        assert!(!has_key(&plan, "target"), "after {about}");
    }
}

#[test]
fn a_version_before_may_not_go_while_another_workspace_uses_it() {
    let organization = json!({"scope": "Organization"});
    let theirs = json!({
        "scope": "Organization",
        "source": {"secretKeyRef": {"name": "theirs", "key": "api-key"}},
    });
    let mut stage = Stage::with(&[
        workspace(json!({})),
        staging(json!({})),
        secret("claude/source", KEY_A),
        secret("claude/theirs", KEY_A),
        incumbent(organization),
        newcomer(theirs.clone()),
    ]);
    for workspace in BOTH {
        stage.carry_out_of(workspace);
    }
    stage.apply(&secret("claude/source", KEY_B));
    stage.carry_out();
    let retirable = |stage: &Stage| {
        let status = status_of(&stage.plan(), "search");
        let mut conditions = status["conditions"].as_array().unwrap().iter();
        let is = |condition: &&Value| condition["type"] == "PreviousKeyRetirable";
        let found = conditions.find(is).unwrap().clone();
        assert!(!found["message"].as_str().unwrap().contains("newcomer"));
        (found["status"].clone(), found["reason"].clone())
    };
    stage.at("2026-11-25T00:00:00Z");
    assert_eq!(retirable(&stage), (json!("False"), json!("SharedKey")));

    let mut revoked = theirs;
    revoked["state"] = json!("Revoked");
    let affected = names(&stage.apply(&newcomer(revoked)));
    assert_eq!(affected, BOTH, "it is news to the other one");
    stage.carry_out_of("claude/staging");
    assert_eq!(retirable(&stage), (json!("True"), json!("Retirable")));
}

//! What becomes of keys: mapped, kept, taken away.

use serde_json::{Value, json};

use super::stage::{
    KEY_A, KEY_B, Stage, condition, content_of, denied, key, namespace, secret, workspace,
};
use crate::facts::{Heir, OutputId, Ownership};
use crate::plan::output::{Content, Owner, Plan, Status};
use crate::plan::world::{Access, Change};
use crate::policy::digest::Digest;
use crate::policy::finding::Kind;
use crate::policy::name::NamespacedName;

pub(super) fn mapped() -> Stage {
    let mut stage = Stage::with(&[
        workspace(json!({})),
        secret("claude/source", KEY_A),
        key("claude/search", json!({})),
    ]);
    stage.carry_out();
    stage
}

pub(super) fn is_key(plan: &Plan, value: &str) -> bool {
    let want = Digest::of(value.as_bytes());
    matches!(content_of(plan, "target"), Some(Content::Key(handle)) if handle.digest == want)
}

fn kept(value: &str) -> Content {
    Content::Kept(Some(Digest::of(value.as_bytes())))
}

pub(super) fn ready(plan: &Plan) -> (String, String) {
    condition(plan, "Ready", "claude/search")
}

pub(super) fn status_of(plan: &Plan) -> Value {
    let update = plan
        .statuses
        .iter()
        .find(|update| *update.name.name == *"search")
        .expect("a status");
    match &update.status {
        Status::ApiKeyRef(status) => serde_json::to_value(status).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_is_mapped_and_shown_by_fingerprint_only() {
    let stage = mapped();
    let plan = stage.plan();
    assert!(is_key(&plan, KEY_A));
    let status = status_of(&plan);
    assert_eq!(
        status["fingerprint"],
        Digest::of(KEY_A.as_bytes()).fingerprint().to_string()
    );
    assert_eq!(
        (&status["issuedAtOrigin"], &status["dueAt"]),
        (&json!("Spec"), &json!("2026-12-30T00:00:00Z"))
    );
    assert_eq!(ready(&plan), ("True".into(), "Ready".into()));
    assert!(!format!("{plan:?}").contains(KEY_A));
}

#[test]
fn the_last_good_stays_while_the_source_is_missing_or_malformed() {
    let mut stage = mapped();
    stage.remove(Change::SecretGone(NamespacedName::new("claude", "source")));
    let plan = stage.plan();
    assert_eq!(content_of(&plan, "target"), Some(&kept(KEY_A)));
    assert_eq!(ready(&plan), ("False".into(), "SourceNotFound".into()));
    assert_eq!(condition(&plan, "Programmed", "claude/search").0, "True");
    assert_eq!(
        status_of(&plan)["dueAt"],
        "2026-12-30T00:00:00Z",
        "its clock goes on"
    );
    assert_eq!(stage.writes(), [], "nothing is written over it");

    for (value, reason) in [
        ("sk-ant-admin01-x", "InvalidKey"),
        ("two words", "InvalidKey"),
        ("", "InvalidKey"),
    ] {
        stage.apply(&secret("claude/source", value));
        assert_eq!(
            content_of(&stage.plan(), "target"),
            Some(&kept(KEY_A)),
            "{value:?}"
        );
        assert_eq!(ready(&stage.plan()).1, reason);
    }
    stage.apply(&json!({"kind": "Secret", "metadata": {"namespace": "claude", "name": "source"}, "stringData": {"other": KEY_A}}));
    assert_eq!(ready(&stage.plan()).1, "SourceKeyMissing");
    stage.remove(denied("claude"));
    assert_eq!(ready(&stage.plan()).1, "SecretAccessDenied");
}

#[test]
fn a_key_is_taken_away_when_that_is_asked_for_or_a_permission_ends() {
    let revoked = key("claude/search", json!({"state": "Revoked"}));
    let fingerprint = Digest::of(KEY_A.as_bytes()).fingerprint().to_string();
    let version = key(
        "claude/search",
        json!({"revokedFingerprints": [fingerprint]}),
    );
    let moved = json!({"source": {"secretKeyRef": {"name": "elsewhere", "key": "api-key"}}});
    let moved = key("claude/search", moved);
    let disabled = workspace(json!({"state": "Disabled"}));
    for (change, reason, is_ready) in [
        (revoked, "Revoked", "True"),
        (version, "Revoked", "True"),
        (disabled, "WorkspaceDisabled", "True"),
        (moved, "SourceNotFound", "False"),
    ] {
        let mut stage = mapped();
        stage.apply(&change);
        let plan = stage.plan();
        assert_eq!(
            content_of(&plan, "target"),
            Some(&Content::Emptied),
            "{change}"
        );
        assert_eq!(ready(&plan), (is_ready.into(), reason.into()), "{change}");
        assert!(status_of(&plan).get("fingerprint").is_none());
        stage.carry_out();
        assert_eq!(stage.writes(), [], "once is enough");
    }
}

#[test]
fn of_a_revoked_key_nothing_is_read_and_nothing_missed() {
    let mut stage = mapped();
    stage.apply(&key("claude/search", json!({"state": "Revoked"})));
    stage.remove(Change::SecretGone(NamespacedName::new("claude", "source")));
    assert_eq!(ready(&stage.plan()), ("True".into(), "Revoked".into()));
    let mut unread = secret("claude/source", KEY_B);
    unread.as_object_mut().unwrap().remove("stringData");
    stage.apply(&unread);
    assert_eq!(ready(&stage.plan()), ("True".into(), "Revoked".into()));
}

#[test]
fn nothing_is_written_where_there_is_nothing_to_take_away() {
    let stage = Stage::with(&[
        workspace(json!({})),
        secret("claude/source", KEY_A),
        key("claude/search", json!({"state": "Revoked"})),
    ]);
    assert_eq!(content_of(&stage.plan(), "target"), None);
}

#[test]
fn a_workspace_that_went_and_came_back_leaves_the_target_alone() {
    let mut stage = mapped();
    stage.remove(Change::WorkspaceGone(NamespacedName::new(
        "claude",
        "production",
    )));
    let plan = stage.plan();
    assert_eq!(content_of(&plan, "target"), Some(&kept(KEY_A)));
    assert_eq!(ready(&plan).1, "WorkspaceNotFound");
    let secrets = |stage: &Stage| {
        stage
            .writes()
            .iter()
            .filter(|w| w.id().kind.name() == "Secret")
            .count()
    };
    assert_eq!(secrets(&stage), 0);
    stage.apply(&workspace(json!({})));
    assert_eq!(secrets(&stage), 0);
}

/// What a Workspace may have become that no key can attach to.
fn spoilt(stage: &mut Stage, gone: bool) {
    if gone {
        let name = NamespacedName::new("claude", "production");
        stage.remove(Change::WorkspaceGone(name));
    } else {
        stage.apply(&workspace(json!({"rateLimits": {"tier": "Tier9"}})));
    }
}

#[test]
fn without_its_workspace_a_key_stays_only_while_nothing_else_takes_it_away() {
    let version = Digest::of(KEY_A.as_bytes()).fingerprint().to_string();
    let elsewhere = json!({"secretKeyRef": {"name": "elsewhere", "key": "api-key"}});
    let other = Digest::of(KEY_B.as_bytes()).fingerprint().to_string();
    for gone in [true, false] {
        for (spec, want) in [
            (json!({}), kept(KEY_A)),
            (json!({"revokedFingerprints": [other]}), kept(KEY_A)),
            (
                json!({"next": {"secretKeyRef": {"name": "next", "key": "api-key"}}}),
                kept(KEY_A),
            ),
            (json!({"revokedFingerprints": [version]}), Content::Emptied),
            (json!({"source": elsewhere}), Content::Emptied),
        ] {
            let mut stage = mapped();
            stage.apply(&secret("claude/next", KEY_B));
            spoilt(&mut stage, gone);
            stage.apply(&key("claude/search", spec.clone()));
            let plan = stage.plan();
            assert_eq!(content_of(&plan, "target"), Some(&want), "{gone} {spec}");
        }
    }
}

#[test]
fn a_lent_key_goes_with_its_permission_whatever_became_of_its_workspace() {
    let source =
        json!({"secretKeyRef": {"name": "source", "key": "api-key", "namespace": "vault"}});
    let mut lent = secret("vault/source", KEY_A);
    lent["metadata"]["annotations"] = json!({"anthropic-rbac.io/allow-namespaces": "claude"});
    for gone in [true, false] {
        let mut stage = Stage::with(&[
            workspace(json!({})),
            lent.clone(),
            key("claude/search", json!({"source": source})),
        ]);
        stage.carry_out();
        spoilt(&mut stage, gone);
        let target = |stage: &Stage| content_of(&stage.plan(), "target").cloned();
        assert_eq!(target(&stage), Some(kept(KEY_A)));
        stage.apply(&secret("vault/source", KEY_A));
        assert_eq!(target(&stage), Some(Content::Emptied));
        stage.apply(&lent);
        stage.remove(Change::SecretGone(NamespacedName::new("vault", "source")));
        assert_eq!(target(&stage), Some(Content::Emptied));
    }
}

#[test]
fn from_another_namespace_a_key_needs_every_side_to_agree() {
    let source =
        json!({"secretKeyRef": {"name": "source", "key": "api-key", "namespace": "claude"}});
    let admitted =
        workspace(json!({"allowedNamespaces": [{"names": ["search"], "apiKeyRefs": "Allow"}]}));
    let mut lent = secret("claude/source", KEY_A);
    lent["metadata"]["annotations"] = json!({"anthropic-rbac.io/allow-namespaces": "search"});
    let attach = |workspace: &Value, secret: &Value| {
        let key = key("search/search", json!({"source": source}));
        let mut stage = Stage::with(&[
            workspace.clone(),
            secret.clone(),
            key,
            namespace("search", json!({})),
        ]);
        stage.carry_out();
        stage
    };
    let reason = |stage: &Stage| condition(&stage.plan(), "Ready", "search/search").1;
    let mut stage = attach(&admitted, &lent);
    assert!(is_key(&stage.plan(), KEY_A) && reason(&stage) == "Ready");
    assert_eq!(
        reason(&attach(&workspace(json!({})), &lent)),
        "RefNotPermitted"
    );
    assert_eq!(
        reason(&attach(&admitted, &secret("claude/source", KEY_A))),
        "RefNotPermitted"
    );

    stage.apply(&secret("claude/source", KEY_A));
    assert_eq!(
        content_of(&stage.plan(), "target"),
        Some(&Content::Emptied),
        "the grant was withdrawn"
    );
    stage.apply(&lent);
    stage.remove(Change::SecretGone(NamespacedName::new("claude", "source")));
    assert_eq!(
        content_of(&stage.plan(), "target"),
        Some(&Content::Emptied),
        "so it is when it is gone"
    );
}

#[test]
fn a_secret_that_is_not_ours_is_never_adopted() {
    let mut stage = Stage::with(&[
        workspace(json!({})),
        secret("claude/source", KEY_A),
        secret("claude/target", KEY_B),
        key("claude/search", json!({})),
    ]);
    assert_eq!(content_of(&stage.plan(), "target"), None);
    assert_eq!(ready(&stage.plan()), ("False".into(), "NotOurs".into()));
    stage.remove(Change::SecretGone(NamespacedName::new("claude", "target")));
    assert!(is_key(&stage.plan(), KEY_A));
}

#[test]
fn of_two_that_want_one_target_the_first_keeps_it_until_it_goes() {
    let mut stage = mapped();
    let mut newcomer = key(
        "claude/newcomer",
        json!({"source": {"secretKeyRef": {"name": "b", "key": "api-key"}}}),
    );
    newcomer["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    stage.apply(&secret("claude/b", KEY_B));
    stage.apply(&newcomer);
    let plan = stage.plan();
    assert!(
        is_key(&plan, KEY_A),
        "who is there stays, though the other is older"
    );
    assert_eq!(
        condition(&plan, "Ready", "claude/newcomer").1,
        "TargetConflict"
    );
    stage.remove(Change::KeyRefGone(NamespacedName::new("claude", "search")));
    assert!(is_key(&stage.plan(), KEY_B));
}

#[test]
fn who_waits_for_a_target_is_among_its_owners_and_takes_it_over_when_its_owner_is_gone() {
    let mut stage = mapped();
    let heir = json!({"source": {"secretKeyRef": {"name": "b", "key": "api-key"}}});
    stage.apply(&secret("claude/b", KEY_B));
    stage.apply(&key("claude/heir", heir));
    let target = |stage: &Stage| {
        let outputs = stage.plan().outputs.into_iter();
        let mut targets = outputs.filter(|output| &*output.id.name.name == "target");
        targets.next().expect("a target")
    };
    let heirs = vec![Heir {
        name: "heir".into(),
        uid: "uid-heir".into(),
    }];
    let owner = |name: &str, heirs: &[Heir]| Owner::Controller {
        kind: Kind::ApiKeyRef,
        name: name.into(),
        uid: Some(format!("uid-{name}").into()),
        heirs: heirs.to_vec(),
    };
    assert_eq!(target(&stage).owner, owner("search", &heirs));
    stage.carry_out();
    assert!(stage.writes().is_empty(), "they are there now");

    // Kubernetes takes the reference to the deleted one off.
    stage.disown("target", Ownership::Inherited(heirs));
    stage.remove(Change::KeyRefGone(NamespacedName::new("claude", "search")));
    assert_eq!(target(&stage).owner, owner("heir", &[]));
    assert!(is_key(&stage.plan(), KEY_B));
    assert!(stage.plan().stale.is_empty());
    // Who wants another one by now leaves it to nobody.
    let elsewhere = json!({"source": {"secretKeyRef": {"name": "b", "key": "api-key"}}, "target": {"secretName": "other"}});
    stage.apply(&key("claude/heir", elsewhere));
    let left = OutputId::secret("claude", "target");
    assert_eq!(stage.plan().stale, [left]);
}

#[test]
fn one_key_in_two_services_works_and_says_so() {
    let mut stage = mapped();
    stage.apply(&secret("claude/copy", KEY_A));
    let twin = json!({"service": "prod-auth", "source": {"secretKeyRef": {"name": "copy", "key": "api-key"}}, "target": {"secretName": "other"}});
    stage.apply(&key("claude/auth", twin));
    let plan = stage.plan();
    for object in ["claude/search", "claude/auth"] {
        assert_eq!(
            condition(&plan, "Unique", object),
            ("False".into(), "SharedKey".into())
        );
        assert_eq!(condition(&plan, "Ready", object).0, "True");
    }
}

#[test]
fn one_key_in_two_workspaces_stays_where_it_is_in_use() {
    let mut stage = mapped();
    let status = status_of(&stage.plan());
    let mut used = key("claude/search", json!({}));
    used["status"] = status;
    stage.apply(&used);
    stage.apply(&super::stage::object(
        "Workspace",
        "claude/staging",
        json!({}),
    ));
    let mut newcomer = key(
        "claude/newcomer",
        json!({"target": {"secretName": "other"}, "workspaceRef": {"name": "staging"}}),
    );
    newcomer["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    let affected = stage.apply(&newcomer);
    assert_eq!(affected.len(), 2, "both workspaces have something to say");
    let plan = stage.plan_of("claude/staging");
    assert_eq!(
        condition(&plan, "Ready", "claude/newcomer").1,
        "KeyInAnotherWorkspace"
    );
    assert_eq!(content_of(&plan, "other"), None);
    let plan = stage.plan();
    let unchanged = plan
        .statuses
        .iter()
        .all(|update| *update.name.name != *"search");
    assert!(
        unchanged && is_key(&plan, KEY_A),
        "nothing changes for who is there"
    );
}

#[test]
fn a_renamed_target_takes_the_old_one_away() {
    let mut stage = mapped();
    stage.apply(&key(
        "claude/search",
        json!({"target": {"secretName": "renamed"}}),
    ));
    let plan = stage.carry_out();
    assert_eq!(plan.stale.len(), 1);
    assert!(content_of(&plan, "renamed").is_some());
    assert_eq!(stage.writes(), []);
}

#[test]
fn losing_sight_of_secrets_takes_nothing_away_and_announces_nothing() {
    let mut stage = mapped();
    let mut told = key("claude/search", json!({}));
    told["status"] = status_of(&stage.plan());
    stage.apply(&told);
    let before = stage.policy_text();
    stage.remove(denied("claude"));
    let plan = stage.plan();
    assert_eq!(ready(&plan), ("False".into(), "SecretAccessDenied".into()));
    assert_eq!(status_of(&plan)["dueAt"], "2026-12-30T00:00:00Z");
    assert_eq!(
        stage.policy_text(),
        before,
        "the policy still names the version in use"
    );
    let mut told = key("claude/search", json!({}));
    told["status"] = status_of(&plan);
    stage.apply(&told);
    assert!(stage.plan().events.is_empty());
}

#[test]
fn a_target_to_be_retained_belongs_to_nobody_who_could_take_it_along() {
    let retain = json!({"target": {"secretName": "target", "deletionPolicy": "Retain"}});
    let mut stage = mapped();
    stage.apply(&key("claude/search", retain.clone()));
    let plan = stage.carry_out();
    let owner = |plan: &Plan| {
        plan.outputs
            .iter()
            .find(|o| *o.id.name.name == *"target")
            .unwrap()
            .owner
            .clone()
    };
    assert_eq!(owner(&plan), Owner::Retained("search".into()));
    assert_eq!(stage.writes(), [], "it is marked once");

    let elsewhere = json!({"target": {"secretName": "renamed", "deletionPolicy": "Retain"}});
    stage.apply(&key("claude/search", elsewhere));
    assert!(stage.plan().stale.is_empty(), "what is to stay stays");
    stage.remove(Change::KeyRefGone(NamespacedName::new("claude", "search")));
    assert!(stage.plan().stale.is_empty());

    let lent = json!({"source": {"secretKeyRef": {"name": "source", "key": "api-key", "namespace": "vault"}},
                      "target": {"secretName": "lent", "deletionPolicy": "Retain"}});
    let mut source = secret("vault/source", KEY_B);
    source["metadata"]["annotations"] = json!({"anthropic-rbac.io/allow-namespaces": "claude"});
    stage.apply(&source);
    stage.apply(&key("claude/lent", lent));
    let plan = stage.plan();
    let lent = plan
        .outputs
        .iter()
        .find(|o| *o.id.name.name == *"lent")
        .unwrap();
    assert!(
        matches!(lent.owner, Owner::Controller { .. }),
        "what was lent is never left behind"
    );
}

#[test]
fn a_version_that_cannot_be_told_from_a_revoked_one_does_not_stay() {
    let forgetful = |spec: Value| {
        let mut stage = mapped();
        stage.apply(&key("claude/search", spec));
        stage.remove(Change::SecretGone(NamespacedName::new("claude", "source")));
        let name = NamespacedName::new("claude", "production");
        let mut snapshot = stage.world.snapshot(&name, stage.now).unwrap();
        for output in snapshot.outputs.values_mut() {
            std::sync::Arc::make_mut(output).memory.clear();
        }
        let plan = crate::plan::plan(&snapshot);
        content_of(&plan, "target").cloned()
    };
    let revoked = json!({"revokedFingerprints": ["1a2b3c4d5e6f7081"]});
    assert_eq!(forgetful(revoked), Some(Content::Emptied));
    assert_eq!(forgetful(json!({})), Some(Content::Kept(None)));
}

/// Reasons of the findings about one ApiKeyRef.
fn findings(plan: &Plan, name: &str) -> Vec<&'static str> {
    let name = NamespacedName::parse(name).unwrap();
    let about = plan
        .findings
        .iter()
        .filter(|finding| finding.object.name == name);
    about.map(|finding| finding.reason.name()).collect()
}

#[test]
fn a_key_of_another_environment_than_its_workspaces_is_pointed_out() {
    let admitted = workspace(json!({
        "environment": "production",
        "allowedNamespaces": [{"names": ["search"], "apiKeyRefs": "Allow"}],
    }));
    let mut stage = Stage::with(&[
        admitted,
        secret("search/source", KEY_A),
        key("search/search", json!({})),
    ]);
    for (label, want) in [
        (
            json!({"anthropic-rbac.io/environment": "staging"}),
            vec!["EnvironmentMismatch"],
        ),
        (
            json!({"anthropic-rbac.io/environment": "production"}),
            vec![],
        ),
        (json!({}), vec![]),
    ] {
        stage.apply(&namespace("search", label));
        assert_eq!(findings(&stage.plan(), "search/search"), want);
    }
}

#[test]
fn one_id_for_different_keys_in_two_workspaces_is_pointed_out_to_both() {
    let staging = super::stage::object("Workspace", "claude/staging", json!({}));
    let mut stage = mapped();
    stage.apply(&staging);
    stage.apply(&key("claude/search", json!({"keyId": "apikey_1"})));
    stage.apply(&secret("claude/b", KEY_B));
    let other = |spec: Value| {
        let mut whole = json!({
            "workspaceRef": {"name": "staging"}, "target": {"secretName": "other"}, "keyId": "apikey_1",
            "source": {"secretKeyRef": {"name": "b", "key": "api-key"}},
        });
        let spec = spec.as_object().unwrap().clone();
        whole.as_object_mut().unwrap().extend(spec);
        key("claude/other", whole)
    };
    let both = |stage: &Stage| {
        let (one, other) = (stage.plan(), stage.plan_of("claude/staging"));
        let one = findings(&one, "claude/search").contains(&"SharedKey");
        (one, findings(&other, "claude/other").contains(&"SharedKey"))
    };
    let affected = stage.apply(&other(json!({})));
    assert_eq!((affected.len(), both(&stage)), (2, (true, true)));
    // The source's annotation counts before the spec.
    let mut annotated = secret("claude/b", KEY_B);
    annotated["metadata"]["annotations"] = json!({"anthropic-rbac.io/key-id": "apikey_2"});
    stage.apply(&annotated);
    stage.apply(&other(json!({"keyId": null})));
    assert_eq!(both(&stage), (false, false));
    stage.apply(&secret("claude/b", KEY_B));
    stage.apply(&other(json!({"scope": "Organization"})));
    assert_eq!(both(&stage), (true, true));
    stage.apply(&key(
        "claude/search",
        json!({"keyId": "apikey_1", "scope": "Organization"}),
    ));
    assert_eq!(both(&stage), (false, false));
}

#[test]
fn what_a_deleted_key_leaves_goes_at_once_unless_it_is_to_stay() {
    let gone = || Change::KeyRefGone(NamespacedName::new("claude", "search"));
    let mut stage = mapped();
    stage.remove(gone());
    assert_eq!(stage.plan().stale, [OutputId::secret("claude", "target")]);
    stage.carry_out();
    assert!(stage.plan().stale.is_empty());

    // Orphaned on purpose: Kubernetes took the owner away first.
    let mut stage = mapped();
    let id = OutputId::secret("claude", "target");
    let name = NamespacedName::new("claude", "production");
    let mut orphan = (*stage.snapshot(&name).outputs[&id]).clone();
    orphan.owner = Ownership::Foreign;
    stage.put_secret(orphan, id.name);
    stage.remove(gone());
    assert!(stage.plan().stale.is_empty());

    // A namesake that came after it takes the Secret over.
    let mut stage = mapped();
    stage.remove(gone());
    stage.apply(&key("claude/search", json!({})));
    assert!(stage.plan().stale.is_empty() && is_key(&stage.plan(), KEY_A));
}

#[test]
fn a_key_that_goes_after_what_it_owns_does_not_make_it_anew() {
    let dying = |policy: &str| {
        let target = json!({"target": {"secretName": "target", "deletionPolicy": policy}});
        let mut stage = mapped();
        let mut dying = key("claude/search", target.clone());
        stage.apply(&dying);
        stage.carry_out();
        dying["metadata"]["deletionTimestamp"] = json!("2026-11-24T00:00:00Z");
        dying["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
        stage.apply(&dying);
        stage.remove(Change::SecretGone(NamespacedName::new("claude", "target")));
        content_of(&stage.plan(), "target").is_some()
    };
    assert!(!dying("Delete"));
    assert!(dying("Retain"), "its target is not owned");
}

#[test]
fn a_key_that_refers_to_another_workspace_that_is_not_there_is_emptied() {
    let mut stage = mapped();
    stage.apply(&key(
        "claude/search",
        json!({"workspaceRef": {"name": "staging"}}),
    ));
    let plan = stage.plan_of("claude/staging");
    assert_eq!(content_of(&plan, "target"), Some(&Content::Emptied));
    assert_eq!(
        condition(&plan, "Ready", "claude/search").1,
        "WorkspaceNotFound"
    );
    // The one it was for may come back: its value stays meanwhile.
    let mut stage = mapped();
    stage.remove(Change::WorkspaceGone(NamespacedName::new(
        "claude",
        "production",
    )));
    assert_eq!(content_of(&stage.plan(), "target"), Some(&kept(KEY_A)));
}

#[test]
fn what_is_still_learned_of_a_secret_out_of_sight_counts_once_it_can_be_seen() {
    let mut stage = mapped();
    stage.remove(denied("claude"));
    stage.apply(&secret("claude/source", KEY_A));
    assert_eq!(ready(&stage.plan()).1, "SecretAccessDenied");
    stage.remove(Change::SecretAccess("claude".into(), Access::Listed));
    assert_eq!(ready(&stage.plan()).1, "Ready");
}

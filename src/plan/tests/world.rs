//! Whom a change affects, and who waits for what.

use std::sync::Arc;

use serde_json::json;

use super::stage::{KEY_A, Stage, binding, condition, key, object, secret, service, workspace};
use crate::facts::{JwksLookup, KeySetId, PodScope};
use crate::plan::world::{Access, Affected, Change, Unseen, World};
use crate::policy::catalogue::Catalogue;
use crate::policy::name::NamespacedName;

fn names(affected: &Affected) -> Vec<String> {
    affected.iter().map(ToString::to_string).collect()
}

#[test]
fn moving_a_binding_affects_where_it_was_and_where_it_is() {
    let mut stage = Stage::with(&[workspace(json!({}))]);
    let before = binding("claude/b", "user", service("claude", "search"));
    assert_eq!(names(&stage.apply(&before)), ["claude/production"]);
    let mut after = before;
    after["spec"]["workspaceRef"]["name"] = json!("staging");
    assert_eq!(
        names(&stage.apply(&after)),
        ["claude/production", "claude/staging"]
    );
    assert!(
        stage
            .plan()
            .statuses
            .iter()
            .all(|update| *update.name.name != *"b")
    );
    stage.remove(Change::BindingGone(NamespacedName::new("claude", "b")));
    assert_eq!(names(&stage.world.workspaces()), ["claude/production"]);
}

#[test]
fn a_secret_affects_only_who_refers_to_it() {
    let mut stage = Stage::with(&[
        workspace(json!({})),
        object("Workspace", "claude/staging", json!({})),
        key("claude/search", json!({})),
    ]);
    assert_eq!(
        names(&stage.apply(&secret("claude/source", KEY_A))),
        ["claude/production"]
    );
    assert_eq!(
        names(&stage.apply(&secret("claude/unrelated", KEY_A))),
        [""; 0]
    );
    assert_eq!(
        names(&stage.apply(&secret("search/source", KEY_A))),
        [""; 0]
    );
    stage.remove(Change::KeyRefGone(NamespacedName::new("claude", "search")));
    assert!(stage.world.secret_namespaces().is_empty());
    assert_eq!(
        names(&stage.apply(&secret("claude/source", "changed"))),
        [""; 0]
    );
}

#[test]
fn a_workspace_waits_for_the_secrets_it_needs_and_nobody_else_waits() {
    let mut stage = Stage::new();
    stage.world = World::new(Arc::new(Catalogue::built_in()), Unseen::Waits);
    stage.apply(&workspace(json!({})));
    stage.apply(&object("Workspace", "claude/staging", json!({})));
    stage.apply(&key("claude/search", json!({})));
    let knows = |stage: &Stage, name: &str| {
        let name = NamespacedName::parse(name).unwrap();
        stage.world.snapshot(&name, stage.now).is_some()
    };
    assert!(!knows(&stage, "claude/production") && knows(&stage, "claude/staging"));
    for access in [Access::Denied, Access::Listed] {
        let affected = stage.remove(Change::SecretAccess("claude".into(), access));
        assert_eq!(names(&affected), ["claude/production"]);
        assert!(knows(&stage, "claude/production"));
    }
    assert!(
        stage
            .remove(Change::SecretAccess("claude".into(), Access::Listed))
            .is_empty()
    );
}

#[test]
fn values_read_of_a_former_version_are_not_taken_for_the_present_one() {
    let mut stage = Stage::with(&[workspace(json!({})), key("claude/search", json!({}))]);
    let mut unread = secret("claude/source", KEY_A);
    unread["stringData"] = json!({});
    stage.apply(&unread);
    let name = NamespacedName::new("claude", "source");
    let values = |resource_version: &str| Change::SecretValues {
        name: name.clone(),
        resource_version: resource_version.into(),
        values: [(
            "api-key".into(),
            crate::material::KeyMaterial::new(KEY_A.as_bytes().to_vec()).facts(),
        )]
        .into(),
    };
    assert!(stage.remove(values("1000000")).is_empty());
    let present = "3";
    assert_eq!(names(&stage.remove(values(present))), ["claude/production"]);
    assert!(stage.remove(values(present)).is_empty(), "known already");
}

/// A Workspace whose gateway names pods and whose issuer names a ConfigMap.
fn looking(selector: serde_json::Value) -> serde_json::Value {
    workspace(json!({
        "gateways": [{"name": "edge", "type": "Envoy", "podSelector": selector}],
        "authentication": {"issuers": [{
            "name": "corp", "type": "OIDC", "issuerURL": "https://login.example.com",
            "jwksConfigMapRef": {"name": "corp-jwks", "key": "jwks.json"}, "audiences": ["claude"],
        }]},
    }))
}

fn waiting() -> Stage {
    let mut stage = Stage::new();
    stage.world = World::new(Arc::new(Catalogue::built_in()), Unseen::Waits);
    stage.remove(Change::SecretAccess("claude".into(), Access::Listed));
    stage
}

fn waits(stage: &Stage) -> bool {
    let name = NamespacedName::new("claude", "production");
    stage.world.snapshot(&name, stage.now).is_none()
}

#[test]
fn what_is_named_again_before_anybody_has_stopped_looking_is_waited_for_by_nobody() {
    let mut stage = waiting();
    let named = looking(json!({"matchLabels": {"app": "edge"}}));
    let list = |stage: &mut Stage| {
        let selector = "app in (edge)".into();
        let namespace = "claude".into();
        let scope = PodScope {
            namespace,
            selector,
        };
        stage.remove(Change::PodAccess(scope, Access::Listed));
        let set = KeySetId {
            config_map: NamespacedName::new("claude", "corp-jwks"),
            key: "jwks.json".into(),
        };
        stage.remove(Change::KeySet(set, JwksLookup::Absent));
    };
    stage.apply(&named);
    assert!(waits(&stage));
    list(&mut stage);
    assert!(!waits(&stage));
    let name = NamespacedName::new("claude", "production");
    // Gone and there again, as one who forces a replacement leaves it, in one round of the loop.
    stage.remove(Change::WorkspaceGone(name.clone()));
    stage.apply(&named);
    assert_eq!(
        (stage.world.pod_scopes().len(), stage.world.key_sets().len()),
        (1, 1)
    );
    assert!(!waits(&stage), "nobody will list them once more");

    stage.remove(Change::WorkspaceGone(name));
    assert!(stage.world.pod_scopes().is_empty() && stage.world.key_sets().is_empty());
    stage.apply(&named);
    assert!(waits(&stage), "they were not kept up to date meanwhile");
    list(&mut stage);
    assert!(!waits(&stage));
}

#[test]
fn a_selector_that_no_list_request_takes_is_refused_and_not_waited_for() {
    for bad in [
        json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["claude gateway"]}]}),
        json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a", "b)"]}]}),
        json!({"matchExpressions": [{"key": "a..b/app", "operator": "Exists"}]}),
        json!({"matchLabels": {format!("{}/app", "a".repeat(254)): "edge"}}),
    ] {
        let mut stage = waiting();
        stage.apply(&looking(bad.clone()));
        assert!(!waits(&stage), "{bad}");
        let told = condition(&stage.plan(), "Accepted", "claude/production");
        assert_eq!(told, ("False".into(), "InvalidSpec".into()), "{bad}");
    }
    // Every namespace is none of these.
    let others =
        json!({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a b"]}]});
    let allowed = json!([{"selector": others, "apiKeyRefs": "Allow"}]);
    let open = Stage::with(&[workspace(json!({"allowedNamespaces": allowed}))]);
    let told = condition(&open.plan(), "Accepted", "claude/production");
    assert_eq!(told, ("False".into(), "InvalidSpec".into()));
    let mut stage = waiting();
    stage.apply(&looking(json!({"matchExpressions": [
        {"key": "example.com/app", "operator": "In", "values": ["", "edge_1.x"]},
        {"key": "old", "operator": "DoesNotExist"},
    ]})));
    assert!(waits(&stage), "for pods that can be listed");
}

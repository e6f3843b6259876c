//! No write without a difference, and no difference without a write.

use std::sync::Arc;

use serde_json::json;

use super::stage::{KEY_A, Stage, binding, key, secret, service, workspace};
use crate::facts::{OutputFacts, Ownership};
use crate::plan::output::{Status, StatusUpdate};
use crate::plan::world::Change;
use crate::plan::write::Write;
use crate::policy::name::{Name, NamespacedName};

fn settled() -> Stage {
    let mut stage = Stage::with(&[
        workspace(json!({"keys": {"defaultApiKeyRef": {"name": "search"}}})),
        secret("claude/source", KEY_A),
        key("claude/search", json!({})),
        binding("claude/b", "user", service("claude", "search")),
    ]);
    stage.carry_out();
    stage
}

fn policy() -> NamespacedName {
    NamespacedName::new("claude", "production.policy")
}

/// Changes the facts of the policy's ConfigMap as somebody else's edit would.
fn edited(stage: &mut Stage, edit: impl FnOnce(&mut OutputFacts)) -> Vec<Write> {
    let snapshot = stage
        .world
        .snapshot(&NamespacedName::new("claude", "production"), stage.now);
    let outputs = snapshot.unwrap().outputs;
    let (_, facts) = outputs.iter().find(|(id, _)| id.name == policy()).unwrap();
    let mut facts = (**facts).clone();
    edit(&mut facts);
    stage.world.apply(Change::ConfigMap(policy(), facts));
    stage.writes()
}

#[test]
fn what_is_carried_out_is_not_carried_out_again() {
    let stage = settled();
    assert_eq!(stage.writes(), []);
}

/// All that is said of objects, those that do not even say which Workspace they are for included.
fn told(stage: &Stage) -> Vec<StatusUpdate> {
    let plans = [stage.plan(), stage.plan_of_nameless("claude")];
    plans.into_iter().flat_map(|plan| plan.statuses).collect()
}

#[test]
fn what_is_not_understood_is_told_so_once() {
    let mut objects = [
        workspace(json!({})),
        key("claude/search", json!({})),
        binding("claude/b", "user", service("claude", "search")),
    ];
    for object in &mut objects {
        object["spec"]["state"] = json!("OfAnotherRelease");
    }
    let mut stage = Stage::with(&objects);
    let first = told(&stage);
    assert_eq!(first.len(), objects.len());
    for object in &mut objects {
        let its = |update: &&StatusUpdate| *update.name.name == object["metadata"]["name"];
        let status = &first.iter().find(its).expect("a status").status;
        object["status"] = match status {
            Status::Workspace(status) => serde_json::to_value(status),
            Status::RoleBinding(status) => serde_json::to_value(status),
            Status::ApiKeyRef(status) => serde_json::to_value(status),
        }
        .unwrap();
        stage.apply(object);
    }
    assert_eq!(told(stage.at("2027-01-01T00:00:00Z")), []);
    let mended = binding("claude/b", "user", service("claude", "search"));
    stage.apply(&mended);
    assert_eq!(stage.plan().statuses.len(), 1);
}

#[test]
fn repeating_a_fact_affects_nobody() {
    let mut stage = settled();
    let names: [&serde_json::Value; 1] =
        [&binding("claude/b", "user", service("claude", "search"))];
    for object in names {
        assert!(stage.apply(object).is_empty());
    }
    let mut annotated = binding("claude/b", "user", service("claude", "search"));
    annotated["metadata"]["annotations"] = json!({"team": "search"});
    assert!(
        stage.apply(&annotated).is_empty(),
        "nobody decides by an annotation"
    );
}

#[test]
fn somebody_elses_label_is_no_reason_to_write() {
    let mut stage = settled();
    let writes = edited(&mut stage, |facts| facts.resource_version = "999".into());
    assert_eq!(writes, []);
}

#[test]
fn somebody_elses_edit_is_undone() {
    let mut stage = settled();
    let undone = |writes: Vec<Write>| matches!(&writes[..], [Write::Patch { data: true, .. }]);
    assert!(undone(edited(&mut stage, |facts| facts.tampered =
        facts.data_keys.iter().cloned().collect())));
    let mut stage = settled();
    let writes = edited(&mut stage, |facts| {
        facts.tampered.insert(Name::from("more.json"));
        facts.data_keys.push(Name::from("more.json"));
    });
    assert!(
        matches!(&writes[..], [Write::Patch { remove, .. }] if *remove == [Name::from("more.json")])
    );
    let mut stage = settled();
    let writes = edited(&mut stage, |facts| {
        drop(facts.marks.remove("anthropic-rbac.io/workspace"))
    });
    assert!(
        matches!(&writes[..], [Write::Patch { data: false, .. }]),
        "labels only"
    );
    let mut stage = settled();
    stage.world.apply(Change::ConfigMapGone(policy()));
    assert!(matches!(&stage.writes()[..], [Write::Create(_)]));
}

#[test]
fn what_became_somebody_elses_is_left_alone() {
    let mut stage = settled();
    assert_eq!(
        edited(&mut stage, |facts| facts.owner = Ownership::Foreign),
        []
    );
}

#[test]
fn an_object_of_the_owners_former_self_gets_the_new_owner() {
    let mut stage = settled();
    let writes = edited(&mut stage, |facts| {
        if let Ownership::Controlled { uid, .. } = &mut facts.owner {
            *uid = "uid-before".into();
        }
    });
    assert!(matches!(&writes[..], [Write::Patch { data: false, .. }]));
}

#[test]
fn taking_away_goes_before_everything_else() {
    let mut stage = settled();
    stage.apply(&workspace(
        json!({"state": "Disabled", "keys": {"defaultApiKeyRef": {"name": "search"}}}),
    ));
    let kinds: Vec<_> = stage
        .writes()
        .iter()
        .map(|write| write.id().name.name.to_string())
        .collect();
    assert_eq!(kinds, ["target", "production.policy"]);
}

#[test]
fn a_source_that_only_moved_is_read_and_nothing_is_written() {
    let mut stage = settled();
    let mut touched = secret("claude/source", KEY_A);
    touched["metadata"]["annotations"] = json!({"refreshed": "now"});
    assert!(!stage.apply(&touched).is_empty());
    assert_eq!(stage.writes(), []);
}

#[test]
fn what_a_target_remembers_saves_reading_its_source_again() {
    let stage = settled();
    let name = NamespacedName::new("claude", "production");
    let mut snapshot = stage.world.snapshot(&name, stage.now).unwrap();
    // As after a restart: metadata only.
    for lookup in snapshot.secrets.values_mut() {
        if let crate::facts::SecretLookup::Present(secret) = lookup {
            Arc::make_mut(secret).values = None;
        }
    }
    assert!(snapshot.unread().is_empty());
    if let Some(crate::facts::SecretLookup::Present(secret)) = snapshot
        .secrets
        .get_mut(&NamespacedName::new("claude", "source"))
    {
        Arc::make_mut(secret).resource_version = "1000".into();
    }
    assert_eq!(snapshot.unread(), [NamespacedName::new("claude", "source")]);
}

#[test]
fn nothing_is_read_that_may_not_be_used() {
    let lent = |annotations: serde_json::Value| {
        let source =
            json!({"secretKeyRef": {"name": "source", "key": "api-key", "namespace": "vault"}});
        let mut stage = Stage::with(&[
            workspace(json!({})),
            key("claude/search", json!({"source": source})),
        ]);
        let mut unread = secret("vault/source", KEY_A);
        unread["metadata"]["annotations"] = annotations;
        unread["metadata"]["labels"] = json!({"anthropic-rbac.io/client-key": "true"});
        stage.apply(&unread);
        let name = NamespacedName::new("claude", "production");
        let mut snapshot = stage.world.snapshot(&name, stage.now).unwrap();
        for lookup in snapshot.secrets.values_mut() {
            if let crate::facts::SecretLookup::Present(secret) = lookup {
                Arc::make_mut(secret).values = None;
            }
        }
        snapshot.unread()
    };
    assert_eq!(lent(json!({})), []);
    let granted = json!({"anthropic-rbac.io/allow-namespaces": "claude"});
    assert_eq!(lent(granted), [NamespacedName::new("vault", "source")]);
}

//! The keys a gateway gets: which, under which names, and what is remembered of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::keys::{ready, status_of};
use super::stage::{
    KEY_A, KEY_B, Stage, condition, content_of, denied, key, namespace, secret, workspace,
};
use crate::facts::{OutputFacts, OutputId, OutputKind, SecretLookup, Snapshot};
use crate::plan::keys::data_key;
use crate::plan::output::{Content, Output, Plan};
use crate::plan::plan;
use crate::plan::world::Change;
use crate::plan::write::Write;
use crate::policy::digest::Digest;
use crate::policy::name::{Name, NamespacedName};

const KEYS: &str = "production.edge.keys";

fn with_gateway(spec: Value) -> Value {
    let mut whole = json!({"gateways": [{"name": "edge", "type": "Envoy"}]});
    let spec = spec.as_object().unwrap().clone();
    whole.as_object_mut().unwrap().extend(spec);
    workspace(whole)
}

/// A key for the gateway alone.
fn gateway_only(name: &str, spec: Value) -> Value {
    let mut object = key(name, spec);
    object["spec"].as_object_mut().unwrap().remove("target");
    object
}

fn served() -> Stage {
    let mut stage = Stage::with(&[
        with_gateway(json!({})),
        secret("claude/source", KEY_A),
        gateway_only("claude/search", json!({})),
    ]);
    stage.carry_out();
    stage
}

fn snapshot(stage: &Stage) -> Snapshot {
    let name = NamespacedName::new("claude", "production");
    stage.world.snapshot(&name, stage.now).unwrap()
}

fn secret_of(plan: &Plan) -> &Output {
    let mut outputs = plan.outputs.iter();
    outputs
        .find(|output| *output.id.name.name == *KEYS)
        .unwrap()
}

/// Digests in the gateway's Secret.
fn digests(plan: &Plan) -> Vec<Digest> {
    let digest = |content: &Content| match content {
        Content::Key(handle) => handle.digest,
        Content::Kept(Some(digest)) => *digest,
        other => panic!("{other:?}"),
    };
    secret_of(plan).data.values().map(digest).collect()
}

fn digest(value: &str) -> Digest {
    Digest::of(value.as_bytes())
}

/// The facts of the gateway's Secret as somebody's edit leaves them.
fn edited(stage: &mut Stage, edit: impl FnOnce(&mut OutputFacts)) {
    let id = OutputId::secret("claude", KEYS);
    let mut facts = (*snapshot(stage).outputs[&id]).clone();
    edit(&mut facts);
    facts.resource_version = "9999".into();
    stage.put_secret(facts, id.name);
}

#[test]
fn a_gateway_gets_a_key_under_the_id_that_the_policy_names_it_by() {
    let plan = served().plan();
    let policy = &plan.resolution.as_ref().unwrap().policy;
    let ids: Vec<Name> = policy
        .keys
        .keys()
        .map(|id| Name::from(id.to_string()))
        .collect();
    assert_eq!(
        secret_of(&plan).data.keys().cloned().collect::<Vec<_>>(),
        ids
    );
    assert_eq!(digests(&plan), [digest(KEY_A)]);
    assert_eq!(ready(&plan), ("True".into(), "Ready".into()));
}

#[test]
fn a_gateway_has_no_key_that_may_not_be_used_and_target_and_policy_agree() {
    let fingerprint = digest(KEY_A).fingerprint().to_string();
    let moved = json!({"source": {"secretKeyRef": {"name": "elsewhere", "key": "api-key"}}});
    for change in [
        key("claude/search", json!({"state": "Revoked"})),
        key(
            "claude/search",
            json!({"revokedFingerprints": [fingerprint]}),
        ),
        key("claude/search", moved),
        key("claude/search", json!({"workspaceRef": {"name": "other"}})),
        with_gateway(json!({"state": "Disabled"})),
    ] {
        let mut stage = served();
        stage.apply(&key("claude/search", json!({})));
        stage.carry_out();
        assert_eq!(digests(&stage.plan()), [digest(KEY_A)]);
        stage.apply(&change);
        let plan = stage.plan();
        assert!(secret_of(&plan).data.is_empty(), "{change}");
        if let Some(content) = content_of(&plan, "target") {
            assert_eq!(*content, Content::Emptied, "{change}");
        }
        let policy = &plan.resolution.as_ref().unwrap().policy;
        assert!(policy.keys.values().all(|row| row.fingerprint.is_none()));
        let first = stage
            .writes()
            .into_iter()
            .find(|write| *write.id().name.name == *KEYS);
        let Some(Write::Patch { remove, .. }) = first else {
            panic!("{change}");
        };
        assert_eq!(remove.len(), 1);
        stage.carry_out();
        assert_eq!(stage.writes(), [], "once is enough");
    }
}

#[test]
fn revoking_needs_no_workspace_that_is_there_or_understood() {
    let mut stage = served();
    stage.apply(&key("claude/search", json!({})));
    stage.carry_out();
    let broken = with_gateway(json!({"defaultMaxTokens": 0}));
    stage.apply(&broken);
    let plan = stage.plan();
    assert!(
        secret_of(&plan).data.is_empty(),
        "not understood denies everything"
    );
    assert!(matches!(
        content_of(&plan, "target"),
        Some(Content::Kept(_))
    ));
    stage.apply(&key("claude/search", json!({"state": "Revoked"})));
    assert_eq!(content_of(&stage.plan(), "target"), Some(&Content::Emptied));
    stage.remove(Change::WorkspaceGone(NamespacedName::new(
        "claude",
        "production",
    )));
    let plan = stage.plan();
    assert_eq!(content_of(&plan, "target"), Some(&Content::Emptied));
    assert_eq!(ready(&plan), ("False".into(), "WorkspaceNotFound".into()));
}

#[test]
fn a_gateway_elsewhere_gets_only_what_the_source_allows_it() {
    let admitted = json!({"allowedNamespaces": [{"names": ["search"], "apiKeyRefs": "Allow"}]});
    let lent = |annotations: Value| {
        let mut source = secret("search/source", KEY_A);
        source["metadata"]["annotations"] = annotations;
        let mut stage = Stage::with(&[
            with_gateway(admitted.clone()),
            source,
            namespace("search", json!({})),
            key("search/search", json!({})),
        ]);
        stage.carry_out();
        stage
    };
    let allowed = json!({"anthropic-rbac.io/allow-workspaces": "claude/production"});
    let mut stage = lent(allowed);
    assert_eq!(digests(&stage.plan()), [digest(KEY_A)]);
    // Withdrawn: out of the gateway, and still the service's own.
    stage.apply(&secret("search/source", KEY_A));
    let plan = stage.plan();
    assert!(secret_of(&plan).data.is_empty());
    assert!(matches!(content_of(&plan, "target"), Some(Content::Key(_))));
    assert_eq!(
        condition(&plan, "Ready", "search/search").1,
        "RefNotPermitted"
    );
    for other in ["claude/staging", "claude/production,", "production"] {
        let stage = lent(json!({"anthropic-rbac.io/allow-workspaces": other}));
        assert!(secret_of(&stage.plan()).data.is_empty(), "{other}");
    }
}

#[test]
fn a_gateway_gets_no_key_that_serves_somebody_elses_subjects() {
    let admitted =
        with_gateway(json!({"allowedNamespaces": [{"names": ["search"], "apiKeyRefs": "Allow"}]}));
    let mut source = secret("search/source", KEY_A);
    source["metadata"]["annotations"] =
        json!({"anthropic-rbac.io/allow-workspaces": "claude/production"});
    let mut stage = Stage::with(&[admitted, source, namespace("search", json!({}))]);
    for (of, count) in [("search", 1), ("claude", 0)] {
        let served =
            json!({"usedBy": [{"kind": "ServiceAccount", "name": "app", "namespace": of}]});
        stage.apply(&gateway_only("search/search", served));
        assert_eq!(secret_of(&stage.plan()).data.len(), count, "{of}");
    }
}

#[test]
fn one_changed_key_of_fifty_is_one_data_key_written() {
    let mut stage = Stage::with(&[with_gateway(json!({}))]);
    for i in 0..50 {
        let source =
            json!({"source": {"secretKeyRef": {"name": format!("source-{i}"), "key": "api-key"}}});
        stage.apply(&secret(
            &format!("claude/source-{i}"),
            &format!("{KEY_A}-{i}"),
        ));
        stage.apply(&gateway_only(&format!("claude/key-{i}"), source));
    }
    stage.carry_out();
    assert_eq!(stage.writes(), []);
    stage.apply(&secret("claude/source-7", KEY_B));
    let writes = stage.writes();
    let patched: Vec<_> = writes
        .iter()
        .filter_map(|write| match write {
            Write::Patch { output, .. } if *output.id.name.name == *KEYS => Some(output),
            _ => None,
        })
        .collect();
    let sent = patched.iter().flat_map(|output| output.data.values());
    let sent: Vec<_> = sent
        .filter(|content| !matches!(content, Content::Kept(_)))
        .collect();
    assert!(matches!(sent[..], [Content::Key(handle)] if handle.digest == digest(KEY_B)));
}

#[test]
fn a_key_without_a_target_is_remembered_by_the_gateways_secret() {
    let mut stage = served();
    stage
        .at("2026-12-01T00:00:00Z")
        .apply(&secret("claude/source", KEY_B));
    stage.carry_out();
    // As after a restart that also lost the status: metadata only.
    let mut snapshot = snapshot(&stage);
    snapshot.now = "2026-12-20T00:00:00Z".parse().unwrap();
    for lookup in snapshot.secrets.values_mut() {
        if let SecretLookup::Present(secret) = lookup {
            Arc::make_mut(secret).values = None;
        }
    }
    assert_eq!(snapshot.unread(), []);
    let plan = plan(&snapshot);
    assert_eq!(plan.writes(&snapshot.outputs), []);
    let status = status_of(&plan);
    assert_eq!(
        (
            &status["fingerprint"],
            &status["activeFrom"],
            &status["issuedAt"]
        ),
        (
            &json!(digest(KEY_B).fingerprint().to_string()),
            &json!("2026-12-01T00:00:00Z"),
            &json!("2026-12-01T00:00:00Z"),
        )
    );
    assert_eq!(status["previous"][0]["activeUntil"], "2026-12-01T00:00:00Z");
}

#[test]
fn the_last_good_stays_in_the_gateway_unless_somebody_changed_it() {
    let mut stage = served();
    stage.remove(Change::SecretGone(NamespacedName::new("claude", "source")));
    let plan = stage.plan();
    assert_eq!(
        secret_of(&plan).data.values().collect::<Vec<_>>(),
        [&Content::Kept(Some(digest(KEY_A)))]
    );
    assert_eq!(condition(&plan, "Programmed", "claude/search").0, "True");
    assert_eq!(stage.writes(), []);

    edited(&mut stage, |facts| {
        facts.tampered = facts.data_keys.iter().cloned().collect()
    });
    let plan = stage.plan();
    assert!(
        secret_of(&plan).data.is_empty(),
        "nobody knows what is there now"
    );
    assert_eq!(condition(&plan, "Programmed", "claude/search").0, "False");

    let mut stage = served();
    edited(&mut stage, |facts| {
        facts.tampered = facts.data_keys.iter().cloned().collect()
    });
    let Some(Write::Patch { output, .. }) = stage.writes().pop() else {
        panic!("it is undone");
    };
    assert!(matches!(output.data.values().next(), Some(Content::Key(_))));
    let mut stage = served();
    edited(&mut stage, |facts| facts.data_keys.push("more".into()));
    assert!(
        matches!(&stage.writes()[..], [Write::Patch { remove, .. }] if *remove == [Name::from("more")])
    );
}

#[test]
fn a_secret_in_the_gateways_place_is_never_adopted() {
    let mut stage = Stage::with(&[
        with_gateway(json!({})),
        secret("claude/source", KEY_A),
        secret(&format!("claude/{KEYS}"), KEY_B),
        gateway_only("claude/search", json!({})),
    ]);
    let writes = stage.writes();
    assert!(writes.iter().all(|write| *write.id().name.name != *KEYS));
    assert_eq!(ready(&stage.plan()), ("False".into(), "NotOurs".into()));
    stage.remove(Change::SecretGone(NamespacedName::new("claude", KEYS)));
    assert_eq!(digests(&stage.plan()), [digest(KEY_A)]);
    assert_eq!(ready(&stage.plan()).0, "True");
}

#[test]
fn no_target_is_in_a_gateways_place() {
    let mut stage = served();
    stage.apply(&secret("claude/b", KEY_B));
    let intruder = |workspace: &str| {
        let spec = json!({
            "source": {"secretKeyRef": {"name": "b", "key": "api-key"}},
            "target": {"secretName": KEYS},
            "workspaceRef": {"name": workspace},
        });
        key("claude/intruder", spec)
    };
    let gateway = digests(&stage.plan());
    stage.apply(&intruder("production"));
    let plan = stage.plan();
    assert_eq!(
        condition(&plan, "Ready", "claude/intruder").1,
        "TargetConflict"
    );
    assert!(digests(&plan).starts_with(&gateway) || digests(&plan).ends_with(&gateway));
    // Nor in that of another Workspace.
    stage.apply(&super::stage::object(
        "Workspace",
        "claude/staging",
        json!({}),
    ));
    stage.apply(&intruder("staging"));
    let plan = stage.plan_of("claude/staging");
    assert_eq!(
        condition(&plan, "Ready", "claude/intruder").1,
        "TargetConflict"
    );
    assert!(
        plan.outputs
            .iter()
            .all(|output| *output.id.name.name != *KEYS)
    );
}

#[test]
fn where_secrets_may_not_be_touched_the_gateway_has_no_keys_and_says_so() {
    let mut stage = served();
    stage.remove(denied("claude"));
    let plan = stage.plan();
    assert!(
        plan.outputs
            .iter()
            .all(|output| *output.id.name.name != *KEYS)
    );
    assert_eq!(
        condition(&plan, "Programmed", "claude/search").1,
        "SecretAccessDenied"
    );
    assert_eq!(
        condition(&plan, "Programmed", "claude/production").1,
        "SecretAccessDenied"
    );
}

#[test]
fn a_gateway_that_is_no_longer_wanted_loses_its_secret() {
    let mut stage = served();
    stage.apply(&workspace(json!({})));
    let stale = stage.plan().stale;
    let secrets = stale.iter().filter(|id| id.kind == OutputKind::Secret);
    assert_eq!(
        secrets.collect::<Vec<_>>(),
        [&OutputId::secret("claude", KEYS)]
    );
}

#[test]
fn hundreds_of_keys_fit_and_one_namespaces_many_cost_no_other_its_few() {
    let admitted = with_gateway(
        json!({"allowedNamespaces": [{"names": ["many", "few"], "apiKeyRefs": "Allow"}]}),
    );
    let mut stage = Stage::with(&[
        admitted,
        namespace("many", json!({})),
        namespace("few", json!({})),
    ]);
    let add = |stage: &mut Stage, namespace: &str, i: usize| {
        let source = format!("source-{i}");
        let mut object = secret(
            &format!("{namespace}/{source}"),
            &format!("{KEY_A}-{namespace}-{i}"),
        );
        object["metadata"]["annotations"] =
            json!({"anthropic-rbac.io/allow-workspaces": "claude/production"});
        stage.apply(&object);
        let spec = json!({"source": {"secretKeyRef": {"name": source, "key": "api-key"}}});
        stage.apply(&gateway_only(&format!("{namespace}/key-{i:04}"), spec));
    };
    (0..500).for_each(|i| add(&mut stage, "many", i));
    let plan = stage.carry_out();
    assert_eq!(secret_of(&plan).data.len(), 500);

    (500..800).for_each(|i| add(&mut stage, "many", i));
    (0..3).for_each(|i| add(&mut stage, "few", i));
    let plan = stage.plan();
    let output = secret_of(&plan);
    let bytes: usize = output
        .annotations
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    assert!(
        output.data.len() > 500 && output.data.len() < 803,
        "{}",
        output.data.len()
    );
    assert!(
        bytes <= 192 * 1024 + 1024,
        "{bytes} bytes leave others their share"
    );
    assert_eq!(
        condition(&plan, "Ready", "many/key-0799"),
        ("False".into(), "WorkspaceFull".into())
    );
    assert_eq!(
        condition(&plan, "Programmed", "claude/production").1,
        "WorkspaceFull"
    );
    let few: BTreeSet<Name> = snapshot(&stage)
        .keys
        .iter()
        .filter(|facts| *facts.object.name.namespace == *"few")
        .map(|facts| data_key(facts, facts.object.spec.as_ref().unwrap()))
        .collect();
    assert!(few.len() == 3 && few.iter().all(|key| output.data.contains_key(key)));
}

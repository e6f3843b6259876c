//! Whose a client key is, and how one is blocked.

use serde_json::{Value, json};

use super::stage::{KEY_A, Stage, binding, condition, key, object, secret, workspace};
use crate::plan::world::Change;
use crate::policy::decide::Denial;
use crate::policy::digest::Digest;
use crate::policy::finding::Reason;
use crate::policy::name::NamespacedName;
use crate::policy::resolve::SubjectProblem;
use crate::policy::subject::{Subject, SubjectId};

const HAIKU: &str = "claude-haiku-4-5";

fn value() -> String {
    "c".repeat(32)
}

fn id() -> SubjectId {
    Subject::ClientKey(Digest::of(value().as_bytes())).id()
}

fn client_key(name: &str) -> Value {
    let mut made = secret(name, &value());
    made["metadata"]["labels"] = json!({"anthropic-rbac.io/client-key": "true"});
    made
}

/// A binding of the Secret `client` of its namespace, created on that day of October.
fn bound(name: &str, day: u8) -> Value {
    let mut made = binding(
        name,
        "user",
        json!([{"kind": "ClientKey", "name": "client"}]),
    );
    made["metadata"]["creationTimestamp"] = json!(format!("2026-10-{day:02}T00:00:00Z"));
    made
}

fn to_staging(mut bound: Value) -> Value {
    bound["spec"]["workspaceRef"] = json!({"name": "staging", "namespace": "batch"});
    bound
}

fn admitting(mut spec: Value) -> Value {
    spec["keys"] = json!({"defaultApiKeyRef": {"name": "shared"}});
    spec["allowedNamespaces"] = json!([{"names": ["search", "batch"], "roles": ["user"]}]);
    workspace(spec)
}

/// The workspace `claude/production` uses the client key of `search`; `batch` has the same one
/// and a workspace of its own.
fn in_use() -> Stage {
    let mut stage = Stage::with(&[
        admitting(json!({})),
        object("Workspace", "batch/staging", json!({})),
        secret("claude/source", KEY_A),
        key("claude/shared", json!({})),
        client_key("search/client"),
        client_key("batch/client"),
        bound("search/own", 20),
    ]);
    stage.carry_out();
    stage
}

fn refs(stage: &Stage, workspace: &str, object: &str) -> String {
    condition(&stage.plan_of(workspace), "ResolvedRefs", object).1
}

/// Whether a workspace gives the client key a role.
fn known(stage: &Stage, workspace: &str) -> bool {
    let resolution = stage.plan_of(workspace).resolution.expect("a workspace");
    resolution.policy.subjects.contains_key(&id())
}

#[test]
fn the_namespace_that_uses_a_client_key_keeps_it_from_an_older_newcomer() {
    let mut stage = in_use();
    stage.apply(&bound("batch/newcomer", 1));
    assert_eq!(
        refs(&stage, "claude/production", "batch/newcomer"),
        "ClientKeyInUse"
    );
    assert!(known(&stage, "claude/production"));
    let unused = Stage::with(&[
        admitting(json!({})),
        client_key("search/client"),
        client_key("batch/client"),
        bound("search/own", 20),
        bound("batch/newcomer", 1),
    ]);
    assert_eq!(
        refs(&unused, "claude/production", "search/own"),
        "ClientKeyInUse",
        "else the older has it"
    );
}

#[test]
fn of_a_secret_with_several_client_keys_only_the_one_of_another_namespace_gets_nothing() {
    let mut stage = in_use();
    let other = "d".repeat(32);
    let mut two = client_key("batch/client");
    two["stringData"]["other"] = json!(other);
    stage.apply(&two);
    stage.apply(&bound("batch/newcomer", 1));
    assert_eq!(
        refs(&stage, "claude/production", "batch/newcomer"),
        "ClientKeyInUse"
    );
    let resolution = stage.plan().resolution.expect("a workspace");
    let bindings_of = |id| {
        let row = resolution.policy.subjects.get(&id).expect("a row");
        let bindings = row.grants.iter().map(|grant| &*grant.binding);
        bindings.collect::<Vec<_>>()
    };
    let other = Subject::ClientKey(Digest::of(other.as_bytes())).id();
    assert_eq!(bindings_of(other), ["batch/newcomer"]);
    assert_eq!(bindings_of(id()), ["search/own"], "it stays whose it was");
    let problems: Vec<_> = resolution.grants.iter().flat_map(|g| &g.problems).collect();
    assert_eq!(
        problems,
        [&SubjectProblem {
            subject: "clientkey:batch/client".into(),
            reason: "ClientKeyInUse",
            message: "another namespace uses some of its client keys (1 of 2), which work there alone; make new ones in their place".into(),
        }]
    );
}

#[test]
fn so_it_is_across_workspaces_until_the_first_one_goes() {
    let mut stage = in_use();
    let affected = stage.apply(&to_staging(bound("batch/newcomer", 1)));
    assert_eq!(affected.len(), 2, "both workspaces have something to say");
    assert_eq!(
        refs(&stage, "batch/staging", "batch/newcomer"),
        "ClientKeyInUse"
    );
    assert!(!known(&stage, "batch/staging") && known(&stage, "claude/production"));

    let mut disabled = bound("search/own", 20);
    disabled["spec"]["state"] = json!("Disabled");
    assert_eq!(stage.apply(&disabled).len(), 2, "what is not used is free");
    assert!(known(&stage, "batch/staging") && !known(&stage, "claude/production"));
    stage.apply(&bound("search/own", 20));
    assert!(!known(&stage, "batch/staging"));
    let gone = Change::BindingGone(NamespacedName::new("search", "own"));
    assert_eq!(stage.remove(gone).len(), 2);
    assert!(known(&stage, "batch/staging"));
}

#[test]
fn a_claim_ends_with_its_binding_and_the_other_workspace_wakes_for_it() {
    let mut stage = in_use();
    let mut timed = bound("search/own", 20);
    timed["spec"]["expiresAt"] = json!("2026-12-01T00:00:00Z");
    stage.apply(&timed);
    stage.apply(&to_staging(bound("batch/newcomer", 1)));
    let wake_at = stage
        .plan_of("batch/staging")
        .wake_at
        .map(|at| at.to_string());
    assert_eq!(wake_at.as_deref(), Some("2026-12-01T00:00:00Z"));
    assert!(!known(&stage, "batch/staging"));
    assert!(known(stage.at("2026-12-01T00:00:00Z"), "batch/staging"));
}

#[test]
fn a_binding_that_gives_nothing_does_not_mind_whose_client_key_it_names() {
    for (field, value) in [
        ("expiresAt", json!("2026-11-01T00:00:00Z")),
        ("state", json!("Disabled")),
    ] {
        let mut idle = bound("batch/idle", 1);
        idle["spec"][field] = value;
        let mut stage = in_use();
        stage.apply(&idle);
        assert_eq!(
            refs(&stage, "claude/production", "batch/idle"),
            "ResolvedRefs",
            "{field}"
        );
    }
    let mut stage = in_use();
    stage.apply(&bound("batch/lively", 1));
    assert_eq!(
        refs(&stage, "claude/production", "batch/lively"),
        "ClientKeyInUse"
    );
}

#[test]
fn who_may_not_bind_claims_nothing() {
    let mut stage = Stage::with(&[
        admitting(json!({})),
        object("Workspace", "batch/staging", json!({})),
        client_key("search/client"),
        client_key("hostile/client"),
        bound("search/own", 20),
    ]);
    let digest = Digest::of(value().as_bytes()).to_string();
    let by_digest = json!([{"kind": "ClientKey", "sha256": [digest]}]);
    let mut squatter = binding("hostile/squatter", "user", by_digest);
    squatter["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    stage.apply(&squatter);
    let mut elsewhere = to_staging(squatter.clone());
    elsewhere["metadata"]["name"] = json!("elsewhere");
    stage.apply(&elsewhere);
    let mut too_much = squatter;
    too_much["metadata"]["namespace"] = json!("batch");
    too_much["spec"]["roleRef"]["name"] = json!("admin");
    stage.apply(&too_much);
    assert!(known(&stage, "claude/production"));
    assert_eq!(
        refs(&stage, "claude/production", "search/own"),
        "ResolvedRefs"
    );
    let admits = json!({"allowedNamespaces": [{"names": ["hostile"], "roles": ["user"]}]});
    let affected = stage.apply(&object("Workspace", "batch/staging", admits));
    assert_eq!(affected.len(), 2, "now that it counts, the other is told");
    assert_eq!(
        refs(&stage, "claude/production", "search/own"),
        "ClientKeyInUse"
    );
}

fn blocking(secret: &str) -> Value {
    let name = NamespacedName::parse(secret).unwrap();
    admitting(
        json!({"blockedSubjects": [{"kind": "ClientKey", "namespace": &*name.namespace, "name": &*name.name}]}),
    )
}

fn blocked(stage: &Stage) -> usize {
    stage
        .plan()
        .resolution
        .expect("a workspace")
        .policy
        .blocked
        .len()
}

fn told(stage: &Stage) -> Vec<String> {
    let findings = stage.plan().findings.into_iter();
    let told = findings.filter(|finding| finding.reason == Reason::UnresolvedBlock);
    told.map(|finding| finding.message).collect()
}

#[test]
fn a_blocked_client_key_stays_blocked_when_its_secret_cannot_be_read_any_more() {
    let mut stage = in_use();
    let by_digest = |stage: &Stage| {
        let policy = stage.plan().resolution.expect("a workspace").policy;
        let request = crate::policy::decide::Request {
            subject: id(),
            groups: &[],
            model: HAIKU,
            max_tokens: None,
            at: stage.now,
        };
        crate::policy::decide::decide(&policy, &request).map(drop)
    };
    let digest = Digest::of(value().as_bytes()).to_string();
    let also = binding(
        "search/own",
        "user",
        json!([{"kind": "ClientKey", "sha256": [digest]}]),
    );
    stage.apply(&also);
    assert_eq!(by_digest(&stage), Ok(()));
    stage.apply(&blocking("search/client"));
    assert_eq!(
        (by_digest(&stage), told(&stage).len()),
        (Err(Denial::SubjectBlocked), 0)
    );
    stage.carry_out();
    stage.remove(Change::SecretGone(NamespacedName::new("search", "client")));
    assert_eq!(
        (by_digest(&stage), told(&stage).len()),
        (Err(Denial::SubjectBlocked), 1)
    );
    stage.carry_out();
    assert_eq!(
        by_digest(&stage),
        Err(Denial::SubjectBlocked),
        "and goes on being remembered"
    );
    stage.apply(&admitting(json!({})));
    assert_eq!(by_digest(&stage), Ok(()), "until it is no longer asked for");
    stage.carry_out();
    stage.apply(&blocking("search/client"));
    assert_eq!(
        by_digest(&stage),
        Ok(()),
        "what was forgotten is not blocked"
    );
}

#[test]
fn blocking_a_secret_of_a_stranger_tells_nothing_about_it() {
    let with = |objects: &[Value]| {
        let mut stage = Stage::with(&[blocking("stranger/client")]);
        objects.iter().for_each(|object| drop(stage.apply(object)));
        (blocked(&stage), told(&stage), stage.policy_text())
    };
    let absent = with(&[]);
    assert_eq!(absent, with(&[client_key("stranger/client")]));
    let mut unlabelled = client_key("stranger/client");
    unlabelled["metadata"]["labels"] = json!({});
    assert_eq!(absent, with(&[unlabelled]));
    assert_eq!((absent.0, absent.1.len()), (0, 1));
}

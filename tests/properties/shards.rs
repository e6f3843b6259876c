//! Past what one object may hold: subjects move into shards that fit, are decided on all the same,
//! and one edit rewrites the one shard it is about.

use anthropic_rbac::gateway::policy_json::parse;
use anthropic_rbac::gateway::shards::{SHARD_BYTES, shard_of};
use anthropic_rbac::plan::output::{Content, Plan};
use anthropic_rbac::plan::plan;
use anthropic_rbac::policy::decide::{Request, decide};
use anthropic_rbac::policy::name::NamespacedName;
use anthropic_rbac::policy::subject::{Subject, SubjectId};
use serde_json::{Value, json};

use crate::stage::Stage;

const BINDINGS: usize = 6_000;

fn account(i: usize) -> SubjectId {
    Subject::ServiceAccount(NamespacedName::new("claude", format!("service-{i}"))).id()
}

fn binding(i: usize, role: &str) -> Value {
    json!({
        "kind": "RoleBinding",
        "metadata": {"namespace": "claude", "name": format!("binding-{i}"), "creationTimestamp": "2026-10-01T00:00:00Z"},
        "spec": {"workspaceRef": {"name": "production"}, "roleRef": {"kind": "ApplicationRole", "name": role},
                 "subjects": [{"kind": "ServiceAccount", "name": format!("service-{i}")}]},
    })
}

fn world() -> Vec<Value> {
    let meta = |name: &str| json!({"namespace": "claude", "name": name, "creationTimestamp": "2026-10-01T00:00:00Z"});
    let roles = ["user", "power"];
    let mut objects = vec![
        json!({"kind": "Workspace", "metadata": meta("production"), "spec": {"keys": {"defaultApiKeyRef": {"name": "shared"}}}}),
        json!({"kind": "Secret", "metadata": meta("source"), "stringData": {"api-key": "sk-ant-api03-EXAMPLE-aaaaaaaa"}}),
        json!({"kind": "ApiKeyRef", "metadata": meta("shared"), "spec": {"workspaceRef": {"name": "production"}, "service": "s",
               "source": {"secretKeyRef": {"name": "source", "key": "api-key"}}}}),
    ];
    objects.extend((0..BINDINGS).map(|i| binding(i, roles[i % 2])));
    objects
}

/// The files of a plan: `policy.json`, and the shards in order.
fn files(plan: &Plan) -> (String, Vec<String>) {
    let texts = plan.outputs.iter().flat_map(|output| &output.data);
    let mut policy = String::new();
    let mut shards = Vec::new();
    for (name, content) in texts {
        match content {
            Content::Text(text) if **name == *"policy.json" => policy = text.to_string(),
            Content::Text(text) if name.starts_with("subjects-") => shards.push(text.to_string()),
            Content::Text(_) | Content::Key(_) | Content::Emptied | Content::Kept(_) => {}
        }
    }
    (policy, shards)
}

#[test]
fn past_one_object_shards_fit_and_decide_and_an_edit_rewrites_one() {
    let mut stage = Stage::of(&world());
    stage.settle();
    let name = NamespacedName::new("claude", "production");
    let settled = stage.plan(&name);
    let (policy, shards) = files(&settled);
    assert!(shards.len() > 1, "{} shards", shards.len());
    assert!(
        shards
            .iter()
            .chain([&policy])
            .all(|file| file.len() <= SHARD_BYTES + 8)
    );

    let texts: Vec<&str> = shards.iter().map(String::as_str).collect();
    let (_, read) = parse(&policy, &texts).expect("our own");
    let whole = &settled.resolution.as_ref().expect("a policy").policy;
    assert_eq!(read, *whole);
    for i in (0..BINDINGS).step_by(7) {
        let request = Request {
            subject: account(i),
            groups: &[],
            model: "claude-opus-5",
            max_tokens: None,
            at: stage.now,
        };
        assert_eq!(decide(&read, &request), decide(whole, &request), "{i}");
        assert_eq!(decide(&read, &request).is_ok(), i % 2 == 1, "{i}");
    }

    stage.apply(&binding(42, "admin"));
    let snapshot = stage.snapshot(&name);
    let writes = plan(&snapshot).writes(&snapshot.outputs);
    let written: Vec<String> = writes
        .iter()
        .map(|write| write.id().name.name.to_string())
        .collect();
    let shard = format!(
        "production.subjects-{:02}",
        shard_of(&account(42), shards.len())
    );
    assert_eq!(
        written,
        ["production.policy".to_owned(), shard],
        "its shard, and the revision that gateways log"
    );
}

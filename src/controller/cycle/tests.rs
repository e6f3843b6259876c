use jiff::Timestamp;
use kube::core::object::HasStatus;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::api::{Guarded, convert};
use crate::controller::fake::{Fake, status};
use crate::controller::news::News;
use crate::facts::PodScope;
use crate::plan::world::{Access, Change, Unseen, World};
use crate::policy::catalogue::Catalogue;
use crate::policy::name::NamespacedName;

const PODS: &str = "/api/v1/namespaces/claude/pods";
const SECRETS: &str = "/api/v1/namespaces/claude/secrets";

fn metadata(name: &str, more: Value) -> Value {
    let mut metadata = json!({
        "namespace": "claude", "name": name, "uid": format!("uid-{name}"), "generation": 1,
        "resourceVersion": "1", "creationTimestamp": "2026-10-01T00:00:00Z",
    });
    let more = more.as_object().expect("fields").clone();
    metadata.as_object_mut().expect("fields").extend(more);
    metadata
}

fn object<K: HasStatus>(name: &str, spec: Value) -> Guarded<K>
where
    Guarded<K>: DeserializeOwned,
{
    let object = json!({"metadata": metadata(name, json!({})), "spec": spec});
    serde_json::from_value(object).expect("an object")
}

fn secret(name: &str, more: Value) -> Change {
    let meta = serde_json::from_value(metadata(name, more)).expect("metadata");
    Change::Secret(NamespacedName::new("claude", name), convert::secret(&meta))
}

/// A gateway with a pod, into whose Secret somebody has put something, and a client key that was
/// not read yet.
fn snapshot() -> Snapshot {
    let mut world = World::new(Arc::new(Catalogue::built_in()), Unseen::Absent);
    let gateway = json!({"gateways": [
        {"name": "edge", "type": "LiteLLM", "podSelector": {"matchLabels": {"app": "edge"}}},
    ]});
    let workspace = convert::workspace(&object("production", gateway)).expect("a name");
    world.apply(Change::Workspace(workspace));
    let users = json!({
        "workspaceRef": {"name": "production"},
        "roleRef": {"kind": "ApplicationRole", "name": "user"},
        "subjects": [{"kind": "ClientKey", "name": "client"}],
    });
    let binding = convert::role_binding(&object("users", users)).expect("a name");
    world.apply(Change::Binding(binding));
    let labels = json!({"labels": {"anthropic-rbac.io/client-key": "true"}});
    world.apply(secret("client", labels));
    world.apply(secret(
        "production.edge.keys",
        json!({
            "ownerReferences": [{
                "apiVersion": "anthropic-rbac.io/v1alpha1", "kind": "Workspace",
                "name": "production", "uid": "uid-production", "controller": true,
            }],
            "managedFields": [{
                "manager": "kubectl-edit", "operation": "Update", "apiVersion": "v1",
                "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:planted": {}}},
            }],
        }),
    ));
    world.apply(Change::SecretAccess("claude".into(), Access::Listed));
    let scope = PodScope {
        namespace: "claude".into(),
        selector: "app in (edge)".into(),
    };
    let mounts =
        json!({"volumes": [{"name": "f", "secret": {"secretName": "production.edge.keys"}}]});
    let pod = json!({
        "metadata": metadata("edge-1", json!({})), "spec": mounts,
        "status": {"phase": "Running", "startTime": "2026-10-01T00:00:00Z"},
    });
    let pod = serde_json::from_value(pod).expect("a Pod");
    let (name, facts) = convert::pod(&pod).expect("a name");
    world.apply(Change::Pod {
        scope: scope.clone(),
        name: name.name,
        version: Some(1),
        facts,
    });
    world.apply(Change::PodAccess(scope, Access::Listed));
    let now: Timestamp = "2026-11-24T00:00:00Z".parse().expect("a time");
    let name = NamespacedName::new("claude", "production");
    world.snapshot(&name, now).expect("nothing to wait for")
}

#[tokio::test]
async fn what_is_taken_away_before_everything_is_read_is_hurried_as_well() {
    let fake = Fake::new(|what| match what.starts_with("GET ") {
        true => status(503, "ServiceUnavailable"),
        false => (
            200,
            json!({"metadata": metadata("production.edge.keys", json!({}))}),
        ),
    });
    let (reader, mut told) = fake.reader();
    let cycle = Cycle {
        reader,
        snapshot: snapshot(),
        failures: 0,
        early: false,
        superseded: Arc::default(),
        identity: "operator-0".into(),
    };
    let hear = async {
        while let Some(news) = told.recv().await {
            if let News::Asked { answer, .. } = news {
                let (keys, client_keys) = (Vec::new(), Vec::new());
                let rivalry = Rivalry { keys, client_keys };
                let early = false;
                answer.send(Advice { rivalry, early }).expect("it waits");
            }
        }
    };
    let (outcome, ()) = tokio::join!(cycle.run(), hear);
    assert!(matches!(outcome.ended, Ended::Failed { .. }));
    assert!(
        outcome.last_policy.is_none(),
        "it has yet to come to a plan"
    );
    assert_eq!(
        fake.lines(),
        [
            format!("GET {SECRETS}/client"),
            format!("PATCH {SECRETS}/production.edge.keys"),
            format!("PATCH {PODS}/edge-1/status"),
        ]
    );
}

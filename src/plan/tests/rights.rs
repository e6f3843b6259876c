//! The commands that messages propose where the operator lacks a right.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::stage::{KEY_A, Stage, denied, key, secret, workspace};
use crate::facts::PodScope;
use crate::plan::output::{Plan, Status};
use crate::plan::world::{Access, Change, Unseen, World};
use crate::policy::catalogue::Catalogue;

/// Who may touch neither Secrets nor pods.
fn without_rights(world: World) -> Stage {
    let mut stage = Stage::new();
    stage.world = world;
    let gateway =
        json!({"name": "edge", "type": "Envoy", "podSelector": {"matchLabels": {"app": "edge"}}});
    stage.apply(&workspace(json!({"gateways": [gateway]})));
    stage.apply(&key("claude/search", json!({})));
    stage.apply(&secret("claude/source", KEY_A));
    stage.remove(denied("claude"));
    let scope = PodScope {
        namespace: "claude".into(),
        selector: "app in (edge)".into(),
    };
    stage.remove(Change::PodAccess(scope, Access::Denied));
    stage
}

fn commands(plan: &Plan) -> BTreeSet<&str> {
    let conditions = plan
        .statuses
        .iter()
        .flat_map(|update| match &update.status {
            Status::Workspace(status) => &status.conditions,
            Status::RoleBinding(status) => &status.conditions,
            Status::ApiKeyRef(status) => &status.conditions,
        });
    let commands = conditions.filter_map(|condition| {
        let start = condition.message.find("kubectl ")?;
        Some(&condition.message[start..])
    });
    commands.collect()
}

#[test]
fn a_command_that_grants_a_right_grants_it_to_the_operator_wherever_it_runs() {
    let world = || World::new(Arc::new(Catalogue::built_in()), Unseen::Absent);
    for (world, account) in [
        (world(), "anthropic-rbac-system:anthropic-rbac"),
        (
            world().with_operator_in("platform"),
            "platform:anthropic-rbac",
        ),
    ] {
        let wanted = [
            format!(
                "kubectl create rolebinding anthropic-rbac-gateway-pods --namespace claude \
                 --clusterrole=anthropic-rbac-gateway-pods --serviceaccount={account}"
            ),
            format!(
                "kubectl create rolebinding anthropic-rbac-secrets -n claude \
                 --clusterrole=anthropic-rbac-secrets --serviceaccount={account}"
            ),
        ];
        let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
        assert_eq!(commands(&without_rights(world).plan()), wanted);
    }
}

//! `anthropic-rbac status` against a cluster, with an operator and without one.
//! Must not share its Lease with an operator of another test.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    command_line,
    operator::{OPERATOR_NAMESPACE, Operator, Settings},
    resource::{self, api, fake_key, key, merge, secret, workspace},
    suite::{Test, test},
};

/// How long the beginning may take.
const SOON: Duration = Duration::from_secs(20);

pub(crate) fn tests() -> Vec<Test> {
    vec![test(
        "the status tells who leads, what is ready, and that nobody answers any more",
        told,
    )]
}

/// Exit code and answer.
fn status(cluster: &Cluster, namespace: &str) -> Result<(Option<i32>, Value)> {
    let kubeconfig = cluster.kubeconfig().to_str().context("a path in UTF-8")?;
    let arguments = [
        "status",
        "-n",
        namespace,
        "--kubeconfig",
        kubeconfig,
        "-o",
        "json",
    ];
    let output = command_line::run(&arguments)?;
    let answer = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok((output.status.code(), answer))
}

async fn told(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("status").await?;
    let home = namespace.as_str();
    let objects = [
        secret(home, "source", &fake_key("status")),
        workspace(home, "one", json!({})),
        key(home, "app", "one", "source", "target"),
    ];
    resource::create(cluster, &objects).await?;
    let settings = Settings {
        secrets_in: &[home],
        leader_elect: true,
        ..Settings::default()
    };
    let mut operator = Operator::start(cluster, settings).await?;
    resource::until_ready(cluster, home, &["Workspace/one", "ApiKeyRef/app"], SOON).await?;

    let (code, answer) = status(cluster, home)?;
    ensure!(code == Some(0), "all is well: {answer}");
    let leader = &answer["operator"];
    ensure!(
        leader["state"] == "Leading" && leader["name"] == operator.name(),
        "{leader}"
    );
    ensure!(leader["namespace"] == OPERATOR_NAMESPACE, "{leader}");
    let ready = json!([
        {"kind": "Workspace", "total": 1, "ready": 1},
        {"kind": "RoleBinding", "total": 0, "ready": 0},
        {"kind": "ApiKeyRef", "total": 1, "ready": 1},
    ]);
    ensure!(answer["ready"] == ready, "{}", answer["ready"]);

    operator.stop().await?;
    let keys = api(&cluster.client(), "ApiKeyRef", home);
    merge(&keys, "app", json!({"spec": {"service": "renamed"}})).await?;
    let (code, answer) = status(cluster, home)?;
    ensure!(
        code == Some(1) && answer["operator"]["state"] == "Stopped",
        "{answer}"
    );
    let first = &answer["notReady"][0];
    ensure!(
        (&first["name"], &first["reason"]) == (&json!("app"), &json!("Pending")),
        "an answer to an older question is none: {first}"
    );
    Ok(())
}

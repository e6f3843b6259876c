//! A Workspace with one gateway that names its pods, and a key: what the tests about those pods
//! start from. Must not be Envoy or any other real gateway: its pods only look at their files.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    operator, pod,
    resource::{self, api, fake_key, key, secret, workspace},
    wait,
};

const SOON: Duration = Duration::from_secs(30);

/// What a gateway's pods mount.
pub(crate) const FILES: [&str; 2] = ["ConfigMap/one.policy", "Secret/one.edge.keys"];

/// The spec of a Workspace whose gateway names its pods.
pub(crate) fn with_pods() -> Value {
    json!({"gateways": [
        {"name": "edge", "type": "Envoy", "podSelector": {"matchLabels": {"app": "gateway"}}},
    ]})
}

/// The same without pods.
pub(crate) fn without_pods() -> Value {
    json!({"gateways": [{"name": "edge", "type": "Envoy"}]})
}

/// A namespace with a Workspace, its gateway, and a key for it.
pub(crate) async fn organisation(cluster: &Cluster, spec: Value, hurried: bool) -> Result<String> {
    let namespace = cluster.namespace("gateway").await?;
    let home = namespace.as_str();
    operator::grant(cluster, home, "anthropic-rbac-secrets")?;
    if hurried {
        operator::grant(cluster, home, "anthropic-rbac-gateway-pods")?;
    }
    let objects = [
        secret(home, "source", &fake_key(home)),
        workspace(home, "one", spec),
        key(home, "app", "one", "source", ""),
    ];
    resource::create(cluster, &objects).await?;
    let secrets = api(&cluster.client(), "Secret", home);
    wait::until(&secrets, "one.edge.keys", SOON, |secret| {
        secret.data["data"]
            .as_object()
            .filter(|data| !data.is_empty())
            .map(|_| ())
    })
    .await?;
    Ok(namespace)
}

/// Waits until the status counts so many pods, all of which have the present content.
pub(crate) async fn all_hurried(cluster: &Cluster, namespace: &str, pods: i64) -> Result<()> {
    let workspaces = api(&cluster.client(), "Workspace", namespace);
    wait::until(&workspaces, "one", SOON, |object| {
        let shown = &object.data["status"]["gateways"][0]["pods"];
        (shown["total"] == pods && shown["hurried"] == pods).then_some(())
    })
    .await
}

/// Name of the only file of the gateway's keys, in its pod.
pub(crate) async fn key_file(cluster: &Cluster, namespace: &str) -> Result<String> {
    let secret = api(&cluster.client(), "Secret", namespace)
        .get("one.edge.keys")
        .await?;
    let data = secret.data["data"].as_object().context("it has data")?;
    Ok(data.keys().next().context("it has a key")?.clone())
}

/// Sets the state of the key.
pub(crate) fn set_key(cluster: &Cluster, namespace: &str, state: &str) -> Result<()> {
    patch(cluster, namespace, "aikey/app", &json!({"state": state}))
}

/// Changes the spec of an object, `TYPE/NAME`, as users do.
pub(crate) fn patch(cluster: &Cluster, namespace: &str, object: &str, spec: &Value) -> Result<()> {
    cluster.kubectl_ok(&[
        "patch",
        object,
        "--namespace",
        namespace,
        "--type=merge",
        "--patch",
        &json!({"spec": spec}).to_string(),
    ])?;
    Ok(())
}

/// The condition, in a pod, that something holds in its files, all of one generation of them.
pub(crate) fn in_files(check: &str) -> String {
    let files = pod::FILES;
    let generation = format!("$(readlink {files}/..data)");
    // One that has just been replaced may be half gone.
    format!(
        "{{ d={generation} && cd {files}/$d && {{ {check}; }} && [ \"{generation}\" = $d ]; }} 2>/dev/null"
    )
}

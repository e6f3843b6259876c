//! Installs what the project ships: custom resources, namespace, ServiceAccount, RBAC.
//! Must not install anything that `deploy/base` does not have, or rules would hide.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, KINDS},
    wait,
};

/// Applies `deploy/base` without the Deployment (no pods run here; the operator under
/// test is a process of this machine), and waits until the custom resources are served.
pub(crate) async fn install(cluster: &Cluster) -> Result<()> {
    let running = cluster.kubectl_ok(&[
        "get",
        "deployments.apps",
        "--namespace=anthropic-rbac-system",
        "--selector=app.kubernetes.io/name=anthropic-rbac",
        "--output=jsonpath={.items[*].spec.replicas}",
    ])?;
    ensure!(
        running.split_whitespace().all(|replicas| replicas == "0"),
        "an operator is deployed on this cluster and would interfere; scale it to 0 first"
    );

    let rendered = cluster.kubectl_ok(&["kustomize", "deploy/base"])?;
    let mut objects: Vec<Value> =
        serde_saphyr::from_multiple(&rendered).context("reading what kustomize printed")?;
    objects.retain(|object| object["kind"] != "Deployment");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    // Server-side, as documented to users.
    cluster.kubectl_stdin(
        &[
            "apply",
            "--server-side",
            "--force-conflicts",
            "--filename=-",
        ],
        &list.to_string(),
    )?;

    let definitions = KINDS.map(|(_, plural)| format!("crd/{plural}.anthropic-rbac.io"));
    let mut arguments = vec!["wait", "--for=condition=Established", "--timeout=30s"];
    arguments.extend(definitions.iter().map(String::as_str));
    cluster.kubectl_ok(&arguments)?;
    // Established is not yet known to clients: discovery (short names) and the OpenAPI
    // documents (explain, client-side validation) follow, each in its own time.
    wait::poll(
        "kubectl knows the custom resources",
        Duration::from_secs(60),
        || {
            let discovered = cluster.kubectl_ok(&[
                "api-resources",
                "--api-group=anthropic-rbac.io",
                "--output=name",
            ])?;
            if discovered.lines().count() < KINDS.len() {
                return Ok(None);
            }
            for (_, plural) in KINDS {
                let resource = format!("{plural}.anthropic-rbac.io");
                if !cluster.kubectl(&["explain", &resource])?.status.success() {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        },
    )
    .await
}

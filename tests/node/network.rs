//! The operator shut off from the network, on a node that enforces NetworkPolicies. Must not add a
//! policy of its own.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::{
    cluster::Cluster,
    document::blocks,
    forms::{INSTALL, asked_for, checkout},
    fresh::fresh,
    operator::{self, OPERATOR_NAMESPACE},
    pod, resource,
    suite::Test,
    wait,
};

/// Where pods find the API server.
const API_SERVER: &str = "10.0.0.1 443";

const SOON: Duration = Duration::from_secs(30);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        fresh(
            "install: hardened, nothing gets through but what the operator needs",
            hardened,
        )
        .only_if(asked_for()),
    ]
}

async fn hardened(cluster: &Cluster) -> Result<()> {
    let checkout = checkout(cluster)?;
    // The overlay that the document takes denies everything else. The operator is ready: it reaches
    // the API server, and its kubelet reaches it.
    checkout.follow(&blocks(INSTALL, "Kustomize")?)?;
    let operator = operator::leader(cluster).await?;
    let address = operator.data["status"]["podIP"].as_str();
    let metrics = format!("{} 8080", address.unwrap_or_default());

    for namespace in [OPERATOR_NAMESPACE, "default"] {
        let mut probe = pod::pod(namespace, "probe", "probe", &[]);
        probe["spec"]["securityContext"] = json!({
            "runAsNonRoot": true, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"},
        });
        probe["spec"]["containers"][0]["securityContext"] = json!({
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
        });
        pod::run(cluster, &probe).await?;
    }
    reaches(cluster, "default", API_SERVER, true).await?;
    reaches(cluster, OPERATOR_NAMESPACE, API_SERVER, false).await?;
    reaches(cluster, OPERATOR_NAMESPACE, &metrics, false).await?;
    reaches(cluster, "default", &metrics, false).await?;
    let monitoring = json!({"metadata": {"labels": {"anthropic-rbac.io/monitoring": "true"}}});
    let namespaces = resource::api(&cluster.client(), "Namespace", "");
    resource::merge(&namespaces, "default", monitoring).await?;
    reaches(cluster, "default", &metrics, true).await
}

/// Waits until the probe in a namespace gets a connection, or does not. Policies take a moment.
async fn reaches(cluster: &Cluster, namespace: &str, place: &str, wanted: bool) -> Result<()> {
    let attempt = format!("nc -w 2 {place} </dev/null 2>&1 && echo reached || echo refused");
    let what = format!("{namespace} reaches {place}: {wanted}");
    wait::poll(&what, SOON, || {
        let said = pod::shell(cluster, namespace, "probe", &attempt)?;
        Ok((said.contains("reached") == wanted).then_some(()))
    })
    .await
}

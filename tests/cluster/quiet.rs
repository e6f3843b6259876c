//! What must not happen: writes and reads when nothing has changed that matters.
//! Must not look at metrics: the API server's audit log is the judge.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use serde_json::json;

use crate::{
    audit::Requests,
    cluster::{Cluster, KINDS},
    resource::{self, merge},
    seed,
    suite::{Test, test},
    wait,
};

/// How long nothing may happen.
const WINDOW: Duration = Duration::from_secs(30);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "a second apply, a restart, foreign labels and 30 idle seconds cause no write",
            undisturbed,
        )
        .needs_audit_log(),
    ]
}

/// `verb resource namespace/name`, sorted.
fn reads(requests: &Requests) -> Vec<String> {
    let mut reads: Vec<String> = requests
        .0
        .iter()
        .filter(|request| request.verb == "get" && request.resource != "leases")
        .map(|request| {
            format!(
                "{} {}/{}",
                request.resource, request.namespace, request.name
            )
        })
        .collect();
    reads.sort();
    reads
}

async fn undisturbed(cluster: &Cluster) -> Result<()> {
    let mut operator = seed::converged(cluster).await?;
    let before = seed::versions(cluster).await?;
    let audit = cluster.audit_log()?;
    let start = audit.mark().await?;

    seed::apply_again(cluster)?;
    operator.restart().await?;
    let restarted = audit.mark().await?;
    label_everything(cluster).await?;
    let labelled = seed::versions(cluster).await?;
    assert_ne!(before, labelled, "the labels are there");
    let config_maps = Api::<ConfigMap>::namespaced(cluster.client(), "claude");
    wait::quiet(&config_maps, WINDOW).await?;

    let requests = audit.since(start).await?;
    ensure!(
        requests.writes().is_empty(),
        "written:\n{}",
        requests.writes()
    );
    assert_eq!(labelled, seed::versions(cluster).await?);
    // A version that was mapped is remembered on the Secret it was mapped to, so its source
    // is not read again. What has no target has no such place: these three are gateway-only.
    assert_eq!(
        reads(&requests),
        [
            "secrets claude/dev-key",
            "secrets claude/prod-main-key",
            "secrets claude/stg-key",
        ],
        "since the restart"
    );
    // Each watch was opened, and none was opened anew.
    let since = audit.since(restarted).await?;
    ensure!(
        !since
            .0
            .iter()
            .any(|request| request.verb == "list" && request.resource != "secrets"),
        "listed again:\n{since}"
    );
    Ok(())
}

/// Labels and annotations of our own objects' users, on what the operator reads and writes.
async fn label_everything(cluster: &Cluster) -> Result<()> {
    let change = json!({"metadata": {
        "labels": {"example.com/team": "platform"},
        "annotations": {"example.com/note": "seen"},
    }});
    for (kind, name) in [
        ("ConfigMap", "production.policy"),
        ("ConfigMap", "production.console"),
        ("Secret", "batch-anthropic"),
    ] {
        let api = resource::api(&cluster.client(), kind, "claude");
        merge(&api, name, change.clone()).await?;
    }
    for ((kind, _), name) in KINDS
        .iter()
        .zip(["production", "production-users", "prod-batch"])
    {
        let api = resource::api(&cluster.client(), kind, "claude");
        merge(&api, name, change.clone()).await?;
    }
    Ok(())
}

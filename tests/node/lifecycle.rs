//! The operator's pods come and go: afterwards everything is as it should be, and nothing was
//! written that did not have to be.

use std::time::Duration;

use anyhow::{Context, Result};
use kube::{ResourceExt, api::DynamicObject};
use serde_json::json;

use crate::{
    audit::Requests,
    cluster::Cluster,
    operator::{self, OPERATOR_NAMESPACE},
    resource::{self, binding, fake_key, key, secret, workspace},
    suite::{Test, existing_cluster, test},
    wait,
};

const SOON: Duration = Duration::from_secs(30);

/// A leader that was killed is missed for 15 s, the Lease's time, and a little.
const TAKEOVER: Duration = Duration::from_secs(45);

pub(crate) fn tests() -> Vec<Test> {
    let on_this_machine = !existing_cluster();
    vec![
        test("the operator runs as it is shipped, restricted", restricted),
        test("a rollout writes nothing, and work goes on", rollout).needs_audit_log(),
        test("a crash writes nothing, and work goes on", crash)
            .needs_audit_log()
            .only_if(on_this_machine),
        test(
            "running out of memory writes nothing, and work goes on",
            out_of_memory,
        )
        .needs_audit_log()
        .only_if(on_this_machine),
        test(
            "a node that loses power writes nothing, and work goes on",
            power_loss,
        )
        .needs_audit_log()
        .only_if(on_this_machine),
    ]
}

async fn restricted(cluster: &Cluster) -> Result<()> {
    let pods = resource::api(&cluster.client(), "Pod", OPERATOR_NAMESPACE);
    let leader = operator::leader(cluster).await?;
    let pod = pods.get(&leader.name_any()).await?;
    let spec = &pod.data["spec"];
    let container = &spec["containers"][0];
    assert_eq!(spec["serviceAccountName"], "anthropic-rbac");
    assert_eq!(spec["securityContext"]["runAsUser"], 65532);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["image"], "anthropic-rbac:0.1.0");
    let namespace =
        cluster.kubectl_ok(&["get", "namespace", OPERATOR_NAMESPACE, "--output=json"])?;
    let namespace: serde_json::Value = serde_json::from_str(&namespace)?;
    assert_eq!(
        namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"],
        "restricted"
    );
    // The namespace would refuse it.
    let privileged = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "privileged", "namespace": OPERATOR_NAMESPACE},
        "spec": {"containers": [{"name": "c", "image": "busybox:node"}]},
    });
    let refused = resource::create_one(cluster, &privileged).await;
    let refused = format!("{:#}", refused.err().context("it is refused")?);
    assert!(refused.contains("violates PodSecurity"), "{refused}");
    Ok(())
}

async fn rollout(cluster: &Cluster) -> Result<()> {
    undisturbed(cluster, async |_| operator::roll(cluster)).await
}

async fn crash(cluster: &Cluster) -> Result<()> {
    undisturbed(cluster, async |leader| {
        operator::kill(leader)?;
        operator::restarted(cluster, leader, "Error").await
    })
    .await
}

async fn out_of_memory(cluster: &Cluster) -> Result<()> {
    undisturbed(cluster, async |leader| {
        operator::exhaust(leader)?;
        operator::restarted(cluster, leader, "OOMKilled").await
    })
    .await
}

async fn power_loss(cluster: &Cluster) -> Result<()> {
    undisturbed(cluster, async |_| {
        let mut control_plane = cluster.control_plane().context("it is ours")?;
        control_plane.restart_node()?;
        drop(control_plane);
        operator::rolled_out(cluster, Duration::from_secs(120))
    })
    .await
}

/// Something is there; something happens to the operator; then something is changed. Only the
/// change causes writes.
async fn undisturbed(
    cluster: &Cluster,
    disturb: impl AsyncFnOnce(&DynamicObject) -> Result<()>,
) -> Result<()> {
    let namespace = cluster.namespace("life").await?;
    let home = namespace.as_str();
    operator::grant(cluster, home, "anthropic-rbac-secrets")?;
    let objects = [
        secret(home, "source", &fake_key("life")),
        workspace(home, "one", json!({})),
        key(home, "app", "one", "source", "target"),
        binding(home, "users", "one", "user", &["first"]),
    ];
    resource::create(cluster, &objects).await?;
    let all = ["Workspace/one", "ApiKeyRef/app", "RoleBinding/users"];
    resource::until_ready(cluster, home, &all, SOON).await?;
    let before = settled(cluster, home).await?;

    let audit = cluster.audit_log()?;
    let mark = audit.mark().await?;
    disturb(&operator::leader(cluster).await?).await?;
    // Whoever leads now has planned all before it sees this.
    resource::create(
        cluster,
        &[binding(home, "more", "one", "user", &["second"])],
    )
    .await?;
    resource::until_ready(cluster, home, &["RoleBinding/more"], TAKEOVER).await?;
    let after = settled(cluster, home).await?;

    let written = written(&audit.since(mark).await?);
    let expected = [
        format!("patch configmaps {home}/one.policy -> 200"),
        format!("patch rolebindings/status {home}/more -> 200"),
        format!("patch workspaces/status {home}/one -> 200"),
    ];
    assert_eq!(written, expected);
    let unchanged = |versions: &resource::Versions, name: &str| versions.get(name).cloned();
    for name in ["Secret", "ApiKeyRef"].map(|kind| match kind {
        "Secret" => format!("Secret {home}/target"),
        _ => format!("{kind} {home}/app"),
    }) {
        assert_eq!(
            unchanged(&before, &name),
            unchanged(&after, &name),
            "{name}"
        );
    }
    Ok(())
}

/// Everything's versions, once nothing changes any more.
pub(crate) async fn settled(cluster: &Cluster, namespace: &str) -> Result<resource::Versions> {
    let quiet = Duration::from_secs(1);
    let config_maps =
        kube::Api::<k8s_openapi::api::core::v1::ConfigMap>::namespaced(cluster.client(), namespace);
    wait::quiet(&config_maps, quiet).await?;
    resource::versions(cluster, namespace).await
}

/// What was written, sorted. What a rollout's own pods do is not the operator's doing.
pub(crate) fn written(requests: &Requests) -> Vec<String> {
    let mut written: Vec<String> = requests
        .writes()
        .0
        .iter()
        .map(ToString::to_string)
        .collect();
    written.sort();
    written
}

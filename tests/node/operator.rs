//! The operator as a Deployment: its pods, and what can happen to them.
//! Must not lend it any right that `deploy/base` does not give.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use kube::{ResourceExt, api::DynamicObject};
use serde_json::Value;

use crate::{cluster::Cluster, resource, wait};

pub(crate) use crate::cluster::OPERATOR_NAMESPACE;

const ROLLOUT: &str = "deployment/anthropic-rbac";

/// Waits until all replicas are up to date and available.
pub(crate) fn rolled_out(cluster: &Cluster, within: Duration) -> Result<()> {
    let timeout = format!("--timeout={}s", within.as_secs());
    let namespace = format!("--namespace={OPERATOR_NAMESPACE}");
    cluster.kubectl_ok(&["rollout", "status", ROLLOUT, &namespace, &timeout])?;
    Ok(())
}

/// Replaces all pods, as an upgrade does.
pub(crate) fn roll(cluster: &Cluster) -> Result<()> {
    let namespace = format!("--namespace={OPERATOR_NAMESPACE}");
    cluster.kubectl_ok(&["rollout", "restart", ROLLOUT, &namespace])?;
    rolled_out(cluster, Duration::from_secs(90))
}

/// Binds a ClusterRole of `deploy/base` in a namespace, with the command that users are told.
pub(crate) fn grant(cluster: &Cluster, namespace: &str, role: &str) -> Result<()> {
    cluster.kubectl_ok(&[
        "create",
        "rolebinding",
        role,
        "--namespace",
        namespace,
        &format!("--clusterrole={role}"),
        "--serviceaccount=anthropic-rbac-system:anthropic-rbac",
    ])?;
    Ok(())
}

/// The pod that holds the Lease.
pub(crate) async fn leader(cluster: &Cluster) -> Result<DynamicObject> {
    let pods = resource::api(&cluster.client(), "Pod", OPERATOR_NAMESPACE);
    wait::ask("somebody leads", Duration::from_secs(60), async || {
        let holder = cluster.kubectl_ok(&[
            "get",
            "lease",
            "anthropic-rbac",
            "--namespace=anthropic-rbac-system",
            "--output=jsonpath={.spec.holderIdentity}",
        ])?;
        // After its end a pod may still be in the Lease.
        Ok(pods.get_opt(&holder).await?)
    })
    .await
}

/// Kills the operator's process in a pod without warning.
pub(crate) fn kill(pod: &DynamicObject) -> Result<()> {
    let processes = fs::read_to_string(cgroup(pod)?.join("cgroup.procs"))?;
    let process = processes.lines().next().context("it runs")?;
    let killed = Command::new("kill").args(["-KILL", process]).status()?;
    ensure!(killed.success(), "kill: {killed}");
    Ok(())
}

/// Uses up the memory of the operator's container until the kernel kills it.
pub(crate) fn exhaust(pod: &DynamicObject) -> Result<()> {
    let processes = cgroup(pod)?.join("cgroup.procs");
    Command::new("sh")
        .args(["-c", "echo 0 >\"$0\" && exec tail /dev/zero"])
        .arg(processes)
        .status()?;
    Ok(())
}

/// Waits until the container of a pod has ended for a reason and runs again, ready.
pub(crate) async fn restarted(cluster: &Cluster, pod: &DynamicObject, reason: &str) -> Result<()> {
    let pods = resource::api(&cluster.client(), "Pod", OPERATOR_NAMESPACE);
    let before = container(pod)["restartCount"].as_i64().unwrap_or_default();
    wait::until(&pods, &pod.name_any(), Duration::from_secs(60), |pod| {
        let container = container(pod);
        let again = container["restartCount"].as_i64()? > before && container["ready"] == true;
        (again && container["lastState"]["terminated"]["reason"] == reason).then_some(())
    })
    .await
}

fn container(pod: &DynamicObject) -> &Value {
    &pod.data["status"]["containerStatuses"][0]
}

/// The memory cgroup of a pod's container, on this machine.
fn cgroup(pod: &DynamicObject) -> Result<PathBuf> {
    let id = container(pod)["containerID"].as_str().context("it runs")?;
    let id = id.trim_start_matches("containerd://");
    let found = Command::new("find")
        .args(["/sys/fs/cgroup", "-type", "d", "-name", id])
        .output()?;
    let found = String::from_utf8(found.stdout)?;
    let mut all = found.lines();
    let one = all.clone().find(|path| path.contains("/memory/"));
    Ok(one.or_else(|| all.next()).context("a cgroup")?.into())
}

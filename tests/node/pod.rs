//! Pods that look at what the operator wrote, from inside. Must not be given any right.

use std::{
    process::{Child, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use kube::{
    ResourceExt,
    api::{DynamicObject, ListParams},
};
use serde_json::{Value, json};

use crate::{cluster::Cluster, resource, wait};

/// Where volumes are mounted.
pub(crate) const FILES: &str = "/files";

/// A pod that does nothing, with labels and a projected volume of these ConfigMaps and Secrets,
/// `KIND/NAME`, of which none need be there.
pub(crate) fn pod(namespace: &str, name: &str, app: &str, mounts: &[&str]) -> Value {
    let sources = mounts.iter().map(|mount| {
        let (kind, name) = mount.split_once('/').unwrap_or(("Secret", mount));
        let field = if kind == "ConfigMap" {
            "configMap"
        } else {
            "secret"
        };
        json!({field: {"name": name, "optional": true}})
    });
    let sources: Vec<Value> = sources.collect();
    let (volumes, places) = if sources.is_empty() {
        (json!([]), json!([]))
    } else {
        (
            json!([{"name": "files", "projected": {"sources": sources}}]),
            json!([{"name": "files", "mountPath": FILES}]),
        )
    };
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": app}},
        "spec": {
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "volumes": volumes,
            "containers": [{
                "name": "main",
                "image": "busybox:node",
                "command": ["sleep", "100000"],
                "volumeMounts": places,
            }],
        },
    })
}

/// Creates a pod and waits until it runs.
pub(crate) async fn run(cluster: &Cluster, pod: &Value) -> Result<DynamicObject> {
    let made = resource::create_one(cluster, pod).await?;
    let namespace = made.namespace().unwrap_or_default();
    running(cluster, &namespace, &made.name_any()).await
}

/// Waits until a pod's container runs.
pub(crate) async fn running(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<DynamicObject> {
    let pods = resource::api(&cluster.client(), "Pod", namespace);
    wait::until(&pods, name, Duration::from_secs(60), |pod| {
        let state = &pod.data["status"]["containerStatuses"][0]["state"];
        state.get("running").map(|_| pod.clone())
    })
    .await
}

/// Waits until a Deployment is rolled out; the name of its only pod. It is found by the label
/// `app`, which is the Deployment's name.
pub(crate) async fn of_deployment(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<String> {
    let deployment = format!("deployment/{name}");
    let arguments = ["rollout", "status", &deployment, "--timeout=60s"];
    cluster.kubectl_ok(&[&arguments[..], &["--namespace", namespace]].concat())?;
    let pods = resource::api(&cluster.client(), "Pod", namespace);
    let labelled = ListParams::default().labels(&format!("app={name}"));
    wait::ask("one pod is left", Duration::from_secs(60), async || {
        let pods = pods.list(&labelled).await?.items;
        let mut pods = pods
            .iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none());
        let only = pods.next().filter(|_| pods.next().is_none());
        Ok(only.map(ResourceExt::name_any))
    })
    .await
}

/// What a shell command prints in a pod.
pub(crate) fn shell(
    cluster: &Cluster,
    namespace: &str,
    pod: &str,
    command: &str,
) -> Result<String> {
    let arguments = [
        "exec",
        "--namespace",
        namespace,
        pod,
        "--",
        "sh",
        "-c",
        command,
    ];
    cluster.kubectl_ok(&arguments)
}

/// A shell command in a pod that goes on until a condition holds there; looks every 2 ms.
pub(crate) fn until(
    cluster: &Cluster,
    namespace: &str,
    pod: &str,
    condition: &str,
) -> Result<Watching> {
    let loops = format!("echo begun; until {condition}; do usleep 2000; done");
    let arguments = [
        "exec",
        "--namespace",
        namespace,
        pod,
        "--",
        "sh",
        "-c",
        &loops,
    ];
    let mut process = cluster
        .kubectl_command(cluster.kubeconfig(), &arguments)
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = process.stdout.take().context("stdout is piped")?;
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stdout));
    let first = lines.next().context("it begins")??;
    ensure!(first == "begun", "{first}");
    Ok(Watching(process))
}

/// A condition that is being watched in a pod.
pub(crate) struct Watching(Child);

impl Watching {
    /// Waits until it holds.
    pub(crate) async fn holds(&mut self, within: Duration) -> Result<()> {
        wait::poll("the condition holds in the pod", within, || {
            let Some(status) = self.0.try_wait()? else {
                return Ok(None);
            };
            ensure!(status.success(), "{status}");
            Ok(Some(()))
        })
        .await
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // An error says that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

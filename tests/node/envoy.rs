//! A stock Envoy on the node, as its own image runs it: the binary that `ENVOY` names, else the one
//! that `build.sh` installed. Must not configure it beyond what the smoke test needs.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    control_plane, pod,
    resource::{self, config_map},
    suite::{Test, existing_cluster, test},
    wait,
};

const SOON: Duration = Duration::from_secs(30);

const PACK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node/envoy-image.sh");

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("a stock Envoy is ready on the node, restricted", restricted)
            .only_if(!existing_cluster() && binary().is_some()),
    ]
}

/// The binary, if there is one.
pub(crate) fn binary() -> Option<PathBuf> {
    let named = env::var_os("ENVOY").map(PathBuf::from);
    let installed = control_plane::built().map(|built| built.join("gateways/envoy"));
    named.or(installed.ok()).filter(|binary| binary.exists())
}

/// Packs a binary of Envoy as Envoy's distroless image and gives that to the node; its reference.
pub(crate) fn image(cluster: &Cluster, binary: &Path) -> Result<String> {
    let packed = cluster.dir().join("envoy.tar");
    let output = Command::new(PACK)
        .arg(binary)
        .arg(&packed)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "{PACK}: {}", output.status);
    let mut control_plane = cluster.control_plane().context("the node is ours")?;
    control_plane.import(&packed)?;
    fs::remove_file(packed)?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

const CONFIG: &str = r#"
admin: {address: {socket_address: {address: 0.0.0.0, port_value: 9901}}}
static_resources:
  listeners:
  - address: {socket_address: {address: 0.0.0.0, port_value: 10000}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: clients
          route_config:
            virtual_hosts:
            - {name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: hello}}}]}
          http_filters:
          - {name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
"#;

async fn restricted(cluster: &Cluster) -> Result<()> {
    let image = image(cluster, &binary().context("it was there")?)?;
    let labels = [("pod-security.kubernetes.io/enforce", "restricted")];
    let namespace = cluster.labelled_namespace("envoy", &labels).await?;
    let home = namespace.as_str();
    let envoy = pod(home, &image);
    let mut refused = envoy.clone();
    refused["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = true.into();
    resource::create(cluster, &[config_map(home, "envoy", "envoy.yaml", CONFIG)]).await?;
    let refused = resource::create_one(cluster, &refused).await;
    let refused = format!("{:#}", refused.err().context("it is refused")?);
    ensure!(refused.contains("violates PodSecurity"), "{refused}");

    resource::create(cluster, &[envoy]).await?;
    let pods = resource::api(&cluster.client(), "Pod", home);
    let address = wait::until(&pods, "envoy", SOON, |pod| {
        let status = &pod.data["status"];
        let ready = status["containerStatuses"][0]["ready"] == true;
        ready.then(|| status["podIP"].as_str().map(str::to_owned))?
    })
    .await?;
    let running = pods.get("envoy").await?;
    let status = &running.data["status"]["containerStatuses"][0];
    assert_eq!(status["user"]["linux"]["uid"], 65532, "the image's own");
    assert_eq!(status["restartCount"], 0);

    let elsewhere = cluster.namespace("client").await?;
    pod::run(cluster, &pod::pod(&elsewhere, "client", "client", &[])).await?;
    let ask = format!("wget -qO- http://{address}:10000/");
    assert_eq!(pod::shell(cluster, &elsewhere, "client", &ask)?, "hello");
    Ok(())
}

/// Envoy as a restricted pod; the image says whom to run it as.
fn pod(namespace: &str, image: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "envoy", "namespace": namespace},
        "spec": {
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "volumes": [{"name": "config", "configMap": {"name": "envoy"}}],
            "containers": [{
                "name": "envoy",
                "image": image,
                "args": ["-c", "/etc/envoy/envoy.yaml", "--disable-hot-restart", "--concurrency", "1"],
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": true,
                },
                "readinessProbe": {
                    "httpGet": {"path": "/ready", "port": 9901},
                    "periodSeconds": 1,
                },
                "volumeMounts": [{"name": "config", "mountPath": "/etc/envoy"}],
            }],
        },
    })
}

//! Services that use a mapped key, as Deployments: by a mounted file, which follows the key, and by
//! an environment variable, which a container keeps from its start.

use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    operator, pod,
    resource::{self, fake_key, key, merge, secret, workspace},
    suite::{Test, test},
};

const SOON: Duration = Duration::from_secs(30);

/// A kubelet looks again at most this late: measured 28 to 84 s with its defaults.
const KUBELET: Duration = Duration::from_secs(120);

pub(crate) fn tests() -> Vec<Test> {
    vec![test(
        "a mounted key follows a staged rotation and a revocation, one in the environment needs a restart",
        mapped,
    )]
}

async fn mapped(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("service").await?;
    let home = namespace.as_str();
    operator::grant(cluster, home, "anthropic-rbac-secrets")?;
    let (first, second) = (fake_key("first"), fake_key("second"));
    let objects = [
        secret(home, "source", &first),
        secret(home, "next", &second),
        workspace(home, "one", json!({})),
        key(home, "app", "one", "source", "target"),
    ];
    resource::create(cluster, &objects).await?;
    resource::until_ready(cluster, home, &["ApiKeyRef/app"], SOON).await?;
    let mounting = pod::pod(home, "", "mounting", &["Secret/target"]);
    let mut environment = pod::pod(home, "", "environment", &[]);
    environment["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "target"}}]);
    for of in [&mounting, &environment] {
        cluster.apply_yaml(&deployment(of).to_string())?;
    }
    let mounting = pod::of_deployment(cluster, home, "mounting").await?;
    let environment = pod::of_deployment(cluster, home, "environment").await?;
    // Compared in the pod: a key is not printed.
    let file = |value: &str| format!("[ \"$(cat {}/ANTHROPIC_API_KEY)\" = {value} ]", pod::FILES);
    let variable = |value: &str| format!("[ \"$ANTHROPIC_API_KEY\" = {value} ]");
    pod::shell(cluster, home, &mounting, &file(&first))?;
    pod::shell(cluster, home, &environment, &variable(&first))?;

    // A rotation staged for later.
    let keys = resource::api(&cluster.client(), "ApiKeyRef", home);
    let activate_at = Timestamp::from_second(Timestamp::now().as_second() + 5)?;
    let next = json!({"spec": {"next": {
        "secretKeyRef": {"name": "next", "key": "api-key"},
        "activateAt": activate_at.to_string(),
    }}});
    let mut rotated = pod::until(cluster, home, &mounting, &file(&second))?;
    merge(&keys, "app", next).await?;
    rotated.holds(KUBELET).await?;
    let late = Timestamp::now().duration_since(activate_at);
    println!(
        "a successor is mounted {:.2} s after its time, not hurried",
        late.as_secs_f64()
    );
    ensure!(late >= SignedDuration::ZERO, "{late} before its time");
    pod::shell(cluster, home, &environment, &variable(&first))?;
    let restart = [
        "rollout",
        "restart",
        "deployment/environment",
        "--namespace",
        home,
    ];
    cluster.kubectl_ok(&restart)?;
    let restarted = pod::of_deployment(cluster, home, "environment").await?;
    ensure!(restarted != environment, "another pod");
    pod::shell(cluster, home, &restarted, &variable(&second))?;

    let empty = format!("[ ! -s {}/ANTHROPIC_API_KEY ]", pod::FILES);
    let mut gone = pod::until(cluster, home, &mounting, &empty)?;
    merge(&keys, "app", json!({"spec": {"state": "Revoked"}})).await?;
    gone.holds(KUBELET).await?;
    let unmoved = pod::of_deployment(cluster, home, "mounting").await?;
    ensure!(unmoved == mounting, "it never restarted");
    Ok(())
}

/// A Deployment of one such pod, named as its `app` label.
fn deployment(pod: &Value) -> Value {
    let labels = &pod["metadata"]["labels"];
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": labels["app"], "namespace": pod["metadata"]["namespace"]},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod["spec"]},
        },
    })
}

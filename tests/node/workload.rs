//! Services that use a mapped key: by a mounted file, which follows the key, and by an environment
//! variable, which a container keeps from its start.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

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
        "a mounted key follows a rotation and a revocation, one in the environment needs a restart",
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
    let mounting = pod::pod(home, "mounting", "service", &["Secret/target"]);
    let mut env = pod::pod(home, "environment", "service", &[]);
    env["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "target"}}]);
    pod::run(cluster, &mounting).await?;
    pod::run(cluster, &env).await?;
    // Compared in the pod: a key is not printed.
    let file = |value: &str| format!("[ \"$(cat {}/ANTHROPIC_API_KEY)\" = {value} ]", pod::FILES);
    let variable = |value: &str| format!("[ \"$ANTHROPIC_API_KEY\" = {value} ]");
    pod::shell(cluster, home, "mounting", &file(&first))?;
    pod::shell(cluster, home, "environment", &variable(&first))?;

    // A staged rotation.
    let keys = resource::api(&cluster.client(), "ApiKeyRef", home);
    let next = json!({"spec": {"next": {
        "secretKeyRef": {"name": "next", "key": "api-key"},
        "activateAt": "2026-01-01T00:00:00Z",
    }}});
    let mut rotated = pod::until(cluster, home, "mounting", &file(&second))?;
    merge(&keys, "app", next).await?;
    rotated.holds(KUBELET).await?;
    pod::shell(cluster, home, "environment", &variable(&first))?;
    let pods = resource::api(&cluster.client(), "Pod", home);
    resource::delete(&pods, "environment").await?;
    crate::wait::until_gone(&pods, "environment", SOON).await?;
    pod::run(cluster, &env).await?;
    pod::shell(cluster, home, "environment", &variable(&second))?;

    let empty = format!("[ ! -s {}/ANTHROPIC_API_KEY ]", pod::FILES);
    let mut gone = pod::until(cluster, home, "mounting", &empty)?;
    merge(&keys, "app", json!({"spec": {"state": "Revoked"}})).await?;
    gone.holds(KUBELET).await
}

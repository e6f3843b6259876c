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
    resource::create(cluster, &[workspace(home, "one", json!({}))]).await?;
    let (rotated, revoked) = tokio::try_join!(
        Service::set_up(cluster, home, "rotated"),
        Service::set_up(cluster, home, "revoked"),
    )?;
    // Both wait for the kubelet's own time.
    tokio::try_join!(rotated.rotate(), revoked.revoke())?;
    Ok(())
}

// Compared in the pod: a key is not printed.

fn file_is(value: &str) -> String {
    format!("[ \"$(cat {}/ANTHROPIC_API_KEY)\" = {value} ]", pod::FILES)
}

fn variable_is(value: &str) -> String {
    format!("[ \"$ANTHROPIC_API_KEY\" = {value} ]")
}

/// A key, and two Deployments that use it.
struct Service<'a> {
    cluster: &'a Cluster,
    home: &'a str,
    name: &'a str,
    /// The pod that has it as a file.
    mounting: String,
    /// The pod that has it in its environment.
    environment: String,
}

// === impl Service ===

impl<'a> Service<'a> {
    async fn set_up(cluster: &'a Cluster, home: &'a str, name: &'a str) -> Result<Self> {
        let first = fake_key(name);
        let objects = [
            secret(home, name, &first),
            key(home, name, "one", name, &format!("{name}-target")),
        ];
        resource::create(cluster, &objects).await?;
        resource::until_ready(cluster, home, &[&format!("ApiKeyRef/{name}")], SOON).await?;
        let (mounting, environment) = (format!("{name}-file"), format!("{name}-env"));
        let target = format!("{name}-target");
        let with_file = pod::pod(home, "", &mounting, &[&format!("Secret/{target}")]);
        let mut with_env = pod::pod(home, "", &environment, &[]);
        with_env["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": target}}]);
        for of in [&with_file, &with_env] {
            cluster.apply_yaml(&deployment(of).to_string())?;
        }
        let mounting = pod::of_deployment(cluster, home, &mounting).await?;
        let environment = pod::of_deployment(cluster, home, &environment).await?;
        pod::shell(cluster, home, &mounting, &file_is(&first))?;
        pod::shell(cluster, home, &environment, &variable_is(&first))?;
        Ok(Self {
            cluster,
            home,
            name,
            mounting,
            environment,
        })
    }

    async fn change(&self, spec: Value) -> Result<()> {
        let keys = resource::api(&self.cluster.client(), "ApiKeyRef", self.home);
        merge(&keys, self.name, json!({"spec": spec})).await?;
        Ok(())
    }

    /// A rotation staged for later.
    async fn rotate(&self) -> Result<()> {
        let (cluster, home) = (self.cluster, self.home);
        let (first, second) = (fake_key(self.name), fake_key("next"));
        resource::create(cluster, &[secret(home, "next", &second)]).await?;
        let activate_at = Timestamp::from_second(Timestamp::now().as_second() + 5)?;
        let mut mounted = pod::until(cluster, home, &self.mounting, &file_is(&second))?;
        self.change(json!({"next": {
            "secretKeyRef": {"name": "next", "key": "api-key"},
            "activateAt": activate_at.to_string(),
        }}))
        .await?;
        mounted.holds(KUBELET).await?;
        let late = Timestamp::now().duration_since(activate_at);
        println!(
            "a successor is mounted {:.2} s after its time, not hurried",
            late.as_secs_f64()
        );
        ensure!(late >= SignedDuration::ZERO, "{late} before its time");
        pod::shell(cluster, home, &self.environment, &variable_is(&first))?;
        let deployment = format!("deployment/{}-env", self.name);
        cluster.kubectl_ok(&["rollout", "restart", &deployment, "--namespace", home])?;
        let restarted = pod::of_deployment(cluster, home, &format!("{}-env", self.name)).await?;
        ensure!(restarted != self.environment, "another pod");
        pod::shell(cluster, home, &restarted, &variable_is(&second))?;
        self.never_restarted().await
    }

    async fn revoke(&self) -> Result<()> {
        let (cluster, home) = (self.cluster, self.home);
        let empty = format!("[ ! -s {}/ANTHROPIC_API_KEY ]", pod::FILES);
        let mut gone = pod::until(cluster, home, &self.mounting, &empty)?;
        self.change(json!({"state": "Revoked"})).await?;
        gone.holds(KUBELET).await?;
        let kept = variable_is(&fake_key(self.name));
        pod::shell(cluster, home, &self.environment, &kept)?;
        self.never_restarted().await
    }

    async fn never_restarted(&self) -> Result<()> {
        let deployment = format!("{}-file", self.name);
        let unmoved = pod::of_deployment(self.cluster, self.home, &deployment).await?;
        ensure!(unmoved == self.mounting, "it never restarted");
        Ok(())
    }
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

//! A key's way from its source to its target: followed, kept, taken away, never adopted.
//! Must not print a value, not even a fake one: `ensure!`, not `assert_eq!`.

use std::time::Duration;

use anyhow::{Result, ensure};
use kube::{Api, ResourceExt, api::DynamicObject};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    operator::{Operator, Settings},
    resource::{
        self, api, binding, delete, fake_key, key, merge, secret, service_account, until, workspace,
    },
    suite::{Test, test},
    wait,
};

/// How soon a key follows.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How long the beginning may take.
const SOON: Duration = Duration::from_secs(20);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "a new value at the source is mapped within a second",
            followed,
        )
        .also_namespaced(),
        test(
            "the last good value outlives its source, and follows it again",
            kept,
        ),
        test("a malformed value does not replace a good one", malformed),
        test(
            "a revoked key is emptied, not deleted, and no longer usable",
            revoked,
        )
        .also_namespaced(),
        test(
            "a disabled workspace takes its keys and its access away",
            disabled,
        ),
        test("a key whose reference is moved away is emptied", moved),
        test("a target goes with its key", removed).needs_controllers(),
    ]
}

struct Scene {
    keys: Api<DynamicObject>,
    secrets: Api<DynamicObject>,
    workspaces: Api<DynamicObject>,
    config_maps: Api<DynamicObject>,
    _operator: Operator,
}

// === impl Scene ===

impl Scene {
    async fn set(cluster: &Cluster) -> Result<Self> {
        let namespace = cluster.namespace("keys").await?;
        let home = namespace.as_str();
        let mut app = key(home, "app", "one", "source", "target");
        app["spec"]["usedBy"] = json!([service_account("app")]);
        let objects = [
            secret(home, "source", &fake_key("first")),
            workspace(home, "one", json!({"displayName": "One"})),
            binding(home, "users", "one", "user", &["app"]),
            app,
        ];
        resource::create(cluster, &objects).await?;
        let settings = Settings {
            secrets_in: &[home],
            ..Settings::default()
        };
        let operator = Operator::start(cluster, settings).await?;
        let objects = ["Workspace/one", "RoleBinding/users", "ApiKeyRef/app"];
        resource::until_ready(cluster, home, &objects, SOON).await?;
        let client = cluster.client();
        let scene = Self {
            keys: api(&client, "ApiKeyRef", home),
            secrets: api(&client, "Secret", home),
            workspaces: api(&client, "Workspace", home),
            config_maps: api(&client, "ConfigMap", home),
            _operator: operator,
        };
        scene.holds(&fake_key("first")).await?;
        ensure!(
            scene.keys_in_policy().await? == 1,
            "the policy names the key"
        );
        Ok(scene)
    }

    /// Waits until the target holds this value.
    async fn holds(&self, wanted: &str) -> Result<()> {
        wait::until(&self.secrets, "target", AT_ONCE, |object| {
            let value = resource::value(object, "ANTHROPIC_API_KEY")?;
            (value == wanted).then_some(())
        })
        .await
    }

    async fn is(&self, kind: &str, status: &str, reason: &str) -> Result<String> {
        until(&self.keys, "app", (kind, status, reason), AT_ONCE).await
    }

    async fn put(&self, value: &str) -> Result<()> {
        merge(
            &self.secrets,
            "source",
            json!({"stringData": {"api-key": value}}),
        )
        .await?;
        Ok(())
    }

    async fn keys_in_policy(&self) -> Result<usize> {
        let policy = resource::policy(&self.config_maps.get("one.policy").await?);
        Ok(policy.map(|policy| usable(&policy)).unwrap_or_default())
    }

    async fn until_keys_in_policy(&self, wanted: usize) -> Result<()> {
        wait::until(&self.config_maps, "one.policy", AT_ONCE, |object| {
            (usable(&resource::policy(object)?) == wanted).then_some(())
        })
        .await
    }

    async fn fingerprint(&self) -> Result<Option<String>> {
        let key = self.keys.get("app").await?;
        Ok(key.data["status"]["fingerprint"]
            .as_str()
            .map(str::to_owned))
    }
}

/// Keys in a policy with a version that may be used. One without is named all the same, so
/// that its subjects get no other.
fn usable(policy: &Value) -> usize {
    let keys = policy["keys"].as_object().into_iter().flatten();
    keys.filter(|(_, key)| key["fingerprint"].is_string())
        .count()
}

async fn followed(cluster: &Cluster) -> Result<()> {
    let scene = Scene::set(cluster).await?;
    let first = scene.fingerprint().await?;
    scene.put(&fake_key("second")).await?;
    scene.holds(&fake_key("second")).await?;
    wait::until(&scene.keys, "app", AT_ONCE, |key| {
        let status = &key.data["status"];
        let now = status["fingerprint"].as_str();
        let before = status["previous"][0]["fingerprint"].as_str();
        (now.is_some() && now != first.as_deref() && before == first.as_deref()).then_some(())
    })
    .await?;
    scene.is("Ready", "True", "").await?;
    Ok(())
}

async fn kept(cluster: &Cluster) -> Result<()> {
    let scene = Scene::set(cluster).await?;
    let before = scene.secrets.get("target").await?.resource_version();
    let fingerprint = scene.fingerprint().await?;
    delete(&scene.secrets, "source").await?;
    let message = scene.is("Ready", "False", "SourceNotFound").await?;
    ensure!(message.contains("source"), "it says which: {message}");
    ensure!(resource::condition(&scene.keys.get("app").await?, "Stalled").is_none());
    scene.is("Programmed", "True", "").await?;
    scene.holds(&fake_key("first")).await?;
    let after = scene.secrets.get("target").await?.resource_version();
    ensure!(before == after, "the target was not touched");
    ensure!(
        scene.fingerprint().await? == fingerprint,
        "it is still in use"
    );
    ensure!(
        scene.keys_in_policy().await? == 1,
        "and still sent by the gateway"
    );

    let namespace = scene.keys.get("app").await?.namespace().unwrap_or_default();
    resource::create_one(cluster, &secret(&namespace, "source", &fake_key("back"))).await?;
    scene.is("Ready", "True", "").await?;
    scene.holds(&fake_key("back")).await
}

async fn malformed(cluster: &Cluster) -> Result<()> {
    let scene = Scene::set(cluster).await?;
    for (about, bad) in [
        ("an admin key", "sk-ant-admin01-EXAMPLE-not-a-real-key"),
        ("an enterprise key", "sk-ant-api01-EXAMPLE-not-a-real-key"),
        ("an OAuth token", "sk-ant-oat01-EXAMPLE-not-a-real-token"),
        (
            "two lines",
            "sk-ant-api03-EXAMPLE-a\nsk-ant-api03-EXAMPLE-b",
        ),
        ("nothing", ""),
    ] {
        scene.put(bad).await?;
        scene.is("Ready", "False", "InvalidKey").await?;
        scene.holds(&fake_key("first")).await?;
        scene.put(&fake_key("first")).await?;
        let ready = scene.is("Ready", "True", "").await;
        ensure!(ready.is_ok(), "after {about}");
    }
    // One newline at the end is what editors add; it does not get into the target.
    scene.put(&format!("{}\n", fake_key("second"))).await?;
    scene.holds(&fake_key("second")).await
}

async fn revoked(cluster: &Cluster) -> Result<()> {
    let scene = Scene::set(cluster).await?;
    let uid = scene.secrets.get("target").await?.uid();
    merge(&scene.keys, "app", json!({"spec": {"state": "Revoked"}})).await?;
    scene.holds("").await?;
    scene.until_keys_in_policy(0).await?;
    // As asked for, so it is no fault.
    scene.is("Ready", "True", "Revoked").await?;
    ensure!(
        scene.secrets.get("target").await?.uid() == uid,
        "the same object"
    );
    ensure!(scene.fingerprint().await?.is_none(), "no version is in use");
    // Whatever comes from the source now stays away.
    scene.put(&fake_key("second")).await?;
    merge(&scene.keys, "app", json!({"spec": {"service": "renamed"}})).await?;
    scene.is("Ready", "True", "Revoked").await?;
    scene.holds("").await?;

    merge(&scene.keys, "app", json!({"spec": {"state": "Active"}})).await?;
    scene.holds(&fake_key("second")).await?;
    scene.until_keys_in_policy(1).await
}

async fn disabled(cluster: &Cluster) -> Result<()> {
    let scene = Scene::set(cluster).await?;
    merge(
        &scene.workspaces,
        "one",
        json!({"spec": {"state": "Disabled"}}),
    )
    .await?;
    scene.holds("").await?;
    wait::until(&scene.config_maps, "one.policy", AT_ONCE, |object| {
        (resource::policy(object)?["workspace"]["state"] == "Disabled").then_some(())
    })
    .await?;
    scene.until_keys_in_policy(0).await?;
    scene.is("Ready", "True", "WorkspaceDisabled").await?;
    until(
        &scene.workspaces,
        "one",
        ("Ready", "True", "WorkspaceDisabled"),
        AT_ONCE,
    )
    .await?;

    merge(
        &scene.workspaces,
        "one",
        json!({"spec": {"state": "Enabled"}}),
    )
    .await?;
    scene.holds(&fake_key("first")).await?;
    scene.until_keys_in_policy(1).await
}

async fn moved(cluster: &Cluster) -> Result<()> {
    let scene = Scene::set(cluster).await?;
    let elsewhere = json!({"spec": {"source": {"secretKeyRef": {"name": "not-there"}}}});
    merge(&scene.keys, "app", elsewhere).await?;
    scene.holds("").await?;
    scene.until_keys_in_policy(0).await?;
    scene.is("Ready", "False", "SourceNotFound").await?;
    Ok(())
}

async fn removed(cluster: &Cluster) -> Result<()> {
    let scene = Scene::set(cluster).await?;
    delete(&scene.keys, "app").await?;
    scene.until_keys_in_policy(0).await?;
    wait::until_gone(&scene.secrets, "target", Duration::from_secs(45)).await?;
    ensure!(
        scene.secrets.get_opt("source").await?.is_some(),
        "the source is not ours"
    );
    Ok(())
}

//! `anthropic-rbac revoke` and `keys` against a cluster, as somebody in a hurry runs them.
//! Must not print a value, not even a fake one.

use std::{process::Output, time::Duration};

use anyhow::{Context, Result, ensure};
use kube::{Api, ResourceExt, api::DynamicObject};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    command_line,
    operator::{Operator, Settings},
    resource::{
        self, api, binding, fake_key, key, merge, secret, service_account, until, workspace,
    },
    suite::{Test, test},
    wait,
};

/// How long the beginning may take.
const SOON: Duration = Duration::from_secs(20);

/// How soon an edit by hand follows.
const AT_ONCE: Duration = Duration::from_secs(2);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "a key that is revoked by command is out of target and policy when it returns",
            whole,
        ),
        test(
            "a version is revoked beside those that are, and those that are revoked meanwhile",
            version,
        ),
        test(
            "without an operator a revocation is stored and not called done",
            unanswered,
        ),
        test(
            "whoever may only touch ApiKeyRefs of one namespace can list and revoke them",
            least,
        ),
    ]
}

struct Scene<'a> {
    cluster: &'a Cluster,
    home: String,
    keys: Api<DynamicObject>,
    secrets: Api<DynamicObject>,
    config_maps: Api<DynamicObject>,
}

// === impl Scene ===

impl<'a> Scene<'a> {
    async fn set(cluster: &'a Cluster) -> Result<Self> {
        let home = cluster.namespace("revoke").await?;
        let mut app = key(&home, "app", "one", "source", "target");
        app["spec"]["usedBy"] = json!([service_account("app")]);
        app["spec"]["keyId"] = json!("apikey_01EXAMPLE");
        app["metadata"]["labels"] = json!({"kustomize.toolkit.fluxcd.io/name": "teams"});
        let objects = [
            secret(&home, "source", &fake_key("revoke")),
            workspace(&home, "one", json!({})),
            binding(&home, "users", "one", "user", &["app"]),
            app,
        ];
        resource::create(cluster, &objects).await?;
        let client = cluster.client();
        Ok(Self {
            cluster,
            keys: api(&client, "ApiKeyRef", &home),
            secrets: api(&client, "Secret", &home),
            config_maps: api(&client, "ConfigMap", &home),
            home,
        })
    }

    async fn operate(&self) -> Result<Operator> {
        let settings = Settings {
            secrets_in: &[&self.home],
            ..Settings::default()
        };
        let operator = Operator::start(self.cluster, settings).await?;
        resource::until_ready(self.cluster, &self.home, &["ApiKeyRef/app"], SOON).await?;
        ensure!(
            self.target().await?.as_deref() == Some(&*fake_key("revoke")),
            "it is mapped"
        );
        ensure!(self.usable().await?, "the policy has it");
        Ok(operator)
    }

    fn revoke(&self, more: &[&str]) -> Result<(Option<i32>, String)> {
        Ok(said(&self.run(more)?))
    }

    fn run(&self, more: &[&str]) -> Result<Output> {
        let kubeconfig = self.cluster.kubeconfig().to_str().context("UTF-8")?;
        let name = format!("{}/app", self.home);
        let fixed = ["revoke", &*name, "--kubeconfig", kubeconfig];
        command_line::run(&[&fixed, more].concat())
    }

    async fn target(&self) -> Result<Option<String>> {
        let target = self.secrets.get_opt("target").await?;
        Ok(target.and_then(|target| resource::value(&target, "ANTHROPIC_API_KEY")))
    }

    async fn usable(&self) -> Result<bool> {
        let policy = resource::policy(&self.config_maps.get("one.policy").await?);
        let keys = policy.context("a policy")?["keys"].clone();
        let mut keys = keys.as_object().into_iter().flatten();
        Ok(keys.any(|(_, key)| key["fingerprint"].is_string()))
    }

    /// Puts one version in the place of another, which must be there still.
    async fn replace_first(&self, before: &str, after: &str) -> Result<()> {
        let path = "/spec/revokedFingerprints/0";
        let patch = json!([
            {"op": "test", "path": path, "value": before},
            {"op": "replace", "path": path, "value": after},
        ]);
        let request = http::Request::patch(format!("{}/app", self.keys.resource_url()))
            .header("content-type", "application/json-patch+json")
            .body(serde_json::to_vec(&patch)?)?;
        let answer = self.cluster.client().request::<Value>(request).await;
        answer.with_context(|| format!("replacing {before}"))?;
        Ok(())
    }

    async fn spec(&self) -> Result<Value> {
        Ok(self.keys.get("app").await?.data["spec"].clone())
    }

    async fn fingerprint(&self) -> Result<String> {
        let key = self.keys.get("app").await?;
        let fingerprint = key.data["status"]["fingerprint"].as_str();
        Ok(fingerprint.context("a version is in use")?.to_owned())
    }
}

/// Exit code, and all it said.
fn said(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    (output.status.code(), text.concat())
}

async fn whole(cluster: &Cluster) -> Result<()> {
    let scene = Scene::set(cluster).await?;
    let _operator = scene.operate().await?;
    let before = scene.keys.get("app").await?.resource_version();

    let (code, text) = scene.revoke(&[])?;
    ensure!(code == Some(1), "nobody agreed: {text}");
    ensure!(
        scene.keys.get("app").await?.resource_version() == before,
        "nothing was changed"
    );
    for told in [
        &format!(
            "Secret {}/target loses its value of ANTHROPIC_API_KEY",
            scene.home
        ),
        &format!("serviceaccount:{}/app is denied", scene.home),
        "apikey_01EXAMPLE",
        "Flux Kustomization teams",
        "Add --yes",
    ] {
        ensure!(text.contains(told), "it does not say {told}: {text}");
    }

    let (code, text) = scene.revoke(&["--yes"])?;
    ensure!(
        code == Some(0) && text.contains("has taken it away"),
        "{text}"
    );
    // It has returned, so it is so: nothing is waited for.
    ensure!(
        scene.target().await?.as_deref() == Some(""),
        "the target is empty"
    );
    ensure!(!scene.usable().await?, "the policy has none");
    let object = scene.keys.get("app").await?;
    let managers = object
        .managed_fields()
        .iter()
        .filter_map(|fields| fields.manager.as_deref());
    ensure!(
        managers
            .into_iter()
            .any(|manager| manager == "anthropic-rbac-revoke")
    );

    let (code, text) = scene.revoke(&["--yes"])?;
    ensure!(
        code == Some(0) && text.contains("revoked already"),
        "{text}"
    );

    let output = scene.run(&["--yes", "-o", "json"])?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let told = ["already", "revoked", "takenAway"].map(|member| report[member] == true);
    ensure!(told == [true; 3] && output.status.success(), "{report}");

    let undo = |text: &str| {
        Some(
            text.split_once("To undo: kubectl ")?
                .1
                .lines()
                .next()?
                .to_owned(),
        )
    };
    merge(&scene.keys, "app", json!({"spec": {"state": null}})).await?;
    until(&scene.keys, "app", ("Ready", "True", "Ready"), AT_ONCE).await?;
    let (_, text) = scene.revoke(&["--yes"])?;
    let undo = undo(&text).context("it says how to undo it")?;
    let words: Vec<String> = undo
        .split(' ')
        .map(|word| word.trim_matches('\'').to_owned())
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    cluster.kubectl_ok(&words)?;
    until(&scene.keys, "app", ("Ready", "True", "Ready"), AT_ONCE).await?;
    ensure!(
        scene.target().await?.as_deref() == Some(&*fake_key("revoke")),
        "it is back"
    );

    let refused = scene.run(&["-o", "json"])?;
    let report: Value = serde_json::from_slice(&refused.stdout)?;
    ensure!(
        refused.status.code() == Some(1) && report["revoked"] == false,
        "{report}"
    );
    let done = scene.run(&["--yes", "-o", "json"])?;
    let report: Value = serde_json::from_slice(&done.stdout)?;
    let home = &*scene.home;
    let denied = format!("serviceaccount:{home}/app");
    let wanted = json!({
        "apiKeyRef": format!("{home}/app"), "version": null, "keyId": "apikey_01EXAMPLE",
        "already": false, "revoked": true, "takenAway": true, "message": null,
        "seconds": report["seconds"], "patch": {"spec": {"state": "Revoked"}},
        "undo": {"spec": {"state": null}}, "consequences": {
            "workspace": format!("{home}/one"),
            "emptied": [{"namespace": home, "secret": "target", "key": "ANTHROPIC_API_KEY"}],
            "gatewaysLoseIt": true, "denied": [denied], "isDefault": false,
        },
    });
    ensure!(report == wanted, "{report}");
    ensure!(
        report["seconds"]
            .as_f64()
            .is_some_and(|seconds| seconds < 5.0)
    );
    Ok(())
}

async fn version(cluster: &Cluster) -> Result<()> {
    let scene = Scene::set(cluster).await?;
    let earlier = json!({"spec": {"revokedFingerprints": ["00000000000000ff"]}});
    merge(&scene.keys, "app", earlier).await?;
    let _operator = scene.operate().await?;
    let fingerprint = scene.fingerprint().await?;

    // Somebody revokes other versions all the while; none of theirs is lost.
    let kubeconfig = cluster.kubeconfig().to_str().context("UTF-8")?.to_owned();
    let (name, wanted) = (format!("{}/app", scene.home), fingerprint.clone());
    let revoke = tokio::task::spawn_blocking(move || {
        let fixed = ["revoke", &*name, "--kubeconfig", &*kubeconfig, "--yes"];
        command_line::run(&[&fixed[..], &["--version", &*wanted]].concat())
    });
    let mut edits = 0;
    let mut last = "00000000000000ff".to_owned();
    while !revoke.is_finished() {
        edits += 1;
        let next = format!("{edits:016x}");
        scene.replace_first(&last, &next).await?;
        last = next;
    }
    let (code, text) = said(&revoke.await??);
    ensure!(code == Some(0), "{text}");
    ensure!(edits > 10, "somebody was quick enough: {edits}");
    let stored = scene.spec().await?["revokedFingerprints"].clone();
    ensure!(stored == json!([last, fingerprint]), "{stored}");
    ensure!(
        scene.target().await?.as_deref() == Some(""),
        "the target is empty"
    );
    ensure!(!scene.usable().await?, "the policy has none");

    // The next version works by itself.
    let next = json!({"stringData": {"api-key": fake_key("next")}});
    merge(&scene.secrets, "source", next).await?;
    wait::until(&scene.secrets, "target", AT_ONCE, |target| {
        let value = resource::value(target, "ANTHROPIC_API_KEY")?;
        (value == fake_key("next")).then_some(())
    })
    .await
}

async fn unanswered(cluster: &Cluster) -> Result<()> {
    let scene = Scene::set(cluster).await?;
    drop(scene.operate().await?);
    let (code, text) = scene.revoke(&["--yes", "--timeout", "1s"])?;
    ensure!(
        code == Some(1) && text.contains("no operator has answered"),
        "{text}"
    );
    ensure!(scene.spec().await?["state"] == "Revoked", "it is stored");
    ensure!(
        scene.target().await?.as_deref() == Some(&*fake_key("revoke")),
        "and not done"
    );
    Ok(())
}

async fn least(cluster: &Cluster) -> Result<()> {
    let scene = Scene::set(cluster).await?;
    let _operator = scene.operate().await?;
    let home = &*scene.home;
    cluster.kubectl_ok(&["create", "serviceaccount", "on-call", "-n", home])?;
    cluster.kubectl_ok(&[
        "create",
        "role",
        "on-call",
        "-n",
        home,
        "--verb=get,list,watch,patch",
        "--resource=apikeyrefs.anthropic-rbac.io",
    ])?;
    cluster.kubectl_ok(&[
        "create",
        "rolebinding",
        "on-call",
        "-n",
        home,
        "--role=on-call",
        &format!("--serviceaccount={home}:on-call"),
    ])?;
    let kubeconfig = crate::operator::kubeconfig_of(cluster, home, "on-call")?;
    let kubeconfig = kubeconfig.to_str().context("UTF-8")?;

    let listed =
        command_line::run(&["keys", "-n", home, "--kubeconfig", kubeconfig, "-o", "json"])?;
    let (code, text) = said(&listed);
    ensure!(code == Some(0), "{text}");
    let listed: Value = serde_json::from_slice(&listed.stdout)?;
    let (first, fingerprint) = (&listed["keys"][0], scene.fingerprint().await?);
    let shown = [
        &first["name"],
        &first["state"],
        &first["ready"],
        &first["fingerprint"],
    ];
    let wanted = [
        &json!("app"),
        &json!("Fresh"),
        &json!("True"),
        &json!(fingerprint),
    ];
    ensure!(shown == wanted, "{listed}");
    let everywhere = command_line::run(&["keys", "--kubeconfig", kubeconfig])?;
    let (code, text) = said(&everywhere);
    ensure!(
        code == Some(1) && text.contains("may not list all apikeyrefs"),
        "{text}"
    );

    let revoked = command_line::run(&[
        "revoke",
        "app",
        "-n",
        home,
        "--kubeconfig",
        kubeconfig,
        "--yes",
    ])?;
    let (code, text) = said(&revoked);
    ensure!(
        code == Some(0) && text.contains("who uses it cannot be told"),
        "{text}"
    );
    ensure!(
        scene.target().await?.as_deref() == Some(""),
        "the target is empty"
    );
    Ok(())
}

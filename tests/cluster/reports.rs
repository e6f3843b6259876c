//! What the command line says of a cluster: who may do what, what a change would do, whether the
//! rendered policy is up to date, and how somebody is shut out. Must not read any Secret.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    command_line::run,
    operator::{Operator, Settings},
    resource::{self, api, binding, fake_key, key, merge, secret, workspace},
    suite::{Test, test},
    wait,
};

const SOON: Duration = Duration::from_secs(20);

const HAIKU: &str = "claude-haiku-4-5";

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "check says when the rendered policy is missing, behind or edited",
            rendered,
        ),
        test(
            "a client key in the cluster is answered for, and what that takes for granted is said",
            client_key,
        ),
        test(
            "diff says what applying manifests to the cluster would do, and applying it does it",
            differs,
        ),
        test(
            "whoever is offboarded by the printed patch, or by --apply, is denied at once",
            offboarded,
        ),
    ]
}

/// A namespace with a workspace, a key for all, an issuer, a service and two people.
async fn scene(cluster: &Cluster) -> Result<String> {
    let home = cluster.namespace("reports").await?;
    let issuer = json!({
        "name": "corp", "type": "OIDC", "issuerURL": "https://login.example.com",
        "jwksURI": "https://login.example.com/keys", "groupsClaim": "groups",
        "audiences": [format!("claude-{home}")],
    });
    let local = json!({"name": "local", "type": "Kubernetes", "audiences": [home]});
    let spec = json!({
        "keys": {"defaultApiKeyRef": {"name": "shared"}},
        "authentication": {"issuers": [issuer, local]},
    });
    let mut people = binding(&home, "people", "one", "user", &[]);
    people["spec"]["subjects"] = json!([
        {"kind": "User", "name": "eve", "issuer": "corp"},
        {"kind": "User", "name": "uma", "issuer": "corp"},
        {"kind": "ClientKey", "name": "client"},
    ]);
    let mut client = secret(&home, "client", "EXAMPLE-client-key-0123456789abcdef");
    client["metadata"]["labels"] = json!({"anthropic-rbac.io/client-key": "true"});
    let objects = [
        secret(&home, "source", &fake_key(&home)),
        client,
        workspace(&home, "one", spec),
        key(&home, "shared", "one", "source", ""),
        binding(&home, "services", "one", "user", &["app"]),
        people,
    ];
    resource::create(cluster, &objects).await?;
    Ok(home)
}

async fn operated(cluster: &Cluster, home: &str) -> Result<Operator> {
    let settings = Settings {
        secrets_in: &[home],
        ..Settings::default()
    };
    let operator = Operator::start(cluster, settings).await?;
    let objects = ["Workspace/one", "RoleBinding/people", "ApiKeyRef/shared"];
    resource::until_ready(cluster, home, &objects, SOON).await?;
    Ok(operator)
}

/// Exit code, answer and what was said besides, of a command with `-o json`.
fn said(cluster: &Cluster, arguments: &[&str]) -> Result<(Option<i32>, Value, String)> {
    let kubeconfig = cluster.kubeconfig().to_str().context("a path in UTF-8")?;
    let more = ["--kubeconfig", kubeconfig, "--output", "json"];
    let output = run(&[arguments, &more].concat())?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let answer = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{arguments:?}: {stderr}"))?;
    Ok((output.status.code(), answer, stderr))
}

fn checked(cluster: &Cluster, home: &str, subject: &str) -> Result<(Option<i32>, Value, String)> {
    let workspace = format!("{home}/one");
    said(
        cluster,
        &["check", subject, "-w", &workspace, "--model", HAIKU],
    )
}

async fn rendered(cluster: &Cluster) -> Result<()> {
    let home = scene(cluster).await?;
    let app = format!("serviceaccount:{home}/app");
    let (_, answer, note) = checked(cluster, &home, &app)?;
    ensure!(
        answer["rendered"]["state"] == "Missing" && note.contains("one.policy"),
        "nothing is rendered yet: {answer} {note}"
    );
    let operator = operated(cluster, &home).await?;
    let (exit, answer, note) = checked(cluster, &home, &app)?;
    ensure!(
        exit == Some(0) && answer["rendered"]["state"] == "Current" && note.is_empty(),
        "all is rendered: {answer} {note}"
    );
    let revision = &answer["rendered"]["revision"];
    ensure!(*revision != Value::Null, "{answer}");
    drop(operator);

    let client = cluster.client();
    let bindings = api(&client, "RoleBinding", &home);
    merge(
        &bindings,
        "services",
        json!({"spec": {"state": "Disabled"}}),
    )
    .await?;
    let (exit, answer, note) = checked(cluster, &home, &app)?;
    ensure!(
        exit == Some(1)
            && answer["rendered"]["state"] == "Behind"
            && answer["rendered"]["decision"] == "Allow"
            && note.contains("one.policy"),
        "the gateway still allows it: {answer} {note}"
    );
    merge(&bindings, "services", json!({"spec": {"state": null}})).await?;
    let config_maps = api(&client, "ConfigMap", &home);
    let policy = config_maps.get("one.policy").await?;
    let text = resource_text(&policy)?.replace("512", "9999");
    merge(
        &config_maps,
        "one.policy",
        json!({"data": {"policy.json": text}}),
    )
    .await?;
    let (_, answer, note) = checked(cluster, &home, &app)?;
    ensure!(
        answer["rendered"]["state"] == "Edited" && note.contains("one.policy"),
        "somebody edited it: {answer} {note}"
    );
    Ok(())
}

fn resource_text(policy: &kube::api::DynamicObject) -> Result<String> {
    let text = policy.data.pointer("/data/policy.json");
    let text = text.and_then(Value::as_str).context("a policy.json")?;
    Ok(text.to_owned())
}

async fn client_key(cluster: &Cluster) -> Result<()> {
    let home = scene(cluster).await?;
    let _operator = operated(cluster, &home).await?;
    let (exit, answer, _) = checked(cluster, &home, &format!("clientkey:{home}/client"))?;
    ensure!(
        exit == Some(0) && answer["rendered"]["state"] == "Current",
        "its binding allows it: {answer}"
    );
    let assumed = answer["assumptions"].to_string();
    ensure!(
        assumed.contains(&format!("Secret {home}/client")),
        "it says what it takes for granted: {assumed}"
    );
    let stranger = format!("clientkey:{home}/elsewhere");
    let (exit, answer, _) = checked(cluster, &home, &stranger)?;
    ensure!(
        exit == Some(1),
        "a Secret that nothing names has no role: {answer}"
    );
    Ok(())
}

/// A file of its own.
fn file(cluster: &Cluster, name: &str, objects: &[Value]) -> Result<PathBuf> {
    let path = cluster.dir().join(name);
    let texts: Vec<String> = objects.iter().map(Value::to_string).collect();
    fs::write(&path, texts.join("\n---\n"))?;
    Ok(path)
}

async fn differs(cluster: &Cluster) -> Result<()> {
    let home = scene(cluster).await?;
    let _operator = operated(cluster, &home).await?;
    // Only what changes: the rest of the cluster stays as it is.
    let services = binding(&home, "services", "one", "power", &["app"]);
    let same = binding(&home, "services", "one", "user", &["app"]);
    let diff = |objects: &[Value]| {
        let path = file(cluster, "diff.yaml", objects)?;
        let path = path.to_str().context("a path in UTF-8")?.to_owned();
        said(cluster, &["diff", "-f", &path, "-n", &home])
    };
    let (exit, answer, _) = diff(&[same])?;
    ensure!(
        exit == Some(0) && answer["changes"] == false,
        "nothing changes: {answer}"
    );
    let (exit, answer, _) = diff(std::slice::from_ref(&services))?;
    let gained: Vec<&Value> = answer["workspaces"][0]["access"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    ensure!(
        exit == Some(1)
            && answer["widened"] == true
            && !gained.is_empty()
            && gained.iter().all(|change| {
                change["subjects"] == json!([format!("serviceaccount:{home}/app")])
            }),
        "one service gains, nobody loses: {answer}"
    );
    cluster.apply_yaml(&services.to_string())?;
    let (exit, answer, _) = diff(&[services])?;
    ensure!(exit == Some(0), "now it is so: {answer}");
    Ok(())
}

async fn offboarded(cluster: &Cluster) -> Result<()> {
    let home = scene(cluster).await?;
    let operator = operated(cluster, &home).await?;
    for (name, apply) in [("eve", false), ("uma", true)] {
        let subject = format!("user:corp:{name}");
        let (exit, answer, _) = checked(cluster, &home, &subject)?;
        ensure!(exit == Some(0), "{name} works here: {answer}");
        let arguments = ["offboard", &subject, "-n", &home, "--apply"];
        let arguments = &arguments[..if apply { 5 } else { 4 }];
        let (exit, answer, _) = said(cluster, arguments)?;
        ensure!(
            exit == Some(0) && answer["bindings"][0]["binding"] == format!("{home}/people"),
            "{answer}"
        );
        let command = answer["blocks"][0]["command"].as_str();
        let command = command.context("a command")?.to_owned();
        if !apply {
            let (exit, ..) = checked(cluster, &home, &subject)?;
            ensure!(exit == Some(0), "printing changes nothing");
            patch_as_printed(cluster, &command)?;
        }
        let (exit, answer, _) = checked(cluster, &home, &subject)?;
        ensure!(
            exit == Some(1) && answer["message"] == "Subject is blocked",
            "{name} is denied: {answer}"
        );
        // And so does the gateway's file say, soon.
        wait::poll("the rendered policy is up to date", SOON, || {
            let (_, answer, _) = checked(cluster, &home, &subject)?;
            Ok((answer["rendered"]["state"] == "Current").then_some(()))
        })
        .await?;
        let (_, answer, _) = checked(cluster, &home, &subject)?;
        ensure!(answer["rendered"]["decision"] == "Deny", "{answer}");
    }
    let workspaces = api(&cluster.client(), "Workspace", &home);
    let blocked = workspaces.get("one").await?;
    ensure!(
        blocked.data["spec"]["blockedSubjects"]
            .as_array()
            .map(Vec::len)
            == Some(2),
        "both are blocked, neither over the other: {}",
        blocked.name_any()
    );
    let (exit, answer, _) = checked(cluster, &home, &format!("serviceaccount:{home}/app"))?;
    ensure!(exit == Some(0), "nobody else is: {answer}");
    drop(operator);
    Ok(())
}

/// Runs what was printed, but with this cluster's kubectl: split as a shell would do it.
fn patch_as_printed(cluster: &Cluster, command: &str) -> Result<()> {
    let (plain, quoted) = command.split_once(" -p '").context("a quoted patch")?;
    let quoted = quoted.strip_suffix('\'').context("a quoted patch")?;
    ensure!(!quoted.contains('\''), "one quoted word: {quoted}");
    let mut arguments: Vec<&str> = plain.split(' ').skip(1).collect();
    arguments.extend(["-p", quoted]);
    cluster.kubectl_ok(&arguments)?;
    Ok(())
}

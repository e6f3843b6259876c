//! The whole way: manifests, the operator's pod, ConfigMaps and a Secret, the kubelet, the Envoy of
//! our sample, the official SDK; and what happens when access or data is taken away.
//! Prints what it measures.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kube::{ResourceExt, api::DynamicObject};
use serde_json::{Value, json};

use crate::{
    control_plane,
    edge::{
        BODY, CLIENT, CLIENTS, Client, Edge, LATE, NAMESPACE, WORKSPACE, address, is_ready, keys,
        until_all, with_edge,
    },
    envoy, gateway,
    http::{Connection, request},
    operator::OPERATOR_NAMESPACE,
    prompt::{percentile, print, tries},
    resource::{self, api, merge},
    sdk::{Call, Sdk},
    suite::{Test, existing_cluster, test},
    wait,
};

const SOON: Duration = Duration::from_secs(30);

/// A client key that nobody has bound.
const UNBOUND: &str = "EXAMPLE-client-key-that-nobody-has-bound";

/// By when access is to be lost in all pods, in 19 of 20 cases.
const PROMPT: Duration = Duration::from_secs(2);

pub(crate) fn tests() -> Vec<Test> {
    let possible = || !existing_cluster() && envoy::binary().is_some();
    vec![
        test(
            "the sample's Envoy sends requests of the SDK on with the mapped key, restricted",
            async |cluster| with_edge(cluster, sdk).await,
        )
        .only_if(possible()),
        test(
            "a binding that was deleted, or a revoked key, is refused by running Envoys within 2 s",
            async |cluster| with_edge(cluster, lost).await,
        )
        .only_if(possible()),
        test(
            "Envoys without their policy open nothing, are not ready, and recover",
            async |cluster| with_edge(cluster, broken).await,
        )
        .only_if(possible()),
        test(
            "an Envoy that has not loaded the policy makes Programmed False",
            async |cluster| with_edge(cluster, not_loaded).await,
        )
        .only_if(possible()),
    ]
}

async fn sdk(edge: &Edge<'_>) -> Result<()> {
    for pod in edge.pods().await? {
        let status = &pod.data["status"]["containerStatuses"][0];
        assert_eq!(status["restartCount"], 0);
        assert_eq!(status["user"]["linux"]["uid"], 65532);
        for python in ["python", "python-x-api-key"] {
            let python = control_plane::built()?.join("gateways").join(python);
            let mut sdk = Sdk::start(&python, address(&pod)?, 1)?;
            called(edge, &mut sdk).with_context(|| format!("SDK {}", sdk.version))?;
            println!("SDK {} through {}", sdk.version, pod.name_any());
        }
    }
    Ok(())
}

fn called(edge: &Edge<'_>, sdk: &mut Sdk) -> Result<()> {
    let [shared, batch] = keys();
    let token = edge.token()?;
    let foreign = edge.kubectl(&["create", "token", "batch", "--audience=elsewhere"])?;
    for (credential, stream, key) in [
        (CLIENT, false, Some(&shared)),
        (&token, false, Some(&batch)),
        (&token, true, Some(&batch)),
        (foreign.trim(), false, None),
        (UNBOUND, false, None),
    ] {
        let body: Value = serde_json::from_slice(BODY)?;
        let call = Call {
            key: credential.to_owned(),
            body: body.as_object().cloned().unwrap_or_default(),
            headers: serde_json::Map::new(),
            stream,
            count: false,
        };
        edge.anthropic.take_all();
        let answer = sdk.ask(&[call])?.remove(0);
        let received = edge.anthropic.take_all();
        let Some(key) = key else {
            ensure!(answer.status == 401 && received.is_empty(), "{answer:?}");
            continue;
        };
        ensure!(answer.status == 200 && received.len() == 1, "{answer:?}");
        let received = &received[0];
        ensure!(
            received.only("x-api-key") == Some(key) && !received.holds(credential.as_bytes()),
            "not the mapped key alone"
        );
        let sent: Value = serde_json::from_slice(&received.body)?;
        assert_eq!(sent["max_tokens"], 512, "what the role gives");
    }
    Ok(())
}

/// A way to lose access, and to get it back.
struct Loss {
    what: &'static str,
    /// How it is then refused.
    status: u16,
    take: fn(&Edge<'_>) -> Result<()>,
    give: fn(&Edge<'_>) -> Result<()>,
}

const DELETED: Loss = Loss {
    what: "deleted binding",
    status: 401,
    take: |edge| edge.kubectl(&["delete", "airb/clients"]).map(drop),
    give: |edge| edge.cluster.apply_yaml(CLIENTS).map(drop),
};

const REVOKED: Loss = Loss {
    what: "revoked key",
    status: 403,
    take: |edge| set_key(edge, "Revoked"),
    give: |edge| set_key(edge, "Active"),
};

fn set_key(edge: &Edge<'_>, state: &str) -> Result<()> {
    let state = json!({"state": state});
    gateway::patch(edge.cluster, NAMESPACE, "aikey/batch", &state)
}

async fn lost(edge: &Edge<'_>) -> Result<()> {
    let token = edge.token()?;
    for (loss, credential, other) in [(&DELETED, CLIENT, &*token), (&REVOKED, &token, CLIENT)] {
        let mut delays = Vec::new();
        // They stay open throughout.
        let mut clients = edge.clients().await?;
        for _ in 0..tries().max(20) {
            until_all(&mut clients, credential, 200).await?;
            edge.all_loaded(2).await?;
            (loss.take)(edge)?;
            let from = Instant::now();
            until_all(&mut clients, credential, loss.status).await?;
            delays.push(from.elapsed());
            for client in &mut clients {
                edge.refused(client, credential)?;
                let answer = client.ask(other)?;
                ensure!(answer.status == 200, "somebody else's access: {answer:?}");
            }
            edge.all_loaded(2).await?;
            (loss.give)(edge)?;
        }
        print(loss.what, "refused by both Envoys", &mut delays);
        let p95 = percentile(&delays, 95);
        ensure!(
            p95 <= PROMPT,
            "19 of 20 took up to {p95:?}, want {PROMPT:?}"
        );
    }
    Ok(())
}

const DATA: &str = "production.edge.data";
const OPERATOR: [&str; 2] = [
    "deployment/anthropic-rbac",
    "--namespace=anthropic-rbac-system",
];

async fn broken(edge: &Edge<'_>) -> Result<()> {
    let cluster = edge.cluster;
    let config_maps = api(&cluster.client(), "ConfigMap", NAMESPACE);
    let mut clients = edge.clients().await?;
    until_all(&mut clients, CLIENT, 200).await?;
    let scale =
        |replicas: &str| cluster.kubectl_ok(&[&["scale", replicas], &OPERATOR[..]].concat());
    scale("--replicas=0")?;
    let gone = format!("--namespace={OPERATOR_NAMESPACE}");
    let operators = "--selector=app.kubernetes.io/name=anthropic-rbac";
    cluster.kubectl_ok(&[
        "wait",
        "--for=delete",
        "pod",
        operators,
        &gone,
        "--timeout=60s",
    ])?;

    // Half a policy: threads of Envoy go on with what they last read whole; those that have read
    // none yet, and new Envoys, open nothing.
    let whole = config_maps.get(DATA).await?;
    let half = half(&whole.data["data"])?;
    merge(&config_maps, DATA, json!({"data": {"policy.tsv": half}})).await?;
    hurry(edge, "half").await?;
    let before = edge.pods().await?;
    for (pod, client) in before.iter().zip(&mut clients) {
        wait::ask("it has seen the half", SOON, async || {
            Ok((!loaded(pod)?["error"].is_null()).then_some(()))
        })
        .await?;
        assert_eq!(client.ask(CLIENT)?.status, 200);
        edge.refused(client, UNBOUND)?;
    }
    let fresh = replaced(edge, before.first().context("a pod")?).await?;
    let mut clients = edge.clients().await?;
    assert_eq!(edge.refused(&mut Client::of(&fresh)?, CLIENT)?, 503);

    // None at all.
    resource::delete(&config_maps, DATA).await?;
    hurry(edge, "none").await?;
    // Not what it answers: a thread that has read no whole policy yet refuses before, too.
    for pod in edge.pods().await? {
        wait::ask("it has seen that there is none", SOON, async || {
            let said = loaded(&pod)?;
            Ok((said["error"].is_null() && said["revision"].is_null()).then_some(()))
        })
        .await?;
    }
    let token = edge.token()?;
    wait::ask("no pod is ready", SOON, async || {
        for client in &mut clients {
            edge.refused(client, CLIENT)?;
            edge.refused(client, &token)?;
        }
        Ok((!edge.pods().await?.iter().any(is_ready)).then_some(()))
    })
    .await?;
    // The other pod has seen the policy go, and was marked before for the one that comes back.
    let fresh = replaced(edge, &fresh).await?;
    assert_eq!(edge.refused(&mut Client::of(&fresh)?, CLIENT)?, 503);
    let mut clients = edge.clients().await?;
    for pod in edge.pods().await? {
        let restarts = &pod.data["status"]["containerStatuses"][0]["restartCount"];
        assert_eq!(*restarts, 0, "a missing policy is no reason to start anew");
    }

    let from = Instant::now();
    scale("--replicas=2")?;
    until_all(&mut clients, CLIENT, 200).await?;
    println!(
        "served again {:.2} s after the operator was told to start",
        from.elapsed().as_secs_f64()
    );
    edge.rolled_out()?;
    edge.all_loaded(2).await?;
    let restored = config_maps.get(DATA).await?;
    ensure!(restored.data["data"] == whole.data["data"], "as it was");
    Ok(())
}

/// Deletes a pod; the one that comes in its place, once it runs.
async fn replaced(edge: &Edge<'_>, pod: &DynamicObject) -> Result<DynamicObject> {
    let before = edge.pods().await?;
    edge.kubectl(&["delete", "pod", &pod.name_any(), "--wait=false"])?;
    wait::ask("another pod runs", SOON, async || {
        let mut pods = edge.pods().await?;
        pods.retain(|pod| before.iter().all(|old| old.name_any() != pod.name_any()));
        let container = |pod: &DynamicObject| pod.data["status"]["containerStatuses"][0].clone();
        Ok(pods
            .into_iter()
            .find(|pod| container(pod)["started"] == true))
    })
    .await
}

/// Half of the policy in a ConfigMap's data.
fn half(data: &Value) -> Result<String> {
    let policy = data["policy.tsv"].as_str().context("text")?;
    Ok(policy
        .get(..policy.len() / 2)
        .context("it is ASCII")?
        .to_owned())
}

/// Has the kubelet look at the pods' files.
async fn hurry(edge: &Edge<'_>, why: &str) -> Result<()> {
    for pod in edge.pods().await? {
        let annotation = format!("test={why}");
        let pod = pod.name_any();
        edge.kubectl(&["annotate", "--overwrite", "pod", &pod, &annotation])?;
    }
    Ok(())
}

/// What a pod says that it has loaded.
fn loaded(pod: &DynamicObject) -> Result<Value> {
    let mut status = address(pod)?;
    status.set_port(8081);
    let answer = Connection::open(status)?.ask(&request("GET", "/loaded", &[], b""))?;
    Ok(answer.json())
}

async fn not_loaded(edge: &Edge<'_>) -> Result<()> {
    // A copy of the sample with a ConfigMap of its own, in which only half a policy is.
    let config_maps = api(&edge.cluster.client(), "ConfigMap", NAMESPACE);
    let data = config_maps.get(DATA).await?.data["data"].take();
    let half = half(&data)?;
    let mut copied = resource::config_map(NAMESPACE, "copied", "policy.tsv", "");
    copied["data"] = data;
    copied["data"]["policy.tsv"] = half.into();
    resource::create_one(edge.cluster, &copied).await?;
    let deployment = edge.kubectl(&["get", "deployment/claude-gateway", "--output=json"])?;
    let deployment: Value = serde_json::from_str(&deployment)?;
    let mut pod = deployment["spec"]["template"].clone();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"]["name"] = "astray".into();
    pod["metadata"]["namespace"] = NAMESPACE.into();
    let sources = pod["spec"]["volumes"][1]["projected"]["sources"].as_array_mut();
    for source in sources.context("a projected volume")? {
        if source["configMap"]["name"] == DATA {
            source["configMap"]["name"] = "copied".into();
        }
    }
    let from = Instant::now();
    resource::create_one(edge.cluster, &pod).await?;

    let workspaces = api(&edge.cluster.client(), "Workspace", NAMESPACE);
    let want = ("Programmed", "False", "NotLoaded");
    let message = resource::until(&workspaces, WORKSPACE, want, LATE).await?;
    println!(
        "NotLoaded after {:.0} s: {message}",
        from.elapsed().as_secs_f64()
    );
    let why = "Pod astray of gateway 'edge' has not loaded the policy in two minutes: it ";
    ensure!(
        message.starts_with(why)
            && message.contains("policy.tsv: not whole")
            && !message.contains("  "),
        "{message}"
    );
    let shown = workspaces.get(WORKSPACE).await?;
    let shown = &shown.data["status"]["gateways"][0]["pods"];
    assert_eq!((&shown["loaded"], &shown["total"]), (&json!(2), &json!(3)));
    assert_eq!(shown["lagging"][0]["name"], "astray");
    for pod in edge.pods().await? {
        let mut client = Client::of(&pod)?;
        if pod.name_any() == "astray" {
            ensure!(!is_ready(&pod), "it is ready without a policy");
            assert_eq!(edge.refused(&mut client, CLIENT)?, 503);
        } else {
            let answer = client.ask(CLIENT)?;
            ensure!(answer.status == 200, "the others serve: {answer:?}");
        }
    }

    edge.kubectl(&["delete", "pod/astray", "--grace-period=0", "--force"])?;
    edge.all_loaded(2).await
}

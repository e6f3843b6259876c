//! One version of a key after another, while requests are sent with it all the time: a workload
//! with its target and a gateway with its Secret, against an API that takes keys as Anthropic does.
//! Must not print a value; the clients have what the API server shows, as soon as it shows it.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use axum::{Router, extract::State, http::HeaderMap, http::StatusCode, routing::post};
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use kube::{
    Api, ResourceExt,
    api::DynamicObject,
    runtime::{WatchStreamExt, watcher::watch_object},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    cluster::Cluster,
    operator::{Operator, Settings},
    resource::{self, api, fake_key, key, merge, secret, service_account, until, workspace},
    suite::{Test, test},
    wait,
};

const AT_ONCE: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_secs(20);

/// How long after a write a version may still be mounted somewhere, as the status has it.
const PROJECTION: i64 = 180;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "versions follow each other without a rejected request, staged or not",
            cut_over,
        )
        .needs_audit_log(),
        test(
            "a successor that is taken back before its time writes nothing",
            taken_back,
        )
        .needs_audit_log(),
    ]
}

/// An API that takes some keys and counts requests with others.
#[derive(Clone, Default)]
struct Anthropic {
    active: Arc<Mutex<BTreeSet<String>>>,
    taken: Arc<AtomicUsize>,
    rejected: Arc<AtomicUsize>,
}

// === impl Anthropic ===

impl Anthropic {
    async fn serve(&self) -> Result<(SocketAddr, JoinHandle<()>)> {
        let router = Router::new()
            .route("/v1/messages", post(message))
            .with_state(self.clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(async move {
            // An error would be seen by the clients, whose requests then fail.
            let _ = axum::serve(listener, router).await;
        });
        Ok((address, server))
    }

    fn enable(&self, about: &str) {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        active.insert(fake_key(about));
    }

    fn disable(&self, about: &str) {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        active.remove(&fake_key(about));
    }

    /// Waits until so many more requests were taken or rejected.
    async fn more(&self, requests: usize) -> Result<()> {
        let sum = || self.taken.load(Ordering::Relaxed) + self.rejected.load(Ordering::Relaxed);
        let start = sum();
        wait::poll("more requests are sent", SOON, || {
            Ok((sum() >= start + requests).then_some(()))
        })
        .await
    }
}

async fn message(State(anthropic): State<Anthropic>, headers: HeaderMap) -> StatusCode {
    let key = headers.get("x-api-key").and_then(|key| key.to_str().ok());
    let active = anthropic
        .active
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if key.is_some_and(|key| active.contains(key)) {
        anthropic.taken.fetch_add(1, Ordering::Relaxed);
        StatusCode::OK
    } else {
        anthropic.rejected.fetch_add(1, Ordering::Relaxed);
        StatusCode::UNAUTHORIZED
    }
}

/// Sends requests with the only value of a Secret, whatever it is at the time.
fn client(secrets: Api<DynamicObject>, name: &'static str, to: SocketAddr) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut changes = pin!(watch_object(secrets, name).default_backoff());
        let mut value = String::new();
        loop {
            tokio::select! {
                biased;
                Some(Ok(Some(secret))) = changes.next() => {
                    let data = secret.data["data"].as_object().into_iter().flatten();
                    let mut values = data.filter_map(|(key, _)| resource::value(&secret, key));
                    value = values.next().unwrap_or_default();
                }
                sent = send(to, value.clone()), if !value.is_empty() => drop(sent),
            }
        }
    })
}

async fn send(to: SocketAddr, key: String) -> Result<()> {
    tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect_timeout(&to, AT_ONCE)?;
        let request = format!(
            "POST /v1/messages HTTP/1.1\r\nhost: loopback\r\nx-api-key: {key}\r\ncontent-length: 2\r\n\
             connection: close\r\n\r\n{{}}"
        );
        stream.write_all(request.as_bytes())?;
        stream.read_to_end(&mut Vec::new())?;
        Ok(())
    })
    .await?
}

struct Scene {
    keys: Api<DynamicObject>,
    secrets: Api<DynamicObject>,
    home: String,
    _operator: Operator,
}

// === impl Scene ===

impl Scene {
    async fn set(cluster: &Cluster) -> Result<Self> {
        let home = cluster.namespace("staging").await?;
        let mut app = key(&home, "app", "one", "source", "target");
        app["spec"]["usedBy"] = json!([service_account("app")]);
        app["spec"]["keyId"] = json!("apikey_01EXAMPLEfirst");
        let gateways = json!({"gateways": [{"name": "edge", "type": "Envoy"}]});
        let objects = [
            secret(&home, "source", &fake_key("first")),
            workspace(&home, "one", gateways),
            app,
        ];
        resource::create(cluster, &objects).await?;
        let settings = Settings {
            secrets_in: &[&home],
            ..Settings::default()
        };
        let operator = Operator::start(cluster, settings).await?;
        resource::until_ready(cluster, &home, &["ApiKeyRef/app"], SOON).await?;
        let client = cluster.client();
        Ok(Self {
            keys: api(&client, "ApiKeyRef", &home),
            secrets: api(&client, "Secret", &home),
            home,
            _operator: operator,
        })
    }

    async fn stage(&self, cluster: &Cluster, at: Timestamp) -> Result<()> {
        let mut successor = secret(&self.home, "successor", &fake_key("second"));
        successor["metadata"]["annotations"] =
            json!({"anthropic-rbac.io/key-id": "apikey_01EXAMPLEsecond"});
        resource::create_one(cluster, &successor).await?;
        let reference = json!({"name": "successor", "key": "api-key"});
        let next = json!({"secretKeyRef": reference, "activateAt": at.to_string()});
        merge(&self.keys, "app", json!({"spec": {"next": next}})).await?;
        self.seen().await
    }

    /// Waits until the present generation of the key has been looked at.
    async fn seen(&self) -> Result<()> {
        wait::until(&self.keys, "app", AT_ONCE, |key| {
            let observed = key.data["status"]["observedGeneration"].as_i64();
            (observed == key.metadata.generation).then_some(())
        })
        .await
    }

    /// Waits until target and gateway have a version.
    async fn everywhere(&self, about: &str, within: Duration) -> Result<()> {
        for name in ["target", "one.edge.keys"] {
            wait::until(&self.secrets, name, within, |secret| {
                let mut data = secret.data["data"].as_object()?.keys();
                let has = |key: &String| resource::value(secret, key) == Some(fake_key(about));
                data.any(has).then_some(())
            })
            .await
            .with_context(|| format!("{name} should have the {about} version"))?;
        }
        Ok(())
    }

    /// Lets the time after a cut-over pass: what our Secrets remember is made so old that all
    /// but two seconds of it are over. Only the clock decides from there on.
    async fn age(&self) -> Result<()> {
        for name in ["target", "one.edge.keys"] {
            let secret = self.secrets.get(name).await?;
            let annotation = "anthropic-rbac.io/key-versions";
            let memory = secret.annotations().get(annotation).context("a memory")?;
            let mut memory: Value = serde_json::from_str(memory)?;
            for (_, row) in memory.as_object_mut().into_iter().flatten() {
                let since = row["since"].as_i64().context("a time")?;
                row["since"] = json!(since - PROJECTION + 2);
            }
            let annotations = json!({annotation: memory.to_string()});
            let change = json!({"metadata": {"annotations": annotations}});
            merge(&self.secrets, name, change).await?;
        }
        // Its own versions keep the times they have in the status; the boundary is only those of
        // the Secrets.
        Ok(())
    }
}

async fn cut_over(cluster: &Cluster) -> Result<()> {
    let scene = Scene::set(cluster).await?;
    let anthropic = Anthropic::default();
    anthropic.enable("first");
    let (address, server) = anthropic.serve().await?;
    let clients =
        ["target", "one.edge.keys"].map(|name| client(scene.secrets.clone(), name, address));
    anthropic.more(50).await?;

    // Staged: the successor is made at Anthropic first, and takes over when its time has come.
    anthropic.enable("second");
    let at = Timestamp::from_second(Timestamp::now().as_second() + 4)?;
    scene.stage(cluster, at).await?;
    scene.everywhere("first", AT_ONCE).await?;
    let left = SignedDuration::from_secs(1) + at.duration_since(Timestamp::now());
    scene.everywhere("second", left.try_into()?).await?;
    ensure!(Timestamp::now() >= at, "not before its time");
    let message = until(
        &scene.keys,
        "app",
        ("PreviousKeyRetirable", "False", "NotLoaded"),
        AT_ONCE,
    )
    .await?;
    ensure!(message.contains("apikey_01EXAMPLEfirst"), "{message}");
    let status = scene.keys.get("app").await?.data["status"].clone();
    ensure!(status["keyId"] == "apikey_01EXAMPLEsecond", "{status:#}");
    ensure!(
        status["previous"][0]["keyId"] == "apikey_01EXAMPLEfirst",
        "{status:#}"
    );
    retire(&scene, &anthropic, "first").await?;

    // The source moves to where the successor is: no value is written.
    let mark = cluster.audit_log()?.mark().await?;
    let source = json!({"secretKeyRef": {"name": "successor"}});
    let change = json!({"spec": {"source": source, "next": null, "keyId": null}});
    merge(&scene.keys, "app", change).await?;
    scene.seen().await?;
    let writes = cluster.audit_log()?.since(mark).await?.writes();
    ensure!(
        writes.0.iter().all(|request| request.resource != "secrets"),
        "written:\n{writes}"
    );

    // A plain change of the value is the same cut-over.
    anthropic.enable("third");
    let value = json!({"stringData": {"api-key": fake_key("third")},
                       "metadata": {"annotations": {"anthropic-rbac.io/key-id": null}}});
    merge(&scene.secrets, "successor", value).await?;
    scene.everywhere("third", AT_ONCE).await?;
    until(
        &scene.keys,
        "app",
        ("PreviousKeyRetirable", "False", "NotLoaded"),
        AT_ONCE,
    )
    .await?;
    retire(&scene, &anthropic, "second").await?;
    anthropic.more(50).await?;

    clients.iter().for_each(JoinHandle::abort);
    server.abort();
    let (taken, rejected) = (&anthropic.taken, &anthropic.rejected);
    println!(
        "{} requests were taken, {} rejected",
        taken.load(Ordering::Relaxed),
        rejected.load(Ordering::Relaxed)
    );
    ensure!(rejected.load(Ordering::Relaxed) == 0, "some were rejected");
    Ok(())
}

/// Disables a version at Anthropic as soon as the status says that it may be.
async fn retire(scene: &Scene, anthropic: &Anthropic, about: &str) -> Result<()> {
    anthropic.more(50).await?;
    scene.age().await?;
    let retirable = ("PreviousKeyRetirable", "True", "Retirable");
    let message = until(&scene.keys, "app", retirable, 3 * AT_ONCE).await?;
    ensure!(message.contains("Disable it at Anthropic"), "{message}");
    anthropic.disable(about);
    anthropic.more(50).await
}

async fn taken_back(cluster: &Cluster) -> Result<()> {
    let scene = Scene::set(cluster).await?;
    let mark = cluster.audit_log()?.mark().await?;
    scene
        .stage(cluster, "2099-01-01T00:00:00Z".parse()?)
        .await?;
    merge(&scene.keys, "app", json!({"spec": {"next": null}})).await?;
    scene.seen().await?;
    scene.everywhere("first", AT_ONCE).await?;
    let writes = cluster.audit_log()?.since(mark).await?.writes();
    let outputs = ["secrets", "configmaps"];
    ensure!(
        writes
            .0
            .iter()
            .all(|request| !outputs.contains(&&*request.resource)),
        "written:\n{writes}"
    );
    Ok(())
}

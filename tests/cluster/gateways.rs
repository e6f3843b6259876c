//! Gateways of type Envoy: their files, the public keys in them, and what is said of a gateway
//! that has loaded them, or has not. Must not run an Envoy: what stands for a pod here is a server
//! in this process at the pod's address.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use axum::{Router, extract::State, routing::get};
use jiff::SignedDuration;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Barrier, task::JoinHandle};

use crate::{
    cluster::Cluster,
    faketime::Clock,
    operator::{Operator, Settings, allow_pods},
    resource::{self, api, binding, config_map, delete, merge, until, workspace},
    suite::{Test, test},
    wait,
};

/// How long a step may take.
const SOON: Duration = Duration::from_secs(20);

/// How long a gateway may take to load what was written, and a little more.
const LIMIT: Duration = Duration::from_secs(130);

/// How much of that is skipped where the operator's clock can be moved. What is left is a few rounds
/// of asking.
const SKIPPED: SignedDuration = SignedDuration::from_secs(105);

/// Where the pod is: on this machine, and nobody else's.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 8, 81);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "a gateway has its files, follows the keys of its issuers, and loses what is not needed",
            files,
        )
        .also_namespaced(),
        test(
            "a gateway that has not loaded what was written is told of after two minutes, by what it lacks, and once it has",
            late,
        ),
    ]
}

/// A JWKS document with one key.
fn document(kid: &str) -> String {
    let key = json!({"kty": "RSA", "kid": kid, "n": "n".repeat(342), "e": "AQAB", "use": "sig"});
    json!({"keys": [key]}).to_string()
}

async fn files(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("gateway").await?;
    let home = namespace.as_str();
    let corp = |kid: &str| config_map(home, "corp-jwks", "jwks.json", &document(kid));
    let spec = json!({
        "gateways": [{"name": "edge", "type": "Envoy"}],
        "authentication": {"issuers": [
            {"name": "cluster", "type": "Kubernetes", "audiences": ["claude"]},
            {"name": "corp", "type": "OIDC", "issuerURL": "https://login.example.com",
             "jwksConfigMapRef": {"name": "corp-jwks", "key": "jwks.json"}, "audiences": ["claude"]},
        ]},
    });
    let objects = [
        corp("kid-a"),
        workspace(home, "one", spec),
        binding(home, "users", "one", "user", &["app"]),
    ];
    resource::create(cluster, &objects).await?;
    let _operator = Operator::start(
        cluster,
        Settings {
            secrets_in: &[home],
            ..Settings::default()
        },
    )
    .await?;
    let (workspaces, config_maps) = (
        api(&cluster.client(), "Workspace", home),
        api(&cluster.client(), "ConfigMap", home),
    );
    until(&workspaces, "one", ("Programmed", "True", ""), SOON).await?;
    let names = named(&config_maps).await?;
    let edge = ["one.edge.config", "one.edge.data", "one.edge.subjects-00"];
    ensure!(edge.iter().all(|name| names.contains(*name)), "{names:?}");
    for name in edge {
        let object = config_maps.get(name).await?;
        let owners = object.metadata.owner_references.clone().unwrap_or_default();
        let owner = owners.first().context("an owner")?;
        assert_eq!(
            (&*owner.kind, &*owner.name, owner.controller),
            ("Workspace", "one", Some(true))
        );
    }

    let published = cluster.kubectl_ok(&["get", "--raw", "/openid/v1/jwks"])?;
    let published: Value = serde_json::from_str(&published)?;
    let own = published["keys"][0]["kid"]
        .as_str()
        .context("a kid")?
        .to_owned();
    jwt(&config_maps, &["kid-a", &own], &[]).await?;
    let version = |object: DynamicObject| object.metadata.resource_version;
    let config = version(config_maps.get(edge[0]).await?);
    merge(
        &config_maps,
        "corp-jwks",
        json!({"data": {"jwks.json": document("kid-b")}}),
    )
    .await?;
    jwt(&config_maps, &["kid-b", &own], &["kid-a"]).await?;

    for broken in [Some("{}"), None] {
        match broken {
            Some(text) => drop(
                merge(
                    &config_maps,
                    "corp-jwks",
                    json!({"data": {"jwks.json": text}}),
                )
                .await?,
            ),
            None => delete(&config_maps, "corp-jwks").await?,
        }
        let missing = ("Programmed", "False", "IssuerKeysNotFound");
        let message = until(&workspaces, "one", missing, SOON).await?;
        ensure!(message.contains("corp-jwks"), "{message}");
        jwt(&config_maps, &[&own], &["kid-b"]).await?;
        resource::until_ready(cluster, home, &["RoleBinding/users"], SOON).await?;
    }
    resource::create(cluster, &[corp("kid-c")]).await?;
    jwt(&config_maps, &["kid-c", &own], &[]).await?;
    until(&workspaces, "one", ("Programmed", "True", ""), SOON).await?;
    assert_eq!(
        version(config_maps.get(edge[0]).await?),
        config,
        "it needs no restart"
    );

    merge(&workspaces, "one", json!({"spec": {"gateways": null}})).await?;
    for name in edge {
        wait::until_gone(&config_maps, name, SOON).await?;
    }
    ensure!(named(&config_maps).await?.contains("corp-jwks"), "not ours");
    Ok(())
}

async fn named(config_maps: &Api<DynamicObject>) -> Result<BTreeSet<String>> {
    let listed = config_maps.list(&ListParams::default()).await?;
    let names = listed.items.into_iter();
    Ok(names.filter_map(|object| object.metadata.name).collect())
}

/// Waits until `jwt.json` names these and not those.
async fn jwt(config_maps: &Api<DynamicObject>, with: &[&str], without: &[&str]) -> Result<()> {
    wait::until(config_maps, "one.edge.data", SOON, |object| {
        let text = object.data["data"]["jwt.json"].as_str()?;
        let all = with.iter().all(|kid| text.contains(kid));
        (all && !without.iter().any(|kid| text.contains(kid))).then_some(())
    })
    .await
    .with_context(|| format!("with {with:?}, without {without:?}"))
}

/// What the pod says that it has loaded.
#[derive(Clone, Default)]
struct Says(Arc<Mutex<Value>>);

impl Says {
    /// All that is written now for this Workspace.
    async fn all(&self, config_maps: &Api<DynamicObject>, home: &str, of: &str) -> Result<()> {
        let policy = config_maps.get(&format!("{of}.policy")).await?;
        let policy = resource::policy(&policy).context("a policy")?;
        let data = config_maps.get(&format!("{of}.edge.data")).await?;
        let version = |file: &str| -> Result<Value> {
            let text = data.data["data"][file].as_str().context("a file")?;
            Ok(serde_json::from_str::<Value>(text)?["version_info"].clone())
        };
        let files = ["jwt.json", "ratelimit.json", "clusters.json"];
        let files = files.map(|file| Ok((file.to_owned(), version(file)?)));
        let files: serde_json::Map<_, _> = files.into_iter().collect::<Result<_>>()?;
        *self.0.lock().expect("not poisoned") = json!({
            "workspace": format!("{home}/{of}"), "config": "k", "revision": policy["revision"],
            "subjects": {"expected": 1, "differ": []}, "files": files, "error": null,
        });
        Ok(())
    }

    async fn serve(&self, at: Ipv4Addr) -> Result<JoinHandle<()>> {
        let listener = TcpListener::bind(SocketAddr::from((at, 8081))).await?;
        let said =
            async |State(says): State<Self>| says.0.lock().expect("not poisoned").to_string();
        let router = Router::new()
            .route("/loaded", get(said))
            .with_state(self.clone());
        Ok(tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves");
        }))
    }
}

/// A Workspace with a gateway, and the gateway's pod, which runs at this address as its kubelet
/// would say.
async fn run_at(cluster: &Cluster, home: &str, name: &str, at: Ipv4Addr) -> Result<()> {
    let labels = json!({"app": name});
    let edge = json!({"name": "edge", "type": "Envoy", "podSelector": {"matchLabels": labels}});
    let pod_name = format!("{name}-edge-1");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": pod_name, "namespace": home, "labels": labels},
        "spec": {
            "schedulerName": "none", // where there are kubelets they leave it alone
            "containers": [{"name": "envoy", "image": "example.com/envoy"}],
            "volumes": [{"name": "gateway", "configMap": {"name": format!("{name}.edge.data")}}],
        },
    });
    let objects = [workspace(home, name, json!({"gateways": [edge]})), pod];
    resource::create(cluster, &objects).await?;
    let status = json!({"status": {
        "phase": "Running", "startTime": "2026-01-01T00:00:00Z",
        "podIP": at, "podIPs": [{"ip": at}],
    }});
    let pods = api(&cluster.client(), "Pod", home);
    pods.patch_status(&pod_name, &PatchParams::default(), &Patch::Merge(status))
        .await?;
    Ok(())
}

/// What a gateway says that has not loaded all, from what one says that has, and what its
/// Workspace says then.
type Lacks = (&'static str, fn(&mut Value), &'static str);

const LACKS: [Lacks; 9] = [
    (
        "none",
        |said| said["revision"] = Value::Null,
        "has no policy",
    ),
    (
        "torn",
        |said| said["error"] = json!("policy.tsv: not whole"),
        "cannot read its files: policy.tsv: not whole",
    ),
    (
        "keyless",
        |said| said["error"] = json!("1 of 2 API keys: not there, or not whole"),
        "cannot read its files: 1 of 2 API keys: not there, or not whole",
    ),
    (
        "subjects",
        |said| said["subjects"]["differ"] = json!(["subjects-00"]),
        "has other subjects than its policy: subjects-00",
    ),
    (
        "rejected",
        |said| said["files"] = json!({}),
        "has not taken clusters.json: Envoy rejected it, or has not seen it yet",
    ),
    (
        "older",
        |said| said["files"]["jwt.json"] = json!("0123456789abcdef"),
        "has not taken jwt.json",
    ),
    (
        "behind",
        |said| said["revision"] = json!("0123456789abcdef"),
        "has revision 0123456789abcdef of the policy, not ",
    ),
    (
        "elsewhere",
        |said| said["workspace"] = json!("other/one"),
        "has the files of Workspace other/one",
    ),
    (
        "stranger",
        |said| *said = json!("hello"),
        "does not say what it has loaded",
    ),
];

/// The two minutes, once all that wait for them have begun to.
struct TwoMinutes {
    all: Barrier,
    clock: Option<Clock>,
}

// === impl TwoMinutes ===

impl TwoMinutes {
    async fn begin(&self) -> Result<()> {
        let last = self.all.wait().await.is_leader();
        match &self.clock {
            Some(clock) if last => clock.set_ahead(SKIPPED),
            _ => Ok(()),
        }
    }
}

async fn late(cluster: &Cluster) -> Result<()> {
    let (one, many) = (
        cluster.namespace("loaded").await?,
        cluster.namespace("lacking").await?,
    );
    let homes = [one.as_str(), many.as_str()];
    for home in homes {
        allow_pods(cluster, home)?;
    }
    let two_minutes = TwoMinutes {
        all: Barrier::new(homes.len()),
        clock: Clock::new(cluster)?,
    };
    let settings = Settings {
        secrets_in: &homes,
        clock: two_minutes.clock.as_ref(),
        ..Settings::default()
    };
    let _operator = Operator::start(cluster, settings).await?;
    tokio::try_join!(
        loaded(cluster, &one, &two_minutes),
        lacking(cluster, &many, &two_minutes)
    )?;
    Ok(())
}

/// Whatever a gateway says that has not loaded all, its Workspace says what it lacks.
async fn lacking(cluster: &Cluster, home: &str, two_minutes: &TwoMinutes) -> Result<()> {
    let at = |i: usize| Ipv4Addr::new(127, 0, 9, u8::try_from(i).unwrap_or(u8::MAX));
    for (i, (name, ..)) in LACKS.iter().enumerate() {
        run_at(cluster, home, name, at(i + 1)).await?;
    }
    // Nobody serves there.
    run_at(cluster, home, "silent", at(200)).await?;
    let (workspaces, config_maps) = (
        api(&cluster.client(), "Workspace", home),
        api(&cluster.client(), "ConfigMap", home),
    );
    let mut told = vec![("silent", "does not answer")];
    let mut serving = Vec::new();
    for (i, (name, lacks, says_so)) in LACKS.into_iter().enumerate() {
        for file in ["edge.data", "policy"] {
            let name = format!("{name}.{file}");
            wait::until(&config_maps, &name, SOON, |_| Some(())).await?;
        }
        let says = Says::default();
        says.all(&config_maps, home, name).await?;
        lacks(&mut says.0.lock().expect("not poisoned"));
        serving.push((says.serve(at(i + 1)).await?, says));
        told.push((name, says_so));
    }
    two_minutes.begin().await?;
    // All are late at the same time.
    for (name, says_so) in told {
        let message = wait::until(&workspaces, name, LIMIT, |object| {
            let condition = resource::condition(object, "Programmed")?;
            let late = condition["status"] == "False" && condition["reason"] == "NotLoaded";
            late.then(|| condition["message"].as_str().map(str::to_owned))?
        });
        let message = message.await.with_context(|| name.to_owned())?;
        let pod =
            format!("Pod {name}-edge-1 of gateway 'edge' has not loaded the policy in two minutes");
        let told = message.strip_prefix(&format!("{pod}: it "));
        ensure!(
            told.is_some_and(|told| told.starts_with(says_so)),
            "{name}: {message}"
        );
    }
    // What is whole again is seen.
    for ((name, ..), (_, says)) in LACKS.into_iter().zip(&serving) {
        says.all(&config_maps, home, name).await?;
    }
    for ((name, ..), (server, _)) in LACKS.into_iter().zip(serving) {
        until(&workspaces, name, ("Programmed", "True", ""), SOON).await?;
        server.abort();
    }
    Ok(())
}

/// What is loaded is said, what is not is said after two minutes, and that it is at last.
async fn loaded(cluster: &Cluster, home: &str, two_minutes: &TwoMinutes) -> Result<()> {
    run_at(cluster, home, "one", ADDRESS).await?;
    let (workspaces, config_maps) = (
        api(&cluster.client(), "Workspace", home),
        api(&cluster.client(), "ConfigMap", home),
    );
    for name in ["one.edge.data", "one.policy"] {
        wait::until(&config_maps, name, SOON, |_| Some(())).await?;
    }
    let says = Says::default();
    says.all(&config_maps, home, "one").await?;
    let server = says.serve(ADDRESS).await?;
    until_loaded(&workspaces, 1).await?;
    until(&workspaces, "one", ("Programmed", "True", ""), SOON).await?;

    resource::create(cluster, &[binding(home, "users", "one", "user", &["app"])]).await?;
    let revision = wait::until(&config_maps, "one.policy", SOON, |object| {
        let policy = resource::policy(object)?;
        (!policy["subjects"].as_object()?.is_empty()).then(|| policy["revision"].clone())
    })
    .await?;
    let pending = wait::until(&workspaces, "one", SOON, |object| {
        let status = &object.data["status"];
        let current = status["policyRevision"] == revision;
        let pods = &status["gateways"][0]["pods"];
        (current && pods["hurried"] == 1)
            .then(|| (pods.clone(), object.metadata.resource_version.clone()))
    })
    .await?;
    ensure!(pending.0["loaded"].is_null(), "{}", pending.0);
    two_minutes.begin().await?;
    let mut told = Vec::new();
    let late = wait::until(&workspaces, "one", LIMIT, |object| {
        told.push(object.metadata.resource_version.clone());
        let condition = resource::condition(object, "Programmed")?;
        (condition["reason"] == "NotLoaded")
            .then(|| (condition.clone(), object.data["status"].clone()))
    })
    .await?;
    told.dedup();
    assert_eq!(told.len(), 2, "nothing is said while there is time");
    let message = late.0["message"].as_str().context("a message")?;
    ensure!(
        message.contains("Pod one-edge-1 of gateway 'edge'"),
        "{message}"
    );
    let lagging = &late.1["gateways"][0]["pods"]["lagging"][0];
    ensure!(
        lagging["name"] == "one-edge-1" && lagging["loadedRevision"].is_string(),
        "{lagging}"
    );

    says.all(&config_maps, home, "one").await?;
    until(&workspaces, "one", ("Programmed", "True", ""), SOON).await?;
    until_loaded(&workspaces, 1).await?;
    server.abort();
    Ok(())
}

async fn until_loaded(workspaces: &Api<DynamicObject>, count: i64) -> Result<()> {
    wait::until(workspaces, "one", SOON, |object| {
        let pods = &object.data["status"]["gateways"][0]["pods"];
        (pods["loaded"] == count && pods["total"] == count).then_some(())
    })
    .await
    .context("it should be loaded")
}

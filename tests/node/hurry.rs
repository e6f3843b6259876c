//! Changes are hurried to gateway pods: how fast they get there, how often a pod is touched for
//! it, and which pods never are.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use kube::{ResourceExt, api::ListParams};
use serde_json::{Value, json};

use crate::{
    audit::{AuditLog, Mark},
    cluster::Cluster,
    operator::{self, OPERATOR_NAMESPACE},
    pod,
    resource::{self, api, binding, fake_key, key, secret, workspace},
    suite::{Test, test},
    wait,
};

const SOON: Duration = Duration::from_secs(30);

/// It is tried again every 30 s whether access was granted.
const RETRIED: Duration = Duration::from_secs(40);

/// By when a revocation is to have reached a pod, in 19 of 20 cases.
const PROMPT: Duration = Duration::from_millis(1500);

/// By when a kubelet that nobody hurries has looked again.
const KUBELET: Duration = Duration::from_secs(120);

/// Two marks are a second apart when they are sent; on the way that may change a little.
const PACE: Duration = Duration::from_millis(900);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "a revoked key is gone from a running gateway within 1.5 s",
            revoked,
        ),
        test(
            "bursts of changes touch a pod once a second, and the last state arrives",
            bursts,
        )
        .needs_audit_log(),
        test("pods that are not the gateway's are never touched", others).needs_audit_log(),
        test(
            "without rights on pods one condition says so, and everything else works",
            denied,
        ),
    ]
}

/// How often delays are measured.
fn tries() -> usize {
    let asked = env::var("NODE_TRIES").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(10)
}

fn gateway() -> Value {
    json!({"gateways": [
        {"name": "edge", "type": "Envoy", "podSelector": {"matchLabels": {"app": "gateway"}}},
    ]})
}

const FILES: [&str; 2] = ["ConfigMap/one.policy", "Secret/one.edge.keys"];

/// A namespace with a Workspace, its gateway, and a key for it.
async fn organisation(cluster: &Cluster, spec: Value, hurried: bool) -> Result<String> {
    let namespace = cluster.namespace("gateway").await?;
    let home = namespace.as_str();
    operator::grant(cluster, home, "anthropic-rbac-secrets")?;
    if hurried {
        operator::grant(cluster, home, "anthropic-rbac-gateway-pods")?;
    }
    let objects = [
        secret(home, "source", &fake_key(home)),
        workspace(home, "one", spec),
        key(home, "app", "one", "source", ""),
    ];
    resource::create(cluster, &objects).await?;
    let secrets = api(&cluster.client(), "Secret", home);
    wait::until(&secrets, "one.edge.keys", SOON, |secret| {
        secret.data["data"]
            .as_object()
            .filter(|data| !data.is_empty())
            .map(|_| ())
    })
    .await?;
    Ok(namespace)
}

/// Waits until the status counts so many pods, all of them hurried.
async fn all_hurried(cluster: &Cluster, namespace: &str, pods: i64) -> Result<()> {
    let workspaces = api(&cluster.client(), "Workspace", namespace);
    wait::until(&workspaces, "one", SOON, |object| {
        let shown = &object.data["status"]["gateways"][0]["pods"];
        (shown["total"] == pods && shown["hurried"] == pods).then_some(())
    })
    .await
}

/// Name of the only file of the gateway's keys, in its pod.
async fn key_file(cluster: &Cluster, namespace: &str) -> Result<String> {
    let secret = api(&cluster.client(), "Secret", namespace)
        .get("one.edge.keys")
        .await?;
    let data = secret.data["data"].as_object().context("it has data")?;
    let name = data.keys().next().context("it has a key")?;
    Ok(format!("{}/{name}", pod::FILES))
}

// === how fast ===

async fn revoked(cluster: &Cluster) -> Result<()> {
    let mut delays = measure(cluster, gateway(), true, tries(), SOON).await?;
    print("hurried", &mut delays);
    // Without a hurry every try takes about a minute.
    let slow = json!({"gateways": [{"name": "edge", "type": "Envoy"}]});
    let mut unhurried = measure(cluster, slow, false, tries().div_ceil(10), KUBELET).await?;
    print("not hurried", &mut unhurried);
    let p95 = percentile(&delays, 95);
    ensure!(
        p95 <= PROMPT,
        "19 of 20 took up to {p95:?}, want {PROMPT:?}"
    );
    Ok(())
}

/// From kubectl's return to the end of the file in the pod, while other objects change all the time.
async fn measure(
    cluster: &Cluster,
    spec: Value,
    hurried: bool,
    tries: usize,
    within: Duration,
) -> Result<Vec<Duration>> {
    let namespace = organisation(cluster, spec, hurried).await?;
    let home = namespace.as_str();
    pod::run(cluster, &pod::pod(home, "edge", "gateway", &FILES)).await?;
    let file = key_file(cluster, home).await?;
    let elsewhere = cluster.namespace("noise").await?;
    resource::create(cluster, &[workspace(&elsewhere, "two", json!({}))]).await?;
    let measuring = async {
        let mut delays = Vec::new();
        for _ in 0..tries {
            pod::until(cluster, home, "edge", &format!("[ -s {file} ]"))?
                .holds(within)
                .await?;
            let mut gone = pod::until(cluster, home, "edge", &format!("[ ! -e {file} ]"))?;
            set_state(cluster, home, "Revoked")?;
            let start = Instant::now();
            gone.holds(within).await?;
            delays.push(start.elapsed());
            set_state(cluster, home, "Active")?;
        }
        Ok(delays)
    };
    tokio::select! {
        delays = measuring => delays,
        error = noise(cluster, &elsewhere) => error.map(|()| Vec::new()),
    }
}

fn set_state(cluster: &Cluster, namespace: &str, state: &str) -> Result<()> {
    let patch = json!({"spec": {"state": state}}).to_string();
    cluster.kubectl_ok(&[
        "patch",
        "aikey",
        "app",
        "--namespace",
        namespace,
        "--type=merge",
        "--patch",
        &patch,
    ])?;
    Ok(())
}

/// Another workspace's bindings, made and deleted without end.
async fn noise(cluster: &Cluster, namespace: &str) -> Result<()> {
    let bindings = api(&cluster.client(), "RoleBinding", namespace);
    for i in 0.. {
        let name = format!("noise-{}", i % 50);
        if bindings.get_opt(&name).await?.is_some() {
            resource::delete(&bindings, &name).await?;
        } else {
            let object = binding(namespace, &name, "two", "user", &[&name]);
            resource::create(cluster, &[object]).await?;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let last = sorted.len() - 1;
    sorted[(sorted.len() * percent)
        .div_ceil(100)
        .saturating_sub(1)
        .min(last)]
}

fn print(what: &str, delays: &mut [Duration]) {
    delays.sort();
    let of = |percent| percentile(delays, percent).as_secs_f64();
    println!(
        "revocation to the file's end in the pod, {what}: n {}, min {:.2}, median {:.2}, p95 {:.2}, max {:.2} s",
        delays.len(),
        of(0),
        of(50),
        of(95),
        of(100)
    );
}

// === how often ===

async fn bursts(cluster: &Cluster) -> Result<()> {
    const PODS: [&str; 3] = ["edge-0", "edge-1", "edge-2"];
    let namespace = organisation(cluster, gateway(), true).await?;
    let home = namespace.as_str();
    for name in PODS {
        pod::run(cluster, &pod::pod(home, name, "gateway", &FILES)).await?;
    }
    all_hurried(cluster, home, 3).await?;
    let audit = cluster.audit_log()?;
    let mark = audit.mark().await?;
    for burst in 1..=10 {
        for change in 0..20 {
            let name = format!("b{burst}-{change}");
            let object = binding(home, &name, "one", "user", &[&name]);
            resource::create(cluster, &[object]).await?;
        }
        let last = resource::until_policy(cluster, home, "one", SOON, |policy| {
            resource::granting(policy).len() == 20 * burst
        })
        .await?;
        let revision = resource::policy(&last).context("a policy")?["revision"].clone();
        let revision = revision.as_str().context("a revision")?;
        let arrived = format!("grep -q {revision} {}/policy.json", pod::FILES);
        for name in PODS {
            let mut arrived = pod::until(cluster, home, name, &arrived)?;
            arrived.holds(SOON).await?;
        }
    }
    all_hurried(cluster, home, 3).await?;
    let marks = marks(&audit, mark, home).await?;
    for (name, times) in &marks {
        println!("{name}: 200 changes, {} marks", times.len());
        for two in times.windows(2) {
            let apart = Duration::try_from(two[1].duration_since(two[0]))?;
            ensure!(apart >= PACE, "{name} was touched again after {apart:?}");
        }
    }
    assert_eq!(marks.keys().map(|name| &**name).collect::<Vec<_>>(), PODS);
    let pods = api(&cluster.client(), "Pod", home);
    for pod in pods.list(&ListParams::default()).await? {
        let status = &pod.data["status"]["containerStatuses"][0];
        assert_eq!(status["restartCount"], 0, "{}", pod.name_any());
    }

    // A new leader finds nothing to hurry.
    let mark = audit.mark().await?;
    operator::roll(cluster)?;
    // Whoever leads now has planned this Workspace before it answers to a change of another.
    let elsewhere = cluster.namespace("later").await?;
    resource::create(cluster, &[workspace(&elsewhere, "two", json!({}))]).await?;
    resource::until_ready(cluster, &elsewhere, &["Workspace/two"], SOON).await?;
    let after = self::marks(&audit, mark, home).await?;
    ensure!(after.is_empty(), "{after:?}");
    Ok(())
}

/// When the operator marked which pod of a namespace.
async fn marks(
    audit: &AuditLog,
    since: Mark,
    namespace: &str,
) -> Result<BTreeMap<String, Vec<jiff::Timestamp>>> {
    let mut marks: BTreeMap<String, Vec<jiff::Timestamp>> = BTreeMap::new();
    for request in audit.since(since).await?.writes().0 {
        if request.resource == "pods" {
            ensure!(request.subresource == "status", "{request}");
            ensure!(request.namespace == namespace, "{request}");
            marks
                .entry(request.name.clone())
                .or_default()
                .push(request.received);
        }
    }
    marks.values_mut().for_each(|times| times.sort());
    Ok(marks)
}

// === whom ===

async fn others(cluster: &Cluster) -> Result<()> {
    let namespace = organisation(cluster, gateway(), true).await?;
    let home = namespace.as_str();
    let elsewhere = cluster.namespace("elsewhere").await?;
    operator::grant(cluster, &elsewhere, "anthropic-rbac-gateway-pods")?;
    let audit = cluster.audit_log()?;
    let mark = audit.mark().await?;
    let mut unready = pod::pod(home, "unready", "gateway", &FILES);
    unready["spec"]["containers"][0]["readinessProbe"] = json!({"exec": {"command": ["false"]}});
    let mut pending = pod::pod(home, "pending", "gateway", &FILES);
    pending["spec"]["nodeSelector"] = json!({"nowhere": "true"});
    let mut short = pod::pod(home, "short", "gateway", &FILES);
    short["spec"]["restartPolicy"] = json!("Never");
    short["spec"]["containers"][0]["command"] = json!(["true"]);
    resource::create(cluster, &[pending, short]).await?;
    let pods = api(&cluster.client(), "Pod", home);
    wait::until(&pods, "short", SOON, |pod| {
        (pod.data["status"]["phase"] == "Succeeded").then_some(())
    })
    .await?;
    for pod in [
        pod::pod(home, "edge", "gateway", &FILES),
        unready,
        // Somebody else's, with the gateway's labels.
        pod::pod(home, "impostor", "gateway", &["Secret/source"]),
        pod::pod(home, "unlabelled", "other", &FILES),
        pod::pod(&elsewhere, "namesake", "gateway", &FILES),
    ] {
        pod::run(cluster, &pod).await?;
    }
    let replicas = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": "foreign", "namespace": home},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "gateway", "of": "somebody"}},
            "template": {
                "metadata": {"labels": {"app": "gateway", "of": "somebody"}},
                "spec": pod::pod(home, "", "gateway", &[])["spec"],
            },
        },
    });
    cluster.apply_yaml(&replicas.to_string())?;
    all_hurried(cluster, home, 2).await?;
    let file = key_file(cluster, home).await?;
    set_state(cluster, home, "Revoked")?;
    let keys = api(&cluster.client(), "ApiKeyRef", home);
    wait::until(&keys, "app", SOON, |object| {
        let current =
            object.metadata.generation == object.data["status"]["observedGeneration"].as_i64();
        current.then_some(())
    })
    .await?;
    all_hurried(cluster, home, 2).await?;
    // A pod that has just gone is no trouble to the others.
    resource::delete(&pods, "unready").await?;
    set_state(cluster, home, "Active")?;
    all_hurried(cluster, home, 1).await?;
    pod::until(cluster, home, "edge", &format!("[ -s {file} ]"))?
        .holds(SOON)
        .await?;
    let touched = marks(&audit, mark, home).await?;
    let touched: BTreeSet<&str> = touched.keys().map(|name| &**name).collect();
    // The one that ended may have been marked while it ran.
    let allowed: BTreeSet<&str> = ["edge", "unready", "short"].into();
    ensure!(
        touched.is_subset(&allowed) && touched.contains("edge"),
        "{touched:?}"
    );
    Ok(())
}

// === without rights ===

async fn denied(cluster: &Cluster) -> Result<()> {
    let namespace = organisation(cluster, gateway(), false).await?;
    let home = namespace.as_str();
    pod::run(cluster, &pod::pod(home, "edge", "gateway", &FILES)).await?;
    let workspaces = api(&cluster.client(), "Workspace", home);
    let wanted = ("PromptProjection", "False", "PodAccessDenied");
    let message = resource::until(&workspaces, "one", wanted, SOON).await?;
    let since = since(&workspaces.get("one").await?);
    // Everything else goes on.
    resource::create(
        cluster,
        &[binding(home, "users", "one", "user", &["first"])],
    )
    .await?;
    resource::until_policy(cluster, home, "one", SOON, |policy| {
        resource::granting(policy).len() == 1
    })
    .await?;
    assert_eq!(
        self::since(&workspaces.get("one").await?),
        since,
        "it does not flap"
    );

    let start = message
        .find("kubectl ")
        .with_context(|| format!("no command in: {message}"))?;
    let command: Vec<&str> = message[start..].split_whitespace().skip(1).collect();
    cluster.kubectl_ok(&command)?;
    resource::until(
        &workspaces,
        "one",
        ("PromptProjection", "True", "Hurried"),
        RETRIED,
    )
    .await?;
    all_hurried(cluster, home, 1).await?;

    // The right to look without the right to mark.
    cluster.kubectl_ok(&[
        "delete",
        "rolebinding",
        "anthropic-rbac-gateway-pods",
        "--namespace",
        home,
    ])?;
    cluster.kubectl_ok(&[
        "create",
        "role",
        "look",
        "--verb=list,watch",
        "--resource=pods",
        "--namespace",
        home,
    ])?;
    cluster.kubectl_ok(&[
        "create",
        "rolebinding",
        "look",
        "--role=look",
        &format!("--serviceaccount={OPERATOR_NAMESPACE}:anthropic-rbac"),
        "--namespace",
        home,
    ])?;
    set_state(cluster, home, "Revoked")?;
    resource::until(&workspaces, "one", wanted, SOON).await?;
    let secrets = api(&cluster.client(), "Secret", home);
    wait::until(&secrets, "one.edge.keys", SOON, |secret| {
        let data = secret.data["data"].as_object();
        data.is_none_or(serde_json::Map::is_empty).then_some(())
    })
    .await
}

/// Since when the condition is as it is.
fn since(workspace: &kube::api::DynamicObject) -> Option<String> {
    let conditions = workspace.data["status"]["conditions"].as_array()?;
    let found = conditions
        .iter()
        .find(|condition| condition["type"] == "PromptProjection")?;
    Some(found["lastTransitionTime"].as_str()?.to_owned())
}

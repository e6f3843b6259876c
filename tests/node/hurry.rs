//! How often a gateway's pod is touched when changes are hurried to it, and which pods never are.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use kube::{ResourceExt, api::ListParams};
use serde_json::json;

use crate::{
    audit::{AuditLog, Mark},
    cluster::Cluster,
    gateway::{FILES, all_hurried, in_files, key_file, organisation, set_key, with_pods},
    operator::{self, OPERATOR_NAMESPACE},
    pod,
    resource::{self, api, binding, workspace},
    suite::{Test, test},
    wait,
};

const SOON: Duration = Duration::from_secs(30);

/// It is tried again every 30 s whether access was granted.
const RETRIED: Duration = Duration::from_secs(40);

/// Two marks are a second apart when they are sent; on the way that may change a little.
const PACE: Duration = Duration::from_millis(900);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "bursts of changes touch a pod once a second, and the last state arrives",
            bursts,
        )
        .needs_audit_log(),
        test(
            "a pod that was made after the last write is touched for the next one only",
            fresh,
        )
        .needs_audit_log(),
        test("pods that are not the gateway's are never touched", others).needs_audit_log(),
        test(
            "without rights on pods one condition says so, and everything else works",
            denied,
        ),
    ]
}

// === how often ===

async fn bursts(cluster: &Cluster) -> Result<()> {
    const PODS: [&str; 3] = ["edge-0", "edge-1", "edge-2"];
    let namespace = organisation(cluster, with_pods(), true).await?;
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

async fn fresh(cluster: &Cluster) -> Result<()> {
    let namespace = organisation(cluster, with_pods(), true).await?;
    let home = namespace.as_str();
    let audit = cluster.audit_log()?;
    let mark = audit.mark().await?;
    pod::run(cluster, &pod::pod(home, "early", "gateway", &FILES)).await?;
    all_hurried(cluster, home, 1).await?;
    let config_maps =
        kube::Api::<k8s_openapi::api::core::v1::ConfigMap>::namespaced(cluster.client(), home);
    wait::quiet(&config_maps, Duration::from_secs(3)).await?;
    pod::run(cluster, &pod::pod(home, "late", "gateway", &FILES)).await?;
    let file = key_file(cluster, home).await?;
    pod::shell(cluster, home, "late", &in_files(&format!("[ -s {file} ]")))?;
    all_hurried(cluster, home, 2).await?;
    operator::roll(cluster)?;
    all_hurried(cluster, home, 2).await?;
    let touched = marks(&audit, mark, home).await?;
    ensure!(!touched.contains_key("late"), "{touched:?}");

    let mark = audit.mark().await?;
    let mut gone = pod::until(
        cluster,
        home,
        "late",
        &in_files(&format!("[ ! -e {file} ]")),
    )?;
    set_key(cluster, home, "Revoked")?;
    gone.holds(SOON).await?;
    all_hurried(cluster, home, 2).await?;
    let touched = marks(&audit, mark, home).await?;
    assert_eq!(
        touched.keys().map(|name| &**name).collect::<Vec<_>>(),
        ["early", "late"]
    );
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
    let namespace = organisation(cluster, with_pods(), true).await?;
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
    set_key(cluster, home, "Revoked")?;
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
    set_key(cluster, home, "Active")?;
    all_hurried(cluster, home, 1).await?;
    pod::until(
        cluster,
        home,
        "edge",
        &format!("[ -s {}/{file} ]", pod::FILES),
    )?
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
    let namespace = organisation(cluster, with_pods(), false).await?;
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
    set_key(cluster, home, "Revoked")?;
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

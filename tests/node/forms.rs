//! From nothing to an operator at work and back, by each documented way of installing, with the
//! commands of the documents. Must not do anything that the documents do not say, but for making up
//! for a registry that is not there.

use std::{env, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use serde_json::{Value, json};

use crate::{
    audit::Mark,
    checkout::Checkout,
    cluster::Cluster,
    control_plane,
    document::{Block, blocks},
    fresh::fresh,
    lifecycle::{settled, written},
    operator::OPERATOR_NAMESPACE,
    resource::{self, binding, workspace},
    suite::Test,
    wait,
};

pub(crate) const INSTALL: &str = "docs/install.md";
const QUICKSTART: &str = "docs/quickstart.md";

/// The namespace of `examples/quickstart`.
const HOME: &str = "assistant";

/// The name under which the node has the operator's image.
pub(crate) const IMAGE: &str = "docker.io/library/anthropic-rbac:0.1.0";

/// Where somebody would have pushed it.
pub(crate) const REGISTRY: &str = "registry.example.com/platform";

/// How long a new operator may take to lead and to do one thing.
const SOON: Duration = Duration::from_secs(45);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        fresh("install: from nothing to ready and back, by Helm", helm),
        fresh(
            "install: from nothing to ready and back, by kustomize",
            kustomize,
        ),
        fresh(
            "install: from nothing to ready and back, by one file",
            one_file,
        ),
        fresh(
            "install: in one namespace only, by Helm, it asks for nothing elsewhere",
            one_namespace,
        ),
    ]
    .into_iter()
    .map(|test| test.only_if(asked_for()))
    .collect()
}

/// They take minutes.
pub(crate) fn asked_for() -> bool {
    env::var("NODE_INSTALLS").is_ok_and(|value| value == "true")
}

async fn helm(cluster: &Cluster) -> Result<()> {
    there_and_back(cluster, "Helm", "helm ").await
}

async fn kustomize(cluster: &Cluster) -> Result<()> {
    there_and_back(cluster, "Kustomize", "kubectl ").await
}

async fn one_file(cluster: &Cluster) -> Result<()> {
    there_and_back(cluster, "One file", "kubectl ").await
}

/// Follows one section; then the quickstart, whose objects outlive the operator: the next one finds
/// them done. Uninstalls with the program by which commands begin.
async fn there_and_back(cluster: &Cluster, section: &str, program: &str) -> Result<()> {
    let checkout = checkout(cluster)?;
    let install = blocks(INSTALL, section)?;
    checkout.follow(&install)?;
    checkout.follow(&blocks(QUICKSTART, "2. Apply a first workspace")?)?;
    let seen = checkout.follow(&blocks(QUICKSTART, "3. Look at what came out")?)?;
    ensure!(seen.contains("\"subjects\""), "no policy in {seen}");
    restricted(&checkout)?;

    let before = settled(cluster, HOME).await?;
    let mut uninstall = blocks(INSTALL, "Uninstall")?;
    uninstall.retain(|block| block.text.starts_with(program));
    uninstalled(cluster, &checkout, &uninstall).await?;
    assert_eq!(settled(cluster, HOME).await?, before);

    let audit = cluster.audit_log()?;
    let mark = audit.mark().await?;
    checkout.follow(&install)?;
    // Who leads now has planned all before it sees this.
    resource::create(
        cluster,
        &[binding(HOME, "later", "main", "user", &["late"])],
    )
    .await?;
    resource::until_ready(cluster, HOME, &["RoleBinding/later"], SOON).await?;
    let after = settled(cluster, HOME).await?;
    let expected = [
        format!("patch configmaps {HOME}/main.policy -> 200"),
        format!("patch rolebindings/status {HOME}/later -> 200"),
        format!("patch workspaces/status {HOME}/main -> 200"),
    ];
    assert_eq!(written(&audit.since(mark).await?), expected);
    let changed = [
        "RoleBinding assistant/later",
        "ConfigMap assistant/main.policy",
        "Workspace assistant/main",
    ];
    let others = |versions: &resource::Versions| {
        let mut versions = versions.clone();
        versions.retain(|name, _| !changed.contains(&&**name));
        versions
    };
    assert_eq!(others(&after), others(&before));
    Ok(())
}

async fn one_namespace(cluster: &Cluster) -> Result<()> {
    let mut checkout = checkout(cluster)?;
    let only = "--set 'namespaces={assistant}' --set secrets.access=namespaces --set 'secrets.namespaces={assistant}'";
    checkout.fill(
        "helm upgrade --install",
        &format!("helm upgrade --install {only}"),
    );
    checkout.run("kubectl create namespace assistant")?;
    checkout.follow(&blocks(INSTALL, "Helm")?)?;
    checkout.run("kubectl apply -f examples/quickstart\nkubectl create namespace elsewhere")?;
    resource::create(cluster, &[workspace("elsewhere", "unseen", json!({}))]).await?;
    checkout.run(
        "kubectl wait --for=condition=Ready aiws,airb,aikey --all -n assistant --timeout=2m",
    )?;
    let unseen = resource::api(&cluster.client(), "Workspace", "elsewhere")
        .get("unseen")
        .await?;
    ensure!(
        resource::condition(&unseen, "Ready").is_none(),
        "not its business"
    );
    let refused = cluster.audit_log()?.refused(Mark::START).await?;
    ensure!(refused.is_empty(), "{refused}");
    restricted(&checkout)
}

/// Follows the commands, and waits until no pod of the operator is left. The custom resources'
/// definitions stay.
async fn uninstalled(cluster: &Cluster, checkout: &Checkout, uninstall: &[Block]) -> Result<()> {
    ensure!(!uninstall.is_empty(), "the document does not say how");
    checkout.follow(uninstall)?;
    let pods = Api::<Pod>::namespaced(cluster.client(), OPERATOR_NAMESPACE);
    wait::ask("no pod of the operator is left", SOON, async || {
        let left = pods.list(&ListParams::default()).await?.items;
        Ok(left.is_empty().then_some(()))
    })
    .await?;
    let definitions = checkout.run("kubectl get crd -o name")?;
    assert_eq!(definitions.matches(".anthropic-rbac.io").count(), 3);
    Ok(())
}

/// The namespace enforces the restricted level, and what runs in it is within that.
fn restricted(checkout: &Checkout) -> Result<()> {
    let level = "pod-security.kubernetes.io/enforce";
    let namespace = checkout.run(&format!(
        "kubectl get namespace {OPERATOR_NAMESPACE} -o json"
    ))?;
    let namespace: Value = serde_json::from_str(&namespace)?;
    assert_eq!(namespace["metadata"]["labels"][level], "restricted");
    // Pods that are there already are only warned of, and only when the level changes.
    let again = |level: &str| {
        checkout.run(&format!(
            "kubectl label namespace {OPERATOR_NAMESPACE} --overwrite {level} 2>&1"
        ))
    };
    again(&format!("{level}-"))?;
    let said = again(&format!("{level}=restricted"))?;
    ensure!(!said.contains("Warning"), "{said}");
    Ok(())
}

/// A checkout in which the documents' `docker build` and `docker push` have been run, as it were.
pub(crate) fn checkout(cluster: &Cluster) -> Result<Checkout> {
    let mut checkout = Checkout::new(cluster)?;
    let digest = digest()?;
    let image = format!("{REGISTRY}/anthropic-rbac@{digest}");
    let mut node = cluster.control_plane().context("the node is ours")?;
    node.tag(IMAGE, &image)?;
    checkout.fill("REGISTRY", REGISTRY);
    checkout.fill("sha256:...", &digest);
    Ok(checkout)
}

/// The digest of the operator's image.
fn digest() -> Result<String> {
    let index = Command::new("tar")
        .args(["--extract", "--to-stdout", "--file"])
        .arg(control_plane::built()?.join("images/operator.tar"))
        .arg("index.json")
        .output()?;
    let index: Value = serde_json::from_slice(&index.stdout)?;
    let digest = index["manifests"][0]["digest"].as_str();
    Ok(digest.context("an image has a digest")?.to_owned())
}

//! From one revision of the chart to the next while people go on editing: nothing of theirs is
//! rewritten, and no edit is lost. Must not pause the load for the upgrade.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::{
    task::{JoinHandle, block_in_place},
    time::interval,
};

use crate::{
    cluster::Cluster,
    document::blocks,
    forms::{IMAGE, INSTALL, REGISTRY, asked_for, checkout},
    fresh::fresh,
    resource::{self, binding, fake_key, key, secret, workspace},
    suite::Test,
    wait,
};

/// Where nobody edits anything, and where everybody does.
const STILL: &str = "still";
const BUSY: &str = "busy";

/// Workspaces in each, with a binding, a key and a target Secret.
const WORKSPACES: usize = 40;

/// How often somebody edits one.
const EVERY: Duration = Duration::from_millis(20);

const SOON: Duration = Duration::from_secs(60);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        fresh(
            "install: an upgrade of the chart under load rewrites nothing and loses no edit",
            upgrade,
        )
        .only_if(asked_for()),
    ]
}

async fn upgrade(cluster: &Cluster) -> Result<()> {
    let checkout = checkout(cluster)?;
    let install = blocks(INSTALL, "Helm")?;
    // The revision before: another version, image, number of replicas and memory limit.
    let image = format!("{REGISTRY}/anthropic-rbac:0.0.9");
    cluster
        .control_plane()
        .context("the node is ours")?
        .tag(IMAGE, &image)?;
    checkout.run(
        "cp -r deploy/chart previous
sed -i -E 's/^(version|appVersion): .*/\\1: 0.0.9/' previous/Chart.yaml
helm install anthropic-rbac ./previous -n anthropic-rbac-system --create-namespace \\
  --set image.repository=REGISTRY/anthropic-rbac --set replicas=1 --set resources.limits.memory=300Mi
kubectl rollout status deployment/anthropic-rbac -n anthropic-rbac-system",
    )?;
    populate(cluster).await?;
    checkout.run(&format!(
        "for n in {STILL} {BUSY}; do kubectl create rolebinding anthropic-rbac-secrets -n $n \\
  --clusterrole=anthropic-rbac-secrets --serviceaccount=anthropic-rbac-system:anthropic-rbac; done
for n in {STILL} {BUSY}; do kubectl wait --for=condition=Ready aiws,airb,aikey --all -n $n --timeout=2m; done"
    ))?;

    let before = resource::versions(cluster, STILL).await?;
    let audit = cluster.audit_log()?;
    let mark = audit.mark().await?;
    let load = Load::begin(cluster);
    let edits = load.go_on(100).await?;
    let began = Instant::now();
    block_in_place(|| checkout.follow(&install))?;
    let took = began.elapsed();
    let during = load.go_on(0).await? - edits;
    load.go_on(100).await?;
    let last = load.end().await?;
    for (name, value) in &last {
        let given = |policy: &Value| policy["workspace"]["defaultMaxTokens"] == *value;
        resource::until_policy(cluster, BUSY, name, SOON, given)
            .await
            .with_context(|| format!("the last edit of {name} is {value}"))?;
    }
    eprintln!(
        "    upgraded in {:.1} s, during {during} edits",
        took.as_secs_f64()
    );
    assert_eq!(resource::versions(cluster, STILL).await?, before);
    let requests = audit.since(mark).await?.writes();
    let rewritten = requests
        .0
        .iter()
        .filter(|request| request.namespace == STILL);
    ensure!(rewritten.count() == 0, "{requests}");
    // In the other one only what the edits were about.
    ensure!(
        requests
            .0
            .iter()
            .all(|request| request.resource != "secrets"),
        "{requests}"
    );
    Ok(())
}

/// The same in both namespaces.
async fn populate(cluster: &Cluster) -> Result<()> {
    for home in [STILL, BUSY] {
        cluster.kubectl_ok(&["create", "namespace", home])?;
        for number in 0..WORKSPACES {
            let name = name(number);
            let objects = [
                secret(home, &name, &fake_key(&format!("{home}-{name}"))),
                workspace(home, &name, json!({"defaultMaxTokens": 1})),
                binding(home, &name, &name, "user", &[&name]),
                key(home, &name, &name, &name, &format!("{name}-target")),
            ];
            resource::create(cluster, &objects).await?;
        }
    }
    Ok(())
}

fn name(number: usize) -> String {
    format!("w{number:02}")
}

/// People who edit one Workspace after the other, until they are told to stop.
struct Load {
    edits: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<BTreeMap<String, usize>>>,
}

// === impl Load ===

impl Load {
    fn begin(cluster: &Cluster) -> Self {
        let (edits, stop) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let workspaces = resource::api(&cluster.client(), "Workspace", BUSY);
        let (counted, stopped) = (Arc::clone(&edits), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let mut last = BTreeMap::new();
            let mut pace = interval(EVERY);
            while !stopped.load(Ordering::Relaxed) {
                pace.tick().await;
                let edit = counted.load(Ordering::Relaxed) + 2;
                let name = name(edit % WORKSPACES);
                let change = json!({"spec": {"defaultMaxTokens": edit}});
                resource::merge(&workspaces, &name, change).await?;
                last.insert(name, edit);
                counted.fetch_add(1, Ordering::Relaxed);
            }
            Ok(last)
        });
        Self { edits, stop, task }
    }

    /// Returns after that many further edits; how many there were up to now.
    async fn go_on(&self, further: usize) -> Result<usize> {
        let wanted = self.edits.load(Ordering::Relaxed) + further;
        wait::poll("edits go on", SOON, || {
            let edits = self.edits.load(Ordering::Relaxed);
            ensure!(!self.task.is_finished(), "an edit was refused");
            Ok((edits >= wanted).then_some(edits))
        })
        .await
    }

    /// The last edit of each Workspace.
    async fn end(self) -> Result<BTreeMap<String, usize>> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}

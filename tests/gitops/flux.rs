//! Flux: its source-controller and kustomize-controller, under multi-tenancy lockdown and with the rights
//! of `controllers/flux.yaml`. Must not know what they apply.

use std::{
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    operator, program,
    program::{Running, free_port},
    repository::Repository,
    stage::{self, NAMESPACES},
    wait,
};

/// How long objects may take to become ready, as Kustomizations have it here: the least that Flux heeds.
const PATIENCE: &str = "30s";
/// The same, and what Flux needs besides.
const JUDGED: Duration = Duration::from_secs(90);

/// What Flux says of a Kustomization.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Verdict {
    pub(crate) ready: bool,
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// Both controllers, at work.
pub(crate) struct Flux<'a> {
    cluster: &'a Cluster,
    running: [Running; 2],
}

// === impl Flux ===

impl<'a> Flux<'a> {
    /// Installs and starts them.
    pub(crate) async fn start(cluster: &'a Cluster) -> Result<Self> {
        for folder in ["source-controller", "kustomize-controller"] {
            let definitions = program::built()?.join("definitions").join(folder);
            program::define(cluster, &definitions).await?;
        }
        let rights = "--filename=tests/gitops/controllers/flux.yaml";
        cluster.kubectl_ok(&["apply", "--server-side", rights])?;
        let storage = format!("127.0.0.1:{}", free_port()?);
        let mut source = controller(cluster, "source-controller")?;
        source
            .arg(format!(
                "--storage-path={}",
                cluster.dir().join("flux").display()
            ))
            .arg(format!("--storage-addr={storage}"))
            .arg(format!("--storage-adv-addr={storage}"));
        std::fs::create_dir_all(cluster.dir().join("flux"))?;
        let mut kustomize = controller(cluster, "kustomize-controller")?;
        kustomize.args([
            "--no-cross-namespace-refs=true",
            "--no-remote-bases=true",
            "--default-service-account=default",
            "--requeue-dependency=2s",
            // Which would take the right to list every Secret's metadata.
            "--feature-gates=DisableConfigWatchers=true",
        ]);
        let log = |name: &str| cluster.dir().join(format!("{name}.log"));
        let running = [
            Running::start(&source, log("source-controller"))?,
            Running::start(&kustomize, log("kustomize-controller"))?,
        ];
        Ok(Self { cluster, running })
    }

    /// Applies `deploy/gitops/flux`, reading from this repository.
    pub(crate) fn follow(&self, repository: &Repository) -> Result<()> {
        let shipped = self
            .cluster
            .kubectl_ok(&["kustomize", "deploy/gitops/flux"])?;
        let here = shipped
            .replace(
                "https://git.example.com/platform/access.git",
                &repository.url(),
            )
            .replace("timeout: 2m", &format!("timeout: {PATIENCE}"));
        ensure!(here.contains(PATIENCE), "the timeout is there");
        self.cluster
            .kubectl_stdin(&["apply", "--server-side", "--filename=-"], &here)?;
        Ok(())
    }

    /// The Kustomizations of a namespace.
    pub(crate) fn kustomizations(&self, namespace: &str) -> Api<DynamicObject> {
        let kind = ("kustomize.toolkit.fluxcd.io", "v1", "Kustomization");
        stage::api(self.cluster, kind, "kustomizations", namespace)
    }

    fn repositories(&self, namespace: &str) -> Api<DynamicObject> {
        let kind = ("source.toolkit.fluxcd.io", "v1", "GitRepository");
        stage::api(self.cluster, kind, "gitrepositories", namespace)
    }

    /// Has a namespace's Kustomization applied at this commit; what Flux says then.
    pub(crate) async fn sync(&mut self, namespace: &str, commit: &str) -> Result<Verdict> {
        request(&self.repositories(namespace)).await?;
        self.judged(namespace, |object| {
            let attempted = object["status"]["lastAttemptedRevision"].as_str();
            attempted.is_some_and(|revision| revision.ends_with(commit))
        })
        .await
    }

    /// Has it applied once more; what Flux says then.
    pub(crate) async fn sync_again(&mut self, namespace: &str) -> Result<Verdict> {
        let token = request(&self.kustomizations(namespace)).await?;
        self.judged(namespace, |object| {
            object["status"]["lastHandledReconcileAt"] == token.as_str()
        })
        .await
    }

    /// Waits for a verdict on what is as wanted.
    pub(crate) async fn judged(
        &mut self,
        namespace: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Verdict> {
        let api = self.kustomizations(namespace);
        let judged = wait::until(&api, "access", JUDGED, |object| {
            let verdict = verdict(object)?;
            wanted(&object.data).then_some(verdict)
        })
        .await;
        for running in &mut self.running {
            running.runs()?;
        }
        judged.with_context(|| format!("Kustomization {namespace}/access"))
    }

    /// Waits until Flux says this.
    pub(crate) async fn until(
        &mut self,
        namespace: &str,
        ready: bool,
        reason: &str,
    ) -> Result<String> {
        let api = self.kustomizations(namespace);
        let said = wait::until(&api, "access", JUDGED, |object| {
            let verdict = verdict(object)?;
            (verdict.ready == ready && verdict.reason == reason).then_some(verdict.message)
        })
        .await;
        for running in &mut self.running {
            running.runs()?;
        }
        said.with_context(|| format!("Kustomization {namespace}/access should be {ready} {reason}"))
    }

    /// Fails if a right was missing, but for what a test had refused.
    pub(crate) fn was_refused_nothing(&self) -> Result<()> {
        for running in &self.running {
            let log = running.logged()?;
            let refused = log.lines().find(|line| {
                line.contains("is forbidden: User") || line.contains("cannot list resource")
            });
            ensure!(refused.is_none(), "{}", refused.unwrap_or_default());
        }
        Ok(())
    }

    /// Ends what it follows, without waiting for what that prunes.
    pub(crate) async fn leave(self) -> Result<()> {
        drop(self.running);
        let kind = ("kustomize.toolkit.fluxcd.io", "v1", "Kustomization");
        for namespace in NAMESPACES {
            let api = stage::api(self.cluster, kind, "kustomizations", namespace);
            release(&api).await?;
            let kind = ("source.toolkit.fluxcd.io", "v1", "GitRepository");
            release(&stage::api(
                self.cluster,
                kind,
                "gitrepositories",
                namespace,
            ))
            .await?;
        }
        Ok(())
    }
}

/// Takes finalizers off, so that a namespace can end without the controller.
pub(crate) async fn release(api: &Api<DynamicObject>) -> Result<()> {
    let free = json!({"metadata": {"finalizers": null}});
    for object in api.list(&ListParams::default()).await?.items {
        let name = object.name_any();
        api.patch(&name, &PatchParams::default(), &Patch::Merge(&free))
            .await?;
    }
    Ok(())
}

/// What Flux says now of what it has looked at last; nothing while it is at it.
fn verdict(object: &DynamicObject) -> Option<Verdict> {
    let ready = condition(&object.data, "Ready")?;
    let current = ready["observedGeneration"].as_i64() == object.metadata.generation;
    let status = ready["status"].as_str()?;
    (current && status != "Unknown").then(|| Verdict {
        ready: status == "True",
        reason: ready["reason"].as_str().unwrap_or_default().to_owned(),
        message: ready["message"].as_str().unwrap_or_default().to_owned(),
    })
}

/// A condition of a Kustomization.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let mut conditions = object["status"]["conditions"].as_array()?.iter();
    conditions.find(|condition| condition["type"] == kind)
}

/// Asks for an object to be looked at now; how that is told apart.
async fn request(api: &Api<DynamicObject>) -> Result<String> {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let token = format!("{}", ASKED.fetch_add(1, Ordering::Relaxed));
    let asked = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": token}}});
    api.patch("access", &PatchParams::default(), &Patch::Merge(&asked))
        .await?;
    Ok(token)
}

fn controller(cluster: &Cluster, name: &str) -> Result<Command> {
    let mut command = program::command(&format!("{name}/{name}"))?;
    command
        .args([
            "--watch-all-namespaces",
            "--metrics-addr=0",
            "--log-encoding=console",
        ])
        .arg(format!("--health-addr=127.0.0.1:{}", free_port()?))
        .env("RUNTIME_NAMESPACE", "flux-system")
        .env(
            "KUBECONFIG",
            operator::kubeconfig_of(cluster, "flux-system", name)?,
        );
    Ok(command)
}

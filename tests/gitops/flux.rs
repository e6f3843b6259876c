//! Flux: its source-controller and kustomize-controller, under multi-tenancy lockdown and with the rights
//! of `controllers/flux.yaml`. Must not know what they apply.

use std::{
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context, Result, ensure};
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    operator, program,
    program::{Running, free_port},
    repository::Repository,
    stage::{self, NAMESPACES},
    tool::{Health, Told, Tool},
};

/// How long objects may take to become ready, as Kustomizations have it here: the least that Flux heeds.
const PATIENCE: &str = "30s";

/// Both controllers, at work.
pub(crate) struct Flux {
    client: Client,
    running: [Running; 2],
}

impl Tool for Flux {
    const NAME: &'static str = "Flux";
    const MANAGER: &'static str = "kustomize-controller";
    // It was not even tried.
    const DEPENDENT: &'static str = "False DependencyNotReady";

    async fn start(cluster: &Cluster, repository: &Repository) -> Result<Self> {
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
        let patience = format!("timeout: {PATIENCE}");
        let shipped =
            stage::shipped(cluster, "flux", repository)?.replace("timeout: 2m", &patience);
        ensure!(shipped.contains(&patience), "the timeout is there");
        cluster.kubectl_stdin(&["apply", "--server-side", "--filename=-"], &shipped)?;
        Ok(Self {
            client: cluster.client(),
            running,
        })
    }

    fn running(&mut self) -> &mut [Running] {
        &mut self.running
    }

    fn keeper<'n>(&self, namespace: &'n str) -> (Api<DynamicObject>, &'n str) {
        (kustomizations(&self.client, namespace), "access")
    }

    fn said(keeper: &DynamicObject) -> Option<String> {
        let ready = verdict(keeper)?;
        Some(format!(
            "{} {}",
            text(ready, "status"),
            text(ready, "reason")
        ))
    }

    fn says(health: Health) -> &'static str {
        match health {
            Health::Healthy | Health::Suspended => "True ReconciliationSucceeded",
            Health::Progressing | Health::Degraded => "False HealthCheckFailed",
        }
    }

    fn is_healthy(said: &str) -> bool {
        said.starts_with("True")
    }

    async fn sync(&mut self, namespace: &str, commit: &str, health: Health) -> Result<()> {
        agrees(&self.tried(namespace, commit).await?, health)
    }

    async fn refused(&mut self, namespace: &str, commit: &str) -> Result<String> {
        let tried = self.tried(namespace, commit).await?;
        let ready = verdict(&tried).context("it was tried")?;
        ensure!(ready["status"] == "False", "{ready}");
        Ok(text(ready, "message").to_owned())
    }

    async fn sync_again(&mut self, namespace: &str) -> Result<()> {
        let token = request(&kustomizations(&self.client, namespace)).await?;
        let handled = |keeper: &DynamicObject| {
            verdict(keeper).is_some()
                && keeper.data["status"]["lastHandledReconcileAt"] == token.as_str()
        };
        agrees(&self.watch(namespace, handled).await?, Health::Healthy)
    }

    async fn until(&mut self, namespace: &str, health: Health, objects: &[Told<'_>]) -> Result<()> {
        let words = Self::says(health);
        if words == Self::says(Health::Healthy) {
            // Of single objects it says no more. Unless asked it looks again in minutes.
            return self.sync_again(namespace).await;
        }
        let keeper = self.until_said(namespace, words).await?;
        let message = verdict(&keeper).map_or("", |ready| text(ready, "message"));
        let waits = |(kind, name, _): &Told<'_>| {
            message.contains(&format!("{kind}/{namespace}/{name} status: 'InProgress'"))
        };
        ensure!(
            message.contains("timeout waiting for: [")
                && message.matches(" status: ").count() == objects.len()
                && objects.iter().all(waits),
            "{message}"
        );
        Ok(())
    }

    async fn leave(self, _cluster: &Cluster) -> Result<()> {
        let Self { client, running } = self;
        drop(running);
        // Without waiting for what its end would prune.
        for namespace in NAMESPACES {
            release(&kustomizations(&client, namespace)).await?;
            release(&repositories(&client, namespace)).await?;
        }
        Ok(())
    }
}

// === impl Flux ===

impl Flux {
    /// Has a namespace's Kustomization tried at this commit; the Kustomization then.
    async fn tried(&mut self, namespace: &str, commit: &str) -> Result<DynamicObject> {
        request(&repositories(&self.client, namespace)).await?;
        self.watch(namespace, |keeper| {
            let attempted = keeper.data["status"]["lastAttemptedRevision"].as_str();
            verdict(keeper).is_some()
                && attempted.is_some_and(|revision| revision.ends_with(commit))
        })
        .await
    }
}

fn kustomizations(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = ("kustomize.toolkit.fluxcd.io", "v1", "Kustomization");
    stage::api(client, kind, "kustomizations", namespace)
}

fn repositories(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = ("source.toolkit.fluxcd.io", "v1", "GitRepository");
    stage::api(client, kind, "gitrepositories", namespace)
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

/// The condition Ready, when it is about what Flux has looked at last, and not of its being at it.
fn verdict(keeper: &DynamicObject) -> Option<&Value> {
    let mut conditions = keeper.data["status"]["conditions"].as_array()?.iter();
    conditions
        .find(|condition| condition["type"] == "Ready")
        .filter(|ready| {
            ready["observedGeneration"].as_i64() == keeper.metadata.generation
                && ready["status"] != "Unknown"
        })
}

/// Checks what it says of a namespace.
fn agrees(keeper: &DynamicObject, health: Health) -> Result<()> {
    ensure!(
        Flux::said(keeper).as_deref() == Some(Flux::says(health)),
        "it should say {:?}, and says {:#}",
        Flux::says(health),
        keeper.data["status"]
    );
    Ok(())
}

fn text<'v>(condition: &'v Value, field: &str) -> &'v str {
    condition[field].as_str().unwrap_or_default()
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

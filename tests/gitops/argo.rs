//! Argo CD: its application-controller and repo-server, with the settings of `deploy/gitops/argocd` and the
//! rights of `controllers/argocd.yaml`. Must not know what they apply.

use std::{env, fs, path::Path, process::Command};

use anyhow::{Context, Result};
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    flux::release,
    operator, program,
    program::{Running, free_port},
    repository::Repository,
    stage,
    tool::{Health, Told, Tool},
};

/// Settings as Argo CD's installation has them, with ours.
pub(crate) const SETTINGS: &str = "tests/gitops/controllers/settings";

/// The controller, the repo-server and their Redis, at work. An Application is named as its namespace is.
pub(crate) struct Argo {
    client: Client,
    running: Vec<Running>,
}

impl Tool for Argo {
    const NAME: &'static str = "Argo CD";
    const MANAGER: &'static str = "argocd-controller";
    // Each Application is for itself.
    const DEPENDENT: &'static str = "Synced Progressing";

    async fn start(cluster: &Cluster, repository: &Repository) -> Result<Self> {
        Self::start_at(cluster, repository, None).await
    }

    fn running(&mut self) -> &mut [Running] {
        &mut self.running
    }

    fn keeper<'n>(&self, namespace: &'n str) -> (Api<DynamicObject>, &'n str) {
        (self.applications(), namespace)
    }

    /// Whether it sees no difference, and health.
    fn said(keeper: &DynamicObject) -> Option<String> {
        let status = &keeper.data["status"];
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        Some(format!(
            "{} {}",
            text(&status["sync"]["status"]),
            text(&status["health"]["status"])
        ))
    }

    fn says(health: Health) -> &'static str {
        match health {
            Health::Healthy => "Synced Healthy",
            Health::Progressing => "Synced Progressing",
            Health::Degraded => "Synced Degraded",
            Health::Suspended => "Synced Suspended",
        }
    }

    async fn sync(&mut self, namespace: &str, commit: &str, health: Health) -> Result<()> {
        self.tried(namespace, commit).await?;
        self.until_said(namespace, Self::says(health)).await?;
        Ok(())
    }

    /// What is said of the whole, and of each object.
    async fn refused(&mut self, namespace: &str, commit: &str) -> Result<String> {
        let tried = self.tried(namespace, commit).await?;
        let state = &tried.data["status"]["operationState"];
        let resources = state["syncResult"]["resources"].as_array();
        let of_objects = resources.into_iter().flatten();
        let mut said = vec![&state["message"]];
        said.extend(of_objects.map(|resource| &resource["message"]));
        let said: Vec<&str> = said.into_iter().filter_map(Value::as_str).collect();
        Ok(said.join("\n"))
    }

    async fn sync_again(&mut self, namespace: &str) -> Result<()> {
        self.refresh(namespace).await?;
        let before = self.applications().get(namespace).await?;
        let finished = before.data["status"]["operationState"]["finishedAt"].clone();
        let asked = json!({"operation": {
            "initiatedBy": {"username": "somebody"},
            "sync": {"syncOptions": ["ServerSideApply=true"], "prune": true},
        }});
        self.patch(namespace, &asked).await?;
        self.watch(namespace, |keeper| {
            let state = &keeper.data["status"]["operationState"];
            keeper.data.get("operation").is_none()
                && state["phase"] == "Succeeded"
                && state["operation"]["initiatedBy"]["username"] == "somebody"
                && (state["finishedAt"] != finished || state["startedAt"] == finished)
        })
        .await?;
        Ok(())
    }

    async fn until(&mut self, namespace: &str, health: Health, objects: &[Told<'_>]) -> Result<()> {
        let words = Self::says(health);
        let so = |keeper: &DynamicObject| {
            let told = |object: &Told<'_>| is_told(keeper, health, object);
            Self::said(keeper).as_deref() == Some(words) && objects.iter().all(told)
        };
        let wanted = || format!("it should say {words:?}, and {objects:?}");
        self.watch(namespace, so).await.with_context(wanted)?;
        // And after another look, too.
        self.refresh(namespace).await?;
        self.watch(namespace, so).await.with_context(wanted)?;
        Ok(())
    }

    async fn allow_empty(&mut self, namespace: &str) -> Result<()> {
        let allowed = json!({"spec": {"syncPolicy": {"automated": {"allowEmpty": true}}}});
        self.patch(namespace, &allowed).await
    }

    async fn leave(self, cluster: &Cluster) -> Result<()> {
        release(&self.applications()).await?;
        let kinds = "applications.argoproj.io,appprojects.argoproj.io";
        cluster.kubectl_ok(&["delete", kinds, "--all", "--namespace=argocd"])?;
        Ok(())
    }
}

// === impl Argo ===

impl Argo {
    /// The same as [`Tool::start`]; if a folder is given, it reads what is below that.
    pub(crate) async fn start_at(
        cluster: &Cluster,
        repository: &Repository,
        folder: Option<&str>,
    ) -> Result<Self> {
        program::define(cluster, &program::built()?.join("definitions/argocd")).await?;
        let rights = "--filename=tests/gitops/controllers/argocd.yaml";
        cluster.kubectl_ok(&["apply", "--server-side", rights])?;
        let settings = format!("--kustomize={SETTINGS}");
        cluster.kubectl_ok(&["apply", "--server-side", &settings])?;

        let home = cluster.dir().join("argocd");
        for folder in ["tls", "ssh", "gpg", "tmp", "helm", "plugins"] {
            fs::create_dir_all(home.join(folder))?;
        }
        fs::write(home.join("ssh/ssh_known_hosts"), "")?;
        let redis = format!("127.0.0.1:{}", free_port()?);
        let repositories = free_port()?;
        let mut keeps = program::command("redis/redis-server")?;
        let (_, port) = redis.rsplit_once(':').context("an address has a port")?;
        keeps
            .args([
                "--bind",
                "127.0.0.1",
                "--port",
                port,
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .arg("--dir")
            .arg(&home);
        let mut reads = component(cluster, &home, "argocd-repo-server")?;
        reads
            .args([
                "--address=127.0.0.1",
                "--metrics-address=127.0.0.1",
                "--disable-tls",
            ])
            .arg(format!("--port={repositories}"))
            .arg(format!("--metrics-port={}", free_port()?))
            .arg(format!("--redis={redis}"));
        let mut applies = component(cluster, &home, "argocd-application-controller")?;
        applies
            .args([
                "--namespace=argocd",
                "--repo-server-plaintext",
                "--app-resync=3600",
            ])
            .arg(format!("--repo-server=127.0.0.1:{repositories}"))
            .arg(format!("--redis={redis}"))
            .arg(format!("--metrics-port={}", free_port()?));
        let running = [
            ("redis", keeps),
            ("repo-server", reads),
            ("application-controller", applies),
        ]
        .iter()
        .map(|(name, command)| Running::start(command, home.join(format!("{name}.log"))))
        .collect::<Result<_>>()?;

        let mut shipped = stage::shipped(cluster, "argocd/applications", repository)?;
        if let Some(folder) = folder {
            for (team, path) in [
                ("claude", "platform/production"),
                ("search", "search/production"),
            ] {
                let below = format!("path: {folder}/{team}");
                shipped = shipped.replace(&format!("path: {path}"), &below);
            }
        }
        cluster.kubectl_stdin(&["apply", "--server-side", "--filename=-"], &shipped)?;
        Ok(Self {
            client: cluster.client(),
            running,
        })
    }

    fn applications(&self) -> Api<DynamicObject> {
        let kind = ("argoproj.io", "v1alpha1", "Application");
        stage::api(&self.client, kind, "applications", "argocd")
    }

    /// Has an Application look at its repository and the cluster, and waits until it has.
    async fn refresh(&mut self, name: &str) -> Result<()> {
        let annotation = "argocd.argoproj.io/refresh";
        let asked = json!({"metadata": {"annotations": {annotation: "hard"}}});
        self.patch(name, &asked).await?;
        self.watch(name, |keeper| {
            !keeper.annotations().contains_key(annotation)
        })
        .await?;
        Ok(())
    }

    async fn patch(&self, name: &str, change: &Value) -> Result<()> {
        self.applications()
            .patch(name, &PatchParams::default(), &Patch::Merge(change))
            .await?;
        Ok(())
    }

    /// Waits until a commit is applied or refused; the Application then.
    async fn tried(&mut self, name: &str, commit: &str) -> Result<DynamicObject> {
        self.refresh(name).await?;
        self.watch(name, |keeper| {
            let sync = &keeper.data["status"]["sync"];
            sync["revision"] == commit && (sync["status"] == "Synced" || is_over(keeper, commit))
        })
        .await
    }
}

/// Whether applying this commit has ended, well or not.
fn is_over(keeper: &DynamicObject, commit: &str) -> bool {
    let state = &keeper.data["status"]["operationState"];
    let mut ended = ["Succeeded", "Failed", "Error"].iter();
    state["syncResult"]["revision"] == commit && ended.any(|phase| state["phase"] == *phase)
}

/// Whether Argo CD says this of one object, and that it is like this.
fn is_told(keeper: &DynamicObject, health: Health, (kind, name, message): &Told<'_>) -> bool {
    let resources = keeper.data["status"]["resources"].as_array();
    resources.into_iter().flatten().any(|resource| {
        let said = &resource["health"];
        resource["kind"] == *kind
            && resource["name"] == *name
            && said["status"] == format!("{health:?}")
            && said["message"] == *message
    })
}

fn component(cluster: &Cluster, home: &Path, name: &str) -> Result<Command> {
    let mut command = program::command("argocd/argocd")?;
    // It calls kustomize and git.
    let mut path = program::built()?.join("kustomize").into_os_string();
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    command
        .arg("--logformat=text")
        .env("PATH", path)
        .env("ARGOCD_BINARY_NAME", name)
        .env(
            "KUBECONFIG",
            operator::kubeconfig_of(cluster, "argocd", name)?,
        )
        // The cluster of the kubeconfig is the one it runs in.
        .env("ARGOCD_FAKE_IN_CLUSTER", "true")
        .env("ARGOCD_CONTROLLER_SHARD", "0")
        // What is said of single objects, to be read without its server.
        .env(
            "ARGOCD_APPLICATION_CONTROLLER_PERSIST_RESOURCE_HEALTH",
            "true",
        )
        .env("ARGOCD_GPG_ENABLED", "false")
        .env("ARGOCD_TLS_DATA_PATH", home.join("tls"))
        .env("ARGOCD_SSH_DATA_PATH", home.join("ssh"))
        .env("ARGOCD_GPG_DATA_PATH", home.join("gpg"))
        .env("ARGOCD_GNUPGHOME", home.join("gpg"))
        .env("ARGOCD_PLUGINSOCKFILEPATH", home.join("plugins"))
        .env("HELM_CACHE_HOME", home.join("helm"))
        .env("TMPDIR", home.join("tmp"));
    Ok(command)
}

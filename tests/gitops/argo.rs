//! Argo CD: its application-controller and repo-server, with the settings of `deploy/gitops/argocd` and the
//! rights of `controllers/argocd.yaml`. Must not know what they apply.

use std::{env, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    flux::release,
    operator, program,
    program::{Running, free_port},
    repository::Repository,
    stage, wait,
};

/// How long Argo CD may take for one look at a repository and a cluster.
const LOOKED: Duration = Duration::from_secs(90);

/// Settings as Argo CD's installation has them, with ours.
pub(crate) const SETTINGS: &str = "tests/gitops/controllers/settings";

/// The controller, the repo-server and their Redis, at work.
pub(crate) struct Argo<'a> {
    cluster: &'a Cluster,
    running: Vec<Running>,
}

// === impl Argo ===

impl<'a> Argo<'a> {
    /// Installs and starts them.
    pub(crate) async fn start(cluster: &'a Cluster) -> Result<Self> {
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
        Ok(Self { cluster, running })
    }

    /// Applies `deploy/gitops/argocd/applications`, reading from this repository; if a folder is given,
    /// what is below it.
    pub(crate) fn follow(&self, repository: &Repository, folder: Option<&str>) -> Result<()> {
        let applications = "deploy/gitops/argocd/applications";
        let shipped = self.cluster.kubectl_ok(&["kustomize", applications])?;
        let mut here = shipped.replace(
            "https://git.example.com/platform/access.git",
            &repository.url(),
        );
        if let Some(folder) = folder {
            for (team, path) in [
                ("claude", "platform/production"),
                ("search", "search/production"),
            ] {
                here = here.replace(&format!("path: {path}"), &format!("path: {folder}/{team}"));
            }
        }
        self.cluster
            .kubectl_stdin(&["apply", "--server-side", "--filename=-"], &here)?;
        Ok(())
    }

    /// The Applications.
    pub(crate) fn applications(&self) -> Api<DynamicObject> {
        let kind = ("argoproj.io", "v1alpha1", "Application");
        stage::api(self.cluster, kind, "applications", "argocd")
    }

    /// Has an Application look at its repository and the cluster, and waits until it has.
    pub(crate) async fn refresh(&mut self, name: &str) -> Result<()> {
        let annotation = "argocd.argoproj.io/refresh";
        let asked = json!({"metadata": {"annotations": {annotation: "hard"}}});
        self.patch(name, &asked).await?;
        self.until(name, |object| {
            object["metadata"]["annotations"].get(annotation).is_none()
        })
        .await?;
        Ok(())
    }

    /// Has everything of an Application applied once more, whether it differs or not.
    pub(crate) async fn sync_again(&mut self, name: &str) -> Result<()> {
        let before = self.applications().get(name).await?;
        let finished = before.data["status"]["operationState"]["finishedAt"].clone();
        let asked = json!({"operation": {
            "initiatedBy": {"username": "somebody"},
            "sync": {"syncOptions": ["ServerSideApply=true"], "prune": true},
        }});
        self.patch(name, &asked).await?;
        self.until(name, |object| {
            let state = &object["status"]["operationState"];
            object.get("operation").is_none()
                && state["phase"] == "Succeeded"
                && state["operation"]["initiatedBy"]["username"] == "somebody"
                && (state["finishedAt"] != finished || state["startedAt"] == finished)
        })
        .await?;
        Ok(())
    }

    /// Lets an Application prune even the last of its objects.
    pub(crate) async fn allow_empty(&self, name: &str) -> Result<()> {
        let allowed = json!({"spec": {"syncPolicy": {"automated": {"allowEmpty": true}}}});
        self.patch(name, &allowed).await
    }

    async fn patch(&self, name: &str, change: &Value) -> Result<()> {
        self.applications()
            .patch(name, &PatchParams::default(), &Patch::Merge(change))
            .await?;
        Ok(())
    }

    /// Waits until an Application is as wanted; the Application.
    pub(crate) async fn until(
        &mut self,
        name: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let found = wait::until(&self.applications(), name, LOOKED, |object| {
            let whole = serde_json::to_value(object).ok()?;
            wanted(&whole).then_some(whole)
        })
        .await;
        for running in &mut self.running {
            running.runs()?;
        }
        found.with_context(|| format!("Application {name}"))
    }

    /// Waits until a commit is applied; what was said of it.
    pub(crate) async fn applied(&mut self, name: &str, commit: &str) -> Result<Value> {
        self.refresh(name).await?;
        self.until(name, |object| {
            let status = &object["status"];
            status["sync"]["revision"] == commit
                && (status["sync"]["status"] == "Synced" || is_over(object, commit))
        })
        .await
    }

    /// Fails if a right was missing.
    pub(crate) fn was_refused_nothing(&self) -> Result<()> {
        for running in &self.running {
            let log = running.logged()?;
            let refused = log.lines().find(|line| line.contains("is forbidden: User"));
            ensure!(refused.is_none(), "{}", refused.unwrap_or_default());
        }
        Ok(())
    }

    /// Ends, and leaves what it applied.
    pub(crate) async fn leave(self) -> Result<()> {
        release(&self.applications()).await?;
        let all = [
            "delete",
            "applications.argoproj.io,appprojects.argoproj.io",
            "--all",
        ];
        self.cluster
            .kubectl_ok(&[&all[..], &["--namespace=argocd"]].concat())?;
        Ok(())
    }
}

/// Whether applying this commit has ended, well or not.
fn is_over(object: &Value, commit: &str) -> bool {
    let state = &object["status"]["operationState"];
    let mut ended = ["Succeeded", "Failed", "Error"].iter();
    state["syncResult"]["revision"] == commit && ended.any(|phase| state["phase"] == *phase)
}

/// Whether Argo CD sees no difference, and its health.
pub(crate) fn judged(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let status = &object["status"];
    format!(
        "{} {}",
        text(&status["sync"]["status"]),
        text(&status["health"]["status"])
    )
}

/// What Argo CD says of one object: health and message.
pub(crate) fn health(application: &Value, kind: &str, name: &str) -> (String, String) {
    let mut resources = application["status"]["resources"]
        .as_array()
        .into_iter()
        .flatten();
    let found = resources.find(|resource| resource["kind"] == kind && resource["name"] == name);
    let text = |field: &str| {
        let value = found.and_then(|found| found["health"][field].as_str());
        value.unwrap_or_default().to_owned()
    };
    (text("status"), text("message"))
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

//! A cluster as its administrator sees it: client, kubectl, namespaces for tests.
//! Must not be used to act as the operator; that has its own identity, see `operator`.

use std::{
    collections::BTreeMap,
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio, id},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Where the operator is installed.
pub(crate) use anthropic_rbac::api::metadata::OPERATOR_NAMESPACE;
use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Config,
    api::{DeleteParams, DynamicObject, ListParams, ObjectMeta, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::{ApiResource, GroupVersionKind},
};

use crate::{
    audit::AuditLog,
    control_plane::{ControlPlane, assets},
    install,
    suite::existing_cluster,
    wait,
};

/// Who the API server says the operator is.
pub(crate) const OPERATOR_USER: &str = "system:serviceaccount:anthropic-rbac-system:anthropic-rbac";

/// On every namespace made here, so that leftovers on an existing cluster can be found.
pub(crate) const TEST_LABEL: &str = "anthropic-rbac.io/test";

/// Kind and plural of the custom resources.
pub(crate) const KINDS: [(&str, &str); 3] = [
    ("Workspace", "workspaces"),
    ("RoleBinding", "rolebindings"),
    ("ApiKeyRef", "apikeyrefs"),
];

/// A cluster with the custom resources and the operator's RBAC installed, without a
/// running operator.
pub(crate) struct Cluster {
    client: Client,
    kubeconfig: PathBuf,
    kubectl: PathBuf,
    dir: PathBuf,
    control_plane: Option<Mutex<ControlPlane>>,
    namespaces: Mutex<Vec<String>>,
    namespaced: AtomicBool,
}

// === impl Cluster ===

impl Cluster {
    /// Starts a control plane, or takes the existing cluster if that was asked for.
    pub(crate) async fn start() -> Result<Self> {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cluster-{}", id()));
        fs::create_dir_all(&dir)?;
        let (control_plane, kubeconfig, kubectl) = if existing_cluster() {
            let kubeconfig = env::var_os("TEST_KUBECONFIG")
                .or_else(|| env::var_os("KUBECONFIG"))
                .context("USE_EXISTING_CLUSTER=true needs TEST_KUBECONFIG or KUBECONFIG")?;
            (None, PathBuf::from(kubeconfig), PathBuf::from("kubectl"))
        } else {
            let kubectl = assets()?.join("kubectl");
            let control_plane = ControlPlane::start(&dir)?;
            let kubeconfig = control_plane.kubeconfig().to_owned();
            (Some(Mutex::new(control_plane)), kubeconfig, kubectl)
        };
        let cluster = Self {
            client: client(&kubeconfig).await?,
            kubeconfig,
            kubectl,
            dir,
            control_plane,
            namespaces: Mutex::default(),
            namespaced: AtomicBool::new(false),
        };
        install::install(&cluster).await?;
        Ok(cluster)
    }

    /// The administrator's.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// The administrator's.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Whether the operator has Roles in the namespaces of the test and nothing else.
    pub(crate) fn is_namespaced(&self) -> bool {
        self.namespaced.load(Ordering::Relaxed)
    }

    /// Takes the operator's ClusterRole away, or gives it back.
    pub(crate) fn set_namespaced(&self, namespaced: bool) -> Result<()> {
        if self.namespaced.swap(namespaced, Ordering::Relaxed) == namespaced {
            return Ok(());
        }
        let role = "--filename=deploy/base/operator-role.yaml";
        let verb = if namespaced { "delete" } else { "apply" };
        self.kubectl_ok(&[verb, role])?;
        Ok(())
    }

    /// The namespaces that the running test has made so far.
    pub(crate) fn test_namespaces(&self) -> Vec<String> {
        let namespaces = self.namespaces.lock();
        namespaces.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The programs behind the API server, if they are ours.
    pub(crate) fn control_plane(&self) -> Option<MutexGuard<'_, ControlPlane>> {
        let control_plane = self.control_plane.as_ref()?;
        Some(control_plane.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where logs go.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The API server's log of requests. Tests that use it say `needs_audit_log()`.
    pub(crate) fn audit_log(&self) -> Result<AuditLog> {
        ensure!(
            self.control_plane.is_some(),
            "an existing cluster's audit log is out of reach"
        );
        Ok(AuditLog::new(self.dir.join("audit.log"), self.client()))
    }

    /// All of that log as it is, if it is within reach.
    pub(crate) fn audit_log_text(&self) -> Result<Option<String>> {
        let path = self.dir.join("audit.log");
        let ours = self.control_plane.is_some();
        Ok(ours.then(|| fs::read_to_string(path)).transpose()?)
    }

    /// Runs kubectl as the administrator. What it says is up to the caller.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<Output> {
        self.kubectl_as(&self.kubeconfig, arguments, "")
    }

    /// Runs kubectl as the administrator; its stdout, or an error with its stderr.
    pub(crate) fn kubectl_ok(&self, arguments: &[&str]) -> Result<String> {
        succeeded(arguments, self.kubectl(arguments)?)
    }

    /// Runs kubectl with somebody else's kubeconfig, and something to read on stdin.
    pub(crate) fn kubectl_as(
        &self,
        kubeconfig: &Path,
        arguments: &[&str],
        stdin: &str,
    ) -> Result<Output> {
        let mut kubectl = self
            .kubectl_command(kubeconfig, arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("running {}", self.kubectl.display()))?;
        // kubectl reads all of stdin before it answers, and may also not read it at all.
        let written = kubectl
            .stdin
            .take()
            .expect("stdin is piped")
            .write_all(stdin.as_bytes());
        let output = kubectl.wait_with_output()?;
        if output.status.success() {
            written.context("writing to kubectl")?;
        }
        Ok(output)
    }

    /// kubectl with somebody's kubeconfig, not yet started.
    pub(crate) fn kubectl_command(&self, kubeconfig: &Path, arguments: &[&str]) -> Command {
        let mut kubectl = Command::new(&self.kubectl);
        kubectl
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            // The usual cache is by address: an earlier cluster on the same port would
            // answer for this one.
            .env("KUBECACHEDIR", self.dir.join("kubectl-cache"));
        kubectl
    }

    /// Runs kubectl as the administrator with something to read on stdin.
    pub(crate) fn kubectl_stdin(&self, arguments: &[&str], stdin: &str) -> Result<String> {
        succeeded(
            arguments,
            self.kubectl_as(&self.kubeconfig, arguments, stdin)?,
        )
    }

    /// `kubectl apply` as users do it. One or more documents.
    pub(crate) fn apply_yaml(&self, yaml: &str) -> Result<String> {
        self.kubectl_stdin(&["apply", "--filename=-"], yaml)
    }

    /// A fresh namespace `<prefix>-<random>`, removed when the test ends.
    pub(crate) async fn namespace(&self, prefix: &str) -> Result<String> {
        self.labelled_namespace(prefix, &[]).await
    }

    /// A fresh namespace with labels of its own, removed when the test ends.
    pub(crate) async fn labelled_namespace(
        &self,
        prefix: &str,
        labels: &[(&str, &str)],
    ) -> Result<String> {
        let made = Api::<Namespace>::all(self.client())
            .create(
                &PostParams::default(),
                &Namespace {
                    metadata: ObjectMeta {
                        generate_name: Some(format!("{prefix}-")),
                        labels: Some(with_test_label(labels)),
                        ..ObjectMeta::default()
                    },
                    ..Namespace::default()
                },
            )
            .await
            .with_context(|| format!("creating a namespace for {prefix}"))?;
        let name = made.metadata.name.context("a created object has a name")?;
        self.remove_at_end(&name);
        Ok(name)
    }

    /// A namespace of exactly this name, removed when the test ends; waits for an earlier
    /// test's namespace of that name to be gone. For manifests that name their namespace.
    pub(crate) async fn named_namespace(&self, name: &str, labels: &[(&str, &str)]) -> Result<()> {
        let api = Api::<Namespace>::all(self.client());
        if let Some(old) = api.get_opt(name).await? {
            ensure!(
                old.metadata.deletion_timestamp.is_some(),
                "namespace {name} is in use"
            );
            wait::until_gone(&api, name, Duration::from_secs(60)).await?;
        }
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: Some(with_test_label(labels)),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        api.create(&PostParams::default(), &namespace)
            .await
            .with_context(|| format!("creating namespace {name}"))?;
        self.remove_at_end(name);
        Ok(())
    }

    /// Removes this namespace when the test ends. For namespaces that manifests make.
    pub(crate) fn remove_at_end(&self, namespace: &str) {
        self.namespaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(namespace.to_owned());
    }

    /// Removes the namespaces of the test that has just ended.
    pub(crate) async fn remove_namespaces(&self) -> Result<()> {
        for namespace in self.test_namespaces() {
            self.remove_namespace(&namespace).await?;
        }
        Ok(())
    }

    /// Removes a namespace of the running test. Custom resources go at once, so that the next
    /// operator finds none; the rest is left to Kubernetes.
    pub(crate) async fn remove_namespace(&self, namespace: &str) -> Result<()> {
        self.namespaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|name| name != namespace);
        for (kind, plural) in KINDS {
            let gvk = GroupVersionKind::gvk("anthropic-rbac.io", "v1alpha1", kind);
            Api::<DynamicObject>::namespaced_with(
                self.client(),
                namespace,
                &ApiResource::from_gvk_with_plural(&gvk, plural),
            )
            .delete_collection(&DeleteParams::default(), &ListParams::default())
            .await
            .with_context(|| format!("deleting {plural} in {namespace}"))?;
        }
        match Api::<Namespace>::all(self.client())
            .delete(namespace, &DeleteParams::background())
            .await
        {
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
            outcome => {
                outcome.with_context(|| format!("deleting namespace {namespace}"))?;
            }
        }
        Ok(())
    }

    /// Ends the control plane if it is ours. An existing cluster keeps what was installed:
    /// deleting the custom resource definitions would delete everybody's objects.
    pub(crate) fn tear_down(&self, keep_logs: bool) {
        if let Some(control_plane) = &self.control_plane {
            control_plane
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .stop();
        }
        if keep_logs {
            eprintln!(
                "logs of the control plane and the operator: {}",
                self.dir.display()
            );
        } else {
            // Nothing depends on it: the next run has a folder of its own.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// A client for a kubeconfig's current context. It does not repeat failed requests, so
/// that tests see what the API server says.
pub(crate) async fn client(kubeconfig: &Path) -> Result<Client> {
    let read = Kubeconfig::read_from(kubeconfig)
        .with_context(|| format!("reading {}", kubeconfig.display()))?;
    let mut config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// What a program printed, or an error with what it complained about.
fn succeeded(arguments: &[&str], output: Output) -> Result<String> {
    if !output.status.success() {
        bail!(
            "kubectl {} failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    String::from_utf8(output.stdout).context("kubectl prints UTF-8")
}

fn with_test_label(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
    labels
        .iter()
        .chain(&[(TEST_LABEL, "cluster")])
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

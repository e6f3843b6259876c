//! What needs each right: an operator in a namespace, and what to ask of it so that it misses
//! one. Must not take a right away.

use anyhow::{Context, Result, bail, ensure};
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::SOON;
use super::rights::{Right, kind};
use crate::{
    cluster::Cluster,
    operator::{OPERATOR_NAMESPACE, Operator, Settings, allow_pods},
    resource::{self, api, binding, delete, fake_key, key, merge, secret, until, workspace},
    wait,
};

/// An operator at work, and the namespace it works in.
pub(super) struct Scene<'a> {
    cluster: &'a Cluster,
    home: String,
    operator: Operator,
}

/// Starts an operator and waits until it misses the right. It comes back where it is not ready
/// without.
pub(super) async fn missed_at_the_start(
    cluster: &Cluster,
    right: &Right,
) -> Result<Option<Operator>> {
    let namespace = cluster.namespace("least").await?;
    let home = namespace.as_str();
    let objects = [
        secret(home, "source", &fake_key("least")),
        workspace(home, "one", with_pods()),
        key(home, "app", "one", "source", "target"),
    ];
    resource::create(cluster, &objects).await?;
    let leases = kind(cluster, "coordination.k8s.io", "Lease", OPERATOR_NAMESPACE);
    if right.resource == "leases" {
        // One that nobody holds, or none.
        if leases.get_opt("anthropic-rbac").await?.is_some() {
            let now = DeleteParams::default();
            leases.delete("anthropic-rbac", &now).await?;
        }
        if right.verb == "update" {
            let lease = json!({"metadata": {"name": "anthropic-rbac"}, "spec": {}});
            let lease = serde_json::from_value(lease)?;
            leases.create(&PostParams::default(), &lease).await?;
        }
    }
    allow_pods(cluster, home)?;
    let settings = Settings {
        secrets_in: &[home],
        leader_elect: right.resource == "leases",
        ..Settings::default()
    };
    let mut operator = Operator::spawn(cluster, settings)?;
    let client = cluster.client();
    match (&*right.resource, &*right.verb) {
        ("secrets", "list" | "watch") => {
            let keys = api(&client, "ApiKeyRef", home);
            let denied = ("Ready", "False", "SecretAccessDenied");
            let message = until(&keys, "app", denied, SOON).await?;
            ensure!(message.contains("kubectl create rolebinding"), "{message}");
        }
        ("pods", "list" | "watch") => {
            pods_denied(&api(&client, "Workspace", home), "one").await?;
        }
        ("leases", verb) => {
            let needle = format!("cannot {verb} resource");
            says(&operator, &["the Lease cannot be read or written", &needle]).await?;
            let policy = api(&client, "ConfigMap", home)
                .get_opt("one.policy")
                .await?;
            ensure!(policy.is_none(), "it writes only as the leader");
        }
        (resource, verb @ ("list" | "watch")) => {
            let needle = format!("cannot {verb} resource");
            says(
                &operator,
                &["forbidden: the operator's role lacks", &needle, resource],
            )
            .await?;
            if verb == "list" {
                ensure!(
                    matches!(operator.http_get("/readyz"), Ok((503, _))),
                    "not ready"
                );
                cluster.remove_namespace(home).await?;
                return Ok(Some(operator));
            }
            // What it lists it knows; what comes later it does not see.
            operator.ready().await?;
        }
        _ => bail!("nothing here needs it: see what does, or take it away"),
    }
    drop(operator);
    cluster.remove_namespace(home).await?;
    Ok(None)
}

// === impl Scene ===

impl<'a> Scene<'a> {
    /// With all its rights, and everything done.
    pub(super) async fn warm(cluster: &'a Cluster) -> Result<Self> {
        let home = cluster.namespace("warm").await?;
        let console = json!({
            "apiVersion": "anthropic-rbac.io/v1alpha1", "kind": "RoleBinding",
            "metadata": {"name": "console", "namespace": home},
            "spec": {
                "workspaceRef": {"name": "console"},
                "roleRef": {"kind": "ConsoleRole", "name": "Developer"},
                "subjects": [{"kind": "User", "name": "uma@example.com"}],
            },
        });
        let mut objects = vec![console];
        for name in ["patched", "console", "unlabelled"] {
            objects.push(workspace(&home, name, json!({"displayName": "As it was"})));
        }
        objects.push(workspace(&home, "hurried", with_pods()));
        for name in ["rewritten", "renamed"] {
            objects.push(workspace(&home, name, json!({"displayName": "As it was"})));
            objects.push(secret(&home, name, &fake_key(name)));
            objects.push(key(&home, name, name, name, &format!("{name}-target")));
        }
        resource::create(cluster, &objects).await?;
        allow_pods(cluster, &home)?;
        let settings = Settings {
            secrets_in: &[&home],
            ..Settings::default()
        };
        let operator = Operator::start(cluster, settings).await?;
        let ready = [
            "Workspace/patched",
            "Workspace/console",
            "Workspace/unlabelled",
            "ApiKeyRef/rewritten",
            "ApiKeyRef/renamed",
        ];
        resource::until_ready(cluster, &home, &ready, SOON).await?;
        let hurried = ("PromptProjection", "True", "Hurried");
        until(
            &api(&cluster.client(), "Workspace", &home),
            "hurried",
            hurried,
            SOON,
        )
        .await?;
        Ok(Self {
            cluster,
            home,
            operator,
        })
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        api(&self.cluster.client(), kind, &self.home)
    }

    async fn create(&self, object: Value) -> Result<()> {
        resource::create_one(self.cluster, &object).await?;
        Ok(())
    }

    /// Asks for what takes the right, and waits until it is missed.
    pub(super) async fn missed(&mut self, right: &Right) -> Result<()> {
        let home = self.home.as_str();
        let title = json!({"displayName": "New"});
        let failed = ("Programmed", "False", "WriteFailed");
        match (&*right.resource, &*right.verb) {
            ("workspaces/status", "patch") => {
                self.create(workspace(home, "mute", title)).await?;
                self.mute(right, "Workspace").await?;
            }
            ("rolebindings/status", "patch") => {
                self.create(binding(home, "mute", "patched", "user", &["mute"]))
                    .await?;
                self.mute(right, "RoleBinding").await?;
            }
            ("apikeyrefs/status", "patch") => {
                self.create(key(home, "mute", "patched", "nowhere", ""))
                    .await?;
                self.mute(right, "ApiKeyRef").await?;
            }
            ("configmaps", "create") => {
                self.create(workspace(home, "fresh", title)).await?;
                until(&self.api("Workspace"), "fresh", failed, SOON).await?;
                let policy = self.api("ConfigMap").get_opt("fresh.policy").await?;
                ensure!(policy.is_none(), "it was written");
            }
            ("configmaps", "patch") => {
                let workspaces = self.api("Workspace");
                merge(
                    &workspaces,
                    "patched",
                    json!({"spec": {"state": "Disabled"}}),
                )
                .await?;
                let message = until(&workspaces, "patched", failed, SOON).await?;
                ensure!(
                    message.contains("patched.policy"),
                    "it says what: {message}"
                );
            }
            ("configmaps", "delete") => {
                delete(&self.api("RoleBinding"), "console").await?;
                self.says("delete", "configmaps/console.console").await?;
                self.api("ConfigMap").get("console.console").await?;
            }
            // Without our label it is out of sight: only reading it tells whose it is.
            ("configmaps", "get") => {
                let unlabelled =
                    json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}});
                merge(&self.api("ConfigMap"), "unlabelled.policy", unlabelled).await?;
                self.says("get", "configmaps/unlabelled.policy").await?;
                until(
                    &self.api("Workspace"),
                    "unlabelled",
                    ("Ready", "False", ""),
                    SOON,
                )
                .await?;
            }
            ("events", "create") => {
                self.create(secret(home, "overdue", &fake_key("overdue")))
                    .await?;
                let mut overdue = key(home, "overdue", "renamed", "overdue", "");
                overdue["spec"]["issuedAt"] = "2026-01-01T00:00:00Z".into();
                self.create(overdue).await?;
                self.says("create", "events").await?;
                // A status is worth more than an Event.
                until(
                    &self.api("ApiKeyRef"),
                    "overdue",
                    ("RotationDue", "True", ""),
                    SOON,
                )
                .await?;
            }
            ("secrets", "get") => {
                self.create(secret(home, "unread", &fake_key("unread")))
                    .await?;
                self.create(key(home, "unread", "rewritten", "unread", "unread-target"))
                    .await?;
                let denied = ("Ready", "False", "SecretAccessDenied");
                until(&self.api("ApiKeyRef"), "unread", denied, SOON).await?;
            }
            ("secrets", "create") => {
                self.create(secret(home, "unwritten", &fake_key("unwritten")))
                    .await?;
                self.create(key(
                    home,
                    "unwritten",
                    "rewritten",
                    "unwritten",
                    "no-target",
                ))
                .await?;
                until(&self.api("ApiKeyRef"), "unwritten", failed, SOON).await?;
            }
            ("secrets", "patch") => {
                let value = json!({"stringData": {"api-key": fake_key("second")}});
                merge(&self.api("Secret"), "rewritten", value).await?;
                until(&self.api("ApiKeyRef"), "rewritten", failed, SOON).await?;
            }
            ("secrets", "delete") => {
                let elsewhere = json!({"spec": {"target": {"secretName": "new-target"}}});
                merge(&self.api("ApiKeyRef"), "renamed", elsewhere).await?;
                self.says("delete", "secrets/renamed-target").await?;
                self.api("Secret").get("renamed-target").await?;
            }
            ("pods/status", "patch") => {
                self.create(json!({
                    "apiVersion": "v1", "kind": "Pod",
                    "metadata": {"name": "edge", "namespace": home, "labels": {"app": "edge"}},
                    "spec": {
                        "schedulerName": "none", // where there are kubelets they leave it alone
                        "containers": [{"name": "edge", "image": "example.com/edge"}],
                        "volumes": [{"name": "policy", "configMap": {"name": "hurried.policy"}}],
                    },
                }))
                .await?;
                // As its kubelet would say: it has mounted the files.
                let started = json!({"status": {"startTime": "2026-01-01T00:00:00Z"}});
                self.api("Pod")
                    .patch_status("edge", &PatchParams::default(), &Patch::Merge(started))
                    .await?;
                // It may have started with what there is now.
                let changed = json!({"spec": {"defaultMaxTokens": 2}});
                merge(&self.api("Workspace"), "hurried", changed).await?;
                pods_denied(&self.api("Workspace"), "hurried").await?;
                let pod = self.api("Pod").get("edge").await?;
                ensure!(pod.metadata.annotations.is_none(), "it was marked");
            }
            _ => bail!("nothing here needs it: see what does, or take it away"),
        }
        Ok(())
    }

    /// Waits until the status of `mute` was refused; it has none.
    async fn mute(&self, right: &Right, kind: &str) -> Result<()> {
        let path = right.resource.replace('/', "/mute/");
        self.says("apply", &path).await?;
        let object = self.api(kind).get("mute").await?;
        ensure!(
            object.data["status"]["conditions"].is_null(),
            "it has a status"
        );
        Ok(())
    }

    async fn says(&self, verb: &str, path: &str) -> Result<()> {
        let path = format!("/{}/{path}", self.home);
        let verb = format!("verb=\"{verb}\"");
        says(
            &self.operator,
            &["forbidden: the operator's role lacks", &verb, &path],
        )
        .await
    }
}

/// A Workspace with a gateway whose pods are to be hurried.
fn with_pods() -> Value {
    json!({
        "gateways": [{"name": "edge", "type": "Envoy", "podSelector": {"matchLabels": {"app": "edge"}}}],
    })
}

/// Waits until a Workspace says that its gateway's pods are out of reach, and what to do.
async fn pods_denied(workspaces: &Api<DynamicObject>, name: &str) -> Result<()> {
    let denied = ("PromptProjection", "False", "PodAccessDenied");
    let message = until(workspaces, name, denied, SOON).await?;
    let command = "kubectl create rolebinding anthropic-rbac-gateway-pods";
    ensure!(message.contains(command), "{message}");
    Ok(())
}

/// Waits until a line of the operator's log has all of this.
async fn says(operator: &Operator, needles: &[&str]) -> Result<()> {
    wait::poll("the operator says what it lacks", SOON, || {
        let log = operator.logged()?;
        let found = |line: &str| needles.iter().all(|needle| line.contains(needle));
        Ok(log.lines().any(found).then_some(()))
    })
    .await
    .with_context(|| format!("no line with all of {needles:?}"))
}

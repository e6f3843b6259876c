//! Every right of the operator is needed: without it something does not work, and the operator
//! says so. Must not leave a role behind with less than `deploy/base` gives it.

use std::{fmt, fs, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use crate::{
    audit::{Request, Requests},
    cluster::Cluster,
    operator::{OPERATOR_NAMESPACE, OPERATOR_USER, Operator, Settings, allow_pods, allow_secrets},
    resource::{self, api, binding, delete, fake_key, key, merge, secret, until, workspace},
    suite::{Test, test},
    wait,
};

/// How long each step may take.
const SOON: Duration = Duration::from_secs(20);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "without any one of its rights something does not work, and the operator says so",
            each,
        )
        .cluster_wide()
        .last(),
        test(
            "the Roles for namespaced mode are the ClusterRoles without Namespaces",
            same,
        )
        .cluster_wide(),
    ]
}

/// One verb on one resource, in one of the operator's roles.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    role: String,
    group: String,
    resource: String,
    verb: String,
}

/// An operator at work, and the namespace it works in.
struct Scene<'a> {
    cluster: &'a Cluster,
    home: String,
    operator: Operator,
}

async fn each(cluster: &Cluster) -> Result<()> {
    let roles = roles(cluster.kubectl_ok(&["kustomize", "deploy/base"])?)?;
    let mut rights: Vec<Right> = roles.iter().flat_map(rights).collect();
    ensure!(rights.len() > 20, "the operator needs more than that");
    // One operator at a time: the one that stays comes last.
    rights.sort_by_key(|right| !right.is_for_the_start());
    let bound = cluster.namespace("bound").await?;
    allow_secrets(cluster, &bound)?;
    allow_pods(cluster, &bound)?;
    let audit = cluster.audit_log().ok(); // that of an existing cluster is out of reach
    let mut warm = None;
    for right in &rights {
        if !right.is_for_the_start() && warm.is_none() {
            warm = Some(Scene::warm(cluster).await?);
        }
        let role = roles
            .iter()
            .find(|role| role["metadata"]["name"] == *right.role);
        let role = role.context("each right is of a role")?;
        let change = |rules: Value| put(cluster, role, rules);
        let mark = match &audit {
            Some(audit) => Some(audit.mark().await?),
            None => None,
        };
        change(without(role, right)?).await?;
        until_granted(cluster, right, &bound, false).await?;
        let outcome = match &mut warm {
            None => missed_at_the_start(cluster, right).await,
            Some(warm) => warm.missed(right).await.map(|()| None),
        };
        change(role["rules"].clone()).await?;
        until_granted(cluster, right, &bound, true).await?;
        let operator = outcome.with_context(|| format!("without {right}"))?;
        if let (Some(audit), Some(mark)) = (&audit, mark) {
            only(&audit.refused(mark).await?, right)?;
        }
        if let Some(mut operator) = operator {
            // And it mends by itself.
            operator
                .ready()
                .await
                .with_context(|| format!("with {right} again"))?;
        }
    }
    Ok(())
}

/// The right that was taken away is what was missed, and nothing else was.
fn only(refused: &Requests, right: &Right) -> Result<()> {
    let missed = |request: &Request| {
        let resource = match &*request.subresource {
            "" => request.resource.clone(),
            part => format!("{}/{part}", request.resource),
        };
        // What is applied and is not there yet is created.
        let verb =
            request.verb == right.verb || (right.verb == "create" && request.verb == "patch");
        request.group == right.group && resource == right.resource && verb
    };
    ensure!(!refused.is_empty(), "without {right} nothing was refused");
    ensure!(refused.0.iter().all(missed), "without {right}:\n{refused}");
    Ok(())
}

/// What is proved of the ClusterRoles holds for the Roles.
async fn same(cluster: &Cluster) -> Result<()> {
    let mut expected: Vec<Right> = roles(cluster.kubectl_ok(&["kustomize", "deploy/base"])?)?
        .iter()
        .flat_map(rights)
        .filter(|right| right.resource != "namespaces" && right.resource != "leases")
        .collect();
    let mut found = Vec::new();
    for file in ["role.yaml", "secrets-role.yaml", "gateway-pods/role.yaml"] {
        let text = fs::read_to_string(format!("deploy/namespace/{file}"))?;
        found.extend(roles(text)?.iter().flat_map(rights));
    }
    expected.sort();
    found.sort();
    let shown = |rights: &[Right]| rights.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(shown(&found), shown(&expected));
    Ok(())
}

// === impl Right ===

impl Right {
    /// Only a fresh operator uses it.
    fn is_for_the_start(&self) -> bool {
        self.resource == "leases" || matches!(&*self.verb, "list" | "watch")
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {}", self.verb, self.resource, self.role)
    }
}

/// Starts an operator and waits until it misses the right. It comes back where it is not ready
/// without.
async fn missed_at_the_start(cluster: &Cluster, right: &Right) -> Result<Option<Operator>> {
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
    async fn warm(cluster: &'a Cluster) -> Result<Self> {
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
    async fn missed(&mut self, right: &Right) -> Result<()> {
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

// === roles ===

/// The operator's own roles among manifests.
fn roles(manifests: String) -> Result<Vec<Value>> {
    let all: Vec<Value> = serde_saphyr::from_multiple(&manifests)?;
    let people = fs::read_to_string("deploy/base/user-roles.yaml")?;
    let people: Vec<Value> = serde_saphyr::from_multiple(&people)?;
    let ours = |role: &Value| {
        let kind = role["kind"].as_str().unwrap_or_default();
        let of_people = |other: &Value| other["metadata"]["name"] == role["metadata"]["name"];
        matches!(kind, "ClusterRole" | "Role") && !people.iter().any(of_people)
    };
    Ok(all.into_iter().filter(ours).collect())
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

fn rights(role: &Value) -> Vec<Right> {
    let mut rights = Vec::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                rights.extend(texts(&rule["verbs"]).map(|verb| {
                    Right {
                        role: role["metadata"]["name"]
                            .as_str()
                            .unwrap_or_default()
                            .to_owned(),
                        group: group.to_owned(),
                        resource: resource.to_owned(),
                        verb: verb.to_owned(),
                    }
                }));
            }
        }
    }
    rights
}

/// The rules of a role, one resource each, without one right.
fn without(role: &Value, right: &Right) -> Result<Value> {
    let mut rules = Vec::new();
    for rule in role["rules"].as_array().context("rules")? {
        for resource in texts(&rule["resources"]) {
            let mut rule = rule.clone();
            rule["resources"] = json!([resource]);
            let verbs = texts(&rule["verbs"]);
            let left = verbs.filter(|verb| resource != right.resource || *verb != right.verb);
            let left: Vec<String> = left.map(str::to_owned).collect();
            if !left.is_empty() {
                rule["verbs"] = json!(left);
                rules.push(rule);
            }
        }
    }
    Ok(Value::from(rules))
}

fn kind(cluster: &Cluster, group: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
    if namespace.is_empty() {
        Api::all_with(cluster.client(), &resource)
    } else {
        Api::namespaced_with(cluster.client(), namespace, &resource)
    }
}

async fn put(cluster: &Cluster, role: &Value, rules: Value) -> Result<()> {
    let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
    let namespace = text(&role["metadata"]["namespace"]);
    let api = kind(
        cluster,
        "rbac.authorization.k8s.io",
        &text(&role["kind"]),
        &namespace,
    );
    let change = Patch::Merge(json!({"rules": rules}));
    api.patch(
        &text(&role["metadata"]["name"]),
        &PatchParams::default(),
        &change,
    )
    .await?;
    Ok(())
}

/// The authoriser learns of a changed role a moment after it is stored. Secrets are asked about
/// where they are bound.
async fn until_granted(cluster: &Cluster, right: &Right, bound: &str, granted: bool) -> Result<()> {
    let (resource, part) = right
        .resource
        .split_once('/')
        .unwrap_or((&right.resource, ""));
    let namespace = if resource == "leases" {
        OPERATOR_NAMESPACE
    } else {
        bound
    };
    let reviews = Api::<SubjectAccessReview>::all(cluster.client());
    let name = (resource == "leases").then(|| "anthropic-rbac".to_owned());
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(OPERATOR_USER.into()),
            resource_attributes: Some(ResourceAttributes {
                group: Some(right.group.clone()),
                resource: Some(resource.into()),
                subresource: Some(part.into()),
                verb: Some(right.verb.clone()),
                namespace: Some(namespace.into()),
                name,
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    wait::ask("the role is in effect", SOON, async || {
        let answer = reviews.create(&PostParams::default(), &review).await?;
        let allowed = answer.status.is_some_and(|status| status.allowed);
        Ok((allowed == granted).then_some(()))
    })
    .await
}

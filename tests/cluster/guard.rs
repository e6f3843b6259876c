//! Who may hand out access, person by person and act by act: the table in `docs/guard.md`, asked of
//! the API server. Must not change what it asks about, so that no answer depends on another.

mod acts;

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Client, Config, ResourceExt,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    operator::{Operator, Settings},
    resource::{self, api, fake_key, key, merge},
    suite::{Test, test},
    wait,
};
use acts::{Act, Outcome};

/// How long the API server may take to go by changed policies and roles.
const SOON: Duration = Duration::from_secs(30);

/// How many requests are on their way at a time.
const AT_A_TIME: usize = 16;

/// The columns of the table.
const PEOPLE: [&str; 11] = [
    "view",
    "edit",
    "admin",
    "billing",
    "developer",
    "console admin",
    "owner",
    "team",
    "team + user",
    "GitOps",
    "cluster-admin",
];

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "the guard lets everybody do what its table says, and without it nobody is stopped by it",
            table,
        )
        .cluster_wide(),
        test(
            "the guard stops neither the garbage collector, nor the end of a namespace, nor the operator",
            controllers,
        )
        .cluster_wide(),
    ]
}

async fn table(cluster: &Cluster) -> Result<()> {
    let scene = Scene::new(cluster).await?;
    let documented = documented()?;
    scene.until(&documented).await.context("with the guard")?;

    let manifest = "--filename=deploy/base/guard.yaml";
    let bindings = "validatingadmissionpolicybindings.admissionregistration.k8s.io";
    let ours = "--selector=app.kubernetes.io/name=anthropic-rbac";
    cluster.kubectl_ok(&["delete", bindings, ours])?;
    let unguarded: Vec<String> = documented
        .iter()
        .map(|row| row.replace("| guard ", "| yes "))
        .collect();
    ensure!(unguarded != documented, "the table shows the guard");
    let without = scene.until(&unguarded).await.context("without the guard");
    // Other tests run with what is installed.
    cluster.kubectl_ok(&["apply", "--server-side", manifest])?;
    scene.until(&documented).await.context("with it again")?;
    without
}

async fn controllers(cluster: &Cluster) -> Result<()> {
    let scene = Scene::new(cluster).await?;
    let home = scene.home.as_str();
    // It is at work.
    scene.until(&documented()?).await?;
    for (who, act) in acts::of_controllers(home) {
        let outcome = act.ask(&as_user(cluster, who).await?).await?;
        assert_eq!(outcome, Outcome::Yes, "{who}: {} of {}", act.row, act.kind);
    }

    // What somebody marked, the operator still writes.
    let own = key(home, "app", "production", "kept", "target");
    resource::create_one(cluster, &own).await?;
    let settings = Settings {
        secrets_in: &[home],
        ..Settings::default()
    };
    let _operator = Operator::start(cluster, settings).await?;
    resource::until_ready(cluster, home, &["ApiKeyRef/app"], SOON).await?;
    let secrets = api(&cluster.client(), "Secret", home);
    let marks = json!({"metadata": {
        "annotations": {"anthropic-rbac.io/allow-namespaces": "*"},
        "labels": {"anthropic-rbac.io/client-key": "true"},
    }});
    merge(&secrets, "target", marks).await?;
    let second = fake_key("second");
    merge(&secrets, "kept", json!({"stringData": {"api-key": second}})).await?;
    wait::until(&secrets, "target", SOON, |target| {
        let written = resource::value(target, "ANTHROPIC_API_KEY")? == second;
        (written && target.labels().contains_key("anthropic-rbac.io/client-key")).then_some(())
    })
    .await
}

/// People with their rights, and objects for them to change.
struct Scene {
    people: Vec<Client>,
    acts: Vec<Act>,
    home: String,
}

// === impl Scene ===

impl Scene {
    async fn new(cluster: &Cluster) -> Result<Self> {
        let home = cluster.namespace("guarded").await?;
        let team = cluster.namespace("guarded-team").await?;
        let list = |items: Vec<Value>| json!({"apiVersion": "v1", "kind": "List", "items": items});
        cluster.apply_yaml(&list(rights(&home, &team)).to_string())?;
        cluster.apply_yaml(&list(acts::objects(&home, &team)).to_string())?;
        let mut people = Vec::new();
        for name in PEOPLE {
            people.push(match name {
                "cluster-admin" => cluster.client(),
                "GitOps" => as_user(cluster, &gitops(&team)).await?,
                name => as_user(cluster, name).await?,
            });
        }
        let acts = acts::all(&home, &team);
        Ok(Self { people, acts, home })
    }

    /// Waits until all the answers are as in these rows.
    async fn until(&self, expected: &[String]) -> Result<()> {
        let mut last = Vec::new();
        let same = wait::ask("the API server goes by the table", SOON, async || {
            last = self.rows().await?;
            Ok((last == expected).then_some(()))
        })
        .await;
        let differ: Vec<_> = last.iter().filter(|row| !expected.contains(row)).collect();
        same.with_context(|| format!("{} rows, and of them are {differ:#?}", last.len()))
    }

    async fn rows(&self) -> Result<Vec<String>> {
        let pairs = self
            .acts
            .iter()
            .flat_map(|act| self.people.iter().map(move |client| (act, client)));
        let cells: Vec<&str> = stream::iter(pairs)
            .map(async |(act, client)| Ok::<_, anyhow::Error>(act.ask(client).await?.shown()))
            .buffered(AT_A_TIME)
            .try_collect()
            .await?;
        Ok(self
            .acts
            .iter()
            .zip(cells.chunks(PEOPLE.len()))
            .map(|(act, cells)| format!("| {} | {} |", act.row, cells.join(" | ")))
            .collect())
    }
}

/// The rows of the table in the documents.
fn documented() -> Result<Vec<String>> {
    let text = fs::read_to_string("docs/guard.md")?;
    let head = format!("| | {} |", PEOPLE.join(" | "));
    let mut lines = text.lines().skip_while(|line| *line != head);
    ensure!(lines.next().is_some(), "docs/guard.md has no {head}");
    Ok(lines
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(str::to_owned)
        .collect())
}

/// A ServiceAccount with which a GitOps tool applies the team's manifests.
fn gitops(team: &str) -> String {
    format!("system:serviceaccount:{team}:applier")
}

/// Who has which role where: Kubernetes' own, and ours.
fn rights(home: &str, team: &str) -> Vec<Value> {
    let mut rights = Vec::new();
    let mut bind = |namespace: &str, user: &str, kind: &str, role: &str| {
        rights.push(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": format!("{role}-{}", user.replace([' ', '+', ':'], "-")).to_lowercase(), "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        }));
    };
    for namespace in [home, team] {
        for (user, role) in [
            ("view", "view"),
            ("edit", "edit"),
            ("admin", "admin"),
            ("billing", "anthropic-rbac-billing"),
            ("developer", "anthropic-rbac-developer"),
            ("console admin", "anthropic-rbac-admin"),
            ("owner", "anthropic-rbac-owner"),
        ] {
            bind(namespace, user, "ClusterRole", role);
        }
        bind(namespace, &gitops(team), "Role", "writer");
    }
    for user in ["team", "team + user"] {
        bind(team, user, "ClusterRole", "admin");
    }
    bind(home, "team + user", "Role", "bind-user");
    bind(home, &gitops(team), "Role", "bind-user");
    bind(home, &gitops(team), "Role", "bind-power");
    let role = |namespace: &str, name: &str, rules: Value| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": name, "namespace": namespace}, "rules": rules,
        })
    };
    for name in ["user", "power"] {
        let rule = json!({
            "apiGroups": ["anthropic-rbac.io"], "resources": ["applicationroles"],
            "resourceNames": [name], "verbs": ["bind"],
        });
        rights.push(role(home, &format!("bind-{name}"), json!([rule])));
    }
    // All that writing takes, and no more.
    let verbs = [
        "get", "list", "watch", "create", "update", "patch", "delete",
    ];
    for namespace in [home, team] {
        let rules = json!([
            {"apiGroups": [""], "resources": ["secrets"], "verbs": verbs},
            {
                "apiGroups": ["anthropic-rbac.io"],
                "resources": ["workspaces", "rolebindings", "apikeyrefs"], "verbs": verbs,
            },
        ]);
        rights.push(role(namespace, "writer", rules));
    }
    rights
}

/// A client that the API server takes for this user's.
async fn as_user(cluster: &Cluster, name: &str) -> Result<Client> {
    let read = Kubeconfig::read_from(cluster.kubeconfig())?;
    let mut config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    let mut groups = vec!["system:authenticated".to_owned()];
    if let Some(account) = name.strip_prefix("system:serviceaccount:") {
        let (namespace, _) = account.split_once(':').context("a namespace and a name")?;
        groups.push("system:serviceaccounts".to_owned());
        groups.push(format!("system:serviceaccounts:{namespace}"));
    }
    config.auth_info.impersonate = Some(name.to_owned());
    config.auth_info.impersonate_groups = Some(groups);
    Ok(Client::try_from(config)?)
}

//! What people and controllers may try, as dry runs. Must not know who may.

use anyhow::{Result, bail, ensure};
use kube::{
    Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::resource::{api, binding, fake_key, key, secret, workspace};

/// What the API server says to an act.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Yes,
    /// The guard forbids it.
    Guard,
    /// Kubernetes RBAC forbids it.
    No,
    /// The API server has only just begun to serve the kind.
    Later,
}

/// One thing that may be tried.
pub(super) struct Act {
    /// How the table calls it.
    pub(super) row: &'static str,
    pub(super) kind: &'static str,
    namespace: String,
    how: How,
    /// What the guard must name when it refuses: verb, resource, name and namespace.
    takes: String,
}

enum How {
    List,
    Create(Value),
    /// Of the named object, by JSON merge patch.
    Merge(&'static str, Value),
    /// Server-side.
    Apply(&'static str, Value),
    Delete(&'static str),
}

// === impl Outcome ===

impl Outcome {
    pub(super) fn shown(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Guard => "guard",
            Self::No => "–",
            Self::Later => "later",
        }
    }
}

// === impl Act ===

impl Act {
    /// Tries it without doing it.
    pub(super) async fn ask(&self, client: &Client) -> Result<Outcome> {
        let api = api(client, self.kind, &self.namespace);
        let patched = PatchParams {
            dry_run: true,
            field_manager: Some("guard-test".into()),
            force: matches!(self.how, How::Apply(..)),
            ..PatchParams::default()
        };
        let answer = match &self.how {
            How::List => api.list(&ListParams::default()).await.map(drop),
            How::Create(object) => {
                let parameters = PostParams {
                    dry_run: true,
                    ..PostParams::default()
                };
                let object = serde_json::from_value(object.clone())?;
                api.create(&parameters, &object).await.map(drop)
            }
            How::Merge(name, change) => {
                let change = Patch::Merge(change);
                api.patch(name, &patched, &change).await.map(drop)
            }
            How::Apply(name, object) => {
                let object = Patch::Apply(object);
                api.patch(name, &patched, &object).await.map(drop)
            }
            How::Delete(name) => {
                let parameters = DeleteParams::default().dry_run();
                api.delete(name, &parameters).await.map(drop)
            }
        };
        match answer {
            Ok(()) => Ok(Outcome::Yes),
            Err(kube::Error::Api(status)) if status.is_forbidden() => {
                let said = &status.message;
                if !said.contains("ValidatingAdmissionPolicy") {
                    return Ok(Outcome::No);
                }
                let told = !self.takes.is_empty() && said.contains(&self.takes);
                ensure!(
                    told && said.contains("Ask an administrator"),
                    "{}: {said}",
                    self.row
                );
                Ok(Outcome::Guard)
            }
            Err(kube::Error::Api(status)) if status.code == 429 => Ok(Outcome::Later),
            Err(error) => bail!("{}: {error}", self.row),
        }
    }
}

/// Rows of the table, in its order. The Workspace is in `home`; `team` is attached to it.
pub(super) fn all(home: &str, team: &str) -> Vec<Act> {
    let mut acts = Vec::new();
    for (row, kind) in [
        ("read Workspaces", "Workspace"),
        ("read RoleBindings", "RoleBinding"),
        ("read ApiKeyRefs", "ApiKeyRef"),
    ] {
        acts.push(act(row, kind, home, How::List, String::new()));
    }
    acts.extend(bindings(home, team));
    acts.extend(workspaces(home));
    let create = How::Create(key(home, "new", "production", "kept", "new-target"));
    acts.push(act(
        "make an ApiKeyRef",
        "ApiKeyRef",
        home,
        create,
        String::new(),
    ));
    acts.extend(secrets(home));
    acts
}

fn bindings(home: &str, team: &str) -> Vec<Act> {
    let production = format!("{home}/production");
    let takes = |resource: &str, role: &str| {
        format!("verb bind on {resource}.anthropic-rbac.io named {role} in namespace {home}.")
    };
    let application = |role: &str| takes("applicationroles", role);
    let from_team =
        |role: &str| How::Create(binding(team, "new", &production, role, &["app", "batch"]));
    let at_home = |role: &str| How::Create(binding(home, "new", "production", role, &["app"]));
    let console = |role: &str| How::Create(console(home, "new", role));
    let spec = |change: Value| How::Merge("admins", json!({"spec": change}));
    [
        (
            "bind `user`, from the team's namespace",
            team,
            from_team("user"),
            application("user"),
        ),
        (
            "bind `power`, from the team's namespace",
            team,
            from_team("power"),
            application("power"),
        ),
        (
            "bind `admin`, from the team's namespace",
            team,
            from_team("admin"),
            application("admin"),
        ),
        (
            "bind `user`, beside the Workspace",
            home,
            at_home("user"),
            application("user"),
        ),
        (
            "bind `admin`, beside the Workspace",
            home,
            at_home("admin"),
            application("admin"),
        ),
        (
            "bind ConsoleRole `Developer`",
            home,
            console("Developer"),
            takes("consoleroles", "Developer"),
        ),
        (
            "bind ConsoleRole `Owner`",
            home,
            console("Owner"),
            takes("consoleroles", "Owner"),
        ),
        (
            "make an `admin` binding one of `user`",
            team,
            spec(json!({"roleRef": {"name": "user"}})),
            application("user"),
        ),
        (
            "make a `user` binding one of `admin`",
            team,
            How::Merge("users", json!({"spec": {"roleRef": {"name": "admin"}}})),
            application("admin"),
        ),
        (
            "add a subject to an `admin` binding",
            team,
            spec(json!({"subjects": [{"kind": "ServiceAccount", "name": "more"}]})),
            application("admin"),
        ),
        (
            "suspend an `admin` binding",
            team,
            spec(json!({"state": "Disabled"})),
            application("admin"),
        ),
        (
            "label an `admin` binding",
            team,
            How::Merge(
                "admins",
                json!({"metadata": {"labels": {"team": "search"}}}),
            ),
            String::new(),
        ),
        (
            "apply an `admin` binding as it is",
            team,
            How::Apply(
                "admins",
                binding(team, "admins", &production, "admin", &["app"]),
            ),
            String::new(),
        ),
        (
            "delete an `admin` binding",
            team,
            How::Delete("admins"),
            String::new(),
        ),
    ]
    .map(|(row, namespace, how, takes)| act(row, "RoleBinding", namespace, how, takes))
    .into()
}

fn workspaces(home: &str) -> Vec<Act> {
    let takes = |verb: &str, name: &str| {
        format!("verb {verb} on workspaces.anthropic-rbac.io named {name} in namespace {home}.")
    };
    let new = |spec: Value| How::Create(workspace(home, "new", spec));
    let spec = |change: Value| How::Merge("production", json!({"spec": change}));
    let admitted = json!([{"names": ["batch"], "roles": ["admin"]}]);
    [
        ("make a plain Workspace", new(json!({"displayName": "New"})), String::new()),
        (
            "make one with `allowedNamespaces`",
            new(json!({"allowedNamespaces": admitted})),
            takes("admit", "new"),
        ),
        (
            "make one with a `workspaceId`",
            new(json!({"workspaceId": "wrkspc_01EXAMPLE"})),
            takes("identify", "new"),
        ),
        (
            "make one with `blockedSubjects`, Disabled",
            new(json!({
                "blockedSubjects": [{"kind": "ServiceAccount", "name": "eve", "namespace": home}],
                "state": "Disabled",
            })),
            String::new(),
        ),
        ("change a Workspace's other fields", spec(json!({"defaultMaxTokens": 7})), String::new()),
        (
            "write out that `state` is Enabled",
            spec(json!({"state": "Enabled"})),
            String::new(),
        ),
        ("change `allowedNamespaces`", spec(json!({"allowedNamespaces": admitted})), takes("admit", "production")),
        ("take `allowedNamespaces` out", spec(json!({"allowedNamespaces": null})), takes("admit", "production")),
        (
            "change `blockedSubjects`",
            spec(json!({"blockedSubjects": [{"kind": "ServiceAccount", "name": "bob", "namespace": home}]})),
            takes("block", "production"),
        ),
        ("take `blockedSubjects` out", spec(json!({"blockedSubjects": null})), takes("block", "production")),
        ("change `state`", spec(json!({"state": "Disabled"})), takes("disable", "production")),
        ("change `workspaceId`", spec(json!({"workspaceId": "wrkspc_02EXAMPLE"})), takes("identify", "production")),
    ]
    .map(|(row, how, takes)| act(row, "Workspace", home, how, takes))
    .into()
}

fn secrets(home: &str) -> Vec<Act> {
    let lend = |name: &str| {
        format!("verb lend on apikeys.anthropic-rbac.io named {name} in namespace {home}.")
    };
    let client = |name: &str| {
        format!("verb bind on clientkeys.anthropic-rbac.io named {name} in namespace {home}.")
    };
    let new = |metadata: Value| {
        let mut made = secret(home, "new", &fake_key("new"));
        for (field, value) in metadata.as_object().into_iter().flatten() {
            made["metadata"][field] = value.clone();
        }
        How::Create(made)
    };
    let annotate = |name, mark: &str, value: Value| {
        let annotations = json!({(format!("anthropic-rbac.io/{mark}")): value});
        How::Merge(name, json!({"metadata": {"annotations": annotations}}))
    };
    let label = |name, value: Value| {
        let labels = json!({"anthropic-rbac.io/client-key": value});
        How::Merge(name, json!({"metadata": {"labels": labels}}))
    };
    [
        (
            "make a Secret without marks",
            new(json!({"labels": {"team": "search"}})),
            String::new(),
        ),
        (
            "make one with `allow-namespaces`",
            new(json!({"annotations": {"anthropic-rbac.io/allow-namespaces": "batch"}})),
            lend("new"),
        ),
        (
            "make one with `allow-workspaces`",
            new(json!({"annotations": {"anthropic-rbac.io/allow-workspaces": "batch/own"}})),
            lend("new"),
        ),
        (
            "make one with `client-key`",
            new(json!({"labels": {"anthropic-rbac.io/client-key": "true"}})),
            client("new"),
        ),
        (
            "add `allow-namespaces`",
            annotate("kept", "allow-namespaces", json!("*")),
            lend("kept"),
        ),
        (
            "add `allow-workspaces`",
            annotate("kept", "allow-workspaces", json!("batch/own")),
            lend("kept"),
        ),
        (
            "change `allow-namespaces`",
            annotate("lent", "allow-namespaces", json!("*")),
            lend("lent"),
        ),
        (
            "change `allow-workspaces`",
            annotate("lent", "allow-workspaces", json!("batch/own")),
            lend("lent"),
        ),
        (
            "take `allow-namespaces` out",
            annotate("lent", "allow-namespaces", Value::Null),
            String::new(),
        ),
        (
            "take `allow-workspaces` out",
            annotate("lent", "allow-workspaces", Value::Null),
            String::new(),
        ),
        (
            "add `client-key`",
            label("kept", json!("true")),
            client("kept"),
        ),
        (
            "take `client-key` out",
            label("lent", Value::Null),
            String::new(),
        ),
        (
            "change the value of a marked Secret",
            How::Merge(
                "lent",
                json!({"stringData": {"api-key": fake_key("second")}}),
            ),
            String::new(),
        ),
        ("delete a marked Secret", How::Delete("lent"), String::new()),
    ]
    .map(|(row, how, takes)| act(row, "Secret", home, how, takes))
    .into()
}

/// What Kubernetes' own controllers do to objects of others, and who does it.
pub(super) fn of_controllers(home: &str) -> Vec<(&'static str, Act)> {
    let garbage = "system:serviceaccount:kube-system:generic-garbage-collector";
    let ending = "system:serviceaccount:kube-system:namespace-controller";
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "1"});
    let owned = json!({"metadata": {"ownerReferences": [owner]}});
    let mut acts = Vec::new();
    for (kind, name) in [
        ("RoleBinding", "console"),
        ("Workspace", "production"),
        ("Secret", "lent"),
    ] {
        for (who, row, how) in [
            (
                garbage,
                "change the owners",
                How::Merge(name, owned.clone()),
            ),
            (garbage, "delete", How::Delete(name)),
            (ending, "delete", How::Delete(name)),
        ] {
            acts.push((who, act(row, kind, home, how, String::new())));
        }
    }
    acts
}

/// What there is before anybody acts.
pub(super) fn objects(home: &str, team: &str) -> Vec<Value> {
    let production = format!("{home}/production");
    let mut lent = secret(home, "lent", &fake_key("lent"));
    lent["metadata"]["annotations"] = json!({
        "anthropic-rbac.io/allow-namespaces": team,
        "anthropic-rbac.io/allow-workspaces": "claude/production",
    });
    lent["metadata"]["labels"] = json!({"anthropic-rbac.io/client-key": "true"});
    let spec = json!({
        "workspaceId": "wrkspc_01EXAMPLE",
        "allowedNamespaces": [{"names": [team], "roles": ["user", "power"]}],
        "blockedSubjects": [{"kind": "ServiceAccount", "name": "eve", "namespace": home}],
    });
    vec![
        workspace(home, "production", spec),
        binding(team, "admins", &production, "admin", &["app"]),
        binding(team, "users", &production, "user", &["app"]),
        console(home, "console", "Owner"),
        secret(home, "kept", &fake_key("kept")),
        lent,
    ]
}

fn console(namespace: &str, name: &str, role: &str) -> Value {
    json!({
        "apiVersion": "anthropic-rbac.io/v1alpha1", "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "workspaceRef": {"name": "production"},
            "roleRef": {"kind": "ConsoleRole", "name": role},
            "subjects": [{"kind": "User", "name": "uma@example.com"}],
        },
    })
}

fn act(row: &'static str, kind: &'static str, namespace: &str, how: How, takes: String) -> Act {
    Act {
        row,
        kind,
        namespace: namespace.to_owned(),
        how,
        takes,
    }
}

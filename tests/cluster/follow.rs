//! What is written follows what is wanted, quickly, and nothing else is touched.
//! Must not start the clock before the API server has answered the edit.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, Result};
use kube::{ResourceExt, api::DynamicObject};
use serde_json::{Value, json};

use crate::{
    audit::{AuditLog, Mark},
    cluster::Cluster,
    operator::{Operator, Settings},
    resource::{self, api, binding, delete, key, merge, secret, service_account, workspace},
    suite::{Test, test},
    wait,
};

/// How soon a policy follows an edit.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How long the beginning may take.
const SOON: Duration = Duration::from_secs(20);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "an edited limit reaches the policy within a second, and nothing else",
            limit,
        )
        .needs_audit_log(),
        test(
            "an added subject reaches the policy within a second, and nothing else",
            subject,
        )
        .needs_audit_log()
        .also_namespaced(),
        test(
            "of two overlapping bindings the other one stays when one is deleted",
            overlapping,
        )
        .needs_audit_log(),
        test(
            "a workspace that is deleted and made anew has its policy within a second",
            made_anew,
        )
        .needs_audit_log()
        .needs_controllers(),
    ]
}

/// Two workspaces that have nothing to do with each other, a mapped key each.
struct Scene<'a> {
    cluster: &'a Cluster,
    namespace: String,
    audit: AuditLog,
    _operator: Operator,
}

// === impl Scene ===

impl<'a> Scene<'a> {
    async fn set(cluster: &'a Cluster) -> Result<Self> {
        let namespace = cluster.namespace("follow").await?;
        let home = namespace.as_str();
        for name in ["one", "other"] {
            let objects = [
                secret(home, &format!("{name}-source"), &resource::fake_key(name)),
                workspace(home, name, spec(name)),
                binding(
                    home,
                    &format!("{name}-users"),
                    name,
                    "user",
                    &["app", "job"],
                ),
                binding(home, &format!("{name}-more"), name, "power", &["app"]),
                key(
                    home,
                    name,
                    name,
                    &format!("{name}-source"),
                    &format!("{name}-target"),
                ),
            ];
            resource::create(cluster, &objects).await?;
        }
        let operator = Operator::start(
            cluster,
            Settings {
                secrets_in: &[home],
                ..Settings::default()
            },
        )
        .await?;
        let objects = ["one", "other"].map(|name| {
            [
                format!("Workspace/{name}"),
                format!("RoleBinding/{name}-users"),
                format!("RoleBinding/{name}-more"),
                format!("ApiKeyRef/{name}"),
            ]
        });
        let objects: Vec<&str> = objects.iter().flatten().map(String::as_str).collect();
        resource::until_ready(cluster, home, &objects, SOON).await?;
        Ok(Self {
            cluster,
            audit: cluster.audit_log()?,
            namespace,
            _operator: operator,
        })
    }

    fn api(&self, kind: &str) -> kube::Api<DynamicObject> {
        api(&self.cluster.client(), kind, &self.namespace)
    }

    /// Waits until the policy of `one` is as wanted, within a second.
    async fn follows(&self, wanted: impl Fn(&Value) -> bool) -> Result<()> {
        let policy =
            resource::until_policy(self.cluster, &self.namespace, "one", AT_ONCE, wanted).await?;
        // Statuses come last, so that what is counted next is complete.
        let revision = resource::policy(&policy).context("a policy")?["revision"].clone();
        wait::until(&self.api("Workspace"), "one", AT_ONCE, |object| {
            (object.data["status"]["policyRevision"] == revision).then_some(())
        })
        .await
    }

    /// Holds the operator to these writes since the mark, each once.
    async fn wrote<const N: usize>(&self, mark: Mark, expected: [&str; N]) -> Result<()> {
        let expected: BTreeMap<String, usize> = expected.map(|write| (write.to_owned(), 1)).into();
        // What was written is seen before it is answered, and logged when it is answered.
        let found = wait::ask("the writes are in the audit log", AT_ONCE, async || {
            let found = self.writes(mark).await?;
            let all = expected.keys().all(|write| found.contains_key(write));
            Ok(all.then_some(found))
        })
        .await?;
        assert_eq!(found, expected);
        Ok(())
    }

    /// The operator's writes since the mark, each with how often it was made.
    async fn writes(&self, mark: Mark) -> Result<BTreeMap<String, usize>> {
        let mut writes = BTreeMap::new();
        for request in self.audit.since(mark).await?.writes().0 {
            let part = match &*request.subresource {
                "" => String::new(),
                part => format!("/{part}"),
            };
            let write = format!(
                "{} {}{part} {}",
                request.verb, request.resource, request.name
            );
            *writes.entry(write).or_default() += 1;
        }
        Ok(writes)
    }
}

fn spec(name: &str) -> Value {
    json!({
        "rateLimits": {"requestsPerMinute": 1000},
        "roles": [{"name": "user", "maxTokens": 512}],
        "keys": {"defaultApiKeyRef": {"name": name}},
    })
}

/// The most tokens that a role of this name gives, in a policy.
fn max_tokens(policy: &Value, role: &str) -> BTreeSet<u64> {
    let roles = policy["roles"].as_object().into_iter().flatten();
    roles
        .filter(|(_, row)| row["name"] == role)
        .filter_map(|(_, row)| find(row, "maxTokens")?.as_u64())
        .collect()
}

/// A member at any depth.
fn find<'a>(value: &'a Value, member: &str) -> Option<&'a Value> {
    value.get(member).or_else(|| {
        let members = value.as_object()?.values();
        members.into_iter().find_map(|value| find(value, member))
    })
}

/// Bindings that give something to somebody, by their names.
fn granting(policy: &Value) -> BTreeSet<String> {
    resource::granting(policy)
        .iter()
        .filter_map(|binding| Some(binding.split_once('/')?.1.to_owned()))
        .collect()
}

async fn limit(cluster: &Cluster) -> Result<()> {
    let scene = Scene::set(cluster).await?;
    let mark = scene.audit.mark().await?;
    let roles = json!({"spec": {"roles": [{"name": "user", "maxTokens": 777}]}});
    // With kubectl, as people do it.
    cluster.kubectl_ok(&[
        "patch",
        "aiws",
        "one",
        "--namespace",
        &scene.namespace,
        "--type=merge",
        "--patch",
        &roles.to_string(),
    ])?;
    scene
        .follows(|policy| max_tokens(policy, "user") == BTreeSet::from([777]))
        .await?;
    scene
        .wrote(
            mark,
            ["patch configmaps one.policy", "patch workspaces/status one"],
        )
        .await
}

async fn subject(cluster: &Cluster) -> Result<()> {
    let scene = Scene::set(cluster).await?;
    let count = |policy: &Value| {
        policy["subjects"]
            .as_object()
            .map(|subjects| subjects.len())
    };
    let policy = scene.api("ConfigMap").get("one.policy").await?;
    assert_eq!(resource::policy(&policy).as_ref().and_then(count), Some(2));

    let mark = scene.audit.mark().await?;
    let subjects = ["app", "job", "newcomer"].map(service_account);
    let change = json!({"spec": {"subjects": subjects}});
    merge(&scene.api("RoleBinding"), "one-users", change).await?;
    scene.follows(|policy| count(policy) == Some(3)).await?;
    let bindings = scene.api("RoleBinding");
    resource::until(&bindings, "one-users", ("Ready", "True", ""), AT_ONCE).await?;
    scene
        .wrote(
            mark,
            [
                "patch configmaps one.policy",
                "patch rolebindings/status one-users",
                "patch workspaces/status one",
            ],
        )
        .await
}

async fn overlapping(cluster: &Cluster) -> Result<()> {
    let scene = Scene::set(cluster).await?;
    let policy = scene.api("ConfigMap").get("one.policy").await?;
    assert_eq!(
        resource::policy(&policy).as_ref().map(granting),
        Some(["one-users", "one-more"].map(str::to_owned).into())
    );

    let mark = scene.audit.mark().await?;
    delete(&scene.api("RoleBinding"), "one-more").await?;
    scene
        .follows(|policy| granting(policy) == BTreeSet::from(["one-users".to_owned()]))
        .await?;
    let policy = scene.api("ConfigMap").get("one.policy").await?;
    let policy = resource::policy(&policy).context("a policy")?;
    assert_eq!(
        policy["subjects"].as_object().map(|all| all.len()),
        Some(2),
        "{policy}"
    );
    scene
        .wrote(
            mark,
            ["patch configmaps one.policy", "patch workspaces/status one"],
        )
        .await
}

async fn made_anew(cluster: &Cluster) -> Result<()> {
    let scene = Scene::set(cluster).await?;
    let config_maps = scene.api("ConfigMap");
    let untouched = ["other.policy"].map(|name| ("ConfigMap", name));
    let untouched = untouched
        .into_iter()
        .chain(["one-target", "other-target"].map(|name| ("Secret", name)));
    let untouched: Vec<_> = untouched.collect();
    let versions = async || -> Result<Vec<Option<String>>> {
        let mut versions = Vec::new();
        for (kind, name) in &untouched {
            versions.push(scene.api(kind).get(name).await?.resource_version());
        }
        Ok(versions)
    };
    let before = versions().await?;

    delete(&scene.api("Workspace"), "one").await?;
    let bindings = scene.api("RoleBinding");
    let missing = ("Ready", "False", "WorkspaceNotFound");
    let message = resource::until(&bindings, "one-users", missing, AT_ONCE).await?;
    assert!(message.contains("Create it"), "{message}");
    // A reference that may be on its way is no fault of this object.
    let seen = bindings.get("one-users").await?;
    assert!(resource::condition(&seen, "Stalled").is_none());
    // Kubernetes' garbage collector looks for new kinds every 30 s.
    wait::until_gone(&config_maps, "one.policy", Duration::from_secs(45)).await?;

    let wanted: BTreeSet<String> = ["one-users", "one-more"].map(str::to_owned).into();
    let anew =
        resource::create_one(cluster, &workspace(&scene.namespace, "one", spec("one"))).await?;
    scene.follows(|policy| granting(policy) == wanted).await?;
    resource::until(&bindings, "one-users", ("Ready", "True", ""), AT_ONCE).await?;

    // And without a pause in between, whoever is first, the garbage collector or the operator.
    delete(&scene.api("Workspace"), "one").await?;
    let last =
        resource::create_one(cluster, &workspace(&scene.namespace, "one", spec("one"))).await?;
    assert_ne!(anew.uid(), last.uid());
    wait::until(&config_maps, "one.policy", 2 * AT_ONCE, |policy| {
        let owner = policy.owner_references().first()?;
        (Some(&owner.uid) == last.metadata.uid.as_ref()).then_some(())
    })
    .await?;
    resource::until(
        &scene.api("Workspace"),
        "one",
        ("Ready", "True", ""),
        AT_ONCE,
    )
    .await?;
    assert_eq!(before, versions().await?);
    Ok(())
}

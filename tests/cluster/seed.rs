//! The organisation of `examples/seed` on the cluster, from kubectl apply to the last status.
//! Must not know its names twice: what can be read from the manifests or the cluster is.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use kube::{
    ResourceExt,
    api::{DynamicObject, ListParams},
};
use serde_json::Value;

use crate::{
    cluster::{Cluster, KINDS},
    command_line,
    operator::{Operator, Settings},
    resource::{self, Versions},
    suite::{Test, test},
};

/// Where its objects are.
pub(crate) const NAMESPACES: [&str; 3] = ["claude", "auth", "search"];

/// How long a cold start may take on a busy machine; the tests of delays are elsewhere.
const SOON: Duration = Duration::from_secs(20);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "the seed organisation converges to what render writes, keys mapped, dues flagged",
            converges,
        )
        .also_namespaced(),
    ]
}

/// The organisation applied as users do it, with an operator that has finished.
pub(crate) async fn converged(cluster: &Cluster) -> Result<Operator> {
    apply(cluster).await?;
    let operator = Operator::start(
        cluster,
        Settings {
            secrets_in: &NAMESPACES,
            ..Settings::default()
        },
    )
    .await?;
    all_ready(cluster).await?;
    Ok(operator)
}

/// `kubectl apply` into namespaces that go when the test ends.
async fn apply(cluster: &Cluster) -> Result<()> {
    for namespace in NAMESPACES {
        cluster.named_namespace(namespace, &[]).await?;
    }
    apply_again(cluster)
}

/// `kubectl apply`, a second time.
pub(crate) fn apply_again(cluster: &Cluster) -> Result<()> {
    cluster.kubectl_ok(&["apply", "--filename=examples/seed"])?;
    Ok(())
}

/// Every object of the three kinds.
async fn objects(cluster: &Cluster) -> Result<Vec<(&'static str, DynamicObject)>> {
    let mut objects = Vec::new();
    for (kind, _) in KINDS {
        for namespace in NAMESPACES {
            let api = resource::api(&cluster.client(), kind, namespace);
            let listed = api.list(&ListParams::default()).await?;
            objects.extend(listed.items.into_iter().map(|object| (kind, object)));
        }
    }
    ensure!(objects.len() >= 20, "the seed has more objects than that");
    Ok(objects)
}

async fn all_ready(cluster: &Cluster) -> Result<()> {
    for (kind, object) in objects(cluster).await? {
        let namespace = object.namespace().unwrap_or_default();
        let api = resource::api(&cluster.client(), kind, &namespace);
        resource::until(&api, &object.name_any(), ("Ready", "True", ""), SOON).await?;
    }
    Ok(())
}

/// The resourceVersions of everything in its namespaces.
pub(crate) async fn versions(cluster: &Cluster) -> Result<Versions> {
    let mut versions = Versions::new();
    for namespace in NAMESPACES {
        versions.extend(resource::versions(cluster, namespace).await?);
    }
    Ok(versions)
}

// === tests ===

/// One convergence, looked at from all sides.
async fn converges(cluster: &Cluster) -> Result<()> {
    let _operator = converged(cluster).await?;
    ready(cluster).await.context("every object is ready")?;
    rendered(cluster)
        .await
        .context("the policy is what render writes")?;
    mapped(cluster).await.context("keys are mapped")?;
    overdue(cluster)
        .await
        .context("an overdue key is flagged with one Event")?;
    checked(cluster).await.context("check reads the cluster")?;
    columns(cluster).context("every column is filled")
}

async fn ready(cluster: &Cluster) -> Result<()> {
    // As a person or a pipeline waits for it.
    for (_, plural) in KINDS {
        let said = cluster.kubectl_ok(&[
            "wait",
            "--for=condition=Ready",
            &format!("{plural}.anthropic-rbac.io"),
            "--all",
            "--namespace=claude",
            "--timeout=5s",
        ])?;
        ensure!(said.contains("condition met"), "{plural}: {said}");
    }
    for (kind, object) in objects(cluster).await? {
        let name = object.name_any();
        let observed = object.data["status"]["observedGeneration"].as_i64();
        assert_eq!(observed, object.metadata.generation, "{kind} {name}");
        let ready = resource::condition(&object, "Ready");
        assert_eq!(
            ready.map(|ready| &ready["status"]),
            Some(&Value::from("True")),
            "{kind} {name}: {}",
            object.data["status"]
        );
        assert!(
            resource::condition(&object, "Stalled").is_none(),
            "{kind} {name}"
        );
    }
    Ok(())
}

async fn rendered(cluster: &Cluster) -> Result<()> {
    let folder = cluster.dir().join("rendered");
    command_line::render("examples/seed", &folder)?;

    let mut on_cluster = BTreeMap::new();
    let mut on_disk = BTreeMap::new();
    let ours = ListParams::default().labels("app.kubernetes.io/managed-by=anthropic-rbac");
    for namespace in NAMESPACES {
        let api = resource::api(&cluster.client(), "ConfigMap", namespace);
        for object in api.list(&ours).await?.items {
            let name = format!("{namespace}/{}", object.name_any());
            let hash = object.annotations()["anthropic-rbac.io/content-sha256"].clone();
            let labels = serde_json::to_value(object.labels())?;
            on_cluster.insert(name, (object.data["data"].clone(), hash, labels));
        }
        let manifests = manifests(&folder.join(namespace), "configmap.")?;
        on_disk.extend(manifests.into_iter().map(|manifest| {
            let metadata = &manifest["metadata"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let name = format!("{namespace}/{}", text(&metadata["name"]));
            let hash = text(&metadata["annotations"]["anthropic-rbac.io/content-sha256"]);
            let labels = metadata["labels"].clone();
            (name, (manifest["data"].clone(), hash, labels))
        }));
    }
    for workspace in ["production", "staging", "development"] {
        let name = format!("claude/{workspace}.policy");
        ensure!(on_cluster.contains_key(&name), "no {name}");
    }
    ensure!(on_cluster.contains_key("claude/production.console"));
    assert_eq!(on_cluster, on_disk, "left: the cluster; right: render");
    Ok(())
}

fn manifests(folder: &Path, prefix: &str) -> Result<Vec<Value>> {
    let Ok(files) = fs::read_dir(folder) else {
        return Ok(Vec::new()); // nothing is rendered for this namespace
    };
    let mut manifests = Vec::new();
    for file in files {
        let file = file?;
        if file.file_name().to_string_lossy().starts_with(prefix) {
            manifests.push(serde_saphyr::from_str(&fs::read_to_string(file.path())?)?);
        }
    }
    Ok(manifests)
}

async fn mapped(cluster: &Cluster) -> Result<()> {
    let mut compared = 0;
    for (_, key) in objects(cluster)
        .await?
        .into_iter()
        .filter(|(kind, _)| *kind == "ApiKeyRef")
    {
        let namespace = key.namespace().unwrap_or_default();
        let secrets = resource::api(&cluster.client(), "Secret", &namespace);
        let spec = &key.data["spec"];
        let Some(target) = spec["target"]["secretName"].as_str() else {
            continue;
        };
        let source = &spec["source"]["secretKeyRef"];
        let text = |value: &'_ Value| value.as_str().map(str::to_owned).context("a name");
        let from = secrets.get(&text(&source["name"])?).await?;
        let to = secrets.get(target).await?;
        let wanted = resource::value(&from, &text(&source["key"])?);
        // Not assert_eq: it would print them.
        ensure!(
            wanted.is_some() && resource::value(&to, "ANTHROPIC_API_KEY") == wanted,
            "{target} does not hold what its source holds"
        );
        let owner = to.owner_references().first().context("an owner")?;
        assert_eq!(
            (owner.kind.as_str(), owner.name.as_str(), owner.controller),
            ("ApiKeyRef", &*key.name_any(), Some(true))
        );
        compared += 1;
    }
    assert_eq!(compared, 3, "the seed maps three keys");
    Ok(())
}

async fn overdue(cluster: &Cluster) -> Result<()> {
    let keys = resource::api(&cluster.client(), "ApiKeyRef", "claude");
    let due = ("RotationDue", "True", "Overdue");
    let message = resource::until(&keys, "prod-batch", due, SOON).await?;
    ensure!(
        message.contains("2026-07-30"),
        "it says since when: {message}"
    );
    let key = keys.get("prod-batch").await?;
    assert_eq!(key.data["status"]["rotation"], "Overdue");
    assert_eq!(key.data["status"]["dueAt"], "2026-07-30T00:00:00Z");
    // The default only flags.
    ensure!(resource::condition(&key, "Ready").is_some_and(|ready| ready["status"] == "True"));

    let events = resource::api(&cluster.client(), "Event", "claude");
    let events = events.list(&ListParams::default()).await?.items;
    let about: Vec<_> = events
        .iter()
        .filter(|event| event.data["regarding"]["name"] == "prod-batch")
        .collect();
    ensure!(about.len() == 1, "not one Event: {about:#?}");
    let event = &about[0].data;
    assert_eq!(
        (&event["type"], &event["reason"], &event["regarding"]["uid"]),
        (
            &Value::from("Warning"),
            &Value::from("RotationOverdue"),
            &Value::from(key.uid())
        )
    );
    Ok(())
}

async fn checked(cluster: &Cluster) -> Result<()> {
    let search = "serviceaccount:search/search";
    let haiku = "claude-haiku-4-20250514";
    let (exit, answer) = command_line::check(cluster, search, "claude/production", haiku)?;
    assert_eq!(
        (exit, &answer["decision"]),
        (Some(0), &Value::from("Allow")),
        "{answer}"
    );
    assert_eq!(answer["binding"], "search/search-service");
    assert_eq!(answer["apiKeyRef"], "search/prod-search-service");
    assert_eq!(answer["maxTokens"], 512);
    // Served with the Workspace's own key, which is mapped to no Secret.
    let uma = "user:corp:uma@example.com";
    let (exit, answer) = command_line::check(cluster, uma, "claude/production", haiku)?;
    assert_eq!(
        (exit, &answer["apiKeyRef"]),
        (Some(0), &Value::from("claude/prod-main")),
        "{answer}"
    );
    // What it decided by is what gateways decide by.
    let production = resource::api(&cluster.client(), "Workspace", "claude")
        .get("production")
        .await?;
    assert_eq!(
        answer["policyRevision"],
        production.data["status"]["policyRevision"]
    );

    let opus = "claude-opus-4-20250514";
    let (exit, answer) = command_line::check(cluster, search, "claude/production", opus)?;
    assert_eq!(
        (exit, &answer["decision"]),
        (Some(1), &Value::from("Deny")),
        "{answer}"
    );
    assert_eq!(
        answer["message"],
        format!("Role cannot access model: {opus}")
    );
    let vic = "user:corp:vic@example.com";
    let (exit, answer) = command_line::check(cluster, vic, "claude/staging", haiku)?;
    assert_eq!(
        (exit, &answer["status"]),
        (Some(1), &Value::from(403)),
        "{answer}"
    );
    assert_eq!(answer["message"], "Role does not allow API access");
    Ok(())
}

fn columns(cluster: &Cluster) -> Result<()> {
    for (short, wanted) in [
        (
            "aiws",
            "NAME ENVIRONMENT RPM BINDINGS KEYS DUE READY REASON AGE",
        ),
        (
            "airb",
            "NAME WORKSPACE ROLE SUBJECTS ACTIVE READY REASON AGE",
        ),
        (
            "aikey",
            "NAME WORKSPACE SERVICE ROTATION DUE READY REASON AGE",
        ),
    ] {
        let table = cluster.kubectl_ok(&["get", short, "--namespace=claude"])?;
        let mut rows = table
            .lines()
            .map(|row| row.split_whitespace().collect::<Vec<_>>());
        let head = rows.next().context("a table")?;
        assert_eq!(head.join(" "), wanted);
        let mut seen = 0;
        for row in rows {
            // A column that is not filled is blank.
            ensure!(
                row.len() == head.len() && !row.contains(&"<none>"),
                "{table}"
            );
            seen += 1;
        }
        ensure!(seen > 2, "{table}");
    }
    Ok(())
}

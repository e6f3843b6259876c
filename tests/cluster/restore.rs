//! What the operator wrote stays as it wrote it, and what it did not write is not its business.
//! Must not weaken the one rule: ours is what our controller reference says is ours.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::{Api, ResourceExt, api::DynamicObject};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    operator::{Operator, Settings},
    resource::{
        self, api, binding, config_map, delete, fake_key, key, merge, secret, until, workspace,
    },
    suite::{Test, test},
    wait,
};

/// How soon something is as it was.
const RESTORED: Duration = Duration::from_secs(2);

/// How long the beginning may take.
const SOON: Duration = Duration::from_secs(20);

/// How long until what changed unseen is found: ConfigMaps of others are not watched.
const RECHECKED: Duration = Duration::from_secs(70);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("an edited or deleted policy is restored", policy),
        test("an edited or deleted target Secret is restored", target).also_namespaced(),
        test(
            "what was edited and put back while nobody looked is restored once",
            put_back,
        )
        .needs_audit_log(),
        test("what is no longer marked as ours is left alone", disowned),
        test(
            "a foreign ConfigMap of a policy's name is left alone, until it is gone",
            foreign_config_map,
        ),
        test(
            "a foreign Secret of a target's name is left alone, until it is gone",
            foreign_secret,
        ),
    ]
}

/// A workspace with a subject and a mapped key.
async fn organisation(cluster: &Cluster) -> Result<String> {
    let namespace = cluster.namespace("restore").await?;
    let home = namespace.as_str();
    let objects = [
        secret(home, "source", &fake_key("restore")),
        workspace(home, "one", json!({"displayName": "One"})),
        binding(home, "users", "one", "user", &["app"]),
        key(home, "app", "one", "source", "target"),
    ];
    resource::create(cluster, &objects).await?;
    Ok(namespace)
}

async fn operator(cluster: &Cluster, namespace: &str) -> Result<Operator> {
    let settings = Settings {
        secrets_in: &[namespace],
        ..Settings::default()
    };
    Operator::start(cluster, settings).await
}

async fn converged(cluster: &Cluster, namespace: &str) -> Result<()> {
    let objects = ["Workspace/one", "RoleBinding/users", "ApiKeyRef/app"];
    resource::until_ready(cluster, namespace, &objects, SOON).await
}

/// What must be as it was: data, our labels and annotations, owner, type.
fn essence(object: &DynamicObject) -> Value {
    // When a value was written is remembered beside it, and is another time once it is written anew.
    let memory = "anthropic-rbac.io/key-versions";
    let ours = |(name, _): &(&String, &String)| {
        let marked = name.contains("anthropic-rbac.io/") || name.starts_with("app.kubernetes.io/");
        marked && *name != memory
    };
    json!({
        "data": object.data["data"],
        "type": object.data["type"],
        "labels": object.labels().iter().filter(ours).collect::<Vec<_>>(),
        "annotations": object.annotations().iter().filter(ours).collect::<Vec<_>>(),
        "owners": object.owner_references(),
    })
}

/// Spoils an object, and waits until it is as it was.
async fn spoil(api: &Api<DynamicObject>, name: &str, what: &str, change: Value) -> Result<()> {
    let good = essence(&api.get(name).await?);
    let spoilt = merge(api, name, change).await?;
    ensure!(essence(&spoilt) != good, "{what}: it was spoilt");
    restored(api, name, &good)
        .await
        .with_context(|| format!("after somebody has {what}"))
}

/// Not shown on failure: it may be a key.
async fn restored(api: &Api<DynamicObject>, name: &str, good: &Value) -> Result<()> {
    let is_good = |object: &DynamicObject| (essence(object) == *good).then_some(());
    wait::until(api, name, RESTORED, is_good).await
}

async fn spoil_in_every_way(
    api: &Api<DynamicObject>,
    name: &str,
    data: &str,
    value: &str,
) -> Result<()> {
    // Somebody's own, to which he is entitled.
    let mine = json!({"metadata": {
        "labels": {"example.com/team": "platform"},
        "annotations": {"example.com/note": "kept"},
    }});
    merge(api, name, mine).await?;

    spoil(api, name, "edited its data", json!({"data": {data: value}})).await?;
    spoil(api, name, "removed its data", json!({"data": {data: null}})).await?;
    spoil(api, name, "added data", json!({"data": {"more": value}})).await?;
    let labels = json!({"metadata": {"labels": {
        "app.kubernetes.io/managed-by": null,
        "anthropic-rbac.io/workspace": "another",
    }}});
    spoil(api, name, "changed its labels", labels).await?;
    let annotations = json!({"metadata": {"annotations": {
        "anthropic-rbac.io/content-sha256": "0000",
    }}});
    spoil(api, name, "changed its annotations", annotations).await?;

    let object = api.get(name).await?;
    assert_eq!(
        object.labels().get("example.com/team").map(String::as_str),
        Some("platform")
    );
    assert_eq!(
        object
            .annotations()
            .get("example.com/note")
            .map(String::as_str),
        Some("kept")
    );

    let good = essence(&object);
    delete(api, name).await?;
    restored(api, name, &good)
        .await
        .context("after somebody has deleted it")?;
    assert_ne!(api.get(name).await?.uid(), object.uid());
    Ok(())
}

async fn policy(cluster: &Cluster) -> Result<()> {
    let namespace = organisation(cluster).await?;
    let _operator = operator(cluster, &namespace).await?;
    converged(cluster, &namespace).await?;
    let config_maps = api(&cluster.client(), "ConfigMap", &namespace);
    spoil_in_every_way(&config_maps, "one.policy", "policy.json", "{}").await?;
    converged(cluster, &namespace).await
}

async fn target(cluster: &Cluster) -> Result<()> {
    let namespace = organisation(cluster).await?;
    let _operator = operator(cluster, &namespace).await?;
    converged(cluster, &namespace).await?;
    let secrets = api(&cluster.client(), "Secret", &namespace);
    let foreign = "c29tZWJvZHk="; // somebody
    spoil_in_every_way(&secrets, "target", "ANTHROPIC_API_KEY", foreign).await?;
    let value = resource::value(&secrets.get("target").await?, "ANTHROPIC_API_KEY");
    ensure!(value == Some(fake_key("restore")), "the source's value");
    converged(cluster, &namespace).await
}

/// Its fields are somebody else's from then on, and a write of what is there already does not make
/// them the operator's again.
async fn put_back(cluster: &Cluster) -> Result<()> {
    let namespace = organisation(cluster).await?;
    let mut operator = operator(cluster, &namespace).await?;
    converged(cluster, &namespace).await?;
    operator.stop().await?;
    let client = cluster.client();
    let config_maps = api(&client, "ConfigMap", &namespace);
    let good = config_maps.get("one.policy").await?.data["data"]["policy.json"].clone();
    for text in [json!("{}"), good] {
        let data = json!({"data": {"policy.json": text}});
        merge(&config_maps, "one.policy", data).await?;
    }
    let audit = cluster.audit_log()?;
    let start = audit.mark().await?;
    operator.launch_again().await?;
    let workspaces = api(&client, "Workspace", &namespace);
    for name in ["Two", "Three", "Four"] {
        // It is planned anew for that, and nothing of the policy changes.
        let edit = json!({"spec": {"displayName": name}});
        let edited = merge(&workspaces, "one", edit).await?.metadata.generation;
        wait::until(&workspaces, "one", SOON, |object: &DynamicObject| {
            let told = object.data["status"]["observedGeneration"].as_i64();
            (told == edited).then_some(())
        })
        .await?;
    }
    let requests = audit.since(start).await?;
    let restored = requests.count("patch", "configmaps", "");
    ensure!(restored == 1, "{restored} times:\n{requests}");
    Ok(())
}

/// Whoever takes the owner reference off takes the object over: anything else would let the
/// operator write to what it cannot know to be its own.
async fn disowned(cluster: &Cluster) -> Result<()> {
    let namespace = organisation(cluster).await?;
    let _operator = operator(cluster, &namespace).await?;
    converged(cluster, &namespace).await?;
    let strip = json!({"metadata": {"ownerReferences": null}});
    let client = cluster.client();

    let secrets = api(&client, "Secret", &namespace);
    let keys = api(&client, "ApiKeyRef", &namespace);
    let taken = merge(&secrets, "target", strip.clone()).await?;
    until(&keys, "app", ("Ready", "False", "NotOurs"), RESTORED).await?;
    assert_eq!(
        secrets.get("target").await?.resource_version(),
        taken.resource_version()
    );
    delete(&secrets, "target").await?;
    until(&keys, "app", ("Ready", "True", ""), RESTORED).await?;

    let config_maps = api(&client, "ConfigMap", &namespace);
    let workspaces = api(&client, "Workspace", &namespace);
    let taken = merge(&config_maps, "one.policy", strip).await?;
    until(&workspaces, "one", ("Ready", "False", "NotOurs"), RESTORED).await?;
    assert_eq!(
        config_maps.get("one.policy").await?.resource_version(),
        taken.resource_version()
    );
    Ok(())
}

async fn foreign_config_map(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("foreign").await?;
    let home = namespace.as_str();
    let foreign = config_map(home, "one.policy", "policy.json", "mine");
    let foreign = resource::create_one(cluster, &foreign).await?;
    let _operator = operator(cluster, home).await?;
    let one = workspace(home, "one", json!({"displayName": "One"}));
    resource::create_one(cluster, &one).await?;

    let client = cluster.client();
    let (workspaces, bindings) = (
        api(&client, "Workspace", home),
        api(&client, "RoleBinding", home),
    );
    let not_ours = ("Ready", "False", "NotOurs");
    let message = until(&workspaces, "one", not_ours, SOON).await?;
    ensure!(message.contains("one.policy"), "it says which: {message}");
    until(&workspaces, "one", ("Programmed", "False", "NotOurs"), SOON).await?;
    until(&workspaces, "one", ("Accepted", "True", ""), SOON).await?;
    // What is attached later makes it no better.
    resource::create_one(cluster, &binding(home, "users", "one", "user", &["app"])).await?;
    until(&bindings, "users", not_ours, SOON).await?;
    until(&workspaces, "one", not_ours, SOON).await?;
    let config_maps = api(&client, "ConfigMap", home);
    let still = config_maps.get("one.policy").await?;
    assert_eq!(still.resource_version(), foreign.resource_version());

    delete(&config_maps, "one.policy").await?;
    until(&workspaces, "one", ("Ready", "True", ""), RECHECKED).await?;
    until(&bindings, "users", ("Ready", "True", ""), RESTORED).await?;
    let policy = config_maps.get("one.policy").await?;
    ensure!(resource::policy(&policy).is_some(), "now it is a policy");
    Ok(())
}

async fn foreign_secret(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("foreign").await?;
    let home = namespace.as_str();
    let foreign = resource::create_one(cluster, &secret(home, "target", "mine")).await?;
    let _operator = operator(cluster, home).await?;
    let objects = [
        secret(home, "source", &fake_key("foreign")),
        workspace(home, "one", json!({"displayName": "One"})),
        key(home, "app", "one", "source", "target"),
    ];
    resource::create(cluster, &objects).await?;

    let client = cluster.client();
    let (keys, secrets) = (
        api(&client, "ApiKeyRef", home),
        api(&client, "Secret", home),
    );
    let message = until(&keys, "app", ("Ready", "False", "NotOurs"), SOON).await?;
    ensure!(message.contains("target"), "it says which: {message}");
    // It is not the Workspace's fault.
    until(
        &api(&client, "Workspace", home),
        "one",
        ("Ready", "True", ""),
        SOON,
    )
    .await?;
    let still = secrets.get("target").await?;
    assert_eq!(still.resource_version(), foreign.resource_version());

    delete(&secrets, "target").await?;
    until(&keys, "app", ("Ready", "True", ""), RESTORED).await?;
    let value = resource::value(&secrets.get("target").await?, "ANTHROPIC_API_KEY");
    ensure!(value == Some(fake_key("foreign")), "now it holds the key");
    Ok(())
}

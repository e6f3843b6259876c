//! What is wrong denies, says so, and holds nobody else up.
//! Must not leave another schema behind than the shipped one, however a test ends.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, KINDS},
    install,
    operator::{Operator, Settings},
    resource::{self, api, binding, fake_key, key, secret, service_account, until, workspace},
    suite::{Test, test},
    wait,
};

/// How long a cold start may take.
const SOON: Duration = Duration::from_secs(20);

/// How long nothing may be written.
const WINDOW: Duration = Duration::from_secs(5);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "references that lead nowhere deny, and say what to do",
            unresolved,
        )
        .also_namespaced(),
        test(
            "stored objects that the schema no longer allows deny, and hold up nobody",
            outdated,
        ),
    ]
}

/// A sound organisation: `good`, `good-users` and `good-key`.
async fn sound(cluster: &Cluster, home: &str) -> Result<()> {
    let objects = [
        secret(home, "source", &fake_key("good")),
        workspace(home, "good", json!({"displayName": "Good"})),
        binding(home, "good-users", "good", "user", &["app"]),
        key(home, "good-key", "good", "source", "good-target"),
    ];
    resource::create(cluster, &objects).await
}

async fn operator(cluster: &Cluster, home: &str) -> Result<Operator> {
    let settings = Settings {
        secrets_in: &[home],
        ..Settings::default()
    };
    Operator::start(cluster, settings).await
}

async fn sound_is_ready(cluster: &Cluster, home: &str) -> Result<()> {
    let objects = [
        "Workspace/good",
        "RoleBinding/good-users",
        "ApiKeyRef/good-key",
    ];
    resource::until_ready(cluster, home, &objects, SOON).await?;
    let config_maps = api(&cluster.client(), "ConfigMap", home);
    let policy = resource::policy(&config_maps.get("good.policy").await?).context("a policy")?;
    let users = format!("{home}/good-users");
    assert_eq!(resource::granting(&policy), [users].into());
    Ok(())
}

async fn unresolved(cluster: &Cluster) -> Result<()> {
    let elsewhere = cluster.namespace("elsewhere").await?;
    let namespace = cluster.namespace("broken").await?;
    let home = namespace.as_str();
    sound(cluster, home).await?;
    let nowhere = format!("{elsewhere}/nowhere");
    let objects = [
        binding(home, "no-role", "good", "no-such-role", &["app"]),
        binding(home, "no-workspace", "missing", "user", &["app"]),
        binding(home, "no-permission", &nowhere, "user", &["app"]),
        key(
            home,
            "key-no-workspace",
            "missing",
            "source",
            "other-target",
        ),
        key(home, "key-no-source", "good", "not-there", "third-target"),
    ];
    resource::create(cluster, &objects).await?;
    let _operator = operator(cluster, home).await?;

    let client = cluster.client();
    for (kind, name, reason) in [
        ("RoleBinding", "no-role", "RoleNotFound"),
        ("RoleBinding", "no-workspace", "WorkspaceNotFound"),
        ("RoleBinding", "no-permission", "RefNotPermitted"),
        ("ApiKeyRef", "key-no-workspace", "WorkspaceNotFound"),
        ("ApiKeyRef", "key-no-source", "SourceNotFound"),
    ] {
        let api = api(&client, kind, home);
        let message = until(&api, name, ("Ready", "False", reason), SOON).await?;
        ensure!(message.len() > 20, "{name} says what to do: {message}");
        until(&api, name, ("ResolvedRefs", "False", reason), SOON).await?;
        // What is missing may be on its way.
        let object = api.get(name).await?;
        ensure!(
            resource::condition(&object, "Stalled").is_none(),
            "{name} is not stalled"
        );
    }
    let secrets = api(&client, "Secret", home);
    for target in ["other-target", "third-target"] {
        ensure!(
            secrets.get_opt(target).await?.is_none(),
            "nothing to map, no {target}"
        );
    }
    sound_is_ready(cluster, home).await
}

async fn outdated(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("outdated").await?;
    let home = namespace.as_str();
    let stored = store_outdated(cluster, home).await;
    // Puts the shipped schema back, whatever has happened.
    install::install(cluster).await?;
    stored?;
    let bad = workspace("default", "bad", json!({"state": "Paused"}));
    until_answer(cluster, &bad, false).await?;
    sound(cluster, home).await?;
    let mut operator = operator(cluster, home).await?;

    let client = cluster.client();
    for (kind, name) in [
        ("Workspace", "odd-issuers"),
        ("Workspace", "odd-state"),
        ("RoleBinding", "odd-kind"),
        ("RoleBinding", "odd-window"),
        ("RoleBinding", "odd-subject"),
        ("ApiKeyRef", "odd-state"),
    ] {
        let api = api(&client, kind, home);
        let message = until(&api, name, ("Ready", "False", "InvalidSpec"), SOON).await?;
        ensure!(message.contains("spec"), "{name} says where: {message}");
        // This very object must be edited.
        until(&api, name, ("Stalled", "True", "InvalidSpec"), SOON).await?;
    }
    // Its target is its source, which is there and not ours.
    let keys = api(&client, "ApiKeyRef", home);
    until(&keys, "odd-target", ("Ready", "False", "NotOurs"), SOON).await?;
    let source = api(&client, "Secret", home).get("source").await?;
    ensure!(
        resource::value(&source, "api-key") == Some(fake_key("good")),
        "it is as it was"
    );
    ensure!(source.owner_references().is_empty() && source.labels().is_empty());
    // Attached to what is not understood: denied, and not its own fault.
    let bindings = api(&client, "RoleBinding", home);
    until(
        &bindings,
        "odd-users",
        ("Ready", "False", "InvalidSpec"),
        SOON,
    )
    .await?;
    ensure!(resource::condition(&bindings.get("odd-users").await?, "Stalled").is_none());
    let config_maps = api(&client, "ConfigMap", home);
    let odd =
        resource::policy(&config_maps.get("odd-issuers.policy").await?).context("a policy")?;
    assert_eq!(odd["workspace"]["state"], "Disabled");
    assert_eq!(resource::granting(&odd), [].into());
    ensure!(
        api(&client, "Secret", home)
            .get_opt("odd-target")
            .await?
            .is_none()
    );
    sound_is_ready(cluster, home).await?;

    // It is told so once, and not again by an operator that starts anew.
    let told = resource::versions(cluster, home).await?;
    operator.restart().await?;
    wait::quiet(&Api::<ConfigMap>::namespaced(client, home), WINDOW).await?;
    assert_eq!(resource::versions(cluster, home).await?, told);

    // And an edit mends it.
    let mended = json!({"spec": {"notBefore": null}});
    resource::merge(&bindings, "odd-window", mended).await?;
    until(&bindings, "odd-window", ("Ready", "True", ""), SOON).await?;
    ensure!(resource::condition(&bindings.get("odd-window").await?, "Stalled").is_none());
    Ok(())
}

/// Stores what an earlier schema may have allowed.
async fn store_outdated(cluster: &Cluster, home: &str) -> Result<()> {
    let mut odd_kind = binding(home, "odd-kind", "good", "user", &["app"]);
    odd_kind["spec"]["roleRef"]["kind"] = "SuperRole".into();
    let mut odd_window = binding(home, "odd-window", "good", "viewer", &["app"]);
    odd_window["spec"]["notBefore"] = "2027-01-01T00:00:00Z".into();
    odd_window["spec"]["expiresAt"] = "2026-01-01T00:00:00Z".into();
    let mut odd_subject = binding(home, "odd-subject", "good", "admin", &["app"]);
    odd_subject["spec"]["subjects"] =
        json!([service_account("app"), {"kind": "Robot", "name": "r2"}]);
    let mut odd_state = key(home, "odd-state", "good", "source", "odd-target");
    odd_state["spec"]["state"] = "Paused".into();
    // Its own target as its source.
    let odd_target = key(home, "odd-target", "good", "source", "source");
    let cluster_issuer =
        |name: &str| json!({"name": name, "type": "Kubernetes", "audiences": [name]});
    let issuers = [cluster_issuer("one"), cluster_issuer("two")];
    let two_clusters = json!({"authentication": {"issuers": issuers}});
    let objects = [
        workspace(home, "odd-issuers", two_clusters),
        workspace(home, "odd-state", json!({"state": "Paused"})),
        binding(home, "odd-users", "odd-issuers", "user", &["app"]),
        odd_kind,
        odd_window,
        odd_subject,
        odd_state,
        odd_target,
    ];
    for (_, plural) in KINDS {
        loosen(cluster, plural).await?;
    }
    for object in &objects {
        until_answer(cluster, object, true).await?;
        resource::create_one(cluster, object).await?;
    }
    Ok(())
}

/// A definition that allows everything.
async fn loosen(cluster: &Cluster, plural: &str) -> Result<()> {
    let gvk = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let definitions: Api<DynamicObject> =
        Api::all_with(cluster.client(), &ApiResource::from_gvk(&gvk));
    let name = format!("{plural}.anthropic-rbac.io");
    let mut versions = definitions.get(&name).await?.data["spec"]["versions"].take();
    let version = versions[0].as_object_mut().context("a version")?;
    // They may only select what the schema has.
    version.remove("selectableFields");
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    version.insert("schema".into(), json!({"openAPIV3Schema": anything}));
    let change = json!({"spec": {"versions": versions}});
    definitions
        .patch(&name, &PatchParams::default(), &Patch::Merge(change))
        .await
        .with_context(|| format!("loosening {name}"))?;
    Ok(())
}

/// A schema takes effect some time after it is stored: waits until this object would be
/// stored, or would not.
async fn until_answer(cluster: &Cluster, object: &Value, accepted: bool) -> Result<()> {
    let kind = object["kind"].as_str().context("a kind")?;
    let namespace = object["metadata"]["namespace"]
        .as_str()
        .context("a namespace")?;
    let api = api(&cluster.client(), kind, namespace);
    let object: DynamicObject = serde_json::from_value(object.clone())?;
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    wait::ask("the schema is in effect", SOON, async || {
        match api.create(&dry_run, &object).await {
            Ok(_) => Ok(accepted.then_some(())),
            Err(kube::Error::Api(status)) if status.is_invalid() => Ok((!accepted).then_some(())),
            Err(error) => Err(error.into()),
        }
    })
    .await
}

//! Objects of any kind as the API server has them, in JSON: what a test writes, and what it
//! looks for in a status. Must not use the project's own types: a mistake in them would hide.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, Result};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, KINDS},
    wait,
};

/// Who changes what the operator wrote, in the eyes of the API server.
pub(crate) const SOMEBODY: &str = "somebody";

/// The objects of one kind in one namespace; in all if it is empty.
pub(crate) fn api(client: &Client, kind: &str, namespace: &str) -> Api<DynamicObject> {
    let custom = KINDS.iter().find(|(ours, _)| *ours == kind);
    let resource = match (custom, kind) {
        (Some((_, plural)), _) => {
            let gvk = GroupVersionKind::gvk("anthropic-rbac.io", "v1alpha1", kind);
            ApiResource::from_gvk_with_plural(&gvk, plural)
        }
        (None, "Event") => {
            ApiResource::from_gvk(&GroupVersionKind::gvk("events.k8s.io", "v1", kind))
        }
        (None, _) => ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind)),
    };
    if namespace.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, &resource)
    }
}

// === what tests write ===

/// A Workspace with a spec.
pub(crate) fn workspace(namespace: &str, name: &str, spec: Value) -> Value {
    custom("Workspace", namespace, name, spec)
}

/// A RoleBinding of an ApplicationRole for ServiceAccounts of its own namespace.
pub(crate) fn binding(
    namespace: &str,
    name: &str,
    workspace: &str,
    role: &str,
    subjects: &[&str],
) -> Value {
    let spec = json!({
        "workspaceRef": reference(workspace),
        "roleRef": {"kind": "ApplicationRole", "name": role},
        "subjects": subjects.iter().map(|name| service_account(name)).collect::<Vec<_>>(),
    });
    custom("RoleBinding", namespace, name, spec)
}

/// An ApiKeyRef for the data key `api-key` of a Secret of its own namespace; with a target
/// unless that is empty.
pub(crate) fn key(
    namespace: &str,
    name: &str,
    workspace: &str,
    secret: &str,
    target: &str,
) -> Value {
    let mut spec = json!({
        "workspaceRef": reference(workspace),
        "service": name,
        "source": {"secretKeyRef": {"name": secret, "key": "api-key"}},
    });
    if !target.is_empty() {
        spec["target"] = json!({"secretName": target});
    }
    custom("ApiKeyRef", namespace, name, spec)
}

/// A Secret with one data key, `api-key`.
pub(crate) fn secret(namespace: &str, name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": {"api-key": value},
    })
}

/// A ConfigMap with one data key.
pub(crate) fn config_map(namespace: &str, name: &str, key: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": {key: value},
    })
}

/// A ServiceAccount as a subject.
pub(crate) fn service_account(name: &str) -> Value {
    json!({"kind": "ServiceAccount", "name": name})
}

/// A fake API key of the right shape that nothing else has.
pub(crate) fn fake_key(about: &str) -> String {
    format!("sk-ant-api03-EXAMPLE-{about}-not-a-real-key")
}

fn custom(kind: &str, namespace: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "anthropic-rbac.io/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    })
}

/// `NAME`, or `NAMESPACE/NAME`.
fn reference(workspace: &str) -> Value {
    match workspace.split_once('/') {
        Some((namespace, name)) => json!({"name": name, "namespace": namespace}),
        None => json!({"name": workspace}),
    }
}

/// Creates objects, in this order.
pub(crate) async fn create(cluster: &Cluster, objects: &[Value]) -> Result<()> {
    for object in objects {
        create_one(cluster, object).await?;
    }
    Ok(())
}

/// Creates an object; as it is stored.
pub(crate) async fn create_one(cluster: &Cluster, object: &Value) -> Result<DynamicObject> {
    let text = |field: &str| object.pointer(field).and_then(Value::as_str);
    let kind = text("/kind").context("an object has a kind")?;
    let namespace = text("/metadata/namespace").unwrap_or_default();
    api(&cluster.client(), kind, namespace)
        .create(
            &PostParams {
                field_manager: Some(SOMEBODY.into()),
                ..PostParams::default()
            },
            &serde_json::from_value(object.clone())?,
        )
        .await
        .with_context(|| format!("creating {kind} {:?}", text("/metadata/name")))
}

/// Changes an object as somebody does it, by JSON merge patch.
pub(crate) async fn merge(
    api: &Api<DynamicObject>,
    name: &str,
    change: Value,
) -> Result<DynamicObject> {
    let parameters = PatchParams {
        field_manager: Some(SOMEBODY.into()),
        ..PatchParams::default()
    };
    api.patch(name, &parameters, &Patch::Merge(change))
        .await
        .with_context(|| format!("changing {name}"))
}

/// Deletes an object; what it owns follows by itself.
pub(crate) async fn delete(api: &Api<DynamicObject>, name: &str) -> Result<()> {
    api.delete(name, &DeleteParams::background())
        .await
        .with_context(|| format!("deleting {name}"))?;
    Ok(())
}

// === what they look for ===

/// A condition of an object, if it is about the object's present generation.
pub(crate) fn condition<'a>(object: &'a DynamicObject, kind: &str) -> Option<&'a Value> {
    let generation = object.metadata.generation?;
    let status = &object.data["status"];
    let current = |value: &Value| value["observedGeneration"].as_i64() == Some(generation);
    let mut conditions = status["conditions"].as_array()?.iter();
    conditions
        .find(|condition| condition["type"] == kind)
        .filter(|condition| current(status) && current(condition))
}

/// Waits until a condition of an object is as wanted: its status, and its reason unless that
/// is empty. Its message.
pub(crate) async fn until(
    api: &Api<DynamicObject>,
    name: &str,
    (kind, status, reason): (&str, &str, &str),
    within: Duration,
) -> Result<String> {
    wait::until(api, name, within, |object| {
        let condition = condition(object, kind)?;
        let reasoned = reason.is_empty() || condition["reason"] == reason;
        let is = condition["status"] == status && reasoned;
        is.then(|| condition["message"].as_str().unwrap_or_default().to_owned())
    })
    .await
    .with_context(|| format!("{kind} of {name} should be {status} {reason}"))
}

/// Waits until each of these objects, `KIND/NAME`, is ready.
pub(crate) async fn until_ready(
    cluster: &Cluster,
    namespace: &str,
    objects: &[&str],
    within: Duration,
) -> Result<()> {
    for object in objects {
        let (kind, name) = object.split_once('/').context("KIND/NAME")?;
        let api = api(&cluster.client(), kind, namespace);
        until(&api, name, ("Ready", "True", ""), within).await?;
    }
    Ok(())
}

/// The policy in a ConfigMap.
pub(crate) fn policy(config_map: &DynamicObject) -> Option<Value> {
    serde_json::from_str(config_map.data["data"]["policy.json"].as_str()?).ok()
}

/// Waits until the policy of a workspace is as wanted.
pub(crate) async fn until_policy(
    cluster: &Cluster,
    namespace: &str,
    workspace: &str,
    within: Duration,
    wanted: impl Fn(&Value) -> bool,
) -> Result<DynamicObject> {
    let api = api(&cluster.client(), "ConfigMap", namespace);
    wait::until(&api, &format!("{workspace}.policy"), within, |object| {
        wanted(&policy(object)?).then(|| object.clone())
    })
    .await
}

/// The bindings that grant something, in a policy.
pub(crate) fn granting(policy: &Value) -> BTreeSet<String> {
    let subjects = policy["subjects"].as_object().into_iter().flatten();
    subjects
        .flat_map(|(_, subject)| subject["grants"].as_array().into_iter().flatten())
        .filter_map(|grant| Some(grant["binding"].as_str()?.to_owned()))
        .collect()
}

/// One data key of a Secret, decoded; `None` when it has none of that name.
pub(crate) fn value(secret: &DynamicObject, key: &str) -> Option<String> {
    let stored: k8s_openapi::ByteString =
        serde_json::from_value(secret.data["data"].get(key)?.clone()).ok()?;
    String::from_utf8(stored.0).ok()
}

/// Kind and name of objects, with their resourceVersions.
pub(crate) type Versions = BTreeMap<String, String>;

/// The resourceVersions of everything in a namespace that the operator reads or writes.
pub(crate) async fn versions(cluster: &Cluster, namespace: &str) -> Result<Versions> {
    let mut versions = Versions::new();
    for kind in [
        "Workspace",
        "RoleBinding",
        "ApiKeyRef",
        "ConfigMap",
        "Secret",
    ] {
        let api = api(&cluster.client(), kind, namespace);
        for object in api.list(&ListParams::default()).await?.items {
            let name = format!("{kind} {}/{}", namespace, object.name_any());
            versions.insert(name, object.resource_version().unwrap_or_default());
        }
    }
    Ok(versions)
}

//! The rights that roles give, one by one: taken away from a role, given back, and whether that is
//! in effect. Must not know what needs one.

use std::{fmt, fs};

use anyhow::{Context, Result};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use super::SOON;
use crate::{
    cluster::Cluster,
    operator::{OPERATOR_NAMESPACE, OPERATOR_USER},
    wait,
};

/// One verb on one resource, in one of the operator's roles.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Right {
    pub(super) role: String,
    pub(super) group: String,
    pub(super) resource: String,
    pub(super) verb: String,
}

// === impl Right ===

impl Right {
    /// Only a fresh operator uses it.
    pub(super) fn is_for_the_start(&self) -> bool {
        self.resource == "leases" || matches!(&*self.verb, "list" | "watch")
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {}", self.verb, self.resource, self.role)
    }
}

/// The operator's own roles among manifests.
pub(super) fn roles(manifests: String) -> Result<Vec<Value>> {
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

/// What a role gives.
pub(super) fn rights(role: &Value) -> Vec<Right> {
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
pub(super) fn without(role: &Value, right: &Right) -> Result<Value> {
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

/// Objects of a kind of Kubernetes' own; without a namespace, those of the cluster.
pub(super) fn kind(
    cluster: &Cluster,
    group: &str,
    kind: &str,
    namespace: &str,
) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
    if namespace.is_empty() {
        Api::all_with(cluster.client(), &resource)
    } else {
        Api::namespaced_with(cluster.client(), namespace, &resource)
    }
}

/// Gives a role these rules.
pub(super) async fn put(cluster: &Cluster, role: &Value, rules: Value) -> Result<()> {
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
pub(super) async fn until_granted(
    cluster: &Cluster,
    right: &Right,
    bound: &str,
    granted: bool,
) -> Result<()> {
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

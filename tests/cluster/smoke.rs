//! The cluster is what the other tests take it for: resources served, RBAC as shipped,
//! garbage collected, requests counted. Must not need a working operator.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::{
    api::{
        authorization::v1::{
            ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
        },
        core::v1::{ConfigMap, Secret},
        rbac::v1::ClusterRole,
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, ObjectMeta, PostParams, WatchParams},
    discovery::Discovery,
};

use crate::{
    cluster::{self, Cluster},
    operator,
    suite::{Test, test},
    wait,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "custom resources are served under their short names and category",
            short_names,
        ),
        test(
            "the operator may do exactly what its ClusterRole says",
            exact_rights,
        )
        .cluster_wide(),
        test(
            "the operator may touch Secrets only where an administrator lets it",
            secret_rights,
        )
        .cluster_wide(),
        test(
            "the operator may lead in its own namespace only",
            leader_election_rights,
        )
        .cluster_wide(),
        test("an owned object goes with its owner", garbage).needs_controllers(),
        test(
            "the audit log counts requests by user and kind",
            audit_counts,
        )
        .needs_audit_log()
        .cluster_wide(),
        test("a quiet namespace is quiet, a change is noticed", quiet).needs_controllers(),
    ]
}

async fn short_names(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("short-names").await?;
    for (short, resource) in [
        ("aiws", "workspaces.anthropic-rbac.io"),
        ("airb", "rolebindings.anthropic-rbac.io"),
        ("aikey", "apikeyrefs.anthropic-rbac.io"),
    ] {
        let answer = cluster.kubectl(&["get", short, "--namespace", &namespace])?;
        ensure!(answer.status.success(), "get {short}: {answer:?}");
        let explained = cluster.kubectl_ok(&["explain", short])?;
        ensure!(
            explained.contains("anthropic-rbac.io"),
            "{short} is not {resource}: {explained}"
        );
    }
    let category =
        cluster.kubectl_ok(&["api-resources", "--categories=anthropic", "--output=name"])?;
    let category: BTreeSet<&str> = category.lines().collect();
    assert_eq!(
        category,
        BTreeSet::from([
            "apikeyrefs.anthropic-rbac.io",
            "rolebindings.anthropic-rbac.io",
            "workspaces.anthropic-rbac.io",
        ])
    );
    // kubectl must go on meaning Kubernetes' own by the plain name.
    let plain = cluster.kubectl_ok(&["explain", "rolebindings"])?;
    ensure!(plain.contains("rbac.authorization.k8s.io"), "{plain}");
    Ok(())
}

const VERBS: [&str; 8] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
];

/// Group, resource (with subresource) and verb, over all namespaces.
type Right = (String, String, String);

async fn exact_rights(cluster: &Cluster) -> Result<()> {
    let operator = cluster::client(&operator::kubeconfig(cluster)?).await?;
    let namespace = cluster.namespace("anybody").await?;
    cluster.kubectl_ok(&["create", "serviceaccount", "anybody", "-n", &namespace])?;
    let anybody = operator::kubeconfig_of(cluster, &namespace, "anybody")?;
    let anybody = cluster::client(&anybody).await?;

    // Asked right by right, for everything that this cluster serves.
    let discovery = Discovery::new(cluster.client()).run_aggregated().await?;
    let mut questions = Vec::new();
    for group in discovery.groups() {
        for (resource, capabilities) in group.resources_by_stability() {
            let whole = (group.name().to_owned(), resource.plural.clone());
            let parts = capabilities.subresources.iter().map(|(part, _)| {
                let part = part.plural.rsplit('/').next().unwrap_or_default();
                (whole.0.clone(), format!("{}/{part}", whole.1))
            });
            for (group, resource) in parts.chain([whole.clone()]) {
                for verb in VERBS {
                    questions.push((group.clone(), resource.clone(), verb.to_owned()));
                }
            }
        }
    }
    for special in [
        ("rbac.authorization.k8s.io", "clusterroles", "bind"),
        ("rbac.authorization.k8s.io", "clusterroles", "escalate"),
        ("", "serviceaccounts", "impersonate"),
        ("", "users", "impersonate"),
        ("", "groups", "impersonate"),
    ] {
        questions.push((special.0.into(), special.1.into(), special.2.into()));
    }
    ensure!(
        questions
            .iter()
            .any(|(_, resource, _)| resource == "workspaces/status"),
        "discovery shows no subresources"
    );
    // Without what any ServiceAccount may do, which differs between Kubernetes versions.
    let anybody = allowed(&anybody, &questions).await?;
    let operator = allowed(&operator, &questions).await?;
    let operator: BTreeSet<Right> = operator.difference(&anybody).cloned().collect();

    let role = Api::<ClusterRole>::all(cluster.client())
        .get("anthropic-rbac")
        .await?;
    let mut expected = BTreeSet::new();
    for rule in role.rules.context("the ClusterRole has rules")? {
        ensure!(
            rule.resource_names.is_none(),
            "not for all objects: {rule:?}"
        );
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    expected.insert((group.clone(), resource.clone(), verb.clone()));
                }
            }
        }
    }
    assert_eq!(
        operator, expected,
        "left: what it may do; right: what its role says"
    );

    // And what the role says is no accident.
    for (group, resource, verb, yes) in [
        ("anthropic-rbac.io", "workspaces", "watch", true),
        ("anthropic-rbac.io", "workspaces", "patch", false),
        ("anthropic-rbac.io", "workspaces", "create", false),
        ("anthropic-rbac.io", "apikeyrefs/status", "patch", true),
        ("anthropic-rbac.io", "apikeyrefs", "delete", false),
        ("", "configmaps", "patch", true),
        ("", "namespaces", "watch", true),
        ("", "namespaces", "delete", false),
        ("events.k8s.io", "events", "create", true),
        ("", "secrets", "get", false),
        ("", "secrets", "list", false),
        ("", "pods", "patch", false),
        ("", "serviceaccounts/token", "create", false),
        ("rbac.authorization.k8s.io", "rolebindings", "create", false),
    ] {
        let right = (group.to_owned(), resource.to_owned(), verb.to_owned());
        assert_eq!(operator.contains(&right), yes, "{right:?}");
    }
    Ok(())
}

async fn allowed(client: &Client, questions: &[Right]) -> Result<BTreeSet<Right>> {
    stream::iter(questions)
        .map(async |right| anyhow::Ok(may(client, right, None).await?.then(|| right.clone())))
        .buffer_unordered(16)
        .try_filter_map(async |right| Ok(right))
        .try_collect()
        .await
}

async fn leader_election_rights(cluster: &Cluster) -> Result<()> {
    let elsewhere = cluster.namespace("elsewhere").await?;
    let operator = cluster::client(&operator::kubeconfig(cluster)?).await?;
    for (verb, yes) in [("create", true), ("delete", false)] {
        let right = (
            "coordination.k8s.io".to_owned(),
            "leases".to_owned(),
            verb.to_owned(),
        );
        let own = Some(operator::OPERATOR_NAMESPACE);
        assert_eq!(may(&operator, &right, own).await?, yes, "{verb}");
        assert!(
            !may(&operator, &right, Some(&elsewhere)).await?,
            "{verb} elsewhere"
        );
    }
    Ok(())
}

async fn secret_rights(cluster: &Cluster) -> Result<()> {
    let granted = cluster.namespace("granted").await?;
    let other = cluster.namespace("other").await?;
    operator::allow_secrets(cluster, &granted)?;
    let operator = cluster::client(&operator::kubeconfig(cluster)?).await?;

    for (verb, yes) in [
        ("get", true),
        ("list", true),
        ("watch", true),
        ("create", true),
        ("patch", true),
        ("delete", true),
        ("update", false),
        ("deletecollection", false),
    ] {
        let right = (String::new(), "secrets".to_owned(), verb.to_owned());
        assert_eq!(may(&operator, &right, Some(&granted)).await?, yes, "{verb}");
        assert!(
            !may(&operator, &right, Some(&other)).await?,
            "{verb} elsewhere"
        );
    }
    // Not only in words.
    let list = ListParams::default();
    Api::<Secret>::namespaced(operator.clone(), &granted)
        .list(&list)
        .await?;
    let refused = Api::<Secret>::namespaced(operator, &other)
        .list(&list)
        .await;
    ensure!(
        matches!(&refused, Err(kube::Error::Api(status)) if status.code == 403),
        "{refused:?}"
    );
    Ok(())
}

async fn garbage(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("garbage").await?;
    let api = Api::<ConfigMap>::namespaced(cluster.client(), &namespace);
    let create = PostParams::default();
    let owner = api.create(&create, &config_map("owner", None)).await?;
    let reference = owner.controller_owner_ref(&()).context("it was created")?;
    api.create(&create, &config_map("owned", Some(reference)))
        .await?;
    let bystander = api.create(&create, &config_map("bystander", None)).await?;

    api.delete("owner", &DeleteParams::background()).await?;
    wait::until_gone(&api, "owned", Duration::from_secs(30)).await?;
    let still = api.get("bystander").await?;
    assert_eq!(still.resource_version(), bystander.resource_version());
    Ok(())
}

async fn audit_counts(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("audit").await?;
    let audit = cluster.audit_log()?;
    let operator = cluster::client(&operator::kubeconfig(cluster)?).await?;
    let config_maps = Api::<ConfigMap>::namespaced(operator.clone(), &namespace);
    let create = PostParams::default();
    config_maps
        .create(&create, &config_map("before", None))
        .await?;

    let mark = audit.mark().await?;
    assert_eq!(
        audit.since(mark).await?.0.len(),
        0,
        "nothing since the mark"
    );
    config_maps
        .create(&create, &config_map("after", None))
        .await?;
    config_maps.get("after").await?;
    config_maps.get("before").await?;
    // Stays open: it counts all the same.
    let watch = config_maps.watch(&WatchParams::default(), "0").await?;
    let refused = Api::<Secret>::namespaced(operator, &namespace)
        .get("any")
        .await;
    ensure!(refused.is_err(), "the operator may not read Secrets here");
    // Not the operator's.
    Api::<ConfigMap>::namespaced(cluster.client(), &namespace)
        .get("after")
        .await?;

    let requests = audit.since(mark).await?;
    drop(watch);
    assert_eq!(requests.count("create", "configmaps", ""), 1, "{requests}");
    assert_eq!(requests.count("get", "configmaps", ""), 2, "{requests}");
    assert_eq!(requests.count("watch", "configmaps", ""), 1, "{requests}");
    assert_eq!(requests.counts().values().sum::<usize>(), 5, "{requests}");
    assert_eq!(
        requests.writes().to_string(),
        format!("create configmaps {namespace}/after -> 201\n")
    );
    assert_eq!(
        requests.forbidden().to_string(),
        format!("get secrets {namespace}/any -> 403\n")
    );
    Ok(())
}

async fn quiet(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("quiet").await?;
    let api = Api::<ConfigMap>::namespaced(cluster.client(), &namespace);
    wait::until(&api, "kube-root-ca.crt", Duration::from_secs(30), |_| {
        Some(())
    })
    .await?;
    wait::quiet(&api, Duration::from_secs(1)).await?;

    let create = PostParams::default();
    let churn = async || -> Result<()> {
        loop {
            api.create(&create, &config_map("noise", None)).await?;
            api.delete("noise", &DeleteParams::default()).await?;
        }
    };
    let noticed = tokio::select! {
        noticed = wait::quiet(&api, Duration::from_secs(10)) => noticed,
        Err(error) = churn() => return Err(error),
    };
    let error = noticed.err().context("a change went unnoticed")?;
    ensure!(error.to_string().contains("/noise"), "{error}");
    Ok(())
}

async fn may(client: &Client, right: &Right, namespace: Option<&str>) -> Result<bool> {
    let (group, resource, verb) = right.clone();
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource.to_owned(), Some(subresource.to_owned())),
        None => (resource, None),
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                group: Some(group),
                resource: Some(resource),
                subresource,
                verb: Some(verb),
                namespace: namespace.map(str::to_owned),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let answer = Api::all(client.clone())
        .create(&PostParams::default(), &review)
        .await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

fn config_map(name: &str, owner: Option<OwnerReference>) -> ConfigMap {
    ConfigMap {
        metadata: named(name, owner),
        ..ConfigMap::default()
    }
}

fn named(name: &str, owner: Option<OwnerReference>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        owner_references: owner.map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

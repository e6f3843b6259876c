//! Every right of the operator is needed: without it something does not work, and the operator
//! says so. Must not leave a role behind with less than `deploy/base` gives it.

mod rights;
mod scene;

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    audit::{Request, Requests},
    cluster::Cluster,
    operator::{allow_pods, allow_secrets},
    suite::{Test, test},
};
use rights::{Right, put, rights, roles, until_granted, without};
use scene::{Scene, missed_at_the_start};

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

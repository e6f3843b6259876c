//! Flux and Argo CD in the same namespaces. Must not test what one of them does alone.

use anyhow::{Result, ensure};

use crate::{
    argo::judged,
    argo_cd,
    cluster::Cluster,
    flux_cd,
    resource::{self, api},
    stage::{self, History, SOON},
    suite::{Test, test},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "Flux and Argo CD keep objects side by side in one namespace, and neither touches the other's or ours",
            side_by_side,
        )
        .needs_audit_log(),
    ]
}

/// What Argo CD keeps in the namespaces that Flux keeps things in.
const ACCESS: &str = "\
apiVersion: anthropic-rbac.io/v1alpha1
kind: RoleBinding
metadata:
  name: by-argo
spec:
  workspaceRef: {name: production, namespace: claude}
  roleRef: {kind: ApplicationRole, name: user}
  subjects:
  - {kind: ServiceAccount, name: nightly}
";

async fn side_by_side(cluster: &Cluster) -> Result<()> {
    let repository = stage::set(cluster).await?;
    let _operator = stage::operator(cluster).await?;
    repository.write("by-argo/claude/access.yaml", ACCESS)?;
    repository.write("by-argo/search/access.yaml", ACCESS)?;
    repository.commit("Use two tools")?;
    let mut flux = flux_cd::converged(cluster, &repository).await?;
    let mut argo = argo_cd::converged_at(cluster, &repository, Some("by-argo")).await?;
    for namespace in stage::NAMESPACES {
        let bindings = api(&cluster.client(), "RoleBinding", namespace);
        resource::until(&bindings, "by-argo", ("Ready", "True", ""), SOON).await?;
    }
    stage::owned_apart(cluster, &[flux_cd::MANAGER]).await?;

    let ever = stage::NAMESPACES.map(|name| History::of(argo.applications(), name, judged));
    let before = stage::versions(cluster).await?;
    let outputs = stage::outputs(cluster).await?;
    let audit = cluster.audit_log()?;
    let start = audit.mark().await?;
    for _ in 0..3 {
        for namespace in stage::NAMESPACES {
            let verdict = flux.sync_again(namespace).await?;
            ensure!(verdict.ready, "{verdict:?}");
            argo.refresh(namespace).await?;
            argo.sync_again(namespace).await?;
        }
    }
    stage::nothing_written(&audit.since(start).await?)?;
    assert_eq!(stage::versions(cluster).await?, before);
    for history in ever {
        assert_eq!(history.so_far(), ["Synced Healthy"]);
    }

    // One tool prunes, the other's stays.
    repository.write(
        "by-argo/search/access.yaml",
        &ACCESS.replace("by-argo", "by-argo-2"),
    )?;
    let commit = repository.commit("Rename a binding")?;
    argo.applied("search", &commit).await?;
    let bindings = api(&cluster.client(), "RoleBinding", "search");
    crate::wait::until_gone(&bindings, "by-argo", SOON).await?;
    bindings.get("search").await?;
    let verdict = flux.sync("search", &commit).await?;
    ensure!(verdict.ready, "{verdict:?}");
    bindings.get("by-argo-2").await?;
    assert_eq!(stage::outputs(cluster).await?, outputs);
    argo.leave().await?;
    flux.leave().await
}

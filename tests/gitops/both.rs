//! Flux and Argo CD in the same namespaces. Must not test what one of them does alone.

use anyhow::Result;

use crate::{
    argo::Argo,
    cluster::Cluster,
    flux::Flux,
    resource::{self, api},
    stage::{self, NAMESPACES, SOON},
    suite::{Test, test},
    tool::{Health, Tool},
    wait,
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
    let mut flux = Flux::converged(cluster, &repository).await?;
    let mut argo = Argo::start_at(cluster, &repository, Some("by-argo")).await?;
    argo.converge().await?;
    for namespace in NAMESPACES {
        let bindings = api(&cluster.client(), "RoleBinding", namespace);
        resource::until(&bindings, "by-argo", ("Ready", "True", ""), SOON).await?;
    }
    stage::owned_apart(cluster, Flux::MANAGER).await?;

    let ever = NAMESPACES.map(|namespace| argo.history(namespace));
    let outputs = stage::outputs(cluster).await?;
    stage::untouched(cluster, async || {
        for _ in 0..3 {
            for namespace in NAMESPACES {
                flux.sync_again(namespace).await?;
                argo.sync_again(namespace).await?;
            }
        }
        Ok(())
    })
    .await?;
    for history in ever {
        assert_eq!(history.so_far(), [Argo::says(Health::Healthy)]);
    }

    // One tool prunes, the other's stays.
    repository.write(
        "by-argo/search/access.yaml",
        &ACCESS.replace("by-argo", "by-argo-2"),
    )?;
    let commit = repository.commit("Rename a binding")?;
    argo.sync("search", &commit, Health::Healthy).await?;
    let bindings = api(&cluster.client(), "RoleBinding", "search");
    wait::until_gone(&bindings, "by-argo", SOON).await?;
    bindings.get("search").await?;
    flux.sync("search", &commit, Health::Healthy).await?;
    bindings.get("by-argo-2").await?;
    assert_eq!(stage::outputs(cluster).await?, outputs);
    argo.leave(cluster).await?;
    flux.leave(cluster).await
}

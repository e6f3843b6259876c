//! What Flux says of our objects, and what it does to them. Must not know how it is asked.

use anyhow::{Result, ensure};

use crate::{
    cluster::Cluster,
    flux::{Flux, condition},
    resource::{self, api},
    stage::{self, History, SOON},
    suite::{Test, test},
    wait,
};

/// Who Flux is to the owners of fields.
pub(crate) const MANAGER: &str = "kustomize-controller";

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "Flux takes nothing for ready before the operator has acted, at first and after a change",
            patient,
        ),
        test(
            "three more syncs by Flux change nothing, and the operator writes nothing",
            settled,
        )
        .needs_audit_log(),
        test(
            "Flux says of broken objects what is wrong, and of overdue keys nothing",
            told,
        ),
        test(
            "Flux says in words why a bad commit is refused, and what was good stays",
            refused,
        ),
        test(
            "Flux prunes what a commit takes out, and of ours what goes with it",
            pruned,
        )
        .needs_controllers(),
    ]
}

async fn patient(cluster: &Cluster) -> Result<()> {
    let repository = stage::set(cluster).await?;
    let mut flux = Flux::start(cluster).await?;
    flux.follow(&repository)?;
    let ever = History::of(flux.kustomizations("claude"), "access", |object| {
        let ready = condition(object, "Ready").map(|ready| ready["status"].clone());
        ready.unwrap_or_default().to_string()
    });
    let said = flux.until("claude", false, "HealthCheckFailed").await?;
    for object in [
        "Workspace/claude/production",
        "RoleBinding/claude/platform",
        "ApiKeyRef/claude/shared",
    ] {
        ensure!(
            said.contains(&format!("{object} status: 'InProgress'")),
            "{said}"
        );
    }
    ensure!(
        !ever.so_far().contains(&"\"True\"".to_owned()),
        "{:?}",
        ever.so_far()
    );
    // What depends on it was not even tried.
    flux.until("search", false, "DependencyNotReady").await?;

    let mut operator = stage::operator(cluster).await?;
    let verdict = flux.sync_again("claude").await?;
    ensure!(verdict.ready, "{verdict:?}");
    flux.until("search", true, "ReconciliationSucceeded")
        .await?;

    operator.stop().await?;
    repository.edit(
        "search/base/access.yaml",
        "name: user",
        "name: user\n  state: Disabled",
    )?;
    let commit = repository.commit("Take a break")?;
    let verdict = flux.sync("search", &commit).await?;
    let waited = verdict
        .message
        .contains("RoleBinding/search/search status: 'InProgress'");
    ensure!(!verdict.ready && waited, "{verdict:?}");
    operator.launch_again().await?;
    let verdict = flux.sync_again("search").await?;
    ensure!(verdict.ready, "{verdict:?}");
    flux.was_refused_nothing()?;
    flux.leave().await
}

async fn settled(cluster: &Cluster) -> Result<()> {
    let repository = stage::set(cluster).await?;
    let _operator = stage::operator(cluster).await?;
    let mut flux = converged(cluster, &repository).await?;
    stage::owned_apart(cluster, &[MANAGER]).await?;
    let before = stage::versions(cluster).await?;
    let audit = cluster.audit_log()?;
    let start = audit.mark().await?;
    for _ in 0..3 {
        for namespace in stage::NAMESPACES {
            let verdict = flux.sync_again(namespace).await?;
            ensure!(verdict.ready, "{verdict:?}");
        }
    }
    stage::nothing_written(&audit.since(start).await?)?;
    assert_eq!(stage::versions(cluster).await?, before);
    flux.was_refused_nothing()?;
    flux.leave().await
}

async fn told(cluster: &Cluster) -> Result<()> {
    let repository = stage::set(cluster).await?;
    let _operator = stage::operator(cluster).await?;
    let mut flux = converged(cluster, &repository).await?;

    repository.edit(
        "search/base/key.yaml",
        "service: search",
        "service: search\n  issuedAt: 2020-01-01T00:00:00Z",
    )?;
    let commit = repository.commit("Say when the key was made")?;
    let verdict = flux.sync("search", &commit).await?;
    ensure!(verdict.ready, "{verdict:?}");
    let key = api(&cluster.client(), "ApiKeyRef", "search");
    resource::until(&key, "search", ("RotationDue", "True", "Overdue"), SOON).await?;
    let verdict = flux.sync_again("search").await?;
    ensure!(verdict.ready, "{verdict:?}");

    repository.edit(
        "search/base/key.yaml",
        "name: anthropic-search",
        "name: anthropic-serach",
    )?;
    let commit = repository.commit("Misspell the Secret")?;
    let verdict = flux.sync("search", &commit).await?;
    let waited = "timeout waiting for: [ApiKeyRef/search/search status: 'InProgress']";
    ensure!(
        verdict.reason == "HealthCheckFailed" && verdict.message.contains(waited),
        "{verdict:?}"
    );

    let commit = repository.revert()?;
    let verdict = flux.sync("search", &commit).await?;
    ensure!(verdict.ready, "{verdict:?}");
    flux.leave().await
}

async fn refused(cluster: &Cluster) -> Result<()> {
    let repository = stage::set(cluster).await?;
    let _operator = stage::operator(cluster).await?;
    let mut flux = converged(cluster, &repository).await?;
    let before = stage::versions(cluster).await?;

    repository.edit(
        "search/base/access.yaml",
        "kind: ApplicationRole",
        "kind: AppRole",
    )?;
    let commit = repository.commit("Misspell a kind")?;
    let verdict = flux.sync("search", &commit).await?;
    ensure!(
        !verdict.ready && verdict.message.contains("spec.roleRef.kind"),
        "{verdict:?}"
    );
    repository.revert()?;

    repository.edit("search/base/access.yaml", "name: user", "name: power")?;
    let commit = repository.commit("Ask for more")?;
    let verdict = flux.sync("search", &commit).await?;
    let words = "binding ApplicationRole power of Workspace claude/production takes the verb bind";
    ensure!(
        !verdict.ready && verdict.message.contains(words),
        "{verdict:?}"
    );
    assert_eq!(stage::versions(cluster).await?, before);

    let commit = repository.revert()?;
    let verdict = flux.sync("search", &commit).await?;
    ensure!(verdict.ready, "{verdict:?}");
    flux.leave().await
}

async fn pruned(cluster: &Cluster) -> Result<()> {
    let repository = stage::set(cluster).await?;
    let _operator = stage::operator(cluster).await?;
    repository.edit(
        "search/base/key.yaml",
        "service: search",
        "service: search\n  target: {secretName: search-anthropic}",
    )?;
    repository.commit("Hand the key to the workload")?;
    let mut flux = converged(cluster, &repository).await?;
    let all = stage::outputs(cluster).await?;
    ensure!(all.contains("Secret search/search-anthropic"), "{all:?}");

    // A binding goes: nothing of ours does, and the grant is gone.
    repository.edit("search/base/kustomization.yaml", "- access.yaml\n", "")?;
    let commit = repository.commit("Take the access away")?;
    let verdict = flux.sync("search", &commit).await?;
    ensure!(verdict.ready, "{verdict:?}");
    let bindings = api(&cluster.client(), "RoleBinding", "search");
    wait::until_gone(&bindings, "search", SOON).await?;
    resource::until_policy(cluster, "claude", "production", SOON, |policy| {
        !resource::granting(policy).contains("search/search")
    })
    .await?;
    assert_eq!(stage::outputs(cluster).await?, all);

    // A key goes, and its target with it; the source is not ours.
    repository.edit("search/base/kustomization.yaml", "- key.yaml\n", "  []\n")?;
    let commit = repository.commit("Take the key away")?;
    let verdict = flux.sync("search", &commit).await?;
    ensure!(verdict.ready, "{verdict:?}");
    let secrets = api(&cluster.client(), "Secret", "search");
    wait::until_gone(&secrets, "search-anthropic", SOON).await?;
    secrets.get("anthropic-search").await?;

    // The Workspace goes, and everything rendered from it.
    repository.write("platform/production/kustomization.yaml", "resources: []\n")?;
    let commit = repository.commit("Give it up")?;
    let verdict = flux.sync("claude", &commit).await?;
    ensure!(verdict.ready, "{verdict:?}");
    let config_maps = api(&cluster.client(), "ConfigMap", "claude");
    wait::until_gone(&config_maps, "production.policy", SOON).await?;
    wait::ask("nothing of ours is left", SOON, async || {
        Ok(stage::outputs(cluster).await?.is_empty().then_some(()))
    })
    .await?;
    api(&cluster.client(), "Secret", "claude")
        .get("anthropic")
        .await?;
    flux.leave().await
}

/// Flux with everything applied and ready.
pub(crate) async fn converged<'a>(
    cluster: &'a Cluster,
    repository: &crate::repository::Repository,
) -> Result<Flux<'a>> {
    let mut flux = Flux::start(cluster).await?;
    flux.follow(repository)?;
    for namespace in stage::NAMESPACES {
        flux.until(namespace, true, "ReconciliationSucceeded")
            .await?;
    }
    Ok(flux)
}

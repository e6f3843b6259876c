//! What Argo CD says of our objects, and what it does to them. Must not know how it is asked.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::{
    argo::{Argo, health, judged},
    cluster::Cluster,
    repository::Repository,
    resource::{self, api},
    stage::{self, History, SOON},
    suite::{Test, test},
    wait,
};

/// Who Argo CD is to the owners of fields.
pub(crate) const MANAGER: &str = "argocd-controller";

/// That of `deploy/gitops/argocd/applications`.
const APPLICATIONS: [&str; 2] = ["claude", "search"];

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "Argo CD takes nothing for healthy before the operator has acted, at first and after a change",
            patient,
        ),
        test(
            "three more syncs by Argo CD find no difference and change nothing, and the operator writes nothing",
            settled,
        )
        .needs_audit_log(),
        test("Argo CD says of broken, overdue and disabled objects what is so", told),
        test("Argo CD says in words why a bad commit is refused, and what was good stays", refused),
        test("Argo CD prunes what a commit takes out, and of ours what goes with it", pruned)
            .needs_controllers(),
    ]
}

async fn patient(cluster: &Cluster) -> Result<()> {
    let repository = stage::set(cluster).await?;
    let mut argo = Argo::start(cluster).await?;
    argo.follow(&repository, None)?;
    let ever = History::of(argo.applications(), "claude", judged);
    let seen = argo
        .until("claude", |object| judged(object) == "Synced Progressing")
        .await?;
    for (kind, name) in [
        ("Workspace", "production"),
        ("RoleBinding", "platform"),
        ("ApiKeyRef", "shared"),
    ] {
        let (health, message) = health(&seen, kind, name);
        let waits = message.starts_with("Waiting for the anthropic-rbac operator");
        ensure!(
            health == "Progressing" && waits,
            "{kind}: {health} {message}"
        );
    }
    argo.refresh("claude").await?;
    ensure!(
        !ever
            .so_far()
            .iter()
            .any(|said| said.ends_with("Synced Healthy")),
        "{:?}",
        ever.so_far()
    );

    let mut operator = stage::operator(cluster).await?;
    for application in APPLICATIONS {
        argo.until(application, |object| judged(object) == "Synced Healthy")
            .await?;
    }

    operator.stop().await?;
    repository.edit(
        "search/base/key.yaml",
        "service: search",
        "service: search-2",
    )?;
    let commit = repository.commit("Rename the service")?;
    argo.applied("search", &commit).await?;
    argo.until("search", |object| judged(object) == "Synced Progressing")
        .await?;
    operator.launch_again().await?;
    argo.until("search", |object| judged(object) == "Synced Healthy")
        .await?;
    argo.was_refused_nothing()?;
    argo.leave().await
}

async fn settled(cluster: &Cluster) -> Result<()> {
    let repository = stage::set(cluster).await?;
    let _operator = stage::operator(cluster).await?;
    let mut argo = converged(cluster, &repository).await?;
    stage::owned_apart(cluster, &[MANAGER]).await?;
    let ever = APPLICATIONS.map(|name| History::of(argo.applications(), name, judged));
    let before = stage::versions(cluster).await?;
    let audit = cluster.audit_log()?;
    let start = audit.mark().await?;
    for _ in 0..3 {
        for application in APPLICATIONS {
            argo.refresh(application).await?;
            argo.sync_again(application).await?;
        }
    }
    stage::nothing_written(&audit.since(start).await?)?;
    assert_eq!(stage::versions(cluster).await?, before);
    for history in ever {
        assert_eq!(history.so_far(), ["Synced Healthy"]);
    }
    argo.was_refused_nothing()?;
    argo.leave().await
}

async fn told(cluster: &Cluster) -> Result<()> {
    let repository = stage::set(cluster).await?;
    let _operator = stage::operator(cluster).await?;
    let mut argo = converged(cluster, &repository).await?;

    repository.edit(
        "search/base/key.yaml",
        "service: search",
        "service: search\n  issuedAt: 2020-01-01T00:00:00Z",
    )?;
    let commit = repository.commit("Say when the key was made")?;
    argo.applied("search", &commit).await?;
    let overdue = |object: &Value| {
        health(object, "ApiKeyRef", "search")
            .1
            .starts_with("Overdue: It was due at ")
    };
    let seen = argo.until("search", overdue).await?;
    assert_eq!(judged(&seen), "Synced Healthy");

    repository.edit(
        "search/base/access.yaml",
        "name: user",
        "name: user\n  state: Disabled",
    )?;
    let commit = repository.commit("Take a break")?;
    argo.applied("search", &commit).await?;
    let seen = argo
        .until("search", |object| judged(object) == "Synced Suspended")
        .await?;
    let (_, message) = health(&seen, "RoleBinding", "search");
    assert_eq!(
        message,
        "Disabled: It is Disabled, as spec.state asks, and grants nothing."
    );
    repository.revert()?;

    repository.edit(
        "search/base/key.yaml",
        "name: anthropic-search",
        "name: anthropic-serach",
    )?;
    let commit = repository.commit("Misspell the Secret")?;
    argo.applied("search", &commit).await?;
    let seen = argo
        .until("search", |object| judged(object) == "Synced Degraded")
        .await?;
    let (_, message) = health(&seen, "ApiKeyRef", "search");
    ensure!(message.starts_with("SourceNotFound: "), "{message}");

    let commit = repository.revert()?;
    argo.applied("search", &commit).await?;
    argo.until("search", |object| judged(object) == "Synced Healthy")
        .await?;
    argo.leave().await
}

async fn refused(cluster: &Cluster) -> Result<()> {
    let repository = stage::set(cluster).await?;
    let _operator = stage::operator(cluster).await?;
    let mut argo = converged(cluster, &repository).await?;
    let before = stage::versions(cluster).await?;

    repository.edit(
        "search/base/access.yaml",
        "kind: ApplicationRole",
        "kind: AppRole",
    )?;
    let commit = repository.commit("Misspell a kind")?;
    let said = complaint(&argo.applied("search", &commit).await?);
    ensure!(said.contains("spec.roleRef.kind"), "{said}");
    repository.revert()?;

    repository.edit("search/base/access.yaml", "name: user", "name: power")?;
    let commit = repository.commit("Ask for more")?;
    let said = complaint(&argo.applied("search", &commit).await?);
    let words = "binding ApplicationRole power of Workspace claude/production takes the verb bind";
    ensure!(said.contains(words), "{said}");
    assert_eq!(stage::versions(cluster).await?, before);

    let commit = repository.revert()?;
    argo.applied("search", &commit).await?;
    argo.until("search", |object| judged(object) == "Synced Healthy")
        .await?;
    argo.leave().await
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
    let mut argo = converged(cluster, &repository).await?;
    let all = stage::outputs(cluster).await?;
    ensure!(all.contains("Secret search/search-anthropic"), "{all:?}");

    // A binding goes: nothing of ours does, and the grant is gone.
    repository.edit("search/base/kustomization.yaml", "- access.yaml\n", "")?;
    let commit = repository.commit("Take the access away")?;
    argo.applied("search", &commit).await?;
    let bindings = api(&cluster.client(), "RoleBinding", "search");
    wait::until_gone(&bindings, "search", SOON).await?;
    resource::until_policy(cluster, "claude", "production", SOON, |policy| {
        !resource::granting(policy).contains("search/search")
    })
    .await?;
    assert_eq!(stage::outputs(cluster).await?, all);

    // Keys and the Workspace go, and everything that was made from them; sources are not ours. Argo CD
    // empties an Application only when it is told to.
    repository.edit("search/base/kustomization.yaml", "- key.yaml\n", "  []\n")?;
    repository.write("platform/production/kustomization.yaml", "resources: []\n")?;
    let commit = repository.commit("Give it up")?;
    for application in APPLICATIONS {
        argo.allow_empty(application).await?;
        argo.applied(application, &commit).await?;
    }
    wait::ask("nothing of ours is left", SOON, async || {
        Ok(stage::outputs(cluster).await?.is_empty().then_some(()))
    })
    .await?;
    api(&cluster.client(), "Secret", "claude")
        .get("anthropic")
        .await?;
    api(&cluster.client(), "Secret", "search")
        .get("anthropic-search")
        .await?;
    argo.leave().await
}

/// What Argo CD shows of a sync that failed: of the whole, and of each object.
fn complaint(application: &Value) -> String {
    let state = &application["status"]["operationState"];
    let resources = state["syncResult"]["resources"].as_array();
    let of_objects = resources.into_iter().flatten();
    let mut said = vec![&state["message"]];
    said.extend(of_objects.map(|resource| &resource["message"]));
    let said: Vec<&str> = said.into_iter().filter_map(Value::as_str).collect();
    said.join("\n")
}

async fn converged<'a>(cluster: &'a Cluster, repository: &Repository) -> Result<Argo<'a>> {
    converged_at(cluster, repository, None).await
}

/// Argo CD with everything applied and healthy; if a folder is given, what is below it.
pub(crate) async fn converged_at<'a>(
    cluster: &'a Cluster,
    repository: &Repository,
    folder: Option<&str>,
) -> Result<Argo<'a>> {
    let mut argo = Argo::start(cluster).await?;
    argo.follow(repository, folder)?;
    for application in APPLICATIONS {
        argo.until(application, |object| judged(object) == "Synced Healthy")
            .await?;
    }
    Ok(argo)
}

//! What must be true under either tool: what it says of our objects, and what it does to them.
//! Must not know which tool it is.

use anyhow::{Result, ensure};

use crate::{
    argo::Argo,
    cluster::Cluster,
    flux::Flux,
    health::UNSEEN,
    resource::{self, api},
    stage::{self, NAMESPACES, OBJECTS, SOON},
    suite::{Test, test},
    tool::{Health, Tool},
    wait,
};

pub(crate) fn tests() -> Vec<Test> {
    [of::<Flux>(), of::<Argo>()].into_iter().flatten().collect()
}

fn of<T: Tool>() -> Vec<Test> {
    let tool = T::NAME;
    vec![
        test(
            format!(
                "{tool} takes nothing for healthy before the operator has acted, at first and after a change"
            ),
            patient::<T>,
        ),
        test(
            format!(
                "three more syncs by {tool} find everything healthy and change nothing, and the operator writes nothing"
            ),
            settled::<T>,
        )
        .needs_audit_log(),
        test(
            format!(
                "{tool} says that broken objects are not healthy, and takes overdue and disabled ones for what they are"
            ),
            told::<T>,
        ),
        test(
            format!(
                "{tool} says in words why a bad commit is refused, and what was good stays"
            ),
            refused::<T>,
        ),
        test(
            format!("{tool} prunes what a commit takes out, and of ours what goes with it"),
            pruned::<T>,
        )
        .needs_controllers(),
    ]
}

/// What the service team's folder has, to be edited.
const ACCESS: &str = "search/base/access.yaml";
const KEY: &str = "search/base/key.yaml";
const KUSTOMIZATION: &str = "search/base/kustomization.yaml";

async fn patient<T: Tool>(cluster: &Cluster) -> Result<()> {
    let repository = stage::set(cluster).await?;
    let mut tool = T::start(cluster, &repository).await?;
    let ever = tool.history("claude");
    let fresh = OBJECTS.iter().filter(|object| object.1 == "claude");
    let fresh: Vec<_> = fresh
        .map(|(kind, _, name)| (*kind, *name, UNSEEN))
        .collect();
    tool.until("claude", Health::Progressing, &fresh).await?;
    let ever = ever.so_far();
    ensure!(!ever.iter().any(|said| T::is_healthy(said)), "{ever:?}");
    tool.until_said("search", T::DEPENDENT).await?;

    let mut operator = stage::operator(cluster).await?;
    tool.until("claude", Health::Healthy, &[]).await?;
    tool.converge().await?;

    operator.stop().await?;
    repository.edit(KEY, "service: search", "service: search-2")?;
    let commit = repository.commit("Rename the service")?;
    tool.sync("search", &commit, Health::Progressing).await?;
    let changed = ("ApiKeyRef", "search", UNSEEN);
    tool.until("search", Health::Progressing, &[changed])
        .await?;
    operator.launch_again().await?;
    tool.until("search", Health::Healthy, &[]).await?;
    tool.was_refused_nothing()?;
    tool.leave(cluster).await
}

async fn settled<T: Tool>(cluster: &Cluster) -> Result<()> {
    let repository = stage::set(cluster).await?;
    let _operator = stage::operator(cluster).await?;
    let mut tool = T::converged(cluster, &repository).await?;
    stage::owned_apart(cluster, T::MANAGER).await?;
    let ever = NAMESPACES.map(|namespace| tool.history(namespace));
    stage::untouched(cluster, async || {
        for _ in 0..3 {
            for namespace in NAMESPACES {
                tool.sync_again(namespace).await?;
            }
        }
        Ok(())
    })
    .await?;
    for history in ever {
        assert_eq!(history.so_far(), [T::says(Health::Healthy)]);
    }
    tool.was_refused_nothing()?;
    tool.leave(cluster).await
}

/// What the service team commits, what the operator makes of the object `search` of a kind then, and what
/// is to be said of that.
struct State {
    commit: &'static str,
    edit: (&'static str, &'static str, &'static str),
    kind: &'static str,
    condition: (&'static str, &'static str, &'static str),
    health: Health,
    message: &'static str,
}

const STATES: [State; 3] = [
    State {
        commit: "Say when the key was made",
        edit: (
            KEY,
            "service: search",
            "service: search\n  issuedAt: 2020-01-01T00:00:00Z",
        ),
        kind: "ApiKeyRef",
        condition: ("RotationDue", "True", "Overdue"),
        health: Health::Healthy,
        message: "Overdue: It was due at 2020-03-31T00:00:00Z. Make a new key at Anthropic, put it into the source, then disable this one.",
    },
    State {
        commit: "Take a break",
        edit: (ACCESS, "name: user", "name: user\n  state: Disabled"),
        kind: "RoleBinding",
        condition: ("Active", "False", "Disabled"),
        health: Health::Suspended,
        message: "Disabled: It is Disabled, as spec.state asks, and grants nothing.",
    },
    State {
        commit: "Misspell the Secret",
        edit: (KEY, "name: anthropic-search", "name: anthropic-serach"),
        kind: "ApiKeyRef",
        condition: ("Ready", "False", "SourceNotFound"),
        health: Health::Degraded,
        message: "SourceNotFound: Secret search/anthropic-serach does not exist. Create it, or correct spec.source.",
    },
];

async fn told<T: Tool>(cluster: &Cluster) -> Result<()> {
    let repository = stage::set(cluster).await?;
    let _operator = stage::operator(cluster).await?;
    let mut tool = T::converged(cluster, &repository).await?;
    for state in STATES {
        let (path, old, new) = state.edit;
        repository.edit(path, old, new)?;
        let commit = repository.commit(state.commit)?;
        tool.sync("search", &commit, state.health).await?;
        let objects = api(&cluster.client(), state.kind, "search");
        resource::until(&objects, "search", state.condition, SOON).await?;
        let object = (state.kind, "search", state.message);
        tool.until("search", state.health, &[object]).await?;

        let commit = repository.revert()?;
        tool.sync("search", &commit, Health::Healthy).await?;
    }
    tool.leave(cluster).await
}

/// What the service team commits to its access, and words of the refusal.
const REFUSED: [(&str, &str, &str, &str); 2] = [
    (
        "Misspell a kind",
        "kind: ApplicationRole",
        "kind: AppRole",
        "spec.roleRef.kind",
    ),
    (
        "Ask for more",
        "name: user",
        "name: power",
        "binding ApplicationRole power of Workspace claude/production takes the verb bind",
    ),
];

async fn refused<T: Tool>(cluster: &Cluster) -> Result<()> {
    let repository = stage::set(cluster).await?;
    let _operator = stage::operator(cluster).await?;
    let mut tool = T::converged(cluster, &repository).await?;
    let before = stage::versions(cluster).await?;
    for (commit, old, new, words) in REFUSED {
        repository.edit(ACCESS, old, new)?;
        let bad = repository.commit(commit)?;
        let said = tool.refused("search", &bad).await?;
        ensure!(said.contains(words), "{said}");
        assert_eq!(stage::versions(cluster).await?, before);

        let good = repository.revert()?;
        tool.sync("search", &good, Health::Healthy).await?;
    }
    tool.leave(cluster).await
}

async fn pruned<T: Tool>(cluster: &Cluster) -> Result<()> {
    let repository = stage::set(cluster).await?;
    let _operator = stage::operator(cluster).await?;
    repository.edit(
        KEY,
        "service: search",
        "service: search\n  target: {secretName: search-anthropic}",
    )?;
    repository.commit("Hand the key to the workload")?;
    let mut tool = T::converged(cluster, &repository).await?;
    let all = stage::outputs(cluster).await?;
    ensure!(all.contains("Secret search/search-anthropic"), "{all:?}");

    // A binding goes: nothing of ours does, and the grant is gone.
    repository.edit(KUSTOMIZATION, "- access.yaml\n", "")?;
    let commit = repository.commit("Take the access away")?;
    tool.sync("search", &commit, Health::Healthy).await?;
    let bindings = api(&cluster.client(), "RoleBinding", "search");
    wait::until_gone(&bindings, "search", SOON).await?;
    resource::until_policy(cluster, "claude", "production", SOON, |policy| {
        !resource::granting(policy).contains("search/search")
    })
    .await?;
    assert_eq!(stage::outputs(cluster).await?, all);

    // A key goes, and its target with it; the source is not ours.
    repository.edit(KUSTOMIZATION, "- key.yaml\n", "  []\n")?;
    let commit = repository.commit("Take the key away")?;
    tool.allow_empty("search").await?;
    tool.sync("search", &commit, Health::Healthy).await?;
    let secrets = api(&cluster.client(), "Secret", "search");
    wait::until_gone(&secrets, "search-anthropic", SOON).await?;
    secrets.get("anthropic-search").await?;

    // The Workspace goes, and everything rendered from it.
    repository.write("platform/production/kustomization.yaml", "resources: []\n")?;
    let commit = repository.commit("Give it up")?;
    tool.allow_empty("claude").await?;
    tool.sync("claude", &commit, Health::Healthy).await?;
    let config_maps = api(&cluster.client(), "ConfigMap", "claude");
    wait::until_gone(&config_maps, "production.policy", SOON).await?;
    wait::ask("nothing of ours is left", SOON, async || {
        Ok(stage::outputs(cluster).await?.is_empty().then_some(()))
    })
    .await?;
    api(&cluster.client(), "Secret", "claude")
        .get("anthropic")
        .await?;
    tool.leave(cluster).await
}

//! What a GitOps tool does, whichever it is: it syncs each namespace to a commit of the repository, prunes,
//! and says how healthy that is. Must not know how a tool is asked, nor its words.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::{Api, api::DynamicObject};

use crate::{
    cluster::Cluster,
    program::Running,
    repository::Repository,
    stage::{History, NAMESPACES},
    wait,
};

/// How long a tool may take for one look at a repository and a cluster, and until it gives up on objects
/// that do not become healthy.
const LOOKED: Duration = Duration::from_secs(90);

/// How an object is, as Argo CD calls it. For kstatus, and so for Flux, what is `Suspended` is as it should
/// be, and what is `Degraded` still in progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Health {
    Healthy,
    Progressing,
    Degraded,
    Suspended,
}

/// Kind and name of an object of ours, and what is to be said of it by a tool that passes on our words.
pub(crate) type Told<'a> = (&'a str, &'a str, &'a str);

/// A tool at work. It has one object for each of [`NAMESPACES`] that keeps everything in there.
pub(crate) trait Tool: Sized + 'static {
    const NAME: &'static str;
    /// Who it is to the owners of fields.
    const MANAGER: &'static str;
    /// What it says of the service team's namespace as long as the platform team's is not healthy.
    const DEPENDENT: &'static str;

    /// Installs and starts it, with what `deploy/gitops` has for it, reading from this repository.
    async fn start(cluster: &Cluster, repository: &Repository) -> Result<Self>;

    /// Its processes.
    fn running(&mut self) -> &mut [Running];

    /// The object that keeps a namespace, by its API and its name.
    fn keeper<'n>(&self, namespace: &'n str) -> (Api<DynamicObject>, &'n str);

    /// What it says of a namespace, read from the object that keeps it; nothing while it is at it.
    fn said(keeper: &DynamicObject) -> Option<String>;

    /// What it says of a namespace in which one object is like this and all others are healthy.
    fn says(health: Health) -> &'static str;

    /// Whether anybody could take a namespace of which it says this for healthy.
    fn is_healthy(said: &str) -> bool {
        said == Self::says(Health::Healthy)
    }

    /// Has a commit applied in a namespace, which is then like this.
    async fn sync(&mut self, namespace: &str, commit: &str, health: Health) -> Result<()>;

    /// Has a commit tried in a namespace that is refused; all that is said of it.
    async fn refused(&mut self, namespace: &str, commit: &str) -> Result<String>;

    /// Has everything in a namespace applied once more, whether it differs or not.
    async fn sync_again(&mut self, namespace: &str) -> Result<()>;

    /// Waits until it finds these objects of a namespace like this, and nothing else wrong.
    async fn until(&mut self, namespace: &str, health: Health, objects: &[Told<'_>]) -> Result<()>;

    /// Lets it prune even the last object of a namespace.
    async fn allow_empty(&mut self, _namespace: &str) -> Result<()> {
        Ok(())
    }

    /// Ends, and leaves what it applied.
    async fn leave(self, cluster: &Cluster) -> Result<()>;

    /// A tool with everything applied and healthy.
    async fn converged(cluster: &Cluster, repository: &Repository) -> Result<Self> {
        let mut tool = Self::start(cluster, repository).await?;
        tool.converge().await?;
        Ok(tool)
    }

    /// Waits until it finds everything healthy, without being asked to look.
    async fn converge(&mut self) -> Result<()> {
        for namespace in NAMESPACES {
            self.until_said(namespace, Self::says(Health::Healthy))
                .await?;
        }
        Ok(())
    }

    /// Waits until it says this of a namespace; the object that keeps it.
    async fn until_said(&mut self, namespace: &str, words: &str) -> Result<DynamicObject> {
        self.watch(namespace, |keeper| {
            Self::said(keeper).as_deref() == Some(words)
        })
        .await
        .with_context(|| format!("it should say {words:?}"))
    }

    /// Waits until the object that keeps a namespace is as wanted; that object.
    async fn watch(
        &mut self,
        namespace: &str,
        wanted: impl Fn(&DynamicObject) -> bool,
    ) -> Result<DynamicObject> {
        let (api, name) = self.keeper(namespace);
        let found = wait::until(&api, name, LOOKED, |keeper| {
            wanted(keeper).then(|| keeper.clone())
        })
        .await;
        for running in self.running() {
            running.runs()?;
        }
        found.with_context(|| format!("what keeps {namespace} for {}", Self::NAME))
    }

    /// All that it says of a namespace from now on.
    fn history(&self, namespace: &str) -> History {
        let (api, name) = self.keeper(namespace);
        History::of(api, name, Self::said)
    }

    /// Fails if a right was missing.
    fn was_refused_nothing(&mut self) -> Result<()> {
        for running in self.running() {
            let log = running.logged()?;
            let refused = log.lines().find(|line| {
                line.contains("is forbidden: User") || line.contains("cannot list resource")
            });
            ensure!(refused.is_none(), "{}", refused.unwrap_or_default());
        }
        Ok(())
    }
}

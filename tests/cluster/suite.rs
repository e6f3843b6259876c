//! Runs tests one after another on a cluster that the first of them starts.
//! Must not know what any test is about.

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use tokio::runtime::Runtime;

use crate::cluster::Cluster;

type Body = Arc<dyn Fn(&Runtime, &Cluster) -> Result<()> + Send + Sync>;

/// A test and what the cluster must have for it.
pub(crate) struct Test {
    name: String,
    possible: bool,
    namespaced: When,
    last: bool,
    body: Body,
}

/// Whether a test is run a second time with an operator that has nothing but Roles.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Never,
    /// With `NAMESPACED=all` in the environment.
    AskedFor,
    Always,
}

/// Names a test. The name is a sentence: what holds when it passes.
pub(crate) fn test(
    name: impl Into<String>,
    body: impl AsyncFn(&Cluster) -> Result<()> + Send + Sync + 'static,
) -> Test {
    Test {
        name: name.into(),
        possible: true,
        namespaced: When::AskedFor,
        last: false,
        body: Arc::new(move |runtime, cluster| runtime.block_on(body(cluster))),
    }
}

// === impl Test ===

impl Test {
    /// Reported as ignored where the audit log is out of reach: on an existing cluster.
    pub(crate) fn needs_audit_log(mut self) -> Self {
        self.possible &= !existing_cluster();
        self
    }

    /// Reported as ignored unless this holds.
    pub(crate) fn only_if(mut self, asked_for: bool) -> Self {
        self.possible &= asked_for;
        self
    }

    /// Reported as ignored where nobody collects garbage or ends namespaces: with a
    /// `KUBEBUILDER_ASSETS` that has no kube-controller-manager.
    pub(crate) fn needs_controllers(mut self) -> Self {
        self.possible &= existing_cluster()
            || env::var_os("KUBEBUILDER_ASSETS")
                .is_none_or(|assets| Path::new(&assets).join("kube-controller-manager").exists());
        self
    }

    /// Run after all others: it has the operator refused what others look back for.
    pub(crate) fn last(mut self) -> Self {
        self.last = true;
        self
    }

    /// Run in namespaced mode, too, each time.
    pub(crate) fn also_namespaced(mut self) -> Self {
        self.namespaced = When::Always;
        self
    }

    /// Not run in namespaced mode: it is about what only cluster-wide rights give.
    pub(crate) fn cluster_wide(mut self) -> Self {
        self.namespaced = When::Never;
        self
    }

    fn is_namespaced_too(&self) -> bool {
        let asked = || env::var("NAMESPACED").is_ok_and(|value| value == "all");
        match self.namespaced {
            When::Never => false,
            When::AskedFor => asked(),
            When::Always => true,
        }
    }
}

/// Whether a cluster that is already there was asked for.
pub(crate) fn existing_cluster() -> bool {
    env::var("USE_EXISTING_CLUSTER").is_ok_and(|value| value == "true")
}

/// The cluster all tests share, and the runtime its client lives on.
pub(crate) struct Suite {
    runtime: Runtime,
    cluster: OnceLock<Result<Cluster, String>>,
    taken: Mutex<Vec<(Duration, String)>>,
}

/// How many of the slowest tests are named at the end.
const SLOWEST: usize = 10;

// === impl Suite ===

impl Suite {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            runtime: Runtime::new().expect("a runtime starts"),
            cluster: OnceLock::new(),
            taken: Mutex::default(),
        })
    }

    /// Runs what the arguments select. Without a selected test no cluster is started.
    pub(crate) fn run(
        self: &Arc<Self>,
        arguments: &Arguments,
        tests: impl Iterator<Item = Test>,
    ) -> Conclusion {
        let (mut trials, mut namespaced, mut last) = (Vec::new(), Vec::new(), Vec::new());
        for test in tests {
            let trial = self.trial(&test, test.name.clone(), false);
            if test.last {
                last.push(trial);
            } else {
                trials.push(trial);
            }
            if test.is_namespaced_too() {
                namespaced.push(self.trial(&test, format!("with Roles only: {}", test.name), true));
            }
        }
        trials.extend(namespaced);
        trials.extend(last);
        libtest_mimic::run(arguments, trials)
    }

    fn trial(self: &Arc<Self>, test: &Test, name: String, namespaced: bool) -> Trial {
        let (suite, body) = (Arc::clone(self), Arc::clone(&test.body));
        let timed = name.clone();
        let run = move || {
            let begun = Instant::now();
            let outcome = suite.run_one(&body, namespaced);
            let mut taken = suite.taken.lock().unwrap_or_else(PoisonError::into_inner);
            taken.push((begun.elapsed(), timed));
            outcome
        };
        Trial::test(name, run).with_ignored_flag(!test.possible)
    }

    fn run_one(&self, body: &Body, namespaced: bool) -> Result<(), Failed> {
        let cluster = self
            .cluster
            .get_or_init(|| {
                eprintln!(); // what it says starts on a line of its own
                self.runtime
                    .block_on(Cluster::start())
                    .map_err(|error| format!("the cluster did not start: {error:#}"))
            })
            .as_ref()
            .map_err(Failed::from)?;
        // The next test gets a clean cluster even when this one panics.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            cluster.set_namespaced(namespaced)?;
            body(&self.runtime, cluster)
        }));
        let cleaned = self.runtime.block_on(cluster.remove_namespaces());
        outcome
            .unwrap_or_else(|panic| resume_unwind(panic))
            .and(cleaned)
            .map_err(|error| Failed::from(format!("{error:#}")))
    }

    /// Says which tests took longest, and ends the control plane, if one was started. After a
    /// failure its logs stay.
    pub(crate) fn tear_down(&self, failed: bool) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.sort_by(|one, other| other.cmp(one));
        if taken.len() > 1 {
            eprintln!("slowest:");
            for (time, name) in taken.iter().take(SLOWEST) {
                eprintln!("{:7.1} s  {name}", time.as_secs_f64());
            }
        }
        if let Some(Ok(cluster)) = self.cluster.get() {
            cluster.tear_down(failed);
        }
    }
}

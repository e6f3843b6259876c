//! One cycle: the facts of one workspace in, its plan made, written and reported. Whatever is
//! learned on the way is told at once.
//! Must not keep anything: the next cycle starts from the facts again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};

use super::execute::{Delay, Executed};
use super::hurry::Hurried;
use super::metrics::PlanOutcome;
use super::news::Advice;
use super::queue::Ended;
use super::read::Reader;
use super::report::{Reported, Reporter};
use super::request::Failure;
use super::vault::Vault;
use crate::facts::{LastPolicy, OutputId, Rivalry, SecretLookup, Snapshot, WriteFailure};
use crate::plan::loads::Ask;
use crate::plan::output::Plan;
use crate::plan::plan;
use crate::plan::pods::pods;
use crate::plan::write::Write;
use crate::policy::finding::{Reason, Severity};
use crate::policy::name::Name;

/// When what the API server refused is tried again, though nothing of ours changed: rights,
/// quotas and foreign objects change without our seeing it.
const RECHECK: Duration = Duration::from_secs(60);

/// After how many failed cycles in a row a status tells of what may still work later. Before
/// that, it would tell of every restart of the API server.
const TELL_AFTER: u32 = 3;

/// How many Secrets are read at a time for one workspace.
const READS_AT_A_TIME: usize = 8;

/// One workspace's turn.
pub struct Cycle {
    pub reader: Reader,
    pub snapshot: Snapshot,
    /// How many cycles of it failed in a row before this one.
    pub failures: u32,
    /// Whether others who were not looked at yet may claim the same keys.
    pub early: bool,
    /// Set when facts changed after the snapshot.
    pub superseded: Arc<AtomicBool>,
    /// Which process this is.
    pub identity: Arc<str>,
}

/// How a cycle ended.
#[derive(Debug)]
pub struct Outcome {
    pub ended: Ended,
    /// Whether a key is written once all others were looked at.
    pub held: bool,
    /// When to look again though nothing changes.
    pub wake: Option<Timestamp>,
    /// For the statistics.
    pub plan: PlanOutcome,
    /// How many findings of each sort there are; `None` when it did not come to a plan.
    pub findings: Option<Findings>,
    /// What the next plan is to remember; `None` when it did not come to a plan.
    pub last_policy: Option<Option<Arc<LastPolicy>>>,
    /// Pods that are to be asked what they have loaded; `None` when it did not come to a plan.
    pub asks: Option<Vec<Ask>>,
}

/// Findings by sort.
pub type Findings = BTreeMap<(Reason, Severity), i64>;

// === impl Cycle ===

impl Cycle {
    /// Goes through all of it.
    pub async fn run(mut self) -> Outcome {
        let mut vault = Vault::default();
        let mut wait = Wait::default();
        let read = self.read_sources(&mut vault, &mut wait).await;
        if (read || self.early) && !self.ask().await {
            return wait.outcome(&self.snapshot, None);
        }
        let mut made = self.plan();
        let writes = made.writes(&self.snapshot.outputs);
        let unread = !wait.later.is_empty() && self.failures < TELL_AFTER;
        let held = self.early && writes.iter().any(|write| write.keys().next().is_some());
        if unread || held {
            // What takes a key away waits neither for others that cannot be read just now, nor
            // for others that are not read yet.
            self.take_away(&made, &writes, &mut vault, &mut wait).await;
            let outcome = wait.outcome(&self.snapshot, None);
            return match held {
                true => Outcome {
                    held,
                    plan: PlanOutcome::Waiting,
                    ..outcome
                },
                false => outcome,
            };
        }
        let Executed {
            mut failures,
            later,
            written,
        } = Executed::all(&self.reader, &writes, &mut vault).await;
        drop(vault);
        wait.written += written;
        failures.extend(self.foreign(&made, &writes));
        wait.recheck |= !failures.is_empty();
        let unfinished: BTreeSet<OutputId> = later.keys().cloned().collect();
        for (id, delay) in later {
            if self.failures >= TELL_AFTER {
                failures.insert(
                    id,
                    WriteFailure::Refused(format!("{}; it is tried again", delay.why)),
                );
            }
            wait.later.push(delay);
        }
        // What is written is hurried whatever became of the rest.
        let unwritten = failures.keys().cloned().chain(unfinished.iter().cloned());
        self.snapshot.unhurried = self.hurry(&made, unwritten.collect(), &mut wait).await;
        if !unfinished.is_empty() && self.failures < TELL_AFTER {
            // A status would claim too much, or too little in a moment. What was to be taken away
            // is as urgent the next time.
            return Outcome {
                last_policy: None,
                ..wait.outcome(&self.snapshot, Some(&made))
            };
        }
        if !failures.is_empty() || !self.snapshot.unhurried.is_empty() {
            self.snapshot.failures = failures;
            made = self.plan();
        }

        let reporter = Reporter {
            reader: &self.reader,
            snapshot: &self.snapshot,
            identity: &self.identity,
            superseded: &self.superseded,
        };
        let Reported {
            written,
            refused,
            later,
        } = reporter.all(&made).await;
        wait.written += written;
        wait.recheck |= refused;
        wait.later.extend(later);
        wait.outcome(&self.snapshot, Some(&made))
    }

    /// Takes away what can be taken without any key, and hurries pods for that much.
    async fn take_away(&self, made: &Plan, writes: &[Write], vault: &mut Vault, wait: &mut Wait) {
        let mut first: Vec<_> = writes.iter().filter_map(Write::without_keys).collect();
        first.retain(|write| write.rank() == Write::FIRST);
        let Executed {
            failures,
            later,
            written,
        } = Executed::all(&self.reader, &first, vault).await;
        if written == 0 {
            return;
        }
        wait.written += written;
        let failed = |id: &OutputId| failures.contains_key(id) || later.contains_key(id);
        let done = first.iter().map(Write::id).filter(|id| !failed(id));
        let done: BTreeSet<&OutputId> = done.collect();
        let rest = writes.iter().map(Write::id).filter(|id| !done.contains(id));
        self.hurry(made, rest.cloned().collect(), wait).await;
    }

    /// Hurries the pods that have something new to see; those that could not be.
    async fn hurry(
        &self,
        made: &Plan,
        unwritten: BTreeSet<OutputId>,
        wait: &mut Wait,
    ) -> BTreeMap<Name, WriteFailure> {
        let after_failures;
        let pods = if unwritten.is_empty() {
            &made.pods
        } else {
            after_failures = pods(&self.snapshot, made, &unwritten);
            &after_failures
        };
        wait.hurry_at = pods.wake_at;
        let Hurried {
            failures,
            later,
            hurried,
        } = Hurried::all(&self.reader, &pods.hurries).await;
        wait.written += hurried;
        wait.recheck |= !failures.is_empty();
        wait.later.extend(later);
        failures
    }

    /// Outputs that were not even tried, since their names are somebody else's.
    fn foreign(&self, made: &Plan, tried: &[Write]) -> Vec<(OutputId, WriteFailure)> {
        let foreign = made.outputs.iter().map(|output| &output.id).filter(|id| {
            let found = self.snapshot.outputs.get(*id);
            let tried = tried.iter().any(|write| write.id() == *id);
            found.is_some_and(|found| !found.is_ours()) && !tried
        });
        foreign
            .map(|id| (id.clone(), WriteFailure::NotOurs))
            .collect()
    }

    fn plan(&self) -> Plan {
        let start = Instant::now();
        let made = plan(&self.snapshot);
        self.reader.requester.metrics().plan_took(start.elapsed());
        made
    }

    /// Learns who else claims what was just read; false when nobody tells any more.
    async fn ask(&mut self) -> bool {
        let Some(Advice { rivalry, early }) = self.reader.teller.advice().await else {
            return false;
        };
        let Rivalry { keys, client_keys } = rivalry;
        self.early = early;
        self.snapshot.rivals = keys;
        self.snapshot.client_key_rivals = client_keys;
        true
    }

    /// Reads the values that the plan needs and nobody knows; whether there were any.
    async fn read_sources(&mut self, vault: &mut Vault, wait: &mut Wait) -> bool {
        let reader = &self.reader;
        let one = async |name| (reader.open(&name).await, name);
        let opened: Vec<_> = self.snapshot.unread().into_iter().map(one).collect();
        let opened = futures::stream::iter(opened).buffer_unordered(READS_AT_A_TIME);
        let opened: Vec<_> = opened.collect().await;
        let any = !opened.is_empty();
        for (opened, name) in opened {
            let lookup = match opened {
                Ok(opened) => {
                    for (source, material) in opened.materials {
                        vault.insert(source, material);
                    }
                    SecretLookup::Present(Arc::new(opened.facts))
                }
                Err(Failure::NotFound) => SecretLookup::Absent,
                Err(Failure::Forbidden) => {
                    wait.recheck = true;
                    SecretLookup::Denied
                }
                Err(Failure::Transient { why, after }) => {
                    wait.later.push(Delay { why, after });
                    continue;
                }
                Err(
                    failure @ (Failure::Conflict | Failure::AlreadyExists | Failure::Refused(_)),
                ) => {
                    let (why, after) = (format!("{failure:?}"), Duration::ZERO);
                    wait.later.push(Delay { why, after });
                    continue;
                }
            };
            self.snapshot.secrets.insert(name, lookup);
        }
        any
    }
}

/// What there is to wait for after a cycle.
#[derive(Default)]
struct Wait {
    written: usize,
    recheck: bool,
    later: Vec<Delay>,
    /// When more pods are to be hurried.
    hurry_at: Option<Timestamp>,
}

impl Wait {
    fn outcome(self, snapshot: &Snapshot, made: Option<&Plan>) -> Outcome {
        let Self {
            written,
            recheck,
            later,
            hurry_at,
        } = self;
        let recheck = recheck.then(|| after(snapshot.now, RECHECK));
        let wake = made.and_then(|made| made.wake_at);
        // A time that has passed already must not make a circle.
        let wake = wake.map(|at| at.max(after(snapshot.now, Duration::from_secs(1))));
        let late_at = made.and_then(|made| made.loads.wake_at);
        let ended = match later.iter().max_by_key(|delay| delay.after) {
            None => Ended::Settled,
            Some(Delay { why, after }) => {
                tracing::info!(workspace = %snapshot.name, why, "not done, tried again");
                Ended::Failed { after: *after }
            }
        };
        let plan = match (ended, written, recheck) {
            (Ended::Failed { .. }, ..) => PlanOutcome::Retried,
            (_, _, Some(_)) => PlanOutcome::Refused,
            (_, 0, None) => PlanOutcome::Unchanged,
            (_, _, None) => PlanOutcome::Written,
        };
        let findings = made.map(|made| {
            let mut findings = Findings::new();
            for finding in &made.findings {
                let sort = (finding.reason, finding.severity);
                *findings.entry(sort).or_default() += 1;
            }
            findings
        });
        Outcome {
            ended,
            held: false,
            wake: wake
                .into_iter()
                .chain(recheck)
                .chain(hurry_at)
                .chain(late_at)
                .min(),
            plan,
            findings,
            last_policy: made.map(|made| made.last_policy.clone()),
            asks: made.map(|made| made.loads.asks.clone()),
        }
    }
}

fn after(now: Timestamp, time: Duration) -> Timestamp {
    let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    now.checked_add(time).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;

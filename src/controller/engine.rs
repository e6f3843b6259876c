//! The loop: the one owner of all facts. Changes come in, workspaces are picked, their cycles
//! started, and what these learn is taken in before anything else is planned.
//! Must not send requests itself, nor decide what is planned.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::Options;
use super::cycle::{Cycle, Findings, Outcome};
use super::echo::{Echoes, Verdict};
use super::first_look::FirstLook;
use super::flights::Flights;
use super::gateways::Gateways;
use super::load::Asker;
use super::metrics::{Metrics, PlanOutcome};
use super::news::{Advice, News, Teller};
use super::object::ObjectKey;
use super::observe::{Observation, Observer, Onlookers, Scope, base};
use super::queue::{Ended, Lane, Queue};
use super::read::Reader;
use super::request::Requester;
use super::secrets::Secrets;
use super::serve::Health;
use super::skew::ServerClock;
use crate::plan::world::{Access, Change, Unseen, World};
use crate::policy::catalogue::Catalogue;
use crate::policy::name::NamespacedName;

/// The longest the loop sleeps: the clock on the wall may jump, and a boundary is to be noticed
/// within a second.
const BEAT: Duration = Duration::from_secs(1);

/// By how much a clock is set back for it to matter; less is how clocks are kept right.
const SET_BACK: SignedDuration = SignedDuration::from_secs(2);

/// How long cycles may take to finish at the end.
const GRACE: Duration = Duration::from_secs(5);

/// Observations that watches may be ahead of the loop, and those it takes in at a time.
const AHEAD: usize = 1024;
const AT_A_TIME: usize = 256;

/// Everything the operator knows and is doing.
pub struct Engine {
    world: World,
    queue: Queue,
    echoes: Echoes,
    observer: Observer,
    observations: mpsc::Receiver<Observation>,
    teller: mpsc::UnboundedSender<News>,
    news: mpsc::UnboundedReceiver<News>,
    requester: Requester,
    clock: ServerClock,
    flights: Flights,
    rereads: JoinSet<()>,
    /// Base watches that have not listed yet.
    unlisted: BTreeSet<Scope>,
    /// Whether it is known which models there are: what is found must not change right away.
    models_known: bool,
    /// Namespace and name of the ConfigMap that says so.
    models: (String, String),
    leading: bool,
    secrets: Secrets,
    gateways: Gateways,
    asker: Asker,
    /// Workspaces that wait for Secrets or pods to be listed, and how urgently.
    waiting: HashMap<NamespacedName, Lane>,
    first_look: FirstLook,
    /// When the loop last went round.
    last_round: Timestamp,
    findings: HashMap<NamespacedName, Findings>,
    health: Health,
    metrics: Arc<Metrics>,
    identity: Arc<str>,
}

// === impl Engine ===

impl Engine {
    /// Knows nothing yet.
    pub fn new(
        client: Client,
        clock: ServerClock,
        options: &Options,
        health: Health,
        onlookers: Onlookers,
    ) -> Self {
        let metrics = onlookers.metrics.clone();
        let (out, observations) = mpsc::channel(AHEAD);
        let (teller, news) = mpsc::unbounded_channel();
        let max = options.max_in_flight.max(1);
        Self {
            world: World::new(Arc::new(Catalogue::built_in()), Unseen::Waits)
                .with_upstream(options.upstream.clone())
                .with_operator_in(&options.namespace),
            queue: Queue::default(),
            echoes: Echoes::default(),
            observer: Observer::new(client.clone(), out, onlookers),
            observations,
            teller,
            news,
            requester: Requester::new(client, max, metrics.clone()),
            clock,
            flights: Flights::new(max),
            rereads: JoinSet::new(),
            unlisted: base(&options.namespaces),
            models_known: false,
            models: (options.namespace.clone(), options.models_config_map.clone()),
            leading: false,
            secrets: Secrets::new(options.secrets),
            gateways: Gateways::default(),
            asker: Asker::default(),
            waiting: HashMap::new(),
            first_look: FirstLook::default(),
            last_round: Timestamp::now(),
            findings: HashMap::new(),
            health,
            metrics,
            identity: options.identity.as_str().into(),
        }
    }

    /// Runs until `shutdown`, writing while `leading` says so.
    pub async fn run(
        mut self,
        mut leading: watch::Receiver<bool>,
        shutdown: impl Future<Output = ()>,
    ) {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut batch = Vec::with_capacity(AT_A_TIME);
        for scope in self.unlisted.clone() {
            self.observer.start(scope);
        }
        self.observer.start_models(&self.models.0, &self.models.1);
        self.secrets.start(&mut self.observer);
        self.lead(*leading.borrow_and_update());
        loop {
            self.look_at_clock();
            for change in self.secrets.watch(&self.world, &mut self.observer) {
                self.apply(change, Lane::Fresh, None);
            }
            self.gateways.watch(&mut self.world, &mut self.observer);
            for workspace in self.first_look.release(Instant::now()) {
                self.push(workspace, Lane::Backlog);
            }
            self.start_cycles();
            self.asker.start(Instant::now());
            self.metrics.queued(self.queue.depth());
            self.health.beat();
            let rest = self.rest();
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Ok(()) = leading.changed() => {
                    let leading = *leading.borrow_and_update();
                    self.lead(leading);
                }
                Some(news) = self.news.recv() => self.hear(news),
                (workspace, outcome) = self.flights.land() => {
                    self.hear_all();
                    self.landed(workspace, outcome);
                }
                reported = self.asker.answer() => {
                    self.apply(Change::Reported(reported), Lane::Fresh, None);
                }
                _ = self.observations.recv_many(&mut batch, AT_A_TIME) => {
                    // A cycle tells of a write before it sends it, so whatever is its echo is
                    // known to be one from here on.
                    self.hear_all();
                    for observation in batch.drain(..) {
                        self.observe(observation);
                    }
                }
                () = tokio::time::sleep_until(rest.into()) => {}
            }
            while self.rereads.try_join_next().is_some() {}
        }
        self.finish().await;
    }

    async fn finish(mut self) {
        // No question is answered any more.
        self.news.close();
        while self.news.try_recv().is_ok() {}
        self.flights.finish(GRACE).await;
    }

    fn lead(&mut self, leading: bool) {
        self.metrics.leads(leading);
        if leading && !std::mem::replace(&mut self.leading, leading) {
            self.queue_all();
        }
    }

    /// Start-up, or takeover: nobody says what changed meanwhile.
    fn queue_all(&mut self) {
        if self.plans() {
            let all = self.world.workspaces();
            tracing::info!(workspaces = all.len(), "planning all");
            self.first_look = FirstLook::at(self.world.workspaces_with_keys(), Instant::now());
            for workspace in all {
                self.push(workspace, Lane::Backlog);
            }
        }
    }

    /// What was planned for a time that has not come after all is planned again: a clock that was
    /// set back meanwhile must not keep a key or a grant from anybody until something else happens.
    fn look_at_clock(&mut self) {
        let before = std::mem::replace(&mut self.last_round, Timestamp::now());
        if self.last_round.duration_since(before) < -SET_BACK && self.plans() {
            tracing::warn!(from = %before, to = %self.last_round, "the clock was set back: planning all");
            for workspace in self.world.workspaces() {
                self.push(workspace, Lane::Backlog);
            }
        }
    }

    fn plans(&self) -> bool {
        self.leading && self.is_complete()
    }

    /// Whether all that plans are made of has been seen.
    fn is_complete(&self) -> bool {
        self.unlisted.is_empty() && self.models_known
    }

    fn observe(&mut self, observation: Observation) {
        match observation {
            Observation::Seen(seen) => {
                tracing::trace!(object = %seen.key, version = seen.version, "seen");
                let verdict = self.echoes.judge(seen);
                self.judged(verdict);
            }
            Observation::Listed(scope) => {
                if self.unlisted.remove(&scope) && self.is_complete() {
                    self.complete();
                }
            }
            Observation::Models(catalogue) => {
                let first = !std::mem::replace(&mut self.models_known, true);
                for workspace in self.world.set_catalogue(catalogue) {
                    self.push(workspace, Lane::Backlog);
                }
                if first && self.is_complete() {
                    self.complete();
                }
            }
            Observation::KeySet(id, lookup) => {
                self.apply(Change::KeySet(id, lookup), Lane::Fresh, None);
            }
            Observation::ClusterKeys(keys) => {
                self.apply(Change::ClusterKeys(keys), Lane::Fresh, None);
            }
            Observation::PodAccess(scope, access) => {
                self.apply(Change::PodAccess(scope, access), Lane::Backlog, None);
            }
            Observation::Access(namespace, access) => {
                if access == Access::Denied {
                    // The facts are gone with the access, so nothing that comes is known.
                    self.echoes.forget_secrets(namespace.as_ref());
                }
                for change in self.secrets.access(namespace, access) {
                    self.apply(change, Lane::Backlog, None);
                }
            }
        }
    }

    fn complete(&mut self) {
        self.health.set_listed(true);
        self.metrics.listed();
        self.queue_all();
    }

    fn judged(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::New(seen) => {
                let lane = if seen.first {
                    Lane::Backlog
                } else {
                    Lane::Fresh
                };
                self.apply(seen.change, lane, None);
            }
            Verdict::Known => {}
            Verdict::Reread(key) => self.reread(key),
        }
    }

    /// Takes in what cycles tell.
    fn hear(&mut self, news: News) {
        match news {
            News::Begun(key) => self.echoes.begin(key),
            News::Ended { key, learned } => {
                let version = learned.as_ref().and_then(|learned| learned.version);
                let (latest, verdict) = self.echoes.end(&key, version);
                if let Some(learned) = learned.filter(|_| latest) {
                    // What a cycle did itself is no reason for it to look again.
                    let except = (!learned.surprise).then_some(learned.by);
                    self.apply(learned.change, Lane::Fresh, except.as_ref());
                }
                self.judged(verdict);
            }
            News::Hurried { by, hurried } => {
                self.apply(Change::Hurried(hurried), Lane::Fresh, Some(&by));
            }
            News::Asked { by, answer } => {
                self.first_look.looked_at(&by);
                let advice = Advice {
                    rivalry: self.world.rivalry(&by),
                    early: self.first_look.awaits_others(&by),
                };
                // Who asked may be gone by now.
                let _ = answer.send(advice);
            }
        }
    }

    fn hear_all(&mut self) {
        while let Ok(news) = self.news.try_recv() {
            self.hear(news);
        }
    }

    fn apply(&mut self, change: Change, lane: Lane, except: Option<&NamespacedName>) {
        self.secrets.stale |= matches!(
            change,
            Change::Workspace(_) | Change::Binding(_) | Change::KeyRef(_)
        );
        self.gateways.stale |= matches!(change, Change::Workspace(_) | Change::WorkspaceGone(_));
        for workspace in self.world.apply(change) {
            if Some(&workspace) != except {
                self.push(workspace, lane);
            }
        }
    }

    fn push(&mut self, workspace: NamespacedName, lane: Lane) {
        if !self.plans() {
            return;
        }
        let waited = self.waiting.remove(&workspace);
        let lane = waited.map_or(lane, |waited| waited.min(lane));
        if self.queue.push(&workspace, lane, Instant::now()) {
            self.flights.supersede(&workspace);
        }
    }

    fn start_cycles(&mut self) {
        self.queue.wake(Timestamp::now(), Instant::now());
        while let Some(backlog) = self.flights.room() {
            let now = Instant::now();
            let Some((workspace, lane)) = self.queue.pop(now, backlog) else {
                break;
            };
            let wall = Timestamp::now();
            let Some(mut snapshot) = self.world.snapshot(&workspace, wall) else {
                tracing::debug!(%workspace, "waits for Secrets, pods or public keys to be looked at");
                self.metrics.planned(PlanOutcome::Waiting);
                self.queue.ended(&workspace, Ended::Settled, None, now);
                self.waiting.insert(workspace, lane);
                continue;
            };
            snapshot.skew = self.clock.skew(wall, Instant::now());
            let reader = self.reader(lane, workspace.clone());
            let failures = self.queue.failures(&workspace);
            let early = self.first_look.awaits_others(&workspace);
            let identity = self.identity.clone();
            self.flights.start(workspace, lane, |superseded| Cycle {
                reader,
                snapshot,
                failures,
                early,
                superseded,
                identity,
            });
        }
    }

    fn landed(&mut self, workspace: NamespacedName, outcome: Option<Outcome>) {
        self.first_look.looked_at(&workspace);
        let Some(Outcome {
            ended,
            held,
            wake,
            plan,
            findings,
            last_policy,
            asks,
        }) = outcome
        else {
            tracing::error!(%workspace, "planning panicked, it is tried again");
            self.metrics.planned(PlanOutcome::Retried);
            let ended = Ended::Failed {
                after: Duration::ZERO,
            };
            return self.queue.ended(&workspace, ended, None, Instant::now());
        };
        self.metrics.planned(plan);
        if held {
            self.first_look.hold(workspace.clone());
        }
        if let Some(last_policy) = last_policy {
            self.world.planned(&workspace, last_policy);
        }
        if let Some(asks) = asks {
            self.asker.expect(&workspace, asks, Instant::now());
        }
        if let Some(findings) = findings {
            self.count(&workspace, findings);
        }
        self.queue.ended(&workspace, ended, wake, Instant::now());
    }

    fn count(&mut self, workspace: &NamespacedName, findings: Findings) {
        for ((reason, severity), count) in &findings {
            self.metrics.found(*reason, *severity, *count);
        }
        let before = match findings.is_empty() {
            true => self.findings.remove(workspace),
            false => self.findings.insert(workspace.clone(), findings),
        };
        for ((reason, severity), count) in before.into_iter().flatten() {
            self.metrics.found(reason, severity, -count);
        }
    }

    fn reader(&self, lane: Lane, by: NamespacedName) -> Reader {
        let teller = Teller::new(self.teller.clone(), by);
        Reader {
            requester: self.requester.clone(),
            lane,
            teller,
        }
    }

    fn reread(&mut self, key: ObjectKey) {
        let reader = self.reader(Lane::Fresh, NamespacedName::new("", ""));
        self.rereads.spawn(async move {
            while reader.look(&key, true).await.is_err() {
                tokio::time::sleep(BEAT).await;
            }
        });
    }

    /// Until when nothing is to be done if nothing happens.
    fn rest(&self) -> Instant {
        let now = Instant::now();
        let wake = self.queue.next_wake().map(|at| {
            let rest = at.duration_since(Timestamp::now());
            now + Duration::try_from(rest).unwrap_or_default().min(BEAT)
        });
        wake.into_iter()
            .chain(self.queue.next_release())
            .chain(self.first_look.until())
            .chain(self.asker.next())
            .fold(now + BEAT, Instant::min)
    }
}

//! What is measured, under names that people put in dashboards.
//! Must not hold a label from an open set, with one exception: see [`KeyLabels`].

mod everything;

use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::object::ObjectKind;
use super::queue::Depth;
use crate::api::convert::Readiness;
use crate::policy::finding::{Reason, Severity};
use crate::policy::name::NamespacedName;
use crate::policy::rotation::State;

/// Upper bounds of the buckets, in seconds: a plan takes microseconds for a small workspace
/// and may take tenths of a second for one with 50,000 subjects.
const PLAN_BUCKETS: [f64; 9] = [0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0];

/// Every metric of the operator. Cheap to share: all values are atomic.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    plans: Family<PlanLabels, Counter>,
    plan_duration: Histogram,
    requests: Family<RequestLabels, Counter>,
    queue: Family<LaneLabels, Gauge>,
    objects: Family<ObjectLabels, Gauge>,
    findings: Family<FindingLabels, Gauge>,
    rotation_due: Family<KeyLabels, Gauge>,
    rotation_state: Family<KeyStateLabels, Gauge>,
    leader: Gauge,
    listed: Gauge,
    models_understood: Gauge,
}

/// How planning a workspace ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlanOutcome {
    /// Everything was as it should be.
    Unchanged,
    /// Something was written.
    Written,
    /// The API server refused something; a status says so.
    Refused,
    /// It is tried again.
    Retried,
    /// Secrets it needs have not been listed yet, or those of others not been read.
    Waiting,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PlanLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    verb: &'static str,
    kind: &'static str,
    code_class: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LaneLabels {
    lane: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ObjectLabels {
    kind: &'static str,
    ready: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FindingLabels {
    reason: &'static str,
    severity: &'static str,
}

/// An ApiKeyRef by name: the one open set. An alert that a key is due must name the key, and
/// ApiKeyRefs are few: one for each service, written by people. The series go when they go.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KeyLabels {
    namespace: String,
    name: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KeyStateLabels {
    namespace: String,
    name: String,
    state: &'static str,
}

const STATES: [State; 5] = [
    State::Fresh,
    State::DueSoon,
    State::Overdue,
    State::Expired,
    State::Unknown,
];

// === impl Metrics ===

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("anthropic_rbac"),
            plans: Family::default(),
            plan_duration: Histogram::new(PLAN_BUCKETS),
            requests: Family::default(),
            queue: Family::default(),
            objects: Family::default(),
            findings: Family::default(),
            rotation_due: Family::default(),
            rotation_state: Family::default(),
            leader: Gauge::default(),
            listed: Gauge::default(),
            models_understood: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register(
            "plans",
            "Plans made, by how they ended",
            metrics.plans.clone(),
        );
        registry.register(
            "plan_duration_seconds",
            "Time to derive what should exist for one workspace, without any requests",
            metrics.plan_duration.clone(),
        );
        registry.register(
            "api_requests",
            "Requests to the API server, without watches and leader election",
            metrics.requests.clone(),
        );
        registry.register(
            "queue_depth",
            "Workspaces that wait to be planned",
            metrics.queue.clone(),
        );
        registry.register(
            "objects",
            "Objects, by their stored Ready condition and its reason",
            metrics.objects.clone(),
        );
        registry.register(
            "findings",
            "Findings of the latest plans",
            metrics.findings.clone(),
        );
        registry.register(
            "api_key_rotation_due_timestamp_seconds",
            "When a key is to be replaced, as its ApiKeyRef's status says; absent while unknown",
            metrics.rotation_due.clone(),
        );
        registry.register(
            "api_key_rotation_state",
            "1 for the rotation state that the ApiKeyRef's status says",
            metrics.rotation_state.clone(),
        );
        registry.register(
            "leader",
            "1 while this process writes, 0 on standby",
            metrics.leader.clone(),
        );
        registry.register(
            "listed",
            "1 once everything that plans are made from has been listed, as /readyz says",
            metrics.listed.clone(),
        );
        registry.register(
            "models_understood",
            "0 while the models ConfigMap is not understood and the last good catalogue is used instead, else 1",
            metrics.models_understood.clone(),
        );
        metrics.models_understood.set(1);
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "What is running", build);
        metrics
    }

    /// Everything, in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("writing to a string does not fail");
        text
    }

    /// A workspace was planned, or could not be.
    pub fn planned(&self, outcome: PlanOutcome) {
        self.plans
            .get_or_create(&PlanLabels {
                outcome: outcome.name(),
            })
            .inc();
    }

    /// Deriving one plan took this long.
    pub fn plan_took(&self, time: Duration) {
        self.plan_duration.observe(time.as_secs_f64());
    }

    /// A request was answered with this HTTP status, or not at all.
    pub fn requested(&self, verb: &'static str, kind: ObjectKind, status: Option<u16>) {
        let code_class = match status {
            Some(200..=299) => "2xx",
            Some(400..=499) => "4xx",
            Some(500..=599) => "5xx",
            Some(_) => "other",
            None => "none",
        };
        self.requests
            .get_or_create(&RequestLabels {
                verb,
                kind: kind.name(),
                code_class,
            })
            .inc();
    }

    /// How many workspaces wait.
    pub fn queued(&self, depth: Depth) {
        let Depth {
            fresh,
            backlog,
            delayed,
        } = depth;
        for (lane, depth) in [("fresh", fresh), ("backlog", backlog), ("delayed", delayed)] {
            self.queue
                .get_or_create(&LaneLabels { lane })
                .set(to_i64(depth));
        }
    }

    /// An object of ours came, changed or went.
    pub fn object(&self, kind: ObjectKind, before: Option<Readiness>, after: Option<Readiness>) {
        let gauge = |Readiness { ready, reason }: Readiness| {
            let labels = ObjectLabels {
                kind: kind.name(),
                ready: ready.name(),
                reason: reason.name,
            };
            self.objects.get_or_create_owned(&labels)
        };
        if before != after {
            before.map(|readiness| gauge(readiness).dec());
            after.map(|readiness| gauge(readiness).inc());
        }
    }

    /// Whether the models ConfigMap, if there is one, holds a catalogue.
    pub fn models_understood(&self, understood: bool) {
        self.models_understood.set(i64::from(understood));
    }

    /// There are this many more, or fewer, findings of a sort.
    pub fn found(&self, reason: Reason, severity: Severity, difference: i64) {
        let labels = FindingLabels {
            reason: reason.name(),
            severity: severity.name(),
        };
        self.findings.get_or_create(&labels).inc_by(difference);
    }

    /// What the status of an ApiKeyRef says of its rotation; both `None` when it is gone.
    pub fn rotation(&self, key: &NamespacedName, due: Option<Timestamp>, state: Option<State>) {
        let (namespace, name) = (key.namespace.to_string(), key.name.to_string());
        let labels = KeyLabels {
            namespace: namespace.clone(),
            name: name.clone(),
        };
        match due {
            Some(due) => drop(
                self.rotation_due
                    .get_or_create(&labels)
                    .set(due.as_second()),
            ),
            None => drop(self.rotation_due.remove(&labels)),
        }
        for of in STATES {
            let (namespace, name) = (namespace.clone(), name.clone());
            let labels = KeyStateLabels {
                namespace,
                name,
                state: of.name(),
            };
            if Some(of) == state {
                self.rotation_state.get_or_create(&labels).set(1);
            } else {
                self.rotation_state.remove(&labels);
            }
        }
    }

    /// Whether this process writes.
    pub fn leads(&self, leading: bool) {
        self.leader.set(leading.into());
    }

    /// Everything that plans are made from has been listed.
    pub fn listed(&self) {
        self.listed.set(1);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl PlanOutcome {
    /// All of them.
    const ALL: [Self; 5] = [
        Self::Unchanged,
        Self::Written,
        Self::Refused,
        Self::Retried,
        Self::Waiting,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Written => "written",
            Self::Refused => "refused",
            Self::Retried => "retried",
            Self::Waiting => "waiting",
        }
    }
}

fn to_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;

//! Metrics of a process in which everything has happened, to learn their names and labels from.
//! Must not be served.

use super::super::request::Verb;
use super::*;
use crate::api::conditions::reason;
use crate::facts::Is;
use crate::policy::finding::Kind;

impl Metrics {
    /// With each value that each label can have, though not in each combination. Names of objects
    /// are made up.
    pub fn of_everything() -> Self {
        let metrics = Self::new();
        for outcome in PlanOutcome::ALL {
            metrics.planned(outcome);
        }
        metrics.plan_took(Duration::ZERO);
        for verb in Verb::ALL {
            metrics.requested(verb.name(), ObjectKind::Workspace, Some(200));
        }
        for kind in ObjectKind::WRITTEN {
            metrics.requested(Verb::Merge.name(), kind, Some(200));
        }
        for status in [None, Some(200), Some(302), Some(404), Some(500)] {
            metrics.requested(Verb::Merge.name(), ObjectKind::Workspace, status);
        }
        metrics.queued(Depth::default());
        for kind in [Kind::Workspace, Kind::RoleBinding, Kind::ApiKeyRef] {
            for ready in [Is::True, Is::False, Is::Unknown] {
                for reason in reason::all() {
                    metrics.object(kind.into(), None, Some(Readiness { ready, reason }));
                }
            }
        }
        for reason in Reason::ALL {
            metrics.found(*reason, reason.severity(), 1);
        }
        let due = Some(Timestamp::UNIX_EPOCH);
        for state in STATES {
            let key = NamespacedName::new("claude", format!("name-{}", state.name()));
            metrics.rotation(&key, due, Some(state));
        }
        metrics.leads(true);
        metrics.listed();
        metrics
    }
}

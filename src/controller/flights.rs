//! The cycles on their way: at most one a workspace, and few enough of the backlog that what is
//! fresh always finds room.
//! Must not decide which comes next, nor what follows from how one ended.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::{self, JoinSet};

use super::cycle::{Cycle, Outcome};
use super::queue::Lane;
use super::request::backlog_share;
use crate::policy::name::NamespacedName;

/// Cycles, each a task.
pub struct Flights {
    cycles: JoinSet<Outcome>,
    tasks: HashMap<task::Id, NamespacedName>,
    flights: HashMap<NamespacedName, Flight>,
    max: usize,
}

/// A cycle on its way.
struct Flight {
    lane: Lane,
    superseded: Arc<AtomicBool>,
}

// === impl Flights ===

impl Flights {
    /// None yet, and never more than `max` at a time.
    pub fn new(max: usize) -> Self {
        Self {
            cycles: JoinSet::new(),
            tasks: HashMap::new(),
            flights: HashMap::new(),
            max,
        }
    }

    /// Whether there is room for one more, and if so, whether it may be of the backlog.
    pub fn room(&self) -> Option<bool> {
        let backlog = self
            .flights
            .values()
            .filter(|flight| flight.lane == Lane::Backlog);
        (self.flights.len() < self.max).then(|| backlog.count() < backlog_share(self.max))
    }

    /// Starts the cycle of a workspace that has none. It gets the flag that says that facts
    /// changed after its snapshot.
    pub fn start(
        &mut self,
        workspace: NamespacedName,
        lane: Lane,
        cycle: impl FnOnce(Arc<AtomicBool>) -> Cycle,
    ) {
        let superseded = Arc::new(AtomicBool::new(false));
        let task = self.cycles.spawn(cycle(superseded.clone()).run());
        self.tasks.insert(task.id(), workspace.clone());
        self.flights.insert(workspace, Flight { lane, superseded });
    }

    /// Tells the cycle of a workspace, if there is one, that facts changed.
    pub fn supersede(&self, workspace: &NamespacedName) {
        if let Some(flight) = self.flights.get(workspace) {
            flight.superseded.store(true, Ordering::Relaxed);
        }
    }

    /// The next that lands, and how: `None` when it panicked. Never, while there is none.
    pub async fn land(&mut self) -> (NamespacedName, Option<Outcome>) {
        loop {
            let Some(landed) = self.cycles.join_next_with_id().await else {
                return std::future::pending().await;
            };
            let (id, outcome) = match landed {
                Ok((id, outcome)) => (id, Some(outcome)),
                Err(error) => (error.id(), None),
            };
            if let Some(workspace) = self.tasks.remove(&id) {
                self.flights.remove(&workspace);
                return (workspace, outcome);
            }
        }
    }

    /// Lets those on their way finish, for `grace` at most. What is left of long ones is done
    /// after the next start.
    pub async fn finish(mut self, grace: Duration) {
        tracing::info!(cycles = self.cycles.len(), "stopping");
        for flight in self.flights.values() {
            flight.superseded.store(true, Ordering::Relaxed);
        }
        let all = async { while self.cycles.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, all).await.is_err() {
            tracing::warn!("some cycles did not finish in time; the next start completes them");
        }
    }
}

//! What to plan next: workspaces in two lanes, batched, never two at a time for one, with a
//! backoff for those that fail and a wake-up for those that wait for a time.
//! Must not read a clock, sleep, or know what a plan is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::policy::name::NamespacedName;

/// Least time between two starts for one workspace: whatever changes within it makes one plan.
pub const BATCH: Duration = Duration::from_millis(50);
/// Delay after the first failure; it doubles with each further one.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// Longest delay between two attempts.
pub const BACKOFF_LAST: Duration = Duration::from_secs(60);
/// Least delay after a failure, even when an edit promises to mend it.
pub const BACKOFF_FLOOR: Duration = Duration::from_millis(500);
/// Every how many picks the backlog goes first.
pub const BACKLOG_SHARE: u32 = 8;

/// Who waits for it. Fresh work goes first; the backlog has its share of picks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Lane {
    /// Somebody changed something just now.
    Fresh,
    /// Start-up, and what time alone brings about.
    Backlog,
}

/// How a plan ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Everything is as planned, or cannot become so before something changes.
    Settled,
    /// It may work the next time, not before this much has passed.
    Failed { after: Duration },
}

/// The queue.
#[derive(Debug, Default)]
pub struct Queue {
    entries: HashMap<NamespacedName, Entry>,
    ready: [BTreeMap<u64, NamespacedName>; 2],
    delayed: BTreeSet<(Instant, NamespacedName)>,
    wakes: BTreeSet<(Timestamp, NamespacedName)>,
    /// Order of arrival in a lane.
    ticket: u64,
    picks: u32,
    /// Entries that say nothing are swept out when there are this many.
    sweep_at: usize,
}

#[derive(Debug, Default)]
struct Entry {
    place: Place,
    /// Latest start.
    started: Option<Instant>,
    failures: u32,
    /// Not before this instant, whatever happens; set by a failure.
    floor: Option<Instant>,
    wake: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Place {
    /// Nothing to do.
    #[default]
    Idle,
    /// In a lane, under this ticket.
    Ready(Lane, u64),
    /// Will be put in a lane.
    Delayed(Lane, Instant),
    /// Being planned, and once more when that has ended if `again` has a lane.
    InFlight { lane: Lane, again: Option<Lane> },
}

/// How many workspaces wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Depth {
    /// Ready, because something changed.
    pub fresh: usize,
    /// Ready, from start-up or because of the time.
    pub backlog: usize,
    /// Waiting out a batch or a backoff.
    pub delayed: usize,
}

// === impl Queue ===

impl Queue {
    /// Has something to do for a workspace. Says whether it is being planned right now, in
    /// which case that plan is out of date.
    pub fn push(&mut self, key: &NamespacedName, lane: Lane, now: Instant) -> bool {
        let entry = self.entries.entry(key.clone()).or_default();
        let earliest = entry.earliest(now);
        match entry.place {
            Place::InFlight { lane: held, again } => {
                let again = again.into_iter().chain([lane]).min();
                entry.place = Place::InFlight { lane: held, again };
                return true;
            }
            Place::Idle => self.place(key, lane, earliest, now),
            Place::Ready(held, _) if lane < held => self.place(key, lane, now, now),
            // An edit may be what a failing workspace waits for.
            Place::Delayed(_, at) if lane == Lane::Fresh => {
                self.place(key, lane, at.min(earliest), now);
            }
            Place::Ready(..) | Place::Delayed(..) => {}
        }
        false
    }

    /// What to plan now, and why. Without `backlog` only fresh work is given out.
    pub fn pop(&mut self, now: Instant, backlog: bool) -> Option<(NamespacedName, Lane)> {
        self.release(now);
        let share = self.picks % BACKLOG_SHARE == BACKLOG_SHARE - 1;
        let order = match (backlog, share) {
            (false, _) => &[Lane::Fresh][..],
            (true, false) => &[Lane::Fresh, Lane::Backlog],
            (true, true) => &[Lane::Backlog, Lane::Fresh],
        };
        let (lane, key) = order
            .iter()
            .find_map(|lane| Some((*lane, self.ready[*lane as usize].pop_first()?.1)))?;
        self.picks = self.picks.wrapping_add(1);
        let entry = self
            .entries
            .get_mut(&key)
            .expect("what is in a lane has an entry");
        entry.place = Place::InFlight { lane, again: None };
        entry.started = Some(now);
        Some((key, lane))
    }

    /// A plan has ended; when it told a time, the workspace is looked at again then.
    pub fn ended(
        &mut self,
        key: &NamespacedName,
        how: Ended,
        wake: Option<Timestamp>,
        now: Instant,
    ) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        let Place::InFlight { lane, again } = entry.place else {
            return;
        };
        entry.place = Place::Idle;
        let next = match how {
            Ended::Settled => {
                entry.failures = 0;
                entry.floor = None;
                again.map(|lane| (lane, entry.earliest(now)))
            }
            Ended::Failed { after } => {
                let after = after.min(BACKOFF_LAST);
                let delay = backoff(entry.failures).max(after);
                entry.failures = entry.failures.saturating_add(1);
                entry.floor = Some(now + delay.min(BACKOFF_FLOOR.max(after)));
                Some(match again {
                    Some(Lane::Fresh) => (Lane::Fresh, entry.earliest(now)),
                    Some(Lane::Backlog) | None => (lane, now + delay),
                })
            }
        };
        self.set_wake(key, wake);
        if let Some((lane, at)) = next {
            self.place(key, lane, at, now);
        }
        self.sweep(now);
    }

    /// How often in a row the latest plans of a workspace failed.
    pub fn failures(&self, key: &NamespacedName) -> u32 {
        self.entries.get(key).map_or(0, |entry| entry.failures)
    }

    /// Moves what is due by the clock on the wall to the backlog. It waits for no backoff: what
    /// keeps failing in a workspace must not keep the rest of it from its time.
    pub fn wake(&mut self, wall: Timestamp, now: Instant) {
        while let Some((_, key)) = self.wakes.first().filter(|(at, _)| *at <= wall).cloned() {
            self.set_wake(&key, None);
            self.push(&key, Lane::Backlog, now);
            if let Some(entry) = self.entries.get(&key)
                && let Place::Delayed(lane, at) = entry.place
            {
                let earliest = entry.earliest(now);
                self.place(&key, lane, at.min(earliest), now);
            }
        }
    }

    /// When, by the clock on the wall, the next workspace is to be looked at again.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// When the next delayed workspace becomes ready; `None` when none is delayed.
    pub fn next_release(&self) -> Option<Instant> {
        self.delayed.first().map(|(at, _)| *at)
    }

    /// How many wait.
    pub fn depth(&self) -> Depth {
        Depth {
            fresh: self.ready[Lane::Fresh as usize].len(),
            backlog: self.ready[Lane::Backlog as usize].len(),
            delayed: self.delayed.len(),
        }
    }

    fn place(&mut self, key: &NamespacedName, lane: Lane, at: Instant, now: Instant) {
        let entry = self
            .entries
            .get_mut(key)
            .expect("only called for a key with an entry");
        match entry.place {
            Place::Ready(held, ticket) => drop(self.ready[held as usize].remove(&ticket)),
            Place::Delayed(_, until) => drop(self.delayed.remove(&(until, key.clone()))),
            Place::Idle | Place::InFlight { .. } => {}
        }
        if at > now {
            entry.place = Place::Delayed(lane, at);
            self.delayed.insert((at, key.clone()));
        } else {
            self.ticket += 1;
            entry.place = Place::Ready(lane, self.ticket);
            self.ready[lane as usize].insert(self.ticket, key.clone());
        }
    }

    /// Puts what was delayed until now in its lane.
    fn release(&mut self, now: Instant) {
        while let Some((at, key)) = self.delayed.first().filter(|(at, _)| *at <= now).cloned() {
            let Place::Delayed(lane, _) = self.entries[&key].place else {
                unreachable!("whatever is among the delayed has that place");
            };
            self.place(&key, lane, at, now);
        }
    }

    fn set_wake(&mut self, key: &NamespacedName, wake: Option<Timestamp>) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        if let Some(before) = std::mem::replace(&mut entry.wake, wake) {
            self.wakes.remove(&(before, key.clone()));
        }
        if let Some(at) = wake {
            self.wakes.insert((at, key.clone()));
        }
    }

    /// An idle entry older than a batch says nothing that a missing one does not.
    fn sweep(&mut self, now: Instant) {
        if self.entries.len() < self.sweep_at.max(64) {
            return;
        }
        self.entries.retain(|_, entry| {
            entry.place != Place::Idle || entry.wake.is_some() || entry.earliest(now) > now
        });
        self.sweep_at = 2 * self.entries.len();
    }
}

impl Entry {
    /// The earliest next start.
    fn earliest(&self, now: Instant) -> Instant {
        let batch = self.started.map(|at| at + BATCH);
        batch.into_iter().chain(self.floor).fold(now, Instant::max)
    }
}

fn backoff(failures: u32) -> Duration {
    BACKOFF_FIRST
        .saturating_mul(2_u32.saturating_pow(failures))
        .min(BACKOFF_LAST)
}

#[cfg(test)]
mod tests;

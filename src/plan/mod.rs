//! Snapshot in, plan out: the one place where everything that should exist is derived from
//! everything that is known. Must not do IO or read a clock.

mod attached;
mod claims;
pub mod facts;
pub mod output;
mod references;
pub mod world;
pub mod write;

use facts::Snapshot;
use output::Plan;

/// Everything that should exist for one workspace. Total: what is wrong denies, and says so.
pub fn plan(_snapshot: &Snapshot) -> Plan {
    todo!()
}

//! What is to come: the plans of a workspace from now on, as far as that is known by now.
//! Must not do IO or read a clock.

use jiff::Timestamp;

use super::output::Plan;
use super::{keys, plan};
use crate::facts::Snapshot;
use crate::policy::grant::RoleRef;

/// A plan for now, and one for each later instant at which more changes than the windows in its
/// policy say: a key's successor takes over, an overdue key is suspended, a Console membership
/// begins or ends.
pub fn ahead(snapshot: &Snapshot) -> Vec<(Timestamp, Plan)> {
    let mut snapshot = snapshot.clone();
    let mut plans = Vec::new();
    loop {
        plans.push((snapshot.now, plan(&snapshot)));
        match next_turn(&snapshot) {
            Some(at) => snapshot.now = at,
            None => return plans,
        }
    }
}

fn next_turn(snapshot: &Snapshot) -> Option<Timestamp> {
    let bindings = snapshot.bindings.iter();
    let grants = bindings.filter_map(|facts| facts.object.spec.as_ref().ok());
    let console = grants
        .filter(|grant| grant.enabled && matches!(grant.role, RoleRef::Console(_)))
        .filter_map(|grant| grant.window.next_boundary(snapshot.now));
    let keys = snapshot.keys.iter();
    let keys = keys.filter_map(|facts| facts.object.spec.as_ref().ok());
    let staged = keys.filter_map(|key| {
        let at = key.next.as_ref()?.activate_at?;
        (at > snapshot.now).then_some(at)
    });
    let settled = keys::settle(snapshot);
    let dates = settled
        .iter()
        .flatten()
        .filter_map(|key| key.dates.as_ref());
    let suspended = dates
        .filter(|dates| dates.rotation.0.suspend)
        // One that is first seen now would be first seen later at any later instant, too.
        .filter(|dates| dates.issued.is_some_and(|(at, _)| at < snapshot.now))
        .filter_map(|dates| dates.clock.next_transition);
    console.chain(staged).chain(suspended).min()
}

//! Wanted Console membership side by side. Must not know what a role may do there.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Both, Direction, Side};
use crate::policy::name::Name;

/// A person who is, or is no longer, to have a Console role.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ConsoleChange {
    /// From when.
    pub from: Timestamp,
    /// Until when; `None` is for good.
    pub until: Option<Timestamp>,
    /// The role.
    pub role: Name,
    /// Whose, by e-mail address.
    pub person: Name,
    /// True when it is gained, false when it is lost.
    pub gained: bool,
}

// === impl ConsoleChange ===

impl ConsoleChange {
    /// Which way it goes.
    pub const fn direction(&self) -> Direction {
        if self.gained {
            Direction::Widened
        } else {
            Direction::Narrowed
        }
    }
}

/// Who has which role on one side only, and for how long.
pub(super) fn compare(both: &Both<'_>) -> Vec<ConsoleChange> {
    let turns: Vec<Timestamp> = both.turns().into_iter().collect();
    let mut changes: Vec<ConsoleChange> = Vec::new();
    for (i, at) in turns.iter().enumerate() {
        let until = turns.get(i + 1).copied();
        let (before, after) = (members(both.before, *at), members(both.after, *at));
        let lost = before.difference(&after).map(|member| (member, false));
        let gained = after.difference(&before).map(|member| (member, true));
        for ((role, person), gained) in lost.chain(gained) {
            let goes_on = changes.iter_mut().find(|change| {
                change.until == Some(*at)
                    && change.gained == gained
                    && (&change.role, &change.person) == (role, person)
            });
            match goes_on {
                Some(change) => change.until = until,
                None => changes.push(ConsoleChange {
                    from: *at,
                    until,
                    role: role.clone(),
                    person: person.clone(),
                    gained,
                }),
            }
        }
    }
    changes.sort();
    changes
}

fn members(side: Option<&Side>, at: Timestamp) -> BTreeSet<(Name, Name)> {
    let span = side.and_then(|side| side.at(at));
    let roles = span.into_iter().flat_map(|span| &span.console);
    roles
        .flat_map(|(role, people)| people.iter().map(|person| (role.clone(), person.clone())))
        .collect()
}

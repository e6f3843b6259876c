//! The first look after a start or a takeover: until the sources of all keys were read, whoever
//! was not looked at yet may have the better claim to one, so that none is written.
//! Must not last: what cannot be read in time claims nothing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::policy::name::NamespacedName;

/// How long it lasts at most: Secrets that cannot be listed or read hold up nobody for longer.
pub const LONGEST: Duration = Duration::from_secs(5);

/// Who was looked at, and who waits for the others. By default it is over.
#[derive(Debug, Default)]
pub struct FirstLook {
    /// Workspaces the sources of whose keys were not read yet.
    unread: BTreeSet<NamespacedName>,
    /// Workspaces that have a key to write.
    held: BTreeSet<NamespacedName>,
    until: Option<Instant>,
}

// === impl FirstLook ===

impl FirstLook {
    /// Begins with the workspaces that have keys.
    pub fn at(workspaces: BTreeSet<NamespacedName>, now: Instant) -> Self {
        Self {
            unread: workspaces,
            held: BTreeSet::new(),
            until: Some(now + LONGEST),
        }
    }

    /// The sources of a workspace's keys were read, as far as they could be.
    pub fn looked_at(&mut self, workspace: &NamespacedName) {
        self.unread.remove(workspace);
    }

    /// Whether others than this workspace were not looked at yet.
    pub fn awaits_others(&self, workspace: &NamespacedName) -> bool {
        self.unread.iter().any(|unread| unread != workspace)
    }

    /// A workspace has a key to write and waits.
    pub fn hold(&mut self, workspace: NamespacedName) {
        self.held.insert(workspace);
    }

    /// Whoever waited, once it is over.
    pub fn release(&mut self, now: Instant) -> BTreeSet<NamespacedName> {
        if self.until.is_some_and(|until| until <= now) {
            self.unread.clear();
        }
        if !self.unread.is_empty() {
            return BTreeSet::new();
        }
        self.until = None;
        std::mem::take(&mut self.held)
    }

    /// When it is over whatever happens; `None` once it is.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(name: &str) -> NamespacedName {
        NamespacedName::new("claude", name)
    }

    fn begun(now: Instant) -> FirstLook {
        let mut look = FirstLook::at([workspace("one"), workspace("two")].into(), now);
        look.hold(workspace("one"));
        look
    }

    #[test]
    fn whoever_has_a_key_to_write_waits_until_all_others_were_looked_at() {
        let now = Instant::now();
        let mut look = begun(now);
        look.looked_at(&workspace("one"));
        assert!(look.awaits_others(&workspace("one")));
        assert!(!look.awaits_others(&workspace("two")), "it is the last");
        assert_eq!(look.release(now), BTreeSet::new());
        look.looked_at(&workspace("two"));
        assert!(!look.awaits_others(&workspace("one")));
        assert_eq!(look.release(now), [workspace("one")].into());
        assert_eq!(look.release(now), BTreeSet::new(), "once");
        assert_eq!(look.until(), None);
    }

    #[test]
    fn nobody_waits_longer_for_what_cannot_be_read() {
        let now = Instant::now();
        let mut look = begun(now);
        let last = now + LONGEST - Duration::from_millis(1);
        assert_eq!(look.release(last), BTreeSet::new());
        assert_eq!(look.until(), Some(now + LONGEST));
        assert_eq!(look.release(now + LONGEST), [workspace("one")].into());
        assert!(!look.awaits_others(&workspace("one")));
    }
}

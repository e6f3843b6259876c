//! The calendar of keys that are to be replaced, as it is served: told of every ApiKeyRef that
//! is seen, written when somebody asks.
//! Must not know HTTP, nor what an event says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::api::ApiKeyRef;
use crate::calendar::{Reminder, render};
use crate::policy::digest::Digest;
use crate::policy::name::NamespacedName;

/// The calendar as of the statuses seen so far.
#[derive(Debug, Default)]
pub struct Calendar {
    known: Mutex<Known>,
}

/// The calendar in writing.
#[derive(Clone, Debug)]
pub struct Page {
    /// All of it.
    pub text: Arc<str>,
    /// The same for the same text, and for no other.
    pub digest: Digest,
}

#[derive(Debug, Default)]
struct Known {
    reminders: BTreeMap<NamespacedName, Reminder>,
    /// As long as nothing has changed since.
    page: Option<Page>,
}

// === impl Calendar ===

impl Calendar {
    /// An ApiKeyRef came or changed; `None` for one that is not understood.
    pub fn saw(&self, name: &NamespacedName, object: Option<&ApiKeyRef>) {
        let reminder = object.and_then(Reminder::of_object);
        let mut known = self.known();
        if known.reminders.get(name) == reminder.as_ref() {
            return;
        }
        known.page = None;
        match reminder {
            Some(reminder) => drop(known.reminders.insert(name.clone(), reminder)),
            None => drop(known.reminders.remove(name)),
        }
    }

    /// What is to be served now.
    pub fn page(&self) -> Page {
        let mut known = self.known();
        if let Some(page) = &known.page {
            return page.clone();
        }
        let text: Arc<str> = render(known.reminders.values()).into();
        let digest = Digest::of(text.as_bytes());
        let page = Page { text, digest };
        known.page = Some(page.clone());
        page
    }

    /// What is known stays whole even if somebody panicked with it in hand: each change is one
    /// step.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key(name: &str, due: &str) -> ApiKeyRef {
        serde_json::from_value(json!({
            "apiVersion": "anthropic-rbac.io/v1alpha1", "kind": "ApiKeyRef",
            "metadata": {"name": name, "namespace": "claude"},
            "spec": {"workspaceRef": {"name": "w"}, "service": "s",
                "source": {"secretKeyRef": {"name": "s", "key": "k"}}},
            "status": {"dueAt": due},
        }))
        .expect("an ApiKeyRef")
    }

    #[test]
    fn a_page_stays_the_same_until_what_it_says_changes() {
        let calendar = Calendar::default();
        let name = NamespacedName::new("claude", "a");
        let empty = calendar.page();
        assert_eq!(empty.text.matches("BEGIN:VEVENT").count(), 0);
        calendar.saw(&name, Some(&key("a", "2026-12-01T00:00:00Z")));
        let first = calendar.page();
        assert!(first.text.contains("claude/a") && first.digest != empty.digest);
        calendar.saw(&name, Some(&key("a", "2026-12-01T00:00:00Z")));
        assert!(
            Arc::ptr_eq(&calendar.page().text, &first.text),
            "written once"
        );
        calendar.saw(&name, Some(&key("a", "2026-12-02T00:00:00Z")));
        assert_ne!(calendar.page().digest, first.digest);
        calendar.saw(&name, None);
        assert_eq!(
            calendar.page().digest,
            empty.digest,
            "and gone with the key"
        );
    }
}

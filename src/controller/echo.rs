//! Our own writes come back through the watches, sometimes before the answer to the write and
//! sometimes after older news of the same object. Here they are told from real news.
//! Must not apply anything.

use std::collections::HashMap;

use super::object::{ObjectKey, ObjectKind, Version};
use super::observe::Seen;
use crate::policy::name::Name;

/// What we are writing, and the versions we know from the answers to our writes while the
/// watches have not caught up with them.
#[derive(Debug, Default)]
pub struct Echoes(HashMap<ObjectKey, Entry>);

#[derive(Debug, Default)]
struct Entry {
    /// Writes on their way.
    writing: u32,
    /// The latest version known from an answer.
    learned: Version,
    /// The latest news that came while a write was on its way.
    held: Option<Box<Seen>>,
}

/// What to do with a piece of news.
#[derive(Debug)]
pub enum Verdict {
    /// It is news.
    New(Box<Seen>),
    /// It is known, out of date, or waits until the write that it may come from is answered.
    Known,
    /// A list did not have an object that we created: it may be older than that, or the object
    /// may be gone. Only reading it can tell.
    Reread(ObjectKey),
}

// === impl Echoes ===

impl Echoes {
    /// A write to an object, or a read of it, is about to be sent.
    pub fn begin(&mut self, key: ObjectKey) {
        self.0.entry(key).or_default().writing += 1;
    }

    /// It was answered: with a version, or with an error or not at all. Says whether
    /// the answer is the latest so far; what was held back meanwhile is judged now.
    pub fn end(&mut self, key: &ObjectKey, learned: Version) -> (bool, Verdict) {
        let Some(entry) = self.0.get_mut(key) else {
            return (true, Verdict::Known);
        };
        let latest = learned.is_none() || learned >= entry.learned;
        entry.writing = entry.writing.saturating_sub(1);
        entry.learned = entry.learned.max(learned);
        if entry.writing > 0 {
            return (latest, Verdict::Known);
        }
        let held = entry.held.take();
        if entry.learned.is_none() {
            self.0.remove(key);
        }
        (latest, held.map_or(Verdict::Known, |seen| self.judge(seen)))
    }

    /// What was known of the Secrets of a namespace, or all, is forgotten: whatever comes is new.
    pub fn forget_secrets(&mut self, namespace: Option<&Name>) {
        let forgotten = |key: &ObjectKey| {
            key.kind == ObjectKind::Secret && namespace.is_none_or(|ns| *ns == key.name.namespace)
        };
        self.0.retain(|key, entry| {
            if forgotten(key) {
                entry.learned = None;
            }
            entry.writing > 0 || entry.learned.is_some()
        });
    }

    /// Judges what a watch brought.
    pub fn judge(&mut self, seen: Box<Seen>) -> Verdict {
        let Some(entry) = self.0.get_mut(&seen.key) else {
            return Verdict::New(seen);
        };
        if entry.writing > 0 {
            entry.held = Some(seen);
            return Verdict::Known;
        }
        if seen.missing {
            return match seen.key.kind {
                ObjectKind::ConfigMap | ObjectKind::Secret => Verdict::Reread(seen.key),
                // We write to these only while they are there, and a list is never older than
                // what the same watch told before it: one that lacks them saw their end.
                ObjectKind::Workspace
                | ObjectKind::RoleBinding
                | ObjectKind::ApiKeyRef
                | ObjectKind::Namespace
                | ObjectKind::Pod
                | ObjectKind::Event => {
                    self.0.remove(&seen.key);
                    Verdict::New(seen)
                }
            };
        }
        let (Some(version), Some(learned)) = (seen.version, entry.learned) else {
            return Verdict::New(seen);
        };
        if version >= learned {
            self.0.remove(&seen.key);
        }
        if version > learned {
            Verdict::New(seen)
        } else {
            Verdict::Known
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::object::ObjectKind;
    use crate::plan::world::Change;
    use crate::policy::name::NamespacedName;

    fn key() -> ObjectKey {
        ObjectKey::new(
            ObjectKind::ConfigMap,
            &NamespacedName::new("claude", "a.policy"),
        )
    }

    fn seen(version: Version) -> Box<Seen> {
        let change = Change::ConfigMapGone(key().name);
        Box::new(Seen {
            key: key(),
            version,
            missing: false,
            first: false,
            change,
        })
    }

    fn missing() -> Box<Seen> {
        Box::new(Seen {
            missing: true,
            ..*seen(None)
        })
    }

    /// The version of what is new, or how it is not.
    fn verdict(verdict: Verdict) -> String {
        match verdict {
            Verdict::New(seen) => format!("{:?}", seen.version),
            Verdict::Known => "known".into(),
            Verdict::Reread(_) => "reread".into(),
        }
    }

    #[test]
    fn what_nobody_wrote_is_new() {
        let mut echoes = Echoes::default();
        assert_eq!(verdict(echoes.judge(seen(Some(7)))), "Some(7)");
        assert_eq!(verdict(echoes.judge(seen(None))), "None");
        assert_eq!(verdict(echoes.judge(missing())), "None");
    }

    #[test]
    fn an_echo_before_the_answer_is_held_and_then_known() {
        let mut echoes = Echoes::default();
        echoes.begin(key());
        assert_eq!(verdict(echoes.judge(seen(Some(8)))), "known");
        assert_eq!(verdict(echoes.end(&key(), Some(8)).1), "known");
        assert!(echoes.0.is_empty(), "nothing is kept once it came back");
        assert_eq!(verdict(echoes.judge(seen(Some(9)))), "Some(9)");
    }

    #[test]
    fn an_echo_after_the_answer_and_all_before_it_is_known() {
        let mut echoes = Echoes::default();
        echoes.begin(key());
        assert_eq!(verdict(echoes.end(&key(), Some(8)).1), "known");
        assert_eq!(verdict(echoes.judge(seen(Some(6)))), "known");
        assert_eq!(verdict(echoes.judge(seen(Some(8)))), "known");
        assert!(echoes.0.is_empty());
    }

    #[test]
    fn somebody_elses_later_write_is_new_before_and_after_the_answer() {
        let mut echoes = Echoes::default();
        echoes.begin(key());
        echoes.judge(seen(Some(8)));
        echoes.judge(seen(Some(9)));
        assert_eq!(verdict(echoes.end(&key(), Some(8)).1), "Some(9)");
        echoes.begin(key());
        echoes.end(&key(), Some(10));
        assert_eq!(verdict(echoes.judge(seen(Some(11)))), "Some(11)");
        assert!(echoes.0.is_empty());
    }

    #[test]
    fn without_an_answer_what_was_held_is_new() {
        let mut echoes = Echoes::default();
        echoes.begin(key());
        echoes.judge(seen(Some(8)));
        assert_eq!(verdict(echoes.end(&key(), None).1), "Some(8)");
        assert!(echoes.0.is_empty());
    }

    #[test]
    fn two_writes_at_a_time_are_both_waited_for() {
        let mut echoes = Echoes::default();
        echoes.begin(key());
        echoes.begin(key());
        echoes.judge(seen(Some(9)));
        assert_eq!(verdict(echoes.end(&key(), Some(8)).1), "known");
        assert_eq!(verdict(echoes.end(&key(), Some(9)).1), "known");
        assert!(echoes.0.is_empty());
    }

    #[test]
    fn an_object_missing_from_a_list_that_may_be_older_than_our_write_is_read_again() {
        let mut echoes = Echoes::default();
        echoes.begin(key());
        echoes.end(&key(), Some(8));
        assert_eq!(verdict(echoes.judge(missing())), "reread");
        echoes.begin(key());
        assert_eq!(verdict(echoes.judge(missing())), "known");
        assert_eq!(verdict(echoes.end(&key(), Some(9)).1), "reread");
    }

    #[test]
    fn an_object_that_we_did_not_create_is_gone_when_a_list_lacks_it() {
        let mut echoes = Echoes::default();
        let key = ObjectKey::new(
            ObjectKind::Workspace,
            &NamespacedName::new("claude", "production"),
        );
        echoes.begin(key.clone());
        echoes.end(&key, Some(8));
        let gone = Box::new(Seen { key, ..*missing() });
        assert_eq!(verdict(echoes.judge(gone)), "None");
        assert!(
            echoes.0.is_empty(),
            "a later one of its name is not its echo"
        );
    }

    #[test]
    fn what_was_forgotten_is_new_when_it_comes_again() {
        let mut echoes = Echoes::default();
        let secret = ObjectKey::secret(&NamespacedName::new("claude", "a"));
        let again = || {
            Box::new(Seen {
                key: secret.clone(),
                ..*seen(Some(8))
            })
        };
        let learn = |echoes: &mut Echoes| {
            echoes.begin(secret.clone());
            echoes.end(&secret, Some(8));
        };
        learn(&mut echoes);
        echoes.forget_secrets(Some(&"search".into()));
        assert_eq!(verdict(echoes.judge(again())), "known");
        for namespace in [Some(Name::from("claude")), None] {
            learn(&mut echoes);
            echoes.forget_secrets(namespace.as_ref());
            assert_eq!(verdict(echoes.judge(again())), "Some(8)");
        }
    }

    #[test]
    fn of_two_answers_the_later_version_counts_in_whatever_order_they_come() {
        let mut echoes = Echoes::default();
        echoes.begin(key());
        echoes.begin(key());
        assert!(echoes.end(&key(), Some(9)).0);
        assert!(!echoes.end(&key(), Some(8)).0, "out of date");
        assert_eq!(verdict(echoes.judge(seen(Some(9)))), "known");
        echoes.begin(key());
        assert!(echoes.end(&key(), None).0);
    }
}

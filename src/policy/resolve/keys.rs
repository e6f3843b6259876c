//! Which key serves whom. Must not know what state a key is in: a key that may not be used is
//! still the one chosen.

use std::collections::BTreeMap;

use super::rows::key_row;
use super::subjects::Naming;
use super::{KeyFacts, KeyOutcome, Refusal, Resolver};
use crate::policy::digest::ContentId;
use crate::policy::finding::{Kind, Reason};
use crate::policy::name::NamespacedName;
use crate::policy::subject::{Subject, SubjectId, SubjectRef};
use crate::policy::table::KeyRow;

impl Resolver<'_> {
    pub(super) fn keys(
        &mut self,
    ) -> (
        Vec<KeyOutcome>,
        BTreeMap<ContentId, KeyRow>,
        Option<ContentId>,
    ) {
        // The oldest first: whoever was there keeps a subject that two keys name.
        let mut order: Vec<usize> = (0..self.facts.keys.len()).collect();
        order.sort_by_key(|i| (self.facts.keys[*i].created, self.facts.keys[*i].name));
        let mut rows = BTreeMap::new();
        let mut outcomes: Vec<Option<KeyOutcome>> = vec![None; order.len()];
        let mut incumbents: BTreeMap<SubjectId, &NamespacedName> = BTreeMap::new();
        for i in order {
            let facts = &self.facts.keys[i];
            let outcome = match self.key_refused(facts) {
                Some(refused) => KeyOutcome {
                    refused: Some(refused),
                    problems: Vec::new(),
                    subjects: 0,
                },
                None => {
                    let row = key_row(facts);
                    let id = row.id();
                    rows.insert(id, row);
                    let naming = Naming {
                        anyone: true,
                        gives: true,
                    };
                    let (subjects, problems) =
                        self.subjects_of(&facts.name.namespace, &facts.key.used_by, naming);
                    let mut serves = 0;
                    for (subject, named) in &subjects {
                        match incumbents.entry(subject.id()) {
                            std::collections::btree_map::Entry::Vacant(free) => {
                                serves += 1;
                                free.insert(facts.name);
                                self.names
                                    .entry(subject.id())
                                    .or_insert_with(|| (*named).clone());
                                self.subjects.entry(subject.id()).or_default().key = Some(id);
                            }
                            std::collections::btree_map::Entry::Occupied(taken) => {
                                self.note_ambiguous(facts.name, subject, taken.get());
                            }
                        }
                    }
                    KeyOutcome {
                        refused: None,
                        problems,
                        subjects: serves,
                    }
                }
            };
            outcomes[i] = Some(outcome);
        }
        let default = self.facts.workspace.default_api_key_ref.as_ref();
        let default_key = default.and_then(|name| {
            let position = self
                .facts
                .keys
                .iter()
                .position(|facts| facts.name == name)?;
            let permitted = outcomes[position].as_ref()?.refused.is_none();
            permitted.then(|| key_row(&self.facts.keys[position]).id())
        });
        if let (Some(name), None) = (default, default_key) {
            let message = format!(
                "ApiKeyRef {name} is not there or belongs to another Workspace, so subjects that no \
                 key names are denied. Create it, or name another one."
            );
            self.find(
                Reason::SubjectWithoutKey,
                (Kind::Workspace, self.facts.name),
                "spec.keys.defaultApiKeyRef",
                &message,
            );
        }
        self.note_unused_keys(&outcomes, default_key);
        let outcomes = outcomes.into_iter().flatten().collect();
        (outcomes, rows, default_key)
    }

    pub(super) fn key_refused(&self, facts: &KeyFacts<'_>) -> Option<Refusal> {
        let may_attach = self
            .ceiling(&facts.name.namespace)
            .is_some_and(|ceiling| ceiling.may_attach_keys());
        if !may_attach {
            return Some(Refusal::RefNotPermitted(facts.key.workspace.clone()));
        }
        if facts.name.namespace == self.facts.name.namespace {
            return None;
        }
        let own = |subject: &&SubjectRef| match subject {
            SubjectRef::Known(Subject::ServiceAccount(account)) => {
                account.namespace == facts.name.namespace
            }
            SubjectRef::Known(Subject::ClientKey(_)) => true,
            SubjectRef::ClientKeySecret(secret) => secret.namespace == facts.name.namespace,
            SubjectRef::Known(Subject::User { .. } | Subject::Group { .. }) => false,
        };
        let foreign = facts.key.used_by.iter().find(|subject| !own(subject))?;
        Some(Refusal::SubjectNotPermitted(foreign.to_string()))
    }
}

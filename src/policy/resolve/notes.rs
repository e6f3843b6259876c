//! What a person should look at, though it changes nobody's access.

use std::collections::{BTreeMap, BTreeSet};

use super::rows::key_row;
use super::{KeyOutcome, Resolver};
use crate::policy::digest::ContentId;
use crate::policy::finding::{Finding, Kind, ObjectId, Reason};
use crate::policy::name::{Name, NamespacedName};
use crate::policy::role::BrokenRole;
use crate::policy::subject::{Subject, SubjectId, SubjectRef};
use crate::policy::table::{KeyRow, SubjectRow};
use crate::policy::workspace::AllowedNamespaces;

impl Resolver<'_> {
    pub(super) fn find(
        &mut self,
        reason: Reason,
        (kind, name): (Kind, &NamespacedName),
        field: &str,
        message: &str,
    ) {
        let object = ObjectId::new(kind, name);
        self.findings
            .push(Finding::new(reason, &object, field, message));
    }

    pub(super) fn note_broken_roles(&mut self, broken: &[(Name, BrokenRole)]) {
        for (role, why) in broken {
            let message = format!(
                "Role '{role}' {why}, so it opens nothing. Set what is missing, or apiAccess: None."
            );
            let workspace = (Kind::Workspace, self.facts.name);
            self.find(Reason::EmptyRole, workspace, "spec.roles", &message);
        }
    }

    /// A selector that nothing can match for want of sight denies, and says so once.
    pub(super) fn note_unseen_labels(&mut self) {
        let facts = self.facts;
        let by_label = |entry: &AllowedNamespaces| entry.which.is_by_label();
        let Some(entry) = facts.workspace.allowed_namespaces.iter().position(by_label) else {
            return;
        };
        let bindings = facts.grants.iter().map(|facts| facts.name);
        let mut attached = bindings.chain(facts.keys.iter().map(|facts| facts.name));
        let unseen = attached.any(|name| {
            name.namespace != facts.name.namespace
                && !facts.namespaces.contains_key(&name.namespace)
        });
        if unseen {
            self.find(
                Reason::NamespaceLabelsUnseen,
                (Kind::Workspace, facts.name),
                &format!("spec.allowedNamespaces[{entry}].selector"),
                "Labels of namespaces that attach cannot be seen, so no selector admits them. Admit them by \
                 names, or let the operator list and watch Namespaces.",
            );
        }
    }

    pub(super) fn note_ambiguous(
        &mut self,
        newcomer: &NamespacedName,
        subject: &Subject,
        incumbent: &NamespacedName,
    ) {
        let whose = if incumbent.namespace == newcomer.namespace {
            format!("ApiKeyRef {incumbent}")
        } else {
            "another ApiKeyRef".to_owned()
        };
        let message = format!(
            "{subject} is named by {whose} too, which keeps it. Remove it from one of the two."
        );
        self.find(
            Reason::AmbiguousKey,
            (Kind::ApiKeyRef, newcomer),
            "spec.usedBy",
            &message,
        );
    }

    pub(super) fn note_unused_keys(
        &mut self,
        outcomes: &[Option<KeyOutcome>],
        default_key: Option<ContentId>,
    ) {
        for (facts, outcome) in self.facts.keys.iter().zip(outcomes) {
            let serves = outcome.as_ref().is_some_and(|outcome| outcome.subjects > 0);
            // Why one that is refused or revoked, or whose subjects are, serves nobody is said
            // where that is decided.
            let asks = outcome.as_ref().is_some_and(|outcome| {
                outcome.refused.is_none() && outcome.problems.is_empty() && !facts.key.revoked
            });
            let idle = asks
                && facts.key.target.is_none()
                && !serves
                && Some(key_row(facts).id()) != default_key;
            if idle {
                self.find(
                    Reason::UnusedKey,
                    (Kind::ApiKeyRef, facts.name),
                    "spec.usedBy",
                    "No request is sent with this key and no Secret is made of it. Name who uses it, or delete it.",
                );
            }
        }
    }

    pub(super) fn note_subjects_without_key(
        &mut self,
        keys: &BTreeMap<ContentId, KeyRow>,
        default_key: Option<ContentId>,
        blocked: &BTreeSet<SubjectId>,
    ) {
        if default_key.is_some() {
            return;
        }
        let has_key = |row: &SubjectRow| row.key.is_some_and(|id| keys.contains_key(&id));
        // Whose groups hold whom is only known at the gateway: while a group of an issuer has a
        // key, no user of it can be said to be without one, nor the other way round.
        let (mut users_with, mut groups_with) = (BTreeSet::new(), BTreeSet::new());
        for (id, _) in self.subjects.iter().filter(|(_, row)| has_key(row)) {
            if let Some(SubjectRef::Known(Subject::User { issuer, .. })) = self.names.get(id) {
                users_with.insert(issuer);
            }
            if let Some(SubjectRef::Known(Subject::Group { issuer, .. })) = self.names.get(id) {
                groups_with.insert(issuer);
            }
        }
        let may_have = |named: &SubjectRef| match named {
            SubjectRef::Known(Subject::User { issuer, .. }) => groups_with.contains(issuer),
            SubjectRef::Known(Subject::Group { issuer, .. }) => users_with.contains(issuer),
            SubjectRef::Known(Subject::ServiceAccount(_) | Subject::ClientKey(_))
            | SubjectRef::ClientKeySecret(_) => false,
        };
        let with_access = self.role_ids.values();
        let with_access = with_access.filter(|(_, role)| role.access.is_some());
        let with_access: BTreeSet<ContentId> = with_access.map(|(id, _)| *id).collect();
        let open = |row: &SubjectRow| {
            row.grants
                .iter()
                .any(|grant| with_access.contains(&grant.role))
        };
        let without: Vec<_> = self
            .subjects
            .iter()
            .filter(|(id, row)| open(row) && !has_key(row) && !blocked.contains(id))
            .filter_map(|(id, _)| self.names.get(id))
            .filter(|named| !may_have(named))
            .collect();
        let Some(first) = without.iter().map(ToString::to_string).min() else {
            return;
        };
        let message = format!(
            "{} with API access and no key, {first} first, and no default: they are denied. Name them in an ApiKeyRef's usedBy, or set spec.keys.defaultApiKeyRef.",
            count(without.len(), "subject"),
        );
        let workspace = (Kind::Workspace, self.facts.name);
        self.find(
            Reason::SubjectWithoutKey,
            workspace,
            "spec.keys.defaultApiKeyRef",
            &message,
        );
    }

    pub(super) fn note_oversubscription(&mut self, blocked: &BTreeSet<SubjectId>) {
        let Some(ceiling) = self.facts.workspace.ceiling_per_minute() else {
            return;
        };
        let rates: BTreeMap<ContentId, u32> = self
            .role_ids
            .values()
            .filter_map(|(id, role)| Some((*id, role.access.as_ref()?.requests_per_minute.get())))
            .collect();
        let of_subject = |row: &SubjectRow| {
            row.grants
                .iter()
                .filter_map(|grant| rates.get(&grant.role))
                .copied()
                .max()
                .unwrap_or(0)
        };
        let sum: u64 = self
            .subjects
            .iter()
            .filter(|(id, _)| !blocked.contains(id))
            .map(|(_, row)| u64::from(of_subject(row)))
            .sum();
        if sum > u64::from(ceiling.get()) {
            let message = format!(
                "Subjects may send {sum} requests per minute together, the Workspace {ceiling}. \
                 Lower a role's rate, or raise the Workspace's."
            );
            let workspace = (Kind::Workspace, self.facts.name);
            self.find(
                Reason::Oversubscribed,
                workspace,
                "spec.rateLimits",
                &message,
            );
        }
    }
}

/// "1 subject", "2 subjects".
fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

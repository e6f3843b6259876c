//! What becomes of bindings. Must not judge single subjects; `subjects` does.

use super::rows::role_row;
use super::subjects::Naming;
use super::{GrantFacts, GrantOutcome, Refusal, Resolver};
use crate::policy::finding::Finding;
use crate::policy::finding::{Kind, ObjectId, Reason, listed};
use crate::policy::grant::{CONSOLE_ROLES, Phase, RoleRef};
use crate::policy::name::{Name, NamespacedName};
use crate::policy::nearest::suggestion;
use crate::policy::subject::{Subject, SubjectRef};
use crate::policy::table::GrantRow;
use crate::policy::workspace::Ceiling;

impl<'a> Resolver<'a> {
    pub(super) fn grant(&mut self, binding: &GrantFacts<'a>) -> GrantOutcome {
        let grant = binding.grant;
        let phase = grant.enabled.then(|| grant.window.phase(self.facts.now));
        let outcome = |refused, problems, subjects| GrantOutcome {
            refused,
            problems,
            subjects,
            phase,
        };
        if phase == Some(Phase::Expired) {
            self.find(
                Reason::ExpiredGrant,
                (Kind::RoleBinding, binding.name),
                "spec.expiresAt",
                "Its time is over and it grants nothing. Delete it, or set a later expiresAt.",
            );
        }
        let Some(ceiling) = self.ceiling(&binding.name.namespace) else {
            let refused = Refusal::RefNotPermitted(grant.workspace.clone());
            return outcome(Some(refused), Vec::new(), 0);
        };
        let role = match &grant.role {
            RoleRef::Console(role) => return self.console_grant(binding, role, &ceiling, phase),
            RoleRef::Application(role) => role,
        };
        let Some(resolved) = self.roles.get(role) else {
            let known = listed(self.roles.keys().cloned());
            return outcome(
                Some(Refusal::RoleNotFound(role.clone(), known)),
                Vec::new(),
                0,
            );
        };
        if !ceiling.may_bind(role) {
            return outcome(Some(Refusal::RoleNotPermitted(role.clone())), Vec::new(), 0);
        }
        let opens = resolved.access.is_some();
        let gives = matches!(phase, Some(Phase::Active | Phase::Pending));
        let naming = Naming {
            anyone: ceiling.may_bind_to_anyone(role),
            gives,
        };
        let (subjects, problems) =
            self.subjects_of(&binding.name.namespace, &grant.subjects, naming);
        if gives {
            let (role, _) = self.role_ids.entry(role.clone()).or_insert_with(|| {
                let row = role_row(resolved, self.facts.catalogue);
                (row.id(), row)
            });
            let row = GrantRow {
                role: *role,
                binding: Name::from(binding.name.to_string()),
                not_before: grant.window.not_before,
                expires_at: grant.window.expires_at,
            };
            for (subject, named) in &subjects {
                self.give(binding, subject, named, row.clone());
            }
        }
        let for_ever = grant.enabled && grant.window.expires_at.is_none();
        if for_ever && **role == *"admin" && opens {
            self.find(
                Reason::NeverExpiringAdmin,
                (Kind::RoleBinding, binding.name),
                "spec.expiresAt",
                "It grants role admin for ever. Set expiresAt, and renew it when it is still needed.",
            );
        }
        outcome(None, problems, subjects.len())
    }

    fn give(
        &mut self,
        binding: &GrantFacts<'_>,
        subject: &Subject,
        named: &SubjectRef,
        row: GrantRow,
    ) {
        let id = subject.id();
        self.names.entry(id).or_insert_with(|| named.clone());
        let held = (id, row.role, row.window());
        let first = self.held.entry(held).or_insert_with(|| row.binding.clone());
        if *first != row.binding {
            let own = NamespacedName::parse(first)
                .filter(|first| first.namespace == binding.name.namespace);
            let other = own.map_or("a binding of another namespace".to_owned(), |first| {
                first.to_string()
            });
            let message = format!(
                "{named} already has this role from {other}. Remove it from one of the two."
            );
            self.findings.push(Finding::new(
                Reason::DuplicateGrant,
                &ObjectId::new(Kind::RoleBinding, binding.name),
                "spec.subjects",
                message,
            ));
        }
        if let Subject::ClientKey(digest) = subject {
            let owner = &binding.name.namespace;
            self.client_keys
                .entry(*digest)
                .or_insert_with(|| owner.clone());
        }
        let grants = &mut self.subjects.entry(id).or_default().grants;
        if let Err(place) = grants.binary_search(&row) {
            grants.insert(place, row);
        }
    }

    fn console_grant(
        &mut self,
        binding: &GrantFacts<'_>,
        role: &Name,
        ceiling: &Ceiling<'_>,
        phase: Option<Phase>,
    ) -> GrantOutcome {
        let members = &binding.grant.console_members;
        if !ceiling.is_home() {
            return GrantOutcome {
                refused: Some(Refusal::ConsoleRoleNotPermitted),
                problems: Vec::new(),
                subjects: 0,
                phase,
            };
        }
        if !CONSOLE_ROLES.contains(&&**role) {
            let message = format!(
                "Console role '{role}' is not known and is kept as written; {}",
                suggestion(role, &CONSOLE_ROLES)
            );
            self.find(
                Reason::UnknownConsoleRole,
                (Kind::RoleBinding, binding.name),
                "spec.roleRef.name",
                &message,
            );
        }
        if phase == Some(Phase::Active) {
            let people = self.console.entry(role.clone()).or_default();
            people.extend(members.iter().cloned());
        }
        GrantOutcome {
            refused: None,
            problems: Vec::new(),
            subjects: members.len(),
            phase,
        }
    }
}

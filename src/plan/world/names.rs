//! One copy of each name that many bindings repeat: namespaces, workspaces, roles, issuers.
//! Must not keep a name that nobody uses any more.

use std::collections::HashSet;
use std::sync::Arc;

use crate::facts::BindingFacts;
use crate::policy::grant::RoleRef;
use crate::policy::name::{Name, NamespacedName};
use crate::policy::subject::{Subject, SubjectRef};

/// Names in use.
#[derive(Debug, Default)]
pub struct Names {
    known: HashSet<Name>,
    /// Size at which names that nobody else holds are let go.
    prune_at: usize,
}

/// Below this many names there is nothing worth pruning.
const FEW: usize = 1024;

impl Names {
    /// Makes a binding use the copies that others use.
    pub fn share(&mut self, facts: &mut BindingFacts) {
        let object = &mut facts.object;
        self.one(&mut object.name.namespace);
        if let Some(workspace) = &mut facts.workspace {
            self.both(workspace);
        }
        let Ok(grant) = &mut object.spec else {
            return;
        };
        self.both(&mut grant.workspace);
        match &mut grant.role {
            RoleRef::Application(role) | RoleRef::Console(role) => self.one(role),
        }
        for subject in &mut grant.subjects {
            match subject {
                SubjectRef::Known(Subject::ServiceAccount(account)) => self.both(account),
                SubjectRef::Known(
                    Subject::User { issuer, name: _ } | Subject::Group { issuer, name: _ },
                ) => {
                    self.one(issuer);
                }
                SubjectRef::Known(Subject::ClientKey(_)) => {}
                SubjectRef::ClientKeySecret(secret) => self.one(&mut secret.namespace),
            }
        }
    }

    fn both(&mut self, name: &mut NamespacedName) {
        self.one(&mut name.namespace);
        self.one(&mut name.name);
    }

    fn one(&mut self, name: &mut Name) {
        match self.known.get(name) {
            Some(known) => name.clone_from(known),
            None => {
                if self.known.len() >= self.prune_at.max(FEW) {
                    self.known.retain(|name| Arc::strong_count(name) > 1);
                    self.prune_at = 2 * self.known.len();
                }
                self.known.insert(name.clone());
            }
        }
    }
}

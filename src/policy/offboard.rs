//! What must go when somebody leaves, or is compromised: where a subject is to be blocked, what
//! names it, and what it may still be in. Must not change anything.

use super::access::Identity;
use super::grant::{Grant, RoleRef};
use super::key::ApiKey;
use super::name::{Name, NamespacedName};
use super::subject::{Subject, SubjectRef};
use super::workspace::{IssuerKind, Workspace};

/// A workspace and what is attached to it.
#[derive(Clone, Debug)]
pub struct Attached<'a> {
    /// Its spec; `None` when it is not there, or not understood.
    pub workspace: Option<&'a Workspace>,
    /// Bindings that refer to it, permitted or not.
    pub grants: Vec<(&'a NamespacedName, &'a Grant)>,
    /// Keys that refer to it, permitted or not.
    pub keys: Vec<(&'a NamespacedName, &'a ApiKey)>,
}

/// What is to be done about a subject in one workspace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offboarding<'a> {
    /// Whether it must be blocked there, and is not yet.
    pub block: Block,
    /// Bindings that name it.
    pub bindings: Vec<NamedBy<'a>>,
    /// Bindings to groups that may include it.
    pub groups: Vec<GroupBinding<'a>>,
    /// Keys that name it.
    pub keys: Vec<KeyOf<'a>>,
    /// Bindings that want it in the Console, by its name there.
    pub console: Vec<NamedBy<'a>>,
}

/// Whether to block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Block {
    /// It is to be added to `blockedSubjects`.
    Add,
    /// It is there already.
    Already,
    /// Nothing of the workspace can let it in.
    NotNeeded,
}

/// A binding that names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NamedBy<'a> {
    /// The binding.
    pub binding: &'a NamespacedName,
    /// The role.
    pub role: &'a Name,
    /// Whether it names nobody else, so that it may go whole.
    pub alone: bool,
}

/// A binding to a group whose members only the issuer knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupBinding<'a> {
    /// The binding.
    pub binding: &'a NamespacedName,
    /// The role.
    pub role: &'a Name,
    /// The group.
    pub group: &'a SubjectRef,
}

/// A key that names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyOf<'a> {
    /// The ApiKeyRef.
    pub name: &'a NamespacedName,
    /// Whether nobody else uses it, so that it may go whole.
    pub alone: bool,
    /// The Secret it is also mapped into, which whoever could read it may have kept.
    pub target: Option<&'a Name>,
    /// Anthropic's id of the version in use, as the spec gives it.
    pub key_id: Option<&'a Name>,
}

/// What is to be done; `None` where the workspace has nothing to do with the subject.
pub fn offboard<'a>(subject: &Identity, attached: &Attached<'a>) -> Option<Offboarding<'a>> {
    let mut bindings = Vec::new();
    let mut console = Vec::new();
    let mut groups = Vec::new();
    for (name, grant) in &attached.grants {
        let (role, found) = match &grant.role {
            RoleRef::Application(role) => (role, &mut bindings),
            RoleRef::Console(role) => (role, &mut console),
        };
        let members = grant.console_members.iter();
        let named = grant
            .subjects
            .iter()
            .filter(|named| subject.is(named))
            .count()
            + members.filter(|member| is_person(subject, member)).count();
        if named > 0 {
            found.push(NamedBy {
                binding: name,
                role,
                alone: named == grant.subjects.len() + grant.console_members.len(),
            });
        }
        let unseen = grant
            .subjects
            .iter()
            .filter(|named| may_include(named, subject));
        groups.extend(unseen.map(|group| GroupBinding {
            binding: name,
            role,
            group,
        }));
    }
    let keys = attached.keys.iter().filter_map(|(name, key)| {
        let named = key.used_by.iter().filter(|named| subject.is(named)).count();
        (named > 0).then(|| KeyOf {
            name,
            alone: named == key.used_by.len(),
            target: key.target.as_ref().map(|target| &target.secret),
            key_id: key.key_id.as_ref(),
        })
    });
    let keys: Vec<KeyOf<'a>> = keys.collect();
    let known = attached
        .workspace
        .is_some_and(|w| vouches_for(w, &subject.named));
    let block = match attached.workspace {
        Some(workspace) if workspace.blocked.iter().any(|named| subject.is(named)) => {
            Block::Already
        }
        // A person comes in through groups, too, and a group through its members' tokens.
        Some(_) if known && (is_issued(&subject.named) || !bindings.is_empty()) => Block::Add,
        Some(_) | None => Block::NotNeeded,
    };
    let offboarding = Offboarding {
        block,
        bindings,
        groups,
        keys,
        console,
    };
    (!offboarding.is_empty()).then_some(offboarding)
}

/// Whether the workspace knows anybody who vouches for such subjects.
fn vouches_for(workspace: &Workspace, subject: &SubjectRef) -> bool {
    match subject {
        SubjectRef::Known(Subject::User { issuer, .. } | Subject::Group { issuer, .. }) => {
            let mut issuers = workspace.issuers.iter();
            issuers.any(|i| i.name == *issuer && matches!(i.kind, IssuerKind::Oidc { .. }))
        }
        SubjectRef::Known(Subject::ServiceAccount(_) | Subject::ClientKey(_))
        | SubjectRef::ClientKeySecret(_) => true,
    }
}

fn is_issued(subject: &SubjectRef) -> bool {
    matches!(
        subject,
        SubjectRef::Known(Subject::User { .. } | Subject::Group { .. })
    )
}

/// Whether a Console member is this user, as far as names tell.
fn is_person(subject: &Identity, member: &Name) -> bool {
    match &subject.named {
        SubjectRef::Known(Subject::User { name, .. }) => name == member,
        SubjectRef::Known(
            Subject::ServiceAccount(_) | Subject::Group { .. } | Subject::ClientKey(_),
        )
        | SubjectRef::ClientKeySecret(_) => false,
    }
}

/// Whether this is a group of the user's issuer.
fn may_include(named: &SubjectRef, subject: &Identity) -> bool {
    match (named, &subject.named) {
        (
            SubjectRef::Known(Subject::Group { issuer, .. }),
            SubjectRef::Known(Subject::User { issuer: own, .. }),
        ) => issuer == own,
        (SubjectRef::Known(_) | SubjectRef::ClientKeySecret(_), _) => false,
    }
}

// === impl Offboarding ===

impl Offboarding<'_> {
    fn is_empty(&self) -> bool {
        self.block == Block::NotNeeded
            && self.bindings.is_empty()
            && self.groups.is_empty()
            && self.keys.is_empty()
            && self.console.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::grant::Window;
    use crate::policy::workspace::{Issuer, Jwks};

    fn identity(text: &str) -> Identity {
        let named = SubjectRef::parse(text).expect("a subject");
        let ids = match &named {
            SubjectRef::Known(subject) => vec![subject.id()],
            SubjectRef::ClientKeySecret(_) => Vec::new(),
        };
        Identity { named, ids }
    }

    fn grant(role: RoleRef, subjects: &[&str], members: &[&str]) -> Grant {
        let subjects = subjects.iter().map(|subject| identity(subject).named);
        Grant {
            workspace: NamespacedName::new("claude", "w"),
            role,
            subjects: subjects.collect(),
            console_members: members.iter().map(|member| Name::from(*member)).collect(),
            window: Window::default(),
            enabled: true,
        }
    }

    fn workspace(blocked: &[&str]) -> Workspace {
        let issuer = Issuer {
            name: "corp".into(),
            audiences: vec!["claude".into()],
            kind: IssuerKind::Oidc {
                issuer_url: "https://login.example.com".into(),
                user_claim: None,
                groups_claim: Some("groups".into()),
                jwks: Jwks::Uri("https://login.example.com/keys".into()),
            },
        };
        Workspace {
            issuers: vec![issuer],
            blocked: blocked.iter().map(|b| identity(b).named).collect(),
            ..Workspace::default()
        }
    }

    const EVE: &str = "user:corp:eve@example.com";

    #[test]
    fn a_person_is_blocked_wherever_the_issuer_is_believed_named_or_not() {
        let eve = identity(EVE);
        let block = |workspace: &Workspace, subject: &Identity| {
            let attached = Attached {
                workspace: Some(workspace),
                grants: Vec::new(),
                keys: Vec::new(),
            };
            offboard(subject, &attached).map(|found| found.block)
        };
        assert_eq!(block(&workspace(&[]), &eve), Some(Block::Add));
        assert_eq!(block(&workspace(&[EVE]), &eve), Some(Block::Already));
        assert_eq!(block(&Workspace::default(), &eve), None);
        let account = identity("serviceaccount:a/b");
        assert_eq!(block(&workspace(&[]), &account), None, "nothing names it");
    }

    #[test]
    fn what_names_it_is_told_from_what_may_include_it() {
        let (a, b, c, d) = (
            NamespacedName::new("claude", "a"),
            NamespacedName::new("claude", "b"),
            NamespacedName::new("claude", "c"),
            NamespacedName::new("claude", "d"),
        );
        let user = || RoleRef::Application("user".into());
        let alone = grant(user(), &[EVE], &[]);
        let shared = grant(user(), &[EVE, "group:corp:ops", "group:other:ops"], &[]);
        let console = grant(
            RoleRef::Console("Admin".into()),
            &[],
            &["eve@example.com", "uma@example.com"],
        );
        let other = grant(user(), &["serviceaccount:a/b"], &[]);
        let workspace = workspace(&[]);
        let attached = Attached {
            workspace: Some(&workspace),
            grants: vec![(&a, &alone), (&b, &shared), (&c, &console), (&d, &other)],
            keys: Vec::new(),
        };
        let found = offboard(&identity(EVE), &attached).expect("something");
        let named = |found: &[NamedBy<'_>]| -> Vec<(String, bool)> {
            let named = found.iter();
            named.map(|by| (by.binding.to_string(), by.alone)).collect()
        };
        assert_eq!(
            named(&found.bindings),
            [
                ("claude/a".to_owned(), true),
                ("claude/b".to_owned(), false)
            ]
        );
        assert_eq!(named(&found.console), [("claude/c".to_owned(), false)]);
        let groups: Vec<String> = found.groups.iter().map(|g| g.group.to_string()).collect();
        assert_eq!(groups, ["group:corp:ops"]);
        let account = offboard(&identity("serviceaccount:a/b"), &attached).expect("something");
        assert_eq!(account.block, Block::Add, "{account:?}");
        assert!(account.groups.is_empty() && account.console.is_empty());
    }
}

//! Which subjects may be named from where, and who vouches for them. Must not know what they
//! are named for.

use super::{ClientKeys, Resolver, SubjectProblem, reason};
use crate::policy::subject::{Subject, SubjectRef};
use crate::policy::workspace::IssuerKind;

/// What an object may do with the subjects it names.
#[derive(Clone, Copy)]
pub(super) struct Naming {
    /// Whether they may be of another namespace.
    pub anyone: bool,
    /// Whether it gives them anything, now or later. If not, it is no matter whose client key
    /// one of them is.
    pub gives: bool,
}

impl Resolver<'_> {
    /// The subjects that may be named so from `namespace`, and what is wrong with the others.
    pub(super) fn subjects_of<'n>(
        &self,
        namespace: &str,
        named: &'n [SubjectRef],
        naming: Naming,
    ) -> (Vec<(Subject, &'n SubjectRef)>, Vec<SubjectProblem>) {
        let mut subjects = Vec::with_capacity(named.len());
        let mut problems = Vec::new();
        for subject in named {
            match self.subject(namespace, subject, naming) {
                Ok(known) => subjects.extend(known.into_iter().map(|known| (known, subject))),
                Err((name, message)) => problems.push(SubjectProblem {
                    subject: subject.to_string(),
                    reason: name,
                    message,
                }),
            }
        }
        (subjects, problems)
    }

    pub(super) fn subject(
        &self,
        namespace: &str,
        named: &SubjectRef,
        Naming { anyone, gives }: Naming,
    ) -> Result<Vec<Subject>, (&'static str, String)> {
        let not_permitted = || {
            let fix = "name a ServiceAccount or client key of this namespace, or ask the Workspace's owner for subjects: Any";
            Err((
                reason::SUBJECT_NOT_PERMITTED,
                format!("this namespace may not name it here; {fix}"),
            ))
        };
        let client_key = |digest| match gives {
            true => self.client_key(namespace, digest),
            false => Ok(Subject::ClientKey(digest)),
        };
        match named {
            SubjectRef::ClientKeySecret(secret) => match self.facts.client_keys.get(secret) {
                Some(ClientKeys::Known(digests)) => {
                    digests.iter().map(|digest| client_key(*digest)).collect()
                }
                Some(ClientKeys::Unusable(name, why)) => {
                    Err((*name, format!("Secret {secret} {why}")))
                }
                None => Err((
                    reason::PENDING,
                    format!("Secret {secret} has not been read yet"),
                )),
            },
            SubjectRef::Known(Subject::ClientKey(digest)) => {
                client_key(*digest).map(|subject| vec![subject])
            }
            SubjectRef::Known(subject @ Subject::ServiceAccount(account)) => {
                if !anyone && *account.namespace != *namespace {
                    return not_permitted();
                }
                let issuers = &self.facts.workspace.issuers;
                let vouched =
                    issuers.is_empty() || issuers.iter().any(|i| i.kind == IssuerKind::Kubernetes);
                if vouched {
                    Ok(vec![subject.clone()])
                } else {
                    let fix = "add one to spec.authentication.issuers of the Workspace";
                    Err((
                        reason::ISSUER_NOT_FOUND,
                        format!("the Workspace has no issuer of type Kubernetes; {fix}"),
                    ))
                }
            }
            SubjectRef::Known(
                subject @ (Subject::User { issuer, .. } | Subject::Group { issuer, .. }),
            ) => {
                if !anyone {
                    return not_permitted();
                }
                let known = self
                    .facts
                    .workspace
                    .issuers
                    .iter()
                    .find(|known| known.name == *issuer);
                match (known.map(|known| &known.kind), subject) {
                    (
                        Some(IssuerKind::Oidc {
                            groups_claim: None, ..
                        }),
                        Subject::Group { .. },
                    ) => Err((
                        reason::ISSUER_NOT_FOUND,
                        format!(
                            "issuer '{issuer}' has no groupsClaim, so it vouches for no groups; set one in the Workspace"
                        ),
                    )),
                    (Some(IssuerKind::Oidc { .. }), _) => Ok(vec![subject.clone()]),
                    (Some(IssuerKind::Kubernetes) | None, _) => Err((
                        reason::ISSUER_NOT_FOUND,
                        format!(
                            "the Workspace has no OIDC issuer '{issuer}'; add it to spec.authentication.issuers"
                        ),
                    )),
                }
            }
        }
    }
}

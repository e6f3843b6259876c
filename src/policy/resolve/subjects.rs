//! Which subjects may be named from where, and who vouches for them. Must not know what they
//! are named for.

use std::collections::BTreeSet;

use super::{ClientKeys, Resolver, SubjectProblem, reason};
use crate::policy::digest::Digest;
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

/// What is wrong with a subject: a stable name, and cause and fix.
type Wrong = (&'static str, String);

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
            let (known, wrong) = self.subject(namespace, subject, naming);
            subjects.extend(known.into_iter().map(|known| (known, subject)));
            problems.extend(wrong.map(|(reason, message)| SubjectProblem {
                subject: subject.to_string(),
                reason,
                message,
            }));
        }
        (subjects, problems)
    }

    fn subject(
        &self,
        namespace: &str,
        named: &SubjectRef,
        Naming { anyone, gives }: Naming,
    ) -> (Vec<Subject>, Option<Wrong>) {
        let of_keys = |digests: &BTreeSet<Digest>| match gives {
            true => self.own_client_keys(namespace, digests),
            false => (
                digests.iter().copied().map(Subject::ClientKey).collect(),
                None,
            ),
        };
        let wrong = match named {
            SubjectRef::ClientKeySecret(secret) => match self.facts.client_keys.get(secret) {
                Some(ClientKeys::Known(digests)) => return of_keys(digests),
                Some(ClientKeys::Unusable(name, why)) => (*name, format!("Secret {secret} {why}")),
                None => (
                    reason::PENDING,
                    format!("Secret {secret} has not been read yet"),
                ),
            },
            SubjectRef::Known(Subject::ClientKey(digest)) => {
                return of_keys(&BTreeSet::from([*digest]));
            }
            SubjectRef::Known(subject) => match self.vouched(namespace, subject, anyone) {
                Ok(()) => return (vec![subject.clone()], None),
                Err(wrong) => wrong,
            },
        };
        (Vec::new(), Some(wrong))
    }

    /// Whether a subject that somebody has to vouch for may be named, and somebody does.
    fn vouched(&self, namespace: &str, subject: &Subject, anyone: bool) -> Result<(), Wrong> {
        let issuers = &self.facts.workspace.issuers;
        let (own, issuer) = match subject {
            Subject::ClientKey(_) => return Ok(()),
            Subject::ServiceAccount(account) => (*account.namespace == *namespace, None),
            Subject::User { issuer, .. } | Subject::Group { issuer, .. } => (false, Some(issuer)),
        };
        if !anyone && !own {
            let message = "this namespace may not name it here; name a ServiceAccount or client key of \
                           this namespace, or ask the Workspace's owner for subjects: Any";
            return Err((reason::SUBJECT_NOT_PERMITTED, message.to_owned()));
        }
        let Some(issuer) = issuer else {
            let mut kinds = issuers.iter().map(|issuer| &issuer.kind);
            if issuers.is_empty() || kinds.any(|kind| *kind == IssuerKind::Kubernetes) {
                return Ok(());
            }
            let message = "the Workspace has no issuer of type Kubernetes; add one to \
                           spec.authentication.issuers of the Workspace";
            return Err((reason::ISSUER_NOT_FOUND, message.to_owned()));
        };
        let known = issuers.iter().find(|known| known.name == *issuer);
        let message = match (known.map(|known| &known.kind), subject) {
            (
                Some(IssuerKind::Oidc {
                    groups_claim: None, ..
                }),
                Subject::Group { .. },
            ) => format!(
                "issuer '{issuer}' has no groupsClaim, so it vouches for no groups; set one in the Workspace"
            ),
            (Some(IssuerKind::Oidc { .. }), _) => return Ok(()),
            (Some(IssuerKind::Kubernetes) | None, _) => format!(
                "the Workspace has no OIDC issuer '{issuer}'; add it to spec.authentication.issuers"
            ),
        };
        Err((reason::ISSUER_NOT_FOUND, message))
    }
}

//! Who calls: subjects, how bindings name them, and the ids gateways look them up by.
//! Must not decide what anybody may do.

use std::fmt;

use super::digest::{Digest, Hex};
use super::name::{Name, NamespacedName, check_name};

/// The first 16 bytes of SHA-256 over kind, issuer or namespace, and name, joined by newlines.
pub type SubjectId = Hex<16>;

/// One authenticated identity, or a group of them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Subject {
    /// A Kubernetes ServiceAccount.
    ServiceAccount(NamespacedName),
    /// A user of one of the Workspace's issuers.
    User { issuer: Name, name: Name },
    /// A group of one of the Workspace's issuers.
    Group { issuer: Name, name: Name },
    /// Whoever holds the client key with this digest.
    ClientKey(Digest),
}

/// A subject as a resource names it: a client key may stand for the Secret that holds it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SubjectRef {
    /// Fully known from the resource itself.
    Known(Subject),
    /// Every data key of this Secret is a client key.
    ClientKeySecret(NamespacedName),
}

/// Why a text names no subject.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "'{0}' names no subject: want serviceaccount:NAMESPACE/NAME, user:ISSUER:NAME, \
     group:ISSUER:NAME or clientkey:NAMESPACE/NAME"
)]
pub struct NotASubject(String);

// === impl Subject ===

impl Subject {
    /// What gateways look it up by.
    pub fn id(&self) -> SubjectId {
        match self {
            Self::ServiceAccount(sa) => {
                SubjectId::of_lines(&["serviceaccount", &sa.namespace, &sa.name])
            }
            Self::User { issuer, name } => SubjectId::of_lines(&["user", issuer, name]),
            Self::Group { issuer, name } => SubjectId::of_lines(&["group", issuer, name]),
            Self::ClientKey(digest) => SubjectId::of_lines(&["clientkey", &digest.to_string()]),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServiceAccount(sa) => write!(f, "serviceaccount:{sa}"),
            Self::User { issuer, name } => write!(f, "user:{issuer}:{name}"),
            Self::Group { issuer, name } => write!(f, "group:{issuer}:{name}"),
            Self::ClientKey(digest) => write!(f, "clientkey:sha256:{}", digest.fingerprint()),
        }
    }
}

// === impl SubjectRef ===

impl SubjectRef {
    /// Reads the command line's form of a subject.
    ///
    /// # Errors
    /// When it is of none of the four forms, or a name in it is not usable.
    pub fn parse(text: &str) -> Result<Self, NotASubject> {
        let wrong = || NotASubject(text.to_owned());
        let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
        let issued = || {
            let (issuer, name) = rest.split_once(':')?;
            (!issuer.is_empty() && check_name(name).is_ok())
                .then(|| (Name::from(issuer), Name::from(name)))
        };
        match kind {
            "serviceaccount" => {
                NamespacedName::parse(rest).map(|sa| Self::Known(Subject::ServiceAccount(sa)))
            }
            "user" => issued().map(|(issuer, name)| Self::Known(Subject::User { issuer, name })),
            "group" => issued().map(|(issuer, name)| Self::Known(Subject::Group { issuer, name })),
            "clientkey" => NamespacedName::parse(rest).map(Self::ClientKeySecret),
            _ => None,
        }
        .ok_or_else(wrong)
    }
}

impl fmt::Display for SubjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(subject) => subject.fmt(f),
            Self::ClientKeySecret(secret) => write!(f, "clientkey:{secret}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_first_32_hex_of_sha256_over_kind_scope_and_name() {
        let parsed = |text| match SubjectRef::parse(text) {
            Ok(SubjectRef::Known(subject)) => subject,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            parsed("serviceaccount:search/search").id(),
            SubjectId::of(b"serviceaccount\nsearch\nsearch")
        );
        assert_eq!(
            parsed("user:corp:uma@example.com").id(),
            SubjectId::of(b"user\ncorp\numa@example.com")
        );
        assert_eq!(
            parsed("group:corp:data:science").id(),
            SubjectId::of(b"group\ncorp\ndata:science")
        );
        assert_eq!(SubjectId::of(b"x").to_string().len(), 32);
    }

    #[test]
    fn a_subject_prints_as_it_is_typed() {
        for text in [
            "serviceaccount:a/b",
            "user:corp:u@x",
            "group:corp:g",
            "clientkey:a/b",
        ] {
            assert_eq!(
                SubjectRef::parse(text).map(|s| s.to_string()),
                Ok(text.to_owned())
            );
        }
    }

    #[test]
    fn what_is_no_subject_is_refused() {
        for bad in [
            "search",
            "user:uma",
            "user::uma",
            "serviceaccount:search",
            "robot:a/b",
            "user:corp:a\nb",
        ] {
            assert!(SubjectRef::parse(bad).is_err(), "{bad}");
        }
    }
}

//! Facts about the public keys of issuers, by which a gateway checks their tokens.
//! Must not hold a private key: what is here has passed [`canonical`].

use std::sync::Arc;

use crate::policy::jwks::{Flaw, canonical};
use crate::policy::name::{Name, NamespacedName};
use crate::policy::workspace::{Issuer, IssuerKind, Jwks};

/// Where a ConfigMap has the public keys of an issuer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct KeySetId {
    /// The ConfigMap.
    pub config_map: NamespacedName,
    /// The data key in it.
    pub key: Name,
}

/// What is known of an issuer's public keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JwksLookup {
    /// These, as a canonical document.
    Known(Arc<str>),
    /// These as of when they were last read; why they cannot be read now.
    Stale(Arc<str>, Name),
    /// The gateway fetches them from this URL.
    Fetched(Name),
    /// There is no such ConfigMap.
    Absent,
    /// The ConfigMap has no text under the data key.
    KeyMissing,
    /// What is there is no document of public keys.
    Flawed(Flaw),
    /// They cannot be read, and never were; why.
    Unread(Name),
    /// Nobody looked.
    Assumed,
}

// === impl KeySetId ===

impl KeySetId {
    /// Where the keys of an issuer are, if in a ConfigMap of its Workspace's namespace.
    pub fn of(namespace: &Name, issuer: &Issuer) -> Option<Self> {
        match &issuer.kind {
            IssuerKind::Oidc {
                jwks: Jwks::ConfigMap { name, key },
                ..
            } => Some(Self {
                config_map: NamespacedName::new(namespace.clone(), name.clone()),
                key: key.clone(),
            }),
            IssuerKind::Oidc {
                jwks: Jwks::Uri(_), ..
            }
            | IssuerKind::Kubernetes => None,
        }
    }
}

// === impl JwksLookup ===

impl JwksLookup {
    /// What a ConfigMap has under the data key that is named.
    pub fn of_text(text: Option<&str>) -> Self {
        match text.map(|text| canonical(text.as_bytes())) {
            None => Self::KeyMissing,
            Some(Ok(document)) => Self::Known(document.into()),
            Some(Err(flaw)) => Self::Flawed(flaw),
        }
    }
}

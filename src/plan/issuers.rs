//! The public keys that gateways check tokens by: which there are, and what is said of an issuer
//! without. Its tokens are refused, and nobody else is affected.
//! Must not judge a document; `policy::jwks` does.

use std::collections::BTreeMap;

use crate::api::conditions::reason;
use crate::facts::{JwksLookup, Snapshot};
use crate::gateway::envoy::{SigningKeys, Upstream};
use crate::policy::finding::{Finding, Kind, ObjectId, Reason};
use crate::policy::name::Name;
use crate::policy::workspace::{Issuer, IssuerKind, Jwks, Workspace};

/// The keys of every issuer that has some.
pub fn signing_keys(snapshot: &Snapshot) -> BTreeMap<Name, SigningKeys> {
    let known = snapshot.jwks.iter().filter_map(|(issuer, lookup)| {
        let keys = match lookup {
            JwksLookup::Known(document) | JwksLookup::Stale(document, _) => {
                SigningKeys::Document(document.clone())
            }
            JwksLookup::Fetched(uri) => {
                SigningKeys::Fetched(uri.clone(), Upstream::of_url(uri).ok()?)
            }
            JwksLookup::Absent
            | JwksLookup::KeyMissing
            | JwksLookup::Flawed(_)
            | JwksLookup::Unread(_)
            | JwksLookup::Assumed => return None,
        };
        Some((issuer.clone(), keys))
    });
    known.collect()
}

/// What there is to say of them.
pub fn findings(snapshot: &Snapshot, workspace: &Workspace) -> Vec<Finding> {
    let object = ObjectId::new(Kind::Workspace, &snapshot.name);
    let told = troubles(snapshot, workspace);
    let findings = told.map(|(reason, message)| {
        Finding::new(reason, &object, "spec.authentication.issuers", message)
    });
    findings.collect()
}

/// What keeps an issuer's tokens from being taken at all.
pub fn missing(snapshot: &Snapshot, workspace: &Workspace) -> Option<(&'static str, String)> {
    let mut troubles = troubles(snapshot, workspace);
    let missing = troubles.find(|(found, _)| *found == Reason::IssuerKeysNotFound);
    missing.map(|(_, message)| (reason::ISSUER_KEYS_NOT_FOUND, message))
}

fn troubles<'a>(
    snapshot: &'a Snapshot,
    workspace: &'a Workspace,
) -> impl Iterator<Item = (Reason, String)> + 'a {
    let issuers = workspace.effective_issuers(&snapshot.name).into_owned();
    issuers.into_iter().filter_map(|issuer| {
        let lookup = snapshot.jwks.get(&issuer.name)?;
        trouble(snapshot, &issuer, lookup)
    })
}

fn trouble(snapshot: &Snapshot, issuer: &Issuer, lookup: &JwksLookup) -> Option<(Reason, String)> {
    let name = &issuer.name;
    let place = match &issuer.kind {
        IssuerKind::Oidc {
            jwks: Jwks::ConfigMap { name, key },
            ..
        } => format!(
            "data key '{key}' of ConfigMap {}/{name}",
            snapshot.name.namespace
        ),
        IssuerKind::Oidc { .. } | IssuerKind::Kubernetes => {
            "/openid/v1/jwks of the API server".to_owned()
        }
    };
    let refused = format!("so the gateways refuse the tokens of issuer '{name}'");
    let found = match lookup {
        JwksLookup::Known(_) | JwksLookup::Assumed => return None,
        JwksLookup::Fetched(uri) => {
            let flaw = Upstream::of_url(uri).err()?;
            format!("The jwksURI of issuer '{name}' {flaw}, {refused}. Correct jwksURI.")
        }
        JwksLookup::Stale(_, why) => {
            let message = format!(
                "The signing keys of this cluster cannot be read any more ({why}), so the gateways go on with \
                 those that were read last. Let the operator's ServiceAccount get {place}, as the ClusterRole \
                 system:service-account-issuer-discovery does."
            );
            return Some((Reason::IssuerKeysStale, message));
        }
        JwksLookup::Unread(why) if issuer.kind == IssuerKind::Kubernetes => format!(
            "The signing keys of this cluster cannot be read ({why}), {refused}. Let the operator's \
             ServiceAccount get {place}, as the ClusterRole system:service-account-issuer-discovery does."
        ),
        JwksLookup::Unread(why) => {
            format!("The {place} cannot be read ({why}), {refused}. Check the operator's roles.")
        }
        JwksLookup::Absent => format!(
            "There is no {place}, {refused}. Put the issuer's JWKS document there, or correct jwksConfigMapRef."
        ),
        JwksLookup::KeyMissing => format!(
            "There is no text under {place}, {refused}. Put the issuer's JWKS document there, or correct \
             jwksConfigMapRef."
        ),
        JwksLookup::Flawed(flaw) => format!(
            "The {place} {flaw}. Until then the gateways refuse the tokens of issuer '{name}'."
        ),
    };
    Some((Reason::IssuerKeysNotFound, found))
}

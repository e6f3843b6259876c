//! Who vouches for callers, side by side. Whoever can make tokens that are believed can be
//! anybody, so that every change of what is believed counts as wider, unless something is only
//! left out. Must not know who calls.

use super::{Direction, Side};
use crate::policy::name::Name;
use crate::policy::table::{IssuerRow, Policy};
use crate::policy::workspace::{IssuerKind, Jwks, Workspace};

/// One issuer and all that makes its word believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trust {
    /// As gateways see it.
    pub issuer: IssuerRow,
    /// Where its signing keys are; `None` where the cluster itself knows.
    pub keys: Option<Jwks>,
}

/// What differs about one issuer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrustChange {
    /// What subjects call it.
    pub issuer: Name,
    /// The field that differs; empty when it is there on one side only.
    pub field: &'static str,
    /// Before; `None` is nothing.
    pub before: Option<String>,
    /// After; `None` is nothing.
    pub after: Option<String>,
    /// Which way that goes.
    pub direction: Direction,
}

/// The issuers of a workspace, with their keys.
pub fn trust(policy: &Policy, workspace: &Workspace) -> Vec<Trust> {
    let issuers = policy.workspace.issuers.iter();
    let trust = issuers.map(|issuer| {
        let written = workspace.issuers.iter().find(|i| i.name == issuer.name);
        Trust {
            issuer: issuer.clone(),
            keys: written.and_then(|issuer| match &issuer.kind {
                IssuerKind::Kubernetes => None,
                IssuerKind::Oidc { jwks, .. } => Some(jwks.clone()),
            }),
        }
    });
    trust.collect()
}

/// A workspace that appears or goes says so by itself.
pub(super) fn compare(before: Option<&Side>, after: Option<&Side>) -> Vec<TrustChange> {
    let (Some(before), Some(after)) = (before, after) else {
        return Vec::new();
    };
    let named = |side: &'_ [Trust], name: &Name| -> Option<Trust> {
        side.iter()
            .find(|trust| trust.issuer.name == *name)
            .cloned()
    };
    let mut changes = Vec::new();
    for old in &before.trust {
        let name = &old.issuer.name;
        match named(&after.trust, name) {
            Some(new) => changes.extend(old.changes(&new)),
            None => changes.push(TrustChange {
                issuer: name.clone(),
                field: "",
                before: Some(old.text()),
                after: None,
                direction: Direction::Narrowed,
            }),
        }
    }
    for new in &after.trust {
        if named(&before.trust, &new.issuer.name).is_none() {
            changes.push(TrustChange {
                issuer: new.issuer.name.clone(),
                field: "",
                before: None,
                after: Some(new.text()),
                direction: Direction::Widened,
            });
        }
    }
    changes.sort_by(|a, b| (&a.issuer, a.field).cmp(&(&b.issuer, b.field)));
    changes
}

// === impl Trust ===

impl Trust {
    /// Where its word comes from.
    fn text(&self) -> String {
        let url = self.issuer.issuer_url.as_deref();
        url.unwrap_or("this cluster").to_owned()
    }

    fn changes(&self, new: &Self) -> Vec<TrustChange> {
        let change = |field, before: Option<String>, after: Option<String>, direction| {
            (before != after).then(|| TrustChange {
                issuer: self.issuer.name.clone(),
                field,
                before,
                after,
                direction,
            })
        };
        let (old, keys) = (&self.issuer, &self.keys);
        let owned = |name: &Option<Name>| name.as_ref().map(ToString::to_string);
        let joined = |names: &[Name]| {
            let mut names: Vec<&str> = names.iter().map(|name| &**name).collect();
            names.sort_unstable();
            Some(names.join(", "))
        };
        let added = new.issuer.audiences.iter();
        let added = added.filter(|audience| !old.audiences.contains(audience));
        let audiences = match added.count() {
            0 => Direction::Narrowed,
            _ => Direction::Widened,
        };
        let groups = match new.issuer.groups_claim {
            None => Direction::Narrowed,
            Some(_) => Direction::Widened,
        };
        let kind = |row: &IssuerRow| Some(format!("{:?}", row.kind));
        let changes = [
            change("type", kind(old), kind(&new.issuer), Direction::Widened),
            change(
                "issuerURL",
                owned(&old.issuer_url),
                owned(&new.issuer.issuer_url),
                Direction::Widened,
            ),
            change(
                "audiences",
                joined(&old.audiences),
                joined(&new.issuer.audiences),
                audiences,
            ),
            change(
                "userClaim",
                owned(&old.user_claim),
                owned(&new.issuer.user_claim),
                Direction::Widened,
            ),
            change(
                "groupsClaim",
                owned(&old.groups_claim),
                owned(&new.issuer.groups_claim),
                groups,
            ),
            change(
                "signing keys",
                keys.as_ref().map(place),
                new.keys.as_ref().map(place),
                Direction::Widened,
            ),
        ];
        changes.into_iter().flatten().collect()
    }
}

fn place(keys: &Jwks) -> String {
    match keys {
        Jwks::ConfigMap { name, key } => format!("ConfigMap {name} key {key}"),
        Jwks::Uri(uri) => uri.to_string(),
    }
}

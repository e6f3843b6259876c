//! Who calls: from the headers of a request and the claims of a token to a subject. Whether a
//! token's signature and times hold is for whoever has the issuer's keys and a clock.
//! Must not decide what the caller may do.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::digest::Digest;
use super::key::CLIENT_KEY_LENGTH;
use super::name::{Name, NamespacedName, check_name};
use super::subject::{Subject, SubjectId};
use super::table::{IssuerRow, IssuerType, Policy};

/// Groups of one caller that count: those with the bytewise lowest names. More would let the
/// size of a token decide the cost of a request.
pub const MAX_GROUPS: usize = 64;

/// What a caller shows, by the kind it can only be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Credential<'a> {
    /// A signed token: `ey…`, the beginning of every JSON object in base64.
    Token(&'a str),
    /// A client key that the policy knows.
    ClientKey(SubjectId),
}

/// A caller, once its token is verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identified {
    /// Itself.
    pub subject: SubjectId,
    /// Those of its groups that count.
    pub groups: Vec<SubjectId>,
}

/// Why nobody is known to call; all are answered with 401.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unauthenticated {
    #[error("the request carries no credential")]
    Missing,
    #[error("the request carries several credentials that differ")]
    Several,
    #[error("the credential is not valid here")]
    Unknown,
}

/// The one credential of a request, from all its `x-api-key` and `authorization` headers.
///
/// # Errors
/// When there is none, when there are several that are not equal, and when it is no token and
/// no client key that the policy knows.
pub fn credential<'a>(
    policy: &Policy,
    api_keys: &[&'a [u8]],
    authorizations: &[&'a [u8]],
) -> Result<Credential<'a>, Unauthenticated> {
    let bearers = authorizations.iter().map(|value| bearer(value));
    let shown = api_keys.iter().map(|value| Ok(*value)).chain(bearers);
    let shown = shown.collect::<Result<BTreeSet<&[u8]>, _>>()?;
    let mut shown = shown.into_iter();
    let only = shown.next().ok_or(Unauthenticated::Missing)?;
    if shown.next().is_some() {
        return Err(Unauthenticated::Several);
    }
    if only.starts_with(b"ey") {
        let token = std::str::from_utf8(only).map_err(|_| Unauthenticated::Unknown)?;
        return Ok(Credential::Token(token));
    }
    if !CLIENT_KEY_LENGTH.contains(&only.len()) {
        return Err(Unauthenticated::Unknown);
    }
    let id = Subject::ClientKey(Digest::of(only)).id();
    if policy.subjects.contains_key(&id) || policy.blocked.contains(&id) {
        Ok(Credential::ClientKey(id))
    } else {
        Err(Unauthenticated::Unknown)
    }
}

/// The value of `Bearer VALUE`; the scheme is the same in any case.
fn bearer(value: &[u8]) -> Result<&[u8], Unauthenticated> {
    let (scheme, rest) = value.split_at_checked(7).ok_or(Unauthenticated::Unknown)?;
    if scheme.eq_ignore_ascii_case(b"bearer ") {
        Ok(rest.trim_ascii())
    } else {
        Err(Unauthenticated::Unknown)
    }
}

/// The groups of a user that count, by id: the bytewise lowest of the distinct names.
pub fn groups<'n>(issuer: &Name, names: impl IntoIterator<Item = &'n str>) -> Vec<SubjectId> {
    let names: BTreeSet<&str> = names.into_iter().collect();
    let id = |name: &str| {
        let group = Subject::Group {
            issuer: issuer.clone(),
            name: name.into(),
        };
        group.id()
    };
    names.into_iter().take(MAX_GROUPS).map(id).collect()
}

// === impl IssuerRow ===

impl IssuerRow {
    /// Who the claims of this issuer's token name.
    ///
    /// # Errors
    /// When the token is another issuer's or for another audience, names nobody, or names
    /// somebody by an e-mail address that nobody verified.
    pub fn identify(&self, claims: &Map<String, Value>) -> Result<Identified, Unauthenticated> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let issued = self
            .issuer_url
            .as_deref()
            .is_none_or(|url| text("iss") == Some(url));
        let mut audiences = texts(claims.get("aud"));
        let meant = audiences.any(|meant| self.audiences.iter().any(|own| **own == *meant));
        if !issued || !meant {
            return Err(Unauthenticated::Unknown);
        }
        let (subject, groups) = match self.kind {
            IssuerType::Kubernetes => (text("sub").and_then(service_account), Vec::new()),
            IssuerType::Oidc => {
                let claim = self.user_claim.as_deref().unwrap_or("sub");
                let verified = claims.get("email_verified");
                if claim == "email" && verified.is_some_and(|is| *is != Value::Bool(true)) {
                    return Err(Unauthenticated::Unknown);
                }
                let of_claim = self
                    .groups_claim
                    .as_deref()
                    .and_then(|name| claims.get(name));
                (
                    text(claim).and_then(|name| self.user(name)),
                    groups(&self.name, texts(of_claim)),
                )
            }
        };
        let subject = subject.ok_or(Unauthenticated::Unknown)?.id();
        Ok(Identified { subject, groups })
    }

    fn user(&self, name: &str) -> Option<Subject> {
        check_name(name).is_ok().then(|| Subject::User {
            issuer: self.name.clone(),
            name: name.into(),
        })
    }
}

fn service_account(subject: &str) -> Option<Subject> {
    let name = subject.strip_prefix("system:serviceaccount:")?;
    let (namespace, name) = name.split_once(':')?;
    let plain = |part: &str| !part.is_empty() && !part.contains([':', '\n']);
    (plain(namespace) && plain(name))
        .then(|| Subject::ServiceAccount(NamespacedName::new(namespace, name)))
}

/// The texts of a claim that is one text, or a list; what is no text in it is left out.
fn texts(claim: Option<&Value>) -> impl Iterator<Item = &str> {
    let one = claim.and_then(Value::as_str);
    let many = claim.and_then(Value::as_array).into_iter().flatten();
    one.into_iter().chain(many.filter_map(Value::as_str))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::subject::SubjectRef;

    fn id(text: &str) -> SubjectId {
        match SubjectRef::parse(text) {
            Ok(SubjectRef::Known(subject)) => subject.id(),
            other => panic!("{other:?}"),
        }
    }

    fn corp() -> IssuerRow {
        IssuerRow {
            name: "corp".into(),
            kind: IssuerType::Oidc,
            audiences: vec!["claude".into()],
            issuer_url: Some("https://login.example.com".into()),
            user_claim: Some("email".into()),
            groups_claim: Some("groups".into()),
        }
    }

    fn identify(issuer: &IssuerRow, more: Value) -> Result<Identified, Unauthenticated> {
        let mut claims = json!({"iss": "https://login.example.com", "aud": "claude", "sub": "u1", "email": "uma@example.com"});
        let claims = claims.as_object_mut().expect("an object");
        claims.extend(more.as_object().expect("an object").clone());
        issuer.identify(claims)
    }

    #[test]
    fn a_token_names_a_user_and_its_groups() {
        let uma = |groups: &[&str]| {
            let groups = groups.iter().map(|name| id(&format!("group:corp:{name}")));
            Ok(Identified {
                subject: id("user:corp:uma@example.com"),
                groups: groups.collect(),
            })
        };
        assert_eq!(identify(&corp(), json!({})), uma(&[]));
        assert_eq!(identify(&corp(), json!({"groups": "b"})), uma(&["b"]));
        let several = json!({"groups": ["b", 1, "a", "b", null], "aud": ["x", "claude"]});
        assert_eq!(identify(&corp(), several), uma(&["a", "b"]));
        assert_eq!(identify(&corp(), json!({"groups": {"a": 1}})), uma(&[]));
        let without = IssuerRow {
            groups_claim: None,
            ..corp()
        };
        assert_eq!(identify(&without, json!({"groups": ["b"]})), uma(&[]));
    }

    #[test]
    fn a_token_of_elsewhere_or_nobody_names_nobody() {
        for bad in [
            json!({"iss": "https://login.example.com/"}),
            json!({"iss": null}),
            json!({"aud": "Claude"}),
            json!({"aud": ["x"]}),
            json!({"aud": null}),
            json!({"email": null}),
            json!({"email": ""}),
            json!({"email": "a\nb"}),
            json!({"email": ["uma@example.com"]}),
        ] {
            assert_eq!(
                identify(&corp(), bad.clone()),
                Err(Unauthenticated::Unknown),
                "{bad}"
            );
        }
    }

    #[test]
    fn an_unverified_address_names_nobody_where_the_address_is_the_name() {
        for verified in [json!(false), json!("true"), json!(null), json!(1)] {
            let claims = json!({"email_verified": verified});
            assert_eq!(
                identify(&corp(), claims.clone()),
                Err(Unauthenticated::Unknown)
            );
            let by_sub = IssuerRow {
                user_claim: Some("sub".into()),
                ..corp()
            };
            assert!(identify(&by_sub, claims).is_ok());
        }
        assert!(identify(&corp(), json!({"email_verified": true})).is_ok());
    }

    #[test]
    fn a_service_account_is_named_by_the_cluster_alone() {
        let cluster = IssuerRow {
            kind: IssuerType::Kubernetes,
            issuer_url: None,
            user_claim: None,
            ..corp()
        };
        let of = |sub: &str| identify(&cluster, json!({"sub": sub})).map(|found| found.subject);
        assert_eq!(
            of("system:serviceaccount:search:search"),
            Ok(id("serviceaccount:search/search"))
        );
        for bad in [
            "system:serviceaccount:search",
            "system:serviceaccount::a",
            "system:serviceaccount:a:b:c",
            "uma",
            "system:node:a",
        ] {
            assert_eq!(of(bad), Err(Unauthenticated::Unknown), "{bad}");
        }
        let user = identify(
            &corp(),
            json!({"email": "system:serviceaccount:search:search"}),
        );
        assert_eq!(
            user.map(|found| found.subject),
            Ok(id("user:corp:system:serviceaccount:search:search"))
        );
    }

    #[test]
    fn of_many_groups_the_bytewise_lowest_count() {
        let names: Vec<String> = (0..100).rev().map(|i| format!("g{i:03}")).collect();
        let counted = groups(&"corp".into(), names.iter().map(String::as_str));
        assert_eq!(counted.len(), MAX_GROUPS);
        assert_eq!(
            (counted[0], counted[63]),
            (id("group:corp:g000"), id("group:corp:g063"))
        );
        let upper = groups(&"corp".into(), ["a", "B", "a"]);
        assert_eq!(upper, [id("group:corp:B"), id("group:corp:a")]);
    }
}

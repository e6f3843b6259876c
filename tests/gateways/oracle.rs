//! What must come of a request, by the core's own rules: the one place where `decide` is asked.
//! Must not know any gateway.

use std::collections::HashMap;

use anthropic_rbac::policy::body::Endpoint;
use anthropic_rbac::policy::caller::{Credential, credential};
use anthropic_rbac::policy::decide::{Denial, Posted, decide_posted};
use anthropic_rbac::policy::json::{Event, Reader};
use anthropic_rbac::policy::key::Scope;
use anthropic_rbac::policy::subject::SubjectId;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::rendered::Rendered;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// With the query.
    pub(crate) path: String,
    pub(crate) api_keys: Vec<Vec<u8>>,
    pub(crate) authorizations: Vec<Vec<u8>>,
    pub(crate) body: Vec<u8>,
}

/// A token that somebody made.
#[derive(Clone, Debug)]
pub(crate) struct Minted {
    /// The issuer whose key signed it.
    pub(crate) issuer: String,
    pub(crate) claims: Map<String, Value>,
    /// Whether signature and times hold.
    pub(crate) holds: bool,
}

/// Tokens by their text.
pub(crate) type Tokens = HashMap<String, Minted>;

/// What must come of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    NotFound,
    Unauthenticated,
    Denied(Denial),
    Sent(Sent),
}

/// What the upstream must get.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sent {
    pub(crate) key: Vec<u8>,
    /// The value of `anthropic-workspace-id`; none must be there without.
    pub(crate) workspace: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// What must come of a request.
pub(crate) fn outcome(
    rendered: &Rendered,
    tokens: &Tokens,
    asked: &Asked,
    at: Timestamp,
) -> Outcome {
    let endpoint = match asked.path.split('?').next() {
        Some("/v1/messages") => Endpoint::Messages,
        Some("/v1/messages/count_tokens") => Endpoint::CountTokens,
        _ => return Outcome::NotFound,
    };
    let Some((subject, groups)) = caller(rendered, tokens, asked) else {
        return Outcome::Unauthenticated;
    };
    let posted = Posted {
        subject,
        groups: &groups,
        endpoint,
        body: &asked.body,
        at,
    };
    match decide_posted(&rendered.policy, &posted) {
        Err(denial) => Outcome::Denied(denial),
        Ok(permit) => Outcome::Sent(Sent {
            key: rendered
                .key(permit.api_key_ref())
                .unwrap_or_default()
                .to_vec(),
            workspace: match permit.scope() {
                Scope::Workspace => None,
                Scope::Organization => {
                    let id = rendered.policy.workspace.workspace_id.as_deref();
                    Some(id.unwrap_or_default().to_owned())
                }
            },
            body: match endpoint {
                Endpoint::Messages => capped(&asked.body, permit.max_tokens().get().into()),
                Endpoint::CountTokens => asked.body.clone(),
            },
        }),
    }
}

fn caller(
    rendered: &Rendered,
    tokens: &Tokens,
    asked: &Asked,
) -> Option<(SubjectId, Vec<SubjectId>)> {
    let slices = |values: &'_ [Vec<u8>]| -> Vec<Vec<u8>> { values.to_vec() };
    let (keys, bearers) = (slices(&asked.api_keys), slices(&asked.authorizations));
    let keys: Vec<&[u8]> = keys.iter().map(|value| &**value).collect();
    let bearers: Vec<&[u8]> = bearers.iter().map(|value| &**value).collect();
    match credential(&rendered.policy, &keys, &bearers).ok()? {
        Credential::ClientKey(id) => Some((id, Vec::new())),
        Credential::Token(text) => {
            let minted = tokens.get(text).filter(|minted| minted.holds)?;
            let mut issuers = rendered.policy.workspace.issuers.iter();
            let issuer = issuers.find(|row| *row.name == *minted.issuer)?;
            let identified = issuer.identify(&minted.claims).ok()?;
            Some((identified.subject, identified.groups))
        }
    }
}

/// A permitted body with this `max_tokens`, and not another byte changed: the digits are
/// replaced, or the member is put before all others.
fn capped(body: &[u8], max_tokens: u64) -> Vec<u8> {
    let digits = max_tokens.to_string();
    let place = place(body);
    let (from, to, put) = match place {
        Some(Place::Digits(from, to)) if body[from..to] == *digits.as_bytes() => {
            return body.to_vec();
        }
        Some(Place::Digits(from, to)) => (from, to, digits),
        Some(Place::Brace(at)) => (at, at, format!("\"max_tokens\":{digits},")),
        None => return body.to_vec(),
    };
    [&body[..from], put.as_bytes(), &body[to..]].concat()
}

enum Place {
    /// From and to where.
    Digits(usize, usize),
    /// After it.
    Brace(usize),
}

fn place(body: &[u8]) -> Option<Place> {
    let mut reader = Reader::new(body).ok()?;
    let (mut depth, mut is_next) = (0, false);
    while let Some(event) = reader.event().ok()? {
        match event {
            Event::ObjectStart | Event::ArrayStart => depth += 1,
            Event::ObjectEnd | Event::ArrayEnd => depth -= 1,
            Event::Name(name) => is_next = depth == 1 && name.is("max_tokens"),
            Event::Number(digits) if is_next && depth == 1 => {
                let from = digits.as_ptr().addr() - body.as_ptr().addr();
                return Some(Place::Digits(from, from + digits.len()));
            }
            Event::String(_) | Event::Number(_) | Event::Literal(_) => {}
        }
    }
    body.iter()
        .position(|byte| *byte == b'{')
        .map(|at| Place::Brace(at + 1))
}

//! One request against one policy: a permit that says who allowed what, or the denial.
//! The only place these rules stand, but for the gateways' own languages, which are held to
//! it. Must not know how the policy came about, nor read a clock.

use jiff::Timestamp;

use super::grant::Phase;
use super::key::Scope;
use super::limits::{MaxTokens, RequestsPerMinute};
use super::name::Name;
use super::subject::SubjectId;
use super::table::{AccessRow, GrantRow, KeyRow, Policy, RoleRow, SubjectRow, WorkspaceState};

/// What is asked, once the caller is known.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The caller.
    pub subject: SubjectId,
    /// Groups of the caller, as its issuer vouches: at most [`MAX_GROUPS`].
    pub groups: &'a [SubjectId],
    /// The model it names.
    pub model: &'a str,
    /// The `max_tokens` it names, if any.
    pub max_tokens: Option<u64>,
    /// When.
    pub at: Timestamp,
}

/// Leave to send one request on, and by whose word. Only `decide` makes one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Permit {
    role: Name,
    binding: Name,
    api_key_ref: Name,
    scope: Scope,
    max_tokens: MaxTokens,
    requests_per_minute: RequestsPerMinute,
}

/// Why a request is refused. The texts are part of the contract.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Denial {
    #[error("Workspace is disabled")]
    WorkspaceDisabled,
    #[error("Subject is blocked")]
    SubjectBlocked,
    #[error("Subject has no role in this workspace")]
    NoRole,
    #[error("Role does not allow API access")]
    NoApiAccess,
    #[error("Workspace does not allow model: {0}")]
    ModelOutsideWorkspace(String),
    #[error("Role cannot access model: {0}")]
    ModelOutsideRoles(String),
    #[error("No API key is mapped for this subject")]
    NoKey,
    #[error("max_tokens must be a positive integer")]
    InvalidMaxTokens,
}

/// Groups of one caller that count: those with the bytewise lowest names. More would let the
/// size of a token decide the cost of a request.
pub const MAX_GROUPS: usize = 64;

/// Decides one request. Refusals come in the contract's order.
///
/// # Errors
/// The first rule that refuses it.
pub fn decide(policy: &Policy, request: &Request<'_>) -> Result<Permit, Denial> {
    if policy.workspace.state == WorkspaceState::Disabled {
        return Err(Denial::WorkspaceDisabled);
    }
    let identities = || std::iter::once(&request.subject).chain(request.groups);
    if identities().any(|id| policy.blocked.contains(id)) {
        return Err(Denial::SubjectBlocked);
    }
    let held = || {
        identities()
            .filter_map(|id| policy.subjects.get(id))
            .flat_map(|row| &row.grants)
            .filter(|grant| grant.window().phase(request.at) == Phase::Active)
            .filter_map(|grant| policy.roles.get(&grant.role).map(|role| (grant, role)))
    };
    held().next().ok_or(Denial::NoRole)?;
    let open = || held().filter_map(|(grant, role)| Some((grant, role, role.access.as_ref()?)));
    let requests_per_minute = open()
        .map(|(_, _, access)| access.requests_per_minute)
        .max()
        .ok_or(Denial::NoApiAccess)?;
    let within = |models: &super::model::ModelSet| models.allows(request.model);
    if !policy.workspace.models.as_ref().is_none_or(within) {
        return Err(Denial::ModelOutsideWorkspace(request.model.to_owned()));
    }
    let (grant, role, access) = open()
        .filter(|(_, _, access)| access.models.allows(request.model))
        .reduce(more_generous)
        .ok_or_else(|| Denial::ModelOutsideRoles(request.model.to_owned()))?;
    let key = key_of(policy, request.subject, request.groups)
        .filter(|key| key.fingerprint.is_some())
        .ok_or(Denial::NoKey)?;
    let max_tokens = match request.max_tokens {
        None => policy.workspace.default_max_tokens.min(access.max_tokens),
        Some(0) => return Err(Denial::InvalidMaxTokens),
        Some(asked) => i64::try_from(asked)
            .ok()
            .and_then(|asked| MaxTokens::try_from(asked).ok())
            .map_or(access.max_tokens, |asked| asked.min(access.max_tokens)),
    };
    Ok(Permit {
        role: role.name.clone(),
        binding: grant.binding.clone(),
        api_key_ref: key.api_key_ref.clone(),
        scope: key.scope,
        max_tokens,
        requests_per_minute,
    })
}

/// The key a subject's requests go out with, whatever its state: the one that names the
/// subject; else of those that name a group of it the bytewise lowest; else the default.
/// There is no falling through from a key that may not be used to another.
pub fn key_of<'p>(
    policy: &'p Policy,
    subject: SubjectId,
    groups: &[SubjectId],
) -> Option<&'p KeyRow> {
    let named = |id: &SubjectId| policy.subjects.get(id).and_then(|row: &SubjectRow| row.key);
    let row = |id| policy.keys.get(&id);
    match named(&subject) {
        Some(id) => row(id),
        None => {
            let mut of_groups = groups.iter().filter_map(named).peekable();
            if of_groups.peek().is_some() {
                of_groups
                    .filter_map(row)
                    .min_by(|a, b| a.api_key_ref.cmp(&b.api_key_ref))
            } else {
                policy.workspace.default_key.and_then(row)
            }
        }
    }
}

type Held<'p> = (&'p GrantRow, &'p RoleRow, &'p AccessRow);

/// The grant with the higher ceiling; of equals the one whose binding sorts first, so that
/// the answer does not depend on the order of anything.
fn more_generous<'p>(a: Held<'p>, b: Held<'p>) -> Held<'p> {
    let rank = |held: &Held<'p>| (held.2.max_tokens, std::cmp::Reverse(held.0.binding.clone()));
    if rank(&b) > rank(&a) { b } else { a }
}

// === impl Permit ===

impl Permit {
    /// The role that opened the model.
    pub fn role(&self) -> &Name {
        &self.role
    }

    /// The binding that gave the role, as `namespace/name`.
    pub fn binding(&self) -> &Name {
        &self.binding
    }

    /// The key to send the request with, as `namespace/name`.
    pub fn api_key_ref(&self) -> &Name {
        &self.api_key_ref
    }

    /// How far that key reaches.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// The `max_tokens` to send.
    pub fn max_tokens(&self) -> MaxTokens {
        self.max_tokens
    }

    /// The subject's rate, over all models.
    pub fn requests_per_minute(&self) -> RequestsPerMinute {
        self.requests_per_minute
    }
}

// === impl Denial ===

impl Denial {
    /// The HTTP status a gateway answers with.
    pub const fn status(&self) -> u16 {
        match self {
            Self::InvalidMaxTokens => 400,
            Self::WorkspaceDisabled
            | Self::SubjectBlocked
            | Self::NoRole
            | Self::NoApiAccess
            | Self::ModelOutsideWorkspace(_)
            | Self::ModelOutsideRoles(_)
            | Self::NoKey => 403,
        }
    }
}

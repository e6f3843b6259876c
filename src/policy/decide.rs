//! One request against one policy: a permit that says who allowed what, or the denial.
//! The only place these rules stand, but for the gateways' own languages, which are held to
//! it. Must not know how the policy came about, nor read a clock.

use jiff::Timestamp;

use super::body::{self, Endpoint};
use super::grant::Phase;
use super::key::Scope;
use super::limits::{MaxTokens, RequestsPerMinute};
use super::name::{Name, check_name};
use super::subject::SubjectId;
use super::table::{AccessRow, GrantRow, KeyRow, Policy, RoleRow, SubjectRow, WorkspaceState};

/// What is asked, once the caller is known.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The caller.
    pub subject: SubjectId,
    /// Groups of the caller, as its issuer vouches: at most [`super::caller::MAX_GROUPS`].
    pub groups: &'a [SubjectId],
    /// The model it names.
    pub model: &'a str,
    /// The `max_tokens` it names, if any.
    pub max_tokens: Option<u64>,
    /// When.
    pub at: Timestamp,
}

/// A request as it comes in, once the caller is known.
#[derive(Clone, Copy, Debug)]
pub struct Posted<'a> {
    /// The caller.
    pub subject: SubjectId,
    /// Groups of the caller, as its issuer vouches: at most [`super::caller::MAX_GROUPS`].
    pub groups: &'a [SubjectId],
    /// What it is for.
    pub endpoint: Endpoint,
    /// Its body.
    pub body: &'a [u8],
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
    #[error("Request body must be a JSON object")]
    InvalidBody,
    #[error("model must be a string of 1 to 256 bytes without control characters")]
    InvalidModel,
    #[error("Request field is repeated: {0}")]
    RepeatedField(&'static str),
    #[error("Request field not allowed: {0}")]
    FieldNotAllowed(String),
}

/// Decides one request. Refusals come in the contract's order.
///
/// # Errors
/// The first rule that refuses it.
pub fn decide(policy: &Policy, request: &Request<'_>) -> Result<Permit, Denial> {
    let standing = Standing::of(policy, request.subject, request.groups, request.at)?;
    check_name(request.model).map_err(|_| Denial::InvalidModel)?;
    standing.permit(request.model, request.max_tokens)
}

/// Decides one request by its body, every model and number of tokens in it included. The permit
/// is for the model and `max_tokens` of the top level; for counting tokens it has no use.
///
/// # Errors
/// The first rule that refuses it, or why the body is none.
pub fn decide_posted(policy: &Policy, posted: &Posted<'_>) -> Result<Permit, Denial> {
    let standing = Standing::of(policy, posted.subject, posted.groups, posted.at)?;
    let asked = body::read(posted.endpoint, posted.body)?;
    let permit = standing.permit(&asked.model, asked.max_tokens)?;
    for nested in &asked.nested {
        let model = nested.model.as_deref().unwrap_or(&asked.model);
        let (_, _, access) = standing.opens(model)?;
        // What names no number of its own gets the body's.
        let wants = nested.max_tokens.unwrap_or(permit.max_tokens.get().into());
        let above = wants > access.max_tokens.get().into();
        if above && posted.endpoint == Endpoint::Messages {
            return Err(Denial::FieldNotAllowed(nested.field.clone()));
        }
    }
    Ok(permit)
}

/// Where a caller stands: some role of it has API access, and nothing forbids it everything.
struct Standing<'p> {
    policy: &'p Policy,
    rows: Rows<'p>,
    /// Its roles that hold now and have API access, looked up once for whatever is asked.
    open: Vec<Held<'p>>,
    requests_per_minute: RequestsPerMinute,
}

// === impl Standing ===

impl<'p> Standing<'p> {
    fn of(
        policy: &'p Policy,
        subject: SubjectId,
        groups: &[SubjectId],
        at: Timestamp,
    ) -> Result<Self, Denial> {
        if policy.workspace.state == WorkspaceState::Disabled {
            return Err(Denial::WorkspaceDisabled);
        }
        let mut identities = std::iter::once(&subject).chain(groups);
        if identities.any(|id| policy.blocked.contains(id)) {
            return Err(Denial::SubjectBlocked);
        }
        let rows = Rows::of(policy, subject, groups);
        let mut has_role = false;
        let mut open = Vec::new();
        for row in rows.own.iter().chain(&rows.groups) {
            for grant in &row.grants {
                if grant.window().phase(at) == Phase::Active
                    && let Some(role) = policy.roles.get(&grant.role)
                {
                    has_role = true;
                    open.extend(role.access.as_ref().map(|access| (grant, role, access)));
                }
            }
        }
        if !has_role {
            return Err(Denial::NoRole);
        }
        let rates = open
            .iter()
            .map(|(_, _, access): &Held<'p>| access.requests_per_minute);
        let requests_per_minute = rates.max().ok_or(Denial::NoApiAccess)?;
        Ok(Self {
            policy,
            rows,
            open,
            requests_per_minute,
        })
    }

    /// The most generous role that opens a model.
    fn opens(&self, model: &str) -> Result<Held<'p>, Denial> {
        let bound = self.policy.workspace.models.as_ref();
        if !bound.is_none_or(|models| models.allows(model)) {
            return Err(Denial::ModelOutsideWorkspace(model.to_owned()));
        }
        self.open
            .iter()
            .copied()
            .filter(|(_, _, access)| access.models.allows(model))
            .reduce(more_generous)
            .ok_or_else(|| Denial::ModelOutsideRoles(model.to_owned()))
    }

    fn permit(&self, model: &str, max_tokens: Option<u64>) -> Result<Permit, Denial> {
        let (grant, role, access) = self.opens(model)?;
        let key = self
            .rows
            .key(self.policy)
            .filter(|key| key.fingerprint.is_some())
            .ok_or(Denial::NoKey)?;
        let max_tokens = match max_tokens {
            None => self
                .policy
                .workspace
                .default_max_tokens
                .min(access.max_tokens),
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
            requests_per_minute: self.requests_per_minute,
        })
    }
}

/// The key a subject's requests go out with, whatever its state: the one that names the
/// subject; else of those that name a group of it the bytewise lowest; else the default.
/// There is no falling through from a key that may not be used to another.
pub fn key_of<'p>(
    policy: &'p Policy,
    subject: SubjectId,
    groups: &[SubjectId],
) -> Option<&'p KeyRow> {
    Rows::of(policy, subject, groups).key(policy)
}

/// What a policy has of a caller and of its groups, each looked up once.
struct Rows<'p> {
    own: Option<&'p SubjectRow>,
    groups: Vec<&'p SubjectRow>,
}

// === impl Rows ===

impl<'p> Rows<'p> {
    fn of(policy: &'p Policy, subject: SubjectId, groups: &[SubjectId]) -> Self {
        let row = |id| policy.subjects.get(id);
        Self {
            own: row(&subject),
            groups: groups.iter().filter_map(row).collect(),
        }
    }

    fn key(&self, policy: &'p Policy) -> Option<&'p KeyRow> {
        let row = |id| policy.keys.get(&id);
        if let Some(id) = self.own.and_then(|own| own.key) {
            return row(id);
        }
        let mut lowest: Option<&KeyRow> = None;
        for id in self.groups.iter().filter_map(|group| group.key) {
            // One that is missing may have been the lowest.
            let key = row(id)?;
            let first = lowest.is_none_or(|known| key.api_key_ref < known.api_key_ref);
            lowest = if first { Some(key) } else { lowest };
        }
        lowest.or_else(|| policy.workspace.default_key.and_then(row))
    }
}

type Held<'p> = (&'p GrantRow, &'p RoleRow, &'p AccessRow);

/// The grant with the higher ceiling; of equals the one whose binding sorts first, so that
/// the answer does not depend on the order of anything.
fn more_generous<'p>(a: Held<'p>, b: Held<'p>) -> Held<'p> {
    let rank = |held: &Held<'p>| (held.2.max_tokens, std::cmp::Reverse(&held.0.binding));
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
            Self::InvalidMaxTokens
            | Self::InvalidBody
            | Self::InvalidModel
            | Self::RepeatedField(_) => 400,
            Self::WorkspaceDisabled
            | Self::SubjectBlocked
            | Self::NoRole
            | Self::NoApiAccess
            | Self::ModelOutsideWorkspace(_)
            | Self::ModelOutsideRoles(_)
            | Self::NoKey
            | Self::FieldNotAllowed(_) => 403,
        }
    }
}

#[cfg(test)]
mod tests;

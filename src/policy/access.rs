//! What one caller may do in one workspace, grant by grant; and why a grant that names it opens
//! nothing. Whether anything is allowed at all is asked of `decide`.
//! Must not decide anything itself.

use jiff::Timestamp;

use super::decide::{Denial, Permit, Request, decide, key_of};
use super::grant::{Grant, Phase, RoleRef, Window};
use super::limits::{MaxTokens, RequestsPerMinute};
use super::model::ModelSet;
use super::name::Name;
use super::ranges::{Ranges, within};
use super::resolve::{GrantOutcome, reason};
use super::subject::{SubjectId, SubjectRef};
use super::table::{GrantRow, KeyRow, Policy};

/// Who calls: a subject, and the groups its issuer says it is in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// Itself.
    pub subject: Identity,
    /// Its groups, those that count.
    pub groups: Vec<Identity>,
}

/// A subject as resources name it, and what policies know it by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// As it is named.
    pub named: SubjectRef,
    /// Several where a Secret holds several client keys.
    pub ids: Vec<SubjectId>,
}

/// What a caller may do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Access<'a> {
    /// Why every request of it is denied; `None` when some model is allowed.
    pub denied: Option<Denial>,
    /// Who of it is blocked.
    pub blocked: Vec<&'a SubjectRef>,
    /// Its grants in force that open some model of the workspace.
    pub grants: Vec<Opened<'a>>,
    /// The key its requests go out with.
    pub key: Option<&'a KeyRow>,
    /// Its rate, over all models.
    pub requests_per_minute: Option<RequestsPerMinute>,
}

/// A grant in force and what it opens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened<'a> {
    /// The role's name.
    pub role: &'a Name,
    /// The binding, as `namespace/name`.
    pub binding: &'a Name,
    /// Whom the binding names: the caller or a group of it.
    pub through: &'a SubjectRef,
    /// Models that the role names.
    pub role_models: &'a ModelSet,
    /// Those of them that the workspace allows.
    pub models: ModelSet,
    /// Highest `max_tokens` of one request.
    pub max_tokens: MaxTokens,
    /// Requests per minute that the role gives.
    pub requests_per_minute: RequestsPerMinute,
    /// When it holds.
    pub window: Window,
}

/// Why a grant that names a caller opens nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Closed {
    /// A stable name, which `explain` knows.
    pub reason: &'static str,
    /// Cause and fix.
    pub message: String,
}

// === impl Caller ===

impl Caller {
    /// Who of it a resource names so, if anybody.
    pub fn named(&self, named: &SubjectRef) -> Option<&Identity> {
        std::iter::once(&self.subject)
            .chain(&self.groups)
            .find(|identity| identity.is(named))
    }

    fn group_ids(&self) -> Vec<SubjectId> {
        let ids = self.groups.iter().flat_map(|group| &group.ids);
        ids.copied().collect()
    }

    /// What `decide` says to a request. What holds for a Secret of client keys holds for every
    /// key in it.
    ///
    /// # Errors
    /// The first rule that refuses one of them.
    pub fn decide(
        &self,
        policy: &Policy,
        (model, max_tokens): (&str, Option<u64>),
        at: Timestamp,
    ) -> Result<Permit, Denial> {
        let groups = self.group_ids();
        let mut permit = Err(Denial::NoRole);
        for subject in &self.subject.ids {
            let request = Request {
                subject: *subject,
                groups: &groups,
                model,
                max_tokens,
                at,
            };
            permit = Ok(decide(policy, &request)?);
        }
        permit
    }

    /// What it may do at a time.
    pub fn access<'a>(&'a self, policy: &'a Policy, at: Timestamp) -> Access<'a> {
        let identities = || std::iter::once(&self.subject).chain(&self.groups);
        let rows = identities().flat_map(|identity| {
            let id = identity.ids.first();
            let row = id.and_then(|id| policy.subjects.get(id));
            let grants = row.into_iter().flat_map(|row| &row.grants);
            grants.map(move |grant| (&identity.named, grant))
        });
        let grants: Vec<Opened<'a>> = rows
            .filter(|(_, grant)| grant.window().phase(at) == Phase::Active)
            .filter_map(|(through, grant)| opened(policy, through, grant))
            .collect();
        let opened: Vec<&ModelSet> = grants.iter().map(|grant| &grant.models).collect();
        let ranges = Ranges::of(opened.into_iter().flat_map(ModelSet::iter));
        let mut asked = ranges.ids().map(|id| self.decide(policy, (id, None), at));
        let denied = match asked.find(Result::is_ok) {
            Some(_) => None,
            None => self.denial(policy, &ranges, at),
        };
        let groups = self.group_ids();
        let id = self.subject.ids.first();
        let blocked = identities()
            .filter(|identity| identity.ids.iter().any(|id| policy.blocked.contains(id)))
            .map(|identity| &identity.named);
        Access {
            denied,
            blocked: blocked.collect(),
            key: id.and_then(|id| key_of(policy, *id, &groups)),
            requests_per_minute: grants.iter().map(|grant| grant.requests_per_minute).max(),
            grants,
        }
    }

    /// The denial that says most: of a model that a grant opens, else of any.
    fn denial(&self, policy: &Policy, ranges: &Ranges, at: Timestamp) -> Option<Denial> {
        let denials = ranges.ids().filter_map(|id| {
            let denial = self.decide(policy, (id, None), at).err()?;
            let of_model = matches!(
                denial,
                Denial::ModelOutsideWorkspace(_) | Denial::ModelOutsideRoles(_)
            );
            Some((of_model, denial))
        });
        // `min_by_key` keeps the first of equals.
        let first = denials.min_by_key(|(of_model, _)| *of_model)?;
        Some(first.1)
    }
}

fn opened<'a>(
    policy: &'a Policy,
    through: &'a SubjectRef,
    grant: &'a GrantRow,
) -> Option<Opened<'a>> {
    let role = policy.roles.get(&grant.role)?;
    let access = role.access.as_ref()?;
    let models = within(&access.models, policy.workspace.models.as_ref());
    models.iter().next()?;
    Some(Opened {
        role: &role.name,
        binding: &grant.binding,
        through,
        role_models: &access.models,
        models,
        max_tokens: access.max_tokens,
        requests_per_minute: access.requests_per_minute,
        window: grant.window(),
    })
}

// === impl Identity ===

impl Identity {
    /// Whether a resource that names a subject so means this one.
    pub fn is(&self, named: &SubjectRef) -> bool {
        let by_id = match named {
            SubjectRef::Known(subject) => self.ids.contains(&subject.id()),
            SubjectRef::ClientKeySecret(_) => false,
        };
        by_id || *named == self.named
    }
}

/// Why a binding that names a caller gives it nothing; `None` when it does give something.
pub fn closed(
    policy: &Policy,
    grant: &Grant,
    outcome: &GrantOutcome,
    named: &SubjectRef,
) -> Option<Closed> {
    let because = |reason, message: String| Some(Closed { reason, message });
    let at = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    if let Some(refused) = &outcome.refused {
        return because(refused.reason(), refused.to_string());
    }
    let named = named.to_string();
    if let Some(problem) = outcome.problems.iter().find(|p| p.subject == named) {
        return because(problem.reason, problem.message.clone());
    }
    match outcome.phase {
        None => because(reason::DISABLED, "it says state: Disabled".to_owned()),
        Some(Phase::Expired) => {
            let message = format!("its time ended at {}", at(grant.window.expires_at));
            because(reason::EXPIRED, message)
        }
        Some(Phase::Pending) => {
            let message = format!("its time begins at {}", at(grant.window.not_before));
            because(reason::PENDING, message)
        }
        Some(Phase::Active) => {
            let RoleRef::Application(name) = &grant.role else {
                return None;
            };
            let role = policy.roles.values().find(|role| role.name == *name)?;
            let Some(access) = &role.access else {
                let message = format!("role '{name}' is without API access");
                return because(Denial::NoApiAccess.name(), message);
            };
            let models = within(&access.models, policy.workspace.models.as_ref());
            if models.iter().next().is_some() {
                return None;
            }
            let message = format!("the Workspace allows none of the models of role '{name}'");
            because(Denial::ModelOutsideWorkspace(String::new()).name(), message)
        }
    }
}

#[cfg(test)]
mod tests;

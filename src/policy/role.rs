//! Roles: the built-in table, what a Workspace changes of it, and what comes out.
//! Must not know who holds a role.

use std::collections::BTreeMap;

use super::limits::{MaxTokens, RequestsPerMinute};
use super::model::{ModelPattern, ModelSet};
use super::name::Name;

/// What a role amounts to in one workspace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Role {
    /// Its name.
    pub name: Name,
    /// What it opens; `None` is a role without API access.
    pub access: Option<Access>,
}

/// API access and how far it goes. All three are always set: nothing is unlimited by omission.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Access {
    /// Models it opens, as written in the resource, sorted.
    pub models: ModelSet,
    /// Highest `max_tokens` of one request.
    pub max_tokens: MaxTokens,
    /// Requests per minute of one subject.
    pub requests_per_minute: RequestsPerMinute,
}

/// A Workspace's entry for a role: changes a built-in field by field, or adds a role.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RoleChange {
    /// Whether the role has API access; `None` keeps the built-in answer.
    pub api_access: Option<bool>,
    /// `None` keeps the built-in's models.
    pub models: Option<ModelSet>,
    /// `None` keeps the built-in's ceiling.
    pub max_tokens: Option<MaxTokens>,
    /// `None` keeps the built-in's rate.
    pub requests_per_minute: Option<RequestsPerMinute>,
}

/// Why a changed role is held to no access.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BrokenRole {
    /// Access without a limit.
    #[error("has API access but not all of models, maxTokens and requestsPerMinute")]
    MissingLimits,
    /// A name of nobody's.
    #[error("is not built in and does not say apiAccess")]
    MissingAccess,
}

/// Names of the built-in roles.
pub const BUILT_IN: [&str; 4] = ["viewer", "user", "power", "admin"];

/// The organisation guide's role table, by model family: no access, 512 tokens at 10 a
/// minute, 4096 at 60, 8192 at 200.
fn built_in(name: &str) -> Option<RoleChange> {
    let open = |families: &[&str], max_tokens: i64, per_minute: i64| RoleChange {
        api_access: Some(true),
        models: Some(
            families
                .iter()
                .map(|prefix| ModelPattern::Prefix((*prefix).into()))
                .collect(),
        ),
        max_tokens: MaxTokens::try_from(max_tokens).ok(),
        requests_per_minute: RequestsPerMinute::try_from(per_minute).ok(),
    };
    match name {
        "viewer" => Some(RoleChange {
            api_access: Some(false),
            ..RoleChange::default()
        }),
        "user" => Some(open(&["claude-haiku-"], 512, 10)),
        "power" => Some(open(
            &["claude-haiku-", "claude-sonnet-", "claude-opus-"],
            4096,
            60,
        )),
        "admin" => Some(open(&[""], 8192, 200)),
        _ => None,
    }
}

/// The roles of a workspace by name, with what is wrong with the changed ones. A broken
/// role stays in the table without access, so that binding it denies instead of dangling.
pub fn effective_roles(
    changes: &BTreeMap<Name, RoleChange>,
) -> (BTreeMap<Name, Role>, Vec<(Name, BrokenRole)>) {
    let mut roles = BTreeMap::new();
    let mut broken = Vec::new();
    let unchanged = BUILT_IN
        .into_iter()
        .map(Name::from)
        .filter(|name| !changes.contains_key(name))
        .map(|name| (name, RoleChange::default()));
    let changed = changes.iter().map(|(n, c)| (n.clone(), c.clone()));
    for (name, change) in unchanged.chain(changed) {
        let access = access(&name, change).unwrap_or_else(|why| {
            broken.push((name.clone(), why));
            None
        });
        roles.insert(name.clone(), Role { name, access });
    }
    (roles, broken)
}

fn access(name: &str, change: RoleChange) -> Result<Option<Access>, BrokenRole> {
    let base = built_in(name).unwrap_or_default();
    let open = change.api_access.or(base.api_access);
    if !open.ok_or(BrokenRole::MissingAccess)? {
        return Ok(None);
    }
    let limits = (
        change.models.or(base.models),
        change.max_tokens.or(base.max_tokens),
        change.requests_per_minute.or(base.requests_per_minute),
    );
    match limits {
        (Some(models), Some(max_tokens), Some(requests_per_minute)) => Ok(Some(Access {
            models,
            max_tokens,
            requests_per_minute,
        })),
        _ => Err(BrokenRole::MissingLimits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(name: &str, change: RoleChange) -> (Role, Vec<(Name, BrokenRole)>) {
        let (roles, broken) = effective_roles(&BTreeMap::from([(Name::from(name), change)]));
        (roles[name].clone(), broken)
    }

    #[test]
    fn the_built_in_table_is_the_guides() {
        let (roles, broken) = effective_roles(&BTreeMap::new());
        let row = |name: &str| {
            roles[name].access.as_ref().map(|access| {
                let models: Vec<_> = access.models.iter().map(ToString::to_string).collect();
                (
                    models.join(","),
                    access.max_tokens.get(),
                    access.requests_per_minute.get(),
                )
            })
        };
        assert_eq!(row("viewer"), None);
        assert_eq!(row("user"), Some(("claude-haiku-*".into(), 512, 10)));
        assert_eq!(
            row("power"),
            Some((
                "claude-haiku-*,claude-opus-*,claude-sonnet-*".into(),
                4096,
                60
            ))
        );
        assert_eq!(row("admin"), Some(("*".into(), 8192, 200)));
        assert!(broken.is_empty() && roles.len() == BUILT_IN.len());
    }

    #[test]
    fn a_change_touches_only_its_fields() {
        let change = RoleChange {
            max_tokens: MaxTokens::try_from(64).ok(),
            ..RoleChange::default()
        };
        let access = changed("user", change).0.access.expect("still open");
        assert_eq!(
            (access.max_tokens.get(), access.requests_per_minute.get()),
            (64, 10)
        );
    }

    #[test]
    fn access_without_all_limits_is_no_access() {
        let open = RoleChange {
            api_access: Some(true),
            ..RoleChange::default()
        };
        for name in ["viewer", "batch"] {
            let (role, broken) = changed(name, open.clone());
            assert_eq!(role.access, None);
            assert_eq!(broken, [(name.into(), BrokenRole::MissingLimits)]);
        }
        let (role, broken) = changed("batch", RoleChange::default());
        assert_eq!(
            (role.access, broken[0].1),
            (None, BrokenRole::MissingAccess)
        );
    }
}

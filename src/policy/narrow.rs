//! Whether one policy takes anything away that another one gave.
//! Must not say what that means for anybody: it only makes a change urgent.

use super::digest::ContentId;
use super::grant::Window;
use super::model::{ModelPattern, ModelSet};
use super::table::{AccessRow, Policy, SubjectRow, WorkspaceRow, WorkspaceState};

/// Whether something that `before` may have permitted is not surely permitted by `after`. Errs
/// on the side of yes: a key that is replaced counts as taken away, since nobody knows why.
pub fn narrows(before: &Policy, after: &Policy) -> bool {
    workspace_narrows(&before.workspace, &after.workspace)
        || !after.blocked.is_subset(&before.blocked)
        || before.keys.iter().any(|(id, key)| {
            let kept = after.keys.get(id).map(|key| &key.fingerprint);
            key.fingerprint.is_some() && kept != Some(&key.fingerprint)
        })
        || before.subjects.iter().any(|(id, subject)| {
            after
                .subjects
                .get(id)
                .is_none_or(|kept| subject_narrows(before, subject, after, kept))
        })
        || after.subjects.iter().any(|(id, subject)| {
            let had = before.subjects.get(id).and_then(|had| had.key);
            let usable = |id| {
                after
                    .keys
                    .get(&id)
                    .is_some_and(|key| key.fingerprint.is_some())
            };
            // Nothing falls through from a key that may not be used, not even the first one named.
            subject
                .key
                .is_some_and(|key| had != Some(key) && !usable(key))
        })
}

fn workspace_narrows(before: &WorkspaceRow, after: &WorkspaceRow) -> bool {
    let closed = |row: &WorkspaceRow| row.state == WorkspaceState::Disabled;
    let models = match (&before.models, &after.models) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(before), Some(after)) => !includes(after, before),
    };
    let rate = match (before.requests_per_minute, after.requests_per_minute) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(before), Some(after)) => after < before,
    };
    let default_key = before.default_key.is_some() && after.default_key != before.default_key;
    let issuers = before
        .issuers
        .iter()
        .any(|issuer| !after.issuers.contains(issuer));
    (closed(after) && !closed(before)) || models || rate || default_key || issuers
}

fn subject_narrows(
    before: &Policy,
    subject: &SubjectRow,
    after: &Policy,
    kept: &SubjectRow,
) -> bool {
    let lost_key = subject.key.is_some() && kept.key != subject.key;
    lost_key
        || subject.grants.iter().any(|grant| {
            let Some(had) = access(before, &grant.role) else {
                return false;
            };
            !kept.grants.iter().any(|grant_kept| {
                covers(grant_kept.window(), grant.window())
                    && access(after, &grant_kept.role).is_some_and(|has| reaches(has, had))
            })
        })
}

fn access<'p>(policy: &'p Policy, role: &ContentId) -> Option<&'p AccessRow> {
    policy.roles.get(role)?.access.as_ref()
}

/// Whether a role opens all that another one does.
fn reaches(has: &AccessRow, had: &AccessRow) -> bool {
    has.max_tokens >= had.max_tokens
        && has.requests_per_minute >= had.requests_per_minute
        && includes(&has.models, &had.models)
}

/// Whether a window holds whenever another one does.
fn covers(outer: Window, inner: Window) -> bool {
    let begins = match (outer.not_before, inner.not_before) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(outer), Some(inner)) => outer <= inner,
    };
    let ends = match (outer.expires_at, inner.expires_at) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(outer), Some(inner)) => outer >= inner,
    };
    begins && ends
}

/// Whether a set has an entry for all that each entry of another one stands for.
fn includes(outer: &ModelSet, inner: &ModelSet) -> bool {
    inner.iter().all(|entry| match entry {
        ModelPattern::Exact(id) => outer.allows(id),
        ModelPattern::Prefix(prefix) => outer.iter().any(|wider| match wider {
            ModelPattern::Exact(_) => false,
            ModelPattern::Prefix(wider) => prefix.starts_with(&**wider),
        }),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A policy in JSON: one subject with one role and a key.
    fn policy() -> Value {
        json!({
            "workspace": {
                "namespace": "claude", "name": "production", "state": "Enabled", "models": ["claude-*"],
                "requestsPerMinute": 100, "defaultMaxTokens": 1024, "defaultKey": "00000000000000aa",
                "issuers": [{"name": "cluster", "type": "Kubernetes", "audiences": ["a"]}],
            },
            "roles": {"0000000000000001": {"name": "user", "access": {
                "models": ["claude-haiku-*"], "maxTokens": 512, "requestsPerMinute": 10,
            }}},
            "keys": {"00000000000000aa": {
                "apiKeyRef": "claude/main", "scope": "Workspace", "fingerprint": "1a2b3c4d5e6f7081",
            }},
            "blocked": ["00000000000000000000000000000001"],
            "subjects": {"00000000000000000000000000000002": {
                "grants": [{"role": "0000000000000001", "binding": "claude/users",
                            "expiresAt": "2027-01-01T00:00:00Z"}],
                "key": "00000000000000aa",
            }},
        })
    }

    fn parsed(value: Value) -> Policy {
        serde_json::from_value(value).expect("a policy")
    }

    /// Whether a change of the policy narrows it, and whether undoing it does.
    fn both_ways(pointer: &str, value: Value) -> (bool, bool) {
        let mut changed = policy();
        match changed.pointer_mut(pointer) {
            Some(field) => *field = value,
            None => {
                let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
                changed.pointer_mut(parent).expect("a place")[field] = value;
            }
        }
        let (before, after) = (parsed(policy()), parsed(changed));
        assert!(!narrows(&before, &before));
        (narrows(&before, &after), narrows(&after, &before))
    }

    #[test]
    fn what_gives_does_not_narrow_and_undoing_it_does() {
        let role = "/roles/0000000000000001/access";
        let grant = "/subjects/00000000000000000000000000000002/grants/0";
        for (pointer, value) in [
            (format!("{role}/maxTokens"), json!(1024)),
            (format!("{role}/requestsPerMinute"), json!(20)),
            (format!("{role}/models"), json!(["claude-*"])),
            (
                format!("{role}/models"),
                json!(["claude-haiku-*", "claude-opus-5"]),
            ),
            (format!("{grant}/expiresAt"), json!("2028-01-01T00:00:00Z")),
            ("/workspace/requestsPerMinute".into(), json!(200)),
            ("/workspace/models".into(), json!(null)),
            ("/blocked".into(), json!([])),
            (
                "/subjects/00000000000000000000000000000003".into(),
                json!({"grants": []}),
            ),
        ] {
            assert_eq!(both_ways(&pointer, value), (false, true), "{pointer}");
        }
    }

    #[test]
    fn what_takes_away_narrows() {
        let subject = "/subjects/00000000000000000000000000000002";
        for (pointer, value) in [
            ("/workspace/state".into(), json!("Disabled")),
            ("/workspace/issuers".into(), json!([])),
            ("/workspace/defaultKey".into(), json!(null)),
            (format!("{subject}/grants"), json!([])),
            (
                format!("{subject}/grants/0/notBefore"),
                json!("2026-12-01T00:00:00Z"),
            ),
            (
                format!("{subject}/grants/0/role"),
                json!("0000000000000009"),
            ),
            ("/keys/00000000000000aa/fingerprint".into(), json!(null)),
        ] {
            assert_eq!(both_ways(&pointer, value), (true, false), "{pointer}");
        }
        let replaced = json!("ffffffffffffffff");
        assert_eq!(
            both_ways("/keys/00000000000000aa/fingerprint", replaced),
            (true, true),
            "nobody knows why a key was replaced"
        );
        let named = |key: &str| {
            let row = json!({"grants": [], "key": key});
            both_ways("/subjects/00000000000000000000000000000003", row)
        };
        assert_eq!(named("00000000000000aa"), (false, true));
        assert_eq!(
            named("00000000000000bb"),
            (true, true),
            "one that may not be used is chosen all the same"
        );
    }

    #[test]
    fn the_same_access_by_another_role_or_binding_is_kept() {
        let mut after = policy();
        let role = after["roles"]["0000000000000001"].clone();
        after["roles"] = json!({"0000000000000002": role});
        after["subjects"]["00000000000000000000000000000002"]["grants"] =
            json!([{"role": "0000000000000002", "binding": "claude/others"}]);
        assert!(!narrows(&parsed(policy()), &parsed(after)));
    }
}

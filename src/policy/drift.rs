//! Whether a policy that was rendered is what its specs give. Client keys in Secrets that were
//! not read have other ids there than here: something stands in for them.
//! Must not know where either comes from.

use std::collections::{BTreeSet, HashMap};

use super::subject::{SubjectId, SubjectRef};
use super::table::{Policy, SubjectRow};

/// Whether `rendered` says what `expected` says, whose ids stand for `names`.
pub fn is_rendered(
    expected: &Policy,
    names: &HashMap<SubjectId, SubjectRef>,
    rendered: &Policy,
) -> bool {
    let Policy {
        workspace,
        roles,
        keys,
        blocked,
        subjects,
    } = expected;
    let stands_in =
        |id: &&SubjectId| matches!(names.get(*id), Some(SubjectRef::ClientKeySecret(_)));
    let unread = subjects.keys().chain(blocked).any(|id| stands_in(&id));
    if !unread {
        return expected == rendered;
    }
    let known_rows = subjects.iter().filter(|(id, _)| !stands_in(id));
    let known_rows_same = known_rows
        .clone()
        .all(|(id, row)| rendered.subjects.get(id) == Some(row));
    // Every other row must be that of a client key, and every client key must have one.
    let others = rendered.subjects.iter();
    let others = others.filter(|(id, _)| !subjects.contains_key(*id));
    let others: Vec<&SubjectRow> = others.map(|(_, row)| row).collect();
    let assumed = subjects.iter().filter(|(id, _)| stands_in(id));
    let assumed: Vec<&SubjectRow> = assumed.map(|(_, row)| row).collect();
    let matched = others.iter().all(|row| assumed.contains(row))
        && assumed.iter().all(|row| others.contains(row));
    let known_blocked: BTreeSet<&SubjectId> = blocked.iter().filter(|id| !stands_in(id)).collect();
    let blocks_client_keys = known_blocked.len() < blocked.len();
    let blocked_same = match blocks_client_keys {
        true => known_blocked
            .iter()
            .all(|id| rendered.blocked.contains(*id)),
        false => *blocked == rendered.blocked,
    };
    (workspace, roles, keys) == (&rendered.workspace, &rendered.roles, &rendered.keys)
        && known_rows_same
        && matched
        && blocked_same
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ROLE: &str = "00000000000000aa";

    /// A policy in which these subjects hold a role from these bindings.
    fn policy(subjects: &[(SubjectId, &str)], blocked: &[SubjectId]) -> Policy {
        let row = |binding: &str| json!({"grants": [{"role": ROLE, "binding": binding}]});
        let rows = subjects.iter().map(|(id, b)| (id.to_string(), row(b)));
        let policy = json!({
            "workspace": {
                "namespace": "claude", "name": "w", "state": "Enabled", "defaultMaxTokens": 1,
                "issuers": [],
            },
            "roles": {ROLE: {"name": "user"}},
            "keys": {},
            "blocked": blocked,
            "subjects": rows.collect::<serde_json::Map<_, _>>(),
        });
        serde_json::from_value(policy).expect("a policy")
    }

    fn id(text: &str) -> SubjectId {
        SubjectId::of(text.as_bytes())
    }

    #[test]
    fn without_client_keys_only_the_same_policy_is_rendered() {
        let names = HashMap::new();
        let one = policy(&[(id("a"), "n/b")], &[]);
        assert!(is_rendered(&one, &names, &one.clone()));
        assert!(!is_rendered(
            &one,
            &names,
            &policy(&[(id("a"), "n/c")], &[])
        ));
        assert!(!is_rendered(&one, &names, &policy(&[], &[])));
        assert!(!is_rendered(
            &one,
            &names,
            &policy(&[(id("a"), "n/b")], &[id("a")])
        ));
    }

    #[test]
    fn client_keys_that_were_not_read_are_known_by_their_rows() {
        let secret = SubjectRef::parse("clientkey:claude/batch").expect("a subject");
        let names = HashMap::from([(id("stands in"), secret)]);
        let expected = policy(&[(id("a"), "n/b"), (id("stands in"), "n/keys")], &[]);
        let rendered = |subjects: &[(SubjectId, &str)], blocked: &[SubjectId]| {
            is_rendered(&expected, &names, &policy(subjects, blocked))
        };
        let a = (id("a"), "n/b");
        assert!(rendered(
            &[a, (id("k1"), "n/keys"), (id("k2"), "n/keys")],
            &[]
        ));
        assert!(!rendered(&[a], &[]), "none of them is there");
        assert!(!rendered(&[a, (id("k1"), "n/other")], &[]));
        assert!(
            !rendered(&[(id("k1"), "n/keys")], &[]),
            "somebody else is missing"
        );
        assert!(!rendered(&[a, (id("k1"), "n/keys")], &[id("a")]));
    }
}

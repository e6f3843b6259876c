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

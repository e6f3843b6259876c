//! The files that the Lua reads: a row a line, cells between tabs, sorted, and a last line that
//! shows the file to be whole.
//! Must not leave out or add anything that decides.

use std::fmt::Write;

use super::Inputs;
use crate::gateway::shards::{shard_count, shard_of};
use crate::policy::digest::ContentId;
use crate::policy::key::Scope;
use crate::policy::model::ModelSet;
use crate::policy::subject::SubjectId;
use crate::policy::table::{GrantRow, IssuerType, Policy, SubjectRow, WorkspaceState};

/// Layout of both files; the Lua reads no other.
const VERSION: &str = "1";
/// The last line.
const END: &str = "end\n";

/// The rows of some subjects.
pub struct Shard {
    /// Digest of the rows: the policy says which it was written with.
    pub id: ContentId,
    /// The file.
    pub text: String,
}

/// `policy.tsv`: all but the subjects.
pub fn policy(inputs: &Inputs<'_>, subjects: &[Shard]) -> String {
    let Policy {
        workspace,
        roles,
        keys,
        blocked,
        subjects: _,
    } = inputs.policy;
    let mut text = String::new();
    row(
        &mut text,
        &["policy", VERSION, &inputs.revision.to_string()],
    );
    let state = match workspace.state {
        WorkspaceState::Enabled => "Enabled",
        WorkspaceState::Disabled => "Disabled",
    };
    let default_key = workspace.default_key.map(|id| id.to_string());
    row(
        &mut text,
        &[
            "workspace",
            &format!("{}/{}", workspace.namespace, workspace.name),
            state,
            &workspace.default_max_tokens.get().to_string(),
            workspace.workspace_id.as_deref().unwrap_or_default(),
            default_key.as_deref().unwrap_or_default(),
        ],
    );
    if let Some(models) = &workspace.models {
        row(&mut text, &["models", &patterns(models)]);
    }
    for issuer in &workspace.issuers {
        let kind = match issuer.kind {
            IssuerType::Kubernetes => "Kubernetes",
            IssuerType::Oidc => "OIDC",
        };
        let mut cells = vec![
            "issuer",
            &issuer.name,
            kind,
            issuer.issuer_url.as_deref().unwrap_or_default(),
            issuer.user_claim.as_deref().unwrap_or("sub"),
            issuer.groups_claim.as_deref().unwrap_or_default(),
        ];
        cells.extend(issuer.audiences.iter().map(|audience| &**audience));
        row(&mut text, &cells);
    }
    for (id, role) in roles {
        let id = id.to_string();
        match &role.access {
            None => row(&mut text, &["role", &id, &role.name]),
            Some(access) => row(
                &mut text,
                &[
                    "role",
                    &id,
                    &role.name,
                    &access.max_tokens.get().to_string(),
                    &access.requests_per_minute.get().to_string(),
                    &patterns(&access.models),
                ],
            ),
        }
    }
    for (id, key) in keys {
        let scope = match key.scope {
            Scope::Workspace => "Workspace",
            Scope::Organization => "Organization",
        };
        // The version is no part of it, so that a rotation is a change of the Secret alone.
        let usable = if key.fingerprint.is_some() {
            "usable"
        } else {
            "unusable"
        };
        let id = id.to_string();
        row(&mut text, &["key", &id, &key.api_key_ref, scope, usable]);
    }
    for id in blocked {
        row(&mut text, &["blocked", &id.to_string()]);
    }
    let count = subjects.len().to_string();
    let ids: Vec<String> = subjects.iter().map(|shard| shard.id.to_string()).collect();
    let mut cells = vec!["shards", count.as_str()];
    cells.extend(ids.iter().map(String::as_str));
    row(&mut text, &cells);
    text.push_str(END);
    text
}

/// `subjects-NN.tsv`: as few shards as keep each within an object, by the first bits of the id.
pub fn subjects(policy: &Policy) -> Vec<Shard> {
    let mut rows: Vec<(SubjectId, String)> = policy
        .subjects
        .iter()
        .map(|(id, row)| (*id, subject(id, row)))
        .collect();
    rows.sort_unstable_by_key(|(id, _)| *id);
    let count = shard_count(rows.iter().map(|(id, row)| (id, row.len())));
    let mut shards = vec![String::new(); count];
    for (id, row) in &rows {
        shards[shard_of(id, count)].push_str(row);
    }
    let shards = shards.into_iter().map(|rows| {
        let id = ContentId::of(rows.as_bytes());
        let text = format!("subjects\t{VERSION}\t{id}\n{rows}{END}");
        Shard { id, text }
    });
    shards.collect()
}

fn subject(id: &SubjectId, subject: &SubjectRow) -> String {
    let key = subject.key.map(|id| id.to_string());
    let mut text = format!("{id}\t{}", key.as_deref().unwrap_or("-"));
    for grant in &subject.grants {
        let GrantRow {
            role,
            binding,
            not_before,
            expires_at,
        } = grant;
        // A part of a millisecond never makes a window wider.
        let from = not_before.map(|at| -(-at.as_nanosecond()).div_euclid(1_000_000));
        let to = expires_at.map(|at| at.as_nanosecond().div_euclid(1_000_000));
        let time = |at: Option<i128>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        let _ = write!(text, "\t{role} {} {} {binding}", time(from), time(to));
    }
    text.push('\n');
    text
}

fn patterns(models: &ModelSet) -> String {
    let all: Vec<String> = models.iter().map(ToString::to_string).collect();
    all.join(" ")
}

/// A row. Names have no control characters by the time they are in a policy; a row with one
/// would say something else, so it is left out, which opens nothing.
fn row(text: &mut String, cells: &[&str]) {
    if cells.iter().all(|cell| !cell.contains(['\t', '\n', '\r'])) {
        text.push_str(&cells.join("\t"));
        text.push('\n');
    }
}

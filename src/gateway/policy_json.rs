//! `policy.json`: the resolved policy as every gateway, and anyone else, can read it. One line
//! a row, so that a change of one subject is a change of one line. Past one object's size the
//! subjects move into shards by the first bits of their id.
//! Must not leave out or add anything that decides.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::shards::{shard_count, shard_of};
use crate::policy::digest::ContentId;
use crate::policy::subject::SubjectId;
use crate::policy::table::{KeyRow, Policy, RoleRow, SubjectRow, WorkspaceRow};

/// Name of the file.
pub const FILE: &str = "policy.json";
/// Version of its layout; a change that an older reader would misread gets a new one.
pub const VERSION: &str = "v1";
/// Most bytes of `policy.json`: what a ConfigMap may hold, less what describes it.
const OBJECT_BYTES: usize = 960 * 1024;

/// The files of a policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rendered {
    /// First 16 hex digits of a SHA-256 over the whole policy, shards included.
    pub revision: ContentId,
    /// `policy.json`.
    pub policy: String,
    /// `subjects-NN.json` in order; none while the subjects fit into `policy.json`.
    pub shards: Vec<String>,
}

/// The layout of `policy.json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "operator", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Document {
    /// Always `v1`.
    pub version: String,
    /// First 16 hex digits of a SHA-256 over the whole policy; gateways log it.
    pub revision: ContentId,
    /// The workspace's own settings.
    pub workspace: WorkspaceRow,
    /// Roles by content id: an id that is not here opens nothing.
    pub roles: BTreeMap<ContentId, RoleRow>,
    /// API keys by content id: an id that is not here is no key.
    pub keys: BTreeMap<ContentId, KeyRow>,
    /// Subject ids that are denied whatever else is said of them.
    pub blocked: BTreeSet<SubjectId>,
    /// How many `subjects-NN.json` there are, a power of two: subject `id` is in the one
    /// numbered by the first bits of its first byte. 0 is none: all are in `subjects`.
    pub subject_shards: usize,
    /// Subjects by id: one that is neither here nor in its shard has no role.
    pub subjects: BTreeMap<SubjectId, SubjectRow>,
}

/// Why a text is not a policy.
#[derive(Debug, thiserror::Error)]
pub enum NotAPolicy {
    #[error("not a policy.json: {0}")]
    Json(#[from] serde_json::Error),
    #[error("policy.json has version '{0}', this release reads {VERSION}")]
    Version(String),
    #[error("policy.json names {0} shards, but {1} were given")]
    Shards(usize, usize),
}

/// Renders a policy.
pub fn render(policy: &Policy) -> Rendered {
    let Policy {
        workspace,
        roles,
        keys,
        blocked,
        subjects,
    } = policy;
    let mut settings = String::new();
    let _ = writeln!(settings, "  \"workspace\": {},", json(workspace));
    rows(&mut settings, "roles", roles);
    rows(&mut settings, "keys", keys);
    let _ = writeln!(settings, "  \"blocked\": {},", json(blocked));
    let mut lines: Vec<(SubjectId, String)> = subjects
        .iter()
        .map(|(id, row)| (*id, format!("\"{id}\": {}", json(row))))
        .collect();
    lines.sort_unstable_by_key(|(id, _)| *id);
    let mut whole = settings.clone();
    lines.iter().for_each(|(_, line)| whole.push_str(line));
    let revision = ContentId::of(whole.as_bytes());

    let shards = shards(&lines, OBJECT_BYTES.saturating_sub(settings.len()));
    let inline = if shards.is_empty() {
        lines.as_slice()
    } else {
        &[]
    };
    let mut text =
        format!("{{\n  \"version\": \"{VERSION}\",\n  \"revision\": \"{revision}\",\n{settings}");
    let _ = write!(
        text,
        "  \"subjectShards\": {},\n  \"subjects\": ",
        shards.len()
    );
    text.push_str(&object(inline.iter().map(|(_, line)| line), "    ", "  "));
    text.push_str("\n}\n");
    Rendered {
        revision,
        policy: text,
        shards,
    }
}

/// Reads `policy.json` and its shards back.
///
/// # Errors
/// When any of them is not what [`render`] writes.
pub fn parse(policy: &str, shards: &[&str]) -> Result<(ContentId, Policy), NotAPolicy> {
    let document: Document = serde_json::from_str(policy)?;
    if document.version != VERSION {
        return Err(NotAPolicy::Version(document.version));
    }
    if document.subject_shards != shards.len() {
        return Err(NotAPolicy::Shards(document.subject_shards, shards.len()));
    }
    let mut subjects = document.subjects;
    for shard in shards {
        subjects.extend(serde_json::from_str::<BTreeMap<SubjectId, SubjectRow>>(
            shard,
        )?);
    }
    let policy = Policy {
        workspace: document.workspace,
        roles: document.roles,
        keys: document.keys,
        blocked: document.blocked,
        subjects: subjects.into_iter().collect(),
    };
    Ok((document.revision, policy))
}

/// The JSON schema of `policy.json`, for whoever reads it.
#[cfg(feature = "operator")]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Document).to_value()
}

/// The shards, unless all subjects have `room` beside the rest.
fn shards(lines: &[(SubjectId, String)], room: usize) -> Vec<String> {
    let sizes = lines
        .iter()
        .map(|(id, line)| (id, line.len() + "  ,\n".len()));
    let count = shard_count(sizes.clone());
    if count == 1 && sizes.map(|(_, bytes)| bytes).sum::<usize>() <= room {
        return Vec::new();
    }
    // A single shard beside `policy.json` would be one more file for nothing.
    let count = count.max(2);
    (0..count)
        .map(|shard| {
            let own = lines.iter().filter(|(id, _)| shard_of(id, count) == shard);
            let mut text = object(own.map(|(_, line)| line), "  ", "");
            text.push('\n');
            text
        })
        .collect()
}

fn rows<V: Serialize>(text: &mut String, name: &str, rows: &BTreeMap<ContentId, V>) {
    let lines: Vec<String> = rows
        .iter()
        .map(|(id, row)| format!("\"{id}\": {}", json(row)))
        .collect();
    let _ = writeln!(
        text,
        "  \"{name}\": {},",
        object(lines.iter(), "    ", "  ")
    );
}

/// A JSON object with one member a line.
fn object<'a>(lines: impl Iterator<Item = &'a String>, indent: &str, closing: &str) -> String {
    let mut text = String::from("{");
    for (i, line) in lines.enumerate() {
        text.push_str(if i == 0 { "\n" } else { ",\n" });
        text.push_str(indent);
        text.push_str(line);
    }
    if text.len() > 1 {
        text.push('\n');
        text.push_str(closing);
    }
    text.push('}');
    text
}

pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("rows are plain data with text keys")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::shards::{MAX_SHARDS, SHARD_BYTES};
    use crate::policy::limits::DEFAULT_MAX_TOKENS;
    use crate::policy::name::Name;
    use crate::policy::table::{GrantRow, WorkspaceState};

    fn policy(subjects: usize) -> Policy {
        let role = RoleRow {
            name: "user".into(),
            access: None,
        };
        let grant = |i: usize| GrantRow {
            role: role.id(),
            binding: Name::from(format!("search/binding-{i}")),
            not_before: None,
            expires_at: "2027-01-01T00:00:00Z".parse().ok(),
        };
        let row = |i: usize| {
            (
                SubjectId::of(&i.to_le_bytes()),
                SubjectRow {
                    grants: vec![grant(i)],
                    key: None,
                },
            )
        };
        Policy {
            workspace: WorkspaceRow {
                namespace: "claude".into(),
                name: "production".into(),
                environment: None,
                workspace_id: None,
                state: WorkspaceState::Enabled,
                models: None,
                requests_per_minute: None,
                default_max_tokens: DEFAULT_MAX_TOKENS,
                default_key: None,
                issuers: Vec::new(),
            },
            roles: BTreeMap::from([(role.id(), role.clone())]),
            keys: BTreeMap::new(),
            blocked: BTreeSet::new(),
            subjects: (0..subjects).map(row).collect(),
        }
    }

    #[test]
    fn what_is_rendered_reads_back_the_same() {
        for subjects in [0, 1, 20_000] {
            let policy = policy(subjects);
            let rendered = render(&policy);
            let shards: Vec<&str> = rendered.shards.iter().map(String::as_str).collect();
            let (revision, read) = parse(&rendered.policy, &shards).expect("our own");
            assert_eq!((revision, read), (rendered.revision, policy));
        }
    }

    #[test]
    fn subjects_past_one_object_move_into_shards_that_fit() {
        let small = render(&policy(100));
        assert!(small.shards.is_empty() && small.policy.len() < SHARD_BYTES);
        let large = render(&policy(20_000));
        assert!(large.shards.len().is_power_of_two() && large.shards.len() <= MAX_SHARDS);
        assert!(
            large
                .shards
                .iter()
                .all(|shard| shard.len() <= SHARD_BYTES + 8)
        );
        assert!(
            large.policy.len() < 4096,
            "no subject is left in policy.json"
        );
    }

    #[test]
    fn one_more_subject_changes_one_shard() {
        let (before, after) = (render(&policy(20_000)), render(&policy(20_001)));
        let changed = before
            .shards
            .iter()
            .zip(&after.shards)
            .filter(|(a, b)| a != b)
            .count();
        assert_eq!((changed, before.revision == after.revision), (1, false));
    }

    #[test]
    fn a_policy_of_another_layout_is_refused() {
        let text = render(&policy(1)).policy;
        let newer = text.replace("\"version\": \"v1\"", "\"version\": \"v2\"");
        assert!(matches!(parse(&newer, &[]), Err(NotAPolicy::Version(_))));
        assert!(matches!(
            parse(&text, &["{}"]),
            Err(NotAPolicy::Shards(0, 1))
        ));
        let more = text.replace("\"blocked\"", "\"allowAll\": true,\n  \"blocked\"");
        assert!(matches!(parse(&more, &[]), Err(NotAPolicy::Json(_))));
    }
}

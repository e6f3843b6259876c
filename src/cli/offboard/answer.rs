//! What is to be done, as programs and as people read it. Must not judge.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::layout::{columns, hanging};
use crate::cli::screen::{BAD, GOOD, count, styled};
use crate::cli::source::{Place, Source};
use crate::facts::Snapshot;
use crate::policy::finding::Kind;
use crate::policy::name::NamespacedName;
use crate::policy::offboard::{Attached, Block, GroupBinding, KeyOf, NamedBy, Offboarding};
use crate::policy::subject::{Subject, SubjectRef};

/// All that is to be done. All members are always there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    subject: String,
    /// Where it is blocked, or to be blocked.
    pub blocks: Vec<ToBlock>,
    bindings: Vec<Named>,
    groups: Vec<InGroup>,
    keys: Vec<Key>,
    console: Vec<Named>,
    #[serde(skip)]
    issuer: Option<String>,
    #[serde(skip)]
    entry: Value,
}

/// A block in one workspace.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToBlock {
    /// The Workspace.
    pub workspace: String,
    #[serde(flatten)]
    place: Place,
    /// Whether it is there already.
    pub already: bool,
    /// What blocks it at once.
    command: Option<String>,
    /// The same for manifests: the field as it is to be.
    blocked_subjects: Vec<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    binding: String,
    #[serde(flatten)]
    place: Place,
    workspace: String,
    role: String,
    /// Whether it names nobody else.
    alone: bool,
    edit: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InGroup {
    group: String,
    binding: String,
    #[serde(flatten)]
    place: Place,
    workspace: String,
    role: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    api_key_ref: String,
    #[serde(flatten)]
    place: Place,
    workspace: String,
    /// Whether nobody else uses it.
    alone: bool,
    /// Anthropic's ids of its versions.
    key_ids: Vec<String>,
    /// The Secret it is mapped into.
    target: Option<String>,
    edit: String,
}

/// A subject as `blockedSubjects` has it.
pub fn entry(subject: &SubjectRef) -> Value {
    match subject {
        SubjectRef::Known(Subject::ServiceAccount(account)) => json!({
            "kind": "ServiceAccount", "name": *account.name, "namespace": *account.namespace,
        }),
        SubjectRef::Known(Subject::User { issuer, name }) => {
            json!({"kind": "User", "name": **name, "issuer": **issuer})
        }
        SubjectRef::Known(Subject::Group { issuer, name }) => {
            json!({"kind": "Group", "name": **name, "issuer": **issuer})
        }
        SubjectRef::Known(Subject::ClientKey(digest)) => {
            json!({"kind": "ClientKey", "sha256": [digest.to_string()]})
        }
        SubjectRef::ClientKeySecret(secret) => json!({
            "kind": "ClientKey", "name": *secret.name, "namespace": *secret.namespace,
        }),
    }
}

// === impl Answer ===

impl Answer {
    /// Nothing yet.
    pub fn new(subject: &SubjectRef) -> Self {
        let issuer = match subject {
            SubjectRef::Known(Subject::User { issuer, .. }) => Some(issuer.to_string()),
            SubjectRef::Known(_) | SubjectRef::ClientKeySecret(_) => None,
        };
        Self {
            subject: subject.to_string(),
            blocks: Vec::new(),
            bindings: Vec::new(),
            groups: Vec::new(),
            keys: Vec::new(),
            console: Vec::new(),
            issuer,
            entry: entry(subject),
        }
    }

    /// Adds what is to be done in one workspace.
    pub fn add(
        &mut self,
        source: &Source,
        snapshot: &Snapshot,
        attached: &Attached<'_>,
        found: &Offboarding<'_>,
    ) {
        let workspace = snapshot.name.to_string();
        let blocked = attached.workspace.map(|workspace| &workspace.blocked);
        let blocked: Vec<Value> = blocked.into_iter().flatten().map(entry).collect();
        if found.block != Block::NotNeeded {
            let already = found.block == Block::Already;
            let command = (!already).then(|| self.command(&snapshot.name, blocked.is_empty()));
            let added = (!already).then(|| self.entry.clone());
            self.blocks.push(ToBlock {
                workspace: workspace.clone(),
                place: source.place(Kind::Workspace, &snapshot.name),
                already,
                command,
                blocked_subjects: blocked.into_iter().chain(added).collect(),
            });
        }
        let named = |by: &NamedBy<'_>| Named {
            binding: by.binding.to_string(),
            place: source.place(Kind::RoleBinding, by.binding),
            workspace: workspace.clone(),
            role: by.role.to_string(),
            alone: by.alone,
            edit: match by.alone {
                true => "delete the RoleBinding: it names nobody else".to_owned(),
                false => "remove it from spec.subjects".to_owned(),
            },
        };
        self.bindings.extend(found.bindings.iter().map(named));
        self.console.extend(found.console.iter().map(named));
        let group = |group: &GroupBinding<'_>| InGroup {
            group: group.group.to_string(),
            binding: group.binding.to_string(),
            place: source.place(Kind::RoleBinding, group.binding),
            workspace: workspace.clone(),
            role: group.role.to_string(),
        };
        self.groups.extend(found.groups.iter().map(group));
        for key in &found.keys {
            let key_ids = key_ids(snapshot, key);
            self.keys.push(Key {
                api_key_ref: key.name.to_string(),
                place: source.place(Kind::ApiKeyRef, key.name),
                workspace: workspace.clone(),
                alone: key.alone,
                edit: edit_of(key, &key_ids),
                key_ids,
                target: key
                    .target
                    .map(|secret| format!("{}/{secret}", key.name.namespace)),
            });
        }
    }

    /// One more subject on the list, whatever else is on it by then.
    fn command(&self, workspace: &NamespacedName, is_first: bool) -> String {
        let (kind, patch) = match is_first {
            true => (
                "merge",
                json!({"spec": {"blockedSubjects": [self.entry]}}).to_string(),
            ),
            false => (
                "json",
                json!([{"op": "add", "path": "/spec/blockedSubjects/-", "value": self.entry}])
                    .to_string(),
            ),
        };
        // The one character that would end the shell's quotes.
        let patch = patch.replace('\'', "\\u0027");
        format!(
            "kubectl patch workspaces.anthropic-rbac.io {} -n {} --type={kind} -p '{patch}'",
            workspace.name, workspace.namespace
        )
    }

    /// On a terminal.
    pub fn text(&self, is_applied: bool) -> String {
        let about = match is_applied {
            true => "it is blocked once this is printed; the rest is yours",
            false => "nothing is changed by this",
        };
        let mut text = format!("Offboarding {}: {about}\n", styled(BAD, &self.subject));
        if self.blocks.is_empty() && self.bindings.is_empty() && self.keys.is_empty() {
            text.push_str("\nNo workspace names it or could let it in.\n");
        }
        let named = [&self.bindings, &self.console]
            .iter()
            .any(|named| !named.is_empty());
        if !self.blocks.is_empty() && !named && self.keys.is_empty() {
            text.push_str("\nNothing names it: check its spelling.\n");
        }
        self.blocks(&mut text);
        section(
            &mut text,
            "Take it out of what names it",
            ["BINDING", "ROLE", "WORKSPACE", "EDIT"],
            self.bindings.iter().map(Named::row),
        );
        let issuer = self.issuer.as_deref().unwrap_or_default();
        section(
            &mut text,
            &format!("Groups that may include it: only issuer '{issuer}' knows, take it out there"),
            ["GROUP", "ROLE", "WORKSPACE", "BINDING"],
            self.groups.iter().map(InGroup::row),
        );
        section(
            &mut text,
            "Keys that name it",
            ["KEY", "WORKSPACE", "DO"],
            self.keys.iter().map(Key::row),
        );
        section(
            &mut text,
            "Console: remove the person in Console > Members, too",
            ["BINDING", "ROLE", "WORKSPACE", "EDIT"],
            self.console.iter().map(Named::row),
        );
        text
    }

    fn blocks(&self, text: &mut String) {
        if self.blocks.is_empty() {
            return;
        }
        let _ = writeln!(
            text,
            "\n{}",
            styled(GOOD, "Block it: that beats every grant, at once")
        );
        for block in &self.blocks {
            let place = block.place.text();
            let place = place.map(|place| format!(" ({place})")).unwrap_or_default();
            let _ = writeln!(text, "  {}{place}", block.workspace);
            match &block.command {
                None => text.push_str("    it is blocked there already\n"),
                Some(command) => {
                    let _ = writeln!(text, "    {command}");
                    let field = json!({"spec": {"blockedSubjects": block.blocked_subjects}});
                    let yaml = serde_saphyr::to_string(&field).expect("a field is plain data");
                    text.push_str("    or in Git:\n");
                    for line in yaml.lines() {
                        let _ = writeln!(text, "      {line}");
                    }
                }
            }
        }
    }
}

/// Anthropic's ids of a key's versions, as far as the spec or the status has them.
fn key_ids(snapshot: &Snapshot, key: &KeyOf<'_>) -> Vec<String> {
    let mut facts = snapshot.keys.iter();
    let facts = facts.find(|facts| facts.object.name == *key.name);
    let versions = facts.into_iter().flat_map(|facts| &facts.versions);
    let ids = versions.filter_map(|version| version.key_id.as_ref());
    let mut ids: Vec<String> = key
        .key_id
        .into_iter()
        .chain(ids)
        .map(ToString::to_string)
        .collect();
    ids.sort();
    ids.dedup();
    ids
}

fn edit_of(key: &KeyOf<'_>, ids: &[String]) -> String {
    let ids = match ids {
        [] => "it (its id is not known here: find it by its name)".to_owned(),
        ids => ids.join(", "),
    };
    let target = match key.target {
        Some(secret) => format!(
            "; whoever could read Secret {}/{secret} may have kept it",
            key.name.namespace
        ),
        None => String::new(),
    };
    match key.alone {
        true => format!(
            "nobody else uses it: 'anthropic-rbac revoke {}', then disable {ids} at Anthropic{target}",
            key.name
        ),
        false => format!("others use it: remove the subject from spec.usedBy{target}"),
    }
}

fn section<const N: usize>(
    text: &mut String,
    title: &str,
    headings: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) {
    let rows: Vec<[String; N]> = rows.collect();
    if rows.is_empty() {
        return;
    }
    let title = format!("{title} ({})", count(rows.len(), "object"));
    let _ = writeln!(text, "\n{}", styled(GOOD, hanging(&title, 0)));
    text.push_str(&columns(headings, &rows));
}

fn with_place(name: &str, place: &Place) -> String {
    let place = place.text().map(|place| format!("\n{place}"));
    format!("{name}{}", place.unwrap_or_default())
}

// === impl Named ===

impl Named {
    fn row(&self) -> [String; 4] {
        [
            with_place(&self.binding, &self.place),
            self.role.clone(),
            self.workspace.clone(),
            self.edit.clone(),
        ]
    }
}

// === impl InGroup ===

impl InGroup {
    fn row(&self) -> [String; 4] {
        [
            self.group.clone(),
            self.role.clone(),
            self.workspace.clone(),
            with_place(&self.binding, &self.place),
        ]
    }
}

// === impl Key ===

impl Key {
    fn row(&self) -> [String; 3] {
        [
            with_place(&self.api_key_ref, &self.place),
            self.workspace.clone(),
            self.edit.clone(),
        ]
    }
}

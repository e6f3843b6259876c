//! What a revocation leads to: the plan as it is, beside the plan as it will be.
//! Must not know what taking a key away means: it compares two plans.

use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::change::Change;
use crate::cli::failure::Failure;
use crate::cli::source::Source;
use crate::facts::{KeyRefFacts, OutputId, Snapshot};
use crate::plan::output::{Content, Plan};
use crate::plan::plan;
use crate::policy::digest::ContentId;
use crate::policy::name::{Name, NamespacedName};
use crate::policy::subject::SubjectRef;

/// What it leads to.
pub struct Consequences {
    workspace: NamespacedName,
    /// Data keys of Secrets that lose their value.
    emptied: Vec<(OutputId, Name)>,
    /// Whether the gateway could send requests with it and no longer can.
    unusable: bool,
    /// Who is named for it.
    subjects: Vec<String>,
    /// Whether it also serves whoever is not named for any key.
    is_default: bool,
    key_id: Option<Name>,
    spec: Value,
}

// === impl Consequences ===

impl Consequences {
    /// Compares.
    ///
    /// # Errors
    /// When the key is not among what is known, or not understood.
    pub fn of(
        source: &Source,
        name: &NamespacedName,
        change: &Change,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        for workspace in source.workspaces() {
            let (snapshot, _) = source.snapshot(&workspace, now)?;
            if snapshot.keys.iter().any(|key| key.object.name == *name) {
                return Self::in_workspace(snapshot, name, change);
            }
        }
        Err(Failure::BadInput(format!("there is no ApiKeyRef {name}")))
    }

    fn in_workspace(
        mut snapshot: Snapshot,
        name: &NamespacedName,
        change: &Change,
    ) -> Result<Self, Failure> {
        let before = plan(&snapshot);
        let keys = &mut snapshot.keys;
        let Some(facts) = keys.iter_mut().find(|key| key.object.name == *name) else {
            return Err(Failure::BadInput(format!("there is no ApiKeyRef {name}")));
        };
        let facts: &mut KeyRefFacts = Arc::make_mut(facts);
        let key = facts.object.spec.as_mut().map_err(|invalid| {
            Failure::BadInput(format!("ApiKeyRef {name} is not understood: {invalid}"))
        })?;
        let revoked: Vec<String> = key
            .revoked_fingerprints
            .iter()
            .map(ToString::to_string)
            .collect();
        let mut spec = json!({"state": if key.revoked { "Revoked" } else { "Active" }});
        if !revoked.is_empty() {
            spec["revokedFingerprints"] = json!(revoked);
        }
        let (used_by, key_id) = (key.used_by.clone(), key.key_id.clone());
        match change.version {
            None => key.revoked = true,
            Some(version) => drop(key.revoked_fingerprints.insert(version)),
        }
        let after = plan(&snapshot);
        let id = usable(&before, name);
        let unusable = id.is_some() && usable(&after, name).is_none();
        let policy = before
            .resolution
            .as_ref()
            .map(|resolution| &resolution.policy);
        let served = |subject: &&SubjectRef| match (subject, policy) {
            (SubjectRef::Known(subject), Some(policy)) => {
                let row = policy.subjects.get(&subject.id());
                row.is_some_and(|row| row.key == id && !row.grants.is_empty())
            }
            // Its keys are not known here.
            (SubjectRef::ClientKeySecret(_), Some(_)) => true,
            (_, None) => false,
        };
        let is_default =
            policy.is_some_and(|policy| id.is_some() && policy.workspace.default_key == id);
        Ok(Self {
            workspace: snapshot.name.clone(),
            emptied: emptied(&before, &after),
            unusable,
            subjects: used_by
                .iter()
                .filter(served)
                .map(ToString::to_string)
                .collect(),
            is_default,
            key_id,
            spec,
        })
    }

    /// The fields of the spec that a revocation is about.
    pub fn spec(&self) -> &Value {
        &self.spec
    }

    /// Anthropic's id of the key, as the spec has it.
    pub fn key_id(&self) -> Option<String> {
        self.key_id.as_ref().map(ToString::to_string)
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (id, key) in &self.emptied {
            let _ = writeln!(text, "  - {id} loses its value of {key}");
        }
        if self.emptied.is_empty() {
            let _ = writeln!(text, "  - no Secret loses a value");
        }
        if !self.unusable {
            let _ = writeln!(text, "  - no gateway loses it");
            return text;
        }
        let workspace = &self.workspace;
        let _ = writeln!(
            text,
            "  - gateways of Workspace {workspace} send nothing with it any more"
        );
        for subject in &self.subjects {
            let _ = writeln!(text, "  - {subject} is denied from then on");
        }
        if self.is_default {
            let _ = writeln!(
                text,
                "  - whoever has no key of their own is denied: it is the default"
            );
        }
        text
    }
}

impl Serialize for Consequences {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let emptied = self.emptied.iter().map(|(id, key)| {
            json!({
                "namespace": *id.name.namespace, "secret": *id.name.name, "key": **key,
            })
        });
        let consequences = json!({
            "workspace": self.workspace.to_string(),
            "emptied": emptied.collect::<Vec<_>>(),
            "gatewaysLoseIt": self.unusable,
            "denied": if self.unusable { &*self.subjects } else { &[] },
            "isDefault": self.unusable && self.is_default,
        });
        consequences.serialize(serializer)
    }
}

/// The id of the key in the policy, while the gateway may send requests with it.
fn usable(plan: &Plan, name: &NamespacedName) -> Option<ContentId> {
    let name = name.to_string();
    let policy = &plan.resolution.as_ref()?.policy;
    let mut keys = policy.keys.iter();
    let (id, _) = keys.find(|(_, row)| *row.api_key_ref == *name && row.fingerprint.is_some())?;
    Some(*id)
}

/// Values that are there in the one plan and not in the other.
fn emptied(before: &Plan, after: &Plan) -> Vec<(OutputId, Name)> {
    let holds = |content: &Content| match content {
        Content::Key(_) | Content::Kept(_) => true,
        Content::Text(_) | Content::Emptied => false,
    };
    let still = |id: &OutputId, key: &Name| {
        let output = after.outputs.iter().find(|output| output.id == *id);
        output.is_some_and(|output| output.data.get(key).is_some_and(holds))
    };
    let values = before.outputs.iter().flat_map(|output| {
        let held = output.data.iter().filter(|(_, content)| holds(content));
        held.map(|(key, _)| (output.id.clone(), key.clone()))
    });
    values.filter(|(id, key)| !still(id, key)).collect()
}

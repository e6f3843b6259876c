//! The objects of a plan: their names, owners, labels and content.
//! Must not decide what a key or subject gets.

use std::collections::{BTreeMap, BTreeSet};

use super::keys::{Settled, Value};
use super::output::{Content, Output, Owner};
use crate::api::metadata::{
    CONTENT_SHA256, KEY_VERSIONS, MANAGED_BY, NAME, RETAINED_BY, WORKSPACE,
};
use crate::facts::{
    KeyMemory, KeyRefFacts, OutputFacts, OutputId, OutputKind, Ownership, Snapshot,
};
use crate::gateway::console;
use crate::gateway::policy_json::{self, Rendered};
use crate::policy::finding::Kind;
use crate::policy::key::{ApiKey, Target};
use crate::policy::name::{Name, NamespacedName};
use crate::policy::resolve::Resolution;

/// Name of the ConfigMap with a workspace's policy.
pub fn policy_name(workspace: &str) -> String {
    format!("{workspace}.policy")
}

/// Name of the ConfigMap with a workspace's wanted Console membership.
pub fn console_name(workspace: &str) -> String {
    format!("{workspace}.console")
}

/// The ConfigMaps of a workspace.
pub fn config_maps(
    snapshot: &Snapshot,
    resolution: &Resolution,
    rendered: &Rendered,
) -> Vec<Output> {
    let NamespacedName {
        namespace,
        name: workspace,
    } = &snapshot.name;
    let owner = Owner::Controller {
        kind: Kind::Workspace,
        name: workspace.clone(),
        uid: snapshot
            .workspace
            .as_ref()
            .and_then(|facts| facts.object.uid.clone()),
    };
    let config_map = |name: String, file: &str, text: &str| {
        let data = BTreeMap::from([(Name::from(file), Content::Text(text.into()))]);
        finished(Output {
            id: OutputId::config_map(namespace.clone(), name),
            owner: owner.clone(),
            labels: labels(workspace),
            annotations: BTreeMap::new(),
            data,
            secret_type: None,
        })
    };
    let mut outputs = vec![config_map(
        policy_name(workspace),
        policy_json::FILE,
        &rendered.policy,
    )];
    for (i, shard) in rendered.shards.iter().enumerate() {
        let name = format!("{workspace}.subjects-{i:02}");
        outputs.push(config_map(name, &format!("subjects-{i:02}.json"), shard));
    }
    if !resolution.console.is_empty() {
        let text = console::render(&snapshot.name, &resolution.console);
        outputs.push(config_map(console_name(workspace), console::FILE, &text));
    }
    outputs
}

/// The target Secret of a key; `None` when it has none, or nothing is to be done with it.
pub fn target(
    snapshot: &Snapshot,
    facts: &KeyRefFacts,
    key: &ApiKey,
    settled: &Settled,
) -> Option<Output> {
    let target = key.target.as_ref()?;
    if settled.unprogrammed.is_some() {
        return None;
    }
    let namespace = &facts.object.name.namespace;
    let id = OutputId::secret(namespace.clone(), target.secret.clone());
    let found = snapshot.outputs.get(&id).map(|found| &**found);
    let content = match &settled.value {
        Value::Use(handle) => Content::Key(handle.clone()),
        // There is nothing to keep or to take away where nothing is.
        Value::Keep => {
            found?;
            Content::Kept
        }
        Value::Empty(_) => {
            found?;
            Content::Emptied
        }
    };
    let mut annotations = BTreeMap::new();
    if let Some(memory) = memory(snapshot, settled, &content, found) {
        let text = serde_json::to_string(&memory).expect("memory is plain data");
        annotations.insert(Name::from(KEY_VERSIONS), Name::from(text));
    }
    Some(finished(Output {
        owner: owner(facts, key, target),
        labels: labels(&snapshot.name.name),
        annotations,
        data: BTreeMap::from([(target.key.clone(), content)]),
        secret_type: None,
        id,
    }))
}

/// Objects of ours that no longer belong: those of this workspace and its keys that `outputs`
/// does not name. What a key leaves behind by wish stays.
pub fn stale(snapshot: &Snapshot, outputs: &[Output]) -> Vec<OutputId> {
    let accepted = snapshot
        .workspace
        .as_ref()
        .is_some_and(|facts| facts.object.spec.is_ok());
    let wanted: BTreeSet<&OutputId> = outputs.iter().map(|output| &output.id).collect();
    let keys = snapshot
        .keys
        .iter()
        .map(|facts| (&facts.object.name, facts));
    let keys: BTreeMap<_, _> = keys.collect();
    let is_target = |id: &OutputId, name: &Name| {
        let owner = keys.get(&NamespacedName::new(
            id.name.namespace.clone(),
            name.clone(),
        ));
        // Of a key that is not understood, nothing can be said to be stale.
        owner.is_none_or(|facts| {
            let spec = facts.object.spec.as_ref().ok();
            spec.is_none_or(|key| {
                key.target
                    .as_ref()
                    .is_some_and(|t| t.secret == id.name.name)
            })
        })
    };
    let stale = snapshot.outputs.iter().filter(|(id, found)| {
        let left_over = match &found.owner {
            Ownership::Controlled {
                kind: Kind::Workspace,
                ..
            } => accepted,
            Ownership::Controlled {
                kind: Kind::ApiKeyRef,
                name,
                ..
            } => id.kind == OutputKind::Secret && !is_target(id, name),
            Ownership::Controlled {
                kind: Kind::RoleBinding,
                ..
            }
            | Ownership::Retained(_)
            | Ownership::Foreign => false,
        };
        left_over && !wanted.contains(id)
    });
    stale.map(|(id, _)| id.clone()).collect()
}

fn owner(facts: &KeyRefFacts, key: &ApiKey, target: &Target) -> Owner {
    let name = facts.object.name.name.clone();
    // What was lent from another namespace is never left behind.
    if target.retain && key.source.namespace == facts.object.name.namespace {
        Owner::Retained(name)
    } else {
        Owner::Controller {
            kind: Kind::ApiKeyRef,
            name,
            uid: facts.object.uid.clone(),
        }
    }
}

/// What the target remembers. While nothing but the source's resourceVersion has moved, it is
/// left as it is: that is not worth a write.
fn memory(
    snapshot: &Snapshot,
    settled: &Settled,
    content: &Content,
    found: Option<&OutputFacts>,
) -> Option<KeyMemory> {
    let before = found.and_then(|found| found.memory.as_deref());
    let memory = match content {
        Content::Key(handle) => {
            let secret = snapshot.secrets.get(&handle.source.secret());
            let (uid, resource_version) = secret.map(|secret| secret.version()).unwrap_or_default();
            KeyMemory {
                source: handle.source.clone(),
                uid,
                resource_version,
                sha256: handle.digest,
                emptied: false,
                versions: settled.versions.clone(),
            }
        }
        Content::Emptied => KeyMemory {
            emptied: true,
            versions: settled.versions.clone(),
            ..before?.clone()
        },
        Content::Kept => KeyMemory {
            versions: settled.versions.clone(),
            ..before?.clone()
        },
        Content::Text(_) => return None,
    };
    let unmoved = before.filter(|before| {
        let dated = KeyMemory {
            uid: memory.uid.clone(),
            resource_version: memory.resource_version.clone(),
            ..(*before).clone()
        };
        dated == memory
    });
    Some(unmoved.cloned().unwrap_or(memory))
}

fn labels(workspace: &Name) -> BTreeMap<Name, Name> {
    BTreeMap::from([
        (Name::from(MANAGED_BY), Name::from(NAME)),
        (Name::from(WORKSPACE), workspace.clone()),
    ])
}

/// Adds the annotations that follow from the rest.
fn finished(mut output: Output) -> Output {
    if let Some(digest) = output.content_sha256() {
        output
            .annotations
            .insert(CONTENT_SHA256.into(), digest.to_string().into());
    }
    if let Owner::Retained(name) = &output.owner {
        output.annotations.insert(RETAINED_BY.into(), name.clone());
    }
    output
}

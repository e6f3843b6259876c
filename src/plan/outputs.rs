//! The objects of a plan: their names, owners, labels and content.
//! Must not decide what a key or subject gets.

use std::collections::{BTreeMap, BTreeSet};

use super::keys::{Place, Settled, data_key, gateways};
use super::output::{Content, Output, Owner};
use super::{client_keys, issuers};
use crate::api::metadata::{
    CONTENT_SHA256, KEY_VERSIONS, MANAGED_BY, NAME, RETAINED_BY, WORKSPACE,
};
use crate::facts::{
    Heir, KeyMemory, KeyRefFacts, OutputId, OutputKind, Ownership, SecretLookup, Snapshot,
    whole_second,
};
use crate::gateway::policy_json::{self, Rendered};
use crate::gateway::{console, envoy};
use crate::policy::digest::ContentId;
use crate::policy::finding::Kind;
use crate::policy::key::{ApiKey, Target};
use crate::policy::name::{Name, NamespacedName};
use crate::policy::resolve::Resolution;
use crate::policy::table::Policy;
use crate::policy::workspace::{GatewayKind, Workspace};

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
    let owner = owner_of_workspace(snapshot);
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
    let mut policy = config_map(policy_name(workspace), policy_json::FILE, &rendered.policy);
    let found = snapshot.outputs.get(&policy.id).map(|found| &**found);
    let remembered = client_keys::to_remember(resolution, found);
    policy.annotations.extend(remembered);
    let mut outputs = vec![policy];
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

/// The files of a workspace's gateways of type Envoy.
pub struct GatewayFiles {
    /// ConfigMaps.
    pub outputs: Vec<Output>,
    /// What each of the gateways has to load; `None` without one.
    pub awaited: Option<FilesAwaited>,
}

/// By what a gateway is known to have loaded its files.
pub struct FilesAwaited {
    /// Which static files.
    pub config: ContentId,
    /// Revision of the policy.
    pub revision: ContentId,
    /// In how many parts its subjects are.
    pub subjects: usize,
    /// Versions of the files that Envoy itself reads, by the name of the file.
    pub versions: BTreeMap<Name, ContentId>,
}

/// The gateways of a workspace that are of type Envoy.
pub fn gateways_of(workspace: &Workspace) -> Vec<Name> {
    let gateways = workspace.gateways.iter();
    let envoys = gateways.filter(|gateway| gateway.kind == GatewayKind::Envoy);
    envoys.map(|gateway| gateway.name.clone()).collect()
}

/// Those that have files, by the names of these: of a Workspace that is not understood nothing
/// else tells.
pub fn gateways_found(snapshot: &Snapshot) -> Vec<Name> {
    let ours = snapshot.outputs.iter().filter(|(_, found)| found.is_ours());
    let data = ours.filter(|(id, _)| id.kind == OutputKind::ConfigMap);
    let gateways = data.filter_map(|(id, _)| match gateway_file(&snapshot.name.name, id)? {
        (gateway, "data") => Some(Name::from(gateway)),
        _ => None,
    });
    gateways.collect()
}

/// Whose file an object is by its name, and which: `edge` and `data`, say, of
/// `production.edge.data`. No name in there has a dot.
pub fn gateway_file<'n>(workspace: &str, id: &'n OutputId) -> Option<(&'n str, &'n str)> {
    let rest = id.name.name.strip_prefix(workspace)?.strip_prefix('.')?;
    rest.split_once('.')
}

/// The files of these gateways. All have the same.
pub fn gateway_files(
    snapshot: &Snapshot,
    gateways: &[Name],
    policy: &Policy,
    revision: ContentId,
) -> GatewayFiles {
    if gateways.is_empty() {
        return GatewayFiles {
            outputs: Vec::new(),
            awaited: None,
        };
    }
    let envoy::Files {
        config_id,
        config,
        data,
        versions,
        subjects,
    } = envoy::render(&envoy::Inputs {
        policy,
        revision,
        keys: &issuers::signing_keys(snapshot),
        upstream: &snapshot.upstream,
    });
    let awaited = FilesAwaited {
        config: config_id,
        revision,
        subjects: subjects.len(),
        versions: versions
            .into_iter()
            .map(|(file, version)| (file.into(), version))
            .collect(),
    };
    let texts = |files: BTreeMap<&'static str, String>| {
        let files = files.into_iter();
        files
            .map(|(file, text)| (Name::from(file), Content::Text(text.into())))
            .collect()
    };
    let mut parts: Vec<(String, BTreeMap<Name, Content>)> = vec![
        ("config".into(), texts(config)),
        ("data".into(), texts(data)),
    ];
    for (i, text) in subjects.into_iter().enumerate() {
        let file = Name::from(format!("subjects-{i:02}.tsv"));
        let data = BTreeMap::from([(file, Content::Text(text.into()))]);
        parts.push((format!("subjects-{i:02}"), data));
    }
    let NamespacedName {
        namespace,
        name: workspace,
    } = &snapshot.name;
    let outputs = gateways.iter().flat_map(|gateway| {
        parts.iter().map(move |(part, data)| {
            finished(Output {
                id: OutputId::config_map(
                    namespace.clone(),
                    format!("{workspace}.{gateway}.{part}"),
                ),
                owner: owner_of_workspace(snapshot),
                labels: labels(workspace),
                annotations: BTreeMap::new(),
                data: data.clone(),
                secret_type: None,
            })
        })
    });
    GatewayFiles {
        outputs: outputs.collect(),
        awaited: Some(awaited),
    }
}

/// Name of the Secret with the keys of a workspace's gateway.
pub fn keys_name(workspace: &str, gateway: &str) -> String {
    format!("{workspace}.{gateway}.keys")
}

/// The target Secret of a key; `None` when it has none, or nothing is to be done with it.
pub fn target(
    snapshot: &Snapshot,
    facts: &KeyRefFacts,
    key: &ApiKey,
    settled: &Settled,
) -> Option<Output> {
    let target = key.target.as_ref()?;
    if settled.untargeted {
        return None;
    }
    let place = Place::target(snapshot, facts, target);
    let content = place.content(settled)?;
    let memory = place.remember(snapshot, settled, Some(&content));
    let memory = memory.map(|memory| (place.data_key, memory));
    Some(finished(Output {
        owner: owner(facts, key, target, &settled.heirs),
        labels: labels(&snapshot.name.name),
        annotations: remembered(memory.into_iter().collect()),
        data: BTreeMap::from([(target.key.clone(), content)]),
        secret_type: None,
        id: place.id,
    }))
}

/// The Secrets with the keys of a workspace's gateways: under the id that subjects name a key
/// by, the key. Of a key that may not be used there is no data key, so that the file in a
/// gateway's pod goes.
pub fn keys(snapshot: &Snapshot, policy: &Policy, settled: &[Option<Settled>]) -> Vec<Output> {
    let known: Vec<_> = snapshot
        .keys
        .iter()
        .zip(settled)
        .filter_map(|(facts, settled)| {
            let key = facts.object.spec.as_ref().ok()?;
            let data_key = data_key(facts, key);
            let row = ContentId::parse(&data_key).and_then(|id| policy.keys.get(&id));
            let usable = row.is_some_and(|row| row.fingerprint.is_some());
            Some((data_key, usable, settled.as_ref()?))
        })
        .collect();
    let readable =
        |id: &OutputId| !matches!(snapshot.secrets.get(&id.name), Some(SecretLookup::Denied));
    let outputs = gateways(snapshot).filter(readable).map(|id| {
        let mut data = BTreeMap::new();
        let mut memories = BTreeMap::new();
        for (data_key, usable, settled) in &known {
            let place = Place::gateway(snapshot, id.clone(), data_key.clone());
            let content = place.content(settled).filter(|_| *usable);
            let memory = place.remember(snapshot, settled, content.as_ref());
            memories.extend(memory.map(|memory| (data_key.clone(), memory)));
            data.extend(content.map(|content| (data_key.clone(), content)));
        }
        finished(Output {
            owner: owner_of_workspace(snapshot),
            labels: labels(&snapshot.name.name),
            annotations: remembered(memories),
            data,
            secret_type: None,
            id,
        })
    });
    outputs.collect()
}

/// The same for a Workspace that is not understood: whichever of them are there hold nothing.
pub fn no_keys(snapshot: &Snapshot) -> Vec<Output> {
    let ours = snapshot.outputs.iter().filter(|(id, found)| {
        let of_workspace = matches!(
            found.owner,
            Ownership::Controlled {
                kind: Kind::Workspace,
                ..
            }
        );
        id.kind == OutputKind::Secret && of_workspace
    });
    let emptied = ours.map(|(id, found)| {
        let now = whole_second(snapshot.now);
        let memories = found.memory.iter().map(|(data_key, memory)| {
            let since = if memory.emptied { memory.since } else { now };
            let memory = KeyMemory {
                emptied: true,
                since,
                ..memory.clone()
            };
            (data_key.clone(), memory)
        });
        finished(Output {
            owner: owner_of_workspace(snapshot),
            labels: labels(&snapshot.name.name),
            annotations: remembered(memories.collect()),
            data: BTreeMap::new(),
            secret_type: None,
            id: id.clone(),
        })
    });
    emptied.collect()
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
        let name = NamespacedName::new(id.name.namespace.clone(), name.clone());
        if snapshot.departed.contains(&name) {
            return false;
        }
        let owner = keys.get(&name);
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
                heirs,
                ..
            } => {
                let heirless = !heirs.iter().any(|heir| is_target(id, &heir.name));
                id.kind == OutputKind::Secret && !is_target(id, name) && heirless
            }
            Ownership::Controlled {
                kind: Kind::RoleBinding,
                ..
            }
            | Ownership::Retained(_)
            | Ownership::Foreign => false,
            Ownership::Inherited(heirs) => !heirs.iter().any(|heir| is_target(id, &heir.name)),
        };
        left_over && !wanted.contains(id)
    });
    stale.map(|(id, _)| id.clone()).collect()
}

fn owner(facts: &KeyRefFacts, key: &ApiKey, target: &Target, heirs: &[Heir]) -> Owner {
    let name = facts.object.name.name.clone();
    // What was lent from another namespace is never left behind.
    let next = key.next.as_ref().map(|next| &next.source);
    let lent = [Some(&key.source), next]
        .into_iter()
        .flatten()
        .any(|source| source.namespace != facts.object.name.namespace);
    if target.retain && !lent {
        Owner::Retained(name)
    } else {
        Owner::Controller {
            kind: Kind::ApiKeyRef,
            name,
            uid: facts.object.uid.clone(),
            heirs: heirs.to_vec(),
        }
    }
}

fn owner_of_workspace(snapshot: &Snapshot) -> Owner {
    let workspace = snapshot.workspace.as_ref();
    Owner::Controller {
        kind: Kind::Workspace,
        name: snapshot.name.name.clone(),
        uid: workspace.and_then(|facts| facts.object.uid.clone()),
        heirs: Vec::new(),
    }
}

/// The annotation that a Secret remembers its keys by, a data key each.
fn remembered(memories: BTreeMap<Name, KeyMemory>) -> BTreeMap<Name, Name> {
    let text = serde_json::to_string(&memories).expect("memory is plain data with text keys");
    let some = (!memories.is_empty()).then(|| (Name::from(KEY_VERSIONS), Name::from(text)));
    some.into_iter().collect()
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
    let left_to = match &output.owner {
        Owner::Retained(name) => Some(name),
        // Once the owner is gone, its reference is taken off: then this says that it is ours.
        Owner::Controller { name, heirs, .. } => (!heirs.is_empty()).then_some(name),
    };
    if let Some(name) = left_to {
        output.annotations.insert(RETAINED_BY.into(), name.clone());
    }
    output
}

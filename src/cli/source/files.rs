//! Facts from manifests.
//! Must not ask a cluster anything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::Source;
use crate::api::convert;
use crate::cli::failure::Failure;
use crate::cli::manifests::problem::Problem;
use crate::cli::manifests::{self, Empty, Manifests, SecretManifest};
use crate::cli::screen::say;
use crate::material::KeyMaterial;
use crate::plan::world::{Access, Change, Unseen, World};
use crate::policy::catalogue::Catalogue;
use crate::policy::name::{Name, NamespacedName};
use crate::policy::selector::Labels;

/// The label that the API server puts on every namespace.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Reads manifests. With `strict`, what is not among them is not there.
///
/// # Errors
/// When none of them is ours.
pub fn read(
    paths: &[PathBuf],
    default_namespace: &str,
    strict: bool,
    catalogue: Arc<Catalogue>,
) -> Result<(Source, Vec<Problem>), Failure> {
    let (manifests, problems) = load(paths, default_namespace, Empty::Refused);
    if manifests.is_empty() && problems.is_empty() {
        return Err(nothing());
    }
    Ok((source(manifests, strict, catalogue), problems))
}

/// Reads one side of a comparison, which may hold nothing.
///
/// # Errors
/// When anything is wrong with a manifest, or when it holds nothing but what was skipped: what
/// that makes is not known.
pub fn side(
    paths: &[PathBuf],
    default_namespace: &str,
    catalogue: Arc<Catalogue>,
) -> Result<Source, Failure> {
    let (manifests, problems) = load(paths, default_namespace, Empty::Allowed);
    if !problems.is_empty() {
        return Err(problems.into());
    }
    if manifests.is_empty() && !manifests.notes.is_empty() {
        return Err(nothing());
    }
    Ok(source(manifests, false, catalogue))
}

fn nothing() -> Failure {
    let message =
        "the files hold no Workspace, RoleBinding or ApiKeyRef of anthropic-rbac.io/v1alpha1";
    Failure::BadInput(message.to_owned())
}

fn load(paths: &[PathBuf], default_namespace: &str, empty: Empty) -> (Manifests, Vec<Problem>) {
    let (manifests, problems) = manifests::load(paths, default_namespace, empty);
    manifests
        .notes
        .iter()
        .for_each(|note| say(format_args!("note: {note}")));
    (manifests, problems)
}

fn source(manifests: Manifests, strict: bool, catalogue: Arc<Catalogue>) -> Source {
    let unseen = if strict {
        Unseen::Absent
    } else {
        Unseen::Assumed
    };
    let mut world = World::new(catalogue, unseen);
    for (name, labels) in namespaces(&manifests) {
        world.apply(Change::Namespace(name, labels));
    }
    let Manifests {
        workspaces,
        bindings,
        keys,
        namespaces: _,
        secrets,
        refused,
        key_sets,
        jwks,
        origins,
        notes: _,
    } = manifests;
    let existing = workspaces
        .iter()
        .map(|facts| facts.object.name.clone())
        .collect();
    let changes = workspaces.into_iter().map(Change::Workspace);
    let changes = changes.chain(bindings.into_iter().map(Change::Binding));
    changes
        .chain(keys.into_iter().map(Change::KeyRef))
        .for_each(|change| drop(world.apply(change)));
    for (id, lookup) in jwks {
        world.apply(Change::KeySet(id, lookup));
    }
    let mut materials = BTreeMap::new();
    for (name, SecretManifest { meta, values }) in secrets {
        let mut facts = convert::secret(&meta);
        facts.values = Some(Arc::new(known(&values)));
        world.apply(Change::Secret(name.clone(), facts));
        materials.insert(name, values);
    }
    if strict {
        for namespace in world.secret_namespaces() {
            world.apply(Change::SecretAccess(namespace, Access::Listed));
        }
    }
    Source {
        world,
        materials,
        origins,
        refused,
        key_sets,
        reported: BTreeMap::new(),
        new_keys: BTreeSet::new(),
        is_cluster: false,
        only: None,
        existing,
    }
}

/// Digests of values.
pub fn known(
    values: &BTreeMap<Name, KeyMaterial>,
) -> BTreeMap<Name, crate::policy::key::ValueFacts> {
    values
        .iter()
        .map(|(key, value)| (key.clone(), value.facts()))
        .collect()
}

/// Labels of every namespace that something is in or refers to. Namespaces are rarely written
/// down, so that one without a manifest counts as there, without labels of its own.
fn namespaces(manifests: &Manifests) -> BTreeMap<Name, Labels> {
    let of_name = |name: &NamespacedName| name.namespace.clone();
    let named = manifests
        .workspaces
        .iter()
        .map(|facts| of_name(&facts.object.name));
    let of_bindings = manifests.bindings.iter().flat_map(|facts| {
        [
            Some(of_name(&facts.object.name)),
            facts.workspace.as_ref().map(of_name),
        ]
    });
    let of_keys = manifests.keys.iter().flat_map(|facts| {
        [
            Some(of_name(&facts.object.name)),
            facts.workspace.as_ref().map(of_name),
        ]
    });
    let mut names: BTreeSet<Name> = named.chain(of_bindings.chain(of_keys).flatten()).collect();
    names.extend(manifests.secrets.keys().map(of_name));
    names.extend(manifests.namespaces.keys().cloned());
    let labelled = |name: Name| {
        let mut labels = manifests.namespaces.get(&name).cloned().unwrap_or_default();
        labels.insert(NAMESPACE_NAME.into(), name.clone());
        (name, labels)
    };
    names.into_iter().map(labelled).collect()
}

//! What a cluster holds once manifests are applied to it: as `kubectl apply` does it, what they do
//! not mention stays. Must not ask the cluster for more than it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::cluster::Fetched;
use super::{Source, files};
use crate::api::convert;
use crate::cli::failure::Failure;
use crate::cli::manifests::{Manifests, SecretManifest};
use crate::facts::{Observed, SecretFacts};
use crate::plan::world::Change;
use crate::policy::name::{Name, NamespacedName};

/// The cluster as it is, and as it would be.
pub async fn read(
    mut fetched: Fetched,
    manifests: Manifests,
    only: Option<Name>,
) -> Result<(Source, Source), Failure> {
    let before = fetched.source(only.clone()).await?;
    let mut applied = fetched;
    let mut new_keys = BTreeSet::new();
    for mut facts in manifests.workspaces {
        match applied
            .workspaces
            .iter_mut()
            .find(|old| old.object.name == facts.object.name)
        {
            Some(old) => {
                adopt(&mut facts.object, &old.object);
                *old = facts;
            }
            None => applied.workspaces.push(facts),
        }
    }
    let known = applied.bindings.iter().enumerate();
    let known: BTreeMap<NamespacedName, usize> = known
        .map(|(i, facts)| (facts.object.name.clone(), i))
        .collect();
    for mut facts in manifests.bindings {
        match known.get(&facts.object.name) {
            Some(i) => {
                adopt(&mut facts.object, &applied.bindings[*i].object);
                applied.bindings[*i] = facts;
            }
            None => applied.bindings.push(facts),
        }
    }
    for mut facts in manifests.keys {
        match applied
            .keys
            .iter_mut()
            .find(|old| old.object.name == facts.object.name)
        {
            Some(old) => {
                adopt(&mut facts.object, &old.object);
                facts.rotation = old.rotation;
                facts.versions.clone_from(&old.versions);
                *old = facts;
            }
            None => {
                new_keys.insert(facts.object.name.clone());
                applied.keys.push(facts);
            }
        }
    }
    for (name, labels) in manifests.namespaces {
        applied.namespaces.entry(name).or_default().extend(labels);
    }
    let secrets: Vec<(NamespacedName, SecretFacts)> = manifests
        .secrets
        .into_iter()
        .map(|(name, SecretManifest { meta, values })| {
            let mut facts = convert::secret(&meta);
            // Something stands in for client keys on both sides: the cluster's are not read.
            if !facts.is_client_key {
                facts.values = Some(Arc::new(files::known(&values)));
            }
            (name, facts)
        })
        .collect();
    let mut after = applied.source(only).await?;
    for (name, facts) in secrets {
        after.world.apply(Change::Secret(name, facts));
    }
    after.origins = manifests.origins;
    after.new_keys = new_keys;
    Ok((before, after))
}

/// An object that is changed stays the one it is.
fn adopt<T>(new: &mut Observed<T>, old: &Observed<T>) {
    new.uid.clone_from(&old.uid);
    new.generation = old.generation;
    new.created = old.created;
}

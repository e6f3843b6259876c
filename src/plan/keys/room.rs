//! How many keys and versions a gateway's Secret can remember. All annotations of an object
//! together have 256 KiB, of which other people get a quarter. The keys themselves take less
//! than what is remembered of them.
//! Must not depend on what is there already: the same keys fit, whoever came to the cluster first.

use std::collections::{BTreeMap, BTreeSet};

use super::{Settled, Trouble, gateways};
use crate::api::conditions::reason;
use crate::facts::{KeyRefFacts, KeyVersion, Snapshot};
use crate::plan::keys::versions::REMEMBERED;
use crate::policy::key::SecretKey;
use crate::policy::name::Name;

/// Most bytes of what is remembered.
pub const ROWS_BYTES: usize = 192 * 1024;
/// Most bytes of a row without its versions and names.
const ROW_BYTES: usize = 232;
/// Most bytes of a version without its id.
const VERSION_BYTES: usize = 96;

/// Gives every key its room: all of them that of as many versions as fit, and if one is too
/// many, the keys that came last in the namespace with the most go without a gateway first.
pub(super) fn make(snapshot: &Snapshot, settled: &mut [Option<Settled>]) {
    if gateways(snapshot).next().is_none() {
        return;
    }
    let known = |i: usize| Some((&snapshot.keys[i], settled[i].as_ref()?));
    let sizes = |versions: usize| {
        let size = |i| known(i).map_or(0, |(facts, settled)| size(facts, settled, versions));
        (0..snapshot.keys.len()).map(size).collect::<Vec<_>>()
    };
    let fits = |versions: &usize| sizes(*versions).iter().sum::<usize>() <= ROWS_BYTES;
    let versions = (1..=REMEMBERED).rev().find(fits);
    let without = match versions {
        Some(_) => BTreeSet::new(),
        None => too_many(snapshot, &sizes(1)),
    };
    for (i, settled) in settled.iter_mut().enumerate() {
        let Some(settled) = settled else {
            continue;
        };
        settled.room = versions.unwrap_or(1);
        if without.contains(&i) {
            settled.room = 0;
            settled.usable = None;
            settled.unprogrammed.get_or_insert_with(|| {
                let message = format!(
                    "The gateways of Workspace {} have no room for more keys, so no request is sent with \
                     this one. Delete ApiKeyRefs that are not needed, or use a second Workspace.",
                    snapshot.name
                );
                Trouble::fault(reason::WORKSPACE_FULL, message)
            });
        }
    }
}

/// Keys that do not fit: one namespace's many never cost another its few.
fn too_many(snapshot: &Snapshot, sizes: &[usize]) -> BTreeSet<usize> {
    let mut by_age: Vec<usize> = (0..sizes.len()).collect();
    let object = |i: usize| &snapshot.keys[i].object;
    by_age.sort_by_key(|i| (object(*i).created, &object(*i).name));
    let mut of_namespace: BTreeMap<&Name, usize> = BTreeMap::new();
    let mut turns: Vec<(usize, usize)> = Vec::new();
    for i in by_age {
        let turn = of_namespace.entry(&object(i).name.namespace).or_default();
        turns.push((*turn, i));
        *turn += 1;
    }
    turns.sort_by_key(|(turn, _)| *turn);
    let mut left = ROWS_BYTES;
    let without = turns.into_iter().filter_map(|(_, i)| {
        match left.checked_sub(sizes[i]) {
            Some(rest) => left = rest,
            None => return Some(i),
        }
        None
    });
    without.collect()
}

/// Most bytes of what is remembered of a key, with so many of its versions.
fn size(facts: &KeyRefFacts, settled: &Settled, versions: usize) -> usize {
    let Ok(key) = &facts.object.spec else {
        return 0;
    };
    let name = |source: &SecretKey| source.namespace.len() + source.name.len() + source.key.len();
    let staged = key.next.as_ref().map_or(0, |next| name(&next.source));
    let version =
        |version: &KeyVersion| VERSION_BYTES + version.key_id.as_ref().map_or(0, |id| id.len());
    let versions: usize = settled.versions.iter().take(versions).map(version).sum();
    ROW_BYTES + name(&key.source).max(staged) + versions
}

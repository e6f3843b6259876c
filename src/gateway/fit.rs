//! Makes a policy fit into the objects that hold it, whatever was asked for: an object past
//! 1 MiB would be refused whole, and an old policy would go on. What does not fit is left out,
//! which denies it; of the namespace with the most first, and of that its newest bindings and
//! keys first, so that one namespace's many never cost another its few.
//! Must not widen: what is left out is never a denial.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use jiff::Timestamp;
use serde::Serialize;

use super::policy_json::json;
use super::shards::{MAX_SHARDS, SHARD_BYTES, shard_of};
use crate::policy::digest::ContentId;
use crate::policy::model::ModelSet;
use crate::policy::name::Name;
use crate::policy::resolve::Resolution;
use crate::policy::subject::{Subject, SubjectId, SubjectRef};
use crate::policy::table::{GrantRow, SubjectRow, WorkspaceState};

/// Most bytes of each part of `policy.json` but the subjects. Together with these there is a
/// quarter of an object left.
const WORKSPACE_BYTES: usize = 160 * 1024;
const ROLES_BYTES: usize = 192 * 1024;
const KEYS_BYTES: usize = 192 * 1024;
/// Most blocked ids, of 36 bytes each.
const BLOCKED_IDS: usize = 4096;
/// Most bytes of the Console's people.
const CONSOLE_BYTES: usize = 768 * 1024;

/// What was left out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Lost {
    /// Grants by binding, as `namespace/name`.
    pub grants: BTreeMap<Name, usize>,
    /// ApiKeyRefs, as `namespace/name`.
    pub keys: BTreeSet<Name>,
    /// Roles.
    pub roles: BTreeSet<Name>,
    /// People of the Console, by role.
    pub people: BTreeMap<Name, BTreeSet<Name>>,
    /// Whether even the Workspace itself did not fit, so that everything is denied.
    pub everything: bool,
}

/// When each binding and ApiKeyRef was created, by `namespace/name`; what is not there counts as
/// the oldest.
pub type Ages = BTreeMap<Name, Timestamp>;

/// Takes away what does not fit.
pub fn fit(resolution: &mut Resolution, bindings: &Ages, keys: &Ages) -> Lost {
    let mut lost = Lost::default();
    if json(&resolution.policy.workspace).len() > WORKSPACE_BYTES {
        close(resolution, &mut lost);
    }
    roles(resolution, &mut lost);
    api_keys(resolution, keys, &mut lost);
    blocked(resolution);
    subjects(resolution, bindings, &mut lost);
    people(resolution, &mut lost);
    lost
}

impl Lost {
    /// Whether everything fits.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Denies everything: nothing smaller says what was asked for.
fn close(resolution: &mut Resolution, lost: &mut Lost) {
    let workspace = &mut resolution.policy.workspace;
    workspace.state = WorkspaceState::Disabled;
    workspace.issuers.clear();
    workspace.models = Some(ModelSet::default());
    resolution.policy.subjects.clear();
    lost.everything = true;
}

fn roles(resolution: &mut Resolution, lost: &mut Lost) {
    let policy = &mut resolution.policy;
    let mut by_name: Vec<(Name, ContentId, usize)> = policy
        .roles
        .iter()
        .map(|(id, row)| (row.name.clone(), *id, bytes(row)))
        .collect();
    by_name.sort();
    let mut total: usize = by_name.iter().map(|(.., bytes)| bytes).sum();
    let mut without = BTreeSet::new();
    while total > ROLES_BYTES {
        let Some((name, id, bytes)) = by_name.pop() else {
            break;
        };
        total -= bytes;
        policy.roles.remove(&id);
        lost.roles.insert(name);
        without.insert(id);
    }
    if without.is_empty() {
        return;
    }
    for row in policy.subjects.values_mut() {
        row.grants.retain(|grant| {
            let stays = !without.contains(&grant.role);
            if !stays {
                *lost.grants.entry(grant.binding.clone()).or_default() += 1;
            }
            stays
        });
    }
}

fn api_keys(resolution: &mut Resolution, ages: &Ages, lost: &mut Lost) {
    let policy = &mut resolution.policy;
    let mut total: usize = policy.keys.values().map(bytes).sum();
    if total <= KEYS_BYTES {
        return;
    }
    let mut crowd = Crowd::default();
    for (id, row) in &policy.keys {
        if Some(*id) != policy.workspace.default_key {
            crowd.add(&row.api_key_ref, ages, bytes(row), *id);
        }
    }
    while total > KEYS_BYTES
        && let Some((name, bytes, id)) = crowd.pop()
    {
        // The subjects it serves still name it: they are denied, and no other key steps in.
        policy.keys.remove(&id);
        lost.keys.insert(name);
        total -= bytes;
    }
}

/// Too many blocked ids are only ever client keys, from Secrets full of them. One that nothing
/// is granted to needs no blocking; of one that something is, the grants go instead.
fn blocked(resolution: &mut Resolution) {
    let Resolution { policy, names, .. } = resolution;
    let is_client_key = |id: &SubjectId| {
        !may_have_groups(names.get(id)) && {
            let named = names.get(id);
            !matches!(named, Some(SubjectRef::Known(Subject::ServiceAccount(_))))
        }
    };
    if policy.blocked.len() > BLOCKED_IDS {
        let subjects = &policy.subjects;
        policy
            .blocked
            .retain(|id| subjects.contains_key(id) || !is_client_key(id));
    }
    let surplus = policy.blocked.len().saturating_sub(BLOCKED_IDS);
    let client_keys = policy.blocked.iter().filter(|id| is_client_key(id));
    let unlisted: Vec<SubjectId> = client_keys.take(surplus).copied().collect();
    for id in unlisted {
        policy.blocked.remove(&id);
        policy.subjects.remove(&id);
    }
}

fn subjects(resolution: &mut Resolution, ages: &Ages, lost: &mut Lost) {
    let mut sizes = vec![0; MAX_SHARDS];
    for (id, row) in &resolution.policy.subjects {
        sizes[shard_of(id, MAX_SHARDS)] += at_most(row);
    }
    for shard in (0..MAX_SHARDS).filter(|shard| sizes[*shard] > SHARD_BYTES) {
        if !shrink(resolution, shard, ages, lost) {
            close(resolution, lost);
        }
    }
}

/// Makes one shard fit; false when what is left cannot be left out without widening.
fn shrink(resolution: &mut Resolution, shard: usize, ages: &Ages, lost: &mut Lost) -> bool {
    let Resolution { policy, names, .. } = resolution;
    let mut own: Vec<SubjectId> = policy
        .subjects
        .keys()
        .filter(|id| shard_of(id, MAX_SHARDS) == shard)
        .copied()
        .collect();
    own.sort_unstable();
    let mut total: usize = own.iter().map(|id| row_bytes(&policy.subjects[id])).sum();
    let mut crowd = Crowd::default();
    for id in own {
        let row = &policy.subjects[&id];
        if total > SHARD_BYTES && row.grants.is_empty() && !may_have_groups(names.get(&id)) {
            // Nobody without groups gets anywhere by a key alone.
            total -= row_bytes(row);
            policy.subjects.remove(&id);
            continue;
        }
        for grant in &row.grants {
            crowd.add(
                &grant.binding,
                ages,
                grant_bytes(grant),
                (id, grant.clone()),
            );
        }
    }
    while total > SHARD_BYTES
        && let Some((binding, bytes, (id, grant))) = crowd.pop()
    {
        let Some(row) = policy.subjects.get_mut(&id) else {
            continue;
        };
        row.grants.retain(|own| *own != grant);
        *lost.grants.entry(binding).or_default() += 1;
        total -= bytes;
        let bare = row.grants.is_empty();
        if bare && (row.key.is_none() || !may_have_groups(names.get(&id))) {
            total -= row_bytes(row);
            policy.subjects.remove(&id);
        }
    }
    total <= SHARD_BYTES
}

fn people(resolution: &mut Resolution, lost: &mut Lost) {
    let size = |role: &Name, person: &Name| json(person).len() + json(role).len() + 16;
    let people = resolution.console.iter();
    let all = people.flat_map(|(role, people)| people.iter().map(move |person| (role, person)));
    let mut all: Vec<(Name, Name)> = all
        .map(|(role, person)| (person.clone(), role.clone()))
        .collect();
    let mut total: usize = all.iter().map(|(person, role)| size(role, person)).sum();
    all.sort();
    while total > CONSOLE_BYTES
        && let Some((person, role)) = all.pop()
    {
        total -= size(&role, &person);
        if let Some(people) = resolution.console.get_mut(&role) {
            people.remove(&person);
        }
        lost.people.entry(role).or_default().insert(person);
    }
}

/// Users and groups: what a user may do depends on more rows than its own.
fn may_have_groups(named: Option<&SubjectRef>) -> bool {
    match named {
        Some(SubjectRef::Known(Subject::User { .. } | Subject::Group { .. })) | None => true,
        Some(
            SubjectRef::Known(Subject::ServiceAccount(_) | Subject::ClientKey(_))
            | SubjectRef::ClientKeySecret(_),
        ) => false,
    }
}

/// Bytes of a row of `policy.json`, with its id, indent and line break.
fn bytes(row: &impl Serialize) -> usize {
    json(row).len() + 32
}

/// Bytes of a subject's row, at most.
fn row_bytes(row: &SubjectRow) -> usize {
    json(row).len() + 64
}

fn grant_bytes(grant: &GrantRow) -> usize {
    json(grant).len() + 1
}

/// A quick upper bound of [`row_bytes`]: names of bindings need no escaping.
fn at_most(row: &SubjectRow) -> usize {
    let grants = row.grants.iter().map(|grant| grant.binding.len() + 160);
    grants.sum::<usize>() + 128
}

/// What somebody may have to lose, by namespace.
struct Crowd<T> {
    of: BTreeMap<Name, Vec<Entry<T>>>,
    /// Bytes of each namespace; the most first, then the bytewise last.
    most: BinaryHeap<(usize, Name)>,
}

/// Oldest first, then by name; `T` tells entries of one object apart.
type Entry<T> = (Option<Timestamp>, Name, T, usize);

impl<T> Default for Crowd<T> {
    fn default() -> Self {
        Self {
            of: BTreeMap::new(),
            most: BinaryHeap::new(),
        }
    }
}

impl<T: Ord> Crowd<T> {
    fn add(&mut self, object: &Name, ages: &Ages, bytes: usize, what: T) {
        let namespace = object
            .split_once('/')
            .map_or(&**object, |(namespace, _)| namespace);
        let entry = (ages.get(object).copied(), object.clone(), what, bytes);
        match self.of.get_mut(namespace) {
            Some(entries) => entries.push(entry),
            None => drop(self.of.insert(namespace.into(), vec![entry])),
        }
    }

    /// The newest of the namespace with the most.
    fn pop(&mut self) -> Option<(Name, usize, T)> {
        if self.most.is_empty() {
            for (namespace, entries) in &mut self.of {
                entries.sort();
                let bytes = entries.iter().map(|(.., bytes)| bytes).sum();
                self.most.push((bytes, namespace.clone()));
            }
        }
        let (bytes, namespace) = self.most.pop()?;
        let (_, object, what, freed) = self.of.get_mut(&namespace)?.pop()?;
        if bytes > freed {
            self.most.push((bytes - freed, namespace));
        } else {
            self.of.remove(&namespace);
        }
        Some((object, freed, what))
    }
}

#[cfg(test)]
mod tests;

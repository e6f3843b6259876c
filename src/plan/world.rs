//! All facts known, indexed by workspace: changes in, snapshots out.
//! Must not decide anything, do IO, or read a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::facts::{BindingFacts, KeyRefFacts, OutputFacts, SecretFacts, Snapshot, WorkspaceFacts};
use crate::policy::catalogue::Catalogue;
use crate::policy::key::ValueFacts;
use crate::policy::name::{Name, NamespacedName};
use crate::policy::selector::Labels;

/// One thing that became known.
#[derive(Clone, Debug)]
pub enum Change {
    Workspace(WorkspaceFacts),
    WorkspaceGone(NamespacedName),
    Binding(BindingFacts),
    BindingGone(NamespacedName),
    KeyRef(KeyRefFacts),
    KeyRefGone(NamespacedName),
    Namespace(Name, Labels),
    NamespaceGone(Name),
    /// A ConfigMap with our label.
    ConfigMap(NamespacedName, OutputFacts),
    ConfigMapGone(NamespacedName),
    /// Any Secret of a namespace whose Secrets are looked at.
    Secret(NamespacedName, SecretFacts),
    SecretGone(NamespacedName),
    /// Whether a namespace's Secrets may be looked at, once that is known; `Listed` comes
    /// after all of them did.
    SecretAccess(Name, SecretAccess),
    /// The data keys of a Secret, read at this resourceVersion.
    SecretValues {
        name: NamespacedName,
        resource_version: Name,
        values: BTreeMap<Name, ValueFacts>,
    },
}

/// Whether a namespace's Secrets may be looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SecretAccess {
    /// Every Secret in it is known.
    Listed,
    /// We may not look.
    Denied,
}

/// What a Secret that nobody has looked at counts as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unseen {
    /// Not known yet: its workspace waits. What the operator does.
    Waits,
    /// Present with some value: what the command line does with files.
    Assumed,
    /// Absent: the command line's `--strict`.
    Absent,
}

/// All facts known.
#[derive(Debug)]
pub struct World {
    _todo: (),
}

impl World {
    /// Knows nothing yet.
    pub fn new(_catalogue: Arc<Catalogue>, _unseen: Unseen) -> Self {
        todo!()
    }

    /// Takes in a change; the workspaces for which something that matters is different now.
    /// Repeating a change, or changing what nobody decides by, affects nobody.
    pub fn apply(&mut self, _change: Change) -> BTreeSet<NamespacedName> {
        todo!()
    }

    /// Every workspace that exists or is referred to.
    pub fn workspaces(&self) -> BTreeSet<NamespacedName> {
        todo!()
    }

    /// The namespaces whose Secrets must be looked at.
    pub fn secret_namespaces(&self) -> BTreeSet<Name> {
        todo!()
    }

    /// What is known about one workspace; `None` while Secrets of a namespace it needs have
    /// not been looked at.
    pub fn snapshot(&self, _workspace: &NamespacedName, _now: Timestamp) -> Option<Snapshot> {
        todo!()
    }
}

impl Snapshot {
    /// Secrets whose values must be read before this can be planned.
    pub fn unread(&self) -> Vec<NamespacedName> {
        todo!()
    }
}

//! What can become known. Must not say what follows from it.

use std::collections::BTreeMap;

use super::pods::{Hurried, Reported};
use crate::facts::{
    BindingFacts, JwksLookup, KeyRefFacts, KeySetId, OutputFacts, PodFacts, PodScope, SecretFacts,
    WorkspaceFacts,
};
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
    SecretAccess(Name, Access),
    /// Whether the pods of a scope may be looked at, as with Secrets.
    PodAccess(PodScope, Access),
    /// A pod of a scope at some version.
    Pod {
        scope: PodScope,
        name: Name,
        version: Option<u64>,
        facts: PodFacts,
    },
    PodGone(PodScope, Name),
    /// A pod was hurried.
    Hurried(Hurried),
    /// What the gateway in a pod says that it has loaded.
    Reported(Reported),
    /// What a ConfigMap has as the public keys of an issuer.
    KeySet(KeySetId, JwksLookup),
    /// What this cluster signs ServiceAccount tokens with.
    ClusterKeys(JwksLookup),
    /// The data keys of a Secret, read at this resourceVersion.
    SecretValues {
        name: NamespacedName,
        resource_version: Name,
        values: BTreeMap<Name, ValueFacts>,
    },
}

/// Whether a namespace's Secrets, or some of its pods, may be looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// All of them are known.
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

//! Facts: what is known of the world at one instant, in small owned pieces. Manifests on disk
//! and Kubernetes watches both become these, and nothing downstream can tell which.
//! Must not hold key bytes, nor anything nobody decides by.

mod jwks;
mod load;
mod memory;
mod object;
mod output;
mod pod;
mod secret;

pub use jwks::{JwksLookup, KeySetId};
pub use load::{Load, Loaded};
pub use memory::{KeyMemory, KeyVersion, in_use, whole_second};
pub use object::{
    BindingFacts, Invalid, Is, KeyRefFacts, Observed, StatusMark, Transition, WorkspaceFacts,
};
pub use output::{Heir, OtherOwner, OutputFacts, OutputId, OutputKind, Ownership, WriteFailure};
pub use pod::{Awaited, Lagging, LastPolicy, PodFacts, PodLookup, PodPhase, PodScope};
pub use secret::{SecretFacts, SecretLookup, SourceNotes, ValueLookup};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::api::metadata::NAME;
use crate::gateway::envoy::Upstream;
use crate::policy::catalogue::Catalogue;
use crate::policy::digest::{Digest, Fingerprint};
use crate::policy::name::{Name, NamespacedName};
use crate::policy::resolve::ClientKeyRival;
use crate::policy::selector::Labels;

// What Anthropic itself says of a key (its workspace, whether it is active, when it expires)
// would be one more optional fact here, by key id, and what contradicts a Workspace or an
// ApiKeyRef one more finding in `plan::findings`.

/// Everything one plan is made from: one workspace and all that touches it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The instant it shows.
    pub now: Timestamp,
    /// How far that is ahead of what the API server's clock showed then, as far as known.
    pub skew: Option<SignedDuration>,
    /// The workspace it is about, whether it exists or not.
    pub name: NamespacedName,
    /// The Workspace, if it exists.
    pub workspace: Option<Arc<WorkspaceFacts>>,
    /// RoleBindings that refer to it, sorted by name.
    pub bindings: Vec<Arc<BindingFacts>>,
    /// ApiKeyRefs that refer to it, sorted by name.
    pub keys: Vec<Arc<KeyRefFacts>>,
    /// Names of ApiKeyRefs that referred to it and are gone, and may have left a Secret.
    pub departed: BTreeSet<NamespacedName>,
    /// Labels of the namespaces involved; one that is missing does not exist, or may not be seen.
    pub namespaces: BTreeMap<Name, Arc<Labels>>,
    /// Secrets that are referred to.
    pub secrets: BTreeMap<NamespacedName, SecretLookup>,
    /// What exists under the names we write to, or says that it is ours for this workspace.
    pub outputs: BTreeMap<OutputId, Arc<OutputFacts>>,
    /// ApiKeyRefs that claim something this workspace's keys claim too.
    pub rivals: Vec<Rival>,
    /// Audiences of this Workspace whose tokens another takes too, with that one: its own
    /// namespace's first.
    pub shared_audiences: BTreeMap<Name, NamespacedName>,
    /// Bindings of other workspaces that name a client key of this one's.
    pub client_key_rivals: Vec<ClientKeyRival>,
    /// Writes that failed in this very round: what they were for is not programmed.
    pub failures: BTreeMap<OutputId, WriteFailure>,
    /// Pods by the gateway that names them; one that names none is not in here.
    pub pods: BTreeMap<Name, PodLookup>,
    /// What the gateway in a pod says that it has loaded, by the pod's name; one that was not asked
    /// yet is not in here.
    pub loads: BTreeMap<Name, Load>,
    /// Public keys by the issuer's name, as far as a gateway checks tokens by them.
    pub jwks: BTreeMap<Name, JwksLookup>,
    /// Where Anthropic's API is.
    pub upstream: Arc<Upstream>,
    /// Pods that could not be hurried in this very round.
    pub unhurried: BTreeMap<Name, WriteFailure>,
    /// What was planned before this; `None` when nobody remembers.
    pub last_policy: Option<Arc<LastPolicy>>,
    /// Known models.
    pub catalogue: Arc<Catalogue>,
    /// Where the operator itself runs: messages propose commands that grant its account rights.
    pub operator_namespace: Name,
}

/// Another workspace's ApiKeyRef that claims the same key or the same target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rival {
    /// The ApiKeyRef.
    pub name: NamespacedName,
    /// The Workspace it names.
    pub workspace: NamespacedName,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// What it asks for.
    pub facts: Arc<KeyRefFacts>,
    /// Digests of its present value and of its staged successor's, as far as known.
    pub digests: Vec<Digest>,
    /// Anthropic's ids of them, as far as given.
    pub key_ids: Vec<Name>,
    /// Versions it has in use: by its status, or by what our Secrets hold of it.
    pub in_use: BTreeSet<Fingerprint>,
}

/// Who else claims what can belong to one workspace only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rivalry {
    /// ApiKeyRefs of other workspaces.
    pub keys: Vec<Rival>,
    /// Bindings of other workspaces.
    pub client_keys: Vec<ClientKeyRival>,
}

/// Two clocks that differ by more cannot both be relied on: Kubernetes' own certificates and
/// Leases bear less.
const TRUSTED_SKEW: SignedDuration = SignedDuration::from_mins(1);

// === impl Snapshot ===

impl Snapshot {
    /// Whether this clock and the API server's differ so much that nothing is taken away by it.
    pub fn clocks_differ(&self) -> bool {
        self.skew.is_some_and(|skew| skew.abs() > TRUSTED_SKEW)
    }

    /// The operator's own ServiceAccount, as `kubectl create rolebinding --serviceaccount` takes it.
    pub fn operator_account(&self) -> String {
        format!("{}:{NAME}", self.operator_namespace)
    }
}

//! Client keys: what Secrets hold of them, which namespace uses which, and what blocked ones
//! were last known to be. The latter two are remembered on the policy's ConfigMap, so that who
//! came first is a fact and not a matter of names or dates.
//! Must not decide who may use one; resolving does.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::conditions::reason;
use crate::api::metadata::{BLOCKED_CLIENT_KEYS, CLIENT_KEYS};
use crate::facts::{OutputFacts, OutputId, SecretFacts, SecretLookup, Snapshot};
use crate::policy::digest::{Digest, Fingerprint};
use crate::policy::key::Shape;
use crate::policy::name::{Name, NamespacedName};
use crate::policy::resolve::{ClientKeys, Resolution};
use crate::policy::subject::SubjectId;

/// Most bytes of one of our annotations: all annotations of an object together may have 256 KiB,
/// and others put some there too.
const MOST_REMEMBERED: usize = 96 * 1024;

/// Fingerprints of client keys in use, by the namespace they belong to.
pub type InUse = BTreeMap<Name, BTreeSet<Fingerprint>>;

/// Ids of blocked client keys, by the Secret that is blocked, as `namespace/name`.
pub type LastBlocked = BTreeMap<Name, BTreeSet<SubjectId>>;

/// Client keys by Secret. A Secret without the label is no credential, whatever it holds.
pub fn of_secrets(snapshot: &Snapshot) -> BTreeMap<NamespacedName, ClientKeys> {
    let keys = snapshot.secrets.iter();
    let keys = keys.filter(|(name, _)| snapshot.involves(&name.namespace));
    keys.map(|(name, lookup)| (name.clone(), of_lookup(name, lookup)))
        .collect()
}

/// What stands for the one client key of a Secret that nobody has looked at.
pub fn assumed(secret: &NamespacedName) -> Digest {
    Digest::of_lines(&["assumed", &secret.namespace, &secret.name])
}

/// What is known of the client keys of one Secret.
pub fn of_lookup(name: &NamespacedName, lookup: &SecretLookup) -> ClientKeys {
    match lookup {
        SecretLookup::Present(secret) => of_secret(secret),
        SecretLookup::Absent => {
            ClientKeys::Unusable(reason::CLIENT_KEY_NOT_FOUND, "does not exist; create it")
        }
        SecretLookup::Denied => ClientKeys::Unusable(
            reason::SECRET_ACCESS_DENIED,
            "may not be read by the operator; bind the ClusterRole anthropic-rbac-secrets in its namespace",
        ),
        SecretLookup::Assumed => ClientKeys::Known(BTreeSet::from([assumed(name)])),
    }
}

fn of_secret(secret: &SecretFacts) -> ClientKeys {
    if !secret.is_client_key {
        return ClientKeys::Unusable(
            reason::CLIENT_KEY_NOT_FOUND,
            "lacks the label anthropic-rbac.io/client-key: \"true\"; add it if its keys are for the gateway",
        );
    }
    let Some(values) = &secret.values else {
        return ClientKeys::Unusable(reason::PENDING, "has not been read yet");
    };
    let all = values.values().all(|value| value.shape == Shape::ClientKey);
    if values.is_empty() || !all {
        return ClientKeys::Unusable(
            reason::INVALID_CLIENT_KEY,
            "holds something that is no client key, or nothing; want 32 to 256 visible ASCII characters that \
             start with neither sk-ant- nor ey",
        );
    }
    ClientKeys::Known(values.values().map(|value| value.digest).collect())
}

/// Which client keys a workspace was using, as its policy's ConfigMap remembers.
pub fn in_use(policy: Option<&OutputFacts>) -> InUse {
    remembered(policy, CLIENT_KEYS)
}

/// What its blocked client keys were last known to be.
pub fn last_blocked(policy: Option<&OutputFacts>) -> LastBlocked {
    remembered(policy, BLOCKED_CLIENT_KEYS)
}

/// The annotations with which a policy's ConfigMap remembers. One that has nothing to say, and
/// had nothing before, is left out.
pub fn to_remember(resolution: &Resolution, policy: Option<&OutputFacts>) -> Vec<(Name, Name)> {
    let mut used = InUse::new();
    for (digest, namespace) in &resolution.client_keys {
        let of_namespace = used.entry(namespace.clone()).or_default();
        of_namespace.insert(digest.fingerprint());
    }
    let blocked = &resolution.blocked_client_keys;
    let blocked = blocked
        .iter()
        .map(|(secret, ids)| (secret.to_string().into(), ids.clone()))
        .collect();
    let had = |name: &str| policy.is_some_and(|found| found.marks.contains_key(name));
    [
        (CLIENT_KEYS, written(used)),
        (BLOCKED_CLIENT_KEYS, written(blocked)),
    ]
    .into_iter()
    .filter(|(name, text)| text != "{}" || had(name))
    .map(|(name, text)| (name.into(), text.into()))
    .collect()
}

/// Name of a workspace's policy among the outputs.
pub fn policy_of(workspace: &NamespacedName) -> OutputId {
    OutputId::config_map(
        workspace.namespace.clone(),
        super::outputs::policy_name(&workspace.name),
    )
}

fn remembered<T: DeserializeOwned + Default>(policy: Option<&OutputFacts>, name: &str) -> T {
    let ours = policy.filter(|found| found.is_ours());
    let text = ours.and_then(|found| found.marks.get(name));
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// As much of it as fits: what is left out falls back to who is older.
fn written<V: Serialize + Ord + Clone>(mut sets: BTreeMap<Name, BTreeSet<V>>) -> String {
    loop {
        let text = serde_json::to_string(&sets).expect("names and digests are text");
        if text.len() <= MOST_REMEMBERED {
            return text;
        }
        // Halving takes the same entries away whatever came first.
        for set in sets.values_mut() {
            let keep = set.len() / 2;
            *set = set.iter().take(keep).cloned().collect();
        }
        sets.retain(|_, set| !set.is_empty());
    }
}

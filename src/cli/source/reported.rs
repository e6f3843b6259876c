//! What the operator reported stands in for values that the command line does not read: from a
//! cluster, a key is the version that its ApiKeyRef's status shows.
//! Must not touch what is known better.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::facts::{
    KeyRefFacts, SecretFacts, SecretLookup, Snapshot, SourceNotes, ValueLookup, in_use,
};
use crate::policy::digest::{Digest, Fingerprint, Hex};
use crate::policy::key::{SecretKey, Shape, ValueFacts};
use crate::policy::name::{Name, NamespacedName};

/// Fills in what was reported, and says so. Keys that are new have nothing reported of them: they
/// are taken to be good. So are client keys, which no status shows: something stands in for all
/// that are in one Secret, since what holds for one of them holds for each.
pub fn fill_in(snapshot: &mut Snapshot, new: &BTreeSet<NamespacedName>) -> Vec<String> {
    let mut values: BTreeMap<NamespacedName, BTreeMap<Name, ValueFacts>> = BTreeMap::new();
    let mut taken_over = BTreeSet::new();
    for facts in &snapshot.keys {
        for source in sources(facts) {
            let known = match lookup(snapshot, facts, source) {
                ValueLookup::Known(value) => value,
                ValueLookup::Unread | ValueLookup::Denied if new.contains(&facts.object.name) => {
                    taken_over.insert(format!("Secret {} holds an API key", source.secret()));
                    ValueFacts::assumed(source)
                }
                ValueLookup::Unread | ValueLookup::Denied => {
                    let Some(fingerprint) = in_use(&facts.versions) else {
                        continue;
                    };
                    let name = &facts.object.name;
                    taken_over.insert(format!(
                        "ApiKeyRef {name} still has version {fingerprint}, as its status says"
                    ));
                    ValueFacts {
                        digest: beginning_with(fingerprint),
                        shape: Shape::ApiKey,
                    }
                }
                ValueLookup::Missing | ValueLookup::NoSecret => continue,
            };
            values
                .entry(source.secret())
                .or_default()
                .insert(source.key.clone(), known);
        }
    }
    for lookup in snapshot
        .secrets
        .values_mut()
        .filter(|lookup| **lookup == SecretLookup::Denied)
    {
        // It is whoever asks that may not look; the operator may, or its report says otherwise.
        *lookup = SecretLookup::Present(Arc::new(unseen(&snapshot.name)));
    }
    for secret in super::client_key_secrets(snapshot) {
        let Some(SecretLookup::Present(facts)) = snapshot.secrets.get_mut(&secret) else {
            continue;
        };
        // Whether one that may not be seen has the label is not known either.
        let may_be = facts.is_client_key || facts.uid.is_empty();
        if may_be && facts.values.is_none() {
            taken_over.insert(format!(
                "the client keys in Secret {secret} are valid, and used by no other namespace"
            ));
            let facts = Arc::make_mut(facts);
            facts.is_client_key = true;
            values.entry(secret.clone()).or_default().insert(
                Name::from(""),
                ValueFacts {
                    digest: crate::plan::client_keys::assumed(&secret),
                    shape: Shape::ClientKey,
                },
            );
        }
    }
    for (secret, values) in values {
        if let Some(SecretLookup::Present(facts)) = snapshot.secrets.get_mut(&secret) {
            Arc::make_mut(facts).values = Some(Arc::new(values));
        }
    }
    taken_over.into_iter().collect()
}

fn sources(facts: &KeyRefFacts) -> impl Iterator<Item = &SecretKey> {
    let key = facts.object.spec.as_ref().ok();
    key.into_iter().flat_map(|key| {
        let staged = key.next.as_ref().map(|next| &next.source);
        std::iter::once(&key.source).chain(staged)
    })
}

fn lookup(snapshot: &Snapshot, facts: &KeyRefFacts, source: &SecretKey) -> ValueLookup {
    let secret = snapshot.secrets.get(&source.secret());
    secret.map_or(ValueLookup::NoSecret, |secret| {
        secret.value(source, snapshot.remembered(facts))
    })
}

/// A status shows the beginning of a digest, which is all that a policy says of it, too.
fn beginning_with(fingerprint: Fingerprint) -> Digest {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&fingerprint.0);
    Hex(bytes)
}

/// A Secret that whoever asks may not see, with the permissions that a key in use proves.
fn unseen(workspace: &NamespacedName) -> SecretFacts {
    SecretFacts {
        uid: Name::from(""),
        resource_version: Name::from(""),
        created: None,
        is_client_key: false,
        notes: Some(Box::new(SourceNotes {
            allow_namespaces: vec![Name::from("*")],
            allow_workspaces: vec![workspace.clone()],
            ..SourceNotes::default()
        })),
        output: None,
        values: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ApiKeyRef, Guarded, convert};
    use crate::plan::plan;
    use crate::plan::world::{Access, Change, Unseen, World};
    use crate::policy::catalogue::Catalogue;
    use serde_json::{Value, json};

    const VERSION: &str = "1a2b3c4d5e6f7081";

    /// A Workspace with one key, whose Secret is there unread, or may not be looked at.
    fn snapshot(status: Value, access: Access) -> Snapshot {
        let meta = |name: &str| json!({"name": name, "namespace": "claude"});
        let workspace = json!({"metadata": meta("w"), "spec": {}});
        let key = json!({"metadata": meta("k"), "status": status, "spec": {
            "workspaceRef": {"name": "w"},
            "service": "s",
            "source": {"secretKeyRef": {"name": "anthropic", "key": "api-key"}},
        }});
        let key: ApiKeyRef = serde_json::from_value(key).expect("an ApiKeyRef");
        let workspace = serde_json::from_value(workspace).expect("a Workspace");
        let secret = serde_json::from_value(meta("anthropic")).expect("metadata");
        let mut world = World::new(Arc::new(Catalogue::built_in()), Unseen::Waits);
        let workspace = convert::workspace(&Guarded(Ok(workspace))).expect("a name");
        let key = convert::api_key_ref(&Guarded(Ok(key))).expect("a name");
        world.apply(Change::Workspace(workspace));
        world.apply(Change::KeyRef(key));
        if access == Access::Listed {
            let name = NamespacedName::new("claude", "anthropic");
            world.apply(Change::Secret(name, convert::secret(&secret)));
        }
        world.apply(Change::SecretAccess("claude".into(), access));
        let name = NamespacedName::new("claude", "w");
        world
            .snapshot(&name, jiff::Timestamp::UNIX_EPOCH)
            .expect("all was looked at")
    }

    fn version_in_policy(snapshot: &Snapshot) -> Option<String> {
        let policy = plan(snapshot).resolution.expect("a Workspace").policy;
        let row = policy.keys.into_values().next().expect("one key");
        row.fingerprint.map(|fingerprint| fingerprint.to_string())
    }

    #[test]
    fn a_key_is_the_version_that_its_status_shows_whether_its_secret_may_be_seen_or_not() {
        let status = json!({"fingerprint": VERSION, "activeFrom": "2026-11-01T00:00:00Z"});
        for access in [Access::Listed, Access::Denied] {
            let mut snapshot = snapshot(status.clone(), access);
            // Who may not look keeps to the status anyway; who may look has to.
            let before = version_in_policy(&snapshot);
            assert_eq!(before.is_some(), access == Access::Denied);
            let assumed = fill_in(&mut snapshot, &BTreeSet::new());
            assert_eq!(
                assumed,
                [format!(
                    "ApiKeyRef claude/k still has version {VERSION}, as its status says"
                )]
            );
            assert_eq!(
                version_in_policy(&snapshot).as_deref(),
                Some(VERSION),
                "{access:?}"
            );
        }
    }

    #[test]
    fn a_key_whose_status_shows_no_version_stays_unusable() {
        for access in [Access::Listed, Access::Denied] {
            let mut snapshot = snapshot(json!({}), access);
            assert_eq!(fill_in(&mut snapshot, &BTreeSet::new()), [""; 0]);
            assert_eq!(version_in_policy(&snapshot), None, "{access:?}");
        }
    }
}

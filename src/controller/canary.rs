//! Canaries: key values that nothing else has, and every text that is made while they are in hand.
//! Must not print one when it is found: a failure names the place.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kube::core::object::HasStatus;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use super::cycle::Cycle;
use super::fake::{Fake, status};
use super::news::{Advice, News};
use crate::api::{Guarded, convert};
use crate::facts::{Rivalry, Snapshot};
use crate::plan::world::{Access, Change, Unseen, World};
use crate::policy::catalogue::Catalogue;
use crate::policy::digest::Digest;
use crate::policy::name::NamespacedName;

/// How much of a value's own part is already too much.
const SLICE: usize = 12;

/// What each value begins with, by the name of its Secret.
const CANARIES: [(&str, &str); 11] = [
    ("good", "sk-ant-api03-EXAMPLE-"),
    ("shared", "sk-ant-api03-EXAMPLE-"),
    ("admin", "sk-ant-admin01-EXAMPLE-"),
    ("enterprise", "sk-ant-api01-EXAMPLE-"),
    ("oauth", "sk-ant-oat01-EXAMPLE-"),
    ("blank-inside", "sk-ant-api03-EXAMPLE "),
    ("two-lines", "sk-ant-api03-EXAMPLE\n"),
    ("not-ascii", "sk-ant-api03-EXAMPLE-\u{fc}"),
    ("other", "EXAMPLE"),
    ("client", "client-EXAMPLE-"),
    ("bad-client", "sk-ant-EXAMPLE-"),
];

/// The part of a value that nothing else has.
fn own(name: &str) -> String {
    let digest = Digest::of(format!("canary {name}").as_bytes()).to_string();
    digest[..40].to_owned()
}

fn value((name, prefix): (&str, &str)) -> String {
    format!("{prefix}{}", own(name))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As `Debug` and JSON show bytes, blanks aside.
fn decimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte},")).collect()
}

/// Whether a text has a slice of one of the values: as it is, in hex, in base64 however it is
/// aligned, or as a list of numbers.
fn has_any(text: &str) -> bool {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let mut slices: BTreeMap<usize, HashSet<String>> = BTreeMap::new();
    for (name, _) in CANARIES {
        let own = own(name).into_bytes();
        for slice in own.windows(SLICE) {
            let plain = String::from_utf8_lossy(slice).into_owned();
            let upper = hex(slice).to_uppercase();
            for needle in [plain, hex(slice), upper, decimal(slice)] {
                slices.entry(needle.len()).or_default().insert(needle);
            }
        }
        for skip in 0..3 {
            // Up to its last whole group, which what follows it does not change.
            let encoded = &STANDARD.encode(&own[skip..])[..48];
            for slice in encoded.as_bytes().windows(4 * SLICE / 3) {
                let needle = String::from_utf8_lossy(slice).into_owned();
                slices.entry(needle.len()).or_default().insert(needle);
            }
        }
    }
    let found = |(length, slices): (&usize, &HashSet<String>)| {
        let mut windows = text.as_bytes().windows(*length);
        windows.any(|window| std::str::from_utf8(window).is_ok_and(|text| slices.contains(text)))
    };
    slices.iter().any(found)
}

// === the world they are in ===

fn metadata(name: &str) -> Value {
    json!({
        "namespace": "claude", "name": name, "uid": format!("uid-{name}"), "generation": 1,
        "resourceVersion": "1", "creationTimestamp": "2026-10-01T00:00:00Z",
    })
}

fn is_client(name: &str) -> bool {
    name.ends_with("client")
}

/// The metadata of a canary's Secret as kubectl leaves it: the value is in it, too, and once more
/// where somebody pasted it by mistake.
fn secret_metadata(canary: (&str, &str)) -> Value {
    let mut metadata = metadata(canary.0);
    metadata["annotations"] = json!({
        "kubectl.kubernetes.io/last-applied-configuration": STANDARD.encode(value(canary)),
        "anthropic-rbac.io/key-id": value(canary),
        "anthropic-rbac.io/issued-at": value(canary),
    });
    if is_client(canary.0) {
        metadata["labels"] = json!({"anthropic-rbac.io/client-key": "true"});
    }
    metadata
}

/// `name` with its spec.
fn object<K: HasStatus>(name: &str, spec: Value) -> Guarded<K>
where
    Guarded<K>: DeserializeOwned,
{
    let object = json!({"metadata": metadata(name), "spec": spec});
    serde_json::from_value(object).unwrap()
}

/// A Workspace with a key for its gateway, an ApiKeyRef with a target for each API key, and a
/// RoleBinding for each client key. No value has been read.
fn world() -> World {
    let mut world = World::new(Arc::new(Catalogue::built_in()), Unseen::Absent);
    let spec = json!({
        "keys": {"defaultApiKeyRef": {"name": "shared"}},
        "gateways": [{"name": "edge", "type": "Envoy"}],
    });
    let workspace = convert::workspace(&object("production", spec)).unwrap();
    world.apply(Change::Workspace(workspace));
    for canary in CANARIES {
        let (name, reference) = (canary.0, json!({"name": "production"}));
        let meta = serde_json::from_value(secret_metadata(canary)).unwrap();
        let secret = NamespacedName::new("claude", name);
        world.apply(Change::Secret(secret, convert::secret(&meta)));
        world.apply(match is_client(name) {
            true => {
                let spec = json!({
                    "workspaceRef": reference,
                    "roleRef": {"kind": "ApplicationRole", "name": "user"},
                    "subjects": [{"kind": "ClientKey", "name": name}],
                });
                Change::Binding(convert::role_binding(&object(name, spec)).unwrap())
            }
            false => {
                let spec = json!({
                    "workspaceRef": reference,
                    "service": name,
                    "source": {"secretKeyRef": {"name": name, "key": "api-key"}},
                    "target": {"secretName": format!("{name}-target")},
                });
                Change::KeyRef(convert::api_key_ref(&object(name, spec)).unwrap())
            }
        });
    }
    world.apply(Change::SecretAccess("claude".into(), Access::Listed));
    world
}

fn snapshot(world: &World) -> Snapshot {
    let now: Timestamp = "2026-11-24T00:00:00Z".parse().unwrap();
    let name = NamespacedName::new("claude", "production");
    world.snapshot(&name, now).expect("nothing to wait for")
}

/// An API server with the Secrets. With `panics`, what receives a new Secret panics, in the same
/// task as the cycle that has just put it together.
fn server(panics: bool) -> Fake {
    Fake::new(move |what| {
        let sources = "GET /api/v1/namespaces/claude/secrets/";
        if let Some(name) = what.strip_prefix(sources) {
            let found = CANARIES.into_iter().find(|canary| canary.0 == name);
            return found.map_or_else(
                || status(404, "NotFound"),
                |canary| {
                    let data = json!({"api-key": STANDARD.encode(value(canary))});
                    let metadata = secret_metadata(canary);
                    (200, json!({"metadata": metadata, "data": data}))
                },
            );
        }
        assert!(
            !(panics && what.starts_with("POST") && what.ends_with("/secrets")),
            "forced while keys are in hand"
        );
        (200, json!({"metadata": metadata("production")}))
    })
}

fn cycle(fake: &Fake, world: &World) -> (Cycle, UnboundedReceiver<News>) {
    let (reader, told) = fake.reader();
    let cycle = Cycle {
        reader,
        snapshot: snapshot(world),
        failures: 0,
        early: false,
        superseded: Arc::default(),
        identity: "operator-0".into(),
    };
    (cycle, told)
}

/// Hears a cycle out as the loop does: its question is answered, by nobody else's claims, and
/// all else is kept.
async fn hear(mut told: UnboundedReceiver<News>, early: bool) -> Vec<News> {
    let mut heard = Vec::new();
    while let Some(news) = told.recv().await {
        if let News::Asked { answer, .. } = news {
            let rivalry = Rivalry {
                keys: Vec::new(),
                client_keys: Vec::new(),
            };
            let advice = Advice { rivalry, early };
            answer.send(advice).expect("it waits for that");
        } else {
            heard.push(news);
        }
    }
    heard
}

mod tests;

//! Policies at random, as manifests of one Workspace with an Envoy gateway: all kinds of subjects,
//! roles, limits, times and keys, mostly right and often generous, so that much is allowed.
//! Must not know what follows from them.

use anthropic_rbac::policy::digest::Digest;
use serde_json::{Value, json};

use crate::random::Random;
use crate::rendered::{GATEWAY, KEY_SET, NAMESPACE, WORKSPACE};

pub(crate) const ACCOUNTS: [(&str, &str); 3] =
    [("search", "web"), ("search", "job"), ("batch", "web")];
pub(crate) const USERS: [&str; 4] = ["uma@example.com", "eve@example.com", "u 1", "zoë"];
pub(crate) const GROUPS: [&str; 4] = ["ops", "science", "Ops", "all staff"];
/// The last is bound nowhere.
pub(crate) const CLIENT_KEYS: [&str; 4] = [
    "EXAMPLE-client-key-aaaaaaaaaaaaaaaa",
    "EXAMPLE-client-key-bbbbbbbbbbbbbbbb",
    "EXAMPLE-client-key-~!@#$%^&*()_+{}|:",
    "EXAMPLE-client-key-nobody-has-it-00",
];
/// The last can be asked for, but not be named in a policy.
pub(crate) const MODELS: [&str; 8] = [
    "claude-haiku-4-5",
    "claude-haiku-4-5-20251001",
    "claude-haiku-5-5",
    "claude-sonnet-5",
    "claude-opus-5",
    "claude-opus-5-5",
    "gpt-x",
    "クロード",
];
/// Issuers of OpenID Connect, each with its URL.
pub(crate) const ISSUERS: [(&str, &str); 2] = [
    ("corp", "https://login.example.com"),
    ("lab", "https://lab.example.com/"),
];
/// The issuer of ServiceAccount tokens.
pub(crate) const CLUSTER: &str = "cluster";
pub(crate) const AUDIENCES: [&str; 2] = ["claude-production", "claude"];

/// More than any test sends: what is refused is never refused for being too often.
const UNLIMITED: u32 = 1_000_000;

const CAPS: [u32; 7] = [1, 16, 512, 1024, 4096, 8192, 1_000_000];
const PAST: [&str; 2] = ["2020-01-01T00:00:00Z", "2026-01-01T00:00:00Z"];
const FUTURE: [&str; 2] = ["2090-01-01T00:00:00Z", "2099-12-31T23:59:59Z"];

/// The manifests of a seed.
pub(crate) fn any_world(seed: u64) -> Vec<Value> {
    let random = &mut Random::new(seed);
    let mut roles = vec!["viewer", "user", "power", "power", "admin", "admin"];
    let mut objects = vec![workspace(random, &mut roles)];
    for i in 0..3 + random.below(12) {
        objects.push(binding(random, i, &roles));
    }
    for name in ["shared", "k1", "k2", "k3"] {
        if random.chance(if name == "shared" { 95 } else { 60 }) {
            objects.extend(key(random, name));
        }
    }
    for (i, value) in CLIENT_KEYS[..2].iter().enumerate() {
        let mut client = secret(&format!("client-{i}"), json!({"a": value}));
        client["metadata"]["labels"] = json!({"anthropic-rbac.io/client-key": "true"});
        objects.push(client);
    }
    objects
}

/// An object of ours.
pub(crate) fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "anthropic-rbac.io/v1alpha1",
        "kind": kind,
        "metadata": {"namespace": NAMESPACE, "name": name},
        "spec": spec,
    })
}

/// A Secret.
pub(crate) fn secret(name: &str, values: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": NAMESPACE, "name": name},
           "stringData": values})
}

/// An ApiKeyRef `shared`, and the Secret that it has this key from.
pub(crate) fn shared_key(key: &str) -> [Value; 2] {
    let source = json!({"secretKeyRef": {"name": "shared", "key": "api-key"}});
    let spec = json!({"workspaceRef": {"name": WORKSPACE}, "service": "shared", "source": source});
    [
        object("ApiKeyRef", "shared", spec),
        secret("shared", json!({"api-key": key})),
    ]
}

/// A RoleBinding of an ApplicationRole for these subjects.
pub(crate) fn role_binding(name: &str, role: &str, subjects: &[Value]) -> Value {
    let role = json!({"kind": "ApplicationRole", "name": role});
    let spec = json!({"workspaceRef": {"name": WORKSPACE}, "roleRef": role, "subjects": subjects});
    object("RoleBinding", name, spec)
}

/// A client key as a subject.
pub(crate) fn client_key(key: &str) -> Value {
    json!({"kind": "ClientKey", "sha256": [Digest::of(key.as_bytes()).to_string()]})
}

fn workspace(random: &mut Random, roles: &mut Vec<&'static str>) -> Value {
    let mut spec = json!({
        "gateways": [{"name": GATEWAY, "type": "Envoy"}],
        "workspaceId": "wrkspc_01EXAMPLE",
        "authentication": {"issuers": issuers(random)},
    });
    if random.chance(4) {
        spec["state"] = json!("Disabled");
    }
    if random.chance(35) {
        spec["models"] = random
            .pick(&[
                json!(["claude-*"]),
                json!(["claude-haiku-4-5", "gpt-*"]),
                json!(["claude-opus-5", "claude-haiku-*", "claude-sonnet-5"]),
                json!(["*"]),
            ])
            .clone();
    }
    if random.chance(40) {
        spec["defaultMaxTokens"] = json!(random.pick(&CAPS));
    }
    let mut changed: Vec<Value> = Vec::new();
    for name in ["user", "power", "admin"] {
        let mut role = json!({"name": name, "requestsPerMinute": UNLIMITED});
        if random.chance(30) {
            role["maxTokens"] = json!(random.pick(&CAPS));
        }
        if random.chance(25) {
            role["models"] = models(random);
        }
        changed.push(role);
    }
    for name in ["batch", "night"] {
        if random.chance(50) {
            changed.push(
                json!({"name": name, "apiAccess": "Allowed", "models": models(random),
                "maxTokens": random.pick(&CAPS), "requestsPerMinute": UNLIMITED}),
            );
            roles.push(name);
        }
    }
    spec["roles"] = json!(changed);
    if random.chance(85) {
        spec["keys"]["defaultApiKeyRef"] =
            json!({"name": random.pick(&["shared", "shared", "k1"])});
    }
    if random.chance(20) {
        let all = (0..1 + random.below(2)).map(|_| subject(random));
        let mut all: Vec<Value> = all.collect();
        all.dedup();
        // Whom no issuer vouches for cannot be blocked.
        let issuers = spec["authentication"]["issuers"].as_array();
        let known =
            |name: &Value| issuers.is_some_and(|all| all.iter().any(|one| one["name"] == *name));
        all.retain(|one| one["issuer"].is_null() || known(&one["issuer"]));
        if !all.is_empty() {
            spec["blockedSubjects"] = json!(all);
        }
    }
    object("Workspace", WORKSPACE, spec)
}

fn models(random: &mut Random) -> Value {
    let patterns = ["claude-*", "*", "claude-haiku-*", "gpt-*", "claude-opus-5*"];
    let mut all: Vec<&str> = (0..1 + random.below(3))
        .map(|_| {
            if random.chance(50) {
                *random.pick(&MODELS[..7])
            } else {
                *random.pick(&patterns)
            }
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    json!(all)
}

fn issuers(random: &mut Random) -> Value {
    let audiences = |random: &mut Random| match random.below(4) {
        0 => json!([AUDIENCES[1]]),
        1 => json!([AUDIENCES[0]]),
        _ => json!(AUDIENCES),
    };
    let mut all = Vec::new();
    if random.chance(80) {
        all.push(json!({"name": CLUSTER, "type": "Kubernetes", "audiences": audiences(random)}));
    }
    for (name, url) in ISSUERS {
        if !random.chance(85) {
            continue;
        }
        let mut issuer = json!({"name": name, "type": "OIDC", "issuerURL": url,
            "jwksConfigMapRef": {"name": name, "key": KEY_SET}, "audiences": audiences(random)});
        if random.chance(60) {
            issuer["userClaim"] = json!(random.pick(&["email", "email", "preferred_username"]));
        }
        if random.chance(75) {
            issuer["groupsClaim"] = json!(random.pick(&["groups", "groups", "roles"]));
        }
        all.push(issuer);
    }
    if all.is_empty() {
        all.push(json!({"name": CLUSTER, "type": "Kubernetes", "audiences": [AUDIENCES[0]]}));
    }
    json!(all)
}

fn subject(random: &mut Random) -> Value {
    let (issuer, _) = random.pick(&ISSUERS);
    match random.below(10) {
        0..=2 => {
            let (namespace, name) = random.pick(&ACCOUNTS);
            json!({"kind": "ServiceAccount", "namespace": namespace, "name": name})
        }
        3..=4 => json!({"kind": "User", "name": random.pick(&USERS), "issuer": issuer}),
        5..=6 => json!({"kind": "Group", "name": random.pick(&GROUPS), "issuer": issuer}),
        7 => json!({"kind": "ClientKey", "name": format!("client-{}", random.below(2))}),
        _ => {
            let digest = Digest::of(CLIENT_KEYS[random.below(3)].as_bytes());
            json!({"kind": "ClientKey", "sha256": [digest.to_string()]})
        }
    }
}

fn subjects(random: &mut Random, most: usize) -> Value {
    let mut all: Vec<Value> = Vec::new();
    for _ in 0..1 + random.below(most) {
        let subject = subject(random);
        if !all.contains(&subject) {
            all.push(subject);
        }
    }
    json!(all)
}

fn binding(random: &mut Random, i: usize, roles: &[&str]) -> Value {
    let mut spec = json!({
        "workspaceRef": {"name": WORKSPACE},
        "roleRef": {"kind": "ApplicationRole", "name": random.pick(roles)},
        "subjects": subjects(random, 9),
    });
    match random.below(20) {
        0 => spec["expiresAt"] = json!(random.pick(&PAST)),
        1 => spec["notBefore"] = json!(random.pick(&FUTURE)),
        2 => {
            spec["notBefore"] = json!(random.pick(&PAST));
            spec["expiresAt"] = json!(random.pick(&FUTURE));
        }
        3 => spec["state"] = json!("Disabled"),
        _ => {}
    }
    object("RoleBinding", &format!("b{i}"), spec)
}

/// A key, with or without what it is made from.
fn key(random: &mut Random, name: &str) -> Vec<Value> {
    let mut spec = json!({
        "workspaceRef": {"name": WORKSPACE},
        "service": name,
        "source": {"secretKeyRef": {"name": format!("anthropic-{name}"), "key": "api-key"}},
    });
    if name != "shared" || random.chance(20) {
        spec["usedBy"] = subjects(random, 4);
    }
    if random.chance(15) {
        spec["scope"] = json!("Organization");
    }
    if random.chance(8) {
        spec["state"] = json!("Revoked");
    }
    let value = format!("sk-ant-api03-EXAMPLE-{name}-{:04}", random.below(10_000));
    let ending = random.pick(&["", "", "\n"]);
    let source = secret(
        &format!("anthropic-{name}"),
        json!({"api-key": format!("{value}{ending}")}),
    );
    vec![object("ApiKeyRef", name, spec), source]
}

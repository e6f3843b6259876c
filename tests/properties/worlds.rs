//! Whole worlds at random, as users would write them: Workspaces, RoleBindings, ApiKeyRefs,
//! Secrets and namespaces of a platform team, two service teams and a hostile tenant, with
//! what is right and what is wrong mixed. Must not know what follows from them.

use serde_json::{Value, json};

use crate::random::Random;

/// Objects of one world, and the seed they came from, for choices a property makes of its own.
#[derive(Clone, Debug)]
pub struct World {
    pub seed: u64,
    pub objects: Vec<Value>,
}

/// When all worlds are looked at.
pub const NOW: &str = "2026-11-24T00:00:00Z";
/// The platform's, two teams', and the hostile tenant's.
pub const NAMESPACES: [&str; 4] = ["claude", "search", "batch", HOSTILE];
/// The hostile tenant's namespace.
pub const HOSTILE: &str = "mallory";
/// The last belongs to the hostile tenant.
pub const WORKSPACES: [&str; 3] = ["claude/production", "claude/staging", "mallory/own"];
pub const ACCOUNTS: [&str; 2] = ["web", "job"];
pub const USERS: [&str; 2] = ["uma@example.com", "eve@example.com"];
pub const GROUPS: [&str; 2] = ["ops", "science"];
pub const MODELS: [&str; 6] = [
    "claude-haiku-4-5",
    "claude-haiku-4-5-20251001",
    "claude-haiku-5-5",
    "claude-sonnet-5",
    "claude-opus-5",
    "gpt-x",
];
/// Client keys, good ones first.
pub const CLIENT_KEYS: [&str; 5] = [
    "EXAMPLE-client-key-aaaaaaaaaaaaaaaa",
    "EXAMPLE-client-key-bbbbbbbbbbbbbbbb",
    "EXAMPLE-client-key-cccccccccccccccc",
    "EXAMPLE-too-short",
    "eyEXAMPLE-client-key-dddddddddddddddd",
];
/// How many of [`CLIENT_KEYS`] are good.
pub const GOOD_CLIENT_KEYS: usize = 3;
/// Values where an API key belongs, good ones first.
const API_KEYS: [&str; 8] = [
    "sk-ant-api03-EXAMPLE-aaaaaaaaaaaaaaaa",
    "sk-ant-api03-EXAMPLE-bbbbbbbbbbbbbbbb",
    "sk-ant-api03-EXAMPLE-cccccccccccccccc\n",
    "sk-ant-api03-EXAMPLE-dddddddddddddddd",
    "sk-ant-admin01-EXAMPLE",
    "sk-ant-api01-EXAMPLE",
    "sk-ant-api03-EXAMPLE two",
    "hunter2-EXAMPLE",
];
const ROLES: [&str; 7] = [
    "viewer", "user", "power", "admin", "batch", "broken", "nobodys",
];
const INSTANTS: [&str; 6] = [
    "2026-10-01T00:00:00Z",
    "2026-11-23T23:59:59Z",
    "2026-11-24T00:00:00Z",
    "2026-11-24T00:00:01Z",
    "2026-12-24T12:00:00Z",
    "2027-03-01T00:00:00Z",
];
const BIRTHS: [&str; 4] = [
    "2026-09-01T00:00:00Z",
    "2026-09-02T00:00:00Z",
    "2026-10-01T00:00:00Z",
    "2026-11-01T00:00:00Z",
];
const SOURCES: [&str; 2] = ["source", "spare"];
const CLIENTS: [&str; 2] = ["client", "guest"];

/// The world of a seed.
pub fn any_world(seed: u64) -> World {
    let random = &mut Random::new(seed);
    let mut objects = namespaces(random);
    objects.push(workspace(random, WORKSPACES[0]));
    for other in &WORKSPACES[1..] {
        if random.chance(40) {
            objects.push(workspace(random, other));
        }
    }
    for namespace in NAMESPACES {
        for name in SOURCES {
            if random.chance(60) {
                objects.push(source(random, namespace, name));
            }
        }
        for name in CLIENTS {
            if random.chance(25) {
                objects.push(client(random, namespace, name));
            }
        }
        if random.chance(10) {
            objects.push(squatter(random, namespace));
        }
    }
    for i in 0..random.below(7) {
        objects.push(binding(random, i));
    }
    if random.chance(70) {
        objects.push(key(random, "claude", "shared"));
    }
    for i in 0..random.below(5) {
        let namespace = random.pick(&NAMESPACES);
        objects.push(key(random, namespace, &format!("k{i}")));
    }
    World { seed, objects }
}

fn namespaces(random: &mut Random) -> Vec<Value> {
    let one = |random: &mut Random, name: &str| {
        let mut labels = json!({"kubernetes.io/metadata.name": name});
        if random.chance(50) {
            labels["claude"] = json!(random.pick(&["enabled", "Enabled", "", "no"]));
        }
        if random.chance(30) {
            labels["team"] = json!(random.pick(&["search", "batch", "mallory"]));
        }
        if random.chance(20) {
            labels["anthropic-rbac.io/environment"] = json!("staging");
        }
        json!({"kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    };
    NAMESPACES.map(|name| one(random, name)).to_vec()
}

/// Any of our objects: kind, `namespace/name`, spec.
pub fn object(random: &mut Random, kind: &str, name: &str, spec: Value) -> Value {
    let (namespace, name) = name.split_once('/').expect("namespace/name");
    json!({
        "apiVersion": "anthropic-rbac.io/v1alpha1",
        "kind": kind,
        "metadata": {"namespace": namespace, "name": name, "creationTimestamp": random.pick(&BIRTHS)},
        "spec": spec,
    })
}

fn workspace(random: &mut Random, name: &str) -> Value {
    let mut spec = json!({});
    if random.chance(6) {
        spec["state"] = json!("Disabled");
    }
    if random.chance(30) {
        spec["models"] = random
            .pick(&[
                json!(["claude-*"]),
                json!(["claude-haiku-4-5", "gpt-*"]),
                json!(["claude-opus-5"]),
            ])
            .clone();
    }
    if random.chance(20) {
        spec["defaultMaxTokens"] = json!(random.pick(&[1, 300, 100_000]));
    }
    if random.chance(40) {
        spec["roles"] = roles(random);
    }
    if random.chance(70) {
        spec["keys"]["defaultApiKeyRef"] =
            json!({"name": random.pick(&["shared", "shared", "k0"])});
    }
    if random.chance(15) {
        spec["keys"]["rotation"] = json!({"periodDays": random.pick(&[30, 60, 90]), "onOverdue": random.pick(&["Flag", "Suspend"])});
    }
    if random.chance(80) {
        let entries: Vec<Value> = (0..1 + random.below(3))
            .map(|_| admission(random))
            .collect();
        spec["allowedNamespaces"] = json!(entries);
    }
    if random.chance(15) {
        spec["blockedSubjects"] = json!([subject(random, "claude")]);
    }
    if random.chance(60) {
        spec["authentication"]["issuers"] = issuers(random);
    }
    if random.chance(40) {
        spec["gateways"] = json!([{"name": "edge", "type": "Envoy"}]);
    }
    if random.chance(10) {
        spec["workspaceId"] = json!("wrkspc_01EXAMPLE");
    }
    if random.chance(15) {
        spec["rateLimits"] = json!({"tier": "Tier1"});
    }
    object(random, "Workspace", name, spec)
}

fn roles(random: &mut Random) -> Value {
    let all = [
        json!({"name": "user", "maxTokens": 2048}),
        json!({"name": "power", "models": ["claude-sonnet-5", "gpt-*"], "requestsPerMinute": 33}),
        json!({"name": "viewer", "apiAccess": "Allowed", "models": ["claude-haiku-4-5"], "maxTokens": 64, "requestsPerMinute": 7}),
        json!({"name": "batch", "apiAccess": "Allowed", "models": ["claude-haiku-*"], "maxTokens": 9000, "requestsPerMinute": 1}),
        json!({"name": "admin", "apiAccess": "None"}),
        json!({"name": "broken", "apiAccess": "Allowed"}),
    ];
    let some: Vec<Value> = all.into_iter().filter(|_| random.chance(50)).collect();
    json!(some)
}

fn admission(random: &mut Random) -> Value {
    let mut entry = match random.below(6) {
        0 => json!({"selector": {}}),
        1 => json!({"selector": {"matchLabels": {"claude": "enabled"}}}),
        2 => json!({"selector": {"matchExpressions": [
            {"key": "team", "operator": random.pick(&["In", "NotIn"]), "values": ["search", "batch"]}]}}),
        3 => json!({"selector": {"matchExpressions": [
            {"key": "claude", "operator": random.pick(&["Exists", "DoesNotExist"])}]}}),
        4 => json!({"names": ["search"]}),
        _ => json!({"names": ["search", "batch"]}),
    };
    let roles: Vec<&str> = ROLES.into_iter().filter(|_| random.chance(40)).collect();
    if !roles.is_empty() {
        entry["roles"] = json!(roles);
    }
    if random.chance(30) {
        entry["subjects"] = json!(random.pick(&["Own", "Any"]));
    }
    if random.chance(60) {
        entry["apiKeyRefs"] = json!(random.pick(&["Allow", "Allow", "Deny"]));
    }
    entry
}

fn issuers(random: &mut Random) -> Value {
    let mut all = Vec::new();
    if random.chance(75) {
        all.push(json!({"name": "cluster", "type": "Kubernetes", "audiences": ["claude"]}));
    }
    let mut corp = json!({"name": "corp", "type": "OIDC", "issuerURL": "https://login.example.com",
        "jwksURI": "https://login.example.com/keys", "audiences": ["claude"]});
    if random.chance(80) {
        corp["groupsClaim"] = json!("groups");
    }
    all.push(corp);
    json!(all)
}

/// Any subject, as an object of `namespace` might name it.
pub fn subject(random: &mut Random, namespace: &str) -> Value {
    match random.below(10) {
        0..=3 => {
            let mut account = json!({"kind": "ServiceAccount", "name": random.pick(&ACCOUNTS)});
            if random.chance(60) {
                account["namespace"] =
                    json!(random.pick(&[namespace, namespace, "search", "claude"]));
            }
            account
        }
        4..=5 => {
            let issuer = random.pick(&["corp", "corp", "corp", "cluster", "nobodys"]);
            json!({"kind": "User", "name": random.pick(&USERS), "issuer": issuer})
        }
        6 => json!({"kind": "Group", "name": random.pick(&GROUPS), "issuer": "corp"}),
        7..=8 => {
            let mut client = json!({"kind": "ClientKey", "name": random.pick(&CLIENTS)});
            if random.chance(8) {
                client["namespace"] = json!(random.pick(&NAMESPACES));
            }
            client
        }
        _ => {
            let key = CLIENT_KEYS[random.below(GOOD_CLIENT_KEYS)];
            let digest = anthropic_rbac::policy::digest::Digest::of(key.as_bytes());
            json!({"kind": "ClientKey", "sha256": [digest.to_string()]})
        }
    }
}

fn subjects(random: &mut Random, namespace: &str, most: usize) -> Value {
    let some: Vec<Value> = (0..1 + random.below(most))
        .map(|_| subject(random, namespace))
        .collect();
    json!(some)
}

fn workspace_ref(random: &mut Random, namespace: &str) -> Value {
    let at = |name: &str| {
        let (namespace, name) = name.split_once('/').expect("namespace/name");
        json!({"namespace": namespace, "name": name})
    };
    match random.below(20) {
        0 if namespace == "claude" => json!({"name": "production"}),
        0 => json!({"name": "own"}),
        1 => at("claude/nobodys"),
        2..=4 => at(WORKSPACES[1]),
        5 => at(WORKSPACES[2]),
        _ => at(WORKSPACES[0]),
    }
}

/// A binding of any namespace.
pub fn binding(random: &mut Random, i: usize) -> Value {
    let namespace = random.pick(&["claude", "claude", "search", "search", "batch", HOSTILE]);
    let mut spec = json!({
        "workspaceRef": workspace_ref(random, namespace),
        "roleRef": {"kind": "ApplicationRole", "name": random.pick(&ROLES)},
        "subjects": subjects(random, namespace, 3),
    });
    if random.chance(15) {
        spec["notBefore"] = json!(random.pick(&INSTANTS));
    }
    if random.chance(25) {
        spec["expiresAt"] = json!(random.pick(&INSTANTS));
    }
    if random.chance(8) {
        spec["state"] = json!("Disabled");
    }
    if random.chance(5) {
        spec["roleRef"] = json!({"kind": "ConsoleRole", "name": random.pick(&["Owner", "Reader"])});
        spec["subjects"] = json!([{"kind": "User", "name": random.pick(&USERS)}]);
    }
    if random.chance(4) {
        spec["subjects"][0]["kind"] = json!("Robot");
    }
    object(random, "RoleBinding", &format!("{namespace}/b{i}"), spec)
}

fn data_key(random: &mut Random, namespace: &str) -> Value {
    let mut at = json!({"name": random.pick(&SOURCES), "key": random.pick(&["api-key", "api-key", "api-key", "other"])});
    if random.chance(45) {
        at["namespace"] = json!(random.pick(&[namespace, "claude", "claude", "search", HOSTILE]));
    }
    json!({"secretKeyRef": at})
}

/// A key of a namespace.
pub fn key(random: &mut Random, namespace: &str, name: &str) -> Value {
    let mut spec = json!({
        "workspaceRef": workspace_ref(random, namespace),
        "service": random.pick(&["search", "batch", name]),
        "source": data_key(random, namespace),
    });
    if random.chance(60) {
        spec["target"] = json!({"secretName": random.pick(&["target", "mapped", "source"])});
        if random.chance(20) {
            spec["target"]["deletionPolicy"] = json!("Retain");
        }
    }
    if random.chance(65) {
        spec["usedBy"] = subjects(random, namespace, 2);
    }
    if random.chance(15) {
        spec["next"] = data_key(random, namespace);
        if random.chance(70) {
            spec["next"]["activateAt"] = json!(random.pick(&INSTANTS));
        }
    }
    if random.chance(40) {
        spec["issuedAt"] = json!(random.pick(&INSTANTS));
    }
    if random.chance(15) {
        spec["expiresAt"] = json!(random.pick(&INSTANTS));
    }
    if random.chance(15) {
        spec["rotation"] = json!({"periodDays": random.pick(&[20, 50, 400]), "onOverdue": random.pick(&["Flag", "Suspend"])});
    }
    if random.chance(10) {
        spec["scope"] = json!("Organization");
    }
    if random.chance(8) {
        spec["state"] = json!("Revoked");
    }
    if random.chance(8) {
        let value = API_KEYS[random.below(2)];
        let digest = anthropic_rbac::policy::digest::Digest::of(value.as_bytes());
        spec["revokedFingerprints"] = json!([digest.fingerprint().to_string()]);
    }
    object(random, "ApiKeyRef", &format!("{namespace}/{name}"), spec)
}

fn secret(random: &mut Random, namespace: &str, name: &str, values: Value) -> Value {
    json!({
        "kind": "Secret",
        "metadata": {"namespace": namespace, "name": name, "creationTimestamp": random.pick(&BIRTHS)},
        "stringData": values,
    })
}

/// A Secret where an API key belongs.
pub fn source(random: &mut Random, namespace: &str, name: &str) -> Value {
    let value = |random: &mut Random| {
        let of = if random.chance(85) { 4 } else { API_KEYS.len() };
        API_KEYS[random.below(of)]
    };
    let mut values = json!({"api-key": value(random)});
    if random.chance(30) {
        values["other"] = json!(value(random));
    }
    let mut made = secret(random, namespace, name, values);
    let allow_namespaces = [
        "*",
        "search",
        "search, batch",
        HOSTILE,
        "search,",
        "Search",
        "*x",
        "claude",
    ];
    if random.chance(60) {
        made["metadata"]["annotations"]["anthropic-rbac.io/allow-namespaces"] =
            json!(random.pick(&allow_namespaces));
    }
    let allow_workspaces = [
        "claude/production",
        "claude/production,mallory/own",
        "claude/staging",
        "claude",
        "*",
        "claude/*",
    ];
    if random.chance(50) {
        made["metadata"]["annotations"]["anthropic-rbac.io/allow-workspaces"] =
            json!(random.pick(&allow_workspaces));
    }
    if random.chance(20) {
        made["metadata"]["annotations"]["anthropic-rbac.io/issued-at"] =
            json!(random.pick(&INSTANTS));
    }
    made
}

fn client(random: &mut Random, namespace: &str, name: &str) -> Value {
    let value = |random: &mut Random| {
        let of = if random.chance(90) {
            GOOD_CLIENT_KEYS
        } else {
            CLIENT_KEYS.len()
        };
        CLIENT_KEYS[random.below(of)]
    };
    let mut values = json!({"a": value(random)});
    if random.chance(30) {
        values["b"] = json!(value(random));
    }
    let mut made = secret(random, namespace, name, values);
    if random.chance(85) {
        made["metadata"]["labels"] =
            json!({"anthropic-rbac.io/client-key": random.pick(&["true", "true", "true", "True"])});
    }
    made
}

/// Somebody's Secret where a target would go, perhaps pretending to be ours.
fn squatter(random: &mut Random, namespace: &str) -> Value {
    let mut made = secret(
        random,
        namespace,
        "target",
        json!({"ANTHROPIC_API_KEY": "mine-EXAMPLE"}),
    );
    if random.chance(40) {
        made["metadata"]["annotations"]["anthropic-rbac.io/retained-by"] =
            json!(random.pick(&["k0", "k1", "shared"]));
    }
    made
}

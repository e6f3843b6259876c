//! What may be wrong with objects, and what a hostile tenant would try. Must not know whether it
//! works.

use anthropic_rbac::policy::digest::Digest;
use serde_json::{Value, json};

use crate::random::Random;
use crate::worlds::{self, HOSTILE, NOW, object};

/// Something broken, in every way there is, newer than everything else and by a name of its own.
pub fn broken(random: &mut Random) -> Vec<Value> {
    let at_home = |name: &str| json!({"name": name, "namespace": "claude"});
    let account = json!([{"kind": "ServiceAccount", "name": "web", "namespace": "search"}]);
    let binding = |random: &mut Random, name: &str, role: &str, subjects: &Value| {
        let spec = json!({"workspaceRef": at_home("production"), "roleRef": {"kind": "ApplicationRole", "name": role},
                          "subjects": subjects});
        object(random, "RoleBinding", name, spec)
    };
    let key = |random: &mut Random, name: &str, source: Value| {
        let spec = json!({"workspaceRef": at_home("production"), "service": "odd", "source": {"secretKeyRef": source},
                          "target": {"secretName": "odd"}});
        object(random, "ApiKeyRef", name, spec)
    };
    let secret = |values: Value| {
        json!({"kind": "Secret", "metadata": {"namespace": "search", "name": "odd-source",
        "labels": {"anthropic-rbac.io/client-key": "true"}}, "stringData": values})
    };
    let client = json!([{"kind": "ClientKey", "name": "odd-source"}]);
    let mut made = match random.below(18) {
        0 => vec![binding(random, "search/odd", "no-such", &account)],
        1 => vec![binding(
            random,
            "strange/odd",
            "admin",
            &json!([{"kind": "ServiceAccount", "name": "odd"}]),
        )],
        2 => vec![binding(
            random,
            "claude/odd",
            "admin",
            &json!([{"kind": "User", "name": "uma@example.com", "issuer": "unknown"}]),
        )],
        3 => vec![binding(
            random,
            "claude/odd",
            "admin",
            &json!([{"kind": "User", "name": "uma@example.com"}]),
        )],
        4 => vec![binding(
            random,
            "claude/odd",
            "admin",
            &json!([{"kind": "Robot", "name": "web"}]),
        )],
        5 => vec![binding(random, "search/odd", "user", &client)],
        6 => vec![
            binding(random, "search/odd", "user", &client),
            secret(json!({})),
        ],
        7 => vec![
            binding(random, "search/odd", "user", &client),
            secret(json!({"a": "sk-ant-api03-EXAMPLE-odd"})),
        ],
        8 => {
            let mut unlabelled = secret(json!({"a": "EXAMPLE-client-key-oddoddoddoddodd"}));
            unlabelled["metadata"]["labels"] = json!({});
            vec![binding(random, "search/odd", "user", &client), unlabelled]
        }
        9 => {
            let mut over = binding(random, "claude/odd", "admin", &account);
            over["spec"]["notBefore"] = json!("2027-01-01T00:00:00Z");
            over["spec"]["expiresAt"] = json!("2026-01-01T00:00:00Z");
            vec![over]
        }
        10 => {
            let mut console = binding(
                random,
                "search/odd",
                "Owner",
                &json!([{"kind": "User", "name": "uma@example.com"}]),
            );
            console["spec"]["roleRef"]["kind"] = json!("ConsoleRole");
            vec![console]
        }
        11 => {
            let mut nowhere = binding(random, "claude/odd", "admin", &account);
            nowhere["spec"]["workspaceRef"] = at_home("no-such");
            vec![nowhere]
        }
        12 => vec![key(
            random,
            "search/odd",
            json!({"name": "no-such", "key": "api-key"}),
        )],
        13 => vec![key(
            random,
            "strange/odd",
            json!({"name": "source", "key": "api-key", "namespace": "claude"}),
        )],
        14 => {
            let mut served = key(
                random,
                "search/odd",
                json!({"name": "no-such", "key": "api-key"}),
            );
            served["spec"]["usedBy"] =
                json!([{"kind": "ServiceAccount", "name": "web", "namespace": "batch"}]);
            vec![served]
        }
        15 => {
            let admin = json!({"api-key": "sk-ant-admin01-EXAMPLE-odd"});
            vec![
                key(
                    random,
                    "search/odd",
                    json!({"name": "odd-source", "key": "api-key"}),
                ),
                secret(admin),
            ]
        }
        16 => {
            let mut greedy = key(
                random,
                "search/odd",
                json!({"name": "no-such", "key": "api-key"}),
            );
            greedy["spec"]["target"] =
                json!({"secretName": random.pick(&["target", "mapped", "source"])});
            vec![greedy]
        }
        _ => {
            let spec = json!({"rateLimits": {"tier": "Tier9"}, "allowedNamespaces": [{"selector": {}, "roles": ["admin"]}]});
            vec![object(random, "Workspace", "claude/odd", spec)]
        }
    };
    made.iter_mut()
        .for_each(|object| object["metadata"]["creationTimestamp"] = json!(NOW));
    made
}

/// Things a hostile tenant would try, whatever the world: others' subjects, keys, Secrets and
/// targets by name.
pub fn trick(random: &mut Random, i: usize) -> Value {
    let name = format!("{HOSTILE}/trick{i}");
    let victim = random.pick(&["claude", "search", "batch"]);
    let at = json!({"name": random.pick(&["production", "staging"]), "namespace": "claude"});
    let own = json!({"name": "own", "namespace": HOSTILE});
    let source = json!({"secretKeyRef": {"name": random.pick(&["source", "spare"]), "key": "api-key", "namespace": victim}});
    let accounts = json!([{"kind": "ServiceAccount", "name": "web", "namespace": victim}]);
    let role = random.pick(&["viewer", "user", "power", "admin", "no-such"]);
    let role = json!({"kind": "ApplicationRole", "name": role});
    let (kind, name, spec) = match random.below(6) {
        0 => (
            "RoleBinding",
            name,
            json!({"workspaceRef": at, "roleRef": role, "subjects": accounts}),
        ),
        1 => {
            let key = worlds::CLIENT_KEYS[random.below(worlds::GOOD_CLIENT_KEYS)];
            let digest = Digest::of(key.as_bytes()).to_string();
            let subjects = json!([{"kind": "ClientKey", "sha256": [digest]}]);
            (
                "RoleBinding",
                name,
                json!({"workspaceRef": at, "roleRef": role, "subjects": subjects}),
            )
        }
        2 => {
            let target = json!({"secretName": "target"});
            (
                "ApiKeyRef",
                name,
                json!({"workspaceRef": at, "service": "s", "source": source, "usedBy": accounts, "target": target}),
            )
        }
        3 => (
            "ApiKeyRef",
            name,
            json!({"workspaceRef": own, "service": "s", "source": source}),
        ),
        4 => {
            let client = random.pick(&["client", "guest"]);
            let blocked = json!([{"kind": "ClientKey", "name": client, "namespace": victim}]);
            let all = json!([{"selector": {}, "roles": ["admin"], "subjects": "Any", "apiKeyRefs": "Allow"}]);
            let keys = json!({"defaultApiKeyRef": {"name": format!("trick{i}")}});
            let spec = json!({"blockedSubjects": blocked, "keys": keys, "allowedNamespaces": all});
            ("Workspace", format!("{HOSTILE}/own"), spec)
        }
        _ => {
            let all = json!([{"selector": {}, "roles": ["admin"], "apiKeyRefs": "Allow"}]);
            (
                "Workspace",
                format!("{HOSTILE}/production"),
                json!({"allowedNamespaces": all}),
            )
        }
    };
    object(random, kind, &name, spec)
}

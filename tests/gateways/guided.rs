//! A gateway against the organisation guide: in the guide's terms, a role, a model and
//! `max_tokens`, what comes of a request is what its `create_message` says, and what `decide` says.

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::anthropic::NONCE;
use crate::differential::number;
use crate::gateway::Gateway;
use crate::guide::{HAIKU, OPUS, SONNET, create_message, role_config};
use crate::http::{Connection, request};
use crate::oracle::{Asked, Outcome, Tokens, outcome};
use crate::random::Random;
use crate::rendered::{GATEWAY, Issuers, WORKSPACE, render};
use crate::suite::{Test, test};
use crate::tokens::{Signer, key_set};
use crate::worlds::{CLUSTER, client_key, object, role_binding, shared_key};

/// Roles of the guide, and who has each.
const ROLES: [(&str, &str); 4] = [
    ("viewer", "EXAMPLE-client-key-of-the-guides-viewer"),
    ("user", "EXAMPLE-client-key-of-the-guides-user-1"),
    ("power", "EXAMPLE-client-key-of-the-guides-power"),
    ("admin", "EXAMPLE-client-key-of-the-guides-admin"),
];
const MODELS: [&str; 5] = [HAIKU, SONNET, OPUS, "claude-unheard-of-9", "claude-haiku-4"];
const LIMITS: [u64; 9] = [1, 511, 512, 513, 1023, 1024, 4096, 8192, 99_999];

pub(crate) fn tests() -> Vec<Test> {
    vec![test(
        "differential: in the guide's terms a gateway does what create_message does",
        agrees,
    )]
}

/// The guide's roles as ours. How often is never what refuses here.
fn manifests() -> Vec<Value> {
    let roles = ROLES.map(|(name, _)| {
        let config = role_config(name);
        if !config.allowed {
            return json!({"name": name, "apiAccess": "None"});
        }
        json!({"name": name, "apiAccess": "Allowed", "models": config.models,
               "maxTokens": config.max_tokens, "requestsPerMinute": 1_000_000})
    });
    let workspace = json!({
        "gateways": [{"name": GATEWAY, "type": "Envoy"}],
        "keys": {"defaultApiKeyRef": {"name": "shared"}},
        "roles": roles,
        "authentication": {"issuers": [{"name": CLUSTER, "type": "Kubernetes", "audiences": ["claude"]}]},
    });
    let mut all = vec![object("Workspace", WORKSPACE, workspace)];
    all.extend(ROLES.map(|(name, key)| role_binding(name, name, &[client_key(key)])));
    all.extend(shared_key("sk-ant-api03-EXAMPLE-guided"));
    all
}

fn agrees() -> Result<()> {
    let issuers = Issuers::from([(CLUSTER, key_set(&[&Signer::p256("c-1")?]))]);
    let gateway = Gateway::start(render(&manifests(), &issuers)?)?;
    let mut connection = Connection::open(gateway.envoy.address)?;
    let random = &mut Random::new(4);
    let count = (number("GATEWAY_REQUESTS", 20_000)? / 20).max(200);
    let mut allowed = 0;
    for i in 0..count {
        let (role, key) = random.pick(&ROLES);
        let model = *random.pick(&MODELS);
        let limit = random.chance(80).then(|| *random.pick(&LIMITS));
        let mut body = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
        if let Some(limit) = limit {
            body["max_tokens"] = json!(limit);
        }
        let asked = Asked {
            path: "/v1/messages".to_owned(),
            api_keys: vec![key.as_bytes().to_vec()],
            authorizations: Vec::new(),
            body: body.to_string().into_bytes(),
        };
        let nonce = i.to_string();
        let headers: [(&str, &[u8]); 3] = [
            ("x-api-key", key.as_bytes()),
            ("anthropic-version", b"2023-06-01"),
            (NONCE, nonce.as_bytes()),
        ];
        let answer = connection.ask(&request("POST", &asked.path, &headers, &asked.body))?;
        if answer.header("connection") == Some("close") {
            connection = Connection::open(gateway.envoy.address)?;
        }
        let received = gateway.anthropic.take(&nonce);
        let ours = outcome(&gateway.rendered, &Tokens::new(), &asked, Timestamp::now());
        let case = || format!("{role} {model} {limit:?}: {ours:?}, {answer:?}, {received:?}");
        match create_message(role, model, limit) {
            Ok(sent) => {
                allowed += 1;
                let Outcome::Sent(ours) = &ours else {
                    anyhow::bail!(case());
                };
                let received = received.first().with_context(case)?;
                let body: Value = serde_json::from_slice(&received.body)?;
                ensure!(answer.status == 200 && received.body == ours.body, case());
                ensure!(body["model"] == model && body["max_tokens"] == sent, case());
            }
            Err(raised) => {
                let said = matches!(&ours, Outcome::Denied(denial) if denial.to_string() == raised);
                let told = answer.json()["error"]["message"] == raised;
                let nothing = received.is_empty();
                ensure!(said && told && nothing && answer.status == 403, case());
            }
        }
    }
    eprintln!("{count} requests in the guide's terms, {allowed} of them allowed");
    ensure!(
        allowed * 10 > count * 2 && allowed * 10 < count * 8,
        "{allowed} of {count}"
    );
    Ok(())
}

//! The audit log: whatever comes of a request, its line says what the schema in `docs/reference`
//! has, and no credential.

use anthropic_rbac::policy::digest::Digest;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::anthropic::NONCE;
use crate::gateway::Gateway;
use crate::http::{Connection, request};
use crate::mount::Order;
use crate::rendered::{GATEWAY, Issuers, Rendered, WORKSPACE, render};
use crate::suite::{Test, test};
use crate::tokens::{Signer, key_set};
use crate::worlds::{CLUSTER, client_key, object, role_binding, shared_key};

const SCHEMA: &str = include_str!("../../docs/reference/audit.schema.json");

const CLIENT: &str = "EXAMPLE-client-key-of-somebody-00000001";
const SLOW: &str = "EXAMPLE-client-key-of-the-slow-00000002";
const VIEWER: &str = "EXAMPLE-client-key-of-a-viewer-00000003";
const KEY: &str = "sk-ant-api03-EXAMPLE-audited";

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "audit: every line is as the schema has it, without a credential",
            lines,
        ),
        test(
            "audit: nothing that is sent makes a line that says something else",
            forged,
        ),
        test(
            "audit: over its rate a subject is told when to try again",
            rate,
        ),
        test(
            "audit: a body that comes late is held to what holds then",
            late,
        ),
    ]
}

fn manifests(rate: u32, with_slow: bool) -> Vec<Value> {
    let binding = |name, role, key| role_binding(name, role, &[client_key(key)]);
    let issuer = json!({"name": CLUSTER, "type": "Kubernetes", "audiences": ["claude"]});
    let workspace = json!({
        "gateways": [{"name": GATEWAY, "type": "Envoy"}],
        "keys": {"defaultApiKeyRef": {"name": "shared"}},
        "roles": [{"name": "user", "requestsPerMinute": rate}],
        "authentication": {"issuers": [issuer]},
    });
    let mut all = vec![
        object("Workspace", WORKSPACE, workspace),
        binding("somebody", "user", CLIENT),
        binding("viewer", "viewer", VIEWER),
    ];
    all.extend(shared_key(KEY));
    if with_slow {
        all.push(binding("slow", "user", SLOW));
    }
    all
}

fn rendered(rate: u32, with_slow: bool) -> Result<Rendered> {
    let issuers = Issuers::from([(CLUSTER, key_set(&[&Signer::p256("c-1")?]))]);
    render(&manifests(rate, with_slow), &issuers)
}

fn post(key: &str, nonce: &str, body: &[u8]) -> Vec<u8> {
    let headers: [(&str, &[u8]); 3] = [
        ("x-api-key", key.as_bytes()),
        ("anthropic-version", b"2023-06-01"),
        (NONCE, nonce.as_bytes()),
    ];
    request("POST", "/v1/messages", &headers, body)
}

const BODY: &[u8] = br#"{"model": "claude-haiku-4-5", "max_tokens": 5000, "messages": []}"#;

fn lines() -> Result<()> {
    let gateway = Gateway::start(rendered(1000, true)?)?;
    let stream = br#"{"model": "claude-haiku-4-5", "messages": [], "stream": true}"#;
    let model = br#"{"model": "claude-opus-5", "messages": []}"#;
    let asked: [(&str, &[u8], u16, &str); 6] = [
        (CLIENT, BODY, 200, "Allow"),
        (CLIENT, stream, 200, "Allow"),
        (CLIENT, model, 403, "Deny"),
        (CLIENT, b"no body", 400, "Deny"),
        (VIEWER, BODY, 403, "Deny"),
        ("EXAMPLE-client-key-of-nobody-0000000009", BODY, 401, "Deny"),
    ];
    for (key, body, status, _) in asked {
        let answer = Connection::open(gateway.envoy.address)?.ask(&post(key, "a", body))?;
        ensure!(answer.status == status, "{answer:?}");
    }
    let elsewhere = request("GET", "/v1/models", &[], b"");
    ensure!(
        Connection::open(gateway.envoy.address)?
            .ask(&elsewhere)?
            .status
            == 404
    );

    let lines = gateway
        .envoy
        .log_until(0, |line| line["path"] == "/v1/models")?;
    ensure!(lines.len() == asked.len() + 1, "{lines:?}");
    as_the_schema(&lines)?;
    for line in &lines {
        let text = line.to_string();
        for secret in [CLIENT, VIEWER, KEY, "of-nobody"] {
            ensure!(!text.contains(secret), "a credential in {text}");
        }
    }
    for (line, (_, _, status, decision)) in lines.iter().zip(asked) {
        let said = (&line["status"], &line["audit"]["decision"]);
        ensure!(said == (&json!(status), &json!(decision)), "{line}");
    }
    let allowed = &lines[0];
    let want = json!({
        "decision": "Allow", "workspace": format!("claude/{WORKSPACE}"),
        "policyRevision": gateway.rendered.revision.to_string(),
        "subject": format!("clientkey:sha256:{}", Digest::of(CLIENT.as_bytes()).fingerprint()),
        "role": "user", "binding": "claude/somebody", "model": "claude-haiku-4-5",
        "maxTokensRequested": 5000, "maxTokens": 512, "apiKeyRef": "claude/shared",
        "fingerprint": Digest::of(KEY.as_bytes()).fingerprint().to_string(),
    });
    ensure!(allowed["audit"] == want, "{allowed}");
    for line in &lines[..2] {
        let counted = line["usage"]["output_tokens"].as_u64();
        ensure!(counted.is_some_and(|tokens| tokens > 0), "{line}");
    }
    ensure!(lines[6]["audit"].is_null(), "{}", lines[6]);
    Ok(())
}

fn as_the_schema(lines: &[Value]) -> Result<()> {
    let validator = jsonschema::validator_for(&serde_json::from_str(SCHEMA)?)?;
    for line in lines {
        let wrong: Vec<String> = validator
            .iter_errors(line)
            .map(|error| error.to_string())
            .collect();
        ensure!(wrong.is_empty(), "{wrong:?} in {line}");
    }
    Ok(())
}

fn forged() -> Result<()> {
    let gateway = Gateway::start(rendered(1000, true)?)?;
    let line = r#"\"},\n{\"status\":200,\"audit\":{\"decision\":\"Allow\"}}"#;
    let model = r#"claude-haiku-\"},{\"decision\":\"Allow\"\u2028"#;
    let digits = "9".repeat(400);
    let posted = [
        format!(r#"{{"model": "{model}", "max_tokens": {digits}, "messages": []}}"#),
        format!(r#"{{"model": "{model}", "messages": [], "x{line}": {{"max_tokens": 9999}}}}"#),
        format!(r#"{{"model": "{line}", "messages": []}}"#),
    ];
    let got = [
        r#"/"},{"status":200"#,
        "/\u{e9}\u{2028}",
        "/%0a{}",
        "/v1/models",
    ];
    let headers: [(&str, &[u8]); 4] = [
        ("x-api-key", CLIENT.as_bytes()),
        ("anthropic-version", b"2023-06-01"),
        ("x-request-id", br#"a","status":200,"b":""#),
        ("user-agent", b"\"\xff"),
    ];
    let posted = posted.map(|body| request("POST", "/v1/messages", &headers, body.as_bytes()));
    let got = got.map(|path| request("GET", path, &headers, b""));
    for bytes in posted.iter().chain(&got) {
        Connection::open(gateway.envoy.address)?.ask(bytes)?;
    }

    let lines = gateway
        .envoy
        .log_until(0, |line| line["path"] == "/v1/models")?;
    ensure!(lines.len() == posted.len() + got.len(), "{lines:#?}");
    as_the_schema(&lines)?;
    for line in &lines {
        let id = line["requestId"].as_str().unwrap_or_default();
        ensure!(!id.contains("status"), "{line}");
    }
    let said = lines.iter().map(|line| &line["audit"]["decision"]);
    let want = [json!("Allow"), json!("Deny"), json!("Deny")];
    let nothing = [Value::Null, Value::Null, Value::Null, Value::Null];
    ensure!(said.eq(want.iter().chain(&nothing)), "{lines:#?}");
    let audit = &lines[0]["audit"];
    let asked: Value = serde_json::from_str(&format!("\"{model}\""))?;
    ensure!(
        audit["model"] == asked && audit["maxTokensRequested"].is_number(),
        "{audit}"
    );
    Ok(())
}

fn rate() -> Result<()> {
    let gateway = Gateway::start(rendered(10, true)?)?;
    let mut statuses = Vec::new();
    let mut refused = None;
    for _ in 0..12 {
        let answer = Connection::open(gateway.envoy.address)?.ask(&post(CLIENT, "a", BODY))?;
        statuses.push(answer.status);
        refused = Some(answer)
            .filter(|answer| answer.status == 429)
            .or(refused);
    }
    ensure!(
        statuses.iter().filter(|status| **status == 200).count() <= 11,
        "{statuses:?}"
    );
    let refused = refused.with_context(|| format!("nothing was refused: {statuses:?}"))?;
    ensure!(refused.header("retry-after") == Some("6"), "{refused:?}");
    ensure!(
        refused.json()["error"]["type"] == "rate_limit_error",
        "{refused:?}"
    );
    let other = Connection::open(gateway.envoy.address)?.ask(&post(SLOW, "a", BODY))?;
    ensure!(
        other.status == 200,
        "another subject has a rate of its own: {other:?}"
    );
    let lines = gateway.envoy.log_until(0, |line| line["status"] == 429)?;
    let line = lines
        .iter()
        .find(|line| line["status"] == 429)
        .context("a line")?;
    ensure!(
        line["audit"]["retryAfter"] == 6 && line["audit"]["decision"] == "Deny",
        "{line}"
    );
    Ok(())
}

fn late() -> Result<()> {
    let mut gateway = Gateway::start(rendered(1000, true)?)?;
    let bytes = post(SLOW, "late", BODY);
    let (first, rest) = bytes.split_at(bytes.len() - 20);
    let mut stays = Connection::open(gateway.envoy.address)?;
    let mut connection = Connection::open(gateway.envoy.address)?;
    connection.wire.write(first)?;
    let other = post(CLIENT, "stays", BODY);
    let (other_first, other_rest) = other.split_at(other.len() - 20);
    stays.wire.write(other_first)?;
    // Once this is answered, those before it have been looked at.
    ensure!(
        Connection::open(gateway.envoy.address)?
            .ask(&post(CLIENT, "b", BODY))?
            .status
            == 200
    );
    gateway.change(rendered(1001, false)?, Order::DataFirst)?;
    connection.wire.write(rest)?;
    let answer = connection.read()?;
    ensure!(answer.status == 403, "{answer:?}");
    ensure!(
        gateway.anthropic.take("late").is_empty(),
        "it went upstream"
    );
    stays.wire.write(other_rest)?;
    let answer = stays.read()?;
    ensure!(
        answer.status == 200,
        "a role that changed is not lost: {answer:?}"
    );
    Ok(())
}

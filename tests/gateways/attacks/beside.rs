//! Callers beside each other on one connection of HTTP/2.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::http2::{PSEUDO, USUAL};
use super::stage::{CLIENT, FORBIDDEN, OWN, SHARED, Stage, UNKNOWN, VIEWER, account_claims};
use crate::anthropic::NONCE;
use crate::envoy::until;
use crate::http2::{Connection, DATA, END_HEADERS, END_STREAM, HEADERS, block, frame};
use crate::worlds::CLUSTER;

/// Their bodies come byte by byte in turn: each gets what is its own, and nobody anything of
/// another's.
pub(super) fn run() -> Result<()> {
    let stage = Stage::new()?;
    let mut claims = account_claims();
    claims["sub"] = json!("system:serviceaccount:kube-system:root");
    let root = stage.signers.of(CLUSTER).token(&claims)?;
    // Who calls, with which of Anthropic's keys, and how many tokens it may have of which model.
    let callers = [
        (CLIENT, Some(OWN), 512, "claude-haiku-4-5"),
        (VIEWER, None, 0, "claude-haiku-4-5"),
        (&*root, Some(SHARED), 8192, FORBIDDEN),
        (CLIENT, None, 0, FORBIDDEN),
        (UNKNOWN, None, 0, FORBIDDEN),
        (&*root, Some(SHARED), 8192, "claude-haiku-4-5"),
    ];
    let mut connection = Connection::open(stage.gateway.envoy.address)?;
    let (mut heads, mut bodies) = (Vec::new(), Vec::new());
    for i in 0..60 {
        let (shown, _, _, model) = callers[i % callers.len()];
        let stream = u32::try_from(2 * i + 1)?;
        let nonce = i.to_string();
        let headers = [(NONCE, nonce.as_bytes()), ("x-api-key", shown.as_bytes())];
        let headers = [&PSEUDO[..], &USUAL[1..], &headers].concat();
        heads.extend(frame(HEADERS, END_HEADERS, stream, &block(&headers)));
        let asked = json!({"model": model, "max_tokens": 400 + 200 * i, "messages": [], "x": "x".repeat(i)});
        bodies.push((stream, asked.to_string().into_bytes()));
    }
    connection.wire.write(&heads)?;
    let longest = bodies.iter().map(|(_, body)| body.len()).max();
    for at in 0..=longest.unwrap_or_default() {
        let turn = bodies.iter().flat_map(|(stream, body)| match body.get(at) {
            Some(byte) => frame(DATA, 0, *stream, &[*byte]),
            None if at == body.len() => frame(DATA, END_STREAM, *stream, b""),
            None => Vec::new(),
        });
        connection.wire.write(&turn.collect::<Vec<_>>())?;
    }
    let wanted = (0..60).filter(|i| callers[i % callers.len()].1.is_some());
    let mut received = Vec::new();
    until("all that may have come", || {
        received.extend(stage.gateway.anthropic.take_all());
        Ok((received.len() >= wanted.clone().count()).then_some(()))
    })?;
    // The last one is through once this is.
    ensure!(connection.read(119)?.status == 200);
    received.extend(stage.gateway.anthropic.take_all());
    let mut seen: Vec<usize> = Vec::new();
    for received in &received {
        let i: usize = received.only(NONCE).unwrap_or_default().parse()?;
        let (_, key, cap, model) = callers[i % callers.len()];
        let body: Value = serde_json::from_slice(&received.body)?;
        let tokens = cap.min(400 + 200 * i);
        let want =
            json!({"model": model, "max_tokens": tokens, "messages": [], "x": "x".repeat(i)});
        ensure!(body == want, "request {i}: {received:?}");
        ensure!(
            received.only("x-api-key") == key,
            "request {i} with another key: {received:?}"
        );
        seen.push(i);
    }
    seen.sort_unstable();
    ensure!(seen == wanted.collect::<Vec<_>>(), "{seen:?}");
    Ok(())
}

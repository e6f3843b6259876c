//! What is mounted changes while requests and streams go through: nobody who may is refused for
//! it, and who may no longer is refused at once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::anthropic::{NONCE, PACE, Reach};
use crate::envoy::until;
use crate::gateway::Gateway;
use crate::http::{Connection, request};
use crate::mount::Order;
use crate::rendered::{GATEWAY, Issuers, Rendered, WORKSPACE, render};
use crate::suite::{Test, test};
use crate::worlds::{CLUSTER, client_key, object, role_binding, shared_key};

/// How often everything changes.
const SWAPS: usize = 40;
/// How many requests of others come between two changes.
const REQUESTS: u64 = 20;
/// How long who may no longer may go on.
const AT_MOST: Duration = Duration::from_millis(50);

/// Has a role all the time, and has one every other time.
const STEADY: &str = "EXAMPLE-client-key-of-the-steady-000001";
const GUEST: &str = "EXAMPLE-client-key-of-the-guest-0000002";

pub(crate) fn tests() -> Vec<Test> {
    vec![test(
        "hot: changes under load refuse nobody else, and whom they mean at once",
        swaps,
    )]
}

/// The manifests of a generation. Role, keys, limits and other subjects differ in each.
fn manifests(generation: usize) -> Vec<Value> {
    let binding = |name, subjects: &[Value]| role_binding(name, "user", subjects);
    let others = (0..20).map(|i| json!({"kind": "ServiceAccount", "namespace": "search", "name": format!("s{generation}-{i}")}));
    let others: Vec<Value> = others.collect();
    let workspace = json!({
        "gateways": [{"name": GATEWAY, "type": "Envoy"}],
        "keys": {"defaultApiKeyRef": {"name": "shared"}},
        "roles": [{"name": "user", "requestsPerMinute": 1_000_000 - generation, "maxTokens": 600 + generation}],
        "authentication": {"issuers": [{"name": CLUSTER, "type": "Kubernetes", "audiences": ["claude"]}]},
    });
    let mut all = vec![
        object("Workspace", WORKSPACE, workspace),
        binding("steady", &[client_key(STEADY)]),
        binding("others", &others),
    ];
    all.extend(shared_key(&format!("sk-ant-api03-EXAMPLE-{generation:04}")));
    if generation.is_multiple_of(2) {
        all.push(binding("guest", &[client_key(GUEST)]));
    }
    all
}

fn post(key: &str, headers: &[(&str, &[u8])], body: &[u8]) -> Vec<u8> {
    let usual: [(&str, &[u8]); 2] = [
        ("x-api-key", key.as_bytes()),
        ("anthropic-version", b"2026-10-21"),
    ];
    request("POST", "/v1/messages", &[&usual, headers].concat(), body)
}

const BODY: &[u8] = br#"{"model": "claude-haiku-4-5", "max_tokens": 100000, "messages": []}"#;
const STREAM: &[u8] =
    br#"{"model": "claude-haiku-4-5", "max_tokens": 9, "messages": [], "stream": true}"#;

fn swaps() -> Result<()> {
    let issuers = Issuers::from([(
        CLUSTER,
        crate::tokens::key_set(&[&crate::tokens::Signer::p256("c-1")?]),
    )]);
    let generations: Result<Vec<Rendered>> = (0..=SWAPS)
        .map(|i| render(&manifests(i), &issuers))
        .collect();
    let mut generations = generations?.into_iter();
    let mut gateway = Gateway::start(generations.next().context("a first")?)?;
    // All keys are good all the time: which of them is used is not what is looked at.
    let keys = (0..=SWAPS).map(|i| (format!("sk-ant-api03-EXAMPLE-{i:04}"), Reach::Workspace));
    gateway.anthropic.set_keys(keys);
    let address = gateway.envoy.address;
    let (over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let begun = Instant::now();
    let (slowest, rate) = std::thread::scope(|scope| -> Result<(Duration, f64)> {
        let load = |nonce: &'static str| {
            let (over, sent) = (&over, &sent);
            move || -> Result<()> {
                let mut connection = Connection::open(address)?;
                while !over.load(Ordering::SeqCst) {
                    let bytes = post(STEADY, &[(NONCE, nonce.as_bytes())], BODY);
                    // One connection for all: a second one would be an error.
                    let answer = connection.ask(&bytes)?;
                    ensure!(answer.status == 200, "{answer:?}");
                    sent.fetch_add(1, Ordering::SeqCst);
                }
                Ok(())
            }
        };
        let stream = || -> Result<()> {
            let (mut connection, mut deltas) = (Connection::open(address)?, 0);
            connection.wire.write(&post(
                STEADY,
                &[(PACE, b"60x50"), (NONCE, b"stream")],
                STREAM,
            ))?;
            ensure!(connection.head()?.status == 200);
            while let Some(chunk) = connection.chunk()? {
                deltas += String::from_utf8_lossy(&chunk)
                    .matches("event: content_block_delta")
                    .count();
            }
            ensure!(deltas == 60, "a stream of {deltas} events");
            Ok(())
        };
        let mut workers = vec![scope.spawn(load("a")), scope.spawn(load("b"))];
        workers.extend((0..5).map(|_| scope.spawn(stream)));
        let changed = change(&mut gateway, generations, &sent);
        let rate = sent.load(Ordering::SeqCst) as f64 / begun.elapsed().as_secs_f64();
        over.store(true, Ordering::SeqCst);
        for worker in workers {
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok((changed?, rate))
    })?;
    eprintln!(
        "{SWAPS} changes under {rate:.0} requests/s and 5 streams; the slowest counted after {slowest:?}"
    );
    ensure!(rate >= 200.0, "only {rate:.0} requests/s");
    ensure!(
        slowest <= AT_MOST,
        "a change counted only after {slowest:?}"
    );
    // What was capped was capped by one generation or another.
    for received in gateway.anthropic.take("a") {
        let body: Value = serde_json::from_slice(&received.body)?;
        let cap = body["max_tokens"].as_u64().unwrap_or_default();
        ensure!((600..=600 + SWAPS as u64).contains(&cap), "{received:?}");
    }
    Ok(())
}

/// Makes every change, and returns how long it took at most until it counted on a connection
/// that was open.
fn change(
    gateway: &mut Gateway,
    generations: impl Iterator<Item = Rendered>,
    sent: &AtomicU64,
) -> Result<Duration> {
    let mut slowest = Duration::ZERO;
    let mut connection = Connection::open(gateway.envoy.address)?;
    let bytes = post(GUEST, &[(NONCE, b"guest")], BODY);
    for (i, rendered) in (1..).zip(generations) {
        let (before, after) = if i % 2 == 1 { (200, 401) } else { (401, 200) };
        let answer = connection.ask(&bytes)?;
        ensure!(answer.status == before, "before change {i}: {answer:?}");
        if answer.header("connection") == Some("close") {
            connection = Connection::open(gateway.envoy.address)?;
        }
        let order = [Order::DataFirst, Order::LinksFirst][i % 2];
        gateway.envoy.swap(&rendered.data, order)?;
        let swapped = Instant::now();
        loop {
            let answer = connection.ask(&bytes)?;
            if answer.header("connection") == Some("close") {
                connection = Connection::open(gateway.envoy.address)?;
            }
            if answer.status == after {
                break;
            }
            ensure!(
                answer.status == before && swapped.elapsed() < Duration::from_secs(5),
                "{answer:?}"
            );
        }
        slowest = slowest.max(swapped.elapsed());
        gateway.rendered = rendered;
        // So that every change comes amid requests.
        let enough = sent.load(Ordering::SeqCst) + REQUESTS;
        until("the others have gone on", || {
            Ok((sent.load(Ordering::SeqCst) >= enough).then_some(()))
        })?;
    }
    Ok(slowest)
}

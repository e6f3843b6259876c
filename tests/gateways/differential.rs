//! A real gateway against the core: for policies and requests at random, what comes of a request
//! is what `decide` says, to the byte that goes upstream.
//!
//! `GATEWAY_REQUESTS=N` sends that many; `GATEWAY_SEED=N` begins with that policy.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::anthropic::{NONCE, Received};
use crate::gateway::Gateway;
use crate::http::{Connection, Response, request};
use crate::http2;
use crate::installed::installed;
use crate::mount::Order;
use crate::oracle::{Asked, Outcome, Tokens, outcome};
use crate::random::Random;
use crate::rendered::render;
use crate::requests::{Signers, any_request, any_tokens};
use crate::sdk::{Answer, Call, Sdk};
use crate::suite::{Test, test};
use crate::worlds::{CLIENT_KEYS, any_world};

/// Requests to one policy over raw sockets, and from each SDK.
const RAW: usize = 200;
const BY_SDK: usize = 10;
const CONNECTIONS: usize = 4;
/// Of so many requests over a raw socket one goes by HTTP/2, if its body fits into what may be
/// sent without asking.
const BY_HTTP2: usize = 5;
const WINDOW: usize = 60_000;

/// How many disagreements are shown before it is enough.
const SHOWN: usize = 12;

pub(crate) fn tests() -> Vec<Test> {
    vec![test(
        "differential: a gateway does what decide says",
        agrees,
    )]
}

pub(crate) fn number(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| name.to_owned()),
        Err(_) => Ok(default),
    }
}

/// Where a gateway and the core differ.
#[derive(Default)]
struct Differences {
    all: Mutex<Vec<String>>,
    /// The policy that is tried.
    seed: AtomicU64,
}

// === impl Differences ===

impl Differences {
    fn add(&self, difference: &str) {
        let seed = self.seed.load(Ordering::SeqCst);
        self.all().push(format!("GATEWAY_SEED={seed} {difference}"));
    }

    fn all(&self) -> MutexGuard<'_, Vec<String>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, enough: usize) -> Result<()> {
        let all = self.all();
        ensure!(
            all.len() < enough,
            "{} disagreements:\n{}",
            all.len(),
            all.join("\n")
        );
        Ok(())
    }
}

fn agrees() -> Result<()> {
    let wanted = number("GATEWAY_REQUESTS", 20_000)?;
    let first = number("GATEWAY_SEED", 0)?;
    let signers = Signers::new()?;
    let issuers = signers.published();
    let mut gateway = Gateway::start(render(&any_world(first), &issuers)?)?;
    let installed = installed()?;
    let mut sdks = [
        Sdk::start(&installed.python, gateway.envoy.address, 4)?,
        Sdk::start(&installed.python_x_api_key, gateway.envoy.address, 4)?,
    ];
    let (begun, differences) = (Instant::now(), Differences::default());
    let (mut seed, mut sent, mut allowed) = (first, 0, 0);
    while sent < wanted {
        let order = [Order::DataFirst, Order::LinksFirst][usize::from(seed % 2 == 0)];
        gateway.change(render(&any_world(seed), &issuers)?, order)?;
        differences.seed.store(seed, Ordering::SeqCst);
        let random = &mut Random::new(!seed);
        let tokens = any_tokens(random, &signers, 24)?;
        let mut texts: Vec<&str> = tokens.keys().map(String::as_str).collect();
        texts.sort_unstable_by_key(|text| text.len());
        let asked: Vec<Asked> = (0..RAW).map(|_| any_request(random, &texts)).collect();
        allowed += raw(&gateway, &tokens, &asked, &differences)?;
        for sdk in &mut sdks {
            allowed += by_sdk(&gateway, &tokens, &texts, random, sdk, &differences)?;
        }
        sent += (RAW + BY_SDK * sdks.len()) as u64;
        gateway.envoy.forget_logged();
        let stray = gateway.anthropic.take_all();
        ensure!(stray.is_empty(), "nobody sent these: {stray:?}");
        differences.check(SHOWN)?;
        seed += 1;
    }
    differences.check(1)?;
    let took = begun.elapsed().as_secs_f64();
    eprintln!(
        "{sent} requests to {} policies, {allowed} of them allowed, in {took:.0} s",
        seed - first
    );
    // Of a test that allows or denies everything, nothing is learnt.
    ensure!(
        allowed * 10 > sent && allowed * 10 < sent * 9,
        "{allowed} of {sent} allowed"
    );
    Ok(())
}

/// Sends requests over several connections that stay open; how many were allowed.
fn raw(
    gateway: &Gateway,
    tokens: &Tokens,
    asked: &[Asked],
    differences: &Differences,
) -> Result<u64> {
    let part = asked.len().div_ceil(CONNECTIONS);
    std::thread::scope(|scope| {
        let workers = asked.chunks(part).enumerate().map(|(i, part)| {
            scope.spawn(move || -> Result<u64> {
                let mut connection = Connection::open(gateway.envoy.address)?;
                let mut multiplexed = http2::Connection::open(gateway.envoy.address)?;
                let mut allowed = 0;
                for (j, asked) in part.iter().enumerate() {
                    let nonce = format!("{i}-{j}");
                    let want = outcome(&gateway.rendered, tokens, asked, Timestamp::now());
                    let answer = if j % BY_HTTP2 == 0 && asked.body.len() <= WINDOW {
                        let mut all = PSEUDO.to_vec();
                        all.push((":path", asked.path.as_bytes()));
                        all.extend(headers(asked, &nonce));
                        multiplexed.ask(&all, &asked.body)?
                    } else {
                        let headers = headers(asked, &nonce);
                        connection.ask(&request("POST", &asked.path, &headers, &asked.body))?
                    };
                    if answer.header("connection") == Some("close") {
                        connection = Connection::open(gateway.envoy.address)?;
                    }
                    let received = gateway.anthropic.take(&nonce);
                    allowed += u64::from(matches!(want, Outcome::Sent(_)));
                    if let Err(why) = compare(asked, &want, &answer.into(), &received) {
                        differences.add(&shown(tokens, asked, &why.to_string()));
                    }
                }
                Ok(allowed)
            })
        });
        let workers: Vec<_> = workers.collect();
        let counts = workers.into_iter().map(|worker| match worker.join() {
            Ok(count) => count,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        counts.sum()
    })
}

/// What HTTP/2 has instead of a first line, but for the path.
const PSEUDO: [(&str, &[u8]); 3] = [
    (":method", b"POST"),
    (":scheme", b"http"),
    (":authority", b"gateway.example"),
];

fn headers<'a>(asked: &'a Asked, nonce: &'a str) -> Vec<(&'a str, &'a [u8])> {
    let mut headers: Vec<(&str, &[u8])> = vec![
        ("anthropic-version", b"2026-10-21"),
        ("anthropic-beta", b"EXAMPLE-2026-01-01"),
        ("content-type", b"application/json"),
        // What is to be replaced or removed.
        ("anthropic-workspace-id", b"wrkspc_01Mallory"),
        (NONCE, nonce.as_bytes()),
    ];
    headers.extend(asked.api_keys.iter().map(|value| ("x-api-key", &**value)));
    headers.extend(
        asked
            .authorizations
            .iter()
            .map(|value| ("authorization", &**value)),
    );
    headers
}

/// Sends requests through an SDK; how many were allowed.
fn by_sdk(
    gateway: &Gateway,
    tokens: &Tokens,
    texts: &[&str],
    random: &mut Random,
    sdk: &mut Sdk,
    differences: &Differences,
) -> Result<u64> {
    // An SDK sends only what it can read itself.
    let mut calls = Vec::new();
    while calls.len() < BY_SDK {
        let asked = any_request(random, texts);
        let body = serde_json::from_slice::<Map<String, Value>>(&asked.body);
        let Ok(body) = body else { continue };
        if !body.contains_key("messages") || !body.contains_key("model") {
            continue;
        }
        let key = match random.below(2) {
            0 => *random.pick(&CLIENT_KEYS),
            _ => *random.pick(texts),
        };
        let nonce = calls.len().to_string();
        calls.push(Call {
            key: key.to_owned(),
            stream: random.chance(30),
            count: random.chance(15),
            headers: Map::from_iter([(NONCE.to_owned(), json!(nonce))]),
            body: body
                .into_iter()
                .filter(|(name, _)| name != "stream")
                .collect(),
        });
    }
    let answers = sdk.ask(&calls)?;
    let mut allowed = 0;
    for (nonce, (call, answer)) in calls.iter().zip(answers).enumerate() {
        if answer.sent().is_empty() {
            // What the SDK itself refuses to send says nothing.
            continue;
        }
        let path = if call.count {
            "/v1/messages/count_tokens"
        } else {
            "/v1/messages"
        };
        let asked = Asked {
            path: path.to_owned(),
            api_keys: vec![call.key.clone().into_bytes()],
            authorizations: Vec::new(),
            body: answer.sent(),
        };
        let received = gateway.anthropic.take(&nonce.to_string());
        let want = outcome(&gateway.rendered, tokens, &asked, Timestamp::now());
        allowed += u64::from(matches!(want, Outcome::Sent(_)));
        if let Err(why) = compare(&asked, &want, &answer.into(), &received) {
            differences.add(&shown(
                tokens,
                &asked,
                &format!("SDK {}: {why}", sdk.version),
            ));
        }
    }
    Ok(allowed)
}

/// An answer, whoever got it.
#[derive(Debug)]
struct Answered {
    status: u16,
    kind: Option<String>,
    message: Option<String>,
    /// Only raw answers show it.
    request_id: Option<bool>,
}

impl From<Response> for Answered {
    fn from(response: Response) -> Self {
        let json = response.json();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Self {
            status: response.status,
            kind: text(&json["error"]["type"]),
            message: text(&json["error"]["message"]),
            request_id: Some(
                json["request_id"].is_string() || response.header("request-id").is_some(),
            ),
        }
    }
}

impl From<Answer> for Answered {
    fn from(answer: Answer) -> Self {
        Self {
            status: answer.status,
            kind: answer.kind,
            message: answer.message,
            request_id: None,
        }
    }
}

/// Whether an answer, and what came upstream, is what must be.
fn compare(asked: &Asked, want: &Outcome, answer: &Answered, received: &[Received]) -> Result<()> {
    let (status, kind, message) = match want {
        Outcome::NotFound => (404, "not_found_error", None),
        Outcome::Unauthenticated => (401, "authentication_error", None),
        Outcome::Denied(denial) => {
            let kind = match denial.status() {
                400 => "invalid_request_error",
                _ => "permission_error",
            };
            (denial.status(), kind, Some(denial.to_string()))
        }
        Outcome::Sent(sent) => {
            let [received] = received else {
                bail!("allowed, but {} came upstream: {answer:?}", received.len());
            };
            let lines = String::from_utf8_lossy(&received.body);
            ensure!(
                received.body == sent.body,
                "upstream got the body {lines}, not {}",
                String::from_utf8_lossy(&sent.body)
            );
            let key = sent.key.trim_ascii_end();
            ensure!(
                received.all("x-api-key") == [key],
                "upstream got another key"
            );
            ensure!(
                received.all("authorization").is_empty(),
                "upstream got an authorization"
            );
            let workspace = sent
                .workspace
                .iter()
                .map(String::as_bytes)
                .collect::<Vec<_>>();
            ensure!(
                received.all("anthropic-workspace-id") == workspace,
                "upstream got the wrong workspace"
            );
            ensure!(
                received.method == "POST",
                "upstream got a {}",
                received.method
            );
            let shown = asked.api_keys.iter().chain(&asked.authorizations);
            for shown in shown {
                ensure!(
                    shown.len() < 8 || !received.holds(shown),
                    "upstream got the credential"
                );
            }
            ensure!(
                [200, 400].contains(&answer.status),
                "upstream's answer became {answer:?}"
            );
            return Ok(());
        }
    };
    ensure!(
        received.is_empty(),
        "{want:?}, and it came upstream: {received:?}"
    );
    ensure!(answer.status == status, "{want:?}, but {answer:?}");
    ensure!(
        answer.kind.as_deref() == Some(kind),
        "{want:?}, but {answer:?}"
    );
    ensure!(
        message.is_none() || answer.message == message,
        "{want:?}, but {answer:?}"
    );
    ensure!(
        answer.request_id != Some(false),
        "no request id: {answer:?}"
    );
    Ok(())
}

/// A disagreement with all that led to it. Keys here are made up, and tokens are shown as claims.
fn shown(tokens: &Tokens, asked: &Asked, why: &str) -> String {
    let credentials = asked.api_keys.iter().chain(&asked.authorizations);
    let credentials = credentials.map(|value| {
        let text = String::from_utf8_lossy(value).into_owned();
        let (scheme, token) = text.split_once(' ').unwrap_or(("key", &text));
        match tokens.get(token) {
            Some(minted) => format!("{scheme} of {}: {:?}", minted.issuer, minted.claims),
            None => format!("{scheme} {token}"),
        }
    });
    let credentials: Vec<String> = credentials.collect();
    let body = asked.body.escape_ascii();
    format!(
        "{why}\n    {} {}\n    {body}",
        asked.path,
        credentials.join(", ")
    )
}

//! Public keys that Envoy fetches from an issuer, over TLS with the issuer's own name.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use crate::anthropic::{Anthropic, NONCE, Reach, Tls};
use crate::authority::{Authority, HOST, LOCAL};
use crate::envoy::{Envoy, until};
use crate::http::{Connection, request};
use crate::installed::installed;
use crate::rendered::{GATEWAY, Issuers, WORKSPACE, render};
use crate::suite::{Test, test};
use crate::tokens::{Signer, key_set};
use crate::worlds::{CLUSTER, object, role_binding, shared_key};

const URL: &str = "https://login.example.com";
const KEY: &str = "sk-ant-api03-EXAMPLE-fetched";

/// So many connections come to every worker.
const EVERYWHERE: usize = 20;

pub(crate) fn tests() -> Vec<Test> {
    vec![test(
        "fetched: tokens are checked by keys that their issuer publishes",
        fetched,
    )]
}

/// An issuer that publishes its keys.
struct Publisher {
    port: u16,
    keys: Arc<Mutex<String>>,
    asked: Arc<AtomicU64>,
    _runtime: Runtime,
}

// === impl Publisher ===

impl Publisher {
    fn start(authority: &Authority, keys: &Value) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let keys = Arc::new(Mutex::new(keys.to_string()));
        let (published, asked) = (keys.clone(), Arc::<AtomicU64>::default());
        let counted = asked.clone();
        let answer = async move || {
            counted.fetch_add(1, Ordering::SeqCst);
            let published = published.lock().unwrap_or_else(PoisonError::into_inner);
            published.clone()
        };
        let router = Router::new().route("/oauth/keys", get(answer));
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
        let port = listener.local_addr()?.port();
        let acceptor = TlsAcceptor::from(authority.server()?);
        let listener = runtime.block_on(async { Tls::new(listener, acceptor) });
        runtime.spawn(async { axum::serve(listener, router).await });
        Ok(Self {
            port,
            keys,
            asked,
            _runtime: runtime,
        })
    }

    fn publish(&self, keys: &Value) {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys.to_string();
    }
}

fn manifests(publisher: &Publisher) -> Vec<Value> {
    let issuer = json!({
        "name": "corp", "type": "OIDC", "issuerURL": URL, "audiences": ["claude"],
        "jwksURI": format!("https://{LOCAL}:{}/oauth/keys", publisher.port),
    });
    let workspace = json!({
        "gateways": [{"name": GATEWAY, "type": "Envoy"}],
        "keys": {"defaultApiKeyRef": {"name": "shared"}},
        "roles": [{"name": "user", "requestsPerMinute": 1_000_000}],
        "authentication": {"issuers": [issuer]},
    });
    let uma = json!({"kind": "User", "issuer": "corp", "name": "uma"});
    let mut all = vec![
        object("Workspace", WORKSPACE, workspace),
        role_binding("people", "user", &[uma]),
    ];
    all.extend(shared_key(KEY));
    all
}

fn fetched() -> Result<()> {
    let (own, stranger) = (Signer::rsa("own")?, Signer::rsa("own")?);
    let authority = Authority::new(HOST)?;
    let publisher = Publisher::start(&authority, &key_set(&[&own]))?;
    let cluster = Issuers::from([(CLUSTER, key_set(&[&Signer::p256("c-1")?]))]);
    let mut rendered = render(&manifests(&publisher), &cluster)?;
    let issuers = rendered.data.get_mut("jwt.json").context("issuers")?;
    // So that nobody waits for five minutes.
    *issuers = String::from_utf8_lossy(issuers)
        .replace("\"300s\"", "\"1s\"")
        .into_bytes();
    let anthropic = Anthropic::start(Some(&authority))?;
    anthropic.set_keys([(KEY.to_owned(), Reach::Workspace)]);
    let upstream = (&anthropic, Some(&authority));
    let envoy = Envoy::start(
        &installed()?.envoy,
        &rendered.config,
        &rendered.data,
        upstream,
    )?;

    let ends = jiff::Timestamp::now().as_second() + 3600;
    let claims = json!({"iss": URL, "aud": "claude", "sub": "uma", "exp": ends});
    let ask = |token: &str, nonce: &str| {
        let bearer = format!("Bearer {token}");
        let headers: [(&str, &[u8]); 3] = [
            ("authorization", bearer.as_bytes()),
            ("anthropic-version", b"2023-06-01"),
            (NONCE, nonce.as_bytes()),
        ];
        let body = br#"{"model": "claude-haiku-4-5", "max_tokens": 9, "messages": []}"#;
        let bytes = request("POST", "/v1/messages", &headers, body);
        Connection::open(envoy.address)?.ask(&bytes)
    };
    let token = own.token(&claims)?;
    let taken = until("the issuer's token is taken", || {
        Ok((ask(&token, "own")?.status == 200).then_some(()))
    });
    taken.with_context(|| envoy.stderr())?;
    ensure!(publisher.asked.load(Ordering::SeqCst) > 0);
    let received = anthropic.take("own").pop().context("it arrived")?;
    ensure!(received.only("x-api-key") == Some(KEY), "{received:?}");

    let answer = ask(&stranger.token(&claims)?, "stranger")?;
    ensure!(
        answer.status == 401,
        "another key of the same name: {answer:?}"
    );
    let mut elsewhere = claims.clone();
    elsewhere["aud"] = json!("another");
    let answer = ask(&own.token(&elsewhere)?, "stranger")?;
    ensure!(answer.status == 401, "another audience: {answer:?}");
    ensure!(
        anthropic.take("stranger").is_empty(),
        "nothing went upstream"
    );

    // Every worker of Envoy's has seen the token, and must not go by that.
    for _ in 0..EVERYWHERE {
        ensure!(ask(&token, "own")?.status == 200);
    }
    publisher.publish(&key_set(&[&stranger]));
    let other = stranger.token(&claims)?;
    until("a key that is new is taken", || {
        Ok((ask(&other, "new")?.status == 200).then_some(()))
    })?;
    until("a key that was withdrawn is not", || {
        let all: Result<Vec<bool>> = (0..EVERYWHERE)
            .map(|_| Ok(ask(&token, "withdrawn")?.status == 401))
            .collect();
        Ok(all?.into_iter().all(|refused| refused).then_some(()))
    })
}

//! A fake of Anthropic's API, as far as a gateway can tell: `POST /v1/messages` at once and as a
//! stream, `POST /v1/messages/count_tokens`, its errors and headers, over TLS or without. It
//! remembers every request as it came, whatever it answers.
//! Must not know what a gateway should have sent.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::serve::{Listener, ListenerExt};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::authority::Authority;

/// Requests are remembered under the value of this header, which gateways pass on.
pub(crate) const NONCE: &str = "x-test-nonce";

/// `EVENTSxMILLISECONDS`: how many deltas a stream has, and how far apart they are.
pub(crate) const PACE: &str = "x-test-pace";

/// What a message says, and each delta of a stream.
pub(crate) const TEXT: &str = "hello";

/// Where one of Anthropic's keys is valid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reach {
    /// In its own workspace, which need not be named.
    Workspace,
    /// In these workspaces; each request must name one.
    Organization(Vec<String>),
}

/// A request as it came.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    /// In lower case, in order.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

/// A running fake. It ends when dropped.
pub(crate) struct Anthropic {
    pub(crate) address: SocketAddr,
    known: Arc<Known>,
    _runtime: Runtime,
}

#[derive(Default)]
struct Known {
    keys: RwLock<BTreeMap<String, Reach>>,
    received: Mutex<HashMap<String, Vec<Received>>>,
    requests: AtomicU64,
}

// === impl Anthropic ===

impl Anthropic {
    /// Starts one on a free port, which `api.anthropic.com`'s certificate by this authority is
    /// shown on; without authority it speaks without TLS.
    pub(crate) fn start(authority: Option<&Authority>) -> Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), authority)
    }

    /// Starts one at an address of this machine.
    pub(crate) fn start_at(address: IpAddr, authority: Option<&Authority>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let known = Arc::<Known>::default();
        let router = axum::Router::new()
            .fallback(answer)
            .with_state(known.clone());
        let listener = runtime
            .block_on(TcpListener::bind((address, 0)))
            .context("the fake finds no port")?;
        let address = listener.local_addr()?;
        let at_once = |stream: &mut TcpStream| drop(stream.set_nodelay(true));
        match authority {
            None => {
                let listener = ListenerExt::tap_io(listener, at_once);
                runtime.spawn(async { axum::serve(listener, router).await });
            }
            Some(authority) => {
                let acceptor = TlsAcceptor::from(authority.server()?);
                let listener = runtime.block_on(async { Tls::new(listener, acceptor) });
                runtime.spawn(async { axum::serve(listener, router).await });
            }
        }
        Ok(Self {
            address,
            known,
            _runtime: runtime,
        })
    }

    /// Which keys are valid from now on.
    pub(crate) fn set_keys(&self, keys: impl IntoIterator<Item = (String, Reach)>) {
        *self
            .known
            .keys
            .write()
            .unwrap_or_else(PoisonError::into_inner) = keys.into_iter().collect();
    }

    /// What came under a nonce; it is forgotten.
    pub(crate) fn take(&self, nonce: &str) -> Vec<Received> {
        self.known.received().remove(nonce).unwrap_or_default()
    }

    /// All that came, whatever its nonce; it is forgotten.
    pub(crate) fn take_all(&self) -> Vec<Received> {
        let mut all: Vec<_> = self.known.received().drain().collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.into_iter().flat_map(|(_, received)| received).collect()
    }

    /// How many requests came so far.
    pub(crate) fn requests(&self) -> u64 {
        self.known.requests.load(Ordering::SeqCst)
    }
}

// === impl Received ===

impl std::fmt::Debug for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)?;
        for (name, value) in &self.headers {
            write!(f, " {name}: {}", value.escape_ascii())?;
        }
        let shown = &self.body[..self.body.len().min(2000)];
        write!(f, " {}", shown.escape_ascii())
    }
}

impl Received {
    /// All values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&[u8]> {
        let named = self.headers.iter().filter(|(header, _)| header == name);
        named.map(|(_, value)| &**value).collect()
    }

    /// The value of a header that is there once.
    pub(crate) fn only(&self, name: &str) -> Option<&str> {
        match self.all(name).as_slice() {
            [one] => std::str::from_utf8(one).ok(),
            _ => None,
        }
    }

    /// Whether these bytes are anywhere in it.
    pub(crate) fn holds(&self, bytes: &[u8]) -> bool {
        let within = |text: &[u8]| text.windows(bytes.len()).any(|window| window == bytes);
        let in_headers = self
            .headers
            .iter()
            .any(|(name, value)| within(name.as_bytes()) || within(value));
        in_headers || within(self.path.as_bytes()) || within(&self.body)
    }
}

// === impl Known ===

impl Known {
    fn received(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<Received>>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reach(&self, key: &str) -> Option<Reach> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(key).cloned()
    }
}

/// An error of Anthropic's: status, type, message.
type Error = (u16, &'static str, String);

async fn answer(State(known): State<Arc<Known>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let text = |name: &str| {
        let value = head.headers.get(name)?;
        Some(value.to_str().unwrap_or_default().to_owned())
    };
    let received = Received {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect(),
        body: body.to_vec(),
    };
    let number = known.requests.fetch_add(1, Ordering::SeqCst);
    let nonce = text(NONCE).unwrap_or_default();
    known.received().entry(nonce).or_default().push(received);

    let id = format!("req_{number:024}");
    let result = authenticated(&known, &text).and_then(|workspace| {
        let message = message(head.method.as_str(), head.uri.path(), &text, &body)?;
        Ok((workspace, message))
    });
    let mut response = match result {
        Ok((_, Message::Counted)) => of_json(200, &json!({"input_tokens": 7})),
        Ok((_, Message::Whole { model })) => of_json(200, &whole(number, &model)),
        Ok((_, Message::Stream { model, pace })) => of_stream(number, &model, pace),
        Err((status, kind, message)) => of_json(
            status,
            &json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": id}),
        ),
    };
    let headers = response.headers_mut();
    headers.insert("request-id", id.parse().expect("a header's value"));
    headers.insert(
        "anthropic-organization-id",
        "00000000-EXAMPLE".parse().expect("a header's value"),
    );
    response
}

fn authenticated(known: &Known, text: &impl Fn(&str) -> Option<String>) -> Result<(), Error> {
    let bearer =
        text("authorization").and_then(|value| Some(value.strip_prefix("Bearer ")?.to_owned()));
    let key = text("x-api-key").or(bearer);
    let reach = key.and_then(|key| known.reach(&key));
    let reach = reach.ok_or((401, "authentication_error", "invalid x-api-key".to_owned()))?;
    let named = text("anthropic-workspace-id");
    match (reach, named) {
        (Reach::Workspace, _) => Ok(()),
        (Reach::Organization(_), None) => Err((
            400,
            "invalid_request_error",
            "anthropic-workspace-id is required when authenticating with an identity-linked API key"
                .to_owned(),
        )),
        (Reach::Organization(all), Some(named)) if all.contains(&named) => Ok(()),
        (Reach::Organization(_), Some(named)) => {
            Err((404, "not_found_error", format!("Workspace `{named}` not found.")))
        }
    }
}

/// What is to be answered.
enum Message {
    Counted,
    Whole {
        model: String,
    },
    Stream {
        model: String,
        pace: (u32, Duration),
    },
}

fn message(
    method: &str,
    path: &str,
    text: &impl Fn(&str) -> Option<String>,
    body: &[u8],
) -> Result<Message, Error> {
    let wrong = |message: &str| (400, "invalid_request_error", message.to_owned());
    let counts = match (method, path) {
        ("POST", "/v1/messages") => false,
        ("POST", "/v1/messages/count_tokens") => true,
        _ => return Err((404, "not_found_error", "Not found".to_owned())),
    };
    if text("anthropic-version").is_none() {
        return Err(wrong("anthropic-version: header is required"));
    }
    let body: Value =
        serde_json::from_slice(body).map_err(|_| wrong("The request body is not valid JSON"))?;
    let model = body["model"]
        .as_str()
        .ok_or(wrong("model: Field required"))?;
    if counts {
        return Ok(Message::Counted);
    }
    if body["max_tokens"].as_u64().is_none_or(|number| number == 0) {
        return Err(wrong(
            "max_tokens: Input should be greater than or equal to 1",
        ));
    }
    let model = model.to_owned();
    if body["stream"] != json!(true) {
        return Ok(Message::Whole { model });
    }
    let pace = text(PACE).and_then(|pace| {
        let (events, apart) = pace.split_once('x')?;
        Some((
            events.parse().ok()?,
            Duration::from_millis(apart.parse().ok()?),
        ))
    });
    let pace = pace.unwrap_or((3, Duration::ZERO));
    Ok(Message::Stream { model, pace })
}

fn of_json(status: u16, value: &Value) -> Response {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Body::from(value.to_string()))
        .expect("a response")
}

fn whole(number: u64, model: &str) -> Value {
    json!({
        "id": format!("msg_{number:024}"), "type": "message", "role": "assistant", "model": model,
        "content": [{"type": "text", "text": TEXT}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 7, "output_tokens": 5},
    })
}

fn of_stream(number: u64, model: &str, (deltas, apart): (u32, Duration)) -> Response {
    let mut start = whole(number, model);
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    start["usage"]["output_tokens"] = json!(1);
    let before = [
        json!({"type": "message_start", "message": start}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "ping"}),
    ];
    let delta = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": TEXT}});
    let after = [
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": 5}}),
        json!({"type": "message_stop"}),
    ];
    let paced = stream::iter(0..deltas).then(move |_| {
        let delta = delta.clone();
        async move {
            if !apart.is_zero() {
                tokio::time::sleep(apart).await;
            }
            delta
        }
    });
    let events = stream::iter(before).chain(paced).chain(stream::iter(after));
    let lines = events.map(|event| {
        let name = event["type"].as_str().unwrap_or_default();
        Ok::<_, Infallible>(Bytes::from(format!("event: {name}\ndata: {event}\n\n")))
    });
    Response::builder()
        .header("content-type", "text/event-stream; charset=utf-8")
        .header("cache-control", "no-cache")
        .body(Body::from_stream(lines))
        .expect("a response")
}

/// Handshakes, each on its own, and the connections that came of them.
pub(crate) struct Tls {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

// === impl Tls ===

impl Tls {
    /// Must be called on a runtime.
    pub(crate) fn new(listener: TcpListener, acceptor: TlsAcceptor) -> Self {
        let address = listener.local_addr().expect("it is bound");
        let (done, ready) = mpsc::channel(16);
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let (done, acceptor) = (done.clone(), acceptor.clone());
                tokio::spawn(async move {
                    drop(stream.set_nodelay(true));
                    if let Ok(stream) = acceptor.accept(stream).await {
                        drop(done.send((stream, peer)).await);
                    }
                });
            }
        });
        Self { ready, address }
    }
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}

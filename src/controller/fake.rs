//! An API server for unit tests: it answers what the test says and keeps what it was asked.
//! Must not stand in for a real one where behaviour of the API server is at stake.

use std::sync::{Arc, Mutex};

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::metrics::Metrics;
use super::news::{News, Teller};
use super::queue::Lane;
use super::read::Reader;
use super::request::Requester;
use crate::policy::name::NamespacedName;

/// What was asked: method and path without its query, and the body.
pub type Asked = (String, Value);

/// Asked so far, and a client that asks.
pub struct Fake {
    pub client: Client,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    /// Answers each `METHOD path` with a status and a body.
    pub fn new(answer: impl Fn(&str) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (kept, answer) = (asked.clone(), Arc::new(answer));
        let service = tower::service_fn(move |request: Request<Body>| {
            let (kept, answer) = (kept.clone(), answer.clone());
            async move {
                let what = format!("{} {}", request.method(), request.uri().path());
                let body = request.into_body().collect_bytes().await?;
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let (code, answer) = answer(&what);
                kept.lock().expect("not poisoned").push((what, body));
                let body = Body::from(answer.to_string().into_bytes());
                Ok::<_, kube::Error>(
                    Response::builder()
                        .status(code)
                        .body(body)
                        .expect("a response"),
                )
            }
        });
        Self {
            client: Client::new(service, "default"),
            asked,
        }
    }

    /// What was asked so far, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("not poisoned").clone()
    }

    /// The same without bodies.
    pub fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|(what, _)| what).collect()
    }

    /// A reader for a workspace's cycle, and what it tells.
    pub fn reader(&self) -> (Reader, mpsc::UnboundedReceiver<News>) {
        let (news, told) = mpsc::unbounded_channel();
        let metrics = Arc::new(Metrics::new());
        let reader = Reader {
            requester: Requester::new(self.client.clone(), 4, metrics),
            lane: Lane::Fresh,
            teller: Teller::new(news, NamespacedName::new("claude", "production")),
        };
        (reader, told)
    }
}

/// A failure as the API server puts it.
pub fn status(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": format!("{reason} as a message"),
    });
    (code, status)
}

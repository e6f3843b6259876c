//! Single requests to the API server: bounded in number and time, counted, and their bodies
//! neither logged nor left in memory.
//! Must not retry: whoever plans decides whether the request still makes sense.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use tokio::sync::Semaphore;
use zeroize::{Zeroize, Zeroizing};

use super::metrics::Metrics;
use super::object::ObjectKind;
use super::queue::Lane;

/// No request takes longer, or it counts as failed.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest message of the API server that is passed on, in characters.
const MESSAGE_LENGTH: usize = 300;

/// One request.
#[derive(Debug)]
pub struct Request {
    pub verb: Verb,
    pub kind: ObjectKind,
    /// Path and query.
    pub path: String,
    pub answer: Answer,
    pub body: Payload,
}

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    Get,
    Create,
    /// A JSON merge patch.
    Merge,
    /// A server-side apply.
    Apply,
    Delete,
}

/// What of the object the answer should have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// All.
    Object,
    /// Its metadata, so that data that we have just sent does not come back.
    Metadata,
}

/// A request's body, which may have keys in it: zeroed when the last of us lets go of it. What
/// hyper and rustls copy is zeroed when they free it, by the allocator of the binary.
#[derive(Default)]
pub struct Payload(Zeroizing<Vec<u8>>);

/// An answer's body, zeroed when dropped. hyper's read buffer is freed with its connection, see
/// [`Request::into_http`].
pub type Received = Zeroizing<Vec<u8>>;

/// Why a request did not do what it was meant to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The same request may work later.
    Transient {
        why: String,
        /// How long the API server wants to be left alone.
        after: Duration,
    },
    /// The object is not as expected any more.
    Conflict,
    /// There is one of that name.
    AlreadyExists,
    /// There is none.
    NotFound,
    /// We may not.
    Forbidden,
    /// The API server does not want it, and will not later. Says why, without any value.
    Refused(String),
}

/// Sends requests. All together have at most so many on their way at a time, and those for the
/// backlog fewer, so that a fresh edit never waits for it.
#[derive(Clone)]
pub struct Requester {
    client: Client,
    permits: Arc<Semaphore>,
    backlog: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// How many of `max` may be for the backlog.
pub fn backlog_share(max: usize) -> usize {
    (max - max / 4).max(1)
}

// === impl Requester ===

impl Requester {
    /// At most `max` requests at a time.
    pub fn new(client: Client, max: usize, metrics: Arc<Metrics>) -> Self {
        let max = max.max(1);
        Self {
            client,
            permits: Arc::new(Semaphore::new(max)),
            backlog: Arc::new(Semaphore::new(backlog_share(max))),
            metrics,
        }
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Sends a request and waits for the whole answer.
    ///
    /// # Errors
    /// What the API server, or the way to it, has against it.
    pub async fn send(&self, lane: Lane, request: Request) -> Result<Received, Failure> {
        let closed = "nobody closes these semaphores";
        let _backlog = match lane {
            Lane::Fresh => None,
            Lane::Backlog => Some(self.backlog.acquire().await.expect(closed)),
        };
        let _permit = self.permits.acquire().await.expect(closed);
        let Request { verb, kind, .. } = request;
        let path = request.path.clone();
        let (code, result) = match tokio::time::timeout(TIMEOUT, self.exchange(request)).await {
            Ok(Ok((code, result))) => (Some(code), result),
            Ok(Err(failure)) => (None, Err(failure)),
            Err(_) => (
                None,
                Err(Failure::later("the API server did not answer in time")),
            ),
        };
        self.metrics.requested(verb.name(), kind, code);
        if let Err(Failure::Forbidden) = result {
            let verb = verb.name();
            tracing::warn!(verb, path, "forbidden: the operator's role lacks a right");
        }
        result
    }

    async fn exchange(
        &self,
        request: Request,
    ) -> Result<(u16, Result<Received, Failure>), Failure> {
        let kind = request.kind;
        let request = request.into_http()?;
        let unreachable = |_| Failure::later("the API server cannot be reached");
        let response = self.client.send(request).await.map_err(unreachable)?;
        let code = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok());
        let retry_after = retry_after
            .and_then(|text| text.parse().ok())
            .map(Duration::from_secs);
        let broken = |_| Failure::later("the answer of the API server broke off");
        let body = received(response.into_body().collect_bytes().await.map_err(broken)?);
        let result = match code {
            200..=299 => Ok(body),
            _ => Err(failure(kind, code, retry_after, &body)),
        };
        Ok((code, result))
    }
}

// === impl Request ===

impl Request {
    fn into_http(self) -> Result<http::Request<Body>, Failure> {
        let (method, content) = match self.verb {
            Verb::Get => (http::Method::GET, None),
            Verb::Create => (http::Method::POST, Some("application/json")),
            Verb::Merge => (http::Method::PATCH, Some("application/merge-patch+json")),
            Verb::Apply => (http::Method::PATCH, Some("application/apply-patch+yaml")),
            Verb::Delete => (http::Method::DELETE, Some("application/json")),
        };
        let accept = match self.answer {
            Answer::Object => "application/json",
            Answer::Metadata => "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        };
        let mut builder = http::Request::builder().method(method).uri(self.path);
        builder = builder.header(ACCEPT, accept);
        if let Some(content) = content {
            builder = builder.header(CONTENT_TYPE, content);
        }
        // The buffers of a connection stay as long as it does: one that brought values is not used
        // again. Values are read once for each version, so that this costs little.
        if self.kind == ObjectKind::Secret && self.answer == Answer::Object {
            builder = builder.header(CONNECTION, "close");
        }
        let unfit = |_| Failure::Refused("its name does not fit into a URL".into());
        builder
            .body(Body::from(Bytes::from_owner(self.body.0)))
            .map_err(unfit)
    }
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Get,
        Self::Create,
        Self::Merge,
        Self::Apply,
        Self::Delete,
    ];

    /// Its name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Create => "create",
            Self::Merge => "patch",
            Self::Apply => "apply",
            Self::Delete => "delete",
        }
    }
}

// === impl Payload ===

impl Payload {
    /// The JSON of `value`.
    pub fn json(value: &impl serde::Serialize) -> Self {
        let mut payload = Self::default();
        serde_json::to_writer(&mut payload, value)
            .expect("bodies have text keys only, and writing to memory does not fail");
        payload
    }

    /// The bytes, for tests to look at.
    #[cfg(test)]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// Growing moves the bytes to a new place and leaves none at the old one.
impl std::io::Write for Payload {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut grown = Zeroizing::new(Vec::with_capacity(
                needed.max(2 * self.0.capacity()).max(1024),
            ));
            grown.extend_from_slice(&self.0);
            self.0 = grown;
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

// === impl Failure ===

impl Failure {
    /// The same request may work later.
    pub fn later(why: &str) -> Self {
        Self::Transient {
            why: why.into(),
            after: Duration::ZERO,
        }
    }
}

/// Our own copy of an answer; the other one is zeroed if nobody else has a part in it.
fn received(bytes: Bytes) -> Received {
    let copy = Zeroizing::new(bytes.to_vec());
    if let Ok(mut original) = bytes.try_into_mut() {
        original.zeroize();
    }
    copy
}

fn failure(kind: ObjectKind, code: u16, retry_after: Option<Duration>, body: &[u8]) -> Failure {
    let status: Option<Status> = serde_json::from_slice(body).ok();
    let reason = status.as_ref().map_or("", |status| &status.reason);
    match (code, reason) {
        (409, "AlreadyExists") => Failure::AlreadyExists,
        (409, _) => Failure::Conflict,
        (404, _) => Failure::NotFound,
        // Not a matter of rights, but it does not get better either.
        (403, _) if status.as_ref().is_some_and(is_terminating) => {
            Failure::Refused("its namespace is being deleted".into())
        }
        (403, _) => Failure::Forbidden,
        // Credentials are renewed from a file, and by webhooks that have their own troubles.
        (401 | 408 | 429 | 500.., _) => Failure::Transient {
            why: format!("the API server answered {code}"),
            after: retry_after.unwrap_or_default(),
        },
        _ => Failure::Refused(refusal(kind, code, status.as_ref())),
    }
}

fn is_terminating(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .into_iter()
        .any(|cause| cause.reason == "NamespaceTerminating")
}

/// What the API server said, of which nothing may be a value: of a Secret it names the fields,
/// since nobody knows what an admission webhook quotes.
fn refusal(kind: ObjectKind, code: u16, status: Option<&Status>) -> String {
    let Some(status) = status else {
        return format!("the API server answered {code}");
    };
    if kind != ObjectKind::Secret {
        let message: String = status.message.chars().take(MESSAGE_LENGTH).collect();
        return format!("the API server answered {code}: {message}");
    }
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let fields: Vec<&str> = causes
        .map(|cause| &*cause.field)
        .filter(|field| !field.is_empty())
        .collect();
    match &*fields {
        [] => format!("the API server answered {code} {}", status.reason),
        fields => format!(
            "the API server answered {code} {} for {}",
            status.reason,
            fields.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests;

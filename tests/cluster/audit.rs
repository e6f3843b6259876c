//! What was asked of the API server, from its audit log.
//! Must not count before the log is complete: a marker request goes through it first.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
    process::id,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use serde::Deserialize;

use crate::{cluster::OPERATOR_USER, wait};

/// The audit log of the control plane, which records every request at Metadata level.
pub(crate) struct AuditLog {
    path: PathBuf,
    client: Client,
}

/// A place in the log: every request answered before it was made is in front of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(u64);

/// Verb, resource and subresource of a request; the subresource is empty if there is none.
pub(crate) type RequestKind = (String, String, String);

/// One request and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) code: u16,
    /// When it was received.
    pub(crate) received: jiff::Timestamp,
    /// RBAC refused it. A namespace that is ending refuses with the same code.
    pub(crate) forbidden: bool,
}

/// Requests in the order of the log.
#[derive(Clone, Debug)]
pub(crate) struct Requests(pub(crate) Vec<Request>);

// === impl Mark ===

impl Mark {
    /// Before all requests.
    pub(crate) const START: Self = Self(0);
}

// === impl AuditLog ===

impl AuditLog {
    pub(crate) fn new(path: PathBuf, client: Client) -> Self {
        Self { path, client }
    }

    /// Marks this moment.
    pub(crate) async fn mark(&self) -> Result<Mark> {
        let now = fs::metadata(&self.path)?.len();
        let (_, end) = self.read_to_marker(now).await?;
        Ok(Mark(end))
    }

    /// The operator's requests since the mark.
    pub(crate) async fn since(&self, mark: Mark) -> Result<Requests> {
        self.since_by(mark, OPERATOR_USER).await
    }

    /// Somebody's requests since the mark. A watch counts when it opens, everything else
    /// when it has been answered.
    pub(crate) async fn since_by(&self, mark: Mark, user: &str) -> Result<Requests> {
        let (text, _) = self.read_to_marker(mark.0).await?;
        let mut requests = Vec::new();
        for line in text.lines() {
            let entry: Entry = serde_json::from_str(line).context("reading the audit log")?;
            let counts = if entry.verb == "watch" {
                "ResponseStarted"
            } else {
                "ResponseComplete"
            };
            if entry.user.username == user && entry.stage == counts {
                requests.push(entry.into());
            }
        }
        Ok(Requests(requests))
    }

    /// The operator's requests since the mark that were refused, by RBAC or by an admission
    /// policy; but for those in namespaces that were ending, since what gave rights there goes
    /// with them.
    pub(crate) async fn refused(&self, mark: Mark) -> Result<Requests> {
        let endings = self.endings().await?;
        let requests = self.since(mark).await?;
        Ok(requests.only(|request| {
            let ending = endings
                .get(&request.namespace)
                .is_some_and(|at| *at <= request.received);
            request.code == FORBIDDEN && !ending
        }))
    }

    /// Since when namespaces are ending, by whomever.
    async fn endings(&self) -> Result<BTreeMap<String, jiff::Timestamp>> {
        let (text, _) = self.read_to_marker(Mark::START.0).await?;
        let mut endings = BTreeMap::new();
        for line in text.lines() {
            let entry: Entry = serde_json::from_str(line).context("reading the audit log")?;
            if entry.verb == "delete" && entry.object_ref.resource == "namespaces" {
                endings
                    .entry(entry.object_ref.name)
                    .or_insert(entry.request_received_timestamp);
            }
        }
        Ok(endings)
    }

    /// Sends a request nobody else sends, and reads the log from `start` to the end of
    /// its line. The API server writes to the log before it finishes an answer, so what
    /// was answered before the marker was sent is in front of it.
    async fn read_to_marker(&self, start: u64) -> Result<(String, u64)> {
        static MARKERS: AtomicUsize = AtomicUsize::new(0);
        let marker = format!(
            "audit-marker-{}-{}",
            id(),
            MARKERS.fetch_add(1, Ordering::Relaxed)
        );
        Api::<ConfigMap>::namespaced(self.client.clone(), "default")
            .get_opt(&marker)
            .await
            .context("sending a marker request")?;
        let mut file = fs::File::open(&self.path)?;
        file.seek(SeekFrom::Start(start))?;
        // Bytes, because a line may be only half written yet, even within a character.
        let mut read = Vec::new();
        wait::poll("the marker is in the audit log", DEADLINE, || {
            let searched = read.len().saturating_sub(marker.len());
            file.read_to_end(&mut read)?;
            let Some(found) = find(&read[searched..], marker.as_bytes()) else {
                return Ok(None);
            };
            let found = searched + found;
            let Some(rest) = find(&read[found..], b"\n") else {
                return Ok(None);
            };
            read.truncate(found + rest + 1);
            let text = String::from_utf8(std::mem::take(&mut read))?;
            let end = start + text.len() as u64;
            Ok(Some((text, end)))
        })
        .await
    }
}

const DEADLINE: Duration = Duration::from_secs(10);

const FORBIDDEN: u16 = 403;

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|part| part == wanted)
}

// === impl Requests ===

impl Requests {
    /// How many there were of each kind.
    pub(crate) fn counts(&self) -> BTreeMap<RequestKind, usize> {
        let mut counts = BTreeMap::new();
        for request in &self.0 {
            *counts.entry(request.kind()).or_default() += 1;
        }
        counts
    }

    /// How many there were of one kind.
    pub(crate) fn count(&self, verb: &str, resource: &str, subresource: &str) -> usize {
        let kind = [verb, resource, subresource];
        self.0
            .iter()
            .filter(|request| [&*request.verb, &*request.resource, &*request.subresource] == kind)
            .count()
    }

    /// Requests that change something, refused ones too. Without Leases (renewing one is
    /// what a leader does) and access reviews (created, but not kept).
    pub(crate) fn writes(&self) -> Self {
        self.only(|request| {
            !matches!(&*request.verb, "get" | "list" | "watch")
                && request.resource != "leases"
                && request.group != "authorization.k8s.io"
        })
    }

    /// Requests that RBAC refused.
    pub(crate) fn forbidden(&self) -> Self {
        self.only(|request| request.forbidden)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn only(&self, wanted: impl Fn(&Request) -> bool) -> Self {
        Self(self.0.iter().filter(|r| wanted(r)).cloned().collect())
    }
}

/// One line a request, for assertion messages.
impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for request in &self.0 {
            writeln!(f, "{request}")?;
        }
        Ok(())
    }
}

// === impl Request ===

impl Request {
    /// Whether it did this to such an object or collection itself.
    pub(crate) fn is_of(&self, verb: &str, resource: &str) -> bool {
        [&*self.verb, &*self.resource, &*self.subresource] == [verb, resource, ""]
    }

    fn kind(&self) -> RequestKind {
        (
            self.verb.clone(),
            self.resource.clone(),
            self.subresource.clone(),
        )
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.subresource.is_empty() {
            write!(f, "/{}", self.subresource)?;
        }
        write!(f, " {}/{} -> {}", self.namespace, self.name, self.code)
    }
}

// === the log's own format ===

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    stage: String,
    request_received_timestamp: jiff::Timestamp,
    verb: String,
    user: User,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: ResponseStatus,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

// Absent for requests like /version, and of a list the name is.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
}

impl From<Entry> for Request {
    fn from(entry: Entry) -> Self {
        let ObjectRef {
            api_group,
            resource,
            subresource,
            namespace,
            name,
        } = entry.object_ref;
        Self {
            verb: entry.verb,
            group: api_group,
            resource,
            subresource,
            namespace,
            name,
            code: entry.response_status.code,
            received: entry.request_received_timestamp,
            forbidden: entry
                .annotations
                .get("authorization.k8s.io/decision")
                .is_some_and(|decision| decision == "forbid"),
        }
    }
}

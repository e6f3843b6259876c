//! Asks the gateways in pods what they have loaded: at once and ever less often until they have
//! what was written, then now and then. Each is asked at its own address, so that no client of a
//! gateway can answer for it.
//! Must not judge what they say, nor let one that is slow or talks too much hold up anything.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::HOST;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Task;
use crate::facts::{Load, Loaded};
use crate::plan::loads::Ask;
use crate::plan::world::Reported;
use crate::policy::name::{Name, NamespacedName};

/// How long a gateway may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Longest answer that is read, in bytes.
const LONGEST: usize = 64 * 1024;

/// How many are asked at a time.
const AT_A_TIME: usize = 8;

/// How long after an answer that is not the awaited one it is asked again: twice as long each time,
/// between these.
const SOONEST: Duration = Duration::from_millis(100);
const LATEST: Duration = Duration::from_secs(15);

/// How long after an answer that is the awaited one: about this long, different for each pod and
/// each time, so that they are not asked all together.
const NOW_AND_THEN: Duration = Duration::from_secs(300);

/// Who is to be asked, and when.
pub struct Asker {
    /// By workspace and pod.
    pods: HashMap<(NamespacedName, Name), Asked>,
    asking: JoinSet<((NamespacedName, Name), Reported)>,
    permits: Arc<Semaphore>,
}

struct Asked {
    ask: Ask,
    /// Answers that were not the awaited one since that last changed.
    tries: u32,
    /// When it is asked next; `None` while it is being asked.
    next: Option<Instant>,
    /// Whether what is awaited changed while it was being asked.
    again: bool,
}

// === impl Asker ===

impl Asker {
    /// The pods of a workspace that are to be asked from now on, and no others of it.
    pub fn expect(&mut self, workspace: &NamespacedName, asks: Vec<Ask>, now: Instant) {
        let wanted: BTreeMap<Name, Ask> = asks
            .into_iter()
            .map(|ask| (ask.pod.name.clone(), ask))
            .collect();
        self.pods
            .retain(|(of, pod), _| of != workspace || wanted.contains_key(pod));
        for (pod, ask) in wanted {
            let new = Asked {
                ask: ask.clone(),
                tries: 0,
                next: Some(now),
                again: false,
            };
            let known = self.pods.entry((workspace.clone(), pod)).or_insert(new);
            let same = known.ask.awaited == ask.awaited
                && known.ask.facts.is_same_run(&ask.facts)
                && known.ask.address == ask.address;
            // One that turns out to be done was due at once, and now is not.
            if known.ask.done != ask.done
                && let (true, Some(next)) = (same, &mut known.next)
            {
                known.tries = 0;
                *next = now + due(&ask, 0, pod_jitter(&ask, now));
            }
            known.ask = ask;
            if !same {
                known.tries = 0;
                match &mut known.next {
                    Some(next) => *next = now,
                    None => known.again = true,
                }
            }
        }
    }

    /// Asks those whose time has come.
    pub fn start(&mut self, now: Instant) {
        for (key, asked) in &mut self.pods {
            if asked.next.is_none_or(|next| next > now) {
                continue;
            }
            asked.next = None;
            let (key, ask, permits) = (key.clone(), asked.ask.clone(), self.permits.clone());
            self.asking.spawn(async move {
                let _permit = permits.acquire().await;
                let load = load(ask.address, TIMEOUT).await;
                let reported = Reported {
                    pod: ask.pod,
                    asked: ask.facts,
                    load,
                };
                (key, reported)
            });
        }
    }

    /// Waits for an answer; for ever while nobody is being asked.
    pub async fn answer(&mut self) -> Reported {
        loop {
            match self.asking.join_next().await {
                Some(Ok((key, reported))) => {
                    self.answered(&key, Instant::now());
                    return reported;
                }
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// When somebody is to be asked next.
    pub fn next(&self) -> Option<Instant> {
        self.pods.values().filter_map(|asked| asked.next).min()
    }

    fn answered(&mut self, key: &(NamespacedName, Name), now: Instant) {
        let Some(asked) = self.pods.get_mut(key) else {
            return;
        };
        if std::mem::take(&mut asked.again) {
            asked.next = Some(now);
            return;
        }
        let due = due(&asked.ask, asked.tries, pod_jitter(&asked.ask, now));
        asked.tries = asked.tries.saturating_add(1);
        asked.next = Some(now + due);
    }
}

impl Default for Asker {
    fn default() -> Self {
        Self {
            pods: HashMap::new(),
            asking: JoinSet::new(),
            permits: Arc::new(Semaphore::new(AT_A_TIME)),
        }
    }
}

/// How long until it is asked again; `jitter` is between 0 and 1.
fn due(ask: &Ask, tries: u32, jitter: f64) -> Duration {
    if ask.done {
        return NOW_AND_THEN.mul_f64(0.8 + 0.4 * jitter);
    }
    let factor = 1 << tries.min(16);
    SOONEST.saturating_mul(factor).min(LATEST)
}

/// Different for each pod and each time.
fn pod_jitter(ask: &Ask, now: Instant) -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let hash = RandomState::new().hash_one((&ask.facts.uid, now));
    f64::from(u16::try_from(hash >> 48).unwrap_or_default()) / f64::from(u16::MAX)
}

/// What the gateway at this address says.
async fn load(address: SocketAddr, timeout: Duration) -> Load {
    match tokio::time::timeout(timeout, exchange(address)).await {
        Ok(Ok(loaded)) => Load::Loaded(loaded),
        Ok(Err(Silence::NotAGateway)) => Load::NotAGateway,
        Ok(Err(Silence::Unreachable)) | Err(_) => Load::Unreachable,
    }
}

enum Silence {
    Unreachable,
    NotAGateway,
}

/// What `/loaded` of a gateway says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Report {
    workspace: Option<Name>,
    config: Name,
    revision: Option<Name>,
    subjects: Subjects,
    files: BTreeMap<Name, Name>,
    error: Option<Name>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Subjects {
    expected: usize,
    differ: Vec<Name>,
}

async fn exchange(address: SocketAddr) -> Result<Loaded, Silence> {
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|_| Silence::Unreachable)?;
    let connection = http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await;
    let (mut sender, connection) = connection.map_err(|_| Silence::Unreachable)?;
    let _connection = Task(tokio::spawn(async move { drop(connection.await) }));
    let Report {
        workspace,
        config,
        revision,
        subjects,
        files,
        error,
    } = said(&mut sender, address).await?;
    Ok(Loaded {
        workspace: workspace.unwrap_or_default(),
        config,
        revision: revision.unwrap_or_default(),
        subjects: subjects.expected,
        differ: subjects.differ,
        error,
        versions: files,
    })
}

async fn said(
    sender: &mut http1::SendRequest<Empty<Bytes>>,
    address: SocketAddr,
) -> Result<Report, Silence> {
    let request = http::Request::get("/loaded").header(HOST, address.to_string());
    let request = request.body(Empty::new());
    let request = request.map_err(|_| Silence::NotAGateway)?;
    sender.ready().await.map_err(|_| Silence::Unreachable)?;
    let answer = sender.send_request(request).await;
    let answer = answer.map_err(|_| Silence::Unreachable)?;
    if answer.status() != http::StatusCode::OK {
        return Err(Silence::NotAGateway);
    }
    let body = Limited::new(answer.into_body(), LONGEST).collect().await;
    let body = body.map_err(|_| Silence::NotAGateway)?.to_bytes();
    serde_json::from_slice(&body).map_err(|_| Silence::NotAGateway)
}

#[cfg(test)]
mod tests;

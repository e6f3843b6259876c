//! The operator: watches become facts, facts become plans, plans become writes. One loop owns
//! all facts; a cycle for each workspace plans and writes.
//! Must not decide who may do what.

mod body;
mod calendar;
#[cfg(test)]
mod canary;
mod cycle;
mod echo;
mod engine;
mod execute;
#[cfg(test)]
mod fake;
mod first_look;
mod flights;
mod gateways;
mod hurry;
mod leader;
mod load;
mod metrics;
mod news;
mod object;
mod observe;
mod queue;
mod read;
mod report;
mod request;
mod secrets;
mod serve;
mod skew;
pub mod telemetry;
mod vault;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::client::{ClientBuilder, DynBody};
use kube::{Client, Config};
use tokio::sync::watch;
use tower::util::MapResponseLayer;

pub use metrics::Metrics;
pub use observe::key_set;

use calendar::Calendar;
use engine::Engine;
use leader::{Candidate, Lost};
use observe::Onlookers;
use serve::{Health, Served};
use skew::ServerClock;

use crate::gateway::envoy::Upstream;
use crate::policy::name::Name;

/// No connection is silent for longer: a watch ends after 290 s by itself.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// How long the Lease may take to be released at the end.
const RELEASE_TIME: Duration = Duration::from_secs(3);

/// How the operator runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where metrics and probes are served; `None` serves none.
    pub metrics_bind_address: Option<SocketAddr>,
    /// Whether the days keys are due are served there, too.
    pub calendar: bool,
    /// Whether this process waits for a Lease before it writes. Only for a single process
    /// that nobody else runs beside may it be false.
    pub leader_elect: bool,
    /// The namespaces whose objects count, each with watches of its own, so that a Role in each is
    /// enough; none is all. Labels of namespaces cannot be seen like that.
    pub namespaces: BTreeSet<Name>,
    /// Which Secrets are watched.
    pub secrets: SecretScope,
    /// The ConfigMap, in the operator's own namespace, whose model catalogue takes the place of the
    /// built-in one.
    pub models_config_map: String,
    /// Where gateways find Anthropic's API.
    pub upstream: Upstream,
    /// Most requests on their way at a time, watches and leader election aside.
    pub max_in_flight: usize,
    /// The operator's own namespace: of the Lease, of that ConfigMap, and of its ServiceAccount.
    pub namespace: String,
    /// Which process this is, for the Lease and in Events: the Pod's name.
    pub identity: String,
}

/// Which Secrets are watched, always by their metadata alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SecretScope {
    /// Those of each namespace that something refers to, with one watch a namespace.
    Namespaced,
    /// All, with one watch, for which the right to list Secrets everywhere is needed.
    Cluster,
}

/// Why the operator ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Metrics and probes cannot be served.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        address: SocketAddr,
        source: std::io::Error,
    },
    /// Somebody else may be writing now, so this process must not.
    #[error("{0}; this process ends so that only one writes")]
    Lost(#[from] Lost),
}

/// The way to the API server.
pub struct Connection {
    client: Client,
    clock: ServerClock,
}

/// A connection for the operator: without retries, since a request that failed is made anew
/// from facts that are up to date, and with a limit to silence.
///
/// # Errors
/// When certificates, tokens or addresses in `config` are unusable.
pub fn connect(mut config: Config) -> kube::Result<Connection> {
    config.default_retry = false;
    config.read_timeout = Some(READ_TIMEOUT);
    config.reset_reader_on_write = true;
    let clock = ServerClock::default();
    let heard = clock.clone();
    let listen = MapResponseLayer::new(move |answer: http::Response<Box<DynBody>>| {
        heard.hear(answer.headers(), Instant::now());
        answer
    });
    let client = ClientBuilder::try_from(config)?.with_layer(&listen).build();
    Ok(Connection { client, clock })
}

/// Runs the operator until `shutdown`: then what is on its way is finished and the Lease
/// released.
///
/// # Errors
/// When it cannot listen, or is no longer the leader.
pub async fn run(
    connection: Connection,
    options: Options,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let Connection { client, clock } = connection;
    let metrics = Arc::new(Metrics::new());
    let calendar = options.calendar.then(|| Arc::new(Calendar::default()));
    let health = Health::new();
    let _server = match options.metrics_bind_address {
        Some(address) => {
            let listener = serve::bind(address).await;
            let listener = listener.map_err(|source| Error::Bind { address, source })?;
            let server = serve::serve(
                listener,
                Served {
                    health: health.clone(),
                    metrics: metrics.clone(),
                    calendar: calendar.clone(),
                },
            );
            Some(Task(tokio::spawn(server)))
        }
        None => None,
    };
    let version = env!("CARGO_PKG_VERSION");

    tracing::info!(
        version,
        identity = options.identity,
        namespaces = ?options.namespaces,
        secrets = ?options.secrets,
        "starting"
    );

    let (lead, leading) = watch::channel(!options.leader_elect);
    let mut election = Task(tokio::spawn({
        let candidate = Candidate::new(client.clone(), &options.namespace, &options.identity);
        let elect = options.leader_elect;
        async move {
            if elect {
                candidate.run(lead).await
            } else {
                lead.closed().await;
                None
            }
        }
    }));
    let onlookers = Onlookers { metrics, calendar };
    let engine = Engine::new(client, clock, &options, health, onlookers);
    tokio::select! {
        () = engine.run(leading, shutdown) => {}
        lost = &mut election.0 => {
            // Without a loss it ends after the engine only.
            let lost = lost.ok().flatten().unwrap_or(Lost::Expired);
            return Err(lost.into());
        }
    }
    let released = tokio::time::timeout(RELEASE_TIME, &mut election.0).await;
    if released.is_err() {
        tracing::warn!("Lease not released in time, it runs out");
    }
    tracing::info!("stopped");
    Ok(())
}

/// A task that ends with whoever started it.
struct Task<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

//! Leader election over a Lease: of several replicas one writes, the others watch and wait.
//! Must not know what the leader does.
//!
//! No crate does this to our needs: the one that fits this kube never tells its holder that the
//! Lease is lost while the API server cannot be reached. Here the holder keeps its own deadline.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::watch;

use crate::api::metadata::NAME;

/// How long a Lease holds after its last renewal: as long as client-go's.
const LEASE: Duration = Duration::from_secs(15);
/// After how long without a renewal the holder gives up: well before others may take over.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Time between attempts to renew or take it.
const RETRY: Duration = Duration::from_secs(2);
/// No attempt takes longer.
const ATTEMPT: Duration = Duration::from_secs(4);

/// Why there is no leading any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Lost {
    /// Somebody else has the Lease.
    #[error("another replica has become the leader")]
    Taken,
    /// It could not be renewed in time.
    #[error("the leader's Lease could not be renewed for {} s", RENEW_DEADLINE.as_secs())]
    Expired,
}

/// Who runs for leader, and where.
pub struct Candidate {
    leases: Api<Lease>,
    election: Election,
    /// The Lease as it was after our latest write of it.
    held: Option<Lease>,
}

/// What is known of the Lease. Whether another's has run out is told from how long it has not
/// moved by our own clock: clocks differ between machines.
#[derive(Debug)]
struct Election {
    identity: String,
    seen: Option<(LeaseSpec, Instant)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// There is none, or nobody's, or its holder is gone.
    Take,
    /// It is ours.
    Renew,
    /// It is somebody else's.
    Wait,
}

// === impl Candidate ===

impl Candidate {
    /// Runs for the Lease of this project in a namespace.
    pub fn new(client: Client, namespace: &str, identity: &str) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            election: Election {
                identity: identity.into(),
                seen: None,
            },
            held: None,
        }
    }

    /// Takes the Lease as soon as it is free, says so in `leading`, and renews it until it is
    /// lost, or until `leading` has no receiver any more: then it is released, and `None`.
    pub async fn run(mut self, leading: watch::Sender<bool>) -> Option<Lost> {
        let mut renewed: Option<Instant> = None;
        loop {
            let start = Instant::now();
            let deadline = renewed.map_or(start + ATTEMPT, |at| at + RENEW_DEADLINE);
            let time = ATTEMPT.min(deadline.saturating_duration_since(start));
            match tokio::time::timeout(time, self.attempt(start)).await {
                Ok(Ok(true)) => {
                    renewed = Some(start);
                    if !leading.send_replace(true) {
                        tracing::info!(identity = self.election.identity, "leading");
                    }
                }
                Ok(Ok(false)) if renewed.is_some() => return Some(Lost::Taken),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    self.held = None;
                    tracing::warn!(%error, "the Lease cannot be read or written");
                }
                Err(_) => {
                    self.held = None;
                    tracing::warn!("the Lease cannot be read or written: no answer");
                }
            }
            let deadline = renewed.map(|at| at + RENEW_DEADLINE);
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Some(Lost::Expired);
            }
            let next = start + RETRY;
            let next = deadline.map_or(next, |deadline| next.min(deadline));
            tokio::select! {
                () = tokio::time::sleep_until(next.into()) => {}
                () = leading.closed() => break,
            }
        }
        if renewed.is_some() {
            self.release().await;
        }
        None
    }

    /// Whether the Lease is ours now.
    async fn attempt(&mut self, now: Instant) -> kube::Result<bool> {
        let found = match self.held.take() {
            // Renewing what we wrote last needs no other look: if it moved, that is a conflict.
            Some(held) => Some(held),
            None => self.leases.get_opt(NAME).await?,
        };
        let spec = found
            .as_ref()
            .map(|lease| lease.spec.clone().unwrap_or_default());
        let spec = match self.election.step(spec.as_ref(), now) {
            Step::Wait => return Ok(false),
            step @ (Step::Take | Step::Renew) => self.election.claim(spec, step, Timestamp::now()),
        };
        let written = match found {
            Some(mut lease) => {
                lease.spec = Some(spec);
                lease.metadata.managed_fields = None;
                self.leases
                    .replace(NAME, &PostParams::default(), &lease)
                    .await
            }
            None => {
                let name = Some(NAME.to_owned());
                let metadata = ObjectMeta {
                    name,
                    ..ObjectMeta::default()
                };
                let lease = Lease {
                    metadata,
                    spec: Some(spec),
                };
                self.leases.create(&PostParams::default(), &lease).await
            }
        };
        match written {
            Ok(lease) => {
                self.held = Some(lease);
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                // Whoever was quicker is seen at the next look.
                let spec = self.leases.get(NAME).await?.spec;
                Ok(self.election.step(spec.as_ref(), now) == Step::Renew)
            }
            Err(error) => Err(error),
        }
    }

    /// Lets the next one take over at once.
    async fn release(&mut self) {
        let Some(mut lease) = self.held.take() else {
            return;
        };
        let mut spec = lease.spec.take().unwrap_or_default();
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        lease.spec = Some(spec);
        lease.metadata.managed_fields = None;
        let params = PostParams::default();
        let released =
            tokio::time::timeout(RETRY, self.leases.replace(NAME, &params, &lease)).await;
        match released {
            Ok(Ok(_)) => tracing::info!("Lease released"),
            Ok(Err(_)) | Err(_) => tracing::warn!("Lease not released, it runs out"),
        }
    }
}

// === impl Election ===

impl Election {
    /// What to do about the Lease as it was found.
    fn step(&mut self, found: Option<&LeaseSpec>, now: Instant) -> Step {
        let Some(found) = found else {
            return Step::Take;
        };
        let since = match &self.seen {
            Some((seen, since)) if seen == found => *since,
            _ => {
                self.seen = Some((found.clone(), now));
                now
            }
        };
        let duration = found
            .lease_duration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok());
        let duration = duration.map_or(LEASE, Duration::from_secs);
        match found.holder_identity.as_deref() {
            None | Some("") => Step::Take,
            Some(holder) if holder == self.identity => Step::Renew,
            Some(_) if now.saturating_duration_since(since) >= duration => Step::Take,
            Some(_) => Step::Wait,
        }
    }

    /// The Lease as ours.
    fn claim(&self, found: Option<LeaseSpec>, step: Step, now: Timestamp) -> LeaseSpec {
        let mut spec = found.unwrap_or_default();
        if step == Step::Take {
            let others = spec.lease_transitions.map(|n| n.saturating_add(1));
            spec.lease_transitions = Some(others.unwrap_or_default());
            spec.acquire_time = Some(MicroTime(now));
        }
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = i32::try_from(LEASE.as_secs()).ok();
        spec.renew_time = Some(MicroTime(now));
        spec
    }
}

#[cfg(test)]
mod tests;

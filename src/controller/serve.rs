//! The one HTTP port: metrics, and whether the process is alive and ready.
//! Must not change anything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::metrics::Metrics;

/// The loop beats every second; one that has not for this long is stuck.
const STUCK: Duration = Duration::from_secs(30);

/// How the process is.
#[derive(Clone, Debug)]
pub struct Health {
    beat: Arc<watch::Sender<Instant>>,
    /// The base watches have listed. A standby is ready as well: it serves what a leader does
    /// not, a quick takeover.
    listed: Arc<AtomicBool>,
}

#[derive(Clone)]
struct Shared {
    health: Health,
    metrics: Arc<Metrics>,
}

// === impl Health ===

impl Health {
    /// Alive as of now, and not ready.
    pub fn new() -> Self {
        Self {
            beat: Arc::new(watch::Sender::new(Instant::now())),
            listed: Arc::default(),
        }
    }

    /// The loop is alive.
    pub fn beat(&self) {
        self.beat.send_replace(Instant::now());
    }

    /// Whether everything that is needed to plan is known.
    pub fn set_listed(&self, listed: bool) {
        self.listed.store(listed, Ordering::Relaxed);
    }

    fn is_alive(&self, now: Instant) -> bool {
        now.saturating_duration_since(*self.beat.borrow()) < STUCK
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

/// Listens on an address.
///
/// # Errors
/// When it is taken or not ours.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, health: Health, metrics: Arc<Metrics>) {
    let router = Router::new()
        .route("/metrics", get(metrics_text))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(Shared { health, metrics });
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "metrics and probes are no longer served");
    }
}

async fn metrics_text(State(shared): State<Shared>) -> impl IntoResponse {
    let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, format)], shared.metrics.encode())
}

async fn healthz(State(shared): State<Shared>) -> impl IntoResponse {
    verdict(shared.health.is_alive(Instant::now()), "the loop is stuck")
}

async fn readyz(State(shared): State<Shared>) -> impl IntoResponse {
    verdict(
        shared.health.listed.load(Ordering::Relaxed),
        "not everything is listed yet",
    )
}

fn verdict(good: bool, why_not: &'static str) -> (StatusCode, &'static str) {
    if good {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, why_not)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_has_not_beaten_for_half_a_minute_is_not_alive() {
        let health = Health::new();
        let beat = *health.beat.borrow();
        assert!(health.is_alive(beat + STUCK - Duration::from_millis(1)));
        assert!(!health.is_alive(beat + STUCK));
        health.beat();
        assert!(health.is_alive(Instant::now()));
    }

    #[tokio::test]
    async fn readiness_comes_with_the_first_lists() {
        let health = Health::new();
        let shared = Shared {
            health: health.clone(),
            metrics: Arc::new(Metrics::new()),
        };
        let ready = async || readyz(State(shared.clone())).await.into_response().status();
        assert_eq!(ready().await, StatusCode::SERVICE_UNAVAILABLE);
        health.set_listed(true);
        assert_eq!(ready().await, StatusCode::OK);
    }
}

//! The one HTTP port: metrics, whether the process is alive and ready, and the calendar of due
//! keys if that was asked for.
//! Must not change anything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::calendar::{Calendar, Page};
use super::metrics::Metrics;

/// The loop beats every second; one that has not for this long is stuck.
const STUCK: Duration = Duration::from_secs(30);

const NOT_LISTED: &str = "not everything is listed yet";

/// How the process is.
#[derive(Clone, Debug)]
pub struct Health {
    beat: Arc<watch::Sender<Instant>>,
    /// The base watches have listed. A standby is ready as well: it serves what a leader does
    /// not, a quick takeover.
    listed: Arc<AtomicBool>,
}

/// What is served.
#[derive(Clone)]
pub struct Served {
    pub health: Health,
    pub metrics: Arc<Metrics>,
    /// `None` serves none.
    pub calendar: Option<Arc<Calendar>>,
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
pub async fn serve(listener: TcpListener, served: Served) {
    if let Err(error) = axum::serve(listener, router(served)).await {
        tracing::error!(%error, "metrics and probes are no longer served");
    }
}

fn router(served: Served) -> Router {
    let mut router = Router::new()
        .route("/metrics", get(metrics_text))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz));
    if served.calendar.is_some() {
        router = router.route("/calendar.ics", get(calendar));
    }
    router.with_state(served)
}

async fn metrics_text(State(served): State<Served>) -> impl IntoResponse {
    let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, format)], served.metrics.encode())
}

async fn healthz(State(served): State<Served>) -> impl IntoResponse {
    verdict(served.health.is_alive(Instant::now()), "the loop is stuck")
}

async fn readyz(State(served): State<Served>) -> impl IntoResponse {
    verdict(served.health.listed.load(Ordering::Relaxed), NOT_LISTED)
}

/// The calendar, if it is another than the client has. Before everything is listed there is none:
/// a client would take what is missing for gone.
async fn calendar(State(served): State<Served>, headers: HeaderMap) -> Response {
    let Some(calendar) = &served.calendar else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if !served.health.listed.load(Ordering::Relaxed) {
        return verdict(false, NOT_LISTED).into_response();
    }
    let Page { text, digest } = calendar.page();
    let tag = format!("\"{digest}\"");
    let about = [
        (header::ETAG, tag.clone()),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
    ];
    if has(&headers, &tag) {
        return (StatusCode::NOT_MODIFIED, about).into_response();
    }
    let format = [(header::CONTENT_TYPE, "text/calendar; charset=utf-8")];
    (about, format, text.to_string()).into_response()
}

/// Whether a client says that it has what this tag stands for (RFC 9110, 13.1.2).
fn has(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    let known = known.filter_map(|value| value.to_str().ok());
    known
        .flat_map(|value| value.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == "*" || known == tag)
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
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt as _;

    #[test]
    fn a_loop_that_has_not_beaten_for_half_a_minute_is_not_alive() {
        let health = Health::new();
        let beat = *health.beat.borrow();
        assert!(health.is_alive(beat + STUCK - Duration::from_millis(1)));
        assert!(!health.is_alive(beat + STUCK));
        health.beat();
        assert!(health.is_alive(Instant::now()));
    }

    fn served(calendar: Option<Arc<Calendar>>) -> Served {
        Served {
            health: Health::new(),
            metrics: Arc::new(Metrics::new()),
            calendar,
        }
    }

    /// Status, entity tag and length of an answer.
    async fn answer(served: &Served, path: &str, known: &str) -> (StatusCode, String, usize) {
        let request = Request::get(path).header(header::IF_NONE_MATCH, known);
        let request = request.body(Body::empty()).expect("a request");
        let answer = router(served.clone())
            .oneshot(request)
            .await
            .expect("an answer");
        let tag = answer.headers().get(header::ETAG);
        let tag = tag.map(|tag| tag.to_str().expect("text").to_owned());
        let status = answer.status();
        let body = to_bytes(answer.into_body(), usize::MAX)
            .await
            .expect("a body");
        (status, tag.unwrap_or_default(), body.len())
    }

    #[tokio::test]
    async fn readiness_comes_with_the_first_lists() {
        let served = served(None);
        let ready = async || answer(&served, "/readyz", "").await.0;
        assert_eq!(ready().await, StatusCode::SERVICE_UNAVAILABLE);
        served.health.set_listed(true);
        assert_eq!(ready().await, StatusCode::OK);
    }

    #[tokio::test]
    async fn the_calendar_is_served_only_when_asked_for_and_whole() {
        let none = served(None);
        none.health.set_listed(true);
        assert_eq!(
            answer(&none, "/calendar.ics", "").await.0,
            StatusCode::NOT_FOUND
        );
        let served = served(Some(Arc::default()));
        let early = answer(&served, "/calendar.ics", "*").await;
        assert_eq!(early.0, StatusCode::SERVICE_UNAVAILABLE);
        served.health.set_listed(true);
        let (status, _, length) = answer(&served, "/calendar.ics", "").await;
        assert_eq!((status, length > 100), (StatusCode::OK, true));
    }

    #[tokio::test]
    async fn whoever_has_the_calendar_already_gets_it_not_again() {
        let served = served(Some(Arc::default()));
        served.health.set_listed(true);
        let (_, tag, length) = answer(&served, "/calendar.ics", "\"another\"").await;
        assert!(tag.len() == 66 && length > 0, "{tag}");
        for known in [tag.clone(), format!("\"another\", W/{tag}"), "*".to_owned()] {
            let again = answer(&served, "/calendar.ics", &known).await;
            assert_eq!(again, (StatusCode::NOT_MODIFIED, tag.clone(), 0), "{known}");
        }
    }
}

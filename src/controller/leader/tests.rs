use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use kube::client::Body;
use serde_json::json;

use super::*;
use crate::api::metadata::OPERATOR_NAMESPACE;

fn election(identity: &str) -> Election {
    Election {
        identity: identity.into(),
        seen: None,
    }
}

fn held_by(holder: &str, renewals: i64) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(holder.into()),
        lease_duration_seconds: Some(15),
        renew_time: Timestamp::from_second(renewals).ok().map(MicroTime),
        ..LeaseSpec::default()
    }
}

#[test]
fn a_lease_that_is_missing_free_or_released_is_taken() {
    let now = Instant::now();
    assert_eq!(election("a").step(None, now), Step::Take);
    assert_eq!(
        election("a").step(Some(&LeaseSpec::default()), now),
        Step::Take
    );
    assert_eq!(election("a").step(Some(&held_by("", 1)), now), Step::Take);
}

#[test]
fn a_lease_of_ours_is_renewed() {
    assert_eq!(
        election("a").step(Some(&held_by("a", 1)), Instant::now()),
        Step::Renew
    );
}

#[test]
fn anothers_lease_is_taken_once_it_has_not_moved_for_its_duration_by_our_clock() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut election = election("a");
    // Its times are far in the past, by some other clock.
    assert_eq!(election.step(Some(&held_by("b", 1)), at(0)), Step::Wait);
    assert_eq!(election.step(Some(&held_by("b", 1)), at(14)), Step::Wait);
    assert_eq!(
        election.step(Some(&held_by("b", 2)), at(15)),
        Step::Wait,
        "it moved"
    );
    assert_eq!(election.step(Some(&held_by("b", 2)), at(29)), Step::Wait);
    assert_eq!(election.step(Some(&held_by("b", 2)), at(30)), Step::Take);
}

#[test]
fn taking_over_is_counted_and_renewing_is_not() {
    let now = Timestamp::from_second(100).expect("in range");
    let election = election("a");
    let first = election.claim(None, Step::Take, now);
    assert_eq!(
        (first.lease_transitions, first.holder_identity.as_deref()),
        (Some(0), Some("a"))
    );
    let renewed = election.claim(
        Some(first.clone()),
        Step::Renew,
        Timestamp::from_second(102).expect("in range"),
    );
    assert_eq!(
        (renewed.lease_transitions, &renewed.acquire_time),
        (Some(0), &first.acquire_time)
    );
    assert_ne!(renewed.renew_time, first.renew_time);
    let taken = Election {
        identity: "b".into(),
        seen: None,
    }
    .claim(Some(renewed), Step::Take, now);
    assert_eq!(
        (taken.lease_transitions, taken.holder_identity.as_deref()),
        (Some(1), Some("b"))
    );
}

/// An API server that knows one Lease, and can be switched off.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lease: Option<Lease>,
    version: u64,
    down: bool,
}

impl Server {
    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { server.answer(request).await }
        });
        Client::new(service, "default")
    }

    fn holder(&self) -> Option<String> {
        let state = self.0.lock().expect("not poisoned");
        state.lease.as_ref()?.spec.as_ref()?.holder_identity.clone()
    }

    async fn answer(&self, request: Request<Body>) -> kube::Result<Response<Body>> {
        let method = request.method().clone();
        let sent = request.into_body().collect_bytes().await?;
        let mut state = self.0.lock().expect("not poisoned");
        let refuse = |code: u16, reason: &str| {
            let status =
                json!({"kind": "Status", "code": code, "reason": reason, "status": "Failure"});
            (code, status.to_string())
        };
        let (code, body) = match (method, &state.lease) {
            _ if state.down => refuse(500, "InternalError"),
            (Method::GET, None) => refuse(404, "NotFound"),
            (Method::GET, Some(lease)) => (200, serde_json::to_string(lease).expect("JSON")),
            (Method::POST, Some(_)) => refuse(409, "AlreadyExists"),
            (_, held) => {
                let mut lease: Lease = serde_json::from_slice(&sent).expect("a Lease");
                let before = held
                    .as_ref()
                    .and_then(|held| held.metadata.resource_version.clone());
                if before == lease.metadata.resource_version {
                    state.version += 1;
                    lease.metadata.resource_version = Some(state.version.to_string());
                    let text = serde_json::to_string(&lease).expect("JSON");
                    state.lease = Some(lease);
                    (200, text)
                } else {
                    refuse(409, "Conflict")
                }
            }
        };
        let response = Response::builder()
            .status(code)
            .body(Body::from(body.into_bytes()));
        Ok(response.expect("a response"))
    }
}

fn candidate(server: &Server, identity: &str) -> Candidate {
    Candidate::new(server.client(), OPERATOR_NAMESPACE, identity)
}

#[tokio::test]
async fn the_first_candidate_leads_and_the_second_waits_until_it_is_released() {
    let server = Server::default();
    let (first, mut leads) = watch::channel(false);
    let task = tokio::spawn(candidate(&server, "a").run(first));
    leads.wait_for(|leads| *leads).await.expect("it leads");
    assert_eq!(server.holder().as_deref(), Some("a"));

    let mut second = candidate(&server, "b");
    assert!(!second.attempt(Instant::now()).await.expect("an answer"));
    drop(leads);
    assert_eq!(task.await.expect("it ends"), None);
    assert_eq!(server.holder().as_deref(), Some(""));
    assert!(second.attempt(Instant::now()).await.expect("an answer"));
    assert_eq!(server.holder().as_deref(), Some("b"));
}

#[tokio::test]
async fn whoever_finds_its_lease_taken_has_lost_it() {
    let server = Server::default();
    let mut first = candidate(&server, "a");
    let now = Instant::now();
    assert!(first.attempt(now).await.expect("an answer"));
    let mut second = candidate(&server, "b");
    assert!(!second.attempt(now).await.expect("an answer"));
    assert!(
        second.attempt(now + LEASE).await.expect("an answer"),
        "it had not moved"
    );
    assert!(!first.attempt(now).await.expect("an answer"));
}

#[tokio::test]
async fn an_api_server_that_fails_is_no_renewal() {
    let server = Server::default();
    let mut first = candidate(&server, "a");
    assert!(first.attempt(Instant::now()).await.expect("an answer"));
    server.0.lock().expect("not poisoned").down = true;
    assert!(first.attempt(Instant::now()).await.is_err());
    server.0.lock().expect("not poisoned").down = false;
    assert!(
        first.attempt(Instant::now()).await.expect("an answer"),
        "it is still ours"
    );
}

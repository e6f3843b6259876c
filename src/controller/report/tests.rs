use super::*;
use crate::api::RoleBindingStatus;
use crate::api::metadata::OPERATOR_NAMESPACE;
use crate::controller::fake::{Fake, status};
use crate::policy::catalogue::Catalogue;

fn announcement() -> Announcement {
    Announcement {
        kind: Kind::ApiKeyRef,
        name: NamespacedName::new("search", "prod-search-service"),
        uid: Some("uid-1".into()),
        warning: true,
        reason: "RotationOverdue",
        action: "Rotation",
        note: "Replace it.".into(),
        once: "Overdue 1a2b3c4d5e6f7081".into(),
    }
}

#[test]
fn a_status_is_applied_to_one_object_and_says_nothing_else_of_it() {
    let update = StatusUpdate {
        name: NamespacedName::new("search", "users"),
        uid: Some("uid-1".into()),
        status: Status::RoleBinding(Box::new(RoleBindingStatus {
            observed_generation: Some(3),
            ..RoleBindingStatus::default()
        })),
        content: Hex([0; 16]),
    };
    assert_eq!(
        status_body(&update),
        json!({
            "apiVersion": "anthropic-rbac.io/v1alpha1",
            "kind": "RoleBinding",
            "metadata": {"name": "users", "namespace": "search", "uid": "uid-1"},
            "status": {"observedGeneration": 3},
        })
    );
}

#[test]
fn an_event_says_what_about_whom_and_from_whom() {
    let now = "2026-12-01T00:00:00.25Z".parse().expect("a time");
    let event = announcement();
    assert_eq!(
        event_body(&event, now, "pod-1"),
        json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": event_name(&event), "namespace": "search"},
            "eventTime": "2026-12-01T00:00:00.250000Z",
            "type": "Warning",
            "reason": "RotationOverdue",
            "action": "Rotation",
            "note": "Replace it.",
            "regarding": {
                "apiVersion": "anthropic-rbac.io/v1alpha1",
                "kind": "ApiKeyRef",
                "namespace": "search",
                "name": "prod-search-service",
                "uid": "uid-1",
            },
            "reportingController": "anthropic-rbac.io/anthropic-rbac",
            "reportingInstance": "pod-1",
        })
    );
}

#[test]
fn the_same_announcement_has_the_same_name_and_another_has_another() {
    let event = announcement();
    let name = event_name(&event);
    let (text, id) = name.split_once('.').expect("two parts");
    assert_eq!((text, id.len()), ("prod-search-service", 16));
    let reworded = Announcement {
        note: "Replace it today.".into(),
        ..event.clone()
    };
    assert_eq!(event_name(&reworded), name);
    let later = Announcement {
        once: "Expired".into(),
        ..event.clone()
    };
    let namesake = Announcement {
        uid: Some("uid-2".into()),
        ..event.clone()
    };
    let other = Announcement {
        reason: "RotationDueSoon",
        ..event.clone()
    };
    for other in [later, namesake, other] {
        assert_ne!(event_name(&other), name);
    }
}

#[test]
fn the_name_of_an_event_is_a_name_however_long_its_objects_is() {
    let long = format!("{}.{}", "a".repeat(199), "b".repeat(53));
    let event = Announcement {
        name: NamespacedName::new("search", long),
        ..announcement()
    };
    let name = event_name(&event);
    assert!(name.len() <= 253 && !name.contains(".."), "{name}");
}

#[test]
fn a_long_note_is_cut_between_characters() {
    let event = Announcement {
        note: "ä".repeat(600),
        ..announcement()
    };
    let body = event_body(&event, Timestamp::UNIX_EPOCH, "pod-1");
    assert_eq!(body["note"].as_str().map(str::len), Some(1024));
    let event = Announcement {
        note: format!("a{}", event.note),
        ..event
    };
    let body = event_body(&event, Timestamp::UNIX_EPOCH, "pod-1");
    assert_eq!(body["note"].as_str().map(str::len), Some(1023));
}

fn snapshot() -> Snapshot {
    Snapshot {
        skew: None,
        now: Timestamp::UNIX_EPOCH,
        name: NamespacedName::new("claude", "production"),
        workspace: None,
        bindings: Vec::new(),
        keys: Vec::new(),
        departed: std::collections::BTreeSet::new(),
        namespaces: BTreeMap::new(),
        secrets: BTreeMap::new(),
        outputs: BTreeMap::new(),
        rivals: Vec::new(),
        shared_audiences: BTreeMap::new(),
        client_key_rivals: Vec::new(),
        failures: BTreeMap::new(),
        pods: BTreeMap::new(),
        loads: BTreeMap::new(),
        jwks: BTreeMap::new(),
        upstream: Arc::default(),
        unhurried: BTreeMap::new(),
        last_policy: None,
        catalogue: Arc::new(Catalogue::built_in()),
        operator_namespace: OPERATOR_NAMESPACE.into(),
    }
}

fn update(name: &str) -> StatusUpdate {
    StatusUpdate {
        name: NamespacedName::new("search", name),
        uid: Some("uid-1".into()),
        status: Status::ApiKeyRef(Box::default()),
        content: Hex([0; 16]),
    }
}

async fn report(fake: &Fake, plan: &Plan, superseded: bool) -> Reported {
    let (reader, _news) = fake.reader();
    let reporter = Reporter {
        reader: &reader,
        snapshot: &snapshot(),
        identity: "pod-1",
        superseded: &Arc::new(AtomicBool::new(superseded)),
    };
    reporter.all(plan).await
}

const EVENTS: &str = "POST /apis/events.k8s.io/v1/namespaces/search/events";
const STATUS: &str = "PATCH /apis/anthropic-rbac.io/v1alpha1/namespaces/search/apikeyrefs/prod-search-service/status";

fn plan() -> Plan {
    Plan {
        statuses: vec![update("prod-search-service")],
        events: vec![announcement()],
        ..Plan::default()
    }
}

#[tokio::test]
async fn an_event_goes_before_the_status_that_would_hide_it() {
    let fake = Fake::new(|what| match what.starts_with("POST") {
        // As after a crash between the two.
        true => status(409, "AlreadyExists"),
        false => status(404, "NotFound"),
    });
    let reported = report(&fake, &plan(), false).await;
    assert_eq!(fake.lines(), [EVENTS, STATUS]);
    assert_eq!(
        (reported.refused, reported.later),
        (false, None),
        "gone is no failure"
    );
}

#[tokio::test]
async fn an_event_that_may_still_go_through_holds_its_status_and_one_that_will_not_does_not() {
    let asked = async |code| {
        let fake = Fake::new(move |what| match what.starts_with("POST") {
            true => status(code, "Whatever"),
            false => status(422, "Invalid"),
        });
        let reported = report(&fake, &plan(), false).await;
        (
            fake.lines().len(),
            reported.refused,
            reported.later.is_some(),
        )
    };
    assert_eq!(asked(503).await, (1, false, true));
    assert_eq!(asked(403).await, (2, true, false));
}

#[tokio::test]
async fn nothing_to_say_is_nothing_sent() {
    let fake = Fake::new(|_| status(500, "NotAsked"));
    let reported = report(&fake, &Plan::default(), false).await;
    assert_eq!((fake.lines().len(), reported.written), (0, 0));
}

#[tokio::test]
async fn a_plan_that_is_out_of_date_gets_ahead_but_does_not_finish() {
    let statuses = (0..1000).map(|i| update(&format!("k{i}"))).collect();
    let plan = Plan {
        statuses,
        ..Plan::default()
    };
    let sent = async |superseded| {
        let fake = Fake::new(|_| status(404, "NotFound"));
        report(&fake, &plan, superseded).await;
        fake.lines().len()
    };
    assert_eq!(sent(true).await, STATUSES_AT_LEAST);
    assert_eq!(sent(false).await, 1000);
}

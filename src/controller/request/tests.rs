use std::io::Write;

use serde_json::{Value, json};

use super::*;
use crate::controller::fake::{Fake, status};

fn failed(kind: ObjectKind, (code, body): (u16, Value)) -> Failure {
    failure(kind, code, None, body.to_string().as_bytes())
}

#[test]
fn answers_are_told_apart_by_what_can_be_done_about_them() {
    let told = |code, reason| failed(ObjectKind::ConfigMap, status(code, reason));
    assert_eq!(told(409, "AlreadyExists"), Failure::AlreadyExists);
    assert_eq!(told(409, "Conflict"), Failure::Conflict);
    assert_eq!(told(404, "NotFound"), Failure::NotFound);
    assert_eq!(told(403, "Forbidden"), Failure::Forbidden);
    for code in [401, 408, 429, 500, 503, 504] {
        let later = Failure::later(&format!("the API server answered {code}"));
        assert_eq!(told(code, "Whatever"), later);
    }
    let invalid = "the API server answered 422: Invalid as a message";
    assert_eq!(told(422, "Invalid"), Failure::Refused(invalid.into()));
    assert_eq!(
        failure(ObjectKind::ConfigMap, 413, None, b"<html>"),
        Failure::Refused("the API server answered 413".into())
    );
}

#[test]
fn a_namespace_that_is_being_deleted_takes_nothing_and_it_is_nobodys_fault() {
    let (code, mut body) = status(403, "Forbidden");
    body["details"] =
        json!({"causes": [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]});
    let told = failed(ObjectKind::ConfigMap, (code, body));
    assert_eq!(
        told,
        Failure::Refused("its namespace is being deleted".into())
    );
}

#[test]
fn the_server_says_how_long_to_leave_it_alone() {
    let (_, body) = status(429, "TooManyRequests");
    let after = Duration::from_secs(7);
    let told = failure(
        ObjectKind::Secret,
        429,
        Some(after),
        body.to_string().as_bytes(),
    );
    let why = "the API server answered 429".into();
    assert_eq!(told, Failure::Transient { why, after });
}

#[test]
fn of_a_refused_secret_nothing_is_quoted_but_the_fields() {
    let (code, mut body) = status(422, "Invalid");
    body["message"] = json!("the value sk-ant-api03-EXAMPLE is bad");
    body["details"] = json!({"causes": [
        {"reason": "FieldValueInvalid", "message": "sk-ant-api03-EXAMPLE", "field": "data[KEY]"},
    ]});
    let told = |kind| match failed(kind, (code, body.clone())) {
        Failure::Refused(why) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        told(ObjectKind::Secret),
        "the API server answered 422 Invalid for data[KEY]"
    );
    assert!(
        told(ObjectKind::ConfigMap).ends_with("is bad"),
        "or there is nothing to show"
    );
}

#[test]
fn a_long_message_is_cut() {
    let (code, mut body) = status(422, "Invalid");
    body["message"] = json!("ä".repeat(1000));
    let Failure::Refused(why) = failed(ObjectKind::ConfigMap, (code, body)) else {
        panic!("refused");
    };
    assert_eq!(why.chars().filter(|c| *c == 'ä').count(), MESSAGE_LENGTH);
}

#[test]
fn a_payload_keeps_everything_however_it_grows_and_shows_nothing() {
    let mut payload = Payload::default();
    let mut want = Vec::new();
    for i in 0..5000_u32 {
        let bytes = i.to_string();
        payload.write_all(bytes.as_bytes()).expect("memory");
        want.extend_from_slice(bytes.as_bytes());
    }
    assert_eq!(payload.bytes(), want);
    assert_eq!(format!("{payload:?}"), format!("{} bytes", want.len()));
}

#[test]
fn an_answer_is_copied_and_its_original_let_go() {
    let answer = Bytes::from(b"sk-ant-api03-EXAMPLE".to_vec());
    let shared = answer.clone();
    assert_eq!(*received(answer), b"sk-ant-api03-EXAMPLE");
    assert_eq!(
        &*shared, b"sk-ant-api03-EXAMPLE",
        "what others hold is not theirs to zero"
    );
    assert_eq!(*received(shared), b"sk-ant-api03-EXAMPLE");
}

#[tokio::test]
async fn fresh_requests_pass_while_the_backlog_waits_for_its_share() {
    let fake = Fake::new(|_| (200, json!({})));
    let requester = Requester::new(fake.client.clone(), 4, Arc::new(Metrics::new()));
    let request = || Request {
        verb: Verb::Get,
        kind: ObjectKind::ConfigMap,
        path: "/x".into(),
        answer: Answer::Metadata,
        body: Payload::default(),
    };
    let taken = requester
        .backlog
        .clone()
        .acquire_many_owned(3)
        .await
        .expect("open");
    let mut waiting = std::pin::pin!(requester.send(Lane::Backlog, request()));
    assert!(
        futures::poll!(&mut waiting).is_pending(),
        "its share is taken"
    );
    requester
        .send(Lane::Fresh, request())
        .await
        .expect("an answer");
    assert_eq!(fake.lines(), ["GET /x"]);
    drop(taken);
    waiting.await.expect("an answer");
    assert_eq!(fake.lines().len(), 2);
}

#[test]
fn the_backlog_has_most_and_never_all_if_there_is_more_than_one() {
    assert_eq!([1, 2, 4, 16, 256].map(backlog_share), [1, 2, 3, 12, 192]);
}

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::controller::fake::{Fake, status};
use crate::controller::news::News;
use crate::facts::Ownership;
use crate::plan::output::{Content, KeyHandle, Output, Owner};
use crate::policy::digest::Digest;
use crate::policy::finding::Kind;
use crate::policy::key::SecretKey;

const KEY: &[u8] = b"sk-ant-api03-EXAMPLE";
const CONFIG_MAPS: &str = "/api/v1/namespaces/claude/configmaps";
const SECRETS: &str = "/api/v1/namespaces/claude/secrets";

fn output(id: OutputId, content: Content) -> Output {
    Output {
        id,
        owner: Owner::Controller {
            kind: Kind::Workspace,
            name: "production".into(),
            uid: Some("uid-1".into()),
            heirs: Vec::new(),
        },
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        data: BTreeMap::from([("file".into(), content)]),
        secret_type: None,
    }
}

fn policy() -> Output {
    let id = OutputId::config_map("claude", "production.policy");
    output(id, Content::Text("{}".into()))
}

fn handle() -> KeyHandle {
    KeyHandle {
        source: SecretKey {
            namespace: "claude".into(),
            name: "source".into(),
            key: "api-key".into(),
        },
        digest: Digest::of(KEY),
    }
}

fn target() -> Output {
    output(OutputId::secret("claude", "target"), Content::Key(handle()))
}

fn found() -> Arc<OutputFacts> {
    Arc::new(OutputFacts {
        uid: "uid-2".into(),
        resource_version: "41".into(),
        owner: Ownership::Foreign,
        other_owners: Vec::new(),
        marks: BTreeMap::new(),
        data_keys: Vec::new(),
        tampered: BTreeSet::new(),
        memory: BTreeMap::new(),
        written: None,
    })
}

fn patch(output: Output) -> Write {
    let (found, remove, data) = (found(), Vec::new(), true);
    Write::Patch {
        output,
        found,
        remove,
        data,
    }
}

/// An object as the API server answers with it: ours or not.
fn stored(ours: bool, version: &str) -> (u16, Value) {
    let owner = json!([{
        "apiVersion": "anthropic-rbac.io/v1alpha1", "kind": "Workspace", "name": "production",
        "uid": "uid-1", "controller": true,
    }]);
    let owners = if ours { owner } else { json!([]) };
    let metadata = json!({
        "name": "production.policy", "namespace": "claude", "uid": "uid-2",
        "resourceVersion": version, "ownerReferences": owners,
    });
    (200, json!({"metadata": metadata}))
}

/// What was begun and what was learned, in order.
fn told(mut news: UnboundedReceiver<News>) -> Vec<String> {
    let mut told = Vec::new();
    while let Ok(news) = news.try_recv() {
        told.push(match news {
            News::Begun(key) => format!("begun {}", key.name.name),
            News::Hurried { hurried, .. } => format!("hurried {}", hurried.pod.name),
            News::Asked { by, .. } => format!("asked by {by}"),
            News::Ended { key, learned } => {
                let version = learned.and_then(|learned| learned.version);
                format!("ended {} {version:?}", key.name.name)
            }
        });
    }
    told
}

fn refused(why: &str) -> WriteFailure {
    WriteFailure::Refused(why.into())
}

#[tokio::test]
async fn a_write_is_told_before_it_is_sent_and_its_answer_after() {
    let fake = Fake::new(|_| stored(true, "42"));
    let (reader, news) = fake.reader();
    let executed = Executed::all(&reader, &[patch(policy())], &mut Vault::default()).await;
    assert_eq!(
        (
            executed.written,
            executed.failures.len(),
            executed.later.len()
        ),
        (1, 0, 0)
    );
    assert_eq!(
        fake.lines(),
        [format!("PATCH {CONFIG_MAPS}/production.policy")]
    );
    drop(reader);
    assert_eq!(
        told(news),
        [
            "begun production.policy",
            "ended production.policy Some(42)"
        ]
    );
}

#[tokio::test]
async fn keys_are_read_from_their_source_and_taken_away_before_others_are_given() {
    let source = json!({
        "metadata": {"name": "source", "namespace": "claude", "resourceVersion": "7"},
        "data": {"api-key": "c2stYW50LWFwaTAzLUVYQU1QTEU="},
    });
    let fake = Fake::new(move |what| match what.starts_with("GET ") {
        true => (200, source.clone()),
        false => stored(true, "42"),
    });
    let (reader, _news) = fake.reader();
    let emptied = output(OutputId::secret("claude", "emptied"), Content::Emptied);
    let writes = [
        patch(emptied),
        Write::Create(target()),
        Write::Create(policy()),
    ];
    let executed = Executed::all(&reader, &writes, &mut Vault::default()).await;
    assert_eq!(executed.written, 3);
    assert_eq!(
        fake.lines(),
        [
            format!("PATCH {SECRETS}/emptied"),
            format!("GET {SECRETS}/source"),
            format!("POST {SECRETS}"),
            format!("POST {CONFIG_MAPS}"),
        ]
    );
    let (_, body) = &fake.asked()[2];
    assert_eq!(
        body["data"],
        json!({"file": "c2stYW50LWFwaTAzLUVYQU1QTEU="})
    );
}

#[tokio::test]
async fn a_key_that_moved_meanwhile_is_not_written_and_holds_up_nothing_else() {
    let source = json!({
        "metadata": {"name": "source", "namespace": "claude", "resourceVersion": "8"},
        "data": {"api-key": "c2stYW50LWFwaTAzLU9USEVS"},
    });
    let fake = Fake::new(move |what| match what.starts_with("GET ") {
        true => (200, source.clone()),
        false => stored(true, "42"),
    });
    let (reader, _news) = fake.reader();
    let writes = [Write::Create(target()), Write::Create(policy())];
    let executed = Executed::all(&reader, &writes, &mut Vault::default()).await;
    assert_eq!(executed.written, 1);
    let later: Vec<_> = executed.later.into_keys().collect();
    assert_eq!(later, [target().id]);
    assert_eq!(
        fake.lines(),
        [
            format!("GET {SECRETS}/source"),
            format!("POST {CONFIG_MAPS}")
        ]
    );
}

#[tokio::test]
async fn what_goes_does_not_wait_for_a_key_that_moved_meanwhile() {
    let fake = Fake::new(|what| match what.starts_with("GET ") {
        true => status(404, "NotFound"),
        false => stored(true, "42"),
    });
    let (reader, _news) = fake.reader();
    let mut output = target();
    output.annotations = BTreeMap::from([("about".into(), "the whole".into())]);
    let write = Write::Patch {
        output,
        found: found(),
        remove: vec!["revoked".into()],
        data: true,
    };
    let executed = Executed::all(&reader, &[write], &mut Vault::default()).await;
    assert_eq!((executed.written, executed.later.len()), (0, 1));
    let (_, body) = &fake.asked()[1];
    assert_eq!(body["data"], json!({"revoked": null}));
    assert_eq!(body["metadata"]["annotations"], json!({}));
    assert_eq!(fake.lines().len(), 2);
}

#[tokio::test]
async fn a_conflict_is_looked_into_and_tried_again() {
    let fake = Fake::new(|what| match what.starts_with("GET ") {
        true => stored(true, "43"),
        false => status(409, "Conflict"),
    });
    let (reader, news) = fake.reader();
    let executed = Executed::all(&reader, &[patch(policy())], &mut Vault::default()).await;
    assert_eq!(
        (
            executed.written,
            executed.failures.len(),
            executed.later.len()
        ),
        (0, 0, 1)
    );
    drop(reader);
    assert_eq!(
        told(news),
        [
            "begun production.policy",
            "ended production.policy None",
            "begun production.policy",
            "ended production.policy Some(43)",
        ]
    );
}

#[tokio::test]
async fn what_is_there_already_is_ours_to_mend_or_somebody_elses_to_keep() {
    for ours in [true, false] {
        let fake = Fake::new(move |what| match what.starts_with("GET ") {
            true => stored(ours, "43"),
            false => status(409, "AlreadyExists"),
        });
        let (reader, _news) = fake.reader();
        let writes = [Write::Create(policy())];
        let executed = Executed::all(&reader, &writes, &mut Vault::default()).await;
        let not_ours = BTreeMap::from([(policy().id, WriteFailure::NotOurs)]);
        let want = if ours { BTreeMap::new() } else { not_ours };
        assert_eq!(
            (executed.failures, executed.later.len()),
            (want, usize::from(ours))
        );
        assert_eq!(fake.lines().len(), 2, "nothing is written");
    }
}

#[tokio::test]
async fn what_will_not_get_better_by_itself_is_a_failure_and_what_may_is_not() {
    let outcome = async |code, reason: &'static str| {
        let fake = Fake::new(move |_| status(code, reason));
        let (reader, _news) = fake.reader();
        let writes = [Write::Create(policy())];
        let executed = Executed::all(&reader, &writes, &mut Vault::default()).await;
        (executed.failures.into_values().next(), executed.later.len())
    };
    assert_eq!(
        outcome(403, "Forbidden").await,
        (Some(WriteFailure::Forbidden), 0)
    );
    let why = "the API server answered 422: Invalid as a message";
    assert_eq!(outcome(422, "Invalid").await, (Some(refused(why)), 0));
    assert_eq!(
        outcome(404, "NotFound").await,
        (Some(refused("there is no such namespace")), 0)
    );
    assert_eq!(outcome(503, "ServiceUnavailable").await, (None, 1));
}

#[tokio::test]
async fn what_is_to_be_deleted_and_is_gone_is_done() {
    let fake = Fake::new(|_| status(404, "NotFound"));
    let (reader, _news) = fake.reader();
    let writes = [Write::Delete {
        id: policy().id,
        found: found(),
    }];
    let executed = Executed::all(&reader, &writes, &mut Vault::default()).await;
    assert_eq!(
        (
            executed.written,
            executed.failures.len(),
            executed.later.len()
        ),
        (1, 0, 0)
    );
}

#[tokio::test]
async fn a_deletion_teaches_that_all_up_to_it_is_history() {
    let fake = Fake::new(|_| (200, json!({"kind": "Status", "status": "Success"})));
    let (reader, news) = fake.reader();
    let writes = [Write::Delete {
        id: policy().id,
        found: found(),
    }];
    let executed = Executed::all(&reader, &writes, &mut Vault::default()).await;
    assert_eq!(executed.written, 1);
    drop(reader);
    assert_eq!(
        told(news),
        [
            "begun production.policy",
            "ended production.policy Some(41)"
        ]
    );
}

#[tokio::test]
async fn what_was_made_anew_under_the_name_of_what_is_to_be_deleted_is_looked_at_again() {
    let fake = Fake::new(|what| match what.starts_with("GET ") {
        true => stored(true, "43"),
        false => status(404, "NotFound"),
    });
    let (reader, _news) = fake.reader();
    let writes = [Write::Delete {
        id: policy().id,
        found: found(),
    }];
    let executed = Executed::all(&reader, &writes, &mut Vault::default()).await;
    assert_eq!((executed.written, executed.later.len()), (0, 1));
}

#[tokio::test]
async fn a_write_that_changes_nothing_shows_that_what_it_says_is_there() {
    let emptied = output(OutputId::secret("claude", "emptied"), Content::Emptied);
    for (output, version, intact) in [
        (policy(), "41", true),
        (policy(), "42", false),
        (emptied.clone(), "41", true),
        (emptied, "42", false),
    ] {
        let fake = Fake::new(move |_| {
            let (code, mut body) = stored(true, version);
            body["metadata"]["managedFields"] = json!([{
                "manager": "kubectl-edit", "operation": "Update", "apiVersion": "v1",
                "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:file": {}}},
            }]);
            (code, body)
        });
        let (reader, mut news) = fake.reader();
        let id = output.id.clone();
        Executed::all(&reader, &[patch(output)], &mut Vault::default()).await;
        let mut learned = None;
        while let Ok(told) = news.try_recv() {
            if let News::Ended { learned: of, .. } = told {
                learned = of;
            }
        }
        let facts = match learned.expect("an answer").change {
            Change::ConfigMap(_, facts) => facts,
            Change::Secret(_, facts) => facts.output.as_deref().expect("ours").clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(facts.is_intact("file"), intact, "{id} {version}");
    }
}

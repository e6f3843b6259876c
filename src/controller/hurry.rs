//! Hurries kubelets: a mark on a pod makes its kubelet look at once at the files it has mounted.
//! The patch is of the status subresource, which is the least that an annotation gets through.
//! Must not decide which pods are hurried, nor touch anything but our annotations.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use kube::api::ObjectMeta;
use serde::Deserialize;
use serde_json::{Value, json};

use super::execute::Delay;
use super::object::{ObjectKey, ObjectKind, version};
use super::read::Reader;
use super::request::{Answer, Failure, Payload, Request, Verb};
use crate::api::convert;
use crate::api::metadata::{HURRIED_AT, HURRIED_FOR, NAME};
use crate::facts::WriteFailure;
use crate::plan::pods::Hurry;
use crate::plan::world;
use crate::policy::name::Name;

/// How many pods of one workspace are hurried at a time.
const AT_A_TIME: usize = 16;

/// What became of it.
#[derive(Debug, Default)]
pub struct Hurried {
    /// Pods that could not be hurried and cannot before something changes.
    pub failures: BTreeMap<Name, WriteFailure>,
    /// Why, and when at the earliest, some are tried again.
    pub later: Vec<Delay>,
    /// How many were hurried.
    pub hurried: usize,
}

#[derive(Deserialize)]
struct OnlyMetadata {
    metadata: ObjectMeta,
}

impl Hurried {
    /// Hurries all of these pods.
    pub async fn all(reader: &Reader, hurries: &[Hurry]) -> Self {
        let one = async |hurry| (hurry, send(reader, hurry).await);
        let sent: Vec<_> = hurries.iter().map(one).collect();
        let mut sent = futures::stream::iter(sent).buffer_unordered(AT_A_TIME);
        let mut all = Self::default();
        while let Some((hurry, result)) = sent.next().await {
            let name = &hurry.pod.name;
            let failure = match result {
                Ok(()) => {
                    all.hurried += 1;
                    continue;
                }
                // Its watch is about to tell.
                Err(Failure::NotFound) => continue,
                // So it is of a namesake; but others may only have been quicker.
                Err(Failure::Conflict | Failure::AlreadyExists) => {
                    let why = "the pod changed meanwhile".to_owned();
                    let after = Duration::ZERO;
                    all.later.push(Delay { why, after });
                    continue;
                }
                Err(Failure::Transient { why, after }) => {
                    let failure = WriteFailure::Refused(why.clone());
                    all.later.push(Delay { why, after });
                    failure
                }
                Err(Failure::Forbidden) => WriteFailure::Forbidden,
                Err(Failure::Refused(why)) => WriteFailure::Refused(why),
            };
            tracing::warn!(pod = %hurry.pod, ?failure, "not hurried");
            all.failures.insert(name.clone(), failure);
        }
        all
    }
}

async fn send(reader: &Reader, hurry: &Hurry) -> Result<(), Failure> {
    let key = ObjectKey::new(ObjectKind::Pod, &hurry.pod);
    let path = key.path().ok_or(Failure::NotFound)?;
    let request = Request {
        verb: Verb::Merge,
        kind: key.kind,
        path: format!("{path}/status?fieldManager={NAME}"),
        answer: Answer::Metadata,
        body: Payload::json(&body(hurry, Timestamp::now())),
    };
    let answer = reader.requester.send(reader.lane, request).await?;
    tracing::info!(pod = %hurry.pod, "hurried");
    let Ok(OnlyMetadata { metadata }) = serde_json::from_slice(&answer) else {
        return Err(Failure::later(
            "the answer of the API server is not understood",
        ));
    };
    let (contents, at) = convert::hurried(&metadata);
    reader.teller.hurried(world::Hurried {
        pod: hurry.pod.clone(),
        uid: hurry.uid.clone(),
        version: version(&metadata),
        contents,
        at,
    });
    Ok(())
}

/// With the uid it never reaches a namesake that came later.
fn body(hurry: &Hurry, now: Timestamp) -> Value {
    let contents = hurry.contents.iter();
    let mut annotations: BTreeMap<String, String> = contents
        .map(|(gateway, content)| (format!("{HURRIED_FOR}/{gateway}"), content.to_string()))
        .collect();
    annotations.insert(HURRIED_AT.into(), now.to_string());
    json!({"metadata": {"uid": &*hurry.uid, "annotations": annotations}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::fake::{Fake, status};
    use crate::controller::news::News;
    use crate::policy::digest::Hex;
    use crate::policy::name::NamespacedName;

    const PODS: &str = "/api/v1/namespaces/claude/pods";

    fn hurry(name: &str) -> Hurry {
        Hurry {
            pod: NamespacedName::new("claude", name),
            uid: format!("uid-{name}").into(),
            contents: [("production.edge".into(), Hex([0xab; 32]))].into(),
        }
    }

    #[tokio::test]
    async fn a_pod_gets_our_annotations_by_its_status_and_nothing_else() {
        let content = "ab".repeat(32);
        let annotations = json!({
            "content.anthropic-rbac.io/production.edge": content,
            "anthropic-rbac.io/hurried-at": "2026-11-24T00:00:00Z",
        });
        let want = json!({"metadata": {"uid": "uid-a", "annotations": annotations}});
        let at = "2026-11-24T00:00:00Z".parse().expect("a time");
        assert_eq!(body(&hurry("a"), at), want);

        let answer = json!({"metadata": {"resourceVersion": "9", "annotations": annotations}});
        let fake = Fake::new(move |_| (200, answer.clone()));
        let (reader, mut news) = fake.reader();
        let all = Hurried::all(&reader, &[hurry("a")]).await;
        assert_eq!(
            (all.hurried, all.failures.len(), all.later.len()),
            (1, 0, 0)
        );
        assert_eq!(fake.lines(), [format!("PATCH {PODS}/a/status")]);
        let Ok(News::Hurried { hurried, .. }) = news.try_recv() else {
            panic!("it is told");
        };
        assert_eq!((hurried.version, hurried.at), (Some(9), Some(at)));
        assert_eq!(hurried.contents, hurry("a").contents);
    }

    #[tokio::test]
    async fn one_that_cannot_be_hurried_holds_up_no_other() {
        let fake = Fake::new(|what| match what.rsplit('/').nth(1).unwrap_or_default() {
            "gone" => status(404, "NotFound"),
            "namesake" => status(409, "Conflict"),
            "denied" => status(403, "Forbidden"),
            "busy" => status(503, "ServiceUnavailable"),
            "invalid" => status(422, "Invalid"),
            _ => (200, json!({"metadata": {"resourceVersion": "9"}})),
        });
        let (reader, _news) = fake.reader();
        let names = ["gone", "namesake", "denied", "busy", "invalid", "fine"];
        let all = Hurried::all(&reader, &names.map(hurry)).await;
        // The busy one, and the namesake: it may be the pod itself, which somebody else changed.
        assert_eq!((all.hurried, all.later.len()), (1, 2));
        let refused = |why: &str| WriteFailure::Refused(why.into());
        let want = [
            ("busy", refused("the API server answered 503")),
            ("denied", WriteFailure::Forbidden),
            (
                "invalid",
                refused("the API server answered 422: Invalid as a message"),
            ),
        ];
        let want = want.map(|(name, failure)| (Name::from(name), failure));
        assert_eq!(all.failures, want.into());
    }
}

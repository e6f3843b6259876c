//! What one watch knows: the names of its objects, so that one that is missing from a later
//! list is known to be gone. Must not hold facts.

use std::collections::HashMap;

use kube::Resource;
use kube::runtime::watcher::{self, Event};

use super::{Observation, Onlookers, Seen, Source};
use crate::api::convert::Readiness;
use crate::controller::object::{ObjectKey, ObjectKind, version};
use crate::plan::world::Access;
use crate::policy::name::NamespacedName;

/// The names a watch knows of, each with the list it was last seen in and how ready it was.
#[derive(Default)]
pub(super) struct Known {
    by_name: HashMap<NamespacedName, (u32, Option<Readiness>)>,
    list: u32,
}

impl Known {
    /// Takes an event in; what there is to tell of it.
    pub(super) fn take<K: Resource>(
        &mut self,
        event: Result<Event<K>, watcher::Error>,
        source: &Source<K>,
        onlookers: &Onlookers,
    ) -> Vec<Observation> {
        match event {
            Ok(Event::Init) => {
                self.list += 1;
                Vec::new()
            }
            Ok(Event::InitApply(object)) => self.apply(&object, source, onlookers, self.list == 1),
            Ok(Event::Apply(object)) => self.apply(&object, source, onlookers, false),
            Ok(Event::Delete(object)) => {
                let Some((name, ..)) = (source.read)(&object, onlookers) else {
                    return Vec::new();
                };
                if let Some((_, ready)) = self.by_name.remove(&name) {
                    onlookers.metrics.object(source.kind, ready, None);
                }
                vec![Observation::Seen(Box::new(Seen {
                    key: ObjectKey::new(source.kind, &name),
                    version: version(object.meta()),
                    missing: false,
                    first: false,
                    change: (source.gone)(name, onlookers),
                }))]
            }
            Ok(Event::InitDone) => {
                let mut observations = self.missing(source, onlookers);
                let namespace = source.namespace.clone();
                observations.push(match (source.kind, &source.pods) {
                    (_, Some(scope)) => Observation::PodAccess(scope.clone(), Access::Listed),
                    (ObjectKind::Secret, None) => Observation::Access(namespace, Access::Listed),
                    (kind, None) => Observation::Listed((kind, namespace)),
                });
                observations
            }
            Err(error) => {
                let kind = source.kind.name();
                let namespace = source.namespace.as_deref();
                let error_text = describe(&error);
                match (source.kind, is_denied(&error)) {
                    (ObjectKind::Pod, true) => {
                        tracing::debug!(namespace, "may not look at pods");
                        let scopes = source.pods.iter().cloned();
                        let denied = |scope| Observation::PodAccess(scope, Access::Denied);
                        scopes.map(denied).collect()
                    }
                    (ObjectKind::Secret, true) => {
                        tracing::debug!(namespace, "may not look at Secrets");
                        let namespace = source.namespace.clone();
                        vec![Observation::Access(namespace, Access::Denied)]
                    }
                    (_, true) => {
                        tracing::error!(
                            kind,
                            namespace,
                            error = error_text,
                            "forbidden: the operator's role lacks a right; changes are not seen until it is granted"
                        );
                        Vec::new()
                    }
                    (_, false) => {
                        tracing::warn!(
                            kind,
                            namespace,
                            error = error_text,
                            "watch interrupted, it is resumed"
                        );
                        Vec::new()
                    }
                }
            }
        }
    }

    fn apply<K: Resource>(
        &mut self,
        object: &K,
        source: &Source<K>,
        onlookers: &Onlookers,
        first: bool,
    ) -> Vec<Observation> {
        let Some((name, change, ready)) = (source.read)(object, onlookers) else {
            return Vec::new();
        };
        let before = self.by_name.insert(name.clone(), (self.list, ready));
        onlookers
            .metrics
            .object(source.kind, before.and_then(|(_, ready)| ready), ready);
        vec![Observation::Seen(Box::new(Seen {
            key: ObjectKey {
                kind: source.kind,
                name,
            },
            version: version(object.meta()),
            missing: false,
            first,
            change,
        }))]
    }

    /// What the list that has just ended did not have any more.
    fn missing<K>(&mut self, source: &Source<K>, onlookers: &Onlookers) -> Vec<Observation> {
        let list = self.list;
        let gone = self.by_name.extract_if(|_, (seen_in, _)| *seen_in != list);
        gone.map(|(name, (_, ready))| {
            onlookers.metrics.object(source.kind, ready, None);
            Observation::Seen(Box::new(Seen {
                key: ObjectKey::new(source.kind, &name),
                version: None,
                missing: true,
                first: false,
                change: (source.gone)(name, onlookers),
            }))
        })
        .collect()
    }
}

/// Whether it is for want of rights.
pub(super) fn is_denied(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => status.is_forbidden(),
        watcher::Error::WatchError(status) => status.is_forbidden(),
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => false,
    }
}

/// What went wrong, without quoting what the API server sent: parse errors quote their input,
/// and the metadata of a Secret that was applied with kubectl has its data in an annotation.
fn describe(error: &watcher::Error) -> String {
    let cause = match error {
        watcher::Error::InitialListFailed(cause)
        | watcher::Error::WatchStartFailed(cause)
        | watcher::Error::WatchFailed(cause) => Some(cause),
        watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => None,
    };
    if let Some(kube::Error::SerdeError(cause)) = cause {
        let (line, column) = (cause.line(), cause.column());
        return format!("the answer is not understood at line {line} column {column}");
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use kube::core::PartialObjectMeta;
    use kube::core::Status;
    use kube::runtime::watcher::Config;
    use serde_json::json;

    use super::*;
    use crate::plan::world::Change;

    type Meta = PartialObjectMeta<Secret>;

    fn source() -> Source<Meta> {
        let client = kube::Client::new(
            tower::service_fn(async |_| Err::<http::Response<kube::client::Body>, _>("not asked")),
            "default",
        );
        Source {
            kind: ObjectKind::Secret,
            api: kube::Api::all(client),
            config: Config::default(),
            read: Box::new(|object, _| {
                let name = super::super::name_of(object)?;
                Some((name.clone(), Change::SecretGone(name), None))
            }),
            gone: Box::new(|name, _| Change::SecretGone(name)),
            namespace: Some("claude".into()),
            pods: None,
        }
    }

    fn meta(name: &str, version: &str) -> Meta {
        let meta =
            json!({"metadata": {"name": name, "namespace": "claude", "resourceVersion": version}});
        serde_json::from_value(meta).expect("metadata")
    }

    /// What was observed, in short.
    fn told(known: &mut Known, event: Result<Event<Meta>, watcher::Error>) -> Vec<String> {
        let observations = known
            .take(event, &source(), &Onlookers::default())
            .into_iter();
        let mut told: Vec<String> = observations
            .map(|observation| match observation {
                Observation::Seen(seen) => {
                    let first = if seen.first { " first" } else { "" };
                    let missing = if seen.missing { " missing" } else { "" };
                    format!("{} {:?}{first}{missing}", seen.key.name.name, seen.version)
                }
                Observation::Listed(scope) => format!("listed {scope:?}"),
                Observation::Access(namespace, access) => format!("{namespace:?} {access:?}"),
                Observation::PodAccess(scope, access) => format!("{scope:?} {access:?}"),
                Observation::Models(models) => format!("models of {}", models.as_of()),
                other @ (Observation::KeySet(..) | Observation::ClusterKeys(_)) => {
                    format!("{other:?}")
                }
            })
            .collect();
        told.sort();
        told
    }

    #[tokio::test]
    async fn what_a_later_list_does_not_have_is_gone() {
        let mut known = Known::default();
        let mut tell = |event| told(&mut known, Ok(event));
        assert_eq!(tell(Event::Init), [""; 0]);
        assert_eq!(tell(Event::InitApply(meta("a", "1"))), ["a Some(1) first"]);
        assert_eq!(tell(Event::InitApply(meta("b", "2"))), ["b Some(2) first"]);
        assert_eq!(tell(Event::InitDone), [r#"Some("claude") Listed"#]);
        assert_eq!(tell(Event::Apply(meta("c", "3"))), ["c Some(3)"]);
        assert_eq!(tell(Event::Delete(meta("a", "4"))), ["a Some(4)"]);
        assert_eq!(tell(Event::Init), [""; 0]);
        assert_eq!(tell(Event::InitApply(meta("b", "2"))), ["b Some(2)"]);
        let after = tell(Event::InitDone);
        assert_eq!(after, [r#"Some("claude") Listed"#, "c None missing"]);
    }

    #[tokio::test]
    async fn that_secrets_may_not_be_looked_at_is_told_and_other_errors_are_not() {
        let mut known = Known::default();
        let error = |code, reason: &str| {
            let status = Status::failure("no", reason).with_code(code).boxed();
            Err(watcher::Error::InitialListFailed(kube::Error::Api(status)))
        };
        assert_eq!(
            told(&mut known, error(403, "Forbidden")),
            [r#"Some("claude") Denied"#]
        );
        assert_eq!(told(&mut known, error(500, "InternalError")), [""; 0]);
    }

    #[test]
    fn an_answer_that_is_not_understood_is_not_quoted() {
        let parsed = serde_json::from_str::<Meta>(r#"{"metadata": "sk-ant-api03-EXAMPLE"}"#);
        let cause = parsed.expect_err("not metadata");
        assert!(
            cause.to_string().contains("EXAMPLE"),
            "or there is nothing to show"
        );
        let error = watcher::Error::WatchFailed(kube::Error::SerdeError(cause));
        let told = describe(&error);
        assert!(
            told.contains("not understood") && !told.contains("EXAMPLE"),
            "{told}"
        );
    }
}

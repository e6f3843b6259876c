//! The catalogue of models that an administrator put in place of the built-in one: one ConfigMap
//! in the operator's own namespace. Must not hold anything up: what cannot be seen or understood
//! is said, and the last good catalogue stays.

use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::sync::mpsc;

use super::known::is_denied;
use super::retry::Retry;
use super::{DENIED_RETRY, Observation};
use crate::controller::metrics::Metrics;
use crate::policy::catalogue::Catalogue;

/// The data key that holds it, as YAML or JSON.
const KEY: &str = "models.yaml";

/// Watches that ConfigMap for as long as somebody listens. The first catalogue comes as soon as
/// it is known whether there is one.
pub async fn watch(
    client: Client,
    (namespace, name): (String, String),
    out: mpsc::Sender<Observation>,
    metrics: Arc<Metrics>,
) {
    let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut last: Option<Arc<Catalogue>> = None;
    let mut denied = false;
    let mut retry = Retry::default();
    while !out.is_closed() {
        let mut stream = std::pin::pin!(watcher(api.clone(), config.clone()));
        // What a list that is under way has shown.
        let mut listed = None;
        while let Some(event) = stream.next().await {
            let wait = retry.wait(&event, Instant::now());
            let found = match event {
                Ok(Event::Init) => {
                    listed = None;
                    continue;
                }
                Ok(Event::InitApply(object)) => {
                    listed = Some(object);
                    continue;
                }
                Ok(Event::InitDone) => listed.take(),
                Ok(Event::Apply(object)) => Some(object),
                Ok(Event::Delete(_)) => None,
                Err(error) if is_denied(&error) => {
                    if !std::mem::replace(&mut denied, true) {
                        tracing::warn!(namespace, name, %error, "the models ConfigMap may not be watched");
                    }
                    break;
                }
                Err(_) => {
                    tokio::time::sleep(wait.unwrap_or_default()).await;
                    continue;
                }
            };
            let read = found.map_or_else(|| Ok(Catalogue::built_in()), |object| read(&object));
            metrics.models_understood(read.is_ok());
            match read {
                Ok(catalogue) if last.as_deref() == Some(&catalogue) => continue,
                Ok(catalogue) => {
                    let (source, as_of) = (catalogue.source(), catalogue.as_of());
                    tracing::info!(source, %as_of, "the model catalogue");
                    last = Some(Arc::new(catalogue));
                }
                Err(error) => {
                    let kept = last.as_ref().map_or("built-in", |_| "last good");
                    tracing::warn!(
                        namespace,
                        name,
                        kept,
                        error,
                        "the models ConfigMap is not understood"
                    );
                    if last.is_some() {
                        continue;
                    }
                }
            }
            let known = last.get_or_insert_with(|| Arc::new(Catalogue::built_in()));
            if out.send(Observation::Models(known.clone())).await.is_err() {
                return;
            }
        }
        let known = last.get_or_insert_with(|| Arc::new(Catalogue::built_in()));
        if out.send(Observation::Models(known.clone())).await.is_err() {
            return;
        }
        tokio::time::sleep(DENIED_RETRY).await;
    }
}

fn read(object: &ConfigMap) -> Result<Catalogue, String> {
    let text = object.data.as_ref().and_then(|data| data.get(KEY));
    let text = text.ok_or_else(|| format!("it has no data key {KEY}"))?;
    serde_saphyr::from_str(text).map_err(|error| format!("{KEY}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(key: &str, text: &str) -> Result<Catalogue, String> {
        read(&ConfigMap {
            data: Some([(key.to_owned(), text.to_owned())].into()),
            ..ConfigMap::default()
        })
    }

    #[test]
    fn a_catalogue_is_read_from_yaml_and_what_is_wrong_is_told_with_its_line() {
        let good =
            "source: us\nasOf: 2026-12-01\nmodels:\n- {id: claude-next-1, retiresAt: 2027-01-01}\n";
        let catalogue = holding(KEY, good).expect("good");
        assert!(
            catalogue
                .get("claude-next-1")
                .is_some_and(|model| model.retires_at.is_some())
        );
        let bad = good.replace("retiresAt", "retires");
        let error = holding(KEY, &bad).expect_err("an unknown member");
        assert!(error.contains("retires") && error.contains("4"), "{error}");
        let error = holding("models.json", good).expect_err("another data key");
        assert!(error.contains("no data key models.yaml"), "{error}");
    }
}

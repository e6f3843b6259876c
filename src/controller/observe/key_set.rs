//! Public keys of issuers: in ConfigMaps, each watched by its name, and this cluster's own, which
//! cannot be watched and are read again now and then.
//! Must not let more of a document out than public keys, nor say a value of one.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::sync::mpsc;

use super::known::is_denied;
use super::{DENIED_RETRY, Observation};
use crate::facts::{JwksLookup, KeySetId};
use crate::policy::jwks::canonical;
use crate::policy::name::Name;

/// How often this cluster's keys are read: signing keys are changed by a restart of the API server,
/// and published by it before it signs with them.
const AGAIN: Duration = Duration::from_secs(60);

/// How soon, and how often, it is tried again before anything is known of them: without them no
/// ServiceAccount is let in.
const FIRST_TRIES: u32 = 6;
const FIRST_RETRY: Duration = Duration::from_millis(250);

/// How long that may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where the API server publishes them.
const PATH: &str = "/openid/v1/jwks";

/// What a ConfigMap has under this data key as public keys.
pub fn read(object: &ConfigMap, key: &str) -> JwksLookup {
    let text = object.data.as_ref().and_then(|data| data.get(key));
    JwksLookup::of_text(text.map(String::as_str))
}

/// Reads this cluster's keys.
///
/// # Errors
/// Why they cannot be read.
pub async fn of_cluster(client: &Client) -> Result<Arc<str>, Name> {
    let request = http::Request::get(PATH).body(Vec::new());
    let request = request.map_err(|error| Name::from(error.to_string()))?;
    let text = tokio::time::timeout(TIMEOUT, client.request_text(request)).await;
    let text = text.map_err(|_| Name::from("the API server did not answer in time"))?;
    let text = text.map_err(|error| {
        Name::from(match error {
            kube::Error::Api(status) => format!("the API server answered {}", status.code),
            _ => "the API server cannot be reached".to_owned(),
        })
    })?;
    let document = canonical(text.as_bytes());
    let document = document.map_err(|flaw| Name::from(format!("its answer {flaw}")))?;
    Ok(document.into())
}

/// Watches a ConfigMap for as long as somebody listens.
pub async fn watch(client: Client, id: KeySetId, out: mpsc::Sender<Observation>) {
    let KeySetId { config_map, key } = &id;
    let api: Api<ConfigMap> = Api::namespaced(client, &config_map.namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={}", config_map.name));
    while !out.is_closed() {
        let stream = watcher(api.clone(), config.clone()).default_backoff();
        let mut stream = std::pin::pin!(stream);
        // What a list that is under way has shown.
        let mut listed = JwksLookup::Absent;
        while let Some(event) = stream.next().await {
            let lookup = match event {
                Ok(Event::Init) => {
                    listed = JwksLookup::Absent;
                    continue;
                }
                Ok(Event::InitApply(object)) => {
                    listed = read(&object, key);
                    continue;
                }
                Ok(Event::InitDone) => std::mem::replace(&mut listed, JwksLookup::Absent),
                Ok(Event::Apply(object)) => read(&object, key),
                Ok(Event::Delete(_)) => JwksLookup::Absent,
                Err(error) if is_denied(&error) => {
                    tracing::warn!(%config_map, "the ConfigMap may not be watched");
                    break;
                }
                Err(_) => continue,
            };
            if out
                .send(Observation::KeySet(id.clone(), lookup))
                .await
                .is_err()
            {
                return;
            }
        }
        let why = "the operator may not list and watch ConfigMaps there";
        let lookup = JwksLookup::Unread(why.into());
        if out
            .send(Observation::KeySet(id.clone(), lookup))
            .await
            .is_err()
        {
            return;
        }
        tokio::time::sleep(DENIED_RETRY).await;
    }
}

/// Reads this cluster's keys again and again for as long as somebody listens. Those that were
/// read last stay known.
pub async fn watch_cluster(client: Client, out: mpsc::Sender<Observation>) {
    let mut last: Option<Arc<str>> = None;
    let (mut tries, mut troubled) = (0, false);
    while !out.is_closed() {
        let read = of_cluster(&client).await;
        let lookup = match (read, &last) {
            (Ok(document), _) => {
                troubled = false;
                JwksLookup::Known(last.insert(document).clone())
            }
            (Err(_), None) if tries < FIRST_TRIES => {
                tokio::time::sleep(FIRST_RETRY.saturating_mul(1 << tries)).await;
                tries += 1;
                continue;
            }
            (Err(why), last) => {
                if !std::mem::replace(&mut troubled, true) {
                    tracing::warn!(%why, "the cluster's signing keys cannot be read");
                }
                match last {
                    Some(document) => JwksLookup::Stale(document.clone(), why),
                    None => JwksLookup::Unread(why),
                }
            }
        };
        if out.send(Observation::ClusterKeys(lookup)).await.is_err() {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_config_map_has_public_keys_under_the_data_key_that_is_named() {
        let key = json!({"kty": "RSA", "kid": "a", "n": "n".repeat(342), "e": "AQAB"});
        let document = json!({"keys": [key], "more": 1}).to_string();
        let holding = |name: &str, text: &str| ConfigMap {
            data: Some([(name.to_owned(), text.to_owned())].into()),
            ..ConfigMap::default()
        };
        let canonical = json!({"keys": [key]}).to_string();
        let known = read(&holding("jwks.json", &document), "jwks.json");
        assert_eq!(known, JwksLookup::Known(canonical.into()));
        let other = read(&holding("keys", &document), "jwks.json");
        assert_eq!(other, JwksLookup::KeyMissing);
        let broken = read(&holding("jwks.json", "{}"), "jwks.json");
        assert!(matches!(broken, JwksLookup::Flawed(_)), "{broken:?}");
    }
}

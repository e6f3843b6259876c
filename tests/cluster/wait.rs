//! Waiting, always for a condition and with a deadline.
//! Must not be replaced by sleeping anywhere; [`quiet`] is the only wait for time itself.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    future::pending,
    pin::pin,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use futures::StreamExt;
use kube::{
    Api, Resource, ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watch_object, watcher},
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Watches one object until `condition` finds what it looks for. The error shows the
/// object as last seen (of a Secret, the names of its data keys).
pub(crate) async fn until<K, T>(
    api: &Api<K>,
    name: &str,
    within: Duration,
    mut condition: impl FnMut(&K) -> Option<T>,
) -> Result<T>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned + Send + 'static,
{
    watch_until(api, name, within, |object| object.and_then(&mut condition)).await
}

/// Watches until there is no object of this name.
pub(crate) async fn until_gone<K>(api: &Api<K>, name: &str, within: Duration) -> Result<()>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned + Send + 'static,
{
    watch_until(api, name, within, |object| object.is_none().then_some(()))
        .await
        .context("it should be gone")
}

/// Watches one object, which may not be there, until `condition` finds what it looks for.
pub(crate) async fn watch_until<K, T>(
    api: &Api<K>,
    name: &str,
    within: Duration,
    mut condition: impl FnMut(Option<&K>) -> Option<T>,
) -> Result<T>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned + Send + 'static,
{
    let mut changes = pin!(watch_object(api.clone(), name).default_backoff());
    let mut last_seen: Option<K> = None;
    let mut complaint = None;
    let found = tokio::time::timeout(within, async {
        while let Some(change) = changes.next().await {
            match change {
                Ok(object) => {
                    if let Some(found) = condition(object.as_ref()) {
                        return found;
                    }
                    last_seen = object;
                }
                // The watch comes back by itself. It matters only if the deadline passes.
                Err(error) => complaint = Some(error),
            }
        }
        pending().await
    })
    .await;
    found.map_err(|_| {
        anyhow!(
            "waited {within:?} in vain for {name}; last seen: {}{}",
            last_seen.as_ref().map_or("nothing".to_owned(), show),
            complaint.map_or(String::new(), |error| format!("; last error: {error}")),
        )
    })
}

/// An object as YAML-like JSON, without managed fields and without what a Secret holds.
fn show<K: Serialize>(object: &K) -> String {
    let mut value = match serde_json::to_value(object) {
        Ok(value) => value,
        Err(error) => return format!("something that cannot be shown: {error}"),
    };
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    if value["kind"] == "Secret" {
        // kubectl apply leaves a copy of the values in an annotation.
        for place in ["/data", "/stringData", "/metadata/annotations"] {
            let fields = value.pointer_mut(place).and_then(Value::as_object_mut);
            for (_, shown) in fields.into_iter().flatten() {
                *shown = Value::from("(hidden)");
            }
        }
    }
    format!("{value:#}")
}

/// The only wait for time itself: asserts that no object behind `api` is created,
/// changed or deleted for the whole `window`. Nothing can be waited for when nothing is
/// to happen; a shorter window would only see less.
pub(crate) async fn quiet<K>(api: &Api<K>, window: Duration) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut events = pin!(watcher(api.clone(), watcher::Config::default()).default_backoff());
    let mut known: Option<BTreeMap<_, _>> = None;
    let mut listing = BTreeMap::new();
    let mut deadline = None;
    loop {
        let event = match deadline {
            // The window opens when the first listing is complete.
            None => tokio::time::timeout(Duration::from_secs(30), events.next())
                .await
                .context("listing what should stay quiet")?,
            Some(deadline) => match tokio::time::timeout_at(deadline, events.next()).await {
                Ok(event) => event,
                Err(_) => return Ok(()),
            },
        };
        match event.context("a watch does not end")? {
            Ok(Event::Init) => listing.clear(),
            Ok(Event::InitApply(object)) => {
                listing.insert(identity(&object), object.resource_version());
            }
            Ok(Event::InitDone) => {
                let listed = std::mem::take(&mut listing);
                match &known {
                    None => {
                        deadline = Some(tokio::time::Instant::now() + window);
                        known = Some(listed);
                    }
                    Some(known) if *known == listed => {}
                    Some(_) => bail!("something changed while the watch was interrupted"),
                }
            }
            Ok(Event::Apply(object)) => bail!("{} changed", identity(&object)),
            Ok(Event::Delete(object)) => bail!("{} was deleted", identity(&object)),
            // The watch comes back with a new listing, which is compared above.
            Err(_) => {}
        }
    }
}

fn identity<K: Resource<DynamicType = ()>>(object: &K) -> String {
    format!(
        "{} {}/{}",
        K::kind(&()),
        object.namespace().unwrap_or_default(),
        object.name_any()
    )
}

/// For what only a request tells. Asks again and again until there is an answer; an error
/// ends it.
pub(crate) async fn ask<T>(
    what: &str,
    within: Duration,
    mut ask: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            bail!("waited {within:?} in vain until {what}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// For what has no watch: files and processes. Asks again and again until there is an
/// answer; an error ends it.
pub(crate) async fn poll<T>(
    what: &str,
    within: Duration,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            bail!("waited {within:?} in vain until {what}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

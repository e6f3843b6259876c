//! Watches: from what the API server tells to changes, with nothing of an object kept but its
//! name, so that one that is missing from a later list is known to be gone.
//! Must not hold facts, nor decide what matters.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::metrics::Metrics;
use super::object::{ObjectKey, ObjectKind, Version, version};
use crate::api::metadata::{MANAGED_BY, NAME};
use crate::api::{ApiKeyRef, RoleBinding, Workspace, conditions, convert};
use crate::plan::facts::{Is, StatusMark};
use crate::plan::world::{Change, SecretAccess};
use crate::policy::name::{Name, NamespacedName};

/// The watches that must have listed before anything is planned: what is not known yet must
/// not look as if it did not exist.
pub const BASE: [ObjectKind; 5] = [
    ObjectKind::Workspace,
    ObjectKind::RoleBinding,
    ObjectKind::ApiKeyRef,
    ObjectKind::Namespace,
    ObjectKind::ConfigMap,
];

/// How often it is tried again to look at Secrets that we may not look at: an administrator
/// who grants access waits at most this long.
const DENIED_RETRY: Duration = Duration::from_secs(30);

/// How many namespaces' Secrets are being listed at a time.
const LISTS_AT_A_TIME: usize = 16;

/// Something a watch brought.
#[derive(Debug)]
pub enum Observation {
    /// An object as it is now, or that it is gone.
    Seen(Seen),
    /// Every object of a kind has been seen.
    Listed(ObjectKind),
    /// Whether the Secrets of a namespace may be looked at; of every one if there is none.
    Access(Option<Name>, SecretAccess),
}

/// An object as it is now, or that it is gone.
#[derive(Debug)]
pub struct Seen {
    /// Which.
    pub key: ObjectKey,
    /// Its version; of a deleted one, that of its deletion.
    pub version: Version,
    /// It is gone in that a list did not have it any more.
    pub missing: bool,
    /// It came with the first list of its watch.
    pub first: bool,
    /// The same as a change of facts.
    pub change: Change,
}

/// Starts watches, which end with it.
pub struct Observer {
    client: Client,
    outlet: Outlet,
    watches: JoinSet<()>,
}

/// Where watches put what they bring.
#[derive(Clone, Debug)]
struct Outlet {
    out: mpsc::Sender<Observation>,
    metrics: Arc<Metrics>,
    /// Held while the Secrets of a namespace are being listed.
    lists: Arc<Semaphore>,
}

/// What there is to know about watching one kind.
struct Source<K> {
    kind: ObjectKind,
    api: Api<K>,
    config: watcher::Config,
    /// Facts of an object; `None` for one without a name, which no API server stores.
    read: fn(&K, &Metrics) -> Option<(NamespacedName, Change, Option<Is>)>,
    gone: fn(NamespacedName, &Metrics) -> Change,
    /// Whose Secrets these are, when they are Secrets.
    scope: Option<Option<Name>>,
}

// === impl Observer ===

impl Observer {
    /// Observations go to `out`.
    pub fn new(client: Client, out: mpsc::Sender<Observation>, metrics: Arc<Metrics>) -> Self {
        let lists = Arc::new(Semaphore::new(LISTS_AT_A_TIME));
        Self {
            client,
            outlet: Outlet {
                out,
                metrics,
                lists,
            },
            watches: JoinSet::new(),
        }
    }

    /// Starts the watches of [`BASE`].
    pub fn start_base(&mut self) {
        // A stored object that this release does not understand must not stall the watch.
        self.start(Source {
            kind: ObjectKind::Workspace,
            api: Api::<DeserializeGuard<Workspace>>::all(self.client.clone()),
            config: watcher::Config::default(),
            read: |object, _| {
                let facts = convert::workspace(object)?;
                let ready = ready(&facts.object.status);
                Some((facts.object.name.clone(), Change::Workspace(facts), ready))
            },
            gone: |name, _| Change::WorkspaceGone(name),
            scope: None,
        });
        self.start(Source {
            kind: ObjectKind::RoleBinding,
            api: Api::<DeserializeGuard<RoleBinding>>::all(self.client.clone()),
            config: watcher::Config::default(),
            read: |object, _| {
                let facts = convert::role_binding(object)?;
                let ready = ready(&facts.object.status);
                Some((facts.object.name.clone(), Change::Binding(facts), ready))
            },
            gone: |name, _| Change::BindingGone(name),
            scope: None,
        });
        self.start(Source {
            kind: ObjectKind::ApiKeyRef,
            api: Api::<DeserializeGuard<ApiKeyRef>>::all(self.client.clone()),
            config: watcher::Config::default(),
            read: |object, metrics| {
                let facts = convert::api_key_ref(object)?;
                let status = object
                    .0
                    .as_ref()
                    .ok()
                    .and_then(|object| object.status.as_ref());
                let due = status
                    .and_then(|status| status.due_at.as_ref())
                    .map(|time| time.0);
                metrics.rotation(&facts.object.name, due, facts.rotation);
                let ready = ready(&facts.object.status);
                Some((facts.object.name.clone(), Change::KeyRef(facts), ready))
            },
            gone: |name, metrics| {
                metrics.rotation(&name, None, None);
                Change::KeyRefGone(name)
            },
            scope: None,
        });
        self.start(Source {
            kind: ObjectKind::Namespace,
            api: Api::<PartialObjectMeta<Namespace>>::all(self.client.clone()),
            config: watcher::Config::default(),
            read: |object, _| {
                let (name, labels) = convert::namespace(object)?;
                let key = NamespacedName::new("", name.clone());
                Some((key, Change::Namespace(name, labels), None))
            },
            gone: |name, _| Change::NamespaceGone(name.name),
            scope: None,
        });
        self.start(Source {
            kind: ObjectKind::ConfigMap,
            api: Api::<PartialObjectMeta<ConfigMap>>::all(self.client.clone()),
            config: watcher::Config::default().labels(&format!("{MANAGED_BY}={NAME}")),
            read: |object, _| {
                let name = name_of(object)?;
                Some((
                    name.clone(),
                    Change::ConfigMap(name, convert::output(&object.metadata)),
                    None,
                ))
            },
            gone: |name, _| Change::ConfigMapGone(name),
            scope: None,
        });
    }

    /// Starts watching the Secrets of a namespace, or all, by their metadata.
    pub fn start_secrets(&mut self, namespace: Option<Name>) {
        let client = self.client.clone();
        self.start(Source {
            kind: ObjectKind::Secret,
            api: match &namespace {
                Some(namespace) => Api::<PartialObjectMeta<Secret>>::namespaced(client, namespace),
                None => Api::all(client),
            },
            config: watcher::Config::default(),
            read: |object, _| {
                let name = name_of(object)?;
                Some((
                    name.clone(),
                    Change::Secret(name, convert::secret(&object.metadata)),
                    None,
                ))
            },
            gone: |name, _| Change::SecretGone(name),
            scope: Some(namespace),
        });
    }

    fn start<K>(&mut self, source: Source<K>)
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        self.watches.spawn(watch(self.outlet.clone(), source));
    }
}

async fn watch<K>(outlet: Outlet, source: Source<K>)
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let mut known = Known::default();
    while !outlet.out.is_closed() {
        // Only Secrets have so many watches that listing all at a time would be a burden.
        let mut permit = match source.scope {
            Some(_) => outlet.lists.acquire().await.ok(),
            None => None,
        };
        let stream = watcher(source.api.clone(), source.config.clone()).default_backoff();
        let mut stream = std::pin::pin!(stream);
        while let Some(event) = stream.next().await {
            let denied = matches!(&event, Err(error) if is_denied(error));
            if matches!(event, Ok(Event::InitDone) | Err(_)) {
                permit = None;
            }
            for observation in known.take(event, &source, &outlet.metrics) {
                if outlet.out.send(observation).await.is_err() {
                    return;
                }
            }
            if denied && source.scope.is_some() {
                break;
            }
        }
        drop(permit);
        tokio::time::sleep(DENIED_RETRY).await;
    }
}

/// The names a watch knows of, each with the list it was last seen in and how ready it was.
#[derive(Default)]
struct Known {
    by_name: HashMap<NamespacedName, (u32, Option<Is>)>,
    list: u32,
}

impl Known {
    fn take<K: Resource>(
        &mut self,
        event: Result<Event<K>, watcher::Error>,
        source: &Source<K>,
        metrics: &Metrics,
    ) -> Vec<Observation> {
        match event {
            Ok(Event::Init) => {
                self.list += 1;
                Vec::new()
            }
            Ok(Event::InitApply(object)) => self.apply(&object, source, metrics, self.list == 1),
            Ok(Event::Apply(object)) => self.apply(&object, source, metrics, false),
            Ok(Event::Delete(object)) => {
                let Some((name, ..)) = (source.read)(&object, metrics) else {
                    return Vec::new();
                };
                if let Some((_, ready)) = self.by_name.remove(&name) {
                    metrics.object(source.kind, ready, None);
                }
                vec![Observation::Seen(Seen {
                    key: ObjectKey::new(source.kind, &name),
                    version: version(object.meta()),
                    missing: false,
                    first: false,
                    change: (source.gone)(name, metrics),
                })]
            }
            Ok(Event::InitDone) => {
                let mut observations = self.missing(source, metrics);
                observations.push(match &source.scope {
                    Some(scope) => Observation::Access(scope.clone(), SecretAccess::Listed),
                    None => Observation::Listed(source.kind),
                });
                observations
            }
            Err(error) => {
                let kind = source.kind.name();
                let error_text = describe(&error);
                match &source.scope {
                    Some(scope) if is_denied(&error) => {
                        tracing::debug!(namespace = scope.as_deref(), "may not look at Secrets");
                        vec![Observation::Access(scope.clone(), SecretAccess::Denied)]
                    }
                    _ => {
                        tracing::warn!(
                            kind,
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
        metrics: &Metrics,
        first: bool,
    ) -> Vec<Observation> {
        let Some((name, change, ready)) = (source.read)(object, metrics) else {
            return Vec::new();
        };
        let before = self.by_name.insert(name.clone(), (self.list, ready));
        metrics.object(source.kind, before.and_then(|(_, ready)| ready), ready);
        vec![Observation::Seen(Seen {
            key: ObjectKey {
                kind: source.kind,
                name,
            },
            version: version(object.meta()),
            missing: false,
            first,
            change,
        })]
    }

    /// What the list that has just ended did not have any more.
    fn missing<K>(&mut self, source: &Source<K>, metrics: &Metrics) -> Vec<Observation> {
        let list = self.list;
        let gone = self.by_name.extract_if(|_, (seen_in, _)| *seen_in != list);
        gone.map(|(name, (_, ready))| {
            metrics.object(source.kind, ready, None);
            Observation::Seen(Seen {
                key: ObjectKey::new(source.kind, &name),
                version: None,
                missing: true,
                first: false,
                change: (source.gone)(name, metrics),
            })
        })
        .collect()
    }
}

fn name_of<K>(object: &PartialObjectMeta<K>) -> Option<NamespacedName> {
    let meta = &object.metadata;
    Some(NamespacedName::new(
        meta.namespace.as_deref()?,
        meta.name.as_deref()?,
    ))
}

fn ready(status: &StatusMark) -> Option<Is> {
    let ready = status
        .conditions
        .iter()
        .find(|condition| &*condition.kind == conditions::READY);
    Some(ready.map_or(Is::Unknown, |ready| ready.is))
}

fn is_denied(error: &watcher::Error) -> bool {
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
    match error {
        watcher::Error::InitialListFailed(kube::Error::SerdeError(error))
        | watcher::Error::WatchStartFailed(kube::Error::SerdeError(error))
        | watcher::Error::WatchFailed(kube::Error::SerdeError(error)) => {
            format!(
                "the answer is not understood at line {} column {}",
                error.line(),
                error.column()
            )
        }
        error => error.to_string(),
    }
}

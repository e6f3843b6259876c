//! Watches: from what the API server tells to changes, with nothing of an object kept but its
//! name. Must not hold facts, nor decide what matters.

pub mod key_set;
mod known;
mod models;
mod retry;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::core::{NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};

use known::{Known, is_denied};
use retry::Retry;

use super::calendar::Calendar;
use super::metrics::Metrics;
use super::object::{ObjectKey, ObjectKind, Version, version};
use crate::api::convert::Readiness;
use crate::api::metadata::{MANAGED_BY, NAME};
use crate::api::pod::Pod;
use crate::api::{ApiKeyRef, Guarded, RoleBinding, Workspace, convert};
use crate::facts::{JwksLookup, KeySetId, PodScope};
use crate::plan::world::{Access, Change};
use crate::policy::catalogue::Catalogue;
use crate::policy::name::{Name, NamespacedName};

/// A kind in one namespace, or in all.
pub type Scope = (ObjectKind, Option<Name>);

/// The watches that must have listed before anything is planned: what is not known yet must
/// not look as if it did not exist. Namespaces can only be watched all together, so their labels
/// stay unknown when only some of them are of interest.
pub fn base(namespaces: &BTreeSet<Name>) -> BTreeSet<Scope> {
    const KINDS: [ObjectKind; 4] = [
        ObjectKind::Workspace,
        ObjectKind::RoleBinding,
        ObjectKind::ApiKeyRef,
        ObjectKind::ConfigMap,
    ];
    if namespaces.is_empty() {
        let everywhere = KINDS.into_iter().chain([ObjectKind::Namespace]);
        return everywhere.map(|kind| (kind, None)).collect();
    }
    let in_each = |namespace: &Name| KINDS.map(|kind| (kind, Some(namespace.clone())));
    namespaces.iter().flat_map(in_each).collect()
}

/// How often it is tried again to look at Secrets or pods that we may not look at: an administrator
/// who grants access waits at most this long.
const DENIED_RETRY: Duration = Duration::from_secs(30);

/// How many namespaces' Secrets or pods are being listed at a time.
const LISTS_AT_A_TIME: usize = 16;

/// Something a watch brought.
#[derive(Debug)]
pub enum Observation {
    /// An object as it is now, or that it is gone.
    Seen(Box<Seen>),
    /// Every object of a kind, there or everywhere, has been seen.
    Listed(Scope),
    /// Whether the Secrets of a namespace may be looked at; of every one if there is none.
    Access(Option<Name>, Access),
    /// Whether some pods may be looked at.
    PodAccess(PodScope, Access),
    /// The models known from now on.
    Models(Arc<Catalogue>),
    /// What a ConfigMap has as the public keys of an issuer.
    KeySet(KeySetId, JwksLookup),
    /// What this cluster signs ServiceAccount tokens with.
    ClusterKeys(JwksLookup),
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

/// Who is told of every object on the way, before anything is planned from it.
#[derive(Clone, Debug, Default)]
pub struct Onlookers {
    pub metrics: Arc<Metrics>,
    /// The calendar, if it is served.
    pub calendar: Option<Arc<Calendar>>,
}

/// Where watches put what they bring.
#[derive(Clone, Debug)]
struct Outlet {
    out: mpsc::Sender<Observation>,
    onlookers: Onlookers,
    /// Held while the Secrets or pods of a namespace are being listed.
    lists: Arc<Semaphore>,
}

/// What there is to know about watching one kind.
struct Source<K> {
    kind: ObjectKind,
    /// Where; everywhere if nowhere.
    namespace: Option<Name>,
    api: Api<K>,
    config: watcher::Config,
    /// Which, if they are pods.
    pods: Option<PodScope>,
    read: Means<K>,
    gone: MeansGone,
}

/// What an object means; of one that is gone only the name is known.
type Means<K> = Box<dyn Fn(&K, &Onlookers) -> Option<Read> + Send + Sync>;
type MeansGone = Box<dyn Fn(NamespacedName, &Onlookers) -> Change + Send + Sync>;

/// Name and facts of an object, and how ready it is if it can be; `None` for one without a
/// name, which no API server stores.
type Read = (NamespacedName, Change, Option<Readiness>);

// === impl Observer ===

impl Observer {
    /// Observations go to `out`.
    pub fn new(client: Client, out: mpsc::Sender<Observation>, onlookers: Onlookers) -> Self {
        let lists = Arc::new(Semaphore::new(LISTS_AT_A_TIME));
        Self {
            client,
            outlet: Outlet {
                out,
                onlookers,
                lists,
            },
            watches: JoinSet::new(),
        }
    }

    /// Starts watching a kind, there or everywhere: Namespaces, ConfigMaps and Secrets by their
    /// metadata, and of ConfigMaps only those with our label. What is only written has no watch.
    pub fn start(&mut self, (kind, namespace): Scope) {
        // A stored object that this release does not understand must not stall the watch.
        match kind {
            ObjectKind::Workspace => self.spawn(Source {
                kind,
                api: self.api::<Guarded<Workspace>>(namespace.as_ref()),
                config: watcher::Config::default(),
                read: Box::new(|object, _| {
                    let facts = convert::workspace(object)?;
                    let ready = Some(convert::readiness(object.status()));
                    Some((facts.object.name.clone(), Change::Workspace(facts), ready))
                }),
                gone: Box::new(|name, _| Change::WorkspaceGone(name)),
                namespace,
                pods: None,
            }),
            ObjectKind::RoleBinding => self.spawn(Source {
                kind,
                api: self.api::<Guarded<RoleBinding>>(namespace.as_ref()),
                config: watcher::Config::default(),
                read: Box::new(|object, _| {
                    let facts = convert::role_binding(object)?;
                    let ready = Some(convert::readiness(object.status()));
                    Some((facts.object.name.clone(), Change::Binding(facts), ready))
                }),
                gone: Box::new(|name, _| Change::BindingGone(name)),
                namespace,
                pods: None,
            }),
            ObjectKind::ApiKeyRef => self.spawn(Source {
                kind,
                api: self.api::<Guarded<ApiKeyRef>>(namespace.as_ref()),
                config: watcher::Config::default(),
                read: Box::new(read_key),
                gone: Box::new(|name, onlookers| {
                    onlookers.metrics.rotation(&name, None, None);
                    if let Some(calendar) = &onlookers.calendar {
                        calendar.saw(&name, None);
                    }
                    Change::KeyRefGone(name)
                }),
                namespace,
                pods: None,
            }),
            ObjectKind::Namespace => self.spawn(Source {
                kind,
                api: Api::<PartialObjectMeta<Namespace>>::all(self.client.clone()),
                config: watcher::Config::default(),
                read: Box::new(|object, _| {
                    let (name, labels) = convert::namespace(object)?;
                    let key = NamespacedName::new("", name.clone());
                    Some((key, Change::Namespace(name, labels), None))
                }),
                gone: Box::new(|name, _| Change::NamespaceGone(name.name)),
                namespace,
                pods: None,
            }),
            ObjectKind::ConfigMap => self.spawn(Source {
                kind,
                api: self.api::<PartialObjectMeta<ConfigMap>>(namespace.as_ref()),
                config: watcher::Config::default().labels(&format!("{MANAGED_BY}={NAME}")),
                read: Box::new(|object, _| {
                    let name = name_of(object)?;
                    let output = convert::output(&object.metadata);
                    Some((name.clone(), Change::ConfigMap(name, output), None))
                }),
                gone: Box::new(|name, _| Change::ConfigMapGone(name)),
                namespace,
                pods: None,
            }),
            ObjectKind::Secret => self.spawn(Source {
                kind,
                api: self.api::<PartialObjectMeta<Secret>>(namespace.as_ref()),
                config: watcher::Config::default(),
                read: Box::new(|object, _| {
                    let name = name_of(object)?;
                    let secret = convert::secret(&object.metadata);
                    Some((name.clone(), Change::Secret(name, secret), None))
                }),
                gone: Box::new(|name, _| Change::SecretGone(name)),
                namespace,
                pods: None,
            }),
            ObjectKind::Pod | ObjectKind::Event => {}
        }
    }

    /// Starts watching some pods. The watch ends with its handle as well.
    pub fn start_pods(&mut self, scope: PodScope) -> AbortHandle {
        let (of_seen, of_gone) = (scope.clone(), scope.clone());
        let source = Source {
            kind: ObjectKind::Pod,
            api: self.api::<Pod>(Some(&scope.namespace)),
            config: watcher::Config::default().labels(&scope.selector),
            read: Box::new(move |object, _| {
                let (name, facts) = convert::pod(object)?;
                let change = Change::Pod {
                    scope: of_seen.clone(),
                    name: name.name.clone(),
                    version: version(&object.metadata),
                    facts,
                };
                Some((name, change, None))
            }),
            gone: Box::new(move |name, _| Change::PodGone(of_gone.clone(), name.name)),
            namespace: Some(scope.namespace.clone()),
            pods: Some(scope),
        };
        self.watches.spawn(watch(self.outlet.clone(), source))
    }

    /// Starts watching the ConfigMap with the catalogue of models.
    pub fn start_models(&mut self, namespace: &str, name: &str) {
        let Outlet { out, onlookers, .. } = &self.outlet;
        let (out, metrics) = (out.clone(), onlookers.metrics.clone());
        let name = (namespace.to_owned(), name.to_owned());
        self.watches
            .spawn(models::watch(self.client.clone(), name, out, metrics));
    }

    /// Starts watching a ConfigMap with the public keys of an issuer.
    pub fn start_key_set(&mut self, id: KeySetId) -> AbortHandle {
        let (client, out) = (self.client.clone(), self.outlet.out.clone());
        self.watches.spawn(key_set::watch(client, id, out))
    }

    /// Starts looking at what this cluster signs ServiceAccount tokens with.
    pub fn start_cluster_keys(&mut self) -> AbortHandle {
        let (client, out) = (self.client.clone(), self.outlet.out.clone());
        self.watches.spawn(key_set::watch_cluster(client, out))
    }

    fn api<K>(&self, namespace: Option<&Name>) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType: Default>,
    {
        match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    fn spawn<K>(&mut self, source: Source<K>)
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
    let mut retry = Retry::default();
    while !outlet.out.is_closed() {
        // Only of these there may be so many watches that listing all at a time would be a burden,
        // and only these need a grant of their own.
        let granted = matches!(source.kind, ObjectKind::Secret | ObjectKind::Pod);
        let mut permit = match granted {
            true => outlet.lists.acquire().await.ok(),
            false => None,
        };
        let mut stream = std::pin::pin!(watcher(source.api.clone(), source.config.clone()));
        while let Some(event) = stream.next().await {
            let denied = matches!(&event, Err(error) if is_denied(error));
            let wait = retry.wait(&event, Instant::now());
            if matches!(event, Ok(Event::InitDone) | Err(_)) {
                permit = None;
            }
            for observation in known.take(event, &source, &outlet.onlookers) {
                if outlet.out.send(observation).await.is_err() {
                    return;
                }
            }
            if denied && granted {
                break;
            }
            if let Some(wait) = wait {
                tokio::time::sleep(wait).await;
            }
        }
        drop(permit);
        tokio::time::sleep(DENIED_RETRY).await;
    }
}

fn read_key(object: &Guarded<ApiKeyRef>, onlookers: &Onlookers) -> Option<Read> {
    let facts = convert::api_key_ref(object)?;
    let stored = object.understood();
    let status = stored.and_then(|object| object.status.as_ref());
    let due = status
        .and_then(|status| status.due_at.as_ref())
        .map(|time| time.0);
    let name = &facts.object.name;
    onlookers.metrics.rotation(name, due, facts.rotation);
    if let Some(calendar) = &onlookers.calendar {
        calendar.saw(name, stored);
    }
    let ready = Some(convert::readiness(object.status()));
    Some((facts.object.name.clone(), Change::KeyRef(facts), ready))
}

fn name_of<K>(object: &PartialObjectMeta<K>) -> Option<NamespacedName> {
    let meta = &object.metadata;
    Some(NamespacedName::new(
        meta.namespace.as_deref()?,
        meta.name.as_deref()?,
    ))
}

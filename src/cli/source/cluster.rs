//! Facts from the current cluster, as far as whoever asks may see them.
//! Must not write anything, and must not read any Secret's data: digests come from what the
//! operator remembered on the Secrets it wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{ListParams, ObjectMeta};
use kube::core::PartialObjectMeta;
use kube::core::object::HasStatus;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::{ClusterArgs, Source};
use crate::api::metadata::{MANAGED_BY, NAME};
use crate::api::{ApiKeyRef, Guarded, RoleBinding, Workspace, convert};
use crate::cli::failure::Failure;
use crate::cli::screen::{say, warning_prefix};
use crate::controller::key_set;
use crate::facts::{
    BindingFacts, JwksLookup, KeyRefFacts, OutputFacts, SecretFacts, StatusMark, WorkspaceFacts,
};
use crate::plan::output::{Status, StatusUpdate};
use crate::plan::world::{Access, Change, Unseen, World};
use crate::policy::catalogue::Catalogue;
use crate::policy::digest::Hex;
use crate::policy::finding::ObjectId;
use crate::policy::name::{Name, NamespacedName};
use crate::policy::selector::Labels;

/// Objects in one answer of the API server.
const PAGE: u32 = 500;

/// What was read of a cluster. A decision needs facts of all namespaces, so all are read.
#[derive(Clone)]
pub struct Fetched {
    client: Client,
    catalogue: Arc<Catalogue>,
    pub workspaces: Vec<WorkspaceFacts>,
    pub bindings: Vec<BindingFacts>,
    pub keys: Vec<KeyRefFacts>,
    /// Labels of namespaces.
    pub namespaces: BTreeMap<Name, Labels>,
    config_maps: Vec<(NamespacedName, OutputFacts)>,
    /// Secrets of the namespaces that were looked at; `None` of those that may not be.
    secrets: BTreeMap<Name, Option<Vec<(NamespacedName, SecretFacts)>>>,
    reported: BTreeMap<ObjectId, StatusUpdate>,
}

// === impl Fetched ===

impl Fetched {
    /// Reads all but Secrets.
    pub async fn read(args: &ClusterArgs, catalogue: Arc<Catalogue>) -> Result<Self, Failure> {
        let client = args.client().await?;
        let workspaces = ours::<Workspace>(&client).await?;
        let bindings = ours::<RoleBinding>(&client).await?;
        let keys = ours::<ApiKeyRef>(&client).await?;
        let namespaces = Api::<PartialObjectMeta<Namespace>>::all(client.clone());
        let namespaces = listed(namespaces, "").await?;
        let selector = format!("{MANAGED_BY}={NAME}");
        let config_maps = metadata::<ConfigMap>(&client, None, &selector).await?;
        if config_maps.is_none() {
            say(format_args!(
                "{}you may not list ConfigMaps; what exists already is not known",
                warning_prefix()
            ));
        }
        let config_maps = config_maps.into_iter().flatten();
        let mut fetched = Self {
            reported: reported(&workspaces, &bindings, &keys),
            workspaces: workspaces.iter().filter_map(convert::workspace).collect(),
            bindings: bindings.iter().filter_map(convert::role_binding).collect(),
            keys: keys.iter().filter_map(convert::api_key_ref).collect(),
            namespaces: namespaces.iter().filter_map(convert::namespace).collect(),
            config_maps: config_maps
                .map(|(name, meta)| (name, convert::output(&meta)))
                .collect(),
            secrets: BTreeMap::new(),
            client,
            catalogue,
        };
        // Without what their statuses say now, a plan says all that they should say.
        let workspaces = fetched.workspaces.iter_mut();
        workspaces.for_each(|facts| facts.object.status = StatusMark::default());
        let bindings = fetched.bindings.iter_mut();
        bindings.for_each(|facts| facts.object.status = StatusMark::default());
        let keys = fetched.keys.iter_mut();
        keys.for_each(|facts| facts.object.status = StatusMark::default());
        Ok(fetched)
    }

    /// All that is known, with the Secrets that it takes: those are looked at now.
    pub async fn source(&mut self, only: Option<Name>) -> Result<Source, Failure> {
        let mut world = World::new(self.catalogue.clone(), Unseen::Waits);
        let workspaces = self.workspaces.iter().cloned().map(Change::Workspace);
        let bindings = self.bindings.iter().cloned().map(Change::Binding);
        let keys = self.keys.iter().cloned().map(Change::KeyRef);
        let namespaces = self.namespaces.iter();
        let namespaces = namespaces.map(|(name, l)| Change::Namespace(name.clone(), l.clone()));
        let config_maps = self.config_maps.iter().cloned();
        let config_maps = config_maps.map(|(name, facts)| Change::ConfigMap(name, facts));
        let objects = workspaces.chain(bindings).chain(keys);
        for change in objects.chain(namespaces).chain(config_maps) {
            world.apply(change);
        }
        for namespace in world.secret_namespaces() {
            let secrets = match self.secrets.get(&namespace) {
                Some(known) => known.clone(),
                None => {
                    let found = metadata::<Secret>(&self.client, Some(&namespace), "").await?;
                    let facts = found.map(|found| {
                        let facts = found.into_iter();
                        facts
                            .map(|(name, meta)| (name, convert::secret(&meta)))
                            .collect::<Vec<_>>()
                    });
                    self.secrets.insert(namespace.clone(), facts.clone());
                    facts
                }
            };
            let access = match secrets {
                Some(secrets) => {
                    for (name, facts) in secrets {
                        world.apply(Change::Secret(name, facts));
                    }
                    Access::Listed
                }
                None => Access::Denied,
            };
            world.apply(Change::SecretAccess(namespace, access));
        }
        self.read_keys(&mut world).await;
        // Nothing the command line answers depends on pods.
        for scope in world.pod_scopes() {
            world.apply(Change::PodAccess(scope, Access::Denied));
        }
        let existing = self.workspaces.iter();
        Ok(Source {
            world,
            materials: BTreeMap::new(),
            origins: BTreeMap::new(),
            refused: BTreeMap::new(),
            key_sets: BTreeMap::new(),
            reported: self.reported.clone(),
            new_keys: BTreeSet::new(),
            is_cluster: true,
            only,
            existing: existing.map(|facts| facts.object.name.clone()).collect(),
        })
    }
}

impl Fetched {
    /// Reads public keys that gateways check tokens by. Those that may not be seen are assumed.
    async fn read_keys(&self, world: &mut World) {
        for id in world.key_sets() {
            let api: Api<ConfigMap> =
                Api::namespaced(self.client.clone(), &id.config_map.namespace);
            let lookup = match api.get_opt(&id.config_map.name).await {
                Ok(Some(object)) => key_set::read(&object, &id.key),
                Ok(None) => JwksLookup::Absent,
                Err(_) => JwksLookup::Assumed,
            };
            world.apply(Change::KeySet(id, lookup));
        }
        if world.needs_cluster_keys() {
            let keys = key_set::of_cluster(&self.client).await;
            let keys = keys.map_or(JwksLookup::Assumed, JwksLookup::Known);
            world.apply(Change::ClusterKeys(keys));
        }
    }
}

/// What the operator says of objects, as far as it is about their present specs.
fn reported(
    workspaces: &[Guarded<Workspace>],
    bindings: &[Guarded<RoleBinding>],
    keys: &[Guarded<ApiKeyRef>],
) -> BTreeMap<ObjectId, StatusUpdate> {
    let workspaces = current(workspaces, |object| {
        let status = object.status.clone()?;
        let content = convert::status_content(&status);
        let seen = status.observed_generation;
        Some((seen, content, Status::Workspace(status.into())))
    });
    let bindings = current(bindings, |object| {
        let status = object.status.clone()?;
        let content = convert::status_content(&status);
        let seen = status.observed_generation;
        Some((seen, content, Status::RoleBinding(status.into())))
    });
    let keys = current(keys, |object| {
        let status = object.status.clone()?;
        let content = convert::status_content(&status);
        let seen = status.observed_generation;
        Some((seen, content, Status::ApiKeyRef(status.into())))
    });
    let all = workspaces.chain(bindings).chain(keys);
    all.map(|update| (update.object(), update)).collect()
}

fn current<'a, K: Resource + HasStatus>(
    objects: &'a [Guarded<K>],
    status: impl Fn(&K) -> Option<(Option<i64>, Hex<16>, Status)> + 'a,
) -> impl Iterator<Item = StatusUpdate> + 'a {
    objects.iter().filter_map(move |object| {
        let object = object.understood()?;
        let meta = object.meta();
        let (seen, content, status) = status(object)?;
        (seen == meta.generation).then_some(StatusUpdate {
            name: NamespacedName::new(meta.namespace.as_deref()?, meta.name.as_deref()?),
            uid: meta.uid.as_deref().map(Name::from),
            status,
            content,
        })
    })
}

// === impl ClusterArgs ===

impl ClusterArgs {
    /// Reads all of it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn read(&self) -> Result<Source, Failure> {
        let catalogue = Arc::new(Catalogue::built_in());
        let mut fetched = Fetched::read(self, catalogue).await?;
        fetched.source(None).await
    }

    /// A client that gives up soon: somebody is waiting.
    ///
    /// # Errors
    /// When there is no cluster, or what says how to reach it is wrong.
    pub async fn client(&self) -> Result<Client, Failure> {
        let none = |error: String| {
            Failure::BadInput(format!(
                "no cluster to read: {error}; name manifests with -f, or a cluster with --kubeconfig and --context"
            ))
        };
        let mut config = self.config().await.map_err(none)?;
        config.default_retry = false;
        config.connect_timeout = Some(Duration::from_secs(10));
        config.read_timeout = Some(Duration::from_secs(60));
        Client::try_from(config).map_err(|error| none(error.to_string()))
    }
}

async fn ours<K>(client: &Client) -> Result<Vec<Guarded<K>>, Failure>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + HasStatus,
    Guarded<K>: Clone + DeserializeOwned + Debug,
{
    listed(Api::<Guarded<K>>::all(client.clone()), "").await
}

/// Metadata of objects; `None` when whoever asks may not see them.
async fn metadata<K>(
    client: &Client,
    namespace: Option<&str>,
    selector: &str,
) -> Result<Option<Vec<(NamespacedName, ObjectMeta)>>, Failure>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let api: Api<PartialObjectMeta<K>> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    match pages(&api, selector).await {
        Ok(objects) => Ok(Some(objects.into_iter().filter_map(named).collect())),
        Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(None),
        Err(error) => Err(unreadable::<K>(&error)),
    }
}

fn named<K>(object: PartialObjectMeta<K>) -> Option<(NamespacedName, ObjectMeta)> {
    let meta = object.metadata;
    let name = NamespacedName::new(meta.namespace.as_deref()?, meta.name.as_deref()?);
    Some((name, meta))
}

async fn listed<K>(api: Api<K>, selector: &str) -> Result<Vec<K>, Failure>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    pages(&api, selector)
        .await
        .map_err(|error| unreadable::<K>(&error))
}

pub(super) async fn pages<K>(api: &Api<K>, selector: &str) -> kube::Result<Vec<K>>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut params = ListParams::default().limit(PAGE).labels(selector);
    let mut objects = Vec::new();
    loop {
        let page = api.list(&params).await?;
        objects.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(objects),
        }
    }
}

pub(super) fn unreadable<K: Resource<DynamicType = ()>>(error: &kube::Error) -> Failure {
    let plural = K::plural(&());
    let kube::Error::Api(status) = error else {
        return Failure::Failed(format!("cannot list {plural}: {error}"));
    };
    let message = &status.message;
    Failure::Failed(if status.is_forbidden() {
        format!("you may not list all {plural}, which a decision needs: {message}")
    } else if status.code == 404 {
        format!(
            "the cluster has no {plural} of ours; install the definitions with \
             'anthropic-rbac crds | kubectl apply --server-side -f -'"
        )
    } else {
        format!("cannot list {plural}: {message}")
    })
}

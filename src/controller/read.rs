//! Reads single objects by name: the values of a source Secret, and the present state of one
//! that turned out to be different from what was known.
//! Must not list anything, nor let a value out except as `KeyMaterial`.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Namespace;
use kube::Resource;
use kube::api::ObjectMeta;
use kube::core::PartialObjectMeta;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::news::Teller;
use super::object::{ObjectKey, ObjectKind, Version, version};
use super::queue::Lane;
use super::request::{Answer, Failure, Payload, Request, Requester, Verb};
use crate::api::metadata::{MANAGED_BY, NAME};
use crate::api::{ApiKeyRef, Guarded, RoleBinding, Workspace, convert};
use crate::facts::SecretFacts;
use crate::material::KeyMaterial;
use crate::plan::world::Change;
use crate::policy::key::{SecretKey, ValueFacts};
use crate::policy::name::{Name, NamespacedName};

/// A Secret with its values.
pub struct Opened {
    /// Facts, values included.
    pub facts: SecretFacts,
    /// The values themselves.
    pub materials: Vec<(SecretKey, KeyMaterial)>,
}

/// Reads objects for one cycle, and tells what it finds.
#[derive(Clone)]
pub struct Reader {
    pub requester: Requester,
    pub lane: Lane,
    pub teller: Teller,
}

/// The annotations of a Secret may repeat its values, so that their copies here are not
/// zeroed: kubectl puts them there, and whoever reads the metadata gets them anyway.
#[derive(Deserialize)]
struct StoredSecret {
    metadata: ObjectMeta,
    #[serde(default)]
    data: Option<BTreeMap<Name, ByteString>>,
}

#[derive(Deserialize)]
struct OnlyMetadata {
    metadata: ObjectMeta,
}

/// What an answer says of an object.
pub struct Stored {
    pub version: Version,
    /// Its generation, if it has one.
    pub generation: Option<i64>,
    pub change: Change,
    pub found: Found,
}

/// What is there under a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    Nothing,
    /// Something that we may write.
    Ours,
    /// Something that we may not.
    Foreign,
}

// === impl Reader ===

impl Reader {
    /// Reads a Secret and its values.
    ///
    /// # Errors
    /// Why it could not be read.
    pub async fn open(&self, name: &NamespacedName) -> Result<Opened, Failure> {
        let key = ObjectKey::secret(name);
        self.teller.begun(&key);
        let result = match self.get(&key, Answer::Object).await {
            Ok(body) => parse::<StoredSecret>(&body),
            Err(failure) => Err(failure),
        };
        let stored = match result {
            Ok(stored) => stored,
            Err(failure) => {
                self.teller.ended(key);
                return Err(failure);
            }
        };
        let mut values: BTreeMap<Name, ValueFacts> = BTreeMap::new();
        let mut materials = Vec::new();
        for (data_key, ByteString(bytes)) in stored.data.into_iter().flatten() {
            let material = KeyMaterial::new(bytes);
            values.insert(data_key.clone(), material.facts());
            let NamespacedName { namespace, name } = name.clone();
            materials.push((
                SecretKey {
                    namespace,
                    name,
                    key: data_key,
                },
                material,
            ));
        }
        let mut facts = convert::secret(&stored.metadata);
        facts.values = Some(Arc::new(values));
        let change = Change::Secret(name.clone(), facts.clone());
        let told = Stored::of(&stored.metadata, Some(change), true)?;
        self.teller.learned(key, told, false);
        Ok(Opened { facts, materials })
    }

    /// Reads an object as it is now and tells of it; a Secret or ConfigMap by its metadata.
    ///
    /// # Errors
    /// Why it could not be read. That it is not there is no error.
    pub async fn look(&self, key: &ObjectKey, surprise: bool) -> Result<Found, Failure> {
        self.teller.begun(key);
        let answer = match key.kind {
            ObjectKind::ConfigMap
            | ObjectKind::Secret
            | ObjectKind::Namespace
            | ObjectKind::Pod => Answer::Metadata,
            ObjectKind::Workspace
            | ObjectKind::RoleBinding
            | ObjectKind::ApiKeyRef
            | ObjectKind::Event => Answer::Object,
        };
        let stored = match self.get(key, answer).await {
            Ok(body) => Stored::parse(key, &body),
            Err(Failure::NotFound) => Stored::nothing(key).ok_or(Failure::NotFound),
            Err(failure) => Err(failure),
        };
        match stored {
            Ok(stored) => {
                let found = stored.found;
                self.teller.learned(key.clone(), stored, surprise);
                Ok(found)
            }
            Err(failure) => {
                self.teller.ended(key.clone());
                Err(failure)
            }
        }
    }

    async fn get(
        &self,
        key: &ObjectKey,
        answer: Answer,
    ) -> Result<super::request::Received, Failure> {
        // What cannot exist is not there.
        let path = key.path().ok_or(Failure::NotFound)?;
        let request = Request {
            verb: Verb::Get,
            kind: key.kind,
            path,
            answer,
            body: Payload::default(),
        };
        self.requester.send(self.lane, request).await
    }
}

// === impl Stored ===

impl Stored {
    /// What an answer says of an object.
    ///
    /// # Errors
    /// When it is not understood.
    pub fn parse(key: &ObjectKey, body: &[u8]) -> Result<Self, Failure> {
        let name = || key.name.clone();
        match key.kind {
            ObjectKind::Workspace => {
                let object: Guarded<Workspace> = parse(body)?;
                let change = convert::workspace(&object).map(Change::Workspace);
                Self::of(object.meta(), change, true)
            }
            ObjectKind::RoleBinding => {
                let object: Guarded<RoleBinding> = parse(body)?;
                let change = convert::role_binding(&object).map(Change::Binding);
                Self::of(object.meta(), change, true)
            }
            ObjectKind::ApiKeyRef => {
                let object: Guarded<ApiKeyRef> = parse(body)?;
                let change = convert::api_key_ref(&object).map(Change::KeyRef);
                Self::of(object.meta(), change, true)
            }
            ObjectKind::ConfigMap => {
                let meta = parse::<OnlyMetadata>(body)?.metadata;
                let output = convert::output(&meta);
                let ours = output.is_ours();
                // Others' ConfigMaps are not watched without our label: what is known of one
                // would go stale.
                let labels = meta.labels.as_ref();
                let watched = labels
                    .and_then(|l| l.get(MANAGED_BY))
                    .is_some_and(|by| by == NAME);
                let change = match ours || watched {
                    true => Change::ConfigMap(name(), output),
                    false => Change::ConfigMapGone(name()),
                };
                Self::of(&meta, Some(change), ours)
            }
            ObjectKind::Secret => {
                let meta = parse::<OnlyMetadata>(body)?.metadata;
                let secret = convert::secret(&meta);
                let ours = secret
                    .output
                    .as_ref()
                    .is_some_and(|output| output.is_ours());
                Self::of(&meta, Some(Change::Secret(name(), secret)), ours)
            }
            ObjectKind::Namespace => {
                let object: PartialObjectMeta<Namespace> = parse(body)?;
                let change = convert::namespace(&object);
                let change = change.map(|(name, labels)| Change::Namespace(name, labels));
                Self::of(&object.metadata, change, false)
            }
            ObjectKind::Pod | ObjectKind::Event => Self::of(&ObjectMeta::default(), None, false),
        }
    }

    fn of(meta: &ObjectMeta, change: Option<Change>, ours: bool) -> Result<Self, Failure> {
        let nameless = || Failure::later("the answer of the API server names no object");
        Ok(Self {
            version: version(meta),
            generation: meta.generation,
            change: change.ok_or_else(nameless)?,
            found: if ours { Found::Ours } else { Found::Foreign },
        })
    }

    /// That an object is gone.
    pub fn nothing(key: &ObjectKey) -> Option<Self> {
        let name = key.name.clone();
        let change = match key.kind {
            ObjectKind::Workspace => Change::WorkspaceGone(name),
            ObjectKind::RoleBinding => Change::BindingGone(name),
            ObjectKind::ApiKeyRef => Change::KeyRefGone(name),
            ObjectKind::Namespace => Change::NamespaceGone(name.name),
            ObjectKind::ConfigMap => Change::ConfigMapGone(name),
            ObjectKind::Secret => Change::SecretGone(name),
            ObjectKind::Pod | ObjectKind::Event => return None,
        };
        Some(Self {
            version: None,
            generation: None,
            change,
            found: Found::Nothing,
        })
    }
}

/// Parse errors quote their input, so they are not passed on.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body)
        .map_err(|_| Failure::later("the answer of the API server is not understood"))
}

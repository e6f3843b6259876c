//! Reads single objects by name: the values of a source Secret, and the present state of one
//! that turned out to be different from what was known.
//! Must not list anything, nor let a value out except as `KeyMaterial`.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::ByteString;
use kube::api::ObjectMeta;
use kube::core::DeserializeGuard;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::news::Teller;
use super::object::{ObjectKey, ObjectKind, Version, version};
use super::queue::Lane;
use super::request::{Answer, Failure, Payload, Request, Requester, Verb};
use crate::api::convert;
use crate::material::KeyMaterial;
use crate::plan::facts::SecretFacts;
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
struct Stored {
    metadata: ObjectMeta,
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
        self.teller
            .learned(key, version(&stored.metadata), change, false);
        Ok(Opened { facts, materials })
    }

    /// Reads an object as it is now and tells of it; a Secret or ConfigMap by its metadata.
    /// The change says what was found.
    ///
    /// # Errors
    /// Why it could not be read. That it is not there is no error.
    pub async fn look(&self, key: &ObjectKey, surprise: bool) -> Result<Change, Failure> {
        self.teller.begun(key);
        let answer = match key.kind {
            ObjectKind::ConfigMap | ObjectKind::Secret | ObjectKind::Namespace => Answer::Metadata,
            _ => Answer::Object,
        };
        let found = match self.get(key, answer).await {
            Ok(body) => stored(key, &body),
            Err(Failure::NotFound) => gone(key)
                .map(|change| (None, change))
                .ok_or(Failure::NotFound),
            Err(failure) => Err(failure),
        };
        match found {
            Ok((version, change)) => {
                self.teller
                    .learned(key.clone(), version, change.clone(), surprise);
                Ok(change)
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

/// Version and facts of an object in an answer.
///
/// # Errors
/// When it is not understood.
pub fn stored(key: &ObjectKey, body: &[u8]) -> Result<(Version, Change), Failure> {
    let name = || key.name.clone();
    let unclear = || Failure::later("the answer of the API server has no name in it");
    let meta = parse::<Stored>(body)?.metadata;
    let change = match key.kind {
        ObjectKind::Workspace => {
            let object: DeserializeGuard<_> = parse(body)?;
            Change::Workspace(convert::workspace(&object).ok_or_else(unclear)?)
        }
        ObjectKind::RoleBinding => {
            let object: DeserializeGuard<_> = parse(body)?;
            Change::Binding(convert::role_binding(&object).ok_or_else(unclear)?)
        }
        ObjectKind::ApiKeyRef => {
            let object: DeserializeGuard<_> = parse(body)?;
            Change::KeyRef(convert::api_key_ref(&object).ok_or_else(unclear)?)
        }
        ObjectKind::ConfigMap => Change::ConfigMap(name(), convert::output(&meta)),
        ObjectKind::Secret => Change::Secret(name(), convert::secret(&meta)),
        ObjectKind::Namespace => {
            let labels = meta.labels.iter().flatten();
            let labels = labels.map(|(key, value)| (Name::from(&**key), Name::from(&**value)));
            Change::Namespace(key.name.name.clone(), labels.collect())
        }
        ObjectKind::Event => return Err(unclear()),
    };
    Ok((version(&meta), change))
}

/// That an object is gone.
pub fn gone(key: &ObjectKey) -> Option<Change> {
    let name = key.name.clone();
    Some(match key.kind {
        ObjectKind::Workspace => Change::WorkspaceGone(name),
        ObjectKind::RoleBinding => Change::BindingGone(name),
        ObjectKind::ApiKeyRef => Change::KeyRefGone(name),
        ObjectKind::Namespace => Change::NamespaceGone(name.name),
        ObjectKind::ConfigMap => Change::ConfigMapGone(name),
        ObjectKind::Secret => Change::SecretGone(name),
        ObjectKind::Event => return None,
    })
}

/// Parse errors quote their input, so they are not passed on.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body)
        .map_err(|_| Failure::later("the answer of the API server is not understood"))
}

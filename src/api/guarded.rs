//! An object as stored, understood or not: one that this release does not understand must not
//! keep the others of its list from being read, and what was said of it is known all the same.
//! Must not judge what is understood.

use std::borrow::Cow;

use kube::Resource;
use kube::api::ObjectMeta;
use kube::core::object::HasStatus;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error};
use serde_json::Value;

/// An object, or what is left of one that is not understood.
#[derive(Clone, Debug)]
pub struct Guarded<K: HasStatus>(pub Result<K, Broken<K::Status>>);

/// An object that is not understood.
#[derive(Clone, Debug)]
pub struct Broken<S> {
    /// Why.
    pub error: String,
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// Its status, if at least that is understood.
    pub status: Option<S>,
}

// === impl Guarded ===

impl<K: HasStatus> Guarded<K> {
    /// The object, if it is understood.
    pub fn understood(&self) -> Option<&K> {
        self.0.as_ref().ok()
    }

    /// Its status, understood as a whole or not.
    pub fn status(&self) -> Option<&K::Status> {
        match &self.0 {
            Ok(object) => object.status(),
            Err(broken) => broken.status.as_ref(),
        }
    }
}

impl<'de, K> Deserialize<'de> for Guarded<K>
where
    K: HasStatus + DeserializeOwned,
    K::Status: DeserializeOwned,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Rest {
            metadata: ObjectMeta,
            #[serde(default)]
            status: Value,
        }
        let stored = Value::deserialize(deserializer)?;
        let error = match K::deserialize(&stored) {
            Ok(object) => return Ok(Self(Ok(object))),
            Err(error) => error.to_string(),
        };
        let Rest { metadata, status } = Rest::deserialize(&stored).map_err(D::Error::custom)?;
        Ok(Self(Err(Broken {
            error,
            metadata,
            status: serde_json::from_value(status).ok(),
        })))
    }
}

impl<K: Resource + HasStatus> Resource for Guarded<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(of: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(of)
    }

    fn group(of: &Self::DynamicType) -> Cow<'_, str> {
        K::group(of)
    }

    fn version(of: &Self::DynamicType) -> Cow<'_, str> {
        K::version(of)
    }

    fn plural(of: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(of)
    }

    fn meta(&self) -> &ObjectMeta {
        match &self.0 {
            Ok(object) => object.meta(),
            Err(broken) => &broken.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match &mut self.0 {
            Ok(object) => object.meta_mut(),
            Err(broken) => &mut broken.metadata,
        }
    }
}

//! The only way from what is stored to facts: every field is taken apart here, once, for the
//! operator and the command line alike.
//! Must not decide anything: what cannot be understood becomes an `Invalid` with its field.

use k8s_openapi::api::core::v1::Namespace;
use kube::api::ObjectMeta;
use kube::core::{DeserializeGuard, PartialObjectMeta};

use super::{ApiKeyRef, RoleBinding, Workspace};
use crate::plan::facts::{BindingFacts, KeyRefFacts, OutputFacts, SecretFacts, WorkspaceFacts};
use crate::policy::name::Name;
use crate::policy::selector::Labels;

/// A Workspace; `None` for one without a name or namespace, which no API server stores.
pub fn workspace(_object: &DeserializeGuard<Workspace>) -> Option<WorkspaceFacts> {
    todo!()
}

/// A RoleBinding.
pub fn role_binding(_object: &DeserializeGuard<RoleBinding>) -> Option<BindingFacts> {
    todo!()
}

/// An ApiKeyRef.
pub fn api_key_ref(_object: &DeserializeGuard<ApiKeyRef>) -> Option<KeyRefFacts> {
    todo!()
}

/// A namespace's labels.
pub fn namespace(_object: &PartialObjectMeta<Namespace>) -> Option<(Name, Labels)> {
    todo!()
}

/// A Secret by its metadata.
pub fn secret(_meta: &ObjectMeta) -> SecretFacts {
    todo!()
}

/// A ConfigMap or Secret by its metadata, as a place to write to.
pub fn output(_meta: &ObjectMeta) -> OutputFacts {
    todo!()
}

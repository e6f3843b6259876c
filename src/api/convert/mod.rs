//! The only way from what is stored to facts: every field is taken apart here, once, for the
//! operator and the command line alike.
//! Must not decide anything: what cannot be understood becomes an `Invalid` with its field.

mod api_key_ref;
mod fields;
mod metadata;
mod notes;
mod pod;
mod role_binding;
mod status;
mod workspace;

pub use fields::workspace_ref;
pub use metadata::{namespace, output, reported_at, secret};
pub use pod::{hurried, pod};
pub use status::{Readiness, ReportsConditions, readiness, status_content};

use super::{ApiKeyRef, Guarded, RoleBinding, Workspace};
use crate::facts::{BindingFacts, Invalid, KeyRefFacts, WorkspaceFacts};
use fields::observed;

/// A Workspace; `None` for one without a name or namespace, which no API server stores.
pub fn workspace(object: &Guarded<Workspace>) -> Option<WorkspaceFacts> {
    let object = observed(object, |object| {
        workspace::convert(&object.metadata, &object.spec)
    })?;
    Some(WorkspaceFacts { object })
}

/// A RoleBinding.
pub fn role_binding(object: &Guarded<RoleBinding>) -> Option<BindingFacts> {
    let workspace = object
        .understood()
        .map(|object| fields::workspace_ref(&object.metadata, &object.spec.workspace_ref));
    let object = observed(object, |object| {
        role_binding::convert(&object.metadata, &object.spec)
    })?;
    Some(BindingFacts { object, workspace })
}

/// An ApiKeyRef.
pub fn api_key_ref(object: &Guarded<ApiKeyRef>) -> Option<KeyRefFacts> {
    let workspace = object
        .understood()
        .map(|object| fields::workspace_ref(&object.metadata, &object.spec.workspace_ref));
    let status = object.status();
    let rotation = status.and_then(|status| status.rotation).map(Into::into);
    let versions = status.map(api_key_ref::versions).unwrap_or_default();
    let object = observed(object, |object| {
        api_key_ref::convert(&object.metadata, &object.spec)
    })?;
    Some(KeyRefFacts {
        object,
        workspace,
        rotation,
        versions,
    })
}

/// A spec that is not understood, by field.
fn invalid(field: impl Into<String>, message: impl ToString) -> Invalid {
    Invalid {
        field: field.into(),
        message: message.to_string(),
    }
}

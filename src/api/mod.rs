//! The three custom resources, as people write them and as the API server stores them.
//! Decides nothing: what a field is worth is resolved in the domain.

#![expect(
    clippy::duplicated_attributes,
    reason = "the columns of a definition repeat their keys"
)]

pub mod admission;
mod api_key_ref;
pub mod conditions;
pub mod convert;
pub mod crd;
mod finding;
mod guarded;
pub mod metadata;
pub mod pod;
mod reference;
mod role_binding;
mod rotation;
mod schema;
mod state;
mod subject;
mod workspace;

pub use api_key_ref::{
    ApiKeyRef, ApiKeyRefSpec, ApiKeyRefStatus, DeletionPolicy, IssuedAtOrigin, KeyScope, KeySource,
    KeyState, KeyTarget, NextKey, PreviousVersion, RotationState,
};
pub use finding::{FindingStatus, FindingTotals, Severity};
pub use guarded::{Broken, Guarded};
pub use metadata::{API_VERSION, GROUP, VERSION};
pub use reference::{ConfigMapKeyRef, LocalRef, SecretKeyRef, WorkspaceRef};
pub use role_binding::{
    RoleBinding, RoleBindingSpec, RoleBindingStatus, RoleKind, RoleRef, SubjectProblem,
};
pub use rotation::{OnOverdue, Rotation};
pub use state::State;
pub use subject::{Subject, SubjectKind};
pub use workspace::{
    ApiAccess, Authentication, EffectiveRole, EffectiveRotation, EffectiveWorkspace, Enforcement,
    Gateway, GatewayPods, GatewayStatus, GatewayType, Issuer, IssuerType, LaggingPod, LimitStatus,
    NamespaceGrant, OutputStatus, Permission, RateLimits, RoleDefinition, SubjectScope, Tier,
    Workspace, WorkspaceCounts, WorkspaceKeys, WorkspaceSpec, WorkspaceStatus,
};

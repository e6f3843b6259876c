//! Who a grant, a block or a key is for.
//! Says how a subject is written; who a request comes from is the domain's business.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of caller a subject is.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub enum SubjectKind {
    /// A Kubernetes ServiceAccount.
    ServiceAccount,
    /// A person or machine known to an identity provider.
    User,
    /// A group known to an identity provider.
    Group,
    /// Whoever holds a gateway credential.
    ClientKey,
}

/// One caller, or one group of callers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// ServiceAccount: a ServiceAccount of this cluster. User or Group: a name given by an
    /// identity provider. ClientKey: whoever presents a gateway credential.
    pub kind: SubjectKind,
    /// Name of the ServiceAccount, user or group, compared byte for byte, or of the Secret that
    /// holds the client keys. At most 256 bytes, no control characters. Required, except for a
    /// ClientKey given by sha256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Namespace of the ServiceAccount. Unset = the namespace of this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of the issuer, from the Workspace's authentication.issuers, that vouches for the user
    /// or group. Unset for ServiceAccounts and ClientKeys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// SHA-256 digests of client keys, as 64 lower-case hex digits each, in place of a Secret.
    /// Unset = the keys are in the Secret called name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Vec<String>>,
}

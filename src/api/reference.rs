//! References from one object to another.
//! Says how a reference is written, not whether it may be followed.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A Workspace, possibly in another namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceRef {
    /// Name of the Workspace.
    pub name: String,
    /// Namespace of the Workspace. Unset = the namespace of this object. A Workspace elsewhere
    /// must list this namespace in its allowedNamespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// An object of a known kind in the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct LocalRef {
    /// Name of the object, in the namespace of this one.
    pub name: String,
}

/// One data key of a ConfigMap in the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap, in the namespace of this object.
    pub name: String,
    /// Data key in it.
    pub key: String,
}

/// One data key of a Secret, possibly in another namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    pub name: String,
    /// Data key in the Secret. The value is one line: the key and nothing else.
    pub key: String,
    /// Namespace of the Secret. Unset = the namespace of this object. A Secret elsewhere must
    /// carry the annotation anthropic-rbac.io/allow-namespaces naming this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

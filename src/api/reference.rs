//! References from one object to another.
//! Says how a reference is written, not whether it may be followed.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// A Workspace, possibly in another namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceRef {
    /// Name of the Workspace.
    #[schemars(schema_with = "schema::workspace_name")]
    pub name: String,
    /// Namespace of the Workspace. Unset = the namespace of this object. A Workspace elsewhere
    /// must list this namespace in its allowedNamespaces.
    #[schemars(schema_with = "schema::dns_label")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// An object of a known kind in the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct LocalRef {
    /// Name of the object, in the namespace of this one.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
}

/// One data key of a ConfigMap in the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap, in the namespace of this object.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
    /// Data key in it.
    #[schemars(schema_with = "schema::data_key")]
    pub key: String,
}

/// One data key of a Secret, possibly in another namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
    /// Data key in the Secret. The value is one line: the key and nothing else.
    #[schemars(schema_with = "schema::data_key")]
    pub key: String,
    /// Namespace of the Secret. Unset = the namespace of this object. A Secret elsewhere must
    /// carry the annotation anthropic-rbac.io/allow-namespaces naming this namespace.
    #[schemars(schema_with = "schema::dns_label")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

//! Who vouches for the callers of a Workspace.
//! Says how it is written; verifying tokens is the gateway's business.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::ConfigMapKeyRef;

/// What kind of tokens an issuer makes.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub enum IssuerType {
    /// ServiceAccount tokens of this cluster.
    Kubernetes,
    /// ID or access tokens (JWT) of an OpenID Connect provider.
    #[serde(rename = "OIDC")]
    Oidc,
}

/// Who vouches for callers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Authentication {
    /// The issuers whose tokens are accepted: at most one of type Kubernetes, each issuerURL once.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub issuers: Vec<Issuer>,
}

/// One issuer of tokens.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Issuer {
    /// Name of the issuer, as subjects refer to it.
    pub name: String,
    /// Kubernetes: ServiceAccounts of this cluster. OIDC: users and groups of an OpenID Connect
    /// provider.
    #[serde(rename = "type")]
    pub type_: IssuerType,
    /// The iss claim of the tokens, an https URL. Required for OIDC, unset for Kubernetes.
    #[serde(rename = "issuerURL", default, skip_serializing_if = "Option::is_none")]
    pub issuer_url: Option<String>,
    /// A ConfigMap here with the issuer's public keys (a JWKS document). Unset = see jwksURI; OIDC
    /// sets exactly one of the two, Kubernetes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_config_map_ref: Option<ConfigMapKeyRef>,
    /// An https URL from which the gateway fetches the issuer's public keys. Unset = see
    /// jwksConfigMapRef.
    #[serde(rename = "jwksURI", default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// The claim that holds the user's name, for OIDC. Unset = sub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_claim: Option<String>,
    /// The claim that holds the user's groups, for OIDC: a string or a list. Unset = no groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_claim: Option<String>,
    /// Audiences of which a token must name one. Never the Kubernetes API server's own: a gateway
    /// must not collect tokens that open the cluster.
    pub audiences: Vec<String>,
}

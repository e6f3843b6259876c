//! Who vouches for the callers of a Workspace.
//! Says how it is written; verifying tokens is the gateway's business.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{ConfigMapKeyRef, schema};

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
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.filter(i, i.type == 'Kubernetes').size() <= 1")
            .message("at most one issuer is of type Kubernetes, this cluster: list all audiences under that one"),
        validation = Rule::new("self.all(a, !has(a.issuerURL) || self.exists_one(b, has(b.issuerURL) && a.issuerURL == b.issuerURL))")
            .message("two issuers have one issuerURL, so a token's issuer would be ambiguous: merge them into one with both audiences"),
    )]
    pub issuers: Vec<Issuer>,
}

/// One issuer of tokens.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("self.type != 'OIDC' || has(self.issuerURL)")
        .message("an OIDC issuer is known by the iss claim of its tokens: set issuerURL")
        .field_path(".issuerURL")
        .reason(Reason::FieldValueRequired),
    validation = Rule::new("self.type != 'OIDC' || has(self.jwksConfigMapRef) != has(self.jwksURI)")
        .message("an OIDC issuer's public keys come from one place: set exactly one of jwksConfigMapRef and jwksURI"),
    validation = Rule::new("self.type != 'Kubernetes' || !(has(self.issuerURL) || has(self.jwksConfigMapRef) || has(self.jwksURI) || has(self.userClaim) || has(self.groupsClaim))")
        .message("issuer, keys and claims of a Kubernetes issuer are known: leave issuerURL, jwksConfigMapRef, jwksURI, userClaim and groupsClaim out, or set type: OIDC"),
)]
#[serde(rename_all = "camelCase")]
pub struct Issuer {
    /// Name of the issuer, as subjects refer to it.
    #[schemars(schema_with = "schema::dns_label")]
    pub name: String,
    /// Kubernetes: ServiceAccounts of this cluster. OIDC: users and groups of an OpenID Connect
    /// provider.
    #[serde(rename = "type")]
    pub type_: IssuerType,
    /// The iss claim of the tokens, an https URL. Required for OIDC, unset for Kubernetes.
    #[schemars(schema_with = "schema::issuer_url")]
    #[serde(rename = "issuerURL", default, skip_serializing_if = "Option::is_none")]
    pub issuer_url: Option<String>,
    /// A ConfigMap here with the issuer's public keys (a JWKS document). Unset = see jwksURI; OIDC
    /// sets exactly one of the two, Kubernetes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_config_map_ref: Option<ConfigMapKeyRef>,
    /// An https URL from which the gateway fetches the issuer's public keys. Unset = see
    /// jwksConfigMapRef.
    #[schemars(schema_with = "schema::jwks_uri")]
    #[serde(rename = "jwksURI", default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// The claim that holds the user's name, for OIDC. Unset = sub.
    #[schemars(schema_with = "schema::claim")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_claim: Option<String>,
    /// The claim that holds the user's groups, for OIDC: a string or a list. Unset = no groups.
    #[schemars(schema_with = "schema::claim")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_claim: Option<String>,
    /// Audiences of which a token must name one. Never the Kubernetes API server's own: a gateway
    /// must not collect tokens that open the cluster.
    #[schemars(schema_with = "schema::audiences")]
    pub audiences: Vec<String>,
}

//! Who a grant, a block or a key is for.
//! Says how a subject is written; who a request comes from is the domain's business.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{self, DNS_SUBDOMAIN};

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

// These rules hold wherever a subject stands; `schema::lists` adds those of each place.
/// One caller, or one group of callers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[x_kube(
    validation = Rule::new("has(self.name) || self.kind == 'ClientKey'")
        .message("a ServiceAccount, User or Group needs a name: set name")
        .field_path(".name")
        .reason(Reason::FieldValueRequired),
    validation = Rule::new("self.kind != 'ClientKey' || has(self.name) != has(self.sha256)")
        .message("a ClientKey is given either by name, the Secret that holds it, or by sha256: set exactly one of the two"),
    validation = Rule::new(format!("!has(self.name) || self.kind in ['User', 'Group'] || (self.name.size() <= 253 && self.name.matches('{DNS_SUBDOMAIN}'))"))
        .message("the name of a ServiceAccount or of a ClientKey's Secret is an object's name: a-z, 0-9, '-' and '.', with a letter or digit at both ends")
        .field_path(".name"),
    validation = Rule::new("!has(self.__namespace__) || self.kind in ['ServiceAccount', 'ClientKey']")
        .message("Users and Groups have an issuer and no namespace: leave namespace out")
        .field_path(".namespace")
        .reason(Reason::FieldValueForbidden),
    validation = Rule::new("!has(self.issuer) || self.kind in ['User', 'Group']")
        .message("only Users and Groups have an issuer: leave issuer out")
        .field_path(".issuer")
        .reason(Reason::FieldValueForbidden),
    validation = Rule::new("!has(self.sha256) || self.kind == 'ClientKey'")
        .message("only a ClientKey has sha256: leave sha256 out")
        .field_path(".sha256")
        .reason(Reason::FieldValueForbidden),
)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// ServiceAccount: a ServiceAccount of this cluster. User or Group: a name given by an
    /// identity provider. ClientKey: whoever presents a gateway credential.
    pub kind: SubjectKind,
    /// Name of the ServiceAccount, user or group, compared byte for byte, or of the Secret that
    /// holds the client keys. At most 256 bytes, no control characters. Required, except for a
    /// ClientKey given by sha256.
    #[schemars(schema_with = "schema::subject_name")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Namespace of the ServiceAccount, or, in a Workspace's blockedSubjects, of the ClientKey's
    /// Secret. Unset = the namespace of this object.
    #[schemars(schema_with = "schema::dns_label")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of the issuer, from the Workspace's authentication.issuers, that vouches for the user
    /// or group. Unset for ServiceAccounts and ClientKeys, and for Users of a ConsoleRole.
    #[schemars(schema_with = "schema::dns_label")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// SHA-256 digests of client keys, as 64 lower-case hex digits each, in place of a Secret.
    /// Unset = the keys are in the Secret called name.
    #[schemars(schema_with = "schema::key_digests")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Vec<String>>,
}

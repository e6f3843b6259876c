//! The resolved policy: an indexed table that answers "who may do what" without knowing
//! how it came about. It is what `policy.json` holds and what every gateway is rendered from.
//! Must not hold names of people, key bytes, or a rule; `decide` has the rules.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use super::digest::{ContentId, Fingerprint};
use super::grant::Window;
use super::key::Scope;
use super::limits::{MaxTokens, RequestsPerMinute};
use super::model::ModelSet;
use super::name::Name;
use super::subject::SubjectId;

/// Everything a gateway needs to decide for one workspace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "operator", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// The workspace itself.
    pub workspace: WorkspaceRow,
    /// Roles by content id: an id that is not here opens nothing.
    pub roles: BTreeMap<ContentId, RoleRow>,
    /// API keys by content id: an id that is not here is no key.
    pub keys: BTreeMap<ContentId, KeyRow>,
    /// Subject ids that are denied whatever else is said of them.
    pub blocked: BTreeSet<SubjectId>,
    /// Subjects by id: one that is not here has no role. Hashed, so that looking one up costs
    /// the same among few and many; whoever writes them sorts them first.
    #[serde(serialize_with = "sorted")]
    pub subjects: HashMap<SubjectId, SubjectRow>,
}

/// The workspace's own settings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "operator", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkspaceRow {
    /// Namespace of the Workspace object.
    pub namespace: Name,
    /// Name of the Workspace object.
    pub name: Name,
    /// Its environment label value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Name>,
    /// Anthropic's id of it, sent as `anthropic-workspace-id` with Organization keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_id: Option<Name>,
    /// Disabled denies every request.
    pub state: WorkspaceState,
    /// Upper bound for every role; absent bounds nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<ModelSet>,
    /// Ceiling shared by all subjects, in requests per minute; absent is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<RequestsPerMinute>,
    /// `max_tokens` of requests that name none.
    pub default_max_tokens: MaxTokens,
    /// The key of subjects that no key names; absent denies them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_key: Option<ContentId>,
    /// Who vouches for callers.
    pub issuers: Vec<IssuerRow>,
}

/// Whether the workspace is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "operator", derive(schemars::JsonSchema))]
pub enum WorkspaceState {
    /// Requests are decided.
    Enabled,
    /// Every request is denied.
    Disabled,
}

/// One issuer of identities.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "operator", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IssuerRow {
    /// What subject ids call it.
    pub name: Name,
    /// How its tokens are verified.
    #[serde(rename = "type")]
    pub kind: IssuerType,
    /// A token must be meant for one of these.
    pub audiences: Vec<Name>,
    /// Must equal the token's `iss`; absent for Kubernetes.
    #[serde(default, rename = "issuerURL", skip_serializing_if = "Option::is_none")]
    pub issuer_url: Option<Name>,
    /// Claim with the user's name; absent for Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_claim: Option<Name>,
    /// Claim with the groups; absent is no groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_claim: Option<Name>,
}

/// How an issuer's tokens are verified.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "operator", derive(schemars::JsonSchema))]
pub enum IssuerType {
    /// ServiceAccount tokens of this cluster.
    Kubernetes,
    /// OpenID Connect.
    #[serde(rename = "OIDC")]
    Oidc,
}

/// One role. Without `access` it opens nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "operator", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RoleRow {
    /// Its name.
    pub name: Name,
    /// What it opens; absent is no API access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessRow>,
}

/// What a role opens.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "operator", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessRow {
    /// Exact ids, and prefixes with one trailing `*`; aliases are written out.
    pub models: ModelSet,
    /// Highest `max_tokens` of one request.
    pub max_tokens: MaxTokens,
    /// Requests per minute of one subject.
    pub requests_per_minute: RequestsPerMinute,
}

/// One API key, by reference.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "operator", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyRow {
    /// `namespace/name` of the ApiKeyRef.
    pub api_key_ref: Name,
    /// How far it reaches at Anthropic.
    pub scope: Scope,
    /// The version in use; absent when there is none that may be used, which denies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
}

/// What is granted to one subject.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "operator", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubjectRow {
    /// Its roles, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<GrantRow>,
    /// The key that names this subject; absent looks on at its groups, then the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<ContentId>,
}

/// One role of a subject.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "operator", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrantRow {
    /// Which role.
    pub role: ContentId,
    /// `namespace/name` of the RoleBinding.
    pub binding: Name,
    /// First instant it holds; absent is always before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "operator", schemars(with = "Option<String>"))]
    pub not_before: Option<Timestamp>,
    /// First instant it no longer holds; absent is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "operator", schemars(with = "Option<String>"))]
    pub expires_at: Option<Timestamp>,
}

// === impl RoleRow ===

impl RoleRow {
    /// The id subjects name this role by: a digest of all it says, so that a subject can
    /// never be read against another version of the role than it was rendered with.
    pub fn id(&self) -> ContentId {
        content_id(self)
    }
}

// === impl KeyRow ===

impl KeyRow {
    /// The id subjects name this key by. The version in use is no part of it: a rotation
    /// changes neither who uses a key nor any subject's row.
    pub fn id(&self) -> ContentId {
        let scope = match self.scope {
            Scope::Workspace => "workspace",
            Scope::Organization => "organization",
        };
        ContentId::of_lines(&["key", &self.api_key_ref, scope])
    }
}

// === impl GrantRow ===

impl GrantRow {
    /// When it holds.
    pub fn window(&self) -> Window {
        Window {
            not_before: self.not_before,
            expires_at: self.expires_at,
        }
    }
}

fn sorted<S: Serializer>(
    subjects: &HashMap<SubjectId, SubjectRow>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(subjects.iter().collect::<BTreeMap<_, _>>())
}

fn content_id(row: &impl Serialize) -> ContentId {
    let text = serde_json::to_vec(row).expect("rows are plain data with text keys");
    ContentId::of(&text)
}

//! The ApiKeyRef kind: one Anthropic API key for one service.
//! Describes what may be written; never holds a key's value.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FindingStatus, Rotation, SecretKeyRef, Subject, WorkspaceRef, schema};

/// Where a key is valid at Anthropic.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub enum KeyScope {
    /// In one workspace.
    Workspace,
    /// In every workspace that its owner is a member of.
    Organization,
}

/// Whether a key may be used.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub enum KeyState {
    /// It may.
    Active,
    /// It may not, nor may any later version.
    Revoked,
}

/// What happens to the target Secret when its ApiKeyRef is deleted.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub enum DeletionPolicy {
    /// It is deleted, too.
    Delete,
    /// It is kept, and marked as left behind.
    Retain,
}

/// Where the key is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct KeySource {
    /// The data key of the Secret that holds the API key.
    pub secret_key_ref: SecretKeyRef,
}

/// The staged successor of a key.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct NextKey {
    /// The data key of the Secret that holds the successor.
    pub secret_key_ref: SecretKeyRef,
    /// When the successor takes over. Unset = as soon as it is there.
    #[schemars(schema_with = "schema::point_in_time")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activate_at: Option<Time>,
}

/// The Secret that the key is copied to.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct KeyTarget {
    /// Name of the Secret to write, in the namespace of this object. A Secret of that name that
    /// the operator did not make is left alone.
    #[schemars(schema_with = "schema::object_name")]
    pub secret_name: String,
    /// Data key to write. Unset = ANTHROPIC_API_KEY.
    #[schemars(schema_with = "schema::data_key")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What happens to the Secret when this object is deleted: Delete, or Retain to keep it (not
    /// possible for a source in another namespace). Unset = Delete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DeletionPolicy")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// What is wanted: this key serves this service.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "anthropic-rbac.io",
    version = "v1alpha1",
    kind = "ApiKeyRef",
    plural = "apikeyrefs",
    namespaced,
    status = "ApiKeyRefStatus",
    derive = "PartialEq",
    doc = "One Anthropic API key for one service: where it is, who it serves, and when it is to be replaced.",
    shortname = "aikey",
    category = "anthropic",
    selectable = ".spec.workspaceRef.name",
    selectable = ".spec.workspaceRef.namespace",
    printcolumn(
        name = "Workspace",
        type_ = "string",
        json_path = ".spec.workspaceRef.name"
    ),
    printcolumn(name = "Service", type_ = "string", json_path = ".spec.service"),
    printcolumn(name = "Rotation", type_ = "string", json_path = ".status.rotation"),
    printcolumn(name = "Due", type_ = "string", json_path = ".status.dueAt"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(
    validation = Rule::new("!has(self.issuedAt) || !has(self.expiresAt) || self.issuedAt < self.expiresAt")
        .message("expiresAt must be after issuedAt: correct one of the two")
        .field_path(".expiresAt"),
    validation = Rule::new("!has(self.next) || self.next.secretKeyRef.name != self.source.secretKeyRef.name || self.next.secretKeyRef.key != self.source.secretKeyRef.key || (has(self.next.secretKeyRef.__namespace__) ? self.next.secretKeyRef.__namespace__ : '') != (has(self.source.secretKeyRef.__namespace__) ? self.source.secretKeyRef.__namespace__ : '')")
        .message("next is the same Secret and key as source: put the successor under another key or into another Secret")
        .field_path(".next"),
    validation = Rule::new("!has(self.target) || has(self.source.secretKeyRef.__namespace__) || self.target.secretName != self.source.secretKeyRef.name")
        .message("target is the source Secret itself: choose another name for the Secret to write")
        .field_path(".target.secretName"),
    validation = Rule::new("!has(self.target) || !has(self.next) || has(self.next.secretKeyRef.__namespace__) || self.target.secretName != self.next.secretKeyRef.name")
        .message("target is the Secret of next: choose another name for the Secret to write")
        .field_path(".target.secretName"),
)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyRefSpec {
    /// The Workspace the key belongs to. May be changed.
    pub workspace_ref: WorkspaceRef,
    /// Name of the one service that uses the key.
    #[schemars(schema_with = "schema::dns_label")]
    pub service: String,
    /// Anthropic's id of the present key, such as apikey_01Rj2N8SVvo6BePZj99NhmiT. Unset = the
    /// source Secret's annotation anthropic-rbac.io/key-id, else unknown.
    #[schemars(schema_with = "schema::key_id")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Workspace: the key is valid in one workspace. Organization: an identity-linked key that is
    /// valid in several. Unset = Workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "KeyScope")]
    pub scope: Option<KeyScope>,
    /// Where the key is.
    pub source: KeySource,
    /// The staged successor, which takes over from source in one step. Unset = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextKey>,
    /// The Secret to copy the key to, for a workload that calls Anthropic itself. Unset = the key
    /// is for the gateway only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<KeyTarget>,
    /// Whose requests the gateway sends with this key. Unset = nobody's, unless the Workspace's
    /// keys.defaultApiKeyRef names this object.
    #[schemars(schema_with = "schema::key_users")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_by: Option<Vec<Subject>>,
    /// When the present key was made. Unset = the source Secret's annotation
    /// anthropic-rbac.io/issued-at, else the Secret's creation or when the key was first seen.
    #[schemars(schema_with = "schema::point_in_time")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_at: Option<Time>,
    /// When the present key expires, as set at Anthropic. Unset = the source Secret's annotation
    /// anthropic-rbac.io/expires-at, else never.
    #[schemars(schema_with = "schema::point_in_time")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// When the key is to be replaced. May tighten what the Workspace sets, not loosen it. Unset =
    /// the Workspace's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// Active, or Revoked to take this key and every later version away at once. Unset = Active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "KeyState")]
    pub state: Option<KeyState>,
    /// Fingerprints of versions that are never to be used again, as status.fingerprint shows them:
    /// the first 16 hex digits of a version's SHA-256. The next version works by itself. Unset =
    /// none.
    #[schemars(schema_with = "schema::fingerprints")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_fingerprints: Option<Vec<String>>,
}

/// Where the issue time of a key is known from.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub enum IssuedAtOrigin {
    /// The source Secret's annotation.
    Annotation,
    /// The spec.
    Spec,
    /// The creation time of the source Secret.
    SecretCreation,
    /// When the operator first saw this version.
    FirstSeen,
}

/// Where a key stands between issue and replacement.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub enum RotationState {
    /// Nothing to do yet.
    Fresh,
    /// Due within the warning time.
    DueSoon,
    /// Past its date.
    Overdue,
    /// Past the expiry set at Anthropic.
    Expired,
    /// No key, or no date.
    Unknown,
}

/// What was observed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyRefStatus {
    /// The metadata.generation this status is about. -1 = not looked at yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, ResolvedRefs, Programmed, RotationDue, Unique, PreviousKeyRetirable; Stalled when
    /// this object must be edited.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// First 16 hex digits of the SHA-256 of the key in use. Unset = none is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Anthropic's id of the key in use, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Since when this version is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_from: Option<Time>,
    /// When the key in use was made, as far as known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_at: Option<Time>,
    /// Where issuedAt is known from: the source Secret's Annotation, the Spec, SecretCreation, or
    /// FirstSeen by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "IssuedAtOrigin")]
    pub issued_at_origin: Option<IssuedAtOrigin>,
    /// When the key in use expires at Anthropic, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// When the key becomes DueSoon: dueAt less the warning time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_at: Option<Time>,
    /// When the key is to be replaced: issuedAt plus the rotation period, or expiresAt if earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Time>,
    /// Fresh, DueSoon (within the warning time), Overdue, Expired, or Unknown (no key or no date).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RotationState")]
    pub rotation: Option<RotationState>,
    /// When this status next changes by itself. Unset = never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_transition: Option<Time>,
    /// Earlier versions, latest first: at most 5.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<PreviousVersion>,
    /// What is odd about this object, worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<FindingStatus>,
}

/// A version of the key that is no longer in use.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PreviousVersion {
    /// First 16 hex digits of its SHA-256.
    pub fingerprint: String,
    /// Anthropic's id of it, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Since when it was in use.
    pub active_from: Time,
    /// Since when it no longer is.
    pub active_until: Time,
}

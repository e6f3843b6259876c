//! The names this project puts on objects: API group, labels and annotations.
//! Holds names only; what they do is decided where they are read.

/// API group of the three kinds.
pub const GROUP: &str = "anthropic-rbac.io";

/// The served and stored version.
pub const VERSION: &str = "v1alpha1";

/// `apiVersion` of the three kinds.
pub const API_VERSION: &str = "anthropic-rbac.io/v1alpha1";

// Read from other people's objects.

/// Namespace label: the environment the namespace belongs to, compared with a
/// Workspace's `spec.environment`.
pub const ENVIRONMENT: &str = "anthropic-rbac.io/environment";

/// Secret label: `"true"` makes every data key of the Secret a gateway
/// credential that a `ClientKey` subject may name.
pub const CLIENT_KEY: &str = "anthropic-rbac.io/client-key";

/// Source Secret annotation: comma-separated namespaces whose ApiKeyRefs may
/// use the Secret, or `*` for all. Absent or malformed: its own namespace only.
pub const ALLOW_NAMESPACES: &str = "anthropic-rbac.io/allow-namespaces";

/// Source Secret annotation: comma-separated `namespace/name` of Workspaces
/// whose gateway Secret may receive the key. Absent or malformed: Workspaces of
/// the Secret's own namespace only.
pub const ALLOW_WORKSPACES: &str = "anthropic-rbac.io/allow-workspaces";

/// Source Secret annotation: Anthropic's id of the key the Secret holds now.
pub const KEY_ID: &str = "anthropic-rbac.io/key-id";

/// Source Secret annotation: RFC 3339 time at which the present key was made.
pub const ISSUED_AT: &str = "anthropic-rbac.io/issued-at";

/// Source Secret annotation: RFC 3339 time at which the present key expires.
pub const EXPIRES_AT: &str = "anthropic-rbac.io/expires-at";

// Written on our own objects.

/// Output annotation: hex SHA-256 of the output's content.
pub const CONTENT_SHA256: &str = "anthropic-rbac.io/content-sha256";

/// Target Secret annotation: name of the deleted ApiKeyRef with
/// `deletionPolicy: Retain` that left it behind.
pub const RETAINED_BY: &str = "anthropic-rbac.io/retained-by";

/// Output label: the Workspace an object was rendered for.
pub const WORKSPACE: &str = "anthropic-rbac.io/workspace";

/// Annotation on Secrets we write: what must be remembered about each source
/// (uid, resourceVersion, digest, first seen), so that a restart reads nothing
/// that has not moved and lost status resets no rotation clock.
pub const KEY_VERSIONS: &str = "anthropic-rbac.io/key-versions";

/// Annotation on a policy's ConfigMap: fingerprints of the client keys in use, by the namespace
/// each belongs to. It is how a newcomer with the same client key is told from who uses it.
pub const CLIENT_KEYS: &str = "anthropic-rbac.io/client-keys";

/// Annotation on a policy's ConfigMap: ids of blocked client keys, by the blocked Secret. While
/// that Secret cannot be read, they stay blocked.
pub const BLOCKED_CLIENT_KEYS: &str = "anthropic-rbac.io/blocked-client-keys";

/// Prefix of the Pod annotations `PREFIX/WORKSPACE.GATEWAY`: hex SHA-256 of the files, among those
/// written for the gateway, that the pod mounts, as they were when its kubelet was last hurried.
pub const HURRIED_FOR: &str = "content.anthropic-rbac.io";

/// Pod annotation: RFC 3339 time at which its kubelet was last hurried.
pub const HURRIED_AT: &str = "anthropic-rbac.io/hurried-at";

/// Well-known label key for the tool that manages an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Well-known label key for the application an object belongs to.
pub const PART_OF: &str = "app.kubernetes.io/part-of";

/// Value of [`MANAGED_BY`] and [`PART_OF`], and the field manager of our writes.
pub const NAME: &str = "anthropic-rbac";

/// Namespace that the manifests put the operator into. Its ServiceAccount is called [`NAME`] in
/// whichever it is.
pub const OPERATOR_NAMESPACE: &str = "anthropic-rbac-system";

//! Condition types and their reasons: the words that users alert on, so they do not change.
//! Names only, a line each on the cause; when each applies is decided where statuses are planned.

/// Everything asked for is so: `ResolvedRefs` and `Programmed` hold.
pub const READY: &str = "Ready";
/// Workspace: the spec makes sense as a whole.
pub const ACCEPTED: &str = "Accepted";
/// RoleBinding, ApiKeyRef: everything the object refers to is there and may be used.
pub const RESOLVED_REFS: &str = "ResolvedRefs";
/// What follows from the object is written, and loaded as far as pods are looked at.
pub const PROGRAMMED: &str = "Programmed";
/// RoleBinding: the grant holds now.
pub const ACTIVE: &str = "Active";
/// ApiKeyRef: the key is to be replaced. Never changes `Ready` by itself.
pub const ROTATION_DUE: &str = "RotationDue";
/// ApiKeyRef: no other service and no other workspace uses the same key.
pub const UNIQUE: &str = "Unique";
/// ApiKeyRef: nothing uses the previous version any more, so it may be disabled at Anthropic.
pub const PREVIOUS_KEY_RETIRABLE: &str = "PreviousKeyRetirable";
/// Set only while it is true: this very object must be edited before anything can get better.
pub const STALLED: &str = "Stalled";

/// Every type above.
pub const OURS: [&str; 9] = [
    READY,
    ACCEPTED,
    RESOLVED_REFS,
    PROGRAMMED,
    ACTIVE,
    ROTATION_DUE,
    UNIQUE,
    PREVIOUS_KEY_RETIRABLE,
    STALLED,
];

/// Why a condition is as it is.
pub mod reason {
    use crate::policy::rotation::State;

    /// Those that resolving gives.
    pub use crate::policy::resolve::reason::*;

    // Any condition.

    /// It cannot be told.
    pub const UNKNOWN: &str = "Unknown";

    // Ready.

    /// Everything asked for is so.
    pub const READY: &str = "Ready";

    // Accepted.

    /// The spec makes sense as a whole.
    pub const ACCEPTED: &str = "Accepted";
    /// The spec contradicts itself, or was stored under an older schema that allowed more.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// A gateway of this type cannot hold what the spec asks for.
    pub const UNSUPPORTED_GATEWAY: &str = "UnsupportedGateway";

    // ResolvedRefs.

    /// Everything the object refers to is there and may be used.
    pub const RESOLVED_REFS: &str = "ResolvedRefs";
    /// There is no Workspace of that name in this namespace.
    pub const WORKSPACE_NOT_FOUND: &str = "WorkspaceNotFound";
    /// No Secret of that name with the client-key label is in this namespace.
    pub const CLIENT_KEY_NOT_FOUND: &str = "ClientKeyNotFound";
    /// The client key is too short, too long, or of a shape reserved for other credentials.
    pub const INVALID_CLIENT_KEY: &str = "InvalidClientKey";
    /// The source Secret is missing from this namespace.
    pub const SOURCE_NOT_FOUND: &str = "SourceNotFound";
    /// The source Secret lacks the data key.
    pub const SOURCE_KEY_MISSING: &str = "SourceKeyMissing";
    /// The source's value is not one Anthropic API key on one line, or is of a kind that must not
    /// reach a workload.
    pub const INVALID_KEY: &str = "InvalidKey";
    /// The operator may not touch Secrets in that namespace.
    pub const SECRET_ACCESS_DENIED: &str = "SecretAccessDenied";

    // Programmed.

    /// What follows from the object is written.
    pub const PROGRAMMED: &str = "Programmed";
    /// An object of the output's name is there already and was not made by this operator.
    pub const NOT_OURS: &str = "NotOurs";
    /// Another ApiKeyRef already writes that target.
    pub const TARGET_CONFLICT: &str = "TargetConflict";
    /// Some gateway pods have not loaded the present files.
    pub const NOT_LOADED: &str = "NotLoaded";
    /// The Workspace has more subjects than its outputs can hold.
    pub const WORKSPACE_FULL: &str = "WorkspaceFull";
    /// The API server refused a write.
    pub const WRITE_FAILED: &str = "WriteFailed";
    /// The key, or this version of it, is revoked, as asked for.
    pub const REVOKED: &str = "Revoked";
    /// The key is overdue and was taken away until it is replaced.
    pub const SUSPENDED: &str = "Suspended";
    /// The Workspace is Disabled, so its keys are taken away.
    pub const WORKSPACE_DISABLED: &str = "WorkspaceDisabled";

    // Active.

    /// The grant holds now. Before `notBefore` the reason is [`PENDING`].
    pub const ACTIVE: &str = "Active";
    /// The end has passed: of the grant, or of the key at Anthropic.
    pub const EXPIRED: &str = "Expired";
    /// The object says `state: Disabled`.
    pub const DISABLED: &str = "Disabled";

    // RotationDue; [`EXPIRED`] and [`UNKNOWN`] as well.

    /// Nothing to do yet.
    pub const FRESH: &str = State::Fresh.name();
    /// Due within the warning time.
    pub const DUE_SOON: &str = State::DueSoon.name();
    /// Past its date.
    pub const OVERDUE: &str = State::Overdue.name();

    // Unique.

    /// No other service and no other workspace uses the same key.
    pub const UNIQUE: &str = "Unique";
    /// Another service of the same workspace uses the same key.
    pub const SHARED_KEY: &str = "SharedKey";
    /// Another workspace already uses the same key.
    pub const KEY_IN_ANOTHER_WORKSPACE: &str = "KeyInAnotherWorkspace";

    // PreviousKeyRetirable; [`NOT_LOADED`] as well.

    /// Nothing uses the previous version any more.
    pub const RETIRABLE: &str = "Retirable";
    /// There is no previous version.
    pub const NO_PREVIOUS_KEY: &str = "NoPreviousKey";
}

//! Condition types, their reasons and the reasons of Events: the words that users alert on, so
//! they do not change. One table, so that no word exists without cause and fix; when each applies
//! is decided where statuses are planned.

use crate::policy::explain::{Explanation, reasons};

macro_rules! types {
    ($($name:ident = $value:literal, $place:literal, $cause:literal, $fix:literal;)*) => {
        $(
            #[doc = $cause]
            pub const $name: &str = $value;
        )*

        /// Every type above.
        pub const OURS: &[&str] = &[$($name),*];

        /// What each of them means when it is not as wanted.
        pub const TYPES: &[Explanation] = &[
            $(Explanation { name: $name, place: $place, cause: $cause, fix: $fix }),*
        ];
    };
}

types! {
    READY = "Ready", "condition of every kind",
        "Everything asked for is so: ResolvedRefs and Programmed hold.",
        "While it is False, its reason and message say what is missing; explain that reason.";
    ACCEPTED = "Accepted", "condition of a Workspace",
        "The spec makes sense as a whole.",
        "While it is False, correct the field that its message names.";
    RESOLVED_REFS = "ResolvedRefs", "condition of a RoleBinding or ApiKeyRef",
        "Everything the object refers to is there and may be used.",
        "While it is False, explain its reason.";
    PROGRAMMED = "Programmed", "condition of every kind",
        "What follows from the object is written, and loaded as far as pods are looked at.",
        "While it is False, explain its reason.";
    ACTIVE = "Active", "condition of a RoleBinding",
        "The grant holds now.",
        "While it is False nothing may be wrong: its reason says whether it is early, late, disabled or refused.";
    ROTATION_DUE = "RotationDue", "condition of an ApiKeyRef",
        "The key is to be replaced; it never changes Ready by itself.",
        "Make a new key at Anthropic, put it into the source, and disable the old one.";
    UNIQUE = "Unique", "condition of an ApiKeyRef",
        "No other service and no other workspace uses the same key.",
        "While it is False, make a key of its own for each service and workspace.";
    PREVIOUS_KEY_RETIRABLE = "PreviousKeyRetirable", "condition of an ApiKeyRef",
        "Nothing uses the previous version any more, so it may be disabled at Anthropic.",
        "Disable the previous version at Anthropic, by the keyId in status.previous.";
    PROMPT_PROJECTION = "PromptProjection", "condition of a Workspace with gateways",
        "Changes are hurried to the pods of its gateways; it never changes Ready.",
        "While it is False changes reach them as well, but later: explain its reason.";
    STALLED = "Stalled", "condition of every kind",
        "It is set only while this very object must be edited before anything can get better.",
        "Correct the field that its message names.";
}

/// Why a condition is as it is.
pub mod reason {
    use super::reasons;
    use crate::policy::explain::Explanation;
    use crate::policy::resolve::reason as resolving;
    use crate::policy::rotation::State;

    /// Those that resolving gives.
    pub use crate::policy::resolve::reason::*;

    /// All of them, with what each means.
    pub fn all() -> impl Iterator<Item = &'static Explanation> {
        resolving::ALL.iter().chain(ALL)
    }

    reasons! {
        UNKNOWN = "Unknown",
            "RotationDue or Unique of an ApiKeyRef",
            "It cannot be told: no version is in use, or no date of issue is known.",
            "Put a key into the source, and set spec.issuedAt or annotate the source Secret with anthropic-rbac.io/issued-at.";

        READY = "Ready", "Ready of every kind",
            "Everything asked for is so.", "Nothing is to be done.";

        ACCEPTED = "Accepted", "Accepted of a Workspace",
            "The spec makes sense as a whole.", "Nothing is to be done.";
        INVALID_SPEC = "InvalidSpec", "Stalled of every kind",
            "The spec contradicts itself, or was stored under an older schema that allowed more; it grants nothing.",
            "Correct the field that the message names; 'anthropic-rbac render -f FILE' says what is wrong before it is applied.";
        UNSUPPORTED_GATEWAY = "UnsupportedGateway", "Programmed of a Workspace",
            "A gateway of this type cannot hold what the spec asks for.",
            "Remove the gateway from spec.gateways, or use a release that renders it.";

        RESOLVED_REFS = "ResolvedRefs", "ResolvedRefs of a RoleBinding or ApiKeyRef",
            "Everything the object refers to is there and may be used.",
            "Nothing is to be done.";
        WORKSPACE_NOT_FOUND = "WorkspaceNotFound", "ResolvedRefs of a RoleBinding or ApiKeyRef",
            "There is no Workspace of that name in this namespace.",
            "Create it, or correct spec.workspaceRef: a Workspace elsewhere needs its namespace.";
        CLIENT_KEY_NOT_FOUND = "ClientKeyNotFound", "problems of a RoleBinding",
            "No Secret of that name with the client-key label is in this namespace.",
            "Create the Secret, and label it anthropic-rbac.io/client-key: \"true\" if its keys are for the gateway.";
        INVALID_CLIENT_KEY = "InvalidClientKey", "problems of a RoleBinding",
            "A client key is too short, too long, or of a shape reserved for other credentials; one such value refuses the whole Secret.",
            "Put only values of 32 to 256 visible ASCII characters there that start with neither sk-ant- nor ey.";
        SOURCE_NOT_FOUND = "SourceNotFound", "ResolvedRefs of an ApiKeyRef",
            "The source Secret is missing from this namespace; the last good version stays in use.",
            "Create the Secret, or correct spec.source.";
        SOURCE_KEY_MISSING = "SourceKeyMissing", "ResolvedRefs of an ApiKeyRef",
            "The source Secret lacks the data key; the last good version stays in use.",
            "Add the data key, or correct spec.source.secretKeyRef.key.";
        INVALID_KEY = "InvalidKey", "ResolvedRefs of an ApiKeyRef",
            "The source's value is not one Anthropic API key on one line, or is of a kind that must not reach a workload; the last good version stays in use.",
            "Put one API key of the form sk-ant-api… there: no Admin key, no scoped Enterprise key, no OAuth token.";
        SECRET_ACCESS_DENIED = "SecretAccessDenied", "ResolvedRefs of an ApiKeyRef, problems of a RoleBinding",
            "The operator may not touch Secrets in that namespace: by default it may nowhere.",
            "Have an administrator run the kubectl command of the message, which binds the ClusterRole anthropic-rbac-secrets there.";

        ISSUER_KEYS_NOT_FOUND = "IssuerKeysNotFound", "Programmed of a Workspace",
            "No usable public keys of an issuer are known, so the gateways refuse its tokens; everybody else is served.",
            "Put the issuer's JWKS document where jwksConfigMapRef looks for it, or let the operator read the cluster's own.";
        PROGRAMMED = "Programmed", "Programmed of every kind",
            "What follows from the object is written.", "Nothing is to be done.";
        NOT_OURS = "NotOurs", "Programmed of every kind",
            "An object of the output's name is there already and was not made by this operator, so it is left alone.",
            "Delete or rename that object, or name another target.";
        TARGET_CONFLICT = "TargetConflict", "Programmed of an ApiKeyRef",
            "Another ApiKeyRef already writes that target, and keeps it.",
            "Name another spec.target.secretName in one of the two.";
        NOT_LOADED = "NotLoaded", "Programmed of a Workspace, PreviousKeyRetirable of an ApiKeyRef",
            "Some gateway pods have not loaded the present files, two minutes after they were written.",
            "Do what the message says of the pod that it names; status.gateways lists the others.";
        WORKSPACE_FULL = "WorkspaceFull", "Programmed of a Workspace or RoleBinding",
            "The Workspace has more subjects than its outputs can hold; the namespace with the most of them loses first.",
            "Bind groups in place of single subjects, or split the Workspace.";
        WRITE_FAILED = "WriteFailed", "Programmed of every kind",
            "The API server refused a write.",
            "Do what its message says: most often a ClusterRole, a quota or an admission policy is in the way.";
        REVOKED = "Revoked", "Programmed and Ready of an ApiKeyRef",
            "The key, or this version of it, is revoked, as asked for, and taken out of gateway and target.",
            "If it should work again, put a new version into the source, or take back state: Revoked.";
        SUSPENDED = "Suspended", "ResolvedRefs and Programmed of an ApiKeyRef",
            "The key is overdue, its rotation says onOverdue: Suspend, and it was taken away until it is replaced.",
            "Make a new key at Anthropic, put it into the source, and set issuedAt.";
        WORKSPACE_DISABLED = "WorkspaceDisabled", "Ready of a Workspace, Programmed of an ApiKeyRef",
            "The Workspace is Disabled, so every request is denied and its keys are taken away.",
            "Set spec.state of the Workspace to Enabled, or leave it out.";

        ACTIVE = "Active", "Active of a RoleBinding",
            "The grant holds now.", "Nothing is to be done.";

        FRESH = State::Fresh.name(), "RotationDue of an ApiKeyRef",
            "The key is young enough.", "Nothing is to be done yet.";
        DUE_SOON = State::DueSoon.name(), "RotationDue of an ApiKeyRef",
            "The key is due within the warning time.",
            "Make a new key at Anthropic and put it into the source, or stage it with spec.next.";
        OVERDUE = State::Overdue.name(), "RotationDue of an ApiKeyRef",
            "The key is past its date.",
            "Make a new key at Anthropic, put it into the source, and disable the old one.";

        UNIQUE = "Unique", "Unique of an ApiKeyRef",
            "No other service and no other workspace uses the same key.",
            "Nothing is to be done.";
        SHARED_KEY = "SharedKey", "Unique of an ApiKeyRef",
            "Another service of the same workspace uses the same key; both work, but neither can be revoked or billed alone.",
            "Make one key for each service.";
        KEY_IN_ANOTHER_WORKSPACE = "KeyInAnotherWorkspace", "Unique and ResolvedRefs of an ApiKeyRef",
            "Another workspace already uses the same key and keeps it: a key works in one Anthropic workspace only.",
            "Make a key in this workspace, or set scope: Organization on both if Anthropic made the key so.";

        RETIRABLE = "Retirable", "PreviousKeyRetirable of an ApiKeyRef",
            "Nothing uses the previous version any more.",
            "Disable it at Anthropic, by the keyId in status.previous.";
        NO_PREVIOUS_KEY = "NoPreviousKey", "PreviousKeyRetirable of an ApiKeyRef",
            "There is no previous version.", "Nothing is to be done.";

        HURRIED = "Hurried", "PromptProjection of a Workspace",
            "The kubelets of the gateways' pods are told of every change.", "Nothing is to be done.";
        NO_POD_SELECTOR = "NoPodSelector", "PromptProjection of a Workspace",
            "A gateway does not say which pods are its own, so a change reaches them when their kubelet next looks, by default within 90 s.",
            "Set podSelector of the gateway to its pods' labels, and let the operator mark pods there.";
        POD_ACCESS_DENIED = "PodAccessDenied", "PromptProjection of a Workspace",
            "The operator may not look at the gateways' pods, or not mark them, so a change reaches them when their kubelet next looks, by default within 90 s.",
            "Bind the ClusterRole anthropic-rbac-gateway-pods in that namespace, with the command in the message, or remove podSelector.";
    }
}

/// Reasons of Events.
pub mod event {
    use super::reasons;

    reasons! {
        ROTATION_DUE_SOON = "RotationDueSoon", "Event of an ApiKeyRef",
            "The key is due for rotation within the warning time.",
            "Make a new key at Anthropic and put it into the source.";
        ROTATION_OVERDUE = "RotationOverdue", "Event of an ApiKeyRef",
            "The key was due for rotation.",
            "Make a new key at Anthropic, put it into the source, and disable the old version.";
        KEY_EXPIRED = "KeyExpired", "Event of an ApiKeyRef",
            "The key has expired at Anthropic and no longer works.",
            "Put a new key into the source.";
        ROTATED = "Rotated", "Event of an ApiKeyRef",
            "A new version took the place of the one before.",
            "Disable the version before at Anthropic once nothing uses it.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    fn all() -> impl Iterator<Item = &'static Explanation> {
        TYPES.iter().chain(reason::all()).chain(event::ALL)
    }

    #[test]
    fn every_name_is_camel_case_and_every_sentence_ends() {
        for Explanation {
            name, cause, fix, ..
        } in all()
        {
            assert!(
                name.starts_with(|c: char| c.is_ascii_uppercase())
                    && name.chars().all(|c| c.is_ascii_alphabetic()),
                "{name}"
            );
            assert!(cause.ends_with('.') && fix.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn no_reason_is_explained_twice_by_one_table() {
        let reasons: Vec<_> = reason::all().copied().collect();
        for table in [TYPES, event::ALL, &reasons] {
            let names: BTreeSet<_> = table.iter().map(|explained| explained.name).collect();
            assert_eq!(names.len(), table.len());
        }
    }

    fn sources(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).expect("a folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths
            .flat_map(|path| match path.is_dir() {
                true => sources(&path),
                false => vec![path],
            })
            .filter(|path| path.extension().is_some_and(|end| end == "rs"))
            .collect()
    }

    /// A reason is a constant of a table above wherever one is given: never a text of its own.
    #[test]
    fn whoever_gives_a_reason_takes_it_from_a_table() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        // Where a reason stands: after the condition's status, or first among what makes it.
        let places = [
            "Is::True, \"",
            "Is::False, \"",
            "Is::Unknown, \"",
            "Trouble::fault(\"",
            "Trouble::wanted(\"",
            "Unusable(\"",
            "reason: \"",
        ];
        let mut looked_at = 0;
        for folder in ["plan", "policy", "controller"] {
            for path in sources(&root.join(folder)) {
                if path.components().any(|part| part.as_os_str() == "tests")
                    || path.ends_with("tests.rs")
                {
                    continue;
                }
                let text = std::fs::read_to_string(&path).expect("text");
                let (code, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
                let words: Vec<&str> = code.split_whitespace().collect();
                let code = words.join(" ").replace("( ", "(");
                looked_at += code.matches("reason::").count();
                for place in places {
                    assert!(!code.contains(place), "{}: {place}", path.display());
                }
            }
        }
        assert!(looked_at > 40, "reasons are where they are looked for");
    }
}

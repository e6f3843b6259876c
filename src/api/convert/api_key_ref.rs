//! ApiKeyRef to key. Must not decide what becomes of its value.

use std::collections::BTreeSet;

use kube::api::ObjectMeta;

use super::fields::{ClientKeysOf, rotation, secret_key, subjects, time, workspace_ref};
use super::invalid;
use crate::api::{
    ApiKeyRefSpec, ApiKeyRefStatus, DeletionPolicy, IssuedAtOrigin, KeyScope, KeySource, KeyState,
    KeyTarget, NextKey, RotationState,
};
use crate::facts::{Invalid, KeyVersion};
use crate::policy::digest::Fingerprint;
use crate::policy::key::{ApiKey, DEFAULT_TARGET_KEY, Next, Scope, Target};
use crate::policy::name::Name;
use crate::policy::rotation::{Origin, State};

/// Kubernetes' finalizer of an object that goes after what it owns.
const FOREGROUND: &str = "foregroundDeletion";

/// The key a spec asks for.
pub fn convert(meta: &ObjectMeta, spec: &ApiKeyRefSpec) -> Result<ApiKey, Invalid> {
    let ApiKeyRefSpec {
        workspace_ref: workspace,
        service,
        key_id,
        scope,
        source: KeySource {
            secret_key_ref: source,
        },
        next,
        target,
        used_by,
        issued_at,
        expires_at,
        rotation: wish,
        state,
        revoked_fingerprints,
    } = spec;
    let fingerprint = |(i, text): (usize, &String)| {
        let field = || format!("spec.revokedFingerprints[{i}]");
        Fingerprint::parse(text).ok_or_else(|| invalid(field(), "want 16 lower-case hex digits"))
    };
    let retain = target
        .as_ref()
        .is_some_and(|target| target.deletion_policy == Some(DeletionPolicy::Retain));
    let revoked = revoked_fingerprints
        .iter()
        .flatten()
        .enumerate()
        .map(fingerprint);
    Ok(ApiKey {
        workspace: workspace_ref(meta, workspace),
        service: Name::from(&**service),
        key_id: key_id.as_deref().map(Name::from),
        scope: match scope {
            None | Some(KeyScope::Workspace) => Scope::Workspace,
            Some(KeyScope::Organization) => Scope::Organization,
        },
        source: secret_key(meta, source),
        next: next.as_ref().map(
            |NextKey {
                 secret_key_ref,
                 activate_at,
             }| Next {
                source: secret_key(meta, secret_key_ref),
                activate_at: time(activate_at.as_ref()),
            },
        ),
        target: target.as_ref().map(
            |KeyTarget {
                 secret_name,
                 key,
                 deletion_policy: _,
             }| Target {
                secret: Name::from(&**secret_name),
                key: Name::from(key.as_deref().unwrap_or(DEFAULT_TARGET_KEY)),
                retain,
            },
        ),
        used_by: subjects(
            meta,
            used_by.as_deref().unwrap_or_default(),
            "spec.usedBy",
            ClientKeysOf::OwnNamespace,
        )?,
        issued_at: time(issued_at.as_ref()),
        expires_at: time(expires_at.as_ref()),
        rotation: rotation(wish.as_ref(), "spec.rotation")?,
        revoked: *state == Some(KeyState::Revoked) || (waits_for_dependents(meta) && !retain),
        revoked_fingerprints: revoked.collect::<Result<BTreeSet<_>, _>>()?,
    })
}

/// Whether it is being deleted and waits for what it owns to go first: what goes must not be
/// made anew.
fn waits_for_dependents(meta: &ObjectMeta) -> bool {
    let mut finalizers = meta.finalizers.iter().flatten();
    meta.deletion_timestamp.is_some() && finalizers.any(|name| name == FOREGROUND)
}

/// The versions a status remembers, latest first, the one in use among them.
pub fn versions(status: &ApiKeyRefStatus) -> Vec<KeyVersion> {
    let name = |id: &Option<String>| id.as_deref().map(Name::from);
    let present = status.fingerprint.as_deref().and_then(Fingerprint::parse);
    let present = present
        .zip(status.active_from.as_ref())
        .map(|(fingerprint, from)| KeyVersion {
            fingerprint,
            first_seen: from.0,
            active_until: None,
            key_id: name(&status.key_id),
            issued: status
                .issued_at
                .as_ref()
                .zip(status.issued_at_origin)
                .map(|(at, origin)| (at.0, origin.into())),
            expires: time(status.expires_at.as_ref()),
        });
    let previous = status.previous.iter().filter_map(|version| {
        Some(KeyVersion {
            fingerprint: Fingerprint::parse(&version.fingerprint)?,
            first_seen: version.active_from.0,
            active_until: Some(version.active_until.0),
            key_id: name(&version.key_id),
            issued: None,
            expires: None,
        })
    });
    present.into_iter().chain(previous).collect()
}

impl From<IssuedAtOrigin> for Origin {
    fn from(origin: IssuedAtOrigin) -> Self {
        match origin {
            IssuedAtOrigin::Annotation => Self::Annotation,
            IssuedAtOrigin::Spec => Self::Spec,
            IssuedAtOrigin::SecretCreation => Self::SecretCreation,
            IssuedAtOrigin::FirstSeen => Self::FirstSeen,
        }
    }
}

impl From<Origin> for IssuedAtOrigin {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Annotation => Self::Annotation,
            Origin::Spec => Self::Spec,
            Origin::SecretCreation => Self::SecretCreation,
            Origin::FirstSeen => Self::FirstSeen,
        }
    }
}

impl From<RotationState> for State {
    fn from(state: RotationState) -> Self {
        match state {
            RotationState::Fresh => Self::Fresh,
            RotationState::DueSoon => Self::DueSoon,
            RotationState::Overdue => Self::Overdue,
            RotationState::Expired => Self::Expired,
            RotationState::Unknown => Self::Unknown,
        }
    }
}

impl From<State> for RotationState {
    fn from(state: State) -> Self {
        match state {
            State::Fresh => Self::Fresh,
            State::DueSoon => Self::DueSoon,
            State::Overdue => Self::Overdue,
            State::Expired => Self::Expired,
            State::Unknown => Self::Unknown,
        }
    }
}

//! Fields that several kinds share: references, subjects, rotation, models, times.
//! Must not know what the kinds are for.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use kube::api::ObjectMeta;
use kube::core::object::HasStatus;

use super::invalid;
use super::status::{ReportsConditions, mark};
use crate::api::{Guarded, OnOverdue, Rotation, SecretKeyRef, Subject, SubjectKind, WorkspaceRef};
use crate::facts::{Invalid, Observed};
use crate::policy::digest::Digest;
use crate::policy::key::SecretKey;
use crate::policy::model::{ModelPattern, ModelSet};
use crate::policy::name::{Name, NamespacedName, check_name};
use crate::policy::rotation::RotationWish;
use crate::policy::subject::{Subject as Known, SubjectRef};

/// The parts every kind has; `None` without a name or namespace.
pub fn observed<K, T>(
    object: &Guarded<K>,
    spec: impl FnOnce(&K) -> Result<T, Invalid>,
) -> Option<Observed<T>>
where
    K: Resource + HasStatus,
    K::Status: ReportsConditions,
{
    let meta = object.meta();
    let spec = match &object.0 {
        Ok(object) => spec(object),
        Err(broken) => {
            let message = format!("{}; correct the object", broken.error);
            Err(invalid("spec", message))
        }
    };
    Some(Observed {
        name: NamespacedName::new(meta.namespace.as_deref()?, meta.name.as_deref()?),
        uid: meta.uid.as_deref().map(Name::from),
        generation: meta.generation,
        created: time(meta.creation_timestamp.as_ref()),
        spec,
        status: object.status().map(mark).unwrap_or_default(),
    })
}

/// An instant.
pub fn time(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.0)
}

/// The Workspace an object refers to.
pub fn workspace_ref(meta: &ObjectMeta, reference: &WorkspaceRef) -> NamespacedName {
    NamespacedName::new(
        namespace_or_own(meta, reference.namespace.as_deref()),
        &*reference.name,
    )
}

/// A Secret's data key.
pub fn secret_key(meta: &ObjectMeta, reference: &SecretKeyRef) -> SecretKey {
    let SecretKeyRef {
        name,
        key,
        namespace,
    } = reference;
    SecretKey {
        namespace: namespace_or_own(meta, namespace.as_deref()),
        name: Name::from(&**name),
        key: Name::from(&**key),
    }
}

/// Where a ClientKey's Secret may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ClientKeysOf {
    /// In the object's own namespace: nobody reads another's credentials by naming them.
    OwnNamespace,
    /// Anywhere: blocking is all that is done with them.
    AnyNamespace,
}

/// The subjects of a list.
pub fn subjects(
    meta: &ObjectMeta,
    subjects: &[Subject],
    field: &str,
    client_keys: ClientKeysOf,
) -> Result<Vec<SubjectRef>, Invalid> {
    let mut converted = Vec::with_capacity(subjects.len());
    for (i, named) in subjects.iter().enumerate() {
        let field = format!("{field}[{i}]");
        let own = client_keys == ClientKeysOf::OwnNamespace && named.kind == SubjectKind::ClientKey;
        if own && named.namespace.is_some() && named.namespace != meta.namespace {
            let fix = "a ClientKey's Secret must be in the namespace of this object";
            return Err(invalid(format!("{field}.namespace"), fix));
        }
        subject(meta, named, &field, &mut converted)?;
    }
    Ok(converted)
}

fn subject(
    meta: &ObjectMeta,
    subject: &Subject,
    field: &str,
    into: &mut Vec<SubjectRef>,
) -> Result<(), Invalid> {
    let Subject {
        kind,
        name,
        namespace,
        issuer,
        sha256,
    } = subject;
    let name = || {
        let name = name
            .as_deref()
            .ok_or_else(|| invalid(format!("{field}.name"), "is missing"))?;
        check_name(name).map_err(|why| invalid(format!("{field}.name"), why))?;
        Ok(Name::from(name))
    };
    let issuer = || {
        let missing = || {
            invalid(
                format!("{field}.issuer"),
                "is missing; name one of the Workspace's issuers",
            )
        };
        issuer.as_deref().map(Name::from).ok_or_else(missing)
    };
    into.push(match (kind, sha256) {
        (SubjectKind::ServiceAccount, _) => {
            let namespace = namespace_or_own(meta, namespace.as_deref());
            SubjectRef::Known(Known::ServiceAccount(NamespacedName::new(
                namespace,
                name()?,
            )))
        }
        (SubjectKind::User, _) => SubjectRef::Known(Known::User {
            issuer: issuer()?,
            name: name()?,
        }),
        (SubjectKind::Group, _) => SubjectRef::Known(Known::Group {
            issuer: issuer()?,
            name: name()?,
        }),
        (SubjectKind::ClientKey, None) => SubjectRef::ClientKeySecret(NamespacedName::new(
            namespace_or_own(meta, namespace.as_deref()),
            name()?,
        )),
        (SubjectKind::ClientKey, Some(digests)) => {
            for digest in digests {
                let digest = Digest::parse(digest).ok_or_else(|| {
                    invalid(
                        format!("{field}.sha256"),
                        "want 64 lower-case hex digits each",
                    )
                })?;
                into.push(SubjectRef::Known(Known::ClientKey(digest)));
            }
            return Ok(());
        }
    });
    Ok(())
}

/// A rotation wish.
pub fn rotation(rotation: Option<&Rotation>, field: &str) -> Result<RotationWish, Invalid> {
    let Some(Rotation {
        period_days,
        warn_days,
        on_overdue,
    }) = rotation
    else {
        return Ok(RotationWish::default());
    };
    let days = |days: Option<i64>, name: &str, least: u32| match days.map(u32::try_from) {
        None => Ok(None),
        Some(Ok(days)) if days >= least => Ok(Some(days)),
        Some(_) => Err(invalid(
            format!("{field}.{name}"),
            format!("must be at least {least}"),
        )),
    };
    Ok(RotationWish {
        period_days: days(*period_days, "periodDays", 1)?,
        warn_days: days(*warn_days, "warnDays", 0)?,
        suspend: on_overdue.map(|on_overdue| match on_overdue {
            OnOverdue::Flag => false,
            OnOverdue::Suspend => true,
        }),
    })
}

/// A model list.
pub fn models(models: Option<&Vec<String>>, field: &str) -> Result<Option<ModelSet>, Invalid> {
    let parse = |(i, text): (usize, &String)| {
        ModelPattern::parse(text).map_err(|why| invalid(format!("{field}[{i}]"), why))
    };
    let models = models.map(|models| models.iter().enumerate().map(parse).collect());
    models.transpose()
}

/// A positive limit.
pub fn limit<L>(value: Option<i64>, field: impl FnOnce() -> String) -> Result<Option<L>, Invalid>
where
    L: TryFrom<i64>,
    L::Error: ToString,
{
    let limit =
        value.map(|value| L::try_from(value).map_err(|why| invalid(field(), why.to_string())));
    limit.transpose()
}

/// The object's own namespace where none is named.
pub fn namespace_or_own(meta: &ObjectMeta, namespace: Option<&str>) -> Name {
    Name::from(namespace.or(meta.namespace.as_deref()).unwrap_or_default())
}

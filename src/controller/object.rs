//! Objects by kind and name, the paths they live under, and versions of them.
//! Must not know what is in them.

use std::fmt;

use kube::api::ObjectMeta;

use crate::api::{GROUP, VERSION};
use crate::facts::{OutputId, OutputKind};
use crate::policy::finding::Kind;
use crate::policy::name::NamespacedName;

/// Kinds that are watched, written, or both.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ObjectKind {
    Workspace,
    RoleBinding,
    ApiKeyRef,
    Namespace,
    ConfigMap,
    Secret,
    Pod,
    Event,
}

/// One object.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its name; a Namespace has an empty namespace.
    pub name: NamespacedName,
}

/// A resourceVersion as a number, so that of two it can be told which is later. The API server
/// takes them from one counter; should one ever not be a number, it is `None` and nothing is
/// concluded from it.
pub type Version = Option<u64>;

/// The version of an object.
pub fn version(meta: &ObjectMeta) -> Version {
    meta.resource_version.as_deref()?.parse().ok()
}

// === impl ObjectKind ===

impl ObjectKind {
    /// Those that requests are made for; Namespaces are only watched.
    pub const WRITTEN: [Self; 7] = [
        Self::Workspace,
        Self::RoleBinding,
        Self::ApiKeyRef,
        Self::ConfigMap,
        Self::Secret,
        Self::Pod,
        Self::Event,
    ];

    /// Its name, as in manifests and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Workspace => "Workspace",
            Self::RoleBinding => "RoleBinding",
            Self::ApiKeyRef => "ApiKeyRef",
            Self::Namespace => "Namespace",
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::Pod => "Pod",
            Self::Event => "Event",
        }
    }

    fn collection(self, namespace: &str) -> String {
        let (group, plural) = match self {
            Self::Workspace => (format!("apis/{GROUP}/{VERSION}"), "workspaces"),
            Self::RoleBinding => (format!("apis/{GROUP}/{VERSION}"), "rolebindings"),
            Self::ApiKeyRef => (format!("apis/{GROUP}/{VERSION}"), "apikeyrefs"),
            Self::Namespace => return "/api/v1/namespaces".into(),
            Self::ConfigMap => ("api/v1".into(), "configmaps"),
            Self::Secret => ("api/v1".into(), "secrets"),
            Self::Pod => ("api/v1".into(), "pods"),
            Self::Event => ("apis/events.k8s.io/v1".into(), "events"),
        };
        format!("/{group}/namespaces/{namespace}/{plural}")
    }
}

impl From<Kind> for ObjectKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Workspace => Self::Workspace,
            Kind::RoleBinding => Self::RoleBinding,
            Kind::ApiKeyRef => Self::ApiKeyRef,
        }
    }
}

// === impl ObjectKey ===

impl ObjectKey {
    /// Names an object.
    pub fn new(kind: impl Into<ObjectKind>, name: &NamespacedName) -> Self {
        Self {
            kind: kind.into(),
            name: name.clone(),
        }
    }

    /// Names a Secret.
    pub fn secret(name: &NamespacedName) -> Self {
        Self::new(ObjectKind::Secret, name)
    }

    /// The path of its collection, to create it. `None` when its names could not be those of
    /// an object: they come from specs, and a `/` in one would lead somewhere else.
    pub fn collection(&self) -> Option<String> {
        let plain = is_path_segment(&self.name.namespace) && is_path_segment(&self.name.name);
        plain.then(|| self.kind.collection(&self.name.namespace))
    }

    /// Its path; `None` as for [`Self::collection`].
    pub fn path(&self) -> Option<String> {
        Some(format!("{}/{}", self.collection()?, self.name.name))
    }
}

impl From<&OutputId> for ObjectKey {
    fn from(id: &OutputId) -> Self {
        let kind = match id.kind {
            OutputKind::ConfigMap => ObjectKind::ConfigMap,
            OutputKind::Secret => ObjectKind::Secret,
        };
        Self::new(kind, &id.name)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.name)
    }
}

/// Of the characters that names of objects are made of, and no way up.
fn is_path_segment(text: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'.');
    !text.is_empty() && text.bytes().all(allowed) && !text.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_the_path_of_its_kind() {
        let path =
            |kind: ObjectKind| ObjectKey::new(kind, &NamespacedName::new("ns", "a.b")).path();
        let paths = [
            ObjectKind::ConfigMap,
            ObjectKind::Workspace,
            ObjectKind::Event,
        ]
        .map(path);
        assert_eq!(
            paths.map(Option::unwrap),
            [
                "/api/v1/namespaces/ns/configmaps/a.b",
                "/apis/anthropic-rbac.io/v1alpha1/namespaces/ns/workspaces/a.b",
                "/apis/events.k8s.io/v1/namespaces/ns/events/a.b",
            ]
        );
    }

    #[test]
    fn a_name_that_leads_elsewhere_has_no_path() {
        for bad in [
            "",
            "..",
            "a/b",
            "a%2fb",
            "a?b",
            "A",
            "../../kube-system/secrets/x",
            "a b",
        ] {
            assert_eq!(
                ObjectKey::secret(&NamespacedName::new("ns", bad)).path(),
                None,
                "{bad:?}"
            );
            assert_eq!(
                ObjectKey::secret(&NamespacedName::new(bad, "a")).path(),
                None,
                "{bad:?}"
            );
        }
    }
}

//! Which of the many documents of a folder concern us, told by apiVersion and kind.
//! Must not look at anything else of a document.

use serde_json::Value;

use super::fault::Fault;
use super::path::FieldPath;
use crate::api::metadata::{API_VERSION, GROUP, VERSION};
use crate::policy::finding::Kind;
use crate::policy::nearest::{nearest, suggestion};

/// What a document is to us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sort {
    /// One of our objects.
    Ours(Kind),
    /// A list of objects: `v1` List, or one of our kinds' own lists.
    List,
    /// A core Namespace.
    Namespace,
    /// A core Secret.
    Secret,
    /// A core ConfigMap: an issuer may have its public keys in it.
    ConfigMap,
    /// Input for kustomize, which is not what it makes of it.
    Kustomization,
    /// Something that means to be ours and is not.
    Mistaken(Fault),
    /// Nothing of ours.
    Other,
}

/// The kinds of our group.
pub const KINDS: [Kind; 3] = [Kind::Workspace, Kind::RoleBinding, Kind::ApiKeyRef];

/// Tells what a document is.
pub fn sort(value: &Value) -> Sort {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let (api_version, kind) = (
        text("apiVersion").unwrap_or_default(),
        text("kind").unwrap_or_default(),
    );
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    match (group, version, kind) {
        (GROUP, ..) => of_our_group(value, version, kind),
        ("", "v1", "List") => list(value),
        ("", "v1", "Namespace") => Sort::Namespace,
        ("", "v1", "Secret") => Sort::Secret,
        ("", "v1", "ConfigMap") => Sort::ConfigMap,
        ("kustomize.config.k8s.io", ..) => Sort::Kustomization,
        _ if value.is_object() => misspelt(api_version, group, kind),
        _ => no_object(value),
    }
}

fn list(value: &Value) -> Sort {
    match value.get("items") {
        None | Some(Value::Null | Value::Array(_)) => Sort::List,
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            mistaken("items", "must be a list of objects".to_owned())
        }
    }
}

/// An item of a list of one kind need not repeat what it is: kubectl and the API server know.
pub fn say_kind(item: &mut Value, list: &Value) {
    let kind = list["kind"]
        .as_str()
        .and_then(|kind| kind.strip_suffix("List"));
    let kind = kind.filter(|kind| !kind.is_empty());
    if let (Some(kind), Value::Object(fields)) = (kind, item)
        && !fields.contains_key("kind")
        && !fields.contains_key("apiVersion")
    {
        fields.insert("kind".to_owned(), kind.into());
        fields.insert("apiVersion".to_owned(), list["apiVersion"].clone());
    }
}

/// What no tool could apply. Lists are patches for kustomize, unless objects of ours are in them.
fn no_object(value: &Value) -> Sort {
    let is_ours = |value: &Value| matches!(sort(value), Sort::Ours(_));
    let message = match value {
        Value::Array(values) if values.iter().any(is_ours) => {
            "is a list, which kubectl does not take: write '---' between objects, or kind: List around them"
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            "is only a value: remove it, or write an object with apiVersion, kind and metadata"
        }
        Value::Null | Value::Array(_) | Value::Object(_) => return Sort::Other,
    };
    Sort::Mistaken(Fault::of_value(FieldPath::root(), message))
}

fn of_our_group(value: &Value, version: &str, kind: &str) -> Sort {
    if version != VERSION {
        return mistaken(
            "apiVersion",
            format!("{GROUP}/{version} is not served; write {API_VERSION}"),
        );
    }
    let names = KINDS.map(Kind::name);
    let is_list = |name: &&str| kind.strip_suffix("List") == Some(*name);
    match KINDS.into_iter().find(|known| known.name() == kind) {
        Some(kind) => Sort::Ours(kind),
        None if names.iter().any(is_list) => list(value),
        None if kind.is_empty() => {
            mistaken("kind", format!("is required: one of {}", names.join(", ")))
        }
        None => mistaken(
            "kind",
            format!("unknown kind {kind}; {}", suggestion(kind, &names)),
        ),
    }
}

/// An object that is nearly ours would do nothing, and nobody would say so.
fn misspelt(api_version: &str, group: &str, kind: &str) -> Sort {
    let ours = KINDS.iter().any(|known| known.name() == kind);
    // Kubernetes has a RoleBinding of its own, so that name alone says nothing.
    let only_ours = ours && kind != Kind::RoleBinding.name();
    let message = if api_version.is_empty() && only_ours {
        format!("is required: {API_VERSION}")
    } else if group.is_empty() && (only_ours || ours && api_version == VERSION) {
        format!("{api_version} lacks the API group; write {API_VERSION}")
    } else if ours && !group.is_empty() && nearest(group, [GROUP]).is_some() {
        format!("unknown API group {group}; did you mean {API_VERSION}?")
    } else {
        return Sort::Other;
    };
    mistaken("apiVersion", message)
}

fn mistaken(field: &str, message: String) -> Sort {
    Sort::Mistaken(Fault::of_value(FieldPath::root().field(field), message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(api_version: &str, kind: &str) -> Sort {
        sort(&json!({"apiVersion": api_version, "kind": kind}))
    }

    #[test]
    fn ours_are_told_from_strangers() {
        assert_eq!(of(API_VERSION, "Workspace"), Sort::Ours(Kind::Workspace));
        assert_eq!(of(API_VERSION, "RoleBindingList"), Sort::List);
        assert_eq!(of("v1", "List"), Sort::List);
        assert_eq!(of("v1", "Secret"), Sort::Secret);
        assert_eq!(of("v1", "ConfigMap"), Sort::ConfigMap);
        assert_eq!(
            of("rbac.authorization.k8s.io/v1", "RoleBinding"),
            Sort::Other
        );
        assert_eq!(of("workspace.example.com/v1", "Workspace"), Sort::Other);
        assert_eq!(
            of("kustomize.config.k8s.io/v1beta1", "Kustomization"),
            Sort::Kustomization
        );
        assert_eq!(
            of("kustomize.toolkit.fluxcd.io/v1", "Kustomization"),
            Sort::Other
        );
        assert_eq!(sort(&json!({"kind": "RoleBinding"})), Sort::Other);
        assert_eq!(of("v1", "RoleBinding"), Sort::Other);
        for of_nobody in [
            json!(null),
            json!([]),
            json!([{"op": "add", "path": "/spec"}]),
        ] {
            assert_eq!(sort(&of_nobody), Sort::Other, "{of_nobody}");
        }
    }

    #[test]
    fn an_item_of_a_list_of_one_kind_need_not_say_its_own() {
        let of = |list: &str, mut item: Value| {
            say_kind(&mut item, &json!({"apiVersion": API_VERSION, "kind": list}));
            item
        };
        assert_eq!(
            of("WorkspaceList", json!({"spec": {}})),
            json!({"apiVersion": API_VERSION, "kind": "Workspace", "spec": {}})
        );
        for (list, item) in [
            ("List", json!({"spec": {}})),
            ("WorkspaceList", json!({"kind": "RoleBinding"})),
            ("WorkspaceList", json!({"apiVersion": "v1"})),
            ("WorkspaceList", json!("w")),
        ] {
            assert_eq!(of(list, item.clone()), item, "{list}");
        }
    }

    #[test]
    fn what_means_to_be_ours_is_not_passed_over() {
        let message = |sort| {
            let Sort::Mistaken(fault) = sort else {
                panic!("{sort:?}");
            };
            format!("{}: {}", fault.path, fault.message)
        };
        assert_eq!(
            message(of("anthropic-rbac.io/v1", "Workspace")),
            "apiVersion: anthropic-rbac.io/v1 is not served; write anthropic-rbac.io/v1alpha1"
        );
        assert_eq!(
            message(of(API_VERSION, "RoleBindings")),
            "kind: unknown kind RoleBindings; did you mean 'RoleBinding'?"
        );
        assert_eq!(
            message(of("antropic-rbac.io/v1alpha1", "RoleBinding")),
            "apiVersion: unknown API group antropic-rbac.io; did you mean anthropic-rbac.io/v1alpha1?"
        );
        assert!(
            message(sort(&json!({"kind": "ApiKeyRef"}))).starts_with("apiVersion: is required")
        );
        assert!(message(of(API_VERSION, "")).starts_with("kind: is required"));
        for kind in ["Workspace", "RoleBinding"] {
            assert_eq!(
                message(of("v1alpha1", kind)),
                "apiVersion: v1alpha1 lacks the API group; write anthropic-rbac.io/v1alpha1"
            );
        }
        let list = json!({"apiVersion": "v1", "kind": "List", "items": {}});
        assert_eq!(message(sort(&list)), "items: must be a list of objects");
        let ours = json!({"apiVersion": API_VERSION, "kind": "Workspace"});
        assert!(message(sort(&json!([1, ours]))).starts_with(": is a list, which kubectl"));
        for scalar in [json!("v1"), json!(1), json!(false)] {
            assert!(
                message(sort(&scalar)).starts_with(": is only a value"),
                "{scalar}"
            );
        }
    }
}

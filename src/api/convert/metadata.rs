//! Namespaces, Secrets and ConfigMaps by their metadata alone.
//! Must not see a Secret's data.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;
use kube::core::PartialObjectMeta;
use serde_json::Value;

use super::fields::time;
use super::notes::notes;
use crate::api::metadata::{
    CLIENT_KEY, GROUP, KEY_VERSIONS, MANAGED_BY, NAME, PART_OF, RETAINED_BY,
};
use crate::facts::{Heir, OtherOwner, OutputFacts, Ownership, SecretFacts};
use crate::policy::finding::Kind;
use crate::policy::name::Name;
use crate::policy::selector::Labels;

/// A namespace's labels.
pub fn namespace(object: &PartialObjectMeta<Namespace>) -> Option<(Name, Labels)> {
    let name = object.metadata.name.as_deref()?;
    let labels = object.metadata.labels.iter().flatten();
    let labels = labels
        .map(|(key, value)| (Name::from(&**key), Name::from(&**value)))
        .collect();
    Some((name.into(), labels))
}

/// A Secret by its metadata.
pub fn secret(meta: &ObjectMeta) -> SecretFacts {
    let label = |key: &str| meta.labels.as_ref().and_then(|labels| labels.get(key));
    let output = output(meta);
    SecretFacts {
        uid: Name::from(meta.uid.as_deref().unwrap_or_default()),
        resource_version: Name::from(meta.resource_version.as_deref().unwrap_or_default()),
        created: time(meta.creation_timestamp.as_ref()),
        is_client_key: label(CLIENT_KEY).is_some_and(|value| value == "true"),
        notes: notes(meta).map(Box::new),
        output: output.is_ours().then(|| Arc::new(output)),
        values: None,
    }
}

/// A ConfigMap or Secret by its metadata, as a place to write to.
pub fn output(meta: &ObjectMeta) -> OutputFacts {
    let annotations = meta.annotations.iter().flatten();
    let labels = meta.labels.iter().flatten();
    let is_ours = |key: &str| {
        [MANAGED_BY, PART_OF].contains(&key)
            || key
                .split_once('/')
                .is_some_and(|(prefix, _)| prefix == GROUP)
    };
    let (data_keys, tampered) = data_keys(meta);
    let memory = meta.annotations.as_ref().and_then(|a| a.get(KEY_VERSIONS));
    OutputFacts {
        uid: Name::from(meta.uid.as_deref().unwrap_or_default()),
        resource_version: Name::from(meta.resource_version.as_deref().unwrap_or_default()),
        owner: ownership(meta),
        other_owners: other_owners(meta),
        marks: labels
            .chain(annotations)
            .filter(|(key, _)| is_ours(key))
            .map(|(key, value)| (Name::from(&**key), Name::from(&**value)))
            .collect(),
        data_keys,
        tampered,
        memory: memory
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default(),
        written: written(meta),
    }
}

/// When anybody last changed an object, as the API server noted it.
fn written(meta: &ObjectMeta) -> Option<Timestamp> {
    let entries = meta.managed_fields.iter().flatten();
    time(entries.filter_map(|entry| entry.time.as_ref()).max())
}

/// When the operator last changed an object's status, as the API server noted it.
pub fn reported_at(meta: &ObjectMeta) -> Option<Timestamp> {
    let fields = meta.managed_fields.iter().flatten();
    let ours = fields.filter(|fields| {
        fields.manager.as_deref() == Some(NAME) && fields.subresource.as_deref() == Some("status")
    });
    time(ours.filter_map(|fields| fields.time.as_ref()).max())
}

fn ownership(meta: &ObjectMeta) -> Ownership {
    let controller = meta
        .owner_references
        .iter()
        .flatten()
        .find(|o| o.controller == Some(true));
    if let Some(owner) = controller {
        let group = owner.api_version.split('/').next();
        return match our_kind(&owner.kind).filter(|_| group == Some(GROUP)) {
            Some(kind) => Ownership::Controlled {
                kind,
                name: Name::from(&*owner.name),
                uid: Name::from(&*owner.uid),
                heirs: heirs(meta),
            },
            None => Ownership::Foreign,
        };
    }
    let annotations = meta.annotations.as_ref();
    match annotations.and_then(|annotations| annotations.get(RETAINED_BY)) {
        Some(name) => match heirs(meta) {
            heirs if heirs.is_empty() => Ownership::Retained(Name::from(&**name)),
            heirs => Ownership::Inherited(heirs),
        },
        None => Ownership::Foreign,
    }
}

fn is_heir(owner: &OwnerReference) -> bool {
    let ours = owner.api_version.split('/').next() == Some(GROUP);
    ours && owner.kind == Kind::ApiKeyRef.name() && owner.controller != Some(true)
}

fn heirs(meta: &ObjectMeta) -> Vec<Heir> {
    let heirs = meta.owner_references.iter().flatten();
    let heirs = heirs.filter(|owner| is_heir(owner)).map(|owner| Heir {
        name: Name::from(&*owner.name),
        uid: Name::from(&*owner.uid),
    });
    let sorted: BTreeSet<Heir> = heirs.collect();
    sorted.into_iter().collect()
}

fn our_kind(kind: &str) -> Option<Kind> {
    [Kind::Workspace, Kind::RoleBinding, Kind::ApiKeyRef]
        .into_iter()
        .find(|ours| ours.name() == kind)
}

fn other_owners(meta: &ObjectMeta) -> Vec<OtherOwner> {
    let others = meta
        .owner_references
        .iter()
        .flatten()
        .filter(|o| o.controller != Some(true) && !is_heir(o));
    others
        .map(|owner| OtherOwner {
            api_version: owner.api_version.clone(),
            kind: owner.kind.clone(),
            name: owner.name.clone(),
            uid: owner.uid.clone(),
        })
        .collect()
}

/// Every data key, and those that are not as we wrote them. The API server takes a field from
/// its manager when somebody else changes its value, so what we still manage is intact.
fn data_keys(meta: &ObjectMeta) -> (Vec<Name>, BTreeSet<Name>) {
    let mut managed: BTreeMap<Name, bool> = BTreeMap::new();
    for entry in meta.managed_fields.iter().flatten() {
        let by_us = entry.manager.as_deref() == Some(NAME);
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        for key in fields.into_iter().flat_map(field_names) {
            *managed.entry(key).or_default() |= by_us;
        }
    }
    let tampered = managed.iter().filter(|(_, by_us)| !**by_us);
    let tampered = tampered.map(|(key, _)| key.clone()).collect();
    (managed.into_keys().collect(), tampered)
}

/// The data keys among the fields of one manager: `{"f:data": {".": {}, "f:KEY": {}}}`.
fn field_names(fields: &Value) -> BTreeSet<Name> {
    let maps = ["f:data", "f:binaryData"]
        .iter()
        .filter_map(|map| fields.get(map)?.as_object());
    maps.flat_map(|map| map.keys())
        .filter_map(|key| key.strip_prefix("f:"))
        .map(Name::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn meta(value: Value) -> ObjectMeta {
        serde_json::from_value(value).expect("metadata")
    }

    #[test]
    fn an_object_is_ours_by_controller_or_annotation_and_by_nothing_else() {
        let owner = |api_version: &str, kind: &str, controller: bool| {
            let owner = json!({"apiVersion": api_version, "kind": kind, "name": "w", "uid": "u", "controller": controller});
            ownership(&meta(
                json!({"ownerReferences": [owner], "labels": {MANAGED_BY: NAME}}),
            ))
        };
        assert!(matches!(
            owner("anthropic-rbac.io/v1alpha1", "Workspace", true),
            Ownership::Controlled {
                kind: Kind::Workspace,
                ..
            }
        ));
        assert_eq!(
            owner("anthropic-rbac.io/v1alpha1", "Workspace", false),
            Ownership::Foreign
        );
        assert_eq!(owner("apps/v1", "Workspace", true), Ownership::Foreign);
        assert_eq!(
            owner("anthropic-rbac.io/v1alpha1", "Gateway", true),
            Ownership::Foreign
        );
        let retained = meta(json!({"annotations": {RETAINED_BY: "k"}}));
        assert_eq!(ownership(&retained), Ownership::Retained("k".into()));
    }

    #[test]
    fn a_target_that_lost_its_owner_is_its_heirs() {
        let heir = |name: &str| json!({"apiVersion": "anthropic-rbac.io/v1alpha1", "kind": "ApiKeyRef", "name": name, "uid": name});
        let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x"});
        let mut owner = heir("first");
        owner["controller"] = true.into();
        let annotations = json!({RETAINED_BY: "first"});
        let heirs: Vec<Heir> = ["a", "b"]
            .map(|name| Heir {
                name: name.into(),
                uid: name.into(),
            })
            .into();
        let orphan = meta(
            json!({"annotations": annotations, "ownerReferences": [heir("b"), other, heir("a")]}),
        );
        assert_eq!(ownership(&orphan), Ownership::Inherited(heirs.clone()));
        assert_eq!(other_owners(&orphan).len(), 1);
        let owned = meta(
            json!({"annotations": annotations, "ownerReferences": [heir("b"), owner, heir("a")]}),
        );
        let controlled = Ownership::Controlled {
            kind: Kind::ApiKeyRef,
            name: "first".into(),
            uid: "first".into(),
            heirs,
        };
        assert_eq!(ownership(&owned), controlled);
        // Owners alone do not make it ours.
        let foreign = meta(json!({"ownerReferences": [heir("a")]}));
        assert_eq!(ownership(&foreign), Ownership::Foreign);
    }

    #[test]
    fn a_status_is_as_old_as_what_the_operator_wrote_of_it() {
        let wrote = |manager: &str, subresource: &str, time: &str| json!({"manager": manager, "operation": "Apply", "subresource": subresource, "time": time});
        let reported_at = |entries: Value| reported_at(&meta(json!({"managedFields": entries})));
        let ours = wrote(NAME, "status", "2026-11-01T00:00:00Z");
        let others = wrote("kubectl-edit", "status", "2026-11-02T00:00:00Z");
        let spec = wrote(NAME, "", "2026-11-03T00:00:00Z");
        assert_eq!(
            reported_at(json!([others.clone(), ours, spec])),
            "2026-11-01T00:00:00Z".parse().ok()
        );
        assert_eq!(reported_at(json!([others])), None);
        assert_eq!(reported_at(json!([])), None);
    }

    #[test]
    fn an_output_is_as_old_as_what_anybody_wrote_of_it() {
        let wrote = |manager: &str, time: &str| json!({"manager": manager, "operation": "Update", "time": time});
        let written = |entries: Value| output(&meta(json!({"managedFields": entries}))).written;
        let ours = wrote(NAME, "2026-11-01T00:00:00Z");
        let others = wrote("kubectl-edit", "2026-11-02T00:00:00Z");
        assert_eq!(
            written(json!([others, ours])),
            "2026-11-02T00:00:00Z".parse().ok()
        );
        assert_eq!(written(json!([ours])), "2026-11-01T00:00:00Z".parse().ok());
        assert_eq!(written(json!([])), None);
    }

    #[test]
    fn somebody_elses_edit_is_told_from_the_field_managers() {
        let managed = |entries: Value| data_keys(&meta(json!({"managedFields": entries})));
        let entry = |manager: &str, fields: Value| json!({"manager": manager, "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields});
        let ours = entry(
            NAME,
            json!({"f:data": {".": {}, "f:policy.json": {}}, "f:metadata": {}}),
        );
        let label = entry(
            "kubectl-label",
            json!({"f:metadata": {"f:labels": {"f:x": {}}}}),
        );
        let names = |keys: Vec<Name>, tampered: BTreeSet<Name>| {
            let tampered: Vec<Name> = tampered.into_iter().collect();
            (keys.join(","), tampered.join(","))
        };
        let (keys, tampered) = managed(json!([ours, label]));
        assert_eq!(names(keys, tampered), ("policy.json".into(), "".into()));
        let edit = entry("kubectl-edit", json!({"f:data": {"f:policy.json": {}}}));
        let rest = entry(NAME, json!({"f:data": {".": {}}}));
        let (keys, tampered) = managed(json!([rest, edit]));
        assert_eq!(
            names(keys, tampered),
            ("policy.json".into(), "policy.json".into())
        );
        let extra = entry("kubectl-patch", json!({"f:data": {"f:more": {}}}));
        let (keys, tampered) = managed(json!([ours, extra]));
        assert_eq!(
            names(keys, tampered),
            ("more,policy.json".into(), "more".into())
        );
    }
}

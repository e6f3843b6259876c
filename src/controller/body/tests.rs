use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::*;
use crate::facts::{Heir, OtherOwner, OutputId, Ownership};
use crate::material::KeyMaterial;
use crate::policy::digest::Digest;
use crate::policy::finding::Kind;
use crate::policy::key::SecretKey;

const KEY: &[u8] = b"sk-ant-api03-EXAMPLE";

fn handle() -> KeyHandle {
    let source = SecretKey {
        namespace: "claude".into(),
        name: "source".into(),
        key: "api-key".into(),
    };
    KeyHandle {
        source,
        digest: Digest::of(KEY),
    }
}

fn vault() -> Vault {
    let mut vault = Vault::default();
    vault.insert(handle().source, KeyMaterial::new(KEY.to_vec()));
    vault
}

fn map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<Name, Name> {
    pairs.map(|(key, value)| (key.into(), value.into())).into()
}

fn owner() -> Owner {
    Owner::Controller {
        kind: Kind::ApiKeyRef,
        name: "prod".into(),
        uid: Some("uid-1".into()),
        heirs: Vec::new(),
    }
}

fn target(data: impl IntoIterator<Item = (&'static str, Content)>) -> Output {
    Output {
        id: OutputId::secret("search", "anthropic"),
        owner: owner(),
        labels: map([("app.kubernetes.io/managed-by", "anthropic-rbac")]),
        annotations: map([("anthropic-rbac.io/content-sha256", "ab")]),
        data: data
            .into_iter()
            .map(|(key, content)| (key.into(), content))
            .collect(),
        secret_type: None,
    }
}

fn policy() -> Output {
    let text = Content::Text("{}\n".into());
    Output {
        id: OutputId::config_map("claude", "a.policy"),
        ..target([("policy.json", text)])
    }
}

fn found() -> OutputFacts {
    OutputFacts {
        uid: "uid-2".into(),
        resource_version: "41".into(),
        owner: Ownership::Foreign,
        other_owners: Vec::new(),
        marks: BTreeMap::new(),
        data_keys: Vec::new(),
        tampered: BTreeSet::new(),
        memory: BTreeMap::new(),
        written: None,
    }
}

fn parsed(payload: &Payload) -> Json {
    serde_json::from_slice(payload.bytes()).expect("JSON")
}

fn our_reference() -> Json {
    json!({
        "apiVersion": "anthropic-rbac.io/v1alpha1", "kind": "ApiKeyRef", "name": "prod",
        "uid": "uid-1", "controller": true, "blockOwnerDeletion": false,
    })
}

#[test]
fn a_secret_is_created_whole_with_its_key_in_base64() {
    let mut output = target([("ANTHROPIC_API_KEY", Content::Key(handle()))]);
    output.secret_type = Some("anthropic-rbac.io/api-key".into());
    let body = create_body(&output, &vault()).expect("the key is in the vault");
    assert_eq!(
        parsed(&body),
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "anthropic-rbac.io/api-key",
            "metadata": {
                "name": "anthropic",
                "namespace": "search",
                "labels": {"app.kubernetes.io/managed-by": "anthropic-rbac"},
                "annotations": {"anthropic-rbac.io/content-sha256": "ab"},
                "ownerReferences": [our_reference()],
            },
            "data": {"ANTHROPIC_API_KEY": "c2stYW50LWFwaTAzLUVYQU1QTEU="},
        })
    );
}

#[test]
fn a_config_map_is_created_with_its_text_as_it_is() {
    let body = parsed(&create_body(&policy(), &Vault::default()).expect("no key needed"));
    assert_eq!(body["kind"], "ConfigMap");
    assert_eq!(body["data"], json!({"policy.json": "{}\n"}));
    assert_eq!(body.get("type"), None);
}

#[test]
fn a_patch_writes_removes_and_empties_and_does_not_mention_what_is_kept() {
    let output = target([
        ("A", Content::Key(handle())),
        ("B", Content::Emptied),
        ("C", Content::Kept(None)),
        ("D", Content::Text("plain".into())),
    ]);
    let body = patch_body(&output, &found(), &["E".into()], true, &vault()).expect("ready");
    assert_eq!(
        parsed(&body),
        json!({
            "metadata": {
                "resourceVersion": "41",
                "labels": {"app.kubernetes.io/managed-by": "anthropic-rbac"},
                "annotations": {"anthropic-rbac.io/content-sha256": "ab"},
                "ownerReferences": [our_reference()],
            },
            "data": {"A": "c2stYW50LWFwaTAzLUVYQU1QTEU=", "B": "", "D": "cGxhaW4=", "E": null},
        })
    );
}

#[test]
fn a_patch_of_labels_alone_says_nothing_of_data_and_needs_no_key() {
    let output = target([("A", Content::Key(handle()))]);
    let body = patch_body(&output, &found(), &[], false, &Vault::default()).expect("no key needed");
    assert_eq!(
        parsed(&body)
            .as_object()
            .expect("an object")
            .keys()
            .collect::<Vec<_>>(),
        ["metadata"]
    );
}

#[test]
fn a_config_map_patched_with_data_loses_all_binary_data() {
    let patch = |data| {
        parsed(&patch_body(&policy(), &found(), &[], data, &Vault::default()).expect("ready"))
    };
    assert_eq!(patch(true).get("binaryData"), Some(&Json::Null));
    assert_eq!(patch(false).get("binaryData"), None);
}

#[test]
fn owners_that_are_not_ours_survive() {
    let other = OtherOwner {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        name: "x".into(),
        uid: "uid-3".into(),
    };
    let found = OutputFacts {
        other_owners: vec![other],
        ..found()
    };
    let body =
        parsed(&patch_body(&policy(), &found, &[], false, &Vault::default()).expect("ready"));
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "uid-3"});
    assert_eq!(
        body["metadata"]["ownerReferences"],
        json!([our_reference(), theirs])
    );
}

#[test]
fn heirs_are_owners_and_none_of_them_the_controller() {
    let heir = Heir {
        name: "next".into(),
        uid: "uid-9".into(),
    };
    let contested = Output {
        owner: Owner::Controller {
            kind: Kind::ApiKeyRef,
            name: "prod".into(),
            uid: Some("uid-1".into()),
            heirs: vec![heir],
        },
        annotations: map([("anthropic-rbac.io/retained-by", "prod")]),
        ..target([])
    };
    let found = OutputFacts {
        marks: map([("anthropic-rbac.io/retained-by", "prod")]),
        ..found()
    };
    let body =
        parsed(&patch_body(&contested, &found, &[], false, &Vault::default()).expect("ready"));
    let heir = json!({
        "apiVersion": "anthropic-rbac.io/v1alpha1", "kind": "ApiKeyRef", "name": "next",
        "uid": "uid-9", "blockOwnerDeletion": false,
    });
    assert_eq!(
        body["metadata"]["ownerReferences"],
        json!([our_reference(), heir])
    );
    let annotations = json!({"anthropic-rbac.io/retained-by": "prod"});
    assert_eq!(body["metadata"]["annotations"], annotations);
}

#[test]
fn what_is_left_behind_says_by_whom_and_what_is_taken_back_says_it_no_more() {
    let retained = Output {
        owner: Owner::Retained("prod".into()),
        ..target([])
    };
    let body =
        parsed(&patch_body(&retained, &found(), &[], false, &Vault::default()).expect("ready"));
    assert_eq!(body["metadata"]["ownerReferences"], json!([]));
    assert_eq!(
        body["metadata"]["annotations"]["anthropic-rbac.io/retained-by"],
        "prod"
    );
    let found = OutputFacts {
        marks: map([("anthropic-rbac.io/retained-by", "prod")]),
        ..found()
    };
    let body =
        parsed(&patch_body(&target([]), &found, &[], false, &Vault::default()).expect("ready"));
    let annotations = json!({
        "anthropic-rbac.io/content-sha256": "ab", "anthropic-rbac.io/retained-by": null,
    });
    assert_eq!(body["metadata"]["annotations"], annotations);
}

#[test]
fn a_key_that_moved_or_is_in_the_wrong_place_is_not_written() {
    let output = target([("A", Content::Key(handle()))]);
    assert_eq!(
        create_body(&output, &Vault::default()).unwrap_err(),
        Unready::Moved(handle())
    );
    let mut other = Vault::default();
    other.insert(
        handle().source,
        KeyMaterial::new(b"sk-ant-api03-OTHER".to_vec()),
    );
    assert_eq!(
        create_body(&output, &other).unwrap_err(),
        Unready::Moved(handle())
    );
    let wrong = Output {
        id: OutputId::config_map("search", "anthropic"),
        ..output
    };
    assert_eq!(
        create_body(&wrong, &vault()).unwrap_err(),
        Unready::KeyInConfigMap
    );
}

#[test]
fn a_plan_from_files_is_not_written() {
    let owner = Owner::Controller {
        kind: Kind::ApiKeyRef,
        name: "prod".into(),
        uid: None,
        heirs: Vec::new(),
    };
    let output = Output { owner, ..policy() };
    assert_eq!(
        create_body(&output, &Vault::default()).unwrap_err(),
        Unready::NoUid
    );
}

#[test]
fn a_deletion_is_of_the_very_object_that_was_seen() {
    assert_eq!(
        parsed(&delete_body(&found())),
        json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": "uid-2", "resourceVersion": "41"},
        })
    );
}

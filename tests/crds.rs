//! The custom resource definitions, without an API server: what they accept and refuse, and that
//! the committed files are the generated ones.
//!
//! `tests/cases/crds/accepted` and `rejected` hold one object a file. A rejected one starts with
//! `# expect:` lines, each a part of what is said about it: by the API server, and here.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![cfg(feature = "operator")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anthropic_rbac::api::{ApiKeyRef, RoleBinding, Workspace, admission, crd};
use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

struct Case {
    name: String,
    object: Value,
    expected: Vec<String>,
}

fn cases(folder: &str) -> Vec<Case> {
    let folder = root().join("tests/cases/crds").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no cases in {}", folder.display());
    files
        .iter()
        .map(|file| {
            let text = fs::read_to_string(file).unwrap();
            Case {
                name: file.file_stem().unwrap().to_string_lossy().into_owned(),
                object: serde_saphyr::from_str(&text).unwrap(),
                expected: text
                    .lines()
                    .map_while(|line| line.strip_prefix("# expect: "))
                    .map(ToOwned::to_owned)
                    .collect(),
            }
        })
        .collect()
}

fn problems(object: &Value) -> Vec<String> {
    admission::admit(object)
        .err()
        .unwrap_or_default()
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// The object through its Rust type and back.
fn retyped(object: &Value) -> Value {
    let object = object.clone();
    let typed = match object["kind"].as_str().unwrap() {
        "Workspace" => serde_json::to_value(serde_json::from_value::<Workspace>(object).unwrap()),
        "RoleBinding" => {
            serde_json::to_value(serde_json::from_value::<RoleBinding>(object).unwrap())
        }
        "ApiKeyRef" => serde_json::to_value(serde_json::from_value::<ApiKeyRef>(object).unwrap()),
        other => panic!("unknown kind {other}"),
    };
    typed.unwrap()
}

/// The object with its times as the Rust type writes them: in UTC, to the second.
fn in_utc(value: &Value) -> Value {
    match value {
        Value::String(text) => match text.parse::<jiff::Timestamp>() {
            Ok(time) => json!(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            Err(_) => value.clone(),
        },
        Value::Array(items) => items.iter().map(in_utc).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), in_utc(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[test]
fn accepted_objects_are_accepted_and_lose_nothing_in_their_rust_type() {
    for case in cases("accepted") {
        match admission::admit(&case.object) {
            Ok(stored) => assert_eq!(retyped(&stored), in_utc(&stored), "{}", case.name),
            Err(problems) => panic!("{} is refused: {problems:#?}", case.name),
        }
    }
}

#[test]
fn rejected_objects_are_rejected_in_the_expected_words() {
    let mut wrong = Vec::new();
    for case in cases("rejected") {
        let said = problems(&case.object);
        let all_in_one = said
            .iter()
            .any(|problem| case.expected.iter().all(|words| problem.contains(words)));
        if case.expected.is_empty() || !all_in_one {
            let Case { name, expected, .. } = case;
            wrong.push(format!("{name}: expected {expected:?} in one of {said:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_refuses_some_rejected_object() {
    let said: String = cases("rejected")
        .iter()
        .flat_map(|case| problems(&case.object))
        .collect::<Vec<_>>()
        .join("\n");
    for crd in crd::all() {
        for_each_schema(&spec_schema(&crd), "spec", &mut |at, schema| {
            for rule in rules(schema) {
                let message = rule["message"].as_str().unwrap();
                assert!(said.contains(message), "nothing breaks {at}: {message}");
            }
        });
    }
}

#[test]
fn messages_are_one_line_that_fits_a_terminal() {
    for crd in crd::all() {
        for_each_schema(&spec_schema(&crd), "spec", &mut |at, schema| {
            for rule in rules(schema) {
                let message = rule["message"].as_str().unwrap();
                assert!(message.len() <= 200, "{at}: {message}");
                assert!(!message.contains(['\n', '`']), "{at}: {message}");
                assert!(!message.contains("self."), "{at}: {message}");
            }
        });
    }
}

/// A value that is refused may be a key in the wrong place.
#[test]
fn problems_never_repeat_a_refused_value() {
    let canary = "sk-ant-api03-EXAMPLE-canary";
    let places = [
        json!({"keyId": canary}),
        json!({"service": canary.to_uppercase()}),
        json!({"revokedFingerprints": [canary]}),
        json!({"state": canary}),
        json!({"issuedAt": canary}),
        json!({"usedBy": [{"kind": "ClientKey", "sha256": [canary]}]}),
        json!({"usedBy": [{"kind": "ServiceAccount", "name": format!("{canary}\n")}]}),
        json!({"source": {"secretKeyRef": {"name": format!("{canary}/"), "key": "k"}}}),
        json!({"rotation": {"periodDays": canary}}),
    ];
    for place in places {
        let mut object = key_ref();
        for (field, value) in place.as_object().unwrap() {
            object["spec"][field] = value.clone();
        }
        let said = problems(&object);
        assert!(!said.is_empty(), "{place}");
        let said = said.join("\n").to_lowercase();
        assert!(!said.contains("canary"), "{said}");
    }
}

#[test]
fn fields_that_the_schema_does_not_know_are_named() {
    let mut object = key_ref();
    object["spec"]["expireAt"] = json!("2027-01-01T00:00:00Z");
    object["spec"]["source"]["secretKeyRef"]["nameSpace"] = json!("claude");
    assert_eq!(
        problems(&object),
        [
            "spec.expireAt: unknown field: correct or remove it",
            "spec.source.secretKeyRef.nameSpace: unknown field: correct or remove it",
        ]
    );
}

#[test]
fn objects_of_other_kinds_and_without_usable_name_are_refused() {
    let with = |field: &str, value: Value| {
        let mut object = key_ref();
        *object.pointer_mut(field).unwrap() = value;
        problems(&object)
    };
    assert_eq!(
        with("/apiVersion", json!("rbac.authorization.k8s.io/v1")),
        ["apiVersion: must be anthropic-rbac.io/v1alpha1"]
    );
    assert_eq!(
        with("/kind", json!("ClusterRole")),
        ["kind: must be Workspace, RoleBinding or ApiKeyRef"]
    );
    assert_eq!(
        with("/metadata", json!({})),
        ["metadata.name: Required value"]
    );
    assert_eq!(with("/metadata/name", json!("Search")).len(), 1);
    assert_eq!(with("/metadata/namespace", json!("a.b")).len(), 1);
    assert_eq!(with("/metadata/namespace", json!("a-b")), [""; 0]);
}

#[test]
fn lists_hold_as_many_subjects_as_documented_and_no_more() {
    let binding = |count: usize| {
        let subjects: Vec<Value> = (0..count)
            .map(|n| json!({"kind": "User", "issuer": "corp", "name": format!("{n:0>256}")}))
            .collect();
        json!({
            "apiVersion": "anthropic-rbac.io/v1alpha1", "kind": "RoleBinding",
            "metadata": {"name": "example", "namespace": "claude"},
            "spec": {
                "workspaceRef": {"name": "production"},
                "roleRef": {"kind": "ApplicationRole", "name": "user"},
                "subjects": subjects,
            },
        })
    };
    assert_eq!(problems(&binding(256)), [""; 0]);
    assert_eq!(
        problems(&binding(257)),
        ["spec.subjects: Too many: must have at most 256 items"]
    );
}

#[test]
fn rules_compile() {
    for crd in crd::all() {
        let schema = serde_json::to_value(crd::schema(&crd)).unwrap();
        let compiled = kube::core::cel::compile_schema(&schema);
        assert!(!compiled.has_errors(), "{}", crd.spec.names.kind);
    }
}

#[test]
fn spec_fields_are_described_bounded_and_without_default_or_null() {
    for crd in crd::all() {
        let kind = &crd.spec.names.kind;
        for_each_schema(&spec_schema(&crd), "spec", &mut |at, schema| {
            let is_field = !at.ends_with(['}', ']']);
            assert!(
                !is_field || schema["description"].is_string(),
                "{kind} {at} has no description"
            );
            for absent in ["default", "nullable"] {
                assert!(schema.get(absent).is_none(), "{kind} {at} has {absent}");
            }
            let bound = match schema["type"].as_str() {
                Some("array") => "maxItems",
                Some("integer") => "maximum",
                // An enum and a date are bounded as they are.
                Some("string")
                    if schema.get("enum").is_none() && schema.get("format").is_none() =>
                {
                    "maxLength"
                }
                _ => return,
            };
            assert!(schema.get(bound).is_some(), "{kind} {at} has no {bound}");
        });
    }
}

#[test]
fn optional_spec_fields_say_what_leaving_them_out_means() {
    for crd in crd::all() {
        let kind = &crd.spec.names.kind;
        for_each_schema(&spec_schema(&crd), "spec", &mut |at, schema| {
            // Kubernetes' own selector is described by Kubernetes.
            if at.contains("elector.match") || at.ends_with("elector") {
                return;
            }
            let required: Vec<&str> = schema["required"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                let description = field["description"].as_str().unwrap();
                assert!(
                    required.contains(&name.as_str())
                        || description.contains("Unset")
                        || description.contains("Required"),
                    "{kind} {at}.{name}: {description}"
                );
            }
        });
    }
}

#[test]
fn a_fresh_object_says_that_nobody_has_looked_at_it() {
    for crd in crd::all() {
        let schema = serde_json::to_value(crd::schema(&crd)).unwrap();
        assert_eq!(
            schema["properties"]["status"]["default"],
            json!({"observedGeneration": -1})
        );
    }
}

/// A client-side apply keeps a copy of the object in an annotation, which holds 256 KiB.
#[test]
fn definitions_fit_a_client_side_apply() {
    for crd in crd::all() {
        assert!(serde_json::to_vec(&crd).unwrap().len() < 256 * 1024);
        assert!(crd::yaml(&crd).unwrap().len() < 256 * 1024);
    }
}

/// `UPDATE_CRDS=1` writes the files; `anthropic-rbac crds --out crds` gives the same.
#[test]
fn committed_definitions_are_the_generated_ones() {
    let folder = root().join("crds");
    let mut names = BTreeSet::new();
    for crd in crd::all() {
        let name = crd::file_name(&crd);
        let generated = crd::yaml(&crd).unwrap();
        let parsed: Value = serde_saphyr::from_str(&generated).unwrap();
        assert_eq!(
            serde_json::from_value::<Value>(parsed).unwrap()["spec"]["names"]["kind"],
            crd.spec.names.kind
        );
        let committed = fs::read_to_string(folder.join(&name)).unwrap_or_default();
        assert!(committed == generated, "crds/{name} is stale: run make gen");
        names.insert(name);
    }
    let committed: BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    assert_eq!(committed, names);
}

#[test]
fn the_committed_schema_of_the_policy_is_the_generated_one() {
    let path = root().join("docs/reference/policy.schema.json");
    let committed: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(
        committed == anthropic_rbac::gateway::policy_json::schema(),
        "docs/reference/policy.schema.json is stale: run make gen"
    );
}

fn key_ref() -> Value {
    json!({
        "apiVersion": "anthropic-rbac.io/v1alpha1", "kind": "ApiKeyRef",
        "metadata": {"name": "example", "namespace": "search"},
        "spec": {
            "workspaceRef": {"name": "production", "namespace": "claude"},
            "service": "search",
            "source": {"secretKeyRef": {"name": "anthropic", "key": "api-key"}},
        },
    })
}

fn spec_schema(
    crd: &k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
) -> Value {
    serde_json::to_value(crd::schema(crd)).unwrap()["properties"]["spec"].clone()
}

fn rules(schema: &Value) -> impl Iterator<Item = &Value> {
    schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
}

/// Visits a schema and all in it, each with its path.
fn for_each_schema(schema: &Value, at: &str, visit: &mut dyn FnMut(&str, &Value)) {
    visit(at, schema);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        for_each_schema(field, &format!("{at}.{name}"), visit);
    }
    if let Some(items) = schema.get("items") {
        for_each_schema(items, &format!("{at}[]"), visit);
    }
    if let Some(values) = schema.get("additionalProperties") {
        for_each_schema(values, &format!("{at}{{}}"), visit);
    }
}

//! Every field of every spec does something: changing it alone changes a plan. The fields are
//! those of the definitions, so that a new one without effect, or without a case here, fails.

use std::collections::{BTreeMap, BTreeSet};

use anthropic_rbac::api::crd;
use anthropic_rbac::facts::PodScope;
use anthropic_rbac::plan::output::Plan;
use anthropic_rbac::policy::digest::Digest;
use anthropic_rbac::policy::name::NamespacedName;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::{Value, json};

use crate::run::name_of;
use crate::stage::{Stage, kind_of};

const KEY: &str = "sk-ant-api03-EXAMPLE-aaaaaaaaaaaaaaaa";
const SPARE: &str = "sk-ant-api03-EXAMPLE-bbbbbbbbbbbbbbbb";
const CLIENT: &str = "EXAMPLE-client-key-aaaaaaaaaaaaaaaa";

/// Fields that change no plan, and why that is right.
const WITHOUT_EFFECT: [(&str, &str); 1] = [(
    "Workspace spec.displayName",
    "for people who read the object; nothing is named by it",
)];

fn digest(of: &str) -> String {
    Digest::of(of.as_bytes()).to_string()
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    let (namespace, name) = name.split_once('/').expect("namespace/name");
    let meta =
        json!({"namespace": namespace, "name": name, "creationTimestamp": "2026-10-01T00:00:00Z"});
    json!({"apiVersion": "anthropic-rbac.io/v1alpha1", "kind": kind, "metadata": meta, "spec": spec})
}

fn secret(name: &str, key: &str, value: &str) -> Value {
    let (namespace, name) = name.split_once('/').expect("namespace/name");
    let meta = json!({"namespace": namespace, "name": name, "creationTimestamp": "2026-09-01T00:00:00Z",
        "labels": {"anthropic-rbac.io/client-key": "true"}});
    json!({"kind": "Secret", "metadata": meta, "stringData": {key: value, "other": value}})
}

/// A world in which every field is set, and matters.
fn world() -> Vec<Value> {
    let namespace = |name: &str, labels: Value| json!({"kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    let oidc = |name: &str, more: Value| {
        let mut issuer = json!({"name": name, "type": "OIDC", "issuerURL": format!("https://{name}.example.com"), "userClaim": "email",
            "groupsClaim": "groups", "audiences": ["claude"]});
        issuer
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        issuer
    };
    let workspace = json!({
        "displayName": "Production", "environment": "production", "workspaceId": "wrkspc_01EXAMPLE", "defaultMaxTokens": 1024,
        "rateLimits": {"tier": "Tier1", "requestsPerMinute": 40}, "models": ["claude-*"], "state": "Enabled",
        "roles": [{"name": "batch", "apiAccess": "Allowed", "models": ["claude-haiku-*"], "maxTokens": 64, "requestsPerMinute": 7}],
        "keys": {"defaultApiKeyRef": {"name": "shared"}, "rotation": {"periodDays": 90, "warnDays": 14, "onOverdue": "Flag"}},
        "allowedNamespaces": [
            {"selector": {"matchLabels": {"claude": "enabled"}, "matchExpressions": [{"key": "team", "operator": "In", "values": ["search"]}]},
             "roles": ["user"], "subjects": "Own", "apiKeyRefs": "Deny"},
            {"names": ["batch"], "roles": ["batch"]},
        ],
        "blockedSubjects": [{"kind": "User", "name": "eve@example.com", "issuer": "corp"},
            {"kind": "ServiceAccount", "name": "eve", "namespace": "search"}, {"kind": "ClientKey", "sha256": [digest("EXAMPLE")]}],
        "authentication": {"issuers": [{"name": "cluster", "type": "Kubernetes", "audiences": ["claude"]},
            oidc("corp", json!({"jwksConfigMapRef": {"name": "keys", "key": "jwks.json"}})),
            oidc("other", json!({"jwksURI": "https://other.example.com/keys"}))]},
        "gateways": [{"name": "edge", "type": "Envoy", "podSelector": {"matchLabels": {"app": "gateway"},
            "matchExpressions": [{"key": "tier", "operator": "In", "values": ["edge"]}]}}],
    });
    let at = json!({"name": "production", "namespace": "claude"});
    let role = json!({"kind": "ApplicationRole", "name": "user"});
    let people = json!([{"kind": "User", "name": "uma@example.com", "issuer": "corp"},
        {"kind": "ServiceAccount", "name": "web", "namespace": "search"}, {"kind": "ClientKey", "sha256": [digest(CLIENT)]}]);
    let source = |name: &str| json!({"name": name, "key": "api-key", "namespace": "claude"});
    let key = json!({
        "workspaceRef": at, "service": "search", "keyId": "apikey_01EXAMPLE", "scope": "Workspace", "state": "Active",
        "source": {"secretKeyRef": source("source")}, "issuedAt": "2026-10-01T00:00:00Z", "expiresAt": "2027-10-01T00:00:00Z",
        "target": {"secretName": "target", "key": "ANTHROPIC_API_KEY", "deletionPolicy": "Delete"}, "usedBy": people,
        "rotation": {"periodDays": 60, "warnDays": 14, "onOverdue": "Flag"}, "revokedFingerprints": ["0000000000000000"],
    });
    let staged = json!({
        "workspaceRef": at, "rotation": {"periodDays": 20, "onOverdue": "Flag"},
        "issuedAt": "2026-10-01T00:00:00Z", "service": "batch", "source": {"secretKeyRef": source("spare")},
        "next": {"secretKeyRef": source("spare-2"), "activateAt": "2026-11-01T00:00:00Z"},
    });
    vec![
        namespace(
            "claude",
            json!({"anthropic-rbac.io/environment": "production"}),
        ),
        namespace(
            "search",
            json!({"claude": "enabled", "team": "search", "restricted": "yes"}),
        ),
        namespace("batch", json!({})),
        secret("claude/source", "api-key", KEY),
        secret("claude/spare", "api-key", SPARE),
        secret(
            "claude/spare-2",
            "api-key",
            "sk-ant-api03-EXAMPLE-cccccccccccccccc",
        ),
        object("Workspace", "claude/production", workspace),
        object(
            "RoleBinding",
            "claude/b",
            json!({"workspaceRef": at, "roleRef": role, "subjects": people, "state": "Enabled",
            "notBefore": "2026-10-01T00:00:00Z", "expiresAt": "2027-10-01T00:00:00Z"}),
        ),
        object(
            "RoleBinding",
            "search/b",
            json!({"workspaceRef": at, "roleRef": role,
            "subjects": [{"kind": "ServiceAccount", "name": "job"}, {"kind": "ServiceAccount", "name": "web", "namespace": "batch"}]}),
        ),
        object(
            "RoleBinding",
            "batch/b",
            json!({"workspaceRef": at, "roleRef": {"kind": "ApplicationRole", "name": "batch"},
            "subjects": [{"kind": "ServiceAccount", "name": "job"}]}),
        ),
        object("ApiKeyRef", "claude/shared", key),
        object("ApiKeyRef", "claude/staged", staged),
        object(
            "ApiKeyRef",
            "claude/twin",
            json!({"workspaceRef": at, "service": "search", "source": {"secretKeyRef": source("source")}}),
        ),
        object(
            "ApiKeyRef",
            "search/k",
            json!({"workspaceRef": at, "service": "s", "source": {"secretKeyRef": {"name": "source", "key": "api-key"}}}),
        ),
    ]
}

/// What to change to see each field at work: the object, the field, its new value.
fn cases() -> Vec<(&'static str, &'static str, Value)> {
    let workspace = [
        ("/allowedNamespaces/0/apiKeyRefs", json!("Allow")),
        ("/allowedNamespaces/1/names/0", json!("elsewhere")),
        ("/allowedNamespaces/0/roles/0", json!("power")),
        (
            "/allowedNamespaces/0/selector/matchExpressions/0/key",
            json!("unit"),
        ),
        (
            "/allowedNamespaces/0/selector/matchExpressions/0/operator",
            json!("NotIn"),
        ),
        (
            "/allowedNamespaces/0/selector/matchExpressions/0/values/0",
            json!("batch"),
        ),
        (
            "/allowedNamespaces/0/selector/matchLabels/claude",
            json!("disabled"),
        ),
        ("/allowedNamespaces/0/subjects", json!("Any")),
        ("/authentication/issuers/0/audiences/0", json!("claude-2")),
        ("/authentication/issuers/1/groupsClaim", json!("roles")),
        (
            "/authentication/issuers/1/issuerURL",
            json!("https://new.example.com"),
        ),
        (
            "/authentication/issuers/1/jwksConfigMapRef/key",
            json!("other.json"),
        ),
        (
            "/authentication/issuers/1/jwksConfigMapRef/name",
            json!("other"),
        ),
        (
            "/authentication/issuers/2/jwksURI",
            json!("https://other.example.com/new"),
        ),
        ("/authentication/issuers/1/name", json!("corp-2")),
        ("/authentication/issuers/0/type", json!("OIDC")),
        ("/authentication/issuers/1/userClaim", json!("upn")),
        ("/blockedSubjects/0/issuer", json!("other")),
        ("/blockedSubjects/0/kind", json!("Group")),
        ("/blockedSubjects/0/name", json!("uma@example.com")),
        ("/blockedSubjects/1/namespace", json!("batch")),
        ("/blockedSubjects/2/sha256/0", json!(digest(CLIENT))),
        ("/defaultMaxTokens", json!(512)),
        ("/displayName", json!("Prod")),
        ("/environment", json!("staging")),
        ("/gateways/0/name", json!("inner")),
        (
            "/gateways/0/podSelector/matchExpressions/0/key",
            json!("zone"),
        ),
        (
            "/gateways/0/podSelector/matchExpressions/0/operator",
            json!("NotIn"),
        ),
        (
            "/gateways/0/podSelector/matchExpressions/0/values/0",
            json!("core"),
        ),
        ("/gateways/0/podSelector/matchLabels/app", json!("envoy")),
        ("/gateways/0/type", json!("LiteLLM")),
        ("/keys/defaultApiKeyRef/name", json!("twin")),
        ("/keys/rotation/onOverdue", json!("Suspend")),
        ("/keys/rotation/periodDays", json!(30)),
        ("/keys/rotation/warnDays", json!(21)),
        ("/models/0", json!("claude-haiku-*")),
        ("/rateLimits/requestsPerMinute", json!(41)),
        ("/rateLimits/tier", json!("Start")),
        ("/roles/0/apiAccess", json!("None")),
        ("/roles/0/maxTokens", json!(65)),
        ("/roles/0/models/0", json!("claude-opus-*")),
        ("/roles/0/name", json!("bulk")),
        ("/roles/0/requestsPerMinute", json!(8)),
        ("/state", json!("Disabled")),
        ("/workspaceId", json!("wrkspc_02EXAMPLE")),
    ];
    let binding = [
        ("/expiresAt", json!("2027-11-01T00:00:00Z")),
        ("/notBefore", json!("2026-12-01T00:00:00Z")),
        ("/roleRef/kind", json!("ConsoleRole")),
        ("/roleRef/name", json!("power")),
        ("/state", json!("Disabled")),
        ("/subjects/0/issuer", json!("other")),
        ("/subjects/0/kind", json!("Group")),
        ("/subjects/0/name", json!("ada@example.com")),
        ("/subjects/1/namespace", json!("batch")),
        ("/subjects/2/sha256/0", json!(digest("another EXAMPLE"))),
        ("/workspaceRef/name", json!("staging")),
        ("/workspaceRef/namespace", json!("search")),
    ];
    let key = [
        ("/expiresAt", json!("2026-11-25T00:00:00Z")),
        ("/issuedAt", json!("2026-10-02T00:00:00Z")),
        ("/keyId", json!("apikey_02EXAMPLE")),
        (
            "/revokedFingerprints/0",
            json!(Digest::of(KEY.as_bytes()).fingerprint().to_string()),
        ),
        ("/rotation/periodDays", json!(30)),
        ("/rotation/warnDays", json!(21)),
        ("/scope", json!("Organization")),
        ("/service", json!("auth")),
        ("/source/secretKeyRef/key", json!("missing")),
        ("/source/secretKeyRef/name", json!("spare")),
        ("/source/secretKeyRef/namespace", json!("search")),
        ("/state", json!("Revoked")),
        ("/target/deletionPolicy", json!("Retain")),
        ("/target/key", json!("KEY")),
        ("/target/secretName", json!("mapped")),
        ("/usedBy/0/issuer", json!("other")),
        ("/usedBy/0/kind", json!("Group")),
        ("/usedBy/0/name", json!("ada@example.com")),
        ("/usedBy/1/namespace", json!("batch")),
        ("/usedBy/2/sha256/0", json!(digest("another EXAMPLE"))),
        ("/workspaceRef/name", json!("staging")),
        ("/workspaceRef/namespace", json!("search")),
    ];
    let staged = [
        ("/rotation/onOverdue", json!("Suspend")),
        ("/next/activateAt", json!("2026-12-01T00:00:00Z")),
        ("/next/secretKeyRef/key", json!("missing")),
        ("/next/secretKeyRef/name", json!("source")),
        ("/next/secretKeyRef/namespace", json!("search")),
    ];
    let of = |object: &'static str, cases: Vec<(&'static str, Value)>| {
        cases
            .into_iter()
            .map(move |(field, value)| (object, field, value))
            .collect::<Vec<_>>()
    };
    [
        of("Workspace claude/production", workspace.into()),
        of("RoleBinding claude/b", binding.into()),
        of("ApiKeyRef claude/shared", key.into()),
        of("ApiKeyRef claude/staged", staged.into()),
    ]
    .concat()
}

/// Everything that follows from a world: plans, and the pods the operator looks at for them.
fn consequences(objects: &[Value]) -> (BTreeMap<NamespacedName, Plan>, BTreeSet<PodScope>) {
    let mut stage = Stage::of(objects);
    (stage.plans(), stage.facts.pod_scopes())
}

#[test]
fn every_field_of_every_spec_does_something() {
    let world = world();
    let before = consequences(&world);
    let mut idle = BTreeSet::new();
    for (object, field, value) in cases() {
        let mut changed = world.clone();
        let place = changed
            .iter_mut()
            .find(|o| format!("{} {}", kind_of(o), name_of(o)) == object);
        let place = place.and_then(|o| o.pointer_mut(&format!("/spec{field}")));
        let place = place.unwrap_or_else(|| panic!("{object} has no {field}"));
        assert_ne!(*place, value, "{object} {field} is not changed");
        *place = value;
        if consequences(&changed) == before {
            idle.insert(path(object, field));
        }
    }
    let without: BTreeSet<String> = WITHOUT_EFFECT
        .iter()
        .map(|(path, _)| (*path).to_owned())
        .collect();
    assert_eq!(idle, without, "fields that do nothing");
}

#[test]
fn every_field_of_every_spec_has_a_case() {
    let tried: BTreeSet<String> = cases()
        .iter()
        .map(|(object, field, _)| path(object, field))
        .collect();
    let mut fields = BTreeSet::new();
    for definition in crd::all() {
        let spec = &crd::schema(&definition)
            .properties
            .as_ref()
            .expect("an object")["spec"];
        leaves(
            spec,
            &format!("{} spec", definition.spec.names.kind),
            &mut fields,
        );
    }
    assert_eq!(tried, fields);
}

/// `Workspace spec.roles[].name` for `/roles/0/name` of a Workspace.
fn path(object: &str, field: &str) -> String {
    let kind = object.split(' ').next().expect("a kind");
    let mut path = format!("{kind} spec");
    for part in field.split('/').skip(1) {
        match part.parse::<usize>() {
            Ok(_) => path.push_str("[]"),
            Err(_) if path.ends_with("matchLabels") => path.push_str("{}"),
            Err(_) => path = format!("{path}.{part}"),
        }
    }
    path
}

fn leaves(schema: &JSONSchemaProps, path: &str, into: &mut BTreeSet<String>) {
    let values = schema.additional_properties.as_ref();
    if let Some(properties) = &schema.properties {
        for (name, schema) in properties {
            leaves(schema, &format!("{path}.{name}"), into);
        }
    } else if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
        leaves(items, &format!("{path}[]"), into);
    } else if let Some(JSONSchemaPropsOrBool::Schema(_)) = values {
        into.insert(format!("{path}{{}}"));
    } else {
        into.insert(path.to_owned());
    }
}

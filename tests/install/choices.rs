//! What each value of the chart does, where no other install form has that choice.
//! Must not repeat what `equal` holds.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::forms::FORMS;
use crate::helm::{CHART, Helm, NAMESPACE, succeeded};
use crate::suite::{Test, test};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("choices: each value does what it says", each_value),
        test("choices: no value is untried", none_untried),
        test("choices: lint has nothing to say about any form", lint),
        test(
            "choices: the notes say what the operator may touch, and what is missing",
            notes,
        ),
    ]
}

const DEPLOYMENT: &str = "Deployment anthropic-rbac-system/anthropic-rbac";
const POD: &str = "/spec/template/spec";
const CONTAINER: &str = "/spec/template/spec/containers/0";

/// Values, an object, where in it, and what is there then.
fn choices() -> Vec<(&'static str, &'static str, String, Value)> {
    let deployment = |values, place: &str, is| (values, DEPLOYMENT, place.to_owned(), is);
    let pod = |values, place: &str, is| (values, DEPLOYMENT, format!("{POD}{place}"), is);
    let container =
        |values, place: &str, is| (values, DEPLOYMENT, format!("{CONTAINER}{place}"), is);
    let crd = "CustomResourceDefinition workspaces.anthropic-rbac.io";
    let label = |object| {
        let values = "labels: {team: platform, app.kubernetes.io/name: other}";
        let place = "/metadata/labels";
        (values, object, format!("{place}/team"), json!("platform"))
    };
    vec![
        container("image: {tag: v9}", "/image", json!("anthropic-rbac:v9")),
        container(
            "image: {tag: v9, digest: 'sha256:0000000000000000000000000000000000000000000000000000000000000000'}",
            "/image",
            json!(
                "anthropic-rbac@sha256:0000000000000000000000000000000000000000000000000000000000000000"
            ),
        ),
        pod(
            "image: {pullSecrets: [a, b]}",
            "/imagePullSecrets",
            json!([{"name": "a"}, {"name": "b"}]),
        ),
        deployment("replicas: 3", "/spec/replicas", json!(3)),
        container(
            "resources: {requests: {cpu: 1, memory: 1Gi}, limits: {memory: 2Gi}}",
            "/resources",
            json!({"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"memory": "2Gi"}}),
        ),
        container(
            "anthropicURL: http://stand-in.test:8080",
            "/args/4",
            json!("--anthropic-url=http://stand-in.test:8080"),
        ),
        container("calendar: true", "/args/4", json!("--calendar")),
        container(
            "log: {level: warn}",
            "/env/0",
            json!({"name": "RUST_LOG", "value": "warn"}),
        ),
        pod(
            "priorityClassName: system-cluster-critical",
            "/priorityClassName",
            json!("system-cluster-critical"),
        ),
        pod(
            "nodeSelector: {kubernetes.io/os: null, pool: system}",
            "/nodeSelector",
            json!({"pool": "system"}),
        ),
        pod(
            "tolerations: [{key: dedicated, operator: Exists}]",
            "/tolerations",
            json!([{"key": "dedicated", "operator": "Exists"}]),
        ),
        pod(
            "affinity: {podAntiAffinity: {}}",
            "/affinity",
            json!({"podAntiAffinity": {}}),
        ),
        deployment(
            "podLabels: {team: platform, app.kubernetes.io/name: other}",
            "/spec/template/metadata/labels",
            json!({"team": "platform", "app.kubernetes.io/name": "anthropic-rbac"}),
        ),
        deployment(
            "podAnnotations: {note: 'true'}",
            "/spec/template/metadata/annotations",
            json!({"note": "true", "kubectl.kubernetes.io/default-container": "operator"}),
        ),
        (
            "monitoring: {enabled: true, labels: {release: prometheus}}",
            "PrometheusRule anthropic-rbac-system/anthropic-rbac",
            "/metadata/labels/release".to_owned(),
            json!("prometheus"),
        ),
        (
            "monitoring: {enabled: true, labels: {release: prometheus}}",
            "ServiceMonitor anthropic-rbac-system/anthropic-rbac",
            "/metadata/labels/release".to_owned(),
            json!("prometheus"),
        ),
        label(crd),
        label(DEPLOYMENT),
        label("ClusterRole anthropic-rbac"),
        // A label of ours is not overwritten: selectors and documents name it.
        (
            "labels: {app.kubernetes.io/name: other}",
            "ClusterRole anthropic-rbac",
            "/metadata/labels/app.kubernetes.io~1name".to_owned(),
            json!("anthropic-rbac"),
        ),
        (
            "{}",
            crd,
            "/metadata/annotations".to_owned(),
            json!({"helm.sh/resource-policy": "keep"}),
        ),
        (
            "crds: {keep: false}",
            crd,
            "/metadata/annotations".to_owned(),
            Value::Null,
        ),
        ("crds: {install: false}", crd, String::new(), Value::Null),
        (
            "networkPolicy: {enabled: true, denyNamespace: false}",
            "NetworkPolicy anthropic-rbac-system/anthropic-rbac-deny",
            String::new(),
            Value::Null,
        ),
        (
            "networkPolicy: {enabled: true, denyNamespace: false}",
            "NetworkPolicy anthropic-rbac-system/anthropic-rbac",
            "/spec/policyTypes".to_owned(),
            json!(["Ingress", "Egress"]),
        ),
    ]
}

fn each_value() -> Result<()> {
    for (values, object, place, is) in choices() {
        let objects = Helm::V4.render(NAMESPACE, values)?;
        let found = objects
            .get(object)
            .and_then(|object| object.pointer(&place));
        ensure!(
            found.unwrap_or(&Value::Null) == &is,
            "with {values}, {object} at {place} is {found:?}, not {is}"
        );
    }
    Ok(())
}

fn none_untried() -> Result<()> {
    let mut untried = BTreeSet::new();
    let defaults = fs::read_to_string(format!("{CHART}/values.yaml"))?;
    leaves("", &serde_saphyr::from_str(&defaults)?, &mut untried);
    let choices = choices();
    let tried = FORMS.iter().map(|form| form.values);
    for values in tried.chain(choices.iter().map(|choice| choice.0)) {
        let mut set = BTreeSet::new();
        leaves("", &serde_saphyr::from_str(values)?, &mut set);
        untried.retain(|path| {
            !set.iter()
                .any(|set| set == path || set.starts_with(&format!("{path}.")))
        });
    }
    ensure!(untried.is_empty(), "no test sets {untried:?}");
    Ok(())
}

/// The paths of all that is no map, or an empty one.
fn leaves(path: &str, value: &Value, into: &mut BTreeSet<String>) {
    match value.as_object() {
        Some(map) if !map.is_empty() => {
            for (name, value) in map {
                let dot = if path.is_empty() { "" } else { "." };
                leaves(&format!("{path}{dot}{name}"), value, into);
            }
        }
        _ => {
            into.insert(path.to_owned());
        }
    }
}

fn lint() -> Result<()> {
    for helm in Helm::ALL {
        for form in FORMS {
            let output = helm.on_chart(&["lint", "--strict"], form.values)?;
            let said = succeeded(&output).with_context(|| form.name.to_owned())?;
            ensure!(!said.contains("[WARNING]"), "{}: {said}", form.name);
        }
    }
    Ok(())
}

fn notes() -> Result<()> {
    let cases = [
        ("{}", "IT MAY TOUCH NO SECRET", true),
        (
            "{}",
            "--serviceaccount=anthropic-rbac-system:anthropic-rbac",
            true,
        ),
        ("{}", "The guard is off", false),
        ("{}", "Pin it", true),
        ("secrets: {access: cluster}", "EVERY Secret", true),
        ("secrets: {access: cluster}", "NO SECRET", false),
        (
            "secrets: {access: namespaces, namespaces: [claude, search]}",
            "the Secrets of claude, search, and no others",
            true,
        ),
        (
            "namespaces: [claude, search]",
            "It sees objects in claude, search, and nowhere else",
            true,
        ),
        ("guard: {enabled: false}", "The guard is off", true),
        (
            "image: {digest: 'sha256:0000000000000000000000000000000000000000000000000000000000000000'}",
            "Pin it",
            false,
        ),
    ];
    for (values, words, there) in cases {
        let verb = [
            "install",
            "anthropic-rbac",
            "--dry-run=client",
            "--namespace",
            NAMESPACE,
        ];
        let said = succeeded(&Helm::V4.on_chart(&verb, values)?)?;
        let (_, notes) = said.split_once("NOTES:").context("no notes")?;
        ensure!(
            notes.contains(words) == there,
            "with {values}, {words:?}: {notes}"
        );
    }
    Ok(())
}

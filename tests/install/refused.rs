//! Values that the chart does not take, and what is said of them.
//! Must not try what it takes; `equal` and `choices` do.

use anyhow::{Result, ensure};

use crate::helm::Helm;
use crate::suite::{Test, test};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "refused: a wrong value or a misspelt one is refused by name",
            each_is_refused,
        ),
        test(
            "refused: a chart that has this one as a dependency may set what Helm adds",
            dependency,
        ),
    ]
}

/// Values, and what the refusal must say: where, and what is wrong.
const REFUSED: &[(&str, &[&str])] = &[
    ("replica: 3", &["replica", "not allowed"]),
    ("image: {name: x}", &["/image", "name", "not allowed"]),
    ("image: {digest: abc}", &["/image/digest", "abc", "sha256"]),
    (
        "image: {digest: 'sha256:ABC'}",
        &["/image/digest", "sha256:ABC"],
    ),
    ("image: {repository: ''}", &["/image/repository"]),
    ("image: {repository: 'a b'}", &["/image/repository", "a b"]),
    ("image: {tag: 1.2}", &["/image/tag", "number", "string"]),
    (
        "image: {pullSecrets: x}",
        &["/image/pullSecrets", "string", "array"],
    ),
    ("replicas: two", &["/replicas", "string", "integer"]),
    ("replicas: -1", &["/replicas", "minimum"]),
    (
        "resources: {request: {}}",
        &["/resources", "request", "not allowed"],
    ),
    ("namespaces: claude", &["/namespaces", "string", "array"]),
    ("namespaces: [Claude]", &["/namespaces/0", "Claude"]),
    ("namespaces: [claude, claude]", &["/namespaces", "equal"]),
    (
        "secrets: {access: all}",
        &["/secrets/access", "none", "namespaces", "cluster"],
    ),
    (
        "secrets: {acces: none}",
        &["/secrets", "acces", "not allowed"],
    ),
    (
        "secrets: {namespaces: ['claude,search']}",
        &["/secrets/namespaces/0", "claude,search"],
    ),
    (
        "gatewayPods: [claude]",
        &["/gatewayPods", "array", "object"],
    ),
    (
        "guard: {enabled: 'false'}",
        &["/guard/enabled", "string", "boolean"],
    ),
    ("guard: false", &["/guard", "boolean", "object"]),
    (
        "crds: {enabled: true}",
        &["/crds", "enabled", "not allowed"],
    ),
    (
        "networkPolicy: {apiServer: {cidrs: [10.0.0.1]}}",
        &["/networkPolicy/apiServer/cidrs/0", "10.0.0.1"],
    ),
    (
        "networkPolicy: {apiServer: {ports: [70000]}}",
        &["/networkPolicy/apiServer/ports/0", "maximum"],
    ),
    (
        "networkPolicy: {apiServer: {ports: []}}",
        &["/networkPolicy/apiServer/ports", "minItems"],
    ),
    ("models: {source: ours}", &["/models", "object", "string"]),
    (
        "anthropicURL: api.anthropic.com",
        &["/anthropicURL", "api.anthropic.com"],
    ),
    ("calendar: 1", &["/calendar", "number", "boolean"]),
    ("log: {format: yaml}", &["/log/format", "json", "text"]),
    (
        "nodeSelector: {pool: 1}",
        &["/nodeSelector/pool", "number", "string"],
    ),
    ("labels: [a]", &["/labels", "array", "object"]),
    // What takes two values to be wrong.
    (
        "secrets: {access: namespaces}",
        &[
            "secrets.namespaces is empty",
            "list them, or set secrets.access to none",
        ],
    ),
    (
        "secrets: {namespaces: [claude]}",
        &[
            "secrets.access is none",
            "set it to namespaces, or leave the list empty",
        ],
    ),
    (
        "{namespaces: [claude], secrets: {access: cluster}}",
        &[
            "reaches beyond them",
            "set secrets.access to namespaces, or leave namespaces empty",
        ],
    ),
];

fn each_is_refused() -> Result<()> {
    for helm in Helm::ALL {
        for (values, words) in REFUSED {
            let output = helm.on_chart(&["template", "anthropic-rbac"], values)?;
            ensure!(!output.status.success(), "{helm:?} takes {values}");
            let said = String::from_utf8(output.stderr)?;
            for word in *words {
                ensure!(
                    said.contains(word),
                    "{helm:?} of {values} says nothing of {word:?}: {said}"
                );
            }
        }
    }
    Ok(())
}

fn dependency() -> Result<()> {
    for helm in Helm::ALL {
        helm.render("platform", "{global: {cluster: blue}, enabled: true}")?;
    }
    Ok(())
}

//! Key values that nothing else has are found nowhere but in Secrets.
//! Must not print one when it is found: a failure names the place.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    needles::{Canary, Needles, base64},
    operator::{Operator, Settings},
    places,
    resource::{self, api, binding, delete, key, merge, until, workspace},
    suite::{Test, test},
    wait,
};

/// How long each step may take: at trace level everything does.
const SOON: Duration = Duration::from_secs(20);

pub(crate) fn tests() -> Vec<Test> {
    vec![test(
        "key values are found nowhere but in their Secrets, whatever becomes of them",
        canaries,
    )]
}

/// A manifest as people write it. Applied by kubectl it leaves the value in an annotation, so
/// that metadata alone holds it, too.
fn secret(namespace: &str, name: &str, canary: &Canary) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "data": {"api-key": base64(&canary.value)},
    })
}

/// Bad values by the name of Secret and ApiKeyRef.
fn bad() -> Result<Canaries> {
    let new = Canary::new;
    Ok(Canaries::from([
        ("admin", new("an admin key", "sk-ant-admin01-")?),
        ("enterprise", new("an enterprise key", "sk-ant-api01-")?),
        ("oauth", new("an OAuth token", "sk-ant-oat01-")?),
        ("blank-inside", new("a blank inside", "sk-ant-api03- ")?),
        ("blank-before", new("a blank before", " sk-ant-api03-")?),
        (
            "two-lines",
            new("two lines", "sk-ant-api03-")?.then(b"\nsk-ant-api03-EXAMPLE"),
        ),
        (
            "two-newlines",
            new("two newlines", "sk-ant-api03-")?.then(b"\n\n"),
        ),
        (
            "binary",
            new("binary", "sk-ant-api03-")?.then(&[0, 0xff, 0xfe, 7]),
        ),
        ("not-ascii", new("not ASCII", "sk-ant-api03-\u{fc}")?),
        ("other", new("no key at all", "password-")?),
        (
            "oversize",
            new("an oversize value", "sk-ant-api03-")?.then(&[b' '; 100_000]),
        ),
    ]))
}

/// The rest of them: name, what it is for, and how it begins.
const GOOD: [(&str, &str, &str); 14] = [
    ("first", "the first version", "sk-ant-api03-"),
    ("second", "the second version", "sk-ant-api03-"),
    ("staged", "the staged version", "sk-ant-api03-"),
    ("gateway", "a key for the gateway", "sk-ant-api03-"),
    ("shared", "a shared key", "sk-ant-api03-"),
    ("elsewhere", "a key of another workspace", "sk-ant-api03-"),
    ("lent", "a key that was not lent", "sk-ant-api03-"),
    ("kept", "a version that stays", "sk-ant-api03-"),
    ("foreign", "somebody else's Secret", "sk-ant-api03-"),
    ("ungranted", "a Secret out of reach", "sk-ant-api03-"),
    ("client", "a client key", "client-"),
    ("bad-client", "a client key like an API key", "sk-ant-"),
    ("short-client", "a client key with a blank", "client "),
    ("note", "a key where a key id belongs", "sk-ant-api03-"),
];

type Canaries = BTreeMap<&'static str, Canary>;

fn good() -> Result<Canaries> {
    let good = GOOD.into_iter();
    good.map(|(name, about, prefix)| Ok((name, Canary::new(about, prefix)?)))
        .collect()
}

fn manifests(home: &str, other: &str, good: &Canaries, bad: &Canaries) -> Vec<Value> {
    let clients = |name: &str| {
        let mut binding = binding(home, name, "one", "user", &[]);
        binding["spec"]["subjects"] = json!([{"kind": "ClientKey", "name": name}]);
        binding
    };
    let client = |name: &str, canary: &Canary| {
        let mut client = secret(home, name, canary);
        client["metadata"]["labels"] = json!({"anthropic-rbac.io/client-key": "true"});
        client
    };
    // An Event is made of it.
    let mut overdue = key(home, "good", "one", "good", "good-target");
    overdue["spec"]["issuedAt"] = "2026-01-01T00:00:00Z".into();
    let mut noted = secret(home, "kept", &good["kept"]);
    noted["metadata"]["annotations"] = json!({
        "anthropic-rbac.io/key-id": good["note"].text(),
        "anthropic-rbac.io/issued-at": good["note"].text(),
        "anthropic-rbac.io/allow-namespaces": good["note"].text(),
        "anthropic-rbac.io/allow-workspaces": good["note"].text(),
    });
    let mut not_lent = key(other, "not-lent", "two", "lent", "not-lent-target");
    not_lent["spec"]["source"]["secretKeyRef"]["namespace"] = home.into();
    let mut manifests = vec![
        secret(home, "good", &good["first"]),
        secret(home, "staged", &good["staged"]),
        secret(home, "gateway", &good["gateway"]),
        secret(home, "shared", &good["shared"]),
        secret(home, "elsewhere", &good["elsewhere"]),
        secret(other, "elsewhere", &good["elsewhere"]),
        secret(home, "lent", &good["lent"]),
        noted,
        secret(home, "foreign-target", &good["foreign"]),
        secret(other, "ungranted", &good["ungranted"]),
        client("client", &good["client"]),
        client("bad-client", &good["bad-client"]),
        client("short-client", &good["short-client"]),
        workspace(
            home,
            "one",
            json!({
                "keys": {"defaultApiKeyRef": {"name": "gateway"}},
                "gateways": [{"name": "edge", "type": "Envoy"}],
            }),
        ),
        workspace(home, "three", json!({"displayName": "Three"})),
        workspace(other, "two", json!({"displayName": "Two"})),
        binding(home, "users", "one", "user", &["app"]),
        clients("client"),
        clients("bad-client"),
        clients("short-client"),
        overdue,
        key(home, "gateway", "one", "gateway", ""),
        key(home, "shared", "one", "shared", "shared-target"),
        key(home, "shared-too", "one", "shared", "shared-too-target"),
        key(home, "elsewhere", "one", "elsewhere", "elsewhere-target"),
        key(
            home,
            "elsewhere-too",
            "three",
            "elsewhere",
            "elsewhere-too-target",
        ),
        key(home, "kept", "one", "kept", "kept-target"),
        key(home, "foreign", "one", "kept", "foreign-target"),
        not_lent,
        key(other, "ungranted", "two", "ungranted", "ungranted-target"),
    ];
    for (name, canary) in bad {
        manifests.push(secret(home, name, canary));
        manifests.push(key(home, name, "one", name, &format!("{name}-target")));
    }
    manifests
}

async fn canaries(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("canary").await?;
    let (home, other) = (namespace.as_str(), cluster.namespace("cage").await?);
    let (good, bad) = (good()?, bad()?);
    let manifests = manifests(home, &other, &good, &bad);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests}).to_string();
    cluster.apply_yaml(&list)?;
    let settings = Settings {
        secrets_in: &[home],
        log: "trace",
        arguments: &["--calendar"],
        ..Settings::default()
    };
    let mut operator = Operator::start(cluster, settings).await?;

    // Through all that can become of a key.
    let kube = cluster.client();
    let (keys, secrets) = (api(&kube, "ApiKeyRef", home), api(&kube, "Secret", home));
    let bindings = api(&kube, "RoleBinding", home);
    let ready = ("Ready", "True", "");
    for name in ["good", "gateway", "shared", "shared-too", "kept"] {
        until(&keys, name, ready, SOON)
            .await
            .with_context(|| name)?;
    }
    for name in bad.keys() {
        until(&keys, name, ("Ready", "False", "InvalidKey"), SOON).await?;
    }
    until(&keys, "foreign", ("Ready", "False", "NotOurs"), SOON).await?;
    let others = api(&kube, "ApiKeyRef", &other);
    until(&others, "not-lent", ("Ready", "False", ""), SOON).await?;
    until(
        &others,
        "ungranted",
        ("Ready", "False", "SecretAccessDenied"),
        SOON,
    )
    .await?;
    until(&bindings, "client", ready, SOON).await?;
    for name in ["bad-client", "short-client"] {
        until(
            &bindings,
            name,
            ("Ready", "False", "InvalidClientKey"),
            SOON,
        )
        .await?;
    }
    let holds = async |canary: &Canary| {
        wait::until(&secrets, "good-target", SOON, |target| {
            (resource::value(target, "ANTHROPIC_API_KEY")? == canary.text()).then_some(())
        })
        .await
        .with_context(|| format!("the target has {}", canary.about))
    };
    let second = json!({"stringData": {"api-key": good["second"].text()}});
    merge(&secrets, "good", second).await?;
    holds(&good["second"]).await?;
    let spoilt = json!({"data": {"ANTHROPIC_API_KEY": "c3BvaWx0"}});
    merge(&secrets, "good-target", spoilt).await?;
    holds(&good["second"]).await?;
    operator.restart().await?;
    let next = json!({"next": {"secretKeyRef": {"name": "staged", "key": "api-key"}}});
    merge(&keys, "good", json!({"spec": next})).await?;
    holds(&good["staged"]).await?;
    delete(&secrets, "gateway").await?;
    until(&keys, "gateway", ("Ready", "False", "SourceNotFound"), SOON).await?;
    merge(&keys, "good", json!({"spec": {"state": "Revoked"}})).await?;
    until(&keys, "good", ("Ready", "True", "Revoked"), SOON).await?;

    let canaries: Vec<&Canary> = good.values().chain(bad.values()).collect();
    ensure!(canaries.len() >= 20);
    let needles = Needles::of(canaries.iter().copied());
    let places = places::all(cluster, &operator, home, &list, &good["note"]).await?;
    for (place, text) in &places {
        let found = needles.found_in(text.as_bytes());
        ensure!(found.is_empty(), "in {place}: {found:?}");
    }
    // It would have been found.
    for canary in &canaries {
        let own = Needles::of([*canary]);
        let hex: String = canary
            .value
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        for text in [
            canary.value.clone(),
            base64(&canary.value).into_bytes(),
            hex.into_bytes(),
        ] {
            ensure!(
                own.found_in(&text).contains(canary.about),
                "{} as such",
                canary.about
            );
        }
    }
    let kept = places::objects(cluster, "Secret", home).await?;
    let kept = needles.found_in(kept.as_bytes());
    ensure!(
        kept.len() + 2 >= canaries.len(),
        "only {kept:?} are in their Secrets"
    );
    let (_, log) = &places[0];
    ensure!(log.contains("TRACE"), "the log is not verbose");
    Ok(())
}

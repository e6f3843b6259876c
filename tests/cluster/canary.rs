//! Key values that nothing else has are found nowhere but in Secrets.
//! Must not print one when it is found: a failure names the place.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use kube::api::{DynamicObject, ListParams};
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, KINDS},
    command_line,
    operator::{Operator, Settings},
    resource::{self, api, binding, delete, key, merge, until, workspace},
    suite::{Test, test},
};

/// How long each step may take: at trace level everything does.
const SOON: Duration = Duration::from_secs(20);

pub(crate) fn tests() -> Vec<Test> {
    vec![test(
        "key values are found nowhere but in their Secrets, whatever becomes of them",
        canaries,
    )]
}

/// A value nobody has seen before, and how it is recognised.
struct Canary {
    value: String,
    needles: Vec<String>,
}

// === impl Canary ===

impl Canary {
    fn new(prefix: &str) -> Result<Self> {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut random = [0; 40];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let letters = random.map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()]));
        let own: String = letters.iter().collect();
        let value = format!("{prefix}{own}");
        // Part of it would be too much, too; and wherever it begins in something that is
        // encoded as a whole, its encoding is one of three.
        let encoded = (0..3).map(|skip| {
            let text = base64(&own.as_bytes()[skip..]);
            text[..48].to_owned()
        });
        let mut needles: Vec<String> = encoded.collect();
        needles.extend([own[..20].to_owned(), own[20..].to_owned()]);
        Ok(Self { value, needles })
    }

    fn is_in(&self, text: &str) -> bool {
        self.needles.iter().any(|needle| text.contains(needle))
    }
}

fn base64(bytes: &[u8]) -> String {
    match serde_json::to_value(k8s_openapi::ByteString(bytes.to_vec())) {
        Ok(Value::String(text)) => text,
        other => panic!("bytes are text in JSON, not {other:?}"),
    }
}

/// A manifest as people write it. Applied by kubectl it leaves the value in an annotation, so
/// that metadata alone holds it, too.
fn secret(namespace: &str, name: &str, canary: &Canary, labels: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "stringData": {"api-key": canary.value},
    })
}

async fn canaries(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("canary").await?;
    let home = namespace.as_str();
    let good = Canary::new("sk-ant-api03-")?;
    let next = Canary::new("sk-ant-api03-")?;
    let gateway = Canary::new("sk-ant-api03-")?;
    let admin = Canary::new("sk-ant-admin01-")?;
    let malformed = Canary::new("sk-ant-api03- with a blank ")?;
    let client = Canary::new("client-")?;
    let bad_client = Canary::new("sk-ant-")?;

    let none = json!({});
    let client_key = json!({"anthropic-rbac.io/client-key": "true"});
    let clients = |name: &str, secret: &str| {
        let mut binding = binding(home, name, "one", "user", &[]);
        binding["spec"]["subjects"] = json!([{"kind": "ClientKey", "name": secret}]);
        binding
    };
    // An Event is made of it.
    let mut overdue = key(home, "good", "one", "good", "good-target");
    overdue["spec"]["issuedAt"] = "2026-01-01T00:00:00Z".into();
    let manifests = [
        secret(home, "good", &good, &none),
        secret(home, "gateway", &gateway, &none),
        secret(home, "admin", &admin, &none),
        secret(home, "malformed", &malformed, &none),
        secret(home, "client", &client, &client_key),
        secret(home, "bad-client", &bad_client, &client_key),
        workspace(
            home,
            "one",
            json!({"keys": {"defaultApiKeyRef": {"name": "gateway"}}}),
        ),
        binding(home, "users", "one", "user", &["app"]),
        clients("clients", "client"),
        clients("bad-clients", "bad-client"),
        overdue,
        key(home, "gateway", "one", "gateway", ""),
        key(home, "admin", "one", "admin", "admin-target"),
        key(home, "malformed", "one", "malformed", "malformed-target"),
    ];
    let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests}).to_string();
    cluster.apply_yaml(&list)?;
    let settings = Settings {
        secrets_in: &[home],
        log: "trace",
        ..Settings::default()
    };
    let mut operator = Operator::start(cluster, settings).await?;

    // Through all that can become of a key.
    let kube = cluster.client();
    let (keys, secrets) = (api(&kube, "ApiKeyRef", home), api(&kube, "Secret", home));
    let bindings = api(&kube, "RoleBinding", home);
    for (name, wanted) in [
        ("good", ("Ready", "True", "")),
        ("gateway", ("Ready", "True", "")),
        ("admin", ("Ready", "False", "InvalidKey")),
        ("malformed", ("Ready", "False", "InvalidKey")),
    ] {
        until(&keys, name, wanted, SOON).await?;
    }
    until(&bindings, "clients", ("Ready", "True", ""), SOON).await?;
    until(
        &bindings,
        "bad-clients",
        ("Ready", "False", "InvalidClientKey"),
        SOON,
    )
    .await?;
    merge(
        &secrets,
        "good",
        json!({"stringData": {"api-key": next.value}}),
    )
    .await?;
    crate::wait::until(&secrets, "good-target", SOON, |target| {
        (resource::value(target, "ANTHROPIC_API_KEY")? == next.value).then_some(())
    })
    .await?;
    merge(
        &secrets,
        "good-target",
        json!({"data": {"ANTHROPIC_API_KEY": "c3BvaWx0"}}),
    )
    .await?;
    crate::wait::until(&secrets, "good-target", SOON, |target| {
        (resource::value(target, "ANTHROPIC_API_KEY")? == next.value).then_some(())
    })
    .await?;
    operator.restart().await?;
    delete(&secrets, "gateway").await?;
    until(&keys, "gateway", ("Ready", "False", "SourceNotFound"), SOON).await?;
    merge(&keys, "good", json!({"spec": {"state": "Revoked"}})).await?;
    until(&keys, "good", ("Ready", "True", "Revoked"), SOON).await?;

    let canaries = [
        &good,
        &next,
        &gateway,
        &admin,
        &malformed,
        &client,
        &bad_client,
    ];
    let places = places(cluster, &operator, home, &list).await?;
    for (place, text) in &places {
        for canary in canaries {
            ensure!(!canary.is_in(text), "a key value is in {place}");
        }
    }
    // It would have been found.
    let kept = everything(cluster, "Secret", home).await?;
    for canary in [&next, &admin, &malformed, &client, &bad_client] {
        ensure!(canary.is_in(&kept), "a key value is not even in its Secret");
    }
    ensure!(good.is_in(&list) && gateway.is_in(&list));
    let log = &places[0].1;
    ensure!(
        log.contains("DEBUG") || log.contains("TRACE"),
        "the log is not verbose"
    );
    Ok(())
}

/// All there is to read, by place.
async fn places(
    cluster: &Cluster,
    operator: &Operator,
    home: &str,
    manifests: &str,
) -> Result<Vec<(String, String)>> {
    let mut places = vec![
        ("the operator's log".to_owned(), operator.logged()?),
        ("its metrics".to_owned(), operator.metrics()?),
    ];
    for kind in KINDS
        .map(|(kind, _)| kind)
        .into_iter()
        .chain(["ConfigMap", "Event"])
    {
        places.push((format!("a {kind}"), everything(cluster, kind, "").await?));
    }
    let core = cluster.kubectl_ok(&["get", "--raw=/api/v1/events"])?;
    places.push(("an Event of the core group".to_owned(), core));

    let file = cluster.dir().join("canaries.json");
    fs::write(&file, manifests)?;
    let file = file.to_str().context("a path in UTF-8")?;
    let folder = cluster.dir().join("canaries");
    let out = folder.to_str().context("a path in UTF-8")?;
    let kubeconfig = cluster.kubeconfig().to_str().context("a path in UTF-8")?;
    let subject = format!("serviceaccount:{home}/app");
    let workspace = format!("{home}/one");
    let request = [
        "check",
        &subject,
        "-w",
        &workspace,
        "--model",
        "claude-haiku-4-5",
    ];
    for arguments in [
        vec!["render", "-f", file, "--out", out],
        [&request[..], &["-f", file]].concat(),
        [&request[..], &["-f", file, "-o", "json"]].concat(),
        [&request[..], &["--kubeconfig", kubeconfig]].concat(),
    ] {
        let output = command_line::run(&arguments)?;
        let said = [output.stdout, output.stderr].concat();
        ensure!(!said.is_empty(), "{arguments:?} says something");
        let said = String::from_utf8_lossy(&said).into_owned();
        places.push((format!("what {} says", arguments[0]), said));
    }
    places.push(("what render writes".to_owned(), files(&folder)?));
    ensure!(
        places.iter().all(|(_, text)| !text.is_empty()),
        "every place has something"
    );
    Ok(places)
}

/// All objects of a kind with all their metadata, managed fields included.
async fn everything(cluster: &Cluster, kind: &str, namespace: &str) -> Result<String> {
    let listed = api(&cluster.client(), kind, namespace)
        .list(&ListParams::default())
        .await?;
    let mut text = String::new();
    for object in &listed.items {
        text.push_str(&serde_json::to_string(object)?);
        // In clear what is encoded.
        text.push_str(&decoded(object));
    }
    Ok(text)
}

fn decoded(object: &DynamicObject) -> String {
    let data = object.data["data"].as_object().into_iter().flatten();
    let values = data.filter_map(|(key, _)| resource::value(object, key));
    values.collect::<Vec<_>>().join("\n")
}

/// All files of a folder and its folders.
fn files(folder: &Path) -> Result<String> {
    let mut text = String::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            text.push_str(&files(&entry.path())?);
        } else {
            text.push_str(&fs::read_to_string(entry.path())?);
        }
    }
    Ok(text)
}

//! Key values that nothing else has are found nowhere but in Secrets.
//! Must not print one when it is found: a failure names the place.

use std::{
    collections::{BTreeSet, HashMap},
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

/// How much of a value's random part is already too much.
const SLICE: usize = 12;

/// A value nobody has seen before, by what it is for.
struct Canary {
    about: &'static str,
    value: Vec<u8>,
    own: String,
}

/// Whatever a text must not have: every slice of every value, as it is, in base64 however it is
/// aligned, and in hex.
struct Needles {
    /// By length, with the canary it comes from.
    slices: Vec<(usize, HashMap<Vec<u8>, &'static str>)>,
}

// === impl Canary ===

impl Canary {
    fn new(about: &'static str, prefix: &str) -> Result<Self> {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut random = [0; 40];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let letters = random.map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()]));
        let own: String = letters.iter().collect();
        let value = format!("{prefix}{own}").into_bytes();
        Ok(Self { about, value, own })
    }

    /// With more after it.
    fn then(mut self, more: &[u8]) -> Self {
        self.value.extend(more);
        self
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.value).into_owned()
    }
}

// === impl Needles ===

impl Needles {
    fn of<'a>(canaries: impl Iterator<Item = &'a Canary>) -> Self {
        let (mut plain, mut encoded, mut hex) = (HashMap::new(), HashMap::new(), HashMap::new());
        for canary in canaries {
            let own = canary.own.as_bytes();
            let add = |map: &mut HashMap<_, _>, text: &[u8], length: usize| {
                for slice in text.windows(length) {
                    map.insert(slice.to_vec(), canary.about);
                }
            };
            add(&mut plain, own, SLICE);
            for skip in 0..3 {
                // Up to its last whole group, which what follows it does not change.
                let text = base64(&own[skip..]);
                add(&mut encoded, &text.as_bytes()[..48], 4 * SLICE / 3);
            }
            let digits: String = own.iter().map(|byte| format!("{byte:02x}")).collect();
            add(&mut hex, digits.as_bytes(), 2 * SLICE);
            add(&mut hex, digits.to_uppercase().as_bytes(), 2 * SLICE);
        }
        let slices = vec![(SLICE, plain), (4 * SLICE / 3, encoded), (2 * SLICE, hex)];
        Self { slices }
    }

    /// What the values found in a text are for.
    fn found_in(&self, text: &[u8]) -> BTreeSet<&'static str> {
        let found = self.slices.iter().flat_map(|(length, slices)| {
            text.windows(*length)
                .filter_map(|slice| slices.get(slice).copied())
        });
        found.collect()
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
fn secret(namespace: &str, name: &str, canary: &Canary) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "data": {"api-key": base64(&canary.value)},
    })
}

/// Bad values by the name of Secret and ApiKeyRef.
fn bad() -> Result<Vec<(&'static str, Canary)>> {
    let new = Canary::new;
    Ok(vec![
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
    ])
}

/// The rest of them.
struct Good {
    first: Canary,
    second: Canary,
    staged: Canary,
    gateway: Canary,
    shared: Canary,
    elsewhere: Canary,
    lent: Canary,
    kept: Canary,
    foreign: Canary,
    ungranted: Canary,
    client: Canary,
    bad_client: Canary,
    short_client: Canary,
    note: Canary,
}

impl Good {
    fn new() -> Result<Self> {
        let api = |about| Canary::new(about, "sk-ant-api03-");
        Ok(Self {
            first: api("the first version")?,
            second: api("the second version")?,
            staged: api("the staged version")?,
            gateway: api("a key for the gateway")?,
            shared: api("a shared key")?,
            elsewhere: api("a key of another workspace")?,
            lent: api("a key that was not lent")?,
            kept: api("a version that stays")?,
            foreign: api("somebody else's Secret")?,
            ungranted: api("a Secret out of reach")?,
            client: Canary::new("a client key", "client-")?,
            bad_client: Canary::new("a client key like an API key", "sk-ant-")?,
            short_client: Canary::new("a client key with a blank", "client ")?,
            note: api("a key where a key id belongs")?,
        })
    }

    fn all(&self) -> [&Canary; 14] {
        let Self {
            first,
            second,
            staged,
            gateway,
            shared,
            elsewhere,
            lent,
            kept,
            foreign,
            ungranted,
            client,
            bad_client,
            short_client,
            note,
        } = self;
        [
            first,
            second,
            staged,
            gateway,
            shared,
            elsewhere,
            lent,
            kept,
            foreign,
            ungranted,
            client,
            bad_client,
            short_client,
            note,
        ]
    }
}

fn manifests(home: &str, other: &str, good: &Good, bad: &[(&'static str, Canary)]) -> Vec<Value> {
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
    let mut noted = secret(home, "kept", &good.kept);
    noted["metadata"]["annotations"] = json!({
        "anthropic-rbac.io/key-id": good.note.text(),
        "anthropic-rbac.io/issued-at": good.note.text(),
        "anthropic-rbac.io/allow-namespaces": good.note.text(),
        "anthropic-rbac.io/allow-workspaces": good.note.text(),
    });
    let mut not_lent = key(other, "not-lent", "two", "lent", "not-lent-target");
    not_lent["spec"]["source"]["secretKeyRef"]["namespace"] = home.into();
    let mut manifests = vec![
        secret(home, "good", &good.first),
        secret(home, "staged", &good.staged),
        secret(home, "gateway", &good.gateway),
        secret(home, "shared", &good.shared),
        secret(home, "elsewhere", &good.elsewhere),
        secret(other, "elsewhere", &good.elsewhere),
        secret(home, "lent", &good.lent),
        noted,
        secret(home, "foreign-target", &good.foreign),
        secret(other, "ungranted", &good.ungranted),
        client("client", &good.client),
        client("bad-client", &good.bad_client),
        client("short-client", &good.short_client),
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
    let (good, bad) = (Good::new()?, bad()?);
    let manifests = manifests(home, &other, &good, &bad);
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
    let ready = ("Ready", "True", "");
    for name in ["good", "gateway", "shared", "shared-too", "kept"] {
        until(&keys, name, ready, SOON)
            .await
            .with_context(|| name)?;
    }
    for (name, _) in &bad {
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
        crate::wait::until(&secrets, "good-target", SOON, |target| {
            (resource::value(target, "ANTHROPIC_API_KEY")? == canary.text()).then_some(())
        })
        .await
        .with_context(|| format!("the target has {}", canary.about))
    };
    let second = json!({"stringData": {"api-key": good.second.text()}});
    merge(&secrets, "good", second).await?;
    holds(&good.second).await?;
    let spoilt = json!({"data": {"ANTHROPIC_API_KEY": "c3BvaWx0"}});
    merge(&secrets, "good-target", spoilt).await?;
    holds(&good.second).await?;
    operator.restart().await?;
    let next = json!({"next": {"secretKeyRef": {"name": "staged", "key": "api-key"}}});
    merge(&keys, "good", json!({"spec": next})).await?;
    holds(&good.staged).await?;
    delete(&secrets, "gateway").await?;
    until(&keys, "gateway", ("Ready", "False", "SourceNotFound"), SOON).await?;
    merge(&keys, "good", json!({"spec": {"state": "Revoked"}})).await?;
    until(&keys, "good", ("Ready", "True", "Revoked"), SOON).await?;

    let canaries: Vec<&Canary> = good
        .all()
        .into_iter()
        .chain(bad.iter().map(|(_, c)| c))
        .collect();
    ensure!(canaries.len() >= 20);
    let needles = Needles::of(canaries.iter().copied());
    let mistakes = mistakes(home, &good.note);
    let places = places(cluster, &operator, home, &list, &mistakes).await?;
    for (place, text) in &places {
        let found = needles.found_in(text.as_bytes());
        ensure!(found.is_empty(), "in {place}: {found:?}");
    }
    // It would have been found.
    for canary in &canaries {
        let own = Needles::of([*canary].into_iter());
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
    let kept = everything(cluster, "Secret", home).await?;
    let kept = needles.found_in(kept.as_bytes());
    ensure!(
        kept.len() + 2 >= canaries.len(),
        "only {kept:?} are in their Secrets"
    );
    let log = &places[0].1;
    ensure!(
        log.contains("DEBUG") || log.contains("TRACE"),
        "the log is not verbose"
    );
    Ok(())
}

/// What people do by mistake: the key itself where its name or id belongs.
fn mistakes(home: &str, canary: &Canary) -> Vec<Value> {
    let pasted = |path: &str| {
        let mut mistake = key(home, "mistake", "one", "good", "mistake-target");
        mistake["spec"]["keyId"] = "apikey_01EXAMPLE".into();
        if let Some(field) = mistake.pointer_mut(path) {
            *field = canary.text().into();
        }
        mistake
    };
    [
        "/spec/keyId",
        "/spec/service",
        "/spec/source/secretKeyRef/key",
        "/spec/source/secretKeyRef/name",
        "/spec/target/secretName",
    ]
    .map(pasted)
    .into()
}

/// All there is to read, by place.
async fn places(
    cluster: &Cluster,
    operator: &Operator,
    home: &str,
    manifests: &str,
    mistakes: &[Value],
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
    for arguments in [
        vec!["lint", "-f", file],
        vec!["lint", "-f", file, "-o", "json"],
        vec!["keys", "-f", file],
        vec!["keys", "--kubeconfig", kubeconfig, "-A"],
        vec!["calendar", "-f", file],
        vec!["access", &subject, "-f", file],
    ] {
        let output = command_line::run(&arguments)?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        places.push((format!("what {} says", arguments[0]), said));
    }
    for (number, mistake) in mistakes.iter().enumerate() {
        let file = cluster.dir().join(format!("mistake-{number}.json"));
        fs::write(&file, mistake.to_string())?;
        let file = file.to_str().context("a path in UTF-8")?;
        for arguments in [
            vec!["lint", "-f", file],
            vec!["render", "-f", file, "--out", out],
        ] {
            let output = command_line::run(&arguments)?;
            ensure!(!output.status.success(), "mistake {number} is one");
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said).into_owned();
            places.push((
                format!("what {} says of mistake {number}", arguments[0]),
                said,
            ));
        }
    }
    if let Some(audit) = cluster.audit_log_text()? {
        places.push(("the audit log".to_owned(), audit));
    }
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

//! What is left of keys in the memory of an operator that has done its work.
//! Must not print a value: a failure names what it was for.

use std::{collections::BTreeSet, fs, fs::File, os::unix::fs::FileExt, process, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    needles::{Canary, Needles},
    operator::{Operator, Settings},
    resource::{self, api, binding, key, merge, secret, until, workspace},
    suite::{Test, test},
    wait,
};

/// How long each step may take.
const SOON: Duration = Duration::from_secs(20);

/// How long a connection may take to close.
const CLOSED: Duration = Duration::from_secs(2);

/// Enough to have several connections at work at a time.
const KEYS: usize = 48;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "an operator that has done its work has nothing of a key in its memory",
            nothing_is_left,
        )
        .only_if(cfg!(target_os = "linux")),
    ]
}

async fn nothing_is_left(cluster: &Cluster) -> Result<()> {
    let home = cluster.namespace("memory").await?;
    let settings = Settings {
        secrets_in: &[&home],
        ..Settings::default()
    };
    let mut operator = Operator::start(cluster, settings).await?;
    let new = |about, prefix| Canary::new(about, prefix);
    let keys = (0..KEYS).map(|_| new("a key", "sk-ant-api03-"));
    let keys: Vec<Canary> = keys.collect::<Result<_>>()?;
    let rotated = new("a second version", "sk-ant-api03-")?;
    let admin = new("an admin key", "sk-ant-admin01-")?;
    let client = new("a client key", "client-EXAMPLE-")?;
    // Not secret, and there for as long as the ApiKeyRef is.
    let service = new("a service", "service-")?.in_lower_case();

    let gateway = json!({"gateways": [{"name": "edge", "type": "Envoy"}]});
    let mut clients = binding(&home, "clients", "one", "user", &[]);
    clients["spec"]["subjects"] = json!([{"kind": "ClientKey", "name": "client"}]);
    let mut client_source = secret(&home, "client", &client.text());
    client_source["metadata"]["labels"] = json!({"anthropic-rbac.io/client-key": "true"});
    let mut named = key(&home, "admin", "one", "admin", "admin-target");
    named["spec"]["service"] = service.text().into();
    let mut objects: Vec<Value> = vec![
        workspace(&home, "one", gateway),
        secret(&home, "admin", &admin.text()),
        named,
        client_source,
        clients,
    ];
    for (number, canary) in keys.iter().enumerate() {
        let name = format!("key-{number}");
        let mut source = secret(&home, &name, &canary.text());
        if number % 3 == 0 {
            // Longer than whatever comes through the same buffer later.
            source["stringData"]["a"] = "x".repeat(30_000 + 997 * number).into();
        }
        objects.push(source);
        objects.push(key(&home, &name, "one", &name, &format!("{name}-target")));
    }
    resource::create(cluster, &objects).await?;

    let kube = cluster.client();
    let (refs, secrets) = (api(&kube, "ApiKeyRef", &home), api(&kube, "Secret", &home));
    let ready = ("Ready", "True", "");
    for number in 0..KEYS {
        until(&refs, &format!("key-{number}"), ready, SOON).await?;
    }
    until(&refs, "admin", ("Ready", "False", "InvalidKey"), SOON).await?;
    until(&api(&kube, "RoleBinding", &home), "clients", ready, SOON).await?;

    let radioactive = keys.iter().chain([&rotated, &admin, &client]);
    let needles = Needles::of(radioactive.chain([&service]));
    let only_the_service = BTreeSet::from([service.about]);
    let is_clean = async |operator: &Operator, when: &str| {
        wait::poll(&format!("no key is left {when}"), CLOSED, || {
            let found = found_in(operator.pid(), &needles)?;
            ensure!(
                found.contains(service.about),
                "it is somebody else's memory"
            );
            Ok((found == only_the_service).then_some(()))
        })
        .await
    };
    is_clean(&operator, "of those that were mapped").await?;

    let second = json!({"stringData": {"api-key": rotated.text()}});
    merge(&secrets, "key-0", second).await?;
    wait::until(&secrets, "key-0-target", SOON, |target| {
        (resource::value(target, "ANTHROPIC_API_KEY")? == rotated.text()).then_some(())
    })
    .await?;
    merge(&refs, "key-1", json!({"spec": {"state": "Revoked"}})).await?;
    until(&refs, "key-1", ("Ready", "True", "Revoked"), SOON).await?;
    is_clean(
        &operator,
        "of one that was rotated and one that was revoked",
    )
    .await?;

    // This process has them all.
    let own = found_in(process::id(), &needles)?;
    ensure!(own.len() == 5, "of those that are there it finds {own:?}");
    operator.restart().await?;
    until(&refs, "key-1", ("Ready", "True", "Revoked"), SOON).await?;
    is_clean(&operator, "after a restart").await
}

/// What the values are for that are in the memory that a process can write to.
fn found_in(process: u32, needles: &Needles) -> Result<BTreeSet<&'static str>> {
    let memory = File::open(format!("/proc/{process}/mem"))?;
    let mut found = BTreeSet::new();
    for line in fs::read_to_string(format!("/proc/{process}/maps"))?.lines() {
        let mut fields = line.split_whitespace();
        let (range, rights) = (fields.next(), fields.next());
        if !rights.is_some_and(|rights| rights.starts_with("rw")) {
            continue;
        }
        let (start, end) = range
            .and_then(|range| range.split_once('-'))
            .with_context(|| format!("not a range: {line}"))?;
        let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16));
        let (start, end) = (start?, end?);
        let mut bytes = vec![0; usize::try_from(end - start)?];
        match memory.read_exact_at(&mut bytes, start) {
            Ok(()) => found.extend(needles.found_in(&bytes)),
            // Given back meanwhile: what is given back is out of reach.
            Err(error) if error.raw_os_error() == Some(5) => {}
            Err(error) => return Err(error).context("reading the memory of a process"),
        }
    }
    Ok(found)
}

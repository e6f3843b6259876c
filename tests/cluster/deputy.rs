//! The operator reads and writes for others only what they may: some hundred organisations made
//! up at random, with a thief in each, judged by the API server's audit log and by where values
//! turn up. Must not judge by the project's own resolver; [`oracle`] has the contract's sentences.

mod oracle;
mod topology;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fs::File,
    io::Read,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::ListParams;
use kube::{ResourceExt, api::DynamicObject};
use serde_json::json;

use crate::{
    audit::Requests,
    cluster::Cluster,
    operator::{Operator, Settings},
    resource::{self, api, merge, secret, workspace},
    suite::{Test, test},
    wait,
};
use oracle::{Grounds, Place, Topology};
use topology::Random;

/// How many organisations, unless `TOPOLOGIES` says otherwise.
const TOPOLOGIES: usize = 500;

/// How long all of them may take to settle.
const SETTLED: Duration = Duration::from_secs(90);

/// How many requests the test has on their way at a time.
const AT_A_TIME: usize = 16;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "in hundreds of organisations no Secret is read or written that the grants do not cover",
            deputy,
        )
        .needs_audit_log(),
    ]
}

async fn deputy(cluster: &Cluster) -> Result<()> {
    let seed = seed()?;
    println!("\nseed {seed}");
    organisations(cluster, seed)
        .await
        .with_context(|| format!("with SEED={seed}"))
}

fn seed() -> Result<u64> {
    if let Ok(seed) = env::var("SEED") {
        return Ok(seed.parse()?);
    }
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

async fn organisations(cluster: &Cluster, seed: u64) -> Result<()> {
    let count = env::var("TOPOLOGIES").map_or(Ok(TOPOLOGIES), |count| count.parse())?;
    let mut random = Random::new(seed);
    let mut namespaces = Vec::new();
    let mut gold = BTreeSet::new();
    for number in 0..6 {
        let labels: &[_] = if number % 2 == 0 {
            &[("tier", "gold")]
        } else {
            &[]
        };
        let namespace = cluster.labelled_namespace("deputy", labels).await?;
        if !labels.is_empty() {
            gold.insert(namespace.clone());
        }
        namespaces.push(namespace);
    }
    // In the last one nobody let the operator touch Secrets.
    let granted: Vec<&str> = namespaces[..5].iter().map(String::as_str).collect();
    let grounds = Grounds {
        gold: (!cluster.is_namespaced()).then_some(gold),
        granted: granted.iter().map(|name| (*name).to_owned()).collect(),
    };
    let mut topologies: Vec<Topology> = (0..count)
        .map(|number| topology::topology(&mut random, number, &namespaces))
        .collect();
    create(cluster, &topologies).await?;
    let not_ours = versions(cluster, &topologies, &namespaces).await?;

    let audit = cluster.audit_log()?;
    let mark = audit.mark().await?;
    let settings = Settings {
        secrets_in: &granted,
        ..Settings::default()
    };
    let _operator = Operator::start(cluster, settings).await?;
    let held = settled(cluster, &grounds, &topologies, &namespaces).await?;
    let eligible = topologies.iter().filter(|t| t.is_somewhere(&grounds));
    let eligible = eligible.count();
    ensure!(
        eligible * 5 > count && eligible * 5 < count * 4,
        "permitted and not permitted are both tested: {eligible} of {count}"
    );
    ensure!(
        held.values()
            .any(|places| places.iter().any(|(_, name)| name.ends_with(".keys")))
    );
    let requests = audit.since(mark).await?;
    judge(&grounds, &[&topologies], &requests)?;
    let now = versions(cluster, &topologies, &namespaces).await?;
    ensure!(not_ours == now, "somebody else's Secret was touched");

    // Every third one changes while the operator is at work.
    let before = topologies.clone();
    let mark = audit.mark().await?;
    for topology in topologies.iter_mut().step_by(3) {
        topology::change(&mut random, topology);
    }
    let changed: Vec<&Topology> = topologies.iter().step_by(3).collect();
    stream::iter(changed.into_iter().map(Ok))
        .try_for_each_concurrent(AT_A_TIME, async |topology| change(cluster, topology).await)
        .await?;
    settled(cluster, &grounds, &topologies, &namespaces)
        .await
        .context("after changes")?;
    let requests = audit.since(mark).await?;
    judge(&grounds, &[&before, &topologies], &requests).context("after changes")
}

// === on the cluster ===

async fn create(cluster: &Cluster, topologies: &[Topology]) -> Result<()> {
    let (mut secrets, mut workspaces, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for topology in topologies {
        let (source, client, foreign) = (&topology.source, &topology.client, &topology.foreign);
        let mut lender = secret(&source.namespace, &source.name, &source.value);
        let mut annotations = source.annotations();
        // Null takes away, which is for later.
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.retain(|_, text| !text.is_null());
        }
        lender["metadata"]["annotations"] = annotations;
        let mut labelled = secret(&client.namespace, &client.name, &client.value);
        if client.labelled {
            labelled["metadata"]["labels"] = json!({"anthropic-rbac.io/client-key": "true"});
        }
        secrets.extend([lender, labelled, secret(&foreign.0, &foreign.1, &foreign.2)]);
        for ours in &topology.workspaces {
            workspaces.push(workspace(&ours.namespace, &ours.name, ours.spec()));
        }
        for key in &topology.keys {
            let mut object = resource::key(&key.namespace, &key.name, "", "", "");
            object["spec"] = key.spec();
            others.push(object);
        }
        let (home, name) = &topology.keys[0].workspace;
        let of = format!("{home}/{name}");
        let mut clients = resource::binding(&client.namespace, &client.name, &of, "user", &[]);
        clients["spec"]["subjects"] = json!([{"kind": "ClientKey", "name": client.name}]);
        others.push(clients);
    }
    for objects in [secrets, workspaces, others] {
        stream::iter(objects.into_iter().map(Ok))
            .try_for_each_concurrent(AT_A_TIME, async |object| {
                resource::create_one(cluster, &object).await.map(drop)
            })
            .await?;
    }
    Ok(())
}

/// Makes one as it is described now.
async fn change(cluster: &Cluster, topology: &Topology) -> Result<()> {
    let client = cluster.client();
    let (source, ours, key) = (&topology.source, &topology.workspaces[0], &topology.keys[0]);
    let annotations = json!({"metadata": {"annotations": source.annotations()}});
    merge(
        &api(&client, "Secret", &source.namespace),
        &source.name,
        annotations,
    )
    .await?;
    let spec = json!({"spec": ours.spec()});
    merge(
        &api(&client, "Workspace", &ours.namespace),
        &ours.name,
        spec,
    )
    .await?;
    let spec = json!({"spec": key.spec()});
    merge(&api(&client, "ApiKeyRef", &key.namespace), &key.name, spec).await?;
    Ok(())
}

async fn secrets(cluster: &Cluster, namespaces: &[String]) -> Result<Vec<DynamicObject>> {
    let client = cluster.client();
    let lists = stream::iter(namespaces).map(async |namespace| {
        let listed = api(&client, "Secret", namespace)
            .list(&ListParams::default())
            .await?;
        anyhow::Ok(listed.items)
    });
    let lists: Vec<_> = lists.buffered(AT_A_TIME).try_collect().await?;
    Ok(lists.into_iter().flatten().collect())
}

fn place(object: &DynamicObject) -> Place {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// The versions of the Secrets that the test made.
async fn versions(
    cluster: &Cluster,
    topologies: &[Topology],
    namespaces: &[String],
) -> Result<BTreeMap<Place, Option<String>>> {
    let mut made = BTreeSet::new();
    for topology in topologies {
        let (source, client, foreign) = (&topology.source, &topology.client, &topology.foreign);
        made.insert((source.namespace.clone(), source.name.clone()));
        made.insert((client.namespace.clone(), client.name.clone()));
        made.insert((foreign.0.clone(), foreign.1.clone()));
    }
    let all = secrets(cluster, namespaces).await?.into_iter();
    let all = all.map(|object| (place(&object), object.resource_version()));
    Ok(all.filter(|(place, _)| made.contains(place)).collect())
}

/// Waits until every value is where it may be, and somewhere if it may be anywhere. Places by
/// number of the topology.
async fn settled(
    cluster: &Cluster,
    grounds: &Grounds,
    topologies: &[Topology],
    namespaces: &[String],
) -> Result<BTreeMap<usize, BTreeSet<Place>>> {
    let mut complaint = String::new();
    let found = wait::ask("every key is where it may be", SETTLED, async || {
        let mut held: BTreeMap<usize, BTreeSet<Place>> = BTreeMap::new();
        for object in secrets(cluster, namespaces).await? {
            let keys = object.data["data"].as_object();
            for key in keys.into_iter().flat_map(serde_json::Map::keys) {
                let value = resource::value(&object, key).unwrap_or_default();
                let number = value.strip_prefix("sk-ant-api03-EXAMPLE-");
                if let Some(number) = number.and_then(|rest| rest.get(..6)?.parse().ok()) {
                    held.entry(number).or_default().insert(place(&object));
                }
            }
        }
        complaint = complaints(grounds, topologies, &held).join("\n");
        Ok(complaint.is_empty().then_some(held))
    })
    .await;
    found.with_context(|| complaint)
}

/// What is wrong with where values are; some of it.
fn complaints(
    grounds: &Grounds,
    topologies: &[Topology],
    held: &BTreeMap<usize, BTreeSet<Place>>,
) -> Vec<String> {
    let nowhere = BTreeSet::new();
    let mut complaints = Vec::new();
    for (number, topology) in topologies.iter().enumerate() {
        let held = held.get(&number).unwrap_or(&nowhere);
        let (may_have, eligible) = (topology.may_have(grounds), topology.eligible(grounds));
        for place in held.difference(&may_have) {
            complaints.push(format!("key {number} is in {place:?}, where it may not be"));
        }
        if topology.is_somewhere(grounds) && held.is_disjoint(&eligible) {
            complaints.push(format!("key {number} is in none of {eligible:?}"));
        }
    }
    complaints.truncate(10);
    complaints
}

// === in the audit log ===

/// Whether every request is covered by one of these states of the topologies.
fn judge(grounds: &Grounds, states: &[&Vec<Topology>], requests: &Requests) -> Result<()> {
    let all = || states.iter().copied().flatten();
    let readable: BTreeSet<Place> = all().flat_map(|t| t.readable(grounds)).collect();
    let writable: BTreeSet<Place> = all().flat_map(|t| t.writable(grounds)).collect();
    let policies: BTreeSet<Place> = all()
        .flat_map(|topology| &topology.workspaces)
        .flat_map(|ours| {
            let file = |file: &str| (ours.namespace.clone(), format!("{}{file}", ours.name));
            let of_gateway = ["config", "data", "subjects-00"];
            let files = of_gateway.map(|part| file(&format!(".edge.{part}")));
            files.into_iter().chain([file(".policy")])
        })
        .collect();
    let (mut reads, mut writes) = (0, 0);
    let mut wrong = Vec::new();
    for request in &requests.0 {
        let place = (request.namespace.clone(), request.name.clone());
        let covered = match (&*request.verb, &*request.resource, &*request.subresource) {
            // By metadata: which, see `foreign`.
            ("list" | "watch", ..) => true,
            ("get", "secrets", "") => {
                reads += 1;
                readable.contains(&place) || writable.contains(&place)
            }
            ("create" | "patch" | "delete", "secrets", "") => {
                writes += 1;
                writable.contains(&place)
            }
            (_, "configmaps", "") => policies.contains(&place),
            // What the cluster signs with: public, and no object.
            ("get", "", "") => true,
            ("patch", "workspaces" | "rolebindings" | "apikeyrefs", "status") => true,
            ("create", "events", "") => true,
            _ => false,
        };
        if !covered && wrong.len() < 10 {
            wrong.push(request.to_string());
        }
    }
    ensure!(
        wrong.is_empty(),
        "not covered by any grant:\n{}",
        wrong.join("\n")
    );
    ensure!(reads > 0 && writes > 0, "there was something to judge");
    Ok(())
}

//! Two Workspaces that claim one key from the first moment: one has it, and the other holds
//! nothing of it. Must not print a value, not even a fake one.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use futures::{FutureExt, StreamExt, future};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams},
    runtime::watcher::{self, Event, watcher},
};
use serde_json::{Value, json};
use tokio::{sync::Notify, task::JoinHandle};

use crate::{
    cluster::Cluster,
    operator::{Operator, Settings},
    resource::{self, api, fake_key, key, secret, until, workspace},
    suite::{Test, test},
    wait,
};

/// How long it may take until one has given way.
const SOON: Duration = Duration::from_secs(20);

/// How long nothing may be written then.
const WINDOW: Duration = Duration::from_secs(5);

/// Pairs of ApiKeyRefs with one key: the first is in one Workspace here, in the other there.
const PAIRS: usize = 12;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "of two workspaces that are found with one key, the first has it and the other never had",
            cold,
        ),
        test(
            "of two workspaces that come with one key at once, one has it and the other nothing of it",
            at_once,
        ),
    ]
}

/// One of a pair, with the Secret that it names, which it may share with the other.
fn claimant(home: &str, pair: usize, which: usize) -> [Value; 2] {
    let name = format!("key-{pair}-{which}");
    let source = match pair % 3 {
        0 => format!("source-{pair}"),
        _ => name.clone(),
    };
    let workspace = ["one", "two"][(pair + which) % 2];
    let value = fake_key(&format!("pair-{pair}"));
    [
        secret(home, &source, &value),
        key(
            home,
            &name,
            workspace,
            &source,
            &format!("target-{pair}-{which}"),
        ),
    ]
}

/// How the two of a pair come.
enum Order {
    AtOnce,
    /// So that the first is the older, or has the name that comes first.
    OneAfterTheOther,
}

async fn create_all(cluster: &Cluster, home: &str, order: Order) -> Result<()> {
    let gateways = json!({"gateways": [{"name": "edge", "type": "Envoy"}]});
    let workspaces = ["one", "two"].map(|name| workspace(home, name, gateways.clone()));
    let mut sources = BTreeSet::new();
    let claimants = [0, 1].map(|which| {
        let objects = (0..PAIRS).flat_map(|pair| claimant(home, pair, which));
        let once = |object: &Value| {
            object["kind"] != "Secret" || sources.insert(object["metadata"]["name"].to_string())
        };
        objects.filter(once).collect()
    });
    let [first, second]: [Vec<Value>; 2] = claimants;
    match order {
        Order::AtOnce => create(cluster, &[&workspaces[..], &first, &second].concat()).await,
        Order::OneAfterTheOther => {
            create(cluster, &[&workspaces[..], &first].concat()).await?;
            create(cluster, &second).await
        }
    }
}

async fn create(cluster: &Cluster, objects: &[Value]) -> Result<()> {
    let created = objects
        .iter()
        .map(|object| resource::create_one(cluster, object));
    future::try_join_all(created).await?;
    Ok(())
}

async fn cold(cluster: &Cluster) -> Result<()> {
    for at_a_time in ["16", "1"] {
        let home = cluster.namespace("rivals").await?;
        create_all(cluster, &home, Order::OneAfterTheOther).await?;
        let held = Held::from_now_on(cluster, &home).await?;
        // With one request at a time a whole workspace comes before the other.
        let settings = Settings {
            secrets_in: &[&home],
            arguments: &["--max-in-flight", at_a_time],
            ..Settings::default()
        };
        let operator = Operator::start(cluster, settings).await?;
        let winners = settled(cluster, &home).await?;
        ensure!(winners == [0; PAIRS], "the first has it: {winners:?}");
        held.by_winners_only(&winners)?;
        drop(operator);
        // The next ones have the same keys.
        cluster.remove_namespace(&home).await?;
    }
    Ok(())
}

async fn at_once(cluster: &Cluster) -> Result<()> {
    let home = cluster.namespace("rivals").await?;
    let _operator = start(cluster, &home).await?;
    create_all(cluster, &home, Order::AtOnce).await?;
    settled(cluster, &home).await?;
    Ok(())
}

async fn start(cluster: &Cluster, home: &str) -> Result<Operator> {
    let settings = Settings {
        secrets_in: &[home],
        ..Settings::default()
    };
    Operator::start(cluster, settings).await
}

/// Waits until one of each pair has given way, and looks at what the other Secrets hold once
/// nothing is written any more. Who has it, by pair.
async fn settled(cluster: &Cluster, home: &str) -> Result<Vec<usize>> {
    let keys = api(&cluster.client(), "ApiKeyRef", home);
    for pair in 0..PAIRS {
        one_of(&keys, pair).await?;
    }
    wait::quiet(&Api::<Secret>::namespaced(cluster.client(), home), WINDOW).await?;
    let secrets = api(&cluster.client(), "Secret", home);
    let secrets = secrets.list(&ListParams::default()).await?.items;
    let mut winners = Vec::new();
    for pair in 0..PAIRS {
        let winner = one_of(&keys, pair).await?;
        let holders = secrets.iter().filter(|secret| holds(secret, pair));
        let holders: BTreeSet<_> = holders.map(|secret| secret.name_any()).collect();
        ensure!(
            holders == outputs(pair, winner),
            "pair {pair}, which {winner} has, is in {holders:?}"
        );
        winners.push(winner);
    }
    Ok(winners)
}

/// Where the key of a pair is when this one has it.
fn outputs(pair: usize, which: usize) -> BTreeSet<String> {
    let workspace = ["one", "two"][(pair + which) % 2];
    let target = format!("target-{pair}-{which}");
    [target, format!("{workspace}.edge.keys")].into()
}

/// Which outputs ever had the key of each pair.
struct Held {
    ever: Arc<Mutex<BTreeMap<usize, BTreeSet<String>>>>,
    task: JoinHandle<()>,
}

impl Held {
    async fn from_now_on(cluster: &Cluster, home: &str) -> Result<Self> {
        let ever: Arc<Mutex<BTreeMap<usize, BTreeSet<String>>>> = Arc::default();
        let (told, listed) = (Arc::clone(&ever), Arc::new(Notify::new()));
        let (api, ready) = (api(&cluster.client(), "Secret", home), Arc::clone(&listed));
        let task = tokio::spawn(async move {
            let mut events = pin!(watcher(api, watcher::Config::default()));
            while let Some(event) = events.next().await {
                match event {
                    Ok(Event::InitApply(secret) | Event::Apply(secret)) => {
                        let mut ever = told.lock().unwrap_or_else(PoisonError::into_inner);
                        for pair in (0..PAIRS).filter(|pair| holds(&secret, *pair)) {
                            ever.entry(pair).or_default().insert(secret.name_any());
                        }
                    }
                    Ok(Event::InitDone) => ready.notify_one(),
                    Ok(Event::Init | Event::Delete(_)) | Err(_) => {}
                }
            }
        });
        let held = Self { ever, task };
        tokio::time::timeout(SOON, listed.notified())
            .await
            .context("the Secrets are watched")?;
        Ok(held)
    }

    fn by_winners_only(&self, winners: &[usize]) -> Result<()> {
        let ever = self.ever.lock().unwrap_or_else(PoisonError::into_inner);
        for (pair, winner) in winners.iter().enumerate() {
            let held = ever.get(&pair);
            ensure!(
                held == Some(&outputs(pair, *winner)),
                "pair {pair}, which {winner} has, was in {held:?}"
            );
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Which of a pair has the key, once the other says that it has not.
async fn one_of(keys: &Api<DynamicObject>, pair: usize) -> Result<usize> {
    let has = |winner: usize| {
        let (winner_name, loser_name) = (
            format!("key-{pair}-{winner}"),
            format!("key-{pair}-{}", 1 - winner),
        );
        async move {
            let refused = ("Ready", "False", "KeyInAnotherWorkspace");
            let message = until(keys, &loser_name, refused, SOON).await?;
            ensure!(!message.contains(&winner_name), "it names nobody");
            until(keys, &winner_name, ("Ready", "True", ""), SOON).await?;
            Ok(winner)
        }
        .boxed()
    };
    let (winner, _) = future::select_ok([has(0), has(1)])
        .await
        .with_context(|| format!("pair {pair} has one key"))?;
    Ok(winner)
}

/// Whether one that the operator wrote has the key of a pair.
fn holds(secret: &DynamicObject, pair: usize) -> bool {
    let (name, value) = (secret.name_any(), fake_key(&format!("pair-{pair}")));
    let data = secret.data["data"].as_object().into_iter().flatten();
    (name.starts_with("target") || name.ends_with(".keys"))
        && data
            .into_iter()
            .any(|(key, _)| resource::value(secret, key).is_some_and(|held| held == value))
}

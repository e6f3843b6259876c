//! Two Workspaces that claim one key from the first moment: one has it, and the other holds
//! nothing of it. Must not print a value, not even a fake one.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use futures::{FutureExt, future};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams},
};
use serde_json::json;

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

/// Pairs of ApiKeyRefs with one key: the older is in one Workspace here, in the other there.
const PAIRS: usize = 6;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "of two workspaces that are found with one key, one has it and the other nothing of it",
            cold,
        ),
        test(
            "of two workspaces that come with one key at once, one has it and the other nothing of it",
            at_once,
        ),
    ]
}

/// One of a pair, with the Secret that it names, which it may share with the other.
fn claimant(home: &str, pair: usize, which: usize) -> [serde_json::Value; 2] {
    let name = format!("key-{pair}-{which}");
    let source = match pair % 3 {
        0 => name.clone(),
        _ => format!("source-{pair}"),
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

async fn create_all(cluster: &Cluster, home: &str) -> Result<()> {
    let gateways = json!({"gateways": [{"name": "edge", "type": "Envoy"}]});
    let workspaces = ["one", "two"].map(|name| workspace(home, name, gateways.clone()));
    let mut objects = workspaces.to_vec();
    let mut sources = BTreeSet::new();
    for pair in 0..PAIRS {
        for [source, key] in [0, 1].map(|which| claimant(home, pair, which)) {
            if sources.insert(source["metadata"]["name"].to_string()) {
                objects.push(source);
            }
            objects.push(key);
        }
    }
    let created = objects
        .iter()
        .map(|object| resource::create_one(cluster, object));
    future::try_join_all(created).await?;
    Ok(())
}

async fn cold(cluster: &Cluster) -> Result<()> {
    let home = cluster.namespace("rivals").await?;
    create_all(cluster, &home).await?;
    let _operator = start(cluster, &home).await?;
    settled(cluster, &home).await
}

async fn at_once(cluster: &Cluster) -> Result<()> {
    let home = cluster.namespace("rivals").await?;
    let _operator = start(cluster, &home).await?;
    create_all(cluster, &home).await?;
    settled(cluster, &home).await
}

async fn start(cluster: &Cluster, home: &str) -> Result<Operator> {
    let settings = Settings {
        secrets_in: &[home],
        ..Settings::default()
    };
    Operator::start(cluster, settings).await
}

/// Waits until one of each pair has given way, and looks at what the other Secrets hold once
/// nothing is written any more.
async fn settled(cluster: &Cluster, home: &str) -> Result<()> {
    let keys = api(&cluster.client(), "ApiKeyRef", home);
    for pair in 0..PAIRS {
        one_of(&keys, pair).await?;
    }
    wait::quiet(&Api::<Secret>::namespaced(cluster.client(), home), WINDOW).await?;
    let secrets = api(&cluster.client(), "Secret", home);
    let secrets = secrets.list(&ListParams::default()).await?.items;
    for pair in 0..PAIRS {
        let winner = one_of(&keys, pair).await?;
        let workspace = ["one", "two"][(pair + winner) % 2];
        let outputs = [
            format!("target-{pair}-{winner}"),
            format!("{workspace}.edge.keys"),
        ];
        let value = fake_key(&format!("pair-{pair}"));
        let holders: BTreeSet<_> = secrets
            .iter()
            .filter(|secret| holds(secret, &value))
            .map(|secret| secret.name_any())
            .filter(|name| name.starts_with("target") || name.ends_with(".keys"))
            .collect();
        ensure!(
            holders == outputs.into(),
            "pair {pair}, which {workspace} has, is in {holders:?}"
        );
    }
    Ok(())
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

fn holds(secret: &DynamicObject, value: &str) -> bool {
    let data = secret.data["data"].as_object().into_iter().flatten();
    data.into_iter()
        .any(|(key, _)| resource::value(secret, key).is_some_and(|held| held == value))
}

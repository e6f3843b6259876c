//! Secrets of others, in a namespace whose Secrets are watched: seen by their metadata, and cheap.
//! Must not judge by the audit log: it does not tell in which form an answer was wanted.

use std::{
    env,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use futures::{TryStreamExt, stream};
use serde_json::json;

use crate::{
    cluster::Cluster,
    operator::{Operator, Settings},
    resource::{self, api, fake_key, key, secret, until, workspace},
    suite::{Test, test},
    tap::Tap,
};

/// How much longer a cold start may take.
const LONGER: Duration = Duration::from_secs(5);

/// How long it may take at all.
const SOON: Duration = Duration::from_secs(60);

/// Most resident memory of an optimised operator, in bytes.
const MEMORY: u64 = 40 * 1024 * 1024;

/// How many Secrets the test creates at a time.
const AT_A_TIME: usize = 16;

pub(crate) fn tests() -> Vec<Test> {
    let measured = env::var("MEASURE").is_ok_and(|value| value == "true");
    vec![
        test(
            "of foreign Secrets only the metadata is asked for, and they delay nothing",
            async |cluster: &Cluster| foreign(cluster, 10, 1000).await,
        ),
        test(
            "measure: 300 foreign Secrets of 1 MB and 30,000 small ones",
            async |cluster: &Cluster| foreign(cluster, 300, 30_000).await,
        )
        .cluster_wide()
        .only_if(measured),
    ]
}

async fn foreign(cluster: &Cluster, large: usize, small: usize) -> Result<()> {
    let namespace = cluster.namespace("foreign").await?;
    let home = namespace.as_str();
    let one = workspace(home, "one", json!({"displayName": "One"}));
    resource::create_one(cluster, &one).await?;
    let without = cold_start(cluster, home, "without", None).await?;

    // As large as the API server takes them.
    let megabyte = "x".repeat(1_000_000);
    let objects = (0..large + small).map(|number| {
        let value = if number < large { &*megabyte } else { "small" };
        secret(home, &format!("foreign-{number}"), value)
    });
    stream::iter(objects.map(Ok))
        .try_for_each_concurrent(AT_A_TIME, async |object| {
            resource::create_one(cluster, &object).await.map(drop)
        })
        .await?;
    let tap = Tap::start(cluster).await?;
    let with = cold_start(cluster, home, "with", Some(&tap)).await?;
    println!(
        "\n  ready in {without:.2?} without, in {with:.2?} with {large} large and {small} small ones"
    );
    ensure!(
        with <= without + LONGER,
        "ready in {with:?}, and in {without:?} without them"
    );

    let (mut collections, mut single) = (0, 0);
    for asked in tap.asked() {
        let metadata = asked.accept.contains("as=PartialObjectMetadata");
        if asked.path.ends_with("/secrets") && asked.method == "GET" {
            collections += 1;
            ensure!(metadata, "with values: {asked:?}");
        } else if asked.path.contains("/secrets/foreign-") {
            single += 1;
        }
    }
    ensure!(collections > 0, "they were listed and watched");
    ensure!(single == 0, "{single} requests for foreign Secrets");
    Ok(())
}

/// How long a fresh operator takes until a fresh key is ready.
async fn cold_start(
    cluster: &Cluster,
    home: &str,
    name: &str,
    through: Option<&Tap>,
) -> Result<Duration> {
    let objects = [
        secret(home, name, &fake_key(name)),
        key(home, name, "one", name, &format!("{name}-target")),
    ];
    resource::create(cluster, &objects).await?;
    // Bound once.
    let secrets_in: &[&str] = if name == "without" { &[home] } else { &[] };
    let start = Instant::now();
    let operator = Operator::spawn(
        cluster,
        Settings {
            secrets_in,
            through,
            ..Settings::default()
        },
    )?;
    let keys = api(&cluster.client(), "ApiKeyRef", home);
    until(&keys, name, ("Ready", "True", ""), SOON).await?;
    let took = start.elapsed();
    let (now, peak) = (operator.rss_bytes()?, operator.peak_rss_bytes()?);
    println!(
        "  {name}: {} KiB resident, at most {} KiB",
        now / 1024,
        peak / 1024
    );
    let optimised = env::var_os("ANTHROPIC_RBAC_BINARY").is_some();
    ensure!(!optimised || now <= MEMORY, "{now} bytes of memory");
    Ok(took)
}

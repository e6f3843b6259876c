//! What the operator costs: time to converge from cold, memory, processor time, requests.
//! Prints figures and asserts none but that nothing is written twice; `make bench` runs it.

mod organisation;
mod revocation;

use std::{
    collections::BTreeMap,
    env,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;

use crate::{
    audit::Requests,
    cluster::Cluster,
    operator::{Operator, Settings},
    suite::{Test, test},
    wait,
};
use organisation::Organisation;

/// How often it is measured; the median counts.
const ROUNDS: usize = 3;

/// How long it settles, and then idles.
const WINDOW: Duration = Duration::from_secs(30);

/// No round takes longer.
const LONG: Duration = Duration::from_secs(300);

pub(crate) fn tests() -> Vec<Test> {
    let asked_for = env::var("MEASURE").is_ok_and(|value| value == "true");
    let measure = "measure: 1,000 bindings in 50 namespaces converge from cold";
    vec![
        test(measure, measure_all)
            .needs_audit_log()
            .cluster_wide()
            .only_if(asked_for),
        test(
            "measure: a key is taken away while 1,000 other objects are reconciled",
            revocation::measure,
        )
        .cluster_wide()
        .only_if(asked_for),
    ]
}

async fn measure_all(cluster: &Cluster) -> Result<()> {
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let (cold, floor) = measure(cluster, round).await?;
        rounds.push((cold.as_secs_f64() / floor.as_secs_f64(), cold, floor));
    }
    rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    println!("\nall rounds, by ratio (the middle one counts):");
    println!("  {:>8} {:>8} {:>6}", "cold", "floor", "ratio");
    for (ratio, cold, floor) in rounds {
        println!("  {:>8} {:>8} {ratio:>6.2}", seconds(cold), seconds(floor));
    }
    Ok(())
}

async fn measure(cluster: &Cluster, round: usize) -> Result<(Duration, Duration)> {
    let letters: Vec<char> = ('a'..='z').skip(2 * round).take(2).collect();
    let organisation = Organisation::new(letters[0]);
    organisation.create(cluster).await?;
    organisation.allow_secrets(cluster).await?;
    let audit = cluster.audit_log()?;
    let mark = audit.mark().await?;
    let (mut operator, cold) = organisation
        .all_ready(cluster, || Operator::spawn(cluster, Settings::default()))
        .await?;
    println!(
        "\nround {}: cold start to all ready in {}",
        round + 1,
        seconds(cold)
    );
    let converged = operator.cpu_seconds()?;
    if round == 0 {
        operator.ready().await?;
        idle(cluster, &organisation).await?;
        print_requests("cold start and 30 s idle", &audit.since(mark).await?);
        print_memory("settled and idle", &operator)?;
        println!(
            "  processor: {converged:.2} s until all was ready, {:.2} s after 30 s idle",
            operator.cpu_seconds()?
        );
        restart(cluster, &organisation, &mut operator).await?;
    }
    drop(operator);

    let copy = Organisation::new(letters[1]);
    let bodies = organisation.bodies(cluster, letters[1]).await?;
    cluster_without(cluster, &organisation).await?;
    copy.create(cluster).await?;
    let floor = bodies.write(cluster).await?;
    println!(
        "  the floor: {} outputs and {} statuses blindly written in {}",
        bodies.outputs.len(),
        bodies.statuses.len(),
        seconds(floor)
    );
    cluster_without(cluster, &copy).await?;
    Ok((cold, floor))
}

async fn restart(
    cluster: &Cluster,
    organisation: &Organisation,
    operator: &mut Operator,
) -> Result<()> {
    let audit = cluster.audit_log()?;
    let mark = audit.mark().await?;
    let start = Instant::now();
    operator.restart().await?;
    println!(
        "  restart: stopped and ready again in {}",
        seconds(start.elapsed())
    );
    idle(cluster, organisation).await?;
    let requests = audit.since(mark).await?;
    print_requests("silent restart and 30 s idle", &requests);
    print_memory("after the restart", operator)?;
    println!("  processor: {:.2} s", operator.cpu_seconds()?);
    ensure!(
        requests.writes().is_empty(),
        "written:\n{}",
        requests.writes()
    );
    Ok(())
}

async fn idle(cluster: &Cluster, organisation: &Organisation) -> Result<()> {
    let api = Api::<ConfigMap>::namespaced(cluster.client(), &organisation.home);
    wait::quiet(&api, WINDOW).await
}

/// Without its objects and namespaces, so that their end does not disturb the next figure.
async fn cluster_without(cluster: &Cluster, organisation: &Organisation) -> Result<()> {
    cluster.remove_namespaces().await?;
    let api = Api::<Namespace>::all(cluster.client());
    for namespace in organisation.namespaces() {
        wait::until_gone(&api, namespace, LONG).await?;
    }
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn print_memory(when: &str, operator: &Operator) -> Result<()> {
    let megabytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / 1024.0 / 1024.0);
    println!(
        "  memory, {when}: PSS {}, RSS {}, highest RSS {}",
        megabytes(operator.pss_bytes()?),
        megabytes(operator.rss_bytes()?),
        megabytes(operator.peak_rss_bytes()?)
    );
    Ok(())
}

fn print_requests(of: &str, requests: &Requests) {
    println!("  requests, {of}:");
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for ((verb, resource, part), count) in requests.counts() {
        let part = if part.is_empty() {
            part
        } else {
            format!("/{part}")
        };
        counts.insert(format!("{verb} {resource}{part}"), count);
    }
    for (request, count) in counts {
        println!("    {count:>6} {request}");
    }
}

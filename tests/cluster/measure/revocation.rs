//! How fast a key is taken away, and how fast while 1,000 other objects are being reconciled.
//! Must not count what kubectl itself takes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde_json::json;

use super::{LONG, organisation::Organisation};
use crate::{
    cluster::Cluster,
    operator::{Operator, Settings},
    resource::{self, api, service_account},
    revocation::{Scene, WAYS},
};

/// Every way is measured so often.
const ROUNDS: usize = 5;

/// Nineteen of twenty revocations take no longer.
const P95: Duration = Duration::from_secs(1);

/// Edits on their way at a time.
const EDITS: usize = 8;

pub(super) async fn measure(cluster: &Cluster) -> Result<()> {
    let scene = Scene::set(cluster).await?;
    let settings = Settings {
        secrets_in: &scene.namespaces(),
        ..Settings::default()
    };
    let mut operator = Operator::start(cluster, settings).await?;
    rounds("nothing else to do", &scene).await?;

    let organisation = Organisation::new('r');
    organisation.create(cluster).await?;
    organisation.allow_secrets(cluster).await?;
    operator.ready().await?;
    let churn = Arc::new(Churn {
        client: cluster.client(),
        bindings: bindings(&organisation),
        stop: AtomicBool::new(false),
        edits: AtomicUsize::new(0),
    });
    let lanes: Vec<_> = (0..EDITS)
        .map(|lane| tokio::spawn(churn.clone().edit(lane)))
        .collect();
    let start = Instant::now();
    let measured = rounds("1,000 bindings are edited all the time", &scene).await;
    churn.stop.store(true, Ordering::Relaxed);
    for lane in lanes {
        lane.await?;
    }
    let rate = churn.edits.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64();
    println!("  {rate:.0} other objects were edited in a second");
    measured
}

fn bindings(organisation: &Organisation) -> Vec<(String, String)> {
    let teams = organisation
        .namespaces()
        .filter(|name| *name != organisation.home);
    let of_team = |team: &str| {
        let team = team.to_owned();
        (0..20).map(move |n| (team.clone(), format!("service-{n:02}")))
    };
    teams.flat_map(of_team).collect()
}

/// Edits that go on until they are stopped.
struct Churn {
    client: kube::Client,
    bindings: Vec<(String, String)>,
    stop: AtomicBool,
    edits: AtomicUsize,
}

impl Churn {
    /// Edits one binding after the other, round and round; every lane has its own.
    async fn edit(self: Arc<Self>, lane: usize) {
        for round in 0.. {
            for (namespace, name) in self.bindings.iter().skip(lane).step_by(EDITS) {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                let subjects = [
                    service_account(name),
                    service_account(&format!("{name}-{round}")),
                ];
                let change = json!({"spec": {"subjects": subjects}});
                let bindings = api(&self.client, "RoleBinding", namespace);
                if resource::merge(&bindings, name, change).await.is_ok() {
                    self.edits.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

async fn rounds(when: &str, scene: &Scene<'_>) -> Result<()> {
    let mut times = Vec::new();
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        for way in WAYS {
            scene.given().await?;
            times.push((scene.take_away(way).await?, way.name));
            scene.give_back(way)?;
            ensure!(begun.elapsed() < LONG, "it takes too long");
        }
    }
    scene.given().await?;
    times.sort();
    let at = |part: f64| times[((times.len() - 1) as f64 * part).round() as usize].0;
    let (slowest, way) = times[times.len() - 1];
    println!(
        "\nout of target, gateway and policy after kubectl has returned, {when} (n = {}):\n  median {:?}, \
         95th percentile {:?}, slowest {slowest:?} ({way})",
        times.len(),
        at(0.5),
        at(0.95),
    );
    ensure!(at(0.95) <= P95, "the 95th percentile is over {P95:?}");
    Ok(())
}

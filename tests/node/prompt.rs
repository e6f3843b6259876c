//! How soon a change that takes access away is seen inside a running gateway: from the moment it
//! holds (kubectl has returned, or its time has come) to the pod's files, while other objects are
//! being reconciled. Prints what it measures.

use std::{env, time::Duration};

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::{
    cluster::Cluster,
    gateway::{self, FILES, in_files, patch, set_key},
    pod,
    resource::{self, api, binding, service_account, workspace},
    suite::{Test, test},
};

const SOON: Duration = Duration::from_secs(30);

/// By when it is to have reached a pod, in 19 of 20 cases.
const PROMPT: Duration = Duration::from_millis(1500);

/// By when a kubelet that nobody hurries has looked again.
const KUBELET: Duration = Duration::from_secs(120);

pub(crate) fn tests() -> Vec<Test> {
    vec![test(
        "access that is taken away is gone from a running gateway within 1.5 s, if that is hurried",
        taken_away,
    )]
}

/// How often each delay is measured.
pub(crate) fn tries() -> usize {
    let asked = env::var("NODE_TRIES").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(10)
}

/// A way to lose access.
struct Loss {
    what: &'static str,
    /// Takes access away in a namespace; from when on it holds, which may be in a moment.
    take: fn(&Cluster, &str) -> Result<Timestamp>,
    give: fn(&Cluster, &str) -> Result<()>,
    /// What then holds in the gateway's files, and not before. `KEY` is the key's.
    seen: &'static str,
}

const REVOKED: Loss = Loss {
    what: "revoked key",
    take: |cluster, home| {
        set_key(cluster, home, "Revoked")?;
        Ok(Timestamp::now())
    },
    give: |cluster, home| set_key(cluster, home, "Active"),
    seen: "[ ! -e KEY ]",
};

const NO_GRANT: &str = "! grep -q '\"binding\":' policy.json";

const EXPIRED: Loss = Loss {
    what: "expired grant",
    take: |cluster, home| {
        // Whole seconds; late enough for the operator to see it before.
        let at = Timestamp::from_second(Timestamp::now().as_second() + 3)?;
        patch(cluster, home, USERS, &json!({"expiresAt": at.to_string()}))?;
        Ok(at)
    },
    give: |cluster, home| patch(cluster, home, USERS, &json!({"expiresAt": null})),
    seen: NO_GRANT,
};

const REMOVED: Loss = Loss {
    what: "removed grant",
    take: |cluster, home| {
        cluster.kubectl_ok(&["delete", USERS, "--namespace", home])?;
        Ok(Timestamp::now())
    },
    give: |cluster, home| {
        cluster.apply_yaml(&users(home).to_string())?;
        Ok(())
    },
    seen: NO_GRANT,
};

const BLOCKED: Loss = Loss {
    what: "blocked subject",
    take: |cluster, home| {
        let mut subject = service_account("first");
        subject["namespace"] = home.into();
        patch(
            cluster,
            home,
            "aiws/one",
            &json!({"blockedSubjects": [subject]}),
        )?;
        Ok(Timestamp::now())
    },
    give: |cluster, home| patch(cluster, home, "aiws/one", &json!({"blockedSubjects": null})),
    seen: "grep -q '\"blocked\": \\[\"' policy.json",
};

const DISABLED: Loss = Loss {
    what: "Workspace Disabled",
    take: |cluster, home| {
        patch(cluster, home, "aiws/one", &json!({"state": "Disabled"}))?;
        Ok(Timestamp::now())
    },
    give: |cluster, home| patch(cluster, home, "aiws/one", &json!({"state": null})),
    seen: "grep -q '\"state\":\"Disabled\"' policy.json && [ ! -e KEY ]",
};

const USERS: &str = "airb/users";

fn users(namespace: &str) -> serde_json::Value {
    binding(namespace, "users", "one", "user", &["first"])
}

async fn taken_away(cluster: &Cluster) -> Result<()> {
    // What waits for the kubelet's own time does so beside the others.
    let unhurried = Measured::set_up(cluster, &REVOKED, false).await?;
    let unhurried = async {
        // Every try takes about a minute.
        let mut delays = unhurried.delays(tries().div_ceil(10)).await?;
        print(REVOKED.what, "seen in the pod, not hurried", &mut delays);
        anyhow::Ok(())
    };
    let hurried = async {
        for loss in [&REVOKED, &EXPIRED, &REMOVED, &BLOCKED, &DISABLED] {
            prompt(cluster, loss).await.context(loss.what)?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(unhurried, hurried)?;
    Ok(())
}

async fn prompt(cluster: &Cluster, loss: &Loss) -> Result<()> {
    let measured = Measured::set_up(cluster, loss, true).await?;
    let mut delays = measured.delays(tries()).await?;
    print(loss.what, "seen in the pod, hurried", &mut delays);
    let p95 = percentile(&delays, 95);
    ensure!(
        p95 <= PROMPT,
        "19 of 20 took up to {p95:?}, want {PROMPT:?}"
    );
    Ok(())
}

/// A running gateway that loses access again and again.
struct Measured<'a> {
    cluster: &'a Cluster,
    loss: &'a Loss,
    home: String,
    /// Where other objects are being reconciled.
    elsewhere: String,
    /// What holds in the gateway's files once access is lost.
    seen: String,
    /// How long that may take.
    within: Duration,
}

// === impl Measured ===

impl<'a> Measured<'a> {
    async fn set_up(cluster: &'a Cluster, loss: &'a Loss, hurried: bool) -> Result<Self> {
        let (spec, within) = if hurried {
            (gateway::with_pods(), SOON)
        } else {
            (gateway::without_pods(), KUBELET)
        };
        let home = gateway::organisation(cluster, spec, hurried).await?;
        resource::create(cluster, &[users(&home)]).await?;
        pod::run(cluster, &pod::pod(&home, "edge", "gateway", &FILES)).await?;
        let key = gateway::key_file(cluster, &home).await?;
        let elsewhere = cluster.namespace("noise").await?;
        resource::create(cluster, &[workspace(&elsewhere, "two", json!({}))]).await?;
        Ok(Self {
            cluster,
            loss,
            home,
            elsewhere,
            seen: loss.seen.replace("KEY", &key),
            within,
        })
    }

    /// How long each of so many losses takes to be seen in the pod.
    async fn delays(&self, tries: usize) -> Result<Vec<Duration>> {
        let measuring = async {
            let mut delays = Vec::new();
            for _ in 0..tries {
                delays.push(self.delay().await?);
            }
            Ok(delays)
        };
        tokio::select! {
            delays = measuring => delays,
            error = noise(self.cluster, &self.elsewhere) => error.map(|()| Vec::new()),
        }
    }

    async fn delay(&self) -> Result<Duration> {
        let (cluster, home) = (self.cluster, self.home.as_str());
        let before = in_files(&format!("! {{ {}; }}", self.seen));
        let mut before = pod::until(cluster, home, "edge", &before)?;
        before.holds(self.within).await?;
        let mut after = pod::until(cluster, home, "edge", &in_files(&self.seen))?;
        let from = (self.loss.take)(cluster, home)?;
        after.holds(self.within).await?;
        let delay = Timestamp::now().duration_since(from);
        ensure!(delay >= SignedDuration::ZERO, "{delay} before its time");
        (self.loss.give)(cluster, home)?;
        Ok(Duration::try_from(delay)?)
    }
}

/// Another workspace's bindings, made and deleted without end.
async fn noise(cluster: &Cluster, namespace: &str) -> Result<()> {
    let bindings = api(&cluster.client(), "RoleBinding", namespace);
    for i in 0.. {
        let name = format!("noise-{}", i % 50);
        if bindings.get_opt(&name).await?.is_some() {
            resource::delete(&bindings, &name).await?;
        } else {
            let object = binding(namespace, &name, "two", "user", &[&name]);
            resource::create(cluster, &[object]).await?;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let last = sorted.len() - 1;
    sorted[(sorted.len() * percent)
        .div_ceil(100)
        .saturating_sub(1)
        .min(last)]
}

pub(crate) fn print(what: &str, how: &str, delays: &mut [Duration]) {
    delays.sort();
    let of = |percent| percentile(delays, percent).as_secs_f64();
    println!(
        "{what} {how}: n {}, min {:.2}, median {:.2}, p95 {:.2}, max {:.2} s",
        delays.len(),
        of(0),
        of(50),
        of(95),
        of(100)
    );
}

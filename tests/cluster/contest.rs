//! Two ApiKeyRefs want one target: one has it, the other says so, and takes over without a gap.
//! Must not print a value, not even a fake one.

use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::DynamicObject,
    runtime::watcher::{self, Event, watcher},
};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::{
    cluster::Cluster,
    operator::{Operator, Settings},
    resource::{self, api, delete, fake_key, key, merge, secret, until, workspace},
    suite::{Test, test},
    wait,
};

/// How long each step may take.
const SOON: Duration = Duration::from_secs(20);

/// How long nothing may be written.
const WINDOW: Duration = Duration::from_secs(5);

/// How often all that can happen around a target happens.
const ROUNDS: usize = 10;

/// How long Kubernetes may take to collect what nobody owns.
const COLLECTED: Duration = Duration::from_secs(45);

/// How often the winner is deleted, and its heir has to be quicker than the garbage collector.
const SUCCESSIONS: usize = 8;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "however much happens to keys with one target, it is written once for each change of its winner",
            one_writes,
        )
        .needs_audit_log(),
        test(
            "when the key that has a target is deleted, the next one takes it over without a gap",
            succession,
        )
        .needs_controllers(),
        test("a target goes with the last key that wants it", last).needs_controllers(),
    ]
}

/// Keys `key-0`, `key-1`, … with sources of their own and one target; the first has it.
async fn contest(cluster: &Cluster, keys: usize) -> Result<(String, Operator)> {
    let home = cluster.namespace("contest").await?;
    let one = workspace(&home, "one", json!({"displayName": "One"}));
    resource::create_one(cluster, &one).await?;
    let settings = Settings {
        secrets_in: &[&home],
        ..Settings::default()
    };
    let operator = Operator::start(cluster, settings).await?;
    let refs = api(&cluster.client(), "ApiKeyRef", &home);
    for number in 0..keys {
        let name = format!("key-{number}");
        resource::create_one(cluster, &secret(&home, &name, &fake_key(&name))).await?;
        resource::create_one(cluster, &key(&home, &name, "one", &name, "target")).await?;
        let wanted = match number {
            0 => ("Ready", "True", ""),
            _ => ("Ready", "False", "TargetConflict"),
        };
        let message = until(&refs, &name, wanted, SOON).await?;
        ensure!(
            number == 0 || message.contains("key-0"),
            "it says who has it: {message}"
        );
    }
    Ok((home, operator))
}

fn holds(target: &DynamicObject, key: &str) -> bool {
    resource::value(target, "ANTHROPIC_API_KEY") == Some(fake_key(key))
}

async fn one_writes(cluster: &Cluster) -> Result<()> {
    let (home, mut operator) = contest(cluster, 3).await?;
    let client = cluster.client();
    let (refs, secrets) = (
        api(&client, "ApiKeyRef", &home),
        api(&client, "Secret", &home),
    );
    let before = secrets.get("target").await?;
    ensure!(holds(&before, "key-0"));

    let audit = cluster.audit_log()?;
    let mark = audit.mark().await?;
    // Whatever the losers do, and whatever else, and after restarts.
    let workspaces = api(&client, "Workspace", &home);
    let conflict = ("Ready", "False", "TargetConflict");
    for round in 0..ROUNDS {
        let title = json!({"spec": {"displayName": format!("Title {round}")}});
        merge(&workspaces, "one", title).await?;
        for loser in ["key-1", "key-2"] {
            let value = fake_key(&format!("{loser}-{round}"));
            merge(&secrets, loser, json!({"stringData": {"api-key": value}})).await?;
            let service = json!({"spec": {"service": format!("{loser}-{round}")}});
            merge(&refs, loser, service).await?;
            until(&refs, loser, conflict, SOON).await?;
        }
    }
    operator.restart().await?;
    wait::quiet(&Api::<Secret>::namespaced(client, &home), WINDOW).await?;
    let written = async |mark| {
        let writes = audit.since(mark).await?.writes();
        let to_target = writes.0.into_iter().filter(|request| {
            request.resource == "secrets" && (request.name == "target" || request.verb == "create")
        });
        anyhow::Ok(to_target.count())
    };
    assert_eq!(written(mark).await?, 0, "times it was written for losers");
    let after = secrets.get("target").await?;
    assert_eq!(
        before.metadata.resource_version,
        after.metadata.resource_version
    );

    // And the winner goes on as if it were alone.
    let mark = audit.mark().await?;
    let mut newest = String::new();
    for round in 0..ROUNDS {
        newest = format!("newer-{round}");
        let value = json!({"stringData": {"api-key": fake_key(&newest)}});
        merge(&secrets, "key-0", value).await?;
        wait::until(&secrets, "target", SOON, |target| {
            holds(target, &newest).then_some(())
        })
        .await?;
        let value = json!({"stringData": {"api-key": fake_key(&format!("another-{round}"))}});
        merge(&secrets, "key-1", value).await?;
    }
    assert_eq!(written(mark).await?, ROUNDS, "times it was written");
    let mark = audit.mark().await?;
    for _ in 0..ROUNDS {
        let spoilt = json!({"data": {"ANTHROPIC_API_KEY": "c3BvaWx0"}});
        merge(&secrets, "target", spoilt).await?;
        wait::until(&secrets, "target", SOON, |target| {
            holds(target, &newest).then_some(())
        })
        .await?;
    }
    assert_eq!(written(mark).await?, ROUNDS, "times it was restored");
    Ok(())
}

/// Waits until Kubernetes collects what our objects own: it looks for new kinds twice a minute.
async fn collector_is_awake(cluster: &Cluster, home: &str) -> Result<()> {
    let owner = resource::create_one(cluster, &key(home, "owner", "one", "none", "")).await?;
    let reference = json!([{
        "apiVersion": "anthropic-rbac.io/v1alpha1", "kind": "ApiKeyRef",
        "name": "owner", "uid": owner.metadata.uid,
    }]);
    let mut owned = resource::config_map(home, "owned", "key", "value");
    owned["metadata"]["ownerReferences"] = reference;
    resource::create_one(cluster, &owned).await?;
    let client = cluster.client();
    delete(&api(&client, "ApiKeyRef", home), "owner").await?;
    wait::until_gone(&api(&client, "ConfigMap", home), "owned", COLLECTED).await
}

async fn succession(cluster: &Cluster) -> Result<()> {
    let (home, _operator) = contest(cluster, SUCCESSIONS + 1).await?;
    collector_is_awake(cluster, &home).await?;
    let client = cluster.client();
    let (refs, secrets) = (
        api(&client, "ApiKeyRef", &home),
        api(&client, "Secret", &home),
    );
    let seen = Seen::from_now_on(&secrets, "target").await?;
    for number in 0..SUCCESSIONS {
        let heir = format!("key-{}", number + 1);
        delete(&refs, &format!("key-{number}")).await?;
        wait::until(&secrets, "target", SOON, |target| {
            holds(target, &heir).then_some(())
        })
        .await
        .with_context(|| format!("{heir} takes over"))?;
        until(&refs, &heir, ("Ready", "True", ""), SOON).await?;
    }
    seen.is_without_gap()
}

async fn last(cluster: &Cluster) -> Result<()> {
    let (home, mut operator) = contest(cluster, 2).await?;
    let client = cluster.client();
    let (refs, secrets) = (
        api(&client, "ApiKeyRef", &home),
        api(&client, "Secret", &home),
    );
    // Who wants another one has no part in this one any more.
    let elsewhere = json!({"spec": {"target": {"secretName": "another"}}});
    merge(&refs, "key-1", elsewhere).await?;
    until(&refs, "key-1", ("Ready", "True", ""), SOON).await?;
    wait::until(&secrets, "target", SOON, |target| {
        (target.metadata.owner_references.as_ref()?.len() == 1).then_some(())
    })
    .await?;
    // Nobody but Kubernetes is there.
    operator.stop().await?;
    delete(&refs, "key-0").await?;
    wait::until_gone(&secrets, "target", COLLECTED).await?;
    ensure!(holds(&secrets.get("another").await?, "key-1"));
    Ok(())
}

/// Every state of a Secret from one moment on.
struct Seen {
    states: Arc<Mutex<Vec<State>>>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Usable,
    Empty,
    Gone,
}

impl Seen {
    async fn from_now_on(api: &Api<DynamicObject>, name: &str) -> Result<Self> {
        let states: Arc<Mutex<Vec<State>>> = Arc::default();
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let (api, told) = (api.clone(), Arc::clone(&states));
        let task = tokio::spawn(async move {
            let mut events = pin!(watcher(api, config));
            while let Some(event) = events.next().await {
                let state = match event {
                    Ok(Event::InitApply(target) | Event::Apply(target)) => {
                        match resource::value(&target, "ANTHROPIC_API_KEY") {
                            Some(value) if value.starts_with("sk-ant-api") => State::Usable,
                            _ => State::Empty,
                        }
                    }
                    Ok(Event::Delete(_)) => State::Gone,
                    Ok(Event::Init | Event::InitDone) | Err(_) => continue,
                };
                told.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(state);
            }
        });
        let seen = Self { states, task };
        wait::poll("the target is watched", SOON, || {
            Ok((!seen.states().is_empty()).then_some(()))
        })
        .await?;
        Ok(seen)
    }

    fn states(&self) -> Vec<State> {
        self.states
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn is_without_gap(&self) -> Result<()> {
        let states = self.states();
        ensure!(states.len() > SUCCESSIONS, "it saw every one: {states:?}");
        ensure!(
            states.iter().all(|state| *state == State::Usable),
            "a gap: {states:?}"
        );
        Ok(())
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        self.task.abort();
    }
}

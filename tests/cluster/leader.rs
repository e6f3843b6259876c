//! Of two operators one acts, and the other takes over.
//! Must not share its Lease with an operator of another test.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, api::DeleteParams};
use serde_json::{Value, json};

use crate::{
    audit::{AuditLog, Mark},
    cluster::Cluster,
    operator::{OPERATOR_NAMESPACE, Operator, Settings},
    resource::{self, api, binding, merge, workspace},
    suite::{Test, test},
    wait,
};

/// The Lease holds 15 s, the other looks every 2 s.
const AFTER_A_CRASH: Duration = Duration::from_secs(20);

/// A leader that is told to end gives the Lease back.
const AFTER_A_STOP: Duration = Duration::from_secs(3);

/// How long the beginning may take.
const SOON: Duration = Duration::from_secs(20);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "of two operators one acts, and the other takes over after a crash and after a stop",
            succession,
        )
        .needs_audit_log(),
    ]
}

fn elected() -> Settings<'static> {
    Settings {
        leader_elect: true,
        ..Settings::default()
    }
}

async fn until_held(leases: &Api<Lease>, by: &Operator, within: Duration) -> Result<()> {
    wait::until(leases, "anthropic-rbac", within, |lease| {
        let holder = lease.spec.as_ref()?.holder_identity.as_deref()?;
        (holder == by.name()).then_some(())
    })
    .await
    .with_context(|| format!("{} should lead", by.name()))
}

/// Writes since the mark, how often each was made.
async fn writes(audit: &AuditLog, mark: Mark) -> Result<BTreeMap<String, usize>> {
    let mut writes = BTreeMap::new();
    for request in audit.since(mark).await?.writes().0 {
        let write = format!("{} {} {}", request.verb, request.resource, request.name);
        *writes.entry(write).or_default() += 1;
    }
    Ok(writes)
}

/// Waits until the policy is as wanted, and its Workspace's status, which comes last, is
/// about it.
async fn until_settled(
    cluster: &Cluster,
    home: &str,
    within: Duration,
    wanted: impl Fn(&Value) -> bool,
) -> Result<()> {
    let policy = resource::until_policy(cluster, home, "one", within, wanted).await?;
    let revision = resource::policy(&policy).context("a policy")?["revision"].clone();
    let workspaces = api(&cluster.client(), "Workspace", home);
    wait::until(&workspaces, "one", within, |object| {
        (object.data["status"]["policyRevision"] == revision).then_some(())
    })
    .await
}

async fn succession(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("leader").await?;
    let home = namespace.as_str();
    let audit = cluster.audit_log()?;
    let leases = Api::<Lease>::namespaced(cluster.client(), OPERATOR_NAMESPACE);
    if leases.get_opt("anthropic-rbac").await?.is_some() {
        leases
            .delete("anthropic-rbac", &DeleteParams::default())
            .await?;
    }
    let mut first = Operator::start(cluster, elected()).await?;
    until_held(&leases, &first, SOON).await?;
    let mut second = Operator::start(cluster, elected()).await?;

    let mark = audit.mark().await?;
    // One after the other: the operator may hear of two new objects in either order.
    for (object, name) in [
        (
            workspace(home, "one", json!({"displayName": "One"})),
            "Workspace/one",
        ),
        (
            binding(home, "users", "one", "user", &["app"]),
            "RoleBinding/users",
        ),
    ] {
        resource::create(cluster, &[object]).await?;
        resource::until_ready(cluster, home, &[name], SOON).await?;
    }
    until_settled(cluster, home, SOON, |policy| {
        !resource::granting(policy).is_empty()
    })
    .await?;
    let written = writes(&audit, mark).await?;
    assert_eq!(
        written.get("create configmaps one.policy"),
        Some(&1),
        "{written:?}"
    );
    assert_eq!(
        written.get("patch rolebindings users"),
        Some(&1),
        "{written:?}"
    );
    until_held(&leases, &first, SOON).await?;

    // A crash: nobody says goodbye.
    let workspaces = api(&cluster.client(), "Workspace", home);
    let follows = async |tokens: u64, within: Duration| {
        until_settled(cluster, home, within, |policy| {
            policy["workspace"]["defaultMaxTokens"] == tokens
        })
        .await
    };
    let edit = async |tokens: u64| {
        merge(
            &workspaces,
            "one",
            json!({"spec": {"defaultMaxTokens": tokens}}),
        )
        .await
    };
    let exactly = BTreeMap::from([
        ("patch configmaps one.policy".to_owned(), 1),
        ("patch workspaces one".to_owned(), 1),
    ]);
    let mark = audit.mark().await?;
    let crash = Instant::now();
    first.kill()?;
    edit(100).await?;
    follows(100, AFTER_A_CRASH).await?;
    let took = crash.elapsed();
    ensure!(took <= AFTER_A_CRASH, "took over after {took:?}");
    until_held(&leases, &second, SOON).await?;
    assert_eq!(writes(&audit, mark).await?, exactly);

    // A stop: the Lease is given back.
    first.launch_again().await?;
    let mark = audit.mark().await?;
    edit(200).await?;
    follows(200, SOON).await?;
    assert_eq!(writes(&audit, mark).await?, exactly, "one of two acts");
    let mark = audit.mark().await?;
    let stop = Instant::now();
    let status = second.stop().await?;
    ensure!(status.success(), "it ended with {status}");
    edit(300).await?;
    follows(300, AFTER_A_STOP).await?;
    let took = stop.elapsed();
    ensure!(took <= AFTER_A_STOP, "took over after {took:?}");
    until_held(&leases, &first, SOON).await?;
    assert_eq!(writes(&audit, mark).await?, exactly);
    Ok(())
}

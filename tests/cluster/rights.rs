//! The operator asks for nothing that it may not have, Secrets in namespaces where nobody let
//! it apart; and it says how to let it. Runs last: it looks back on all tests before it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::{
    audit::Mark,
    cluster::Cluster,
    operator::{Operator, Settings},
    resource::{self, api, fake_key, key, secret, until, workspace},
    suite::{Test, test},
};

/// How long the beginning may take.
const SOON: Duration = Duration::from_secs(20);

/// It is tried again every 30 s whether access was granted.
const RETRIED: Duration = Duration::from_secs(35);

/// Namespaces in which the tests of the harness, acting as the operator, try what it may not.
const NOT_THE_OPERATOR: [&str; 2] = ["other-", "audit-"];

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "in another namespace than ours the operator says how to let it there touch Secrets",
            granted_elsewhere,
        )
        .cluster_wide(),
        test(
            "without access to Secrets a key says how to grant it, and that helps",
            granted,
        )
        .needs_audit_log()
        .also_namespaced(),
    ]
}

async fn granted_elsewhere(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("elsewhere").await?;
    let home = namespace.as_str();
    let within = format!("--namespace={home}");
    let account = format!("--serviceaccount={home}:anthropic-rbac");
    cluster.kubectl_ok(&["create", "serviceaccount", "anthropic-rbac", &within])?;
    // All but Secrets, there alone.
    let role = "--clusterrole=anthropic-rbac";
    cluster.kubectl_ok(&["create", "rolebinding", "all-but", &within, role, &account])?;
    let objects = [
        secret(home, "source", &fake_key("elsewhere")),
        workspace(home, "one", json!({"displayName": "One"})),
        key(home, "app", "one", "source", "target"),
    ];
    resource::create(cluster, &objects).await?;
    let settings = Settings {
        namespace: home,
        arguments: &[&format!("--namespaces={home}")],
        ..Settings::default()
    };
    let _operator = Operator::start(cluster, settings).await?;

    let keys = api(&cluster.client(), "ApiKeyRef", home);
    let denied = ("Ready", "False", "SecretAccessDenied");
    let message = until(&keys, "app", denied, SOON).await?;
    obey(cluster, &message)?;
    until(&keys, "app", ("Ready", "True", ""), RETRIED).await?;
    Ok(())
}

/// Runs the command that a message proposes.
fn obey(cluster: &Cluster, message: &str) -> Result<()> {
    let start = message
        .find("kubectl ")
        .with_context(|| format!("no command in: {message}"))?;
    let command: Vec<&str> = message[start..].split_whitespace().skip(1).collect();
    cluster.kubectl_ok(&command)?;
    Ok(())
}

async fn granted(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("rights").await?;
    let home = namespace.as_str();
    let objects = [
        secret(home, "source", &fake_key("rights")),
        workspace(home, "one", json!({"displayName": "One"})),
        key(home, "app", "one", "source", "target"),
    ];
    resource::create(cluster, &objects).await?;
    let _operator = Operator::start(cluster, Settings::default()).await?;

    let keys = api(&cluster.client(), "ApiKeyRef", home);
    let denied = ("Ready", "False", "SecretAccessDenied");
    let message = until(&keys, "app", denied, SOON).await?;
    ensure!(resource::condition(&keys.get("app").await?, "Stalled").is_none());
    // The Workspace goes on without that key.
    resource::until_ready(cluster, home, &["Workspace/one"], SOON).await?;

    obey(cluster, &message)?;
    until(&keys, "app", ("Ready", "True", ""), RETRIED).await?;
    let secrets = api(&cluster.client(), "Secret", home);
    let value = resource::value(&secrets.get("target").await?, "ANTHROPIC_API_KEY");
    ensure!(value == Some(fake_key("rights")), "it holds the key");

    // Of all tests before this one, too.
    let audit = cluster.audit_log()?;
    let refused = audit.refused(Mark::START).await?;
    let (expected, surprising): (Vec<_>, Vec<_>) = refused
        .0
        .iter()
        .filter(|request| {
            let namespace = &request.namespace;
            !NOT_THE_OPERATOR
                .iter()
                .any(|own| namespace.starts_with(own))
        })
        .partition(|request| request.is_of("list", "secrets"));
    assert_eq!(
        surprising
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        [""; 0]
    );
    // The one way to find out whether access was granted is to ask for it.
    ensure!(expected.iter().any(|request| request.namespace == home));
    Ok(())
}

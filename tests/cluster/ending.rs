//! A namespace that is deleted is soon gone, whoever is attached to what was in it.
//! Must not leave an operator's object to hold it up: there are no finalizers.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, api::DeleteParams};
use serde_json::json;

use crate::{
    cluster::Cluster,
    operator::{Operator, Settings},
    resource::{self, api, binding, fake_key, key, secret, until, workspace},
    suite::{Test, test},
    wait,
};

/// How long a namespace may take to end.
const GONE: Duration = Duration::from_secs(10);

/// How long the beginning may take.
const SOON: Duration = Duration::from_secs(20);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "a deleted namespace is gone in ten seconds while the operator runs",
            async |cluster: &Cluster| ends(cluster, true).await,
        )
        .needs_audit_log()
        .needs_controllers(),
        test(
            "a deleted namespace is gone in ten seconds without the operator",
            async |cluster: &Cluster| ends(cluster, false).await,
        )
        // With Roles only it does not start where it has none, and they went with the namespace.
        .cluster_wide()
        .needs_audit_log()
        .needs_controllers(),
    ]
}

async fn ends(cluster: &Cluster, running: bool) -> Result<()> {
    let home = cluster.namespace("ending").await?;
    let tenant = cluster.namespace("tenant").await?;
    let admitted = json!([{"names": [tenant], "roles": ["user"], "apiKeyRefs": "Allow"}]);
    let one = format!("{home}/one");
    let mut lent = secret(&home, "lent", &fake_key("lent"));
    lent["metadata"]["annotations"] = json!({"anthropic-rbac.io/allow-namespaces": tenant});
    let mut borrower = key(&tenant, "borrower", &one, "lent", "borrowed");
    borrower["spec"]["source"]["secretKeyRef"]["namespace"] = home.clone().into();
    let mut retained = key(&home, "retained", "one", "retained", "retained-target");
    retained["spec"]["target"]["deletionPolicy"] = "Retain".into();
    let objects = [
        workspace(&home, "one", json!({"allowedNamespaces": admitted})),
        workspace(&home, "two", json!({"displayName": "Two"})),
        binding(&home, "users", "one", "user", &["app"]),
        binding(&tenant, "users", &one, "user", &["app"]),
        secret(&home, "source", &fake_key("source")),
        secret(&home, "retained", &fake_key("retained")),
        lent,
        key(&home, "app", "one", "source", "target"),
        retained,
        borrower,
    ];
    resource::create(cluster, &objects).await?;
    let audit = cluster.audit_log()?;
    let mark = audit.mark().await?;
    let settings = Settings {
        secrets_in: &[&home, &tenant],
        ..Settings::default()
    };
    let mut operator = Operator::start(cluster, settings).await?;
    resource::until_ready(cluster, &home, &["Workspace/one", "ApiKeyRef/app"], SOON).await?;
    let tenants = ["RoleBinding/users", "ApiKeyRef/borrower"];
    resource::until_ready(cluster, &tenant, &tenants, SOON).await?;
    if !running {
        operator.stop().await?;
    }

    let namespaces = Api::<Namespace>::all(cluster.client());
    namespaces
        .delete(&home, &DeleteParams::background())
        .await?;
    wait::until_gone(&namespaces, &home, GONE).await?;

    if !running {
        operator.launch_again().await?;
    }
    let client = cluster.client();
    for (kind, name) in [("RoleBinding", "users"), ("ApiKeyRef", "borrower")] {
        let tenants = api(&client, kind, &tenant);
        until(&tenants, name, ("Ready", "False", "RefNotPermitted"), SOON).await?;
    }
    // What was lent is gone with its source.
    wait::until(
        &api(&client, "Secret", &tenant),
        "borrowed",
        SOON,
        |target| {
            resource::value(target, "ANTHROPIC_API_KEY")?
                .is_empty()
                .then_some(())
        },
    )
    .await
    .context("it is emptied")?;
    let forbidden = audit.since(mark).await?.forbidden();
    let unexpected = forbidden
        .0
        .iter()
        .filter(|request| request.namespace != home);
    ensure!(unexpected.count() == 0, "{forbidden}");

    let tenants = Api::<Namespace>::all(client);
    tenants.delete(&tenant, &DeleteParams::background()).await?;
    wait::until_gone(&tenants, &tenant, GONE).await
}

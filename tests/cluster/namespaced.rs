//! With Roles in some namespaces and nothing else, the operator serves these.
//! Other tests run a second time like that, see [`crate::suite`]; here is what is different.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::{
    audit::Request,
    cluster::Cluster,
    operator::{OPERATOR_NAMESPACE, Operator, Settings},
    resource::{self, api, binding, fake_key, key, secret, until, workspace},
    suite::{Test, test},
    wait,
};

/// How long a cold start may take.
const SOON: Duration = Duration::from_secs(20);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "with Roles only, namespaces are admitted by name and not by label, and that is said",
            admitted,
        )
        .cluster_wide()
        .needs_audit_log(),
    ]
}

async fn admitted(cluster: &Cluster) -> Result<()> {
    cluster.set_namespaced(true)?;
    // Nobody labelled it as restricted; but who says so?
    let labelled = [("claude", "enabled")];
    let home = cluster.labelled_namespace("home", &labelled).await?;
    let tenant = cluster.labelled_namespace("tenant", &labelled).await?;
    let entry = |which: &str, value: Value| json!({"allowedNamespaces": [{which: value, "roles": ["user"], "apiKeyRefs": "Allow"}]});
    let selectors = [
        json!({"matchLabels": {"claude": "enabled"}}),
        json!({"matchExpressions": [{"key": "restricted", "operator": "DoesNotExist"}]}),
    ];
    let of = |name: &str| format!("{home}/{name}");
    let [equal, absent] = selectors;
    let mut source = secret(&tenant, "source", &fake_key("tenant"));
    source["metadata"]["annotations"] =
        json!({"anthropic-rbac.io/allow-workspaces": of("by-name")});
    let objects = [
        workspace(&home, "by-name", entry("names", json!([tenant]))),
        workspace(&home, "by-label", entry("selector", equal)),
        workspace(&home, "by-absence", entry("selector", absent)),
        workspace(&home, "all", entry("selector", json!({}))),
        binding(&tenant, "by-name", &of("by-name"), "user", &["app"]),
        binding(&tenant, "by-label", &of("by-label"), "user", &["app"]),
        binding(&tenant, "by-absence", &of("by-absence"), "user", &["app"]),
        binding(&tenant, "all", &of("all"), "user", &["app"]),
        source,
        key(&tenant, "key", &of("by-name"), "source", "target"),
    ];
    resource::create(cluster, &objects).await?;
    let audit = cluster.audit_log()?;
    let mark = audit.mark().await?;
    let settings = Settings {
        secrets_in: &[&tenant],
        ..Settings::default()
    };
    let _operator = Operator::start(cluster, settings).await?;
    // It came too late to be looked at.
    let stranger = cluster.namespace("stranger").await?;
    let uninvited = workspace(&stranger, "uninvited", json!({"displayName": "Uninvited"}));
    resource::create_one(cluster, &uninvited).await?;

    let client = cluster.client();
    let bindings = api(&client, "RoleBinding", &tenant);
    let workspaces = api(&client, "Workspace", &home);
    for (name, wanted, seen) in [
        ("by-name", ("Ready", "True", ""), true),
        ("all", ("Ready", "True", ""), true),
        ("by-label", ("Ready", "False", "RefNotPermitted"), false),
        ("by-absence", ("Ready", "False", "RefNotPermitted"), false),
    ] {
        until(&bindings, name, wanted, SOON).await?;
        until(&workspaces, name, ("Ready", "True", ""), SOON).await?;
        wait::until(&workspaces, name, SOON, |workspace| {
            let findings = workspace.data["status"]["findings"].as_array();
            let unseen = findings.into_iter().flatten().any(|finding| {
                finding["reason"] == "NamespaceLabelsUnseen"
                    && finding["message"]
                        .as_str()
                        .is_some_and(|m| m.contains("names"))
            });
            (unseen != seen).then_some(())
        })
        .await?;
    }
    resource::until_ready(cluster, &tenant, &["ApiKeyRef/key"], SOON).await?;

    let strangers = api(&client, "Workspace", &stranger);
    let left = strangers.get("uninvited").await?;
    ensure!(
        resource::condition(&left, "Ready").is_none(),
        "not its business"
    );
    let requests = audit.since(mark).await?;
    ensure!(requests.forbidden().is_empty(), "{}", requests.forbidden());
    // At home it looks at one object by name, besides the Lease.
    let models = |request: &Request| {
        request.namespace == OPERATOR_NAMESPACE && request.name == "anthropic-rbac-models"
    };
    let beyond = requests.0.iter().find(|request| {
        let own = [&home, &tenant].contains(&&request.namespace) || models(request);
        request.group != "authorization.k8s.io" && !own
    });
    ensure!(beyond.is_none(), "asked beyond its namespaces: {beyond:?}");
    Ok(())
}

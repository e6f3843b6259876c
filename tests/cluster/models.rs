//! A model catalogue of one's own takes the place of the built-in one, at once and back.
//! Must not leave its ConfigMap behind, or later tests would find other things.

use std::time::Duration;

use anyhow::{Result, ensure};
use kube::api::{Api, DynamicObject};
use serde_json::json;

use crate::{
    cluster::Cluster,
    operator::{OPERATOR_NAMESPACE, Operator, Settings},
    resource::{self, api, config_map, delete, merge, workspace},
    suite::{Test, test},
    wait,
};

/// How long a change may take to be seen.
const SOON: Duration = Duration::from_secs(20);

const NAME: &str = "anthropic-rbac-models";

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "a model catalogue of one's own counts at once, a broken one not at all",
            replaced,
        )
        .also_namespaced(),
    ]
}

async fn replaced(cluster: &Cluster) -> Result<()> {
    let ended = counted(cluster).await;
    let config_maps = api(&cluster.client(), "ConfigMap", OPERATOR_NAMESPACE);
    if config_maps.get_opt(NAME).await?.is_some() {
        delete(&config_maps, NAME).await?;
    }
    ended
}

async fn counted(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("models").await?;
    let home = namespace.as_str();
    let spec = json!({"displayName": "One", "models": ["claude-opus-5", "claude-next-1"]});
    resource::create(cluster, &[workspace(home, "one", spec)]).await?;
    let operator = Operator::start(cluster, Settings::default()).await?;
    let workspaces = api(&cluster.client(), "Workspace", home);
    let config_maps = api(&cluster.client(), "ConfigMap", OPERATOR_NAMESPACE);
    until_unknown(&workspaces, "claude-next-1").await?;

    let own = "source: a test\nasOf: 2026-12-01\nmodels:\n- {id: claude-next-1}\n";
    let created = config_map(OPERATOR_NAMESPACE, NAME, "models.yaml", own);
    resource::create(cluster, &[created]).await?;
    until_unknown(&workspaces, "claude-opus-5").await?;

    let broken = json!({"data": {"models.yaml": own.replace("asOf", "asof")}});
    merge(&config_maps, NAME, broken).await?;
    let metric = |value: u8| format!("anthropic_rbac_models_understood {value}");
    let said = || {
        let told = operator
            .logged()?
            .contains("the models ConfigMap is not understood");
        let counted = operator.metrics()?.contains(&metric(0));
        Ok((told && counted).then_some(()))
    };
    wait::poll("the operator says that it is broken", SOON, said).await?;
    // A plan made now is made with the last good one.
    merge(&workspaces, "one", json!({"spec": {"displayName": "Two"}})).await?;
    until_unknown(&workspaces, "claude-opus-5").await?;

    delete(&config_maps, NAME).await?;
    until_unknown(&workspaces, "claude-next-1").await?;
    ensure!(operator.metrics()?.contains(&metric(1)));
    Ok(())
}

/// Waits until this is the one unknown model, as the present spec's status says.
async fn until_unknown(workspaces: &Api<DynamicObject>, model: &str) -> Result<()> {
    wait::until(workspaces, "one", SOON, |object| {
        let status = &object.data["status"];
        let current = status["observedGeneration"].as_i64() == object.metadata.generation;
        let findings = status["findings"].as_array().into_iter().flatten();
        let unknown: Vec<&str> = findings
            .filter(|finding| finding["reason"] == "UnknownModel")
            .filter_map(|finding| finding["message"].as_str())
            .collect();
        let only = matches!(unknown[..], [message] if message.contains(&format!("'{model}'")));
        (current && only).then_some(())
    })
    .await
}

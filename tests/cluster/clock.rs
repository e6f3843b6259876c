//! The operator with a clock that is moved: days ahead, and back.
//! Must not judge what a date means; that is tested without a cluster.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::{
    cluster::Cluster,
    faketime::Clock,
    operator::{Operator, Settings},
    resource::{self, api, binding, fake_key, key, secret, workspace},
    suite::{Test, test},
    wait,
};

const SOON: Duration = Duration::from_secs(20);

pub(crate) fn tests() -> Vec<Test> {
    vec![test(
        "an operator whose clock is moved goes by it, and a key that was due is due no longer",
        moved,
    )]
}

/// What a key's rotation and a grant's Active say when the clock is so far ahead.
const HOURS: &[(i64, &str, &str)] = &[
    (0, "Fresh", "True"),
    (24 * 76 + 1, "DueSoon", "False"),
    (24 * 90 + 1, "Overdue", "False"),
    (24 * 76 + 1, "DueSoon", "False"),
    (0, "Fresh", "True"),
];

async fn moved(cluster: &Cluster) -> Result<()> {
    let Some(clock) = Clock::new(cluster)? else {
        return Ok(());
    };
    let namespace = cluster.namespace("clock").await?;
    let home = namespace.as_str();
    let settings = Settings {
        secrets_in: &[home],
        clock: Some(&clock),
        ..Settings::default()
    };
    let _operator = Operator::start(cluster, settings).await?;
    let now = Timestamp::from_second(Timestamp::now().as_second())?;
    let at = now + SignedDuration::from_hours(24 * 90);
    let mut due = key(home, "due", "one", "source", "due");
    due["spec"]["issuedAt"] = json!(now.to_string());
    let mut grant = binding(home, "grant", "one", "user", &["somebody"]);
    let end = now + SignedDuration::from_hours(24);
    grant["spec"]["expiresAt"] = json!(end.to_string());
    let objects = [
        workspace(home, "one", json!({})),
        secret(home, "source", &fake_key("clock")),
        due,
        grant,
    ];
    resource::create(cluster, &objects).await?;
    let client = cluster.client();
    let (keys, bindings) = (
        api(&client, "ApiKeyRef", home),
        api(&client, "RoleBinding", home),
    );
    for (hours, rotation, active) in HOURS {
        clock.set_ahead(SignedDuration::from_hours(*hours))?;
        let what = || format!("{hours} hours ahead");
        wait::until(&keys, "due", SOON, |key| {
            (key.data["status"]["rotation"] == *rotation).then_some(())
        })
        .await
        .with_context(what)?;
        resource::until(&bindings, "grant", ("Active", active, ""), SOON)
            .await
            .with_context(what)?;
        let status = keys.get("due").await?.data["status"].clone();
        ensure!(
            status["dueAt"] == json!(at.to_string()),
            "no date moves with it: {status:#}"
        );
    }
    Ok(())
}

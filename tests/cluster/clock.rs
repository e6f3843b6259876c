//! The operator with a clock that is moved: days ahead, and back.
//! Must not move this machine's clock, nor any other process's.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::{
    cluster::Cluster,
    operator::{Operator, Settings},
    resource::{self, api, binding, fake_key, key, secret, workspace},
    script,
    suite::{Test, test},
    wait,
};

const SOON: Duration = Duration::from_secs(20);
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/faketime.sh");

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
    let Some(library) = script::find(SCRIPT)? else {
        eprintln!("not tried: libfaketime is not here, and there is no Debian to have it from");
        return Ok(());
    };
    let namespace = cluster.namespace("clock").await?;
    let home = namespace.as_str();
    let file = cluster.dir().join("clock");
    set(&file, 0)?;
    let settings = Settings {
        secrets_in: &[home],
        clock: Some((&library, &file)),
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
        set(&file, *hours)?;
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

/// How far ahead the clock is from now on, in hours. The file is read with every look at the
/// clock, so it is replaced in one step.
fn set(file: &Path, hours: i64) -> Result<()> {
    let next = file.with_extension("next");
    fs::write(&next, format!("+{hours}h\n"))?;
    Ok(fs::rename(&next, file)?)
}

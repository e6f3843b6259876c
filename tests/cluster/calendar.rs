//! The calendar that the operator serves, as a calendar client sees it.
//! Must not read the calendar with the project's own types.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::{
    cluster::Cluster,
    command_line,
    operator::{Operator, Settings},
    resource::{self, api, fake_key, key, merge, secret, workspace},
    suite::{Test, test},
    wait,
};

/// How long the beginning may take.
const SOON: Duration = Duration::from_secs(20);

/// How soon the calendar follows.
const AT_ONCE: Duration = Duration::from_secs(2);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "the calendar of due keys is served by leader and standby alike, and follows",
            served,
        ),
        test(
            "the calendar is served by nobody who was not told to",
            not_served,
        ),
    ]
}

/// One property of the event of this key.
fn property(calendar: &str, key: &str, name: &str) -> Option<String> {
    let unfolded = calendar.replace("\r\n ", "");
    let mut events = unfolded.split("BEGIN:VEVENT\r\n").skip(1);
    let event =
        events.find(|event| event.contains(&format!("SUMMARY:Rotate Claude API key {key}\r\n")))?;
    let lines = event.split("\r\n");
    let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    values.next().map(str::to_owned)
}

/// Waits until a property of an event, as served, is this.
async fn until(operator: &Operator, key: &str, (name, value): (&str, &str)) -> Result<String> {
    wait::poll(&format!("{name} of {key} is {value}"), AT_ONCE, || {
        let (_, calendar) = operator.http_get("/calendar.ics")?;
        let found = property(&calendar, key, name);
        Ok((found.as_deref() == Some(value)).then_some(calendar))
    })
    .await
}

async fn served(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("calendar").await?;
    let home = namespace.as_str();
    let mut app = key(home, "app", "one", "source", "target");
    app["spec"]["issuedAt"] = json!("2026-11-01T00:00:00Z");
    let objects = [
        secret(home, "source", &fake_key("calendar")),
        workspace(home, "one", json!({})),
        app,
    ];
    resource::create(cluster, &objects).await?;
    fn settings<'a>(secrets_in: &'a [&'a str]) -> Settings<'a> {
        Settings {
            secrets_in,
            leader_elect: true,
            arguments: &["--calendar"],
            ..Settings::default()
        }
    }
    let leader = Operator::start(cluster, settings(&[home])).await?;
    resource::until_ready(cluster, home, &["ApiKeyRef/app"], SOON).await?;
    let standby = Operator::start(cluster, settings(&[])).await?;

    let name = format!("{home}/app");
    let day = "DTSTART;VALUE=DATE";
    let before = until(&leader, &name, (day, "20270130")).await?;
    ensure!(
        until(&standby, &name, (day, "20270130")).await? == before,
        "a standby serves the same"
    );
    let printed = command_line::run(&[
        "calendar",
        "--kubeconfig",
        cluster.kubeconfig().to_str().context("a path in UTF-8")?,
    ])?;
    ensure!(
        printed.stdout == before.as_bytes(),
        "the command line prints the same: {}",
        String::from_utf8_lossy(&printed.stderr)
    );
    ensure!(!before.contains("EXAMPLE"), "no key is in it");

    // Half as long: the event moves.
    let keys = api(&cluster.client(), "ApiKeyRef", home);
    merge(
        &keys,
        "app",
        json!({"spec": {"rotation": {"periodDays": 45}}}),
    )
    .await?;
    let after = until(&leader, &name, (day, "20261216")).await?;
    let of =
        |calendar: &str, name_of: &str| property(calendar, &name, name_of).context("it has one");
    ensure!(
        of(&before, "UID")? == of(&after, "UID")?,
        "it is the same event"
    );
    let sequence = |calendar: &str| -> Result<i64> { Ok(of(calendar, "SEQUENCE")?.parse()?) };
    ensure!(sequence(&before)? <= sequence(&after)?);
    ensure!(of(&before, "DTSTAMP")? <= of(&after, "DTSTAMP")?);

    // A revoked key is not replaced any more.
    merge(&keys, "app", json!({"spec": {"state": "Revoked"}})).await?;
    wait::poll("the event is gone", AT_ONCE, || {
        let (_, calendar) = standby.http_get("/calendar.ics")?;
        Ok(property(&calendar, &name, "UID").is_none().then_some(()))
    })
    .await
}

async fn not_served(cluster: &Cluster) -> Result<()> {
    // Somewhere to look, with Roles only.
    cluster.namespace("calendar").await?;
    let operator = Operator::start(cluster, Settings::default()).await?;
    let (status, body) = operator.http_get("/calendar.ics")?;
    ensure!((status, body.as_str()) == (404, ""), "{status} {body}");
    let (status, _) = operator.http_get("/metrics")?;
    ensure!(status == 200, "the port is open");
    Ok(())
}

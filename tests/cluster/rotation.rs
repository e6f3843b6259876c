//! The rotation clock by the real clock: keys whose dates lie seconds ahead.
//! Must not move the operator's clock; what a boundary means is tested without a cluster.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use kube::{
    Api,
    api::{DynamicObject, ListParams},
};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    operator::{Operator, Settings},
    resource::{self, api, delete, fake_key, key, secret, workspace},
    suite::{Test, test},
    wait,
};

/// How soon after a boundary a status has to say so.
const WITHIN: SignedDuration = SignedDuration::from_secs(1);

/// How long the beginning may take: every boundary lies so far ahead.
const AHEAD: i64 = 8;

const SOON: Duration = Duration::from_secs(20);
const DAYS: i64 = 24 * 3600;

pub(crate) fn tests() -> Vec<Test> {
    vec![test(
        "a key changes its state within a second of each boundary, with one Event",
        boundaries,
    )]
}

/// A key, the state its boundary leads to, and the Events on its way there.
struct Case {
    name: &'static str,
    /// Seconds from issue to the boundary.
    age: i64,
    spec: fn(Timestamp) -> Value,
    state: &'static str,
    events: &'static [&'static str],
    /// Whether it is still there then.
    there: bool,
}

const CASES: &[Case] = &[
    Case {
        name: "soon",
        age: 76 * DAYS,
        spec: |_| json!({}),
        state: "DueSoon",
        events: &["RotationDueSoon"],
        there: true,
    },
    Case {
        name: "over",
        age: 90 * DAYS,
        spec: |_| json!({}),
        state: "Overdue",
        events: &["RotationDueSoon", "RotationOverdue"],
        there: true,
    },
    Case {
        name: "ended",
        age: 10 * DAYS,
        spec: |at| json!({"expiresAt": at.to_string()}),
        state: "Expired",
        events: &["KeyExpired", "RotationDueSoon"],
        there: true,
    },
    Case {
        name: "away",
        age: 90 * DAYS,
        spec: |_| json!({"rotation": {"onOverdue": "Suspend"}}),
        state: "Overdue",
        events: &["RotationDueSoon", "RotationOverdue"],
        there: false,
    },
];

async fn boundaries(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("rotation").await?;
    let home = namespace.as_str();
    resource::create_one(cluster, &workspace(home, "one", json!({}))).await?;
    let settings = Settings {
        secrets_in: &[home],
        ..Settings::default()
    };
    let operator = Operator::start(cluster, settings).await?;
    let client = cluster.client();
    let keys = api(&client, "ApiKeyRef", home);
    let at = Timestamp::from_second(Timestamp::now().as_second() + AHEAD)?;
    for case in CASES {
        let source = format!("{}-source", case.name);
        let mut object = key(home, case.name, "one", &source, case.name);
        let issued = at - SignedDuration::from_secs(case.age);
        object["spec"]["issuedAt"] = json!(issued.to_string());
        let more = (case.spec)(at);
        let spec = object["spec"].as_object_mut().context("a spec")?;
        spec.extend(more.as_object().cloned().unwrap_or_default());
        resource::create(
            cluster,
            &[secret(home, &source, &fake_key(case.name)), object],
        )
        .await?;
    }
    for case in CASES {
        resource::until(&keys, case.name, ("Ready", "True", ""), SOON).await?;
        let status = keys.get(case.name).await?.data["status"].clone();
        ensure!(
            status["nextTransition"] == at.to_string(),
            "{}: {status:#}",
            case.name
        );
        ensure!(
            status["rotation"] != case.state,
            "{}: the boundary is ahead",
            case.name
        );
    }
    ensure!(
        Timestamp::now() < at,
        "this machine is too slow for boundaries so near"
    );

    // All at a time: each has a second.
    let seen = CASES.iter().map(|case| reached(&keys, case, at));
    for late in futures::future::try_join_all(seen).await? {
        ensure!(late <= WITHIN, "{late:?} after the boundary");
    }
    let targets = api(&client, "Secret", home);
    for case in CASES {
        let target = wait::until(&targets, case.name, SOON, |target| {
            let value = resource::value(target, "ANTHROPIC_API_KEY")?;
            (value.is_empty() != case.there).then_some(value)
        });
        target
            .await
            .with_context(|| format!("the target of {}", case.name))?;
        let events = events(&api(&client, "Event", home), case.name).await?;
        ensure!(events == case.events, "{}: {events:?}", case.name);
    }
    let state = |case: &Case| {
        let name = "anthropic_rbac_api_key_rotation_state";
        format!(
            r#"{name}{{namespace="{home}",name="{}",state="{}"}} 1"#,
            case.name, case.state
        )
    };
    wait::poll("the metrics say so", SOON, || {
        let metrics = operator.metrics()?;
        Ok(CASES
            .iter()
            .all(|case| metrics.contains(&state(case)))
            .then_some(()))
    })
    .await?;
    let due = format!(
        r#"anthropic_rbac_api_key_rotation_due_timestamp_seconds{{namespace="{home}",name="over"}} {}"#,
        at.as_second()
    );
    ensure!(operator.metrics()?.contains(&due), "and when it was due");
    delete(&keys, "over").await?;
    wait::poll("its series are gone with it", SOON, || {
        let named = format!(r#"namespace="{home}",name="over""#);
        Ok((!operator.metrics()?.contains(&named)).then_some(()))
    })
    .await
}

/// How long after the boundary a status was seen to say so.
async fn reached(keys: &Api<DynamicObject>, case: &Case, at: Timestamp) -> Result<SignedDuration> {
    let seen = wait::until(keys, case.name, SOON, |key| {
        (key.data["status"]["rotation"] == case.state).then(Timestamp::now)
    })
    .await?;
    ensure!(
        seen >= at,
        "{}: {} is before the boundary",
        case.name,
        case.state
    );
    Ok(seen.duration_since(at))
}

/// Reasons of the Events about one key, sorted.
async fn events(api: &Api<DynamicObject>, key: &str) -> Result<Vec<String>> {
    let all = api.list(&ListParams::default()).await?;
    let about = all
        .items
        .iter()
        .filter(|event| event.data["regarding"]["name"] == key);
    let reasons = about.filter_map(|event| Some(event.data["reason"].as_str()?.to_owned()));
    let mut reasons: Vec<String> = reasons.collect();
    reasons.sort();
    Ok(reasons)
}

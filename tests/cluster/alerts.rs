//! The alerts of `deploy/components/monitoring`, tried by promtool on what a running operator
//! exports, as if it had done so for an hour.
//! Must not try when each fires: tests/monitoring does.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    operator::{Operator, Settings},
    resource::{self, api, binding, fake_key, key, secret, workspace},
    script,
    suite::{Test, test},
    wait,
};

const SOON: Duration = Duration::from_secs(20);
const PROMTOOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/promtool.sh");
const RULES: &str = include_str!("../../deploy/components/monitoring/prometheus-rule.yaml");

pub(crate) fn tests() -> Vec<Test> {
    vec![test(
        "what a running operator exports fires the alerts that it should and no others",
        fired,
    )]
}

async fn fired(cluster: &Cluster) -> Result<()> {
    let Some(promtool) = script::find(PROMTOOL)? else {
        eprintln!("there is no promtool: not tried");
        return Ok(());
    };
    let namespace = cluster.namespace("alerts").await?;
    let home = namespace.as_str();
    resource::create_one(cluster, &workspace(home, "one", json!({}))).await?;
    for (name, days) in [("old", 100), ("young", 1)] {
        let mut object = key(home, name, "one", name, &format!("{name}-target"));
        let issued = Timestamp::now() - SignedDuration::from_hours(24 * days);
        object["spec"]["issuedAt"] = json!(issued.to_string());
        let source = secret(home, name, &fake_key(name));
        resource::create(cluster, &[source, object]).await?;
    }
    let object = binding(home, "lost", "one", "no-such-role", &["search"]);
    resource::create_one(cluster, &object).await?;

    let settings = Settings {
        secrets_in: &[home],
        ..Settings::default()
    };
    let operator = Operator::start(cluster, settings).await?;
    let client = cluster.client();
    for name in ["old", "young"] {
        resource::until(
            &api(&client, "ApiKeyRef", home),
            name,
            ("Ready", "True", ""),
            SOON,
        )
        .await?;
    }
    let bindings = api(&client, "RoleBinding", home);
    resource::until(&bindings, "lost", ("Ready", "False", "RoleNotFound"), SOON).await?;
    let exported = wait::poll("the metrics say so", SOON, || {
        let metrics = operator.metrics()?;
        let said = [
            format!(r#"{{namespace="{home}",name="old",state="Overdue"}} 1"#),
            format!(r#"{{namespace="{home}",name="young",state="Fresh"}} 1"#),
            r#"{kind="RoleBinding",ready="False",reason="RoleNotFound"} "#.to_owned(),
            "anthropic_rbac_listed 1".to_owned(),
        ];
        let all = said.iter().all(|said| metrics.contains(said));
        Ok(all.then_some(metrics))
    })
    .await?;

    let overdue = format!(
        r#"ALERTS{{alertname="AnthropicRbacKeyOverdue",alertstate="firing",severity="warning",namespace="{home}",name="old",state="Overdue"}}"#
    );
    let not_ready = r#"ALERTS{alertname="AnthropicRbacNotReady",alertstate="firing",severity="warning",kind="RoleBinding",ready="False",reason="RoleNotFound"}"#;
    // Other tests may have left objects behind; of these here everything is known.
    let asked = [
        (format!(r#"ALERTS{{namespace="{home}"}}"#), Some(overdue.as_str())),
        (r#"ALERTS{reason="RoleNotFound"}"#.to_owned(), Some(not_ready)),
        (r#"ALERTS{alertname=~"AnthropicRbac(OperatorDown|NoLeader|QueueStuck|Retrying|Refused|ApiErrors|ModelsNotUnderstood)"}"#.to_owned(), None),
    ];
    let asked = asked.map(|(query, fires)| {
        let samples: Vec<Value> = fires
            .iter()
            .map(|labels| json!({"labels": labels, "value": 1}))
            .collect();
        json!({"expr": query, "eval_time": "1h", "exp_samples": samples})
    });
    let test = json!({
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series(&exported), "promql_expr_test": asked}],
    });
    let folder = tempfile::tempdir()?;
    let (_, groups) = RULES.split_once("\nspec:\n").context("a spec")?;
    std::fs::write(
        folder.path().join("rules.yaml"),
        format!("\n{groups}").replace("\n  ", "\n"),
    )?;
    std::fs::write(folder.path().join("test.yaml"), test.to_string())?;
    let ran = Command::new(promtool)
        .args(["test", "rules", "test.yaml"])
        .current_dir(folder.path())
        .output()?;
    let said = String::from_utf8_lossy(&ran.stderr) + String::from_utf8_lossy(&ran.stdout);
    ensure!(ran.status.success(), "{said}\nof\n{exported}");
    Ok(())
}

/// What was exported, by a pod, for more than an hour.
fn series(exported: &str) -> Vec<Value> {
    let samples = exported.lines().filter(|line| !line.starts_with('#'));
    let samples = samples.filter_map(|line| line.rsplit_once(' '));
    let of_a_pod = samples.map(|(series, value)| {
        let series = match series.strip_suffix('}') {
            Some(labels) => format!(r#"{labels},pod="a"}}"#),
            None => format!(r#"{series}{{pod="a"}}"#),
        };
        json!({"series": series, "values": format!("{value}x70")})
    });
    of_a_pod.collect()
}

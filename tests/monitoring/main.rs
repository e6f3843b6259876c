//! Alerts, dashboard and documents name only what the operator measures. `UPDATE_MONITORING=1` writes what
//! is generated from it; whether alerts fire is promtool's to say (scripts/check-monitoring.sh).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod alerts;
mod dashboard;
mod exported;
mod query;
mod reference;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use exported::Exported;

const RULES: &str = "deploy/components/monitoring/prometheus-rule.yaml";
const DASHBOARD: &str = "deploy/components/monitoring/dashboard.json";
const REFERENCE: &str = "docs/reference/metrics.md";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// All rules, of alerts and of recordings.
fn rules() -> Vec<Value> {
    let object: Value = serde_saphyr::from_str(&text(RULES)).unwrap();
    let groups = object["spec"]["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    rules.cloned().collect()
}

fn of<'a>(value: &'a Value, field: &str) -> &'a str {
    let text = value[field].as_str();
    text.unwrap_or_else(|| panic!("no {field} in {value}"))
}

/// Compares, or writes if asked to.
fn generated(name: &str, content: &str) {
    if std::env::var_os("UPDATE_MONITORING").is_some() {
        fs::write(path(name), content).unwrap();
    }
    let committed = fs::read_to_string(path(name)).unwrap_or_default();
    assert!(committed == content, "{name} is stale: run make gen");
}

#[test]
fn the_committed_dashboard_is_the_generated_one() {
    let text = serde_json::to_string_pretty(&dashboard::dashboard()).unwrap();
    generated(DASHBOARD, &(text + "\n"));
}

#[test]
fn the_committed_table_of_metrics_is_the_generated_one() {
    generated(REFERENCE, &reference::table(&Exported::by_the_operator()));
}

/// With what rules record, everything that may be asked for.
fn known() -> Exported {
    let mut known = Exported::by_the_operator();
    for rule in rules() {
        if let Some(name) = rule["record"].as_str() {
            known.record(name, of(&rule, "expr"));
        }
    }
    known
}

#[test]
fn rules_ask_only_for_what_is_there() {
    let known = known();
    for rule in rules() {
        known.answers(of(&rule, "expr"));
        if let Some(description) = rule["annotations"]["description"].as_str() {
            known.has_names_of(description);
        }
    }
}

#[test]
fn the_dashboard_asks_only_for_what_is_there() {
    let known = known();
    for expr in dashboard::queries().chain([dashboard::NAMESPACES]) {
        known.answers(expr);
    }
}

#[test]
fn worlds_in_which_alerts_are_tried_are_made_of_what_is_there() {
    let known = known();
    let tests = alerts::tests();
    let series = tests
        .iter()
        .flat_map(|test| test["input_series"].as_array().unwrap());
    for series in series {
        known.answers(of(series, "series"));
    }
}

#[test]
#[should_panic(expected = "no metric anthropic_rbac_leaders")]
fn a_metric_that_is_not_there_is_noticed() {
    known().answers("sum(anthropic_rbac_leaders) > 1");
}

#[test]
#[should_panic(expected = "no label lanes")]
fn a_label_that_is_not_there_is_noticed() {
    known().answers(r#"anthropic_rbac:queue_depth:max{lanes="fresh"}"#);
}

#[test]
#[should_panic(expected = "no value quick")]
fn a_value_that_no_label_has_is_noticed() {
    known().answers(r#"anthropic_rbac_queue_depth{lane=~"fresh|quick"}"#);
}

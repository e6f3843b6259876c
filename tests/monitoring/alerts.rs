//! Every alert says what people need, has a page, and is tried both ways.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{of, rules, text};

const RUNBOOKS: &str = "docs/runbooks.md";
const URL: &str = "https://github.com/anthropic-rbac/anthropic-rbac/blob/main/docs/runbooks.md#";

/// What promtool is asked to run.
pub fn tests() -> Vec<Value> {
    let tests: Value = serde_saphyr::from_str(&text("tests/monitoring/alerts.yaml")).unwrap();
    tests["tests"].as_array().unwrap().clone()
}

fn alerts() -> Vec<Value> {
    let rules = rules().into_iter();
    rules.filter(|rule| rule["alert"].is_string()).collect()
}

fn names() -> BTreeSet<String> {
    let alerts = alerts();
    let names = alerts.iter().map(|alert| of(alert, "alert").to_owned());
    names.collect()
}

#[test]
fn every_alert_says_how_bad_it_is_how_long_it_was_so_and_what_is_the_matter() {
    for alert in alerts() {
        let name = of(&alert, "alert");
        let severity = of(&alert["labels"], "severity");
        assert!(
            ["info", "warning", "critical"].contains(&severity),
            "{name}"
        );
        assert!(of(&alert, "for").ends_with('m'), "{name}");
        assert!(
            !of(&alert["annotations"], "summary").ends_with('.'),
            "{name}"
        );
        assert!(
            of(&alert["annotations"], "description").ends_with('.'),
            "{name}"
        );
        let page = URL.to_owned() + &name.to_lowercase();
        assert_eq!(of(&alert["annotations"], "runbook_url"), page);
    }
    assert_eq!(names().len(), alerts().len());
}

#[test]
fn every_alert_has_a_page_and_every_page_an_alert() {
    let document = text(RUNBOOKS);
    let mut pages = BTreeSet::new();
    for page in document.split("\n## ").skip(1) {
        let (name, page) = page.split_once('\n').unwrap();
        for part in ["**Meaning.**", "**Impact.**", "**Look at.**", "**Mend.**"] {
            assert_eq!(page.matches(part).count(), 1, "{part} of {name}");
        }
        assert!(page.contains("```"), "{name} has no command");
        pages.insert(name.to_owned());
    }
    assert_eq!(pages, names());
}

#[test]
fn every_alert_is_expected_once_and_another_time_not() {
    let mut fires = BTreeMap::<String, [bool; 2]>::new();
    for test in tests() {
        let asked = test["promql_expr_test"].as_array().unwrap();
        for asked in asked
            .iter()
            .chain(test["alert_rule_test"].as_array().into_iter().flatten())
        {
            let expected = match (&asked["exp_samples"], &asked["exp_alerts"]) {
                (Value::Array(expected), _) | (_, Value::Array(expected)) => !expected.is_empty(),
                _ => false,
            };
            // Either the one that is asked for, or those that are found when all are.
            let said = match (asked["alertname"].as_str(), expected) {
                (Some(name), _) => format!("alertname=\"{name}\""),
                (None, true) => asked["exp_samples"].to_string().replace("\\\"", "\""),
                (None, false) => of(asked, "expr").to_owned(),
            };
            for name in names() {
                if said.contains(&format!("alertname=\"{name}\"")) {
                    fires.entry(name).or_default()[usize::from(expected)] = true;
                }
            }
        }
    }
    let both = fires.into_iter().filter(|(_, fires)| *fires == [true; 2]);
    let both: BTreeSet<_> = both.map(|(name, _)| name).collect();
    assert_eq!(both, names());
}

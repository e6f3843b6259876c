use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::*;
use crate::api::WorkspaceStatus;
use crate::api::convert::readiness;

fn ready(status: &str, reason: &str) -> Condition {
    Condition {
        type_: "Ready".to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
    }
}

/// Lines of a metric with samples, without comments.
fn lines(metrics: &Metrics, metric: &str) -> Vec<String> {
    let text = metrics.encode();
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with(metric))
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

#[test]
fn a_key_has_one_state_and_no_series_once_it_is_gone() {
    let metrics = Metrics::new();
    let key = NamespacedName::new("search", "prod");
    let due = Timestamp::from_second(1_800_000_000).ok();
    metrics.rotation(&key, due, Some(State::Fresh));
    metrics.rotation(&key, due, Some(State::DueSoon));
    let state = r#"anthropic_rbac_api_key_rotation_state{namespace="search",name="prod",state="DueSoon"} 1"#;
    let due = r#"anthropic_rbac_api_key_rotation_due_timestamp_seconds{namespace="search",name="prod"} 1800000000"#;
    assert_eq!(lines(&metrics, "anthropic_rbac_api_key"), [due, state]);
    metrics.rotation(&key, None, None);
    assert_eq!(lines(&metrics, "anthropic_rbac_api_key"), [""; 0]);
}

#[test]
fn objects_are_counted_by_what_they_are_now() {
    let metrics = Metrics::new();
    let kind = ObjectKind::Workspace;
    let unknown = Some(readiness::<WorkspaceStatus>(None));
    let disabled = readiness(Some(&WorkspaceStatus {
        conditions: vec![ready("True", "WorkspaceDisabled")],
        ..WorkspaceStatus::default()
    }));
    metrics.object(kind, None, unknown);
    metrics.object(kind, None, unknown);
    metrics.object(kind, unknown, Some(disabled));
    metrics.object(kind, unknown, None);
    assert_eq!(
        lines(&metrics, "anthropic_rbac_objects"),
        [
            r#"anthropic_rbac_objects{kind="Workspace",ready="True",reason="WorkspaceDisabled"} 1"#,
            r#"anthropic_rbac_objects{kind="Workspace",ready="Unknown",reason="Unknown"} 0"#,
        ]
    );
}

#[test]
fn counters_and_the_build_have_their_documented_names() {
    let metrics = Metrics::new();
    metrics.planned(PlanOutcome::Written);
    metrics.requested("patch", ObjectKind::Secret, Some(409));
    metrics.requested("get", ObjectKind::Secret, None);
    metrics.plan_took(Duration::from_millis(2));
    assert_eq!(
        lines(&metrics, "anthropic_rbac_plans"),
        [r#"anthropic_rbac_plans_total{outcome="written"} 1"#]
    );
    assert_eq!(
        lines(&metrics, "anthropic_rbac_api_requests"),
        [
            r#"anthropic_rbac_api_requests_total{verb="get",kind="Secret",code_class="none"} 1"#,
            r#"anthropic_rbac_api_requests_total{verb="patch",kind="Secret",code_class="4xx"} 1"#,
        ]
    );
    assert_eq!(
        lines(&metrics, "anthropic_rbac_plan_duration_seconds_count"),
        ["anthropic_rbac_plan_duration_seconds_count 1"]
    );
    let build = format!(
        r#"anthropic_rbac_build_info{{version="{}"}} 1"#,
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(lines(&metrics, "anthropic_rbac_build"), [build]);
}

#[test]
fn a_reason_of_another_release_is_no_label_of_its_own() {
    let reason = |reason| {
        let conditions = vec![ready("False", reason)];
        let status = WorkspaceStatus {
            conditions,
            ..WorkspaceStatus::default()
        };
        readiness(Some(&status)).reason.name
    };
    assert_eq!(reason("NotLoaded"), "NotLoaded");
    assert_eq!(reason("OfTomorrow"), "Unknown");
}

/// Whoever adds a metric adds it to [`Metrics::of_everything`], which its description is made of.
#[test]
fn every_metric_has_happened_where_everything_has() {
    let text = Metrics::of_everything().encode();
    let described: BTreeSet<_> = text
        .lines()
        .filter(|line| line.starts_with("# HELP "))
        .collect();
    let registered = include_str!("../metrics.rs").matches("registry.register(");
    assert_eq!(described.len(), registered.count());
}

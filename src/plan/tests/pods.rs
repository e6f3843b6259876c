//! Which pods are hurried, when, and what is said of them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::stage::{KEY_A, Stage, binding, condition, key, secret, service, workspace};
use crate::api::metadata::{HURRIED_AT, HURRIED_FOR};
use crate::api::{GatewayPods, LaggingPod, convert};
use crate::facts::{OutputId, PodScope, WriteFailure};
use crate::plan::output::{Plan, Status};
use crate::plan::plan;
use crate::plan::pods::{GatewayPod, pods};
use crate::plan::world::{Access, Change, Hurried};
use crate::policy::name::NamespacedName;

const SELECTOR: &str = "app in (edge)";

fn gateway() -> Value {
    workspace(json!({"gateways": [
        {"name": "edge", "type": "Envoy", "podSelector": {"matchLabels": {"app": "edge"}}},
    ]}))
}

fn scope() -> PodScope {
    PodScope {
        namespace: "claude".into(),
        selector: SELECTOR.into(),
    }
}

/// A pod that mounts these Secrets.
fn pod(name: &str, mounts: &[&str]) -> Value {
    let sources = mounts.iter().map(|name| json!({"secret": {"name": name}}));
    let sources: Vec<_> = sources.collect();
    json!({
        "metadata": {"name": name, "namespace": "claude", "uid": format!("uid-{name}"), "resourceVersion": "1"},
        "spec": {"volumes": [{"name": "files", "projected": {"sources": sources}}]},
        "status": {"phase": "Running", "startTime": "2026-11-23T00:00:00Z"},
    })
}

fn seen(stage: &mut Stage, pod: &Value) -> Vec<String> {
    let stored = serde_json::from_value(pod.clone()).unwrap();
    let (name, facts) = convert::pod(&stored).unwrap();
    let version = pod["metadata"]["resourceVersion"].as_str().unwrap();
    let affected = stage.remove(Change::Pod {
        scope: scope(),
        name: name.name,
        version: version.parse().ok(),
        facts,
    });
    affected.iter().map(ToString::to_string).collect()
}

/// A gateway with a key, everything written, and these pods.
fn stage(pods: &[Value]) -> Stage {
    let mut stage = Stage::with(&[
        gateway(),
        secret("claude/source", KEY_A),
        key("claude/search", json!({})),
        binding("claude/users", "user", service("claude", "search")),
    ]);
    pods.iter().for_each(|pod| drop(seen(&mut stage, pod)));
    stage.remove(Change::PodAccess(scope(), Access::Listed));
    carry_out(&mut stage);
    stage
}

/// Carries a plan out, pods and memory included; the names of the pods that were hurried.
fn carry_out(stage: &mut Stage) -> Vec<String> {
    let made = stage.carry_out();
    for hurry in &made.pods.hurries {
        stage.remove(Change::Hurried(Hurried {
            pod: hurry.pod.clone(),
            uid: hurry.uid.clone(),
            version: Some(2),
            contents: hurry.contents.clone(),
            at: Some(stage.now),
        }));
    }
    let name = NamespacedName::new("claude", "production");
    stage.world.planned(&name, made.last_policy.clone());
    names(&made)
}

fn names(plan: &Plan) -> Vec<String> {
    let hurries = plan.pods.hurries.iter();
    hurries.map(|hurry| hurry.pod.name.to_string()).collect()
}

fn revoked() -> Value {
    key("claude/search", json!({"state": "Revoked"}))
}

fn shown(plan: &Plan) -> Option<GatewayPods> {
    let status = plan
        .statuses
        .iter()
        .find_map(|update| match &update.status {
            Status::Workspace(status) => Some(status),
            _ => None,
        });
    status.expect("a status").gateways[0].pods.clone()
}

#[test]
fn each_pod_is_marked_once_and_again_only_when_its_files_change() {
    let pods = [
        pod("a", &["production.edge.keys"]),
        pod("b", &["production.edge.keys"]),
    ];
    let mut stage = stage(&pods);
    assert_eq!(names(&stage.plan()), [""; 0], "both are marked");
    // Nothing of it is in these pods' files.
    stage.apply(&binding("claude/more", "user", service("claude", "other")));
    assert_eq!(carry_out(&mut stage), [""; 0]);
    stage.at("2026-11-24T00:01:00Z").apply(&revoked());
    assert_eq!(carry_out(&mut stage), ["a", "b"]);
    assert_eq!(names(&stage.plan()), [""; 0]);
}

/// A pod that was made at this second of the first minute.
fn made(name: &str, mounts: &[&str], second: &str) -> Value {
    let mut pod = pod(name, mounts);
    pod["metadata"]["creationTimestamp"] = json!(format!("2026-11-24T00:00:{second}Z"));
    pod
}

#[test]
fn a_pod_that_was_made_after_the_last_write_is_not_marked() {
    // Everything is written at 00:00:00; the API server notes seconds.
    let mut stage = stage(&[]);
    for pod in [
        made("before", &["production.edge.keys"], "01"),
        made("after", &["production.edge.keys"], "02"),
        pod("unknown", &["production.edge.keys"]),
    ] {
        seen(&mut stage, &pod);
    }
    stage.at("2026-11-24T00:00:10Z");
    assert_eq!(carry_out(&mut stage), ["before", "unknown"]);
    let marked = stage.plan().pods.gateways["edge"].clone().unwrap();
    let marked: Vec<_> = marked
        .iter()
        .map(|pod| (&*pod.name, pod.present, pod.hurried_for.is_some()))
        .collect();
    let want = [
        ("after", true, false),
        ("before", true, true),
        ("unknown", true, true),
    ];
    assert_eq!(marked, want);
    assert_eq!(shown(&stage.plan()).map(|pods| pods.hurried), Some(3));

    stage.at("2026-11-24T00:00:15Z").apply(&revoked());
    assert_eq!(carry_out(&mut stage), ["after", "before", "unknown"]);
    seen(&mut stage, &made("late", &["production.edge.keys"], "17"));
    assert_eq!(names(&stage.plan()), [""; 0]);
}

#[test]
fn a_pod_whose_files_went_away_is_marked_unless_it_was_made_after_that_by_one_clock() {
    let mounts = ["production.edge.keys", "production.subjects-00"];
    let mut stage = stage(&[]);
    let name = NamespacedName::new("claude", "production");
    // From when on it is known that there are no shards.
    let watching = |stage: &mut Stage, at: &str| {
        stage.world.planned(&name, None);
        carry_out(stage.at(at));
    };
    watching(&mut stage, "2026-11-24T00:00:10Z");
    seen(&mut stage, &made("a", &mounts, "12"));
    assert_eq!(names(&stage.plan()), ["a"], "nobody knows the other clock");
    stage.skewed(0);
    assert_eq!(names(&stage.plan()), [""; 0]);
    stage.skewed(-1);
    assert_eq!(names(&stage.plan()), ["a"], "it was 11 s past there");
    watching(stage.skewed(0), "2026-11-24T00:00:12Z");
    assert_eq!(names(&stage.plan()), [""; 0], "it was marked");
    seen(&mut stage, &made("b", &mounts, "12"));
    assert_eq!(
        names(&stage.plan()),
        ["b"],
        "nobody remembers what there was"
    );

    let stage = &mut self::stage(&[]);
    let mounts = ["target", "production.edge.subjects-00"];
    carry_out(stage.skewed(0));
    seen(stage, &made("c", &mounts, "20"));
    assert_eq!(names(&stage.plan()), [""; 0]);
    let moved = key("claude/search", json!({"target": {"secretName": "other"}}));
    stage.at("2026-11-24T00:00:30Z").apply(&moved);
    assert_eq!(names(&stage.plan()), ["c"], "its target is about to go");
    stage.carry_out();
    stage.at("2026-11-24T00:00:31Z");
    assert_eq!(carry_out(stage), ["c"], "it has gone");
    seen(stage, &made("d", &mounts, "32"));
    seen(stage, &made("e", &mounts, "33"));
    assert_eq!(names(&stage.plan()), ["d"]);
}

#[test]
fn only_running_pods_that_mount_files_of_the_gateway_are_touched_ready_or_not() {
    let mut waiting = pod("waiting", &["production.edge.keys"]);
    waiting["status"] = json!({"phase": "Pending"});
    let mut ending = pod("ending", &["production.edge.keys"]);
    ending["metadata"]["deletionTimestamp"] = json!("2026-11-24T00:00:00Z");
    let mut done = pod("done", &["production.edge.keys"]);
    done["status"]["phase"] = json!("Succeeded");
    let mut unready = pod("unready", &["production.edge.keys"]);
    unready["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
    let mut elsewhere = pod("elsewhere", &["production.edge.keys"]);
    elsewhere["metadata"]["namespace"] = json!("search");
    let foreign = pod("foreign", &["somebody", "staging.edge.keys", "productionx"]);
    let bare = pod("bare", &[]);
    let target = pod("target", &["target"]);
    let shard = pod("shard", &["production.edge.subjects-00"]);
    let mut stage = Stage::with(&[
        gateway(),
        secret("claude/source", KEY_A),
        key("claude/search", json!({})),
    ]);
    for pod in [waiting, ending, done, unready, foreign, bare, target, shard] {
        seen(&mut stage, &pod);
    }
    // Of another namespace: no watch of this scope could bring it.
    let stored = serde_json::from_value(elsewhere).unwrap();
    let (name, facts) = convert::pod(&stored).unwrap();
    let other = PodScope {
        namespace: "search".into(),
        ..scope()
    };
    let elsewhere = Change::Pod {
        scope: other,
        name: name.name,
        version: Some(1),
        facts,
    };
    assert!(stage.remove(elsewhere).is_empty());
    stage.remove(Change::PodAccess(scope(), Access::Listed));
    let plan = stage.plan();
    assert_eq!(names(&plan), ["shard", "target", "unready"]);
    assert_eq!(shown(&plan).map(|pods| pods.total), Some(3));
}

#[test]
fn what_takes_away_goes_at_once_and_the_rest_once_a_second() {
    let mut stage = stage(&[pod("a", &["production.edge.keys", "production.policy"])]);
    let give = |stage: &mut Stage, name: &str| {
        let name = format!("claude/{name}");
        stage.apply(&binding(&name, "user", service("claude", &name[7..])))
    };
    stage.at("2026-11-24T00:00:10Z");
    let mut with_policy = pod("p", &[]);
    with_policy["spec"]["volumes"] =
        json!([{"name": "f", "configMap": {"name": "production.policy"}}]);
    seen(&mut stage, &with_policy);
    assert_eq!(carry_out(&mut stage), ["p"]);
    stage.at("2026-11-24T00:00:10.4Z");
    give(&mut stage, "one");
    let made = stage.plan();
    assert_eq!(names(&made), [""; 0]);
    assert_eq!(
        made.pods.wake_at,
        "2026-11-24T00:00:11Z".parse::<Timestamp>().ok()
    );
    assert_eq!(carry_out(&mut stage), [""; 0]);
    stage.at("2026-11-24T00:00:10.6Z");
    stage.remove(Change::BindingGone(NamespacedName::new("claude", "one")));
    // Back to what the pod was hurried for, but its kubelet may have looked in between.
    assert_eq!(carry_out(&mut stage), ["p"]);
    assert_eq!(carry_out(&mut stage), [""; 0]);
    stage.at("2026-11-24T00:00:10.7Z");
    stage.remove(Change::BindingGone(NamespacedName::new("claude", "users")));
    assert_eq!(carry_out(&mut stage), ["p"], "a grant is gone");
    give(&mut stage, "two");
    assert_eq!(carry_out(&mut stage), [""; 0]);
    stage.at("2026-11-24T00:00:11.7Z");
    assert_eq!(carry_out(&mut stage), ["p"]);
}

#[test]
fn what_is_restored_is_marked_again_at_once_and_only_once() {
    let mount = "production.edge.keys";
    let mut stage = stage(&[pod("a", &[mount]), pod("other", &["target"])]);
    let keys = OutputId::secret("claude", mount);
    // Well within the second that other changes wait for.
    stage.at("2026-11-24T00:00:00.1Z");
    stage.remove(Change::SecretGone(keys.name.clone()));
    assert_eq!(carry_out(&mut stage), ["a"]);
    assert_eq!(carry_out(&mut stage), [""; 0]);

    stage.at("2026-11-24T00:00:00.2Z").tamper(mount);
    let name = NamespacedName::new("claude", "production");
    let snapshot = stage.world.snapshot(&name, stage.now).unwrap();
    let failed = pods(&snapshot, &plan(&snapshot), &[keys].into()).hurries;
    assert!(failed.is_empty(), "it is as it was: {failed:?}");
    assert_eq!(carry_out(&mut stage), ["a"]);
    assert_eq!(carry_out(&mut stage), [""; 0]);
}

#[test]
fn a_mark_for_what_was_restored_is_still_to_come_when_it_did_not_go_through() {
    let mount = "production.edge.keys";
    let mut stage = stage(&[pod("a", &[mount]), pod("other", &["target"])]);
    let keys = OutputId::secret("claude", mount);
    let name = NamespacedName::new("claude", "production");
    stage.at("2026-11-24T00:00:00.1Z");
    stage.remove(Change::SecretGone(keys.name.clone()));
    let made = stage.carry_out();
    assert_eq!(names(&made), ["a"], "but the API server took no mark");
    stage.world.planned(&name, made.last_policy);
    stage.at("2026-11-24T00:00:00.2Z");
    assert_eq!(carry_out(&mut stage), ["a"]);
    assert_eq!(carry_out(&mut stage), [""; 0]);

    // What could not be written is nothing to see, however often it is tried.
    for now in ["2026-11-24T00:00:01Z", "2026-11-24T00:01:01Z"] {
        stage.at(now).tamper(mount);
        let mut snapshot = stage.world.snapshot(&name, stage.now).unwrap();
        snapshot.failures = [(keys.clone(), WriteFailure::Forbidden)].into();
        let made = plan(&snapshot);
        assert_eq!(names(&made), [""; 0]);
        stage.world.planned(&name, made.last_policy);
    }
    assert_eq!(carry_out(&mut stage), ["a"]);
}

#[test]
fn nobody_waits_when_nobody_remembers_or_the_clock_was_put_back() {
    let mut stage = stage(&[pod("a", &["production.edge.keys"])]);
    let name = NamespacedName::new("claude", "production");
    stage.world.planned(&name, None);
    stage.at("2026-11-24T00:00:00.1Z").apply(&revoked());
    assert_eq!(carry_out(&mut stage), ["a"], "after a restart");
    stage
        .at("2026-11-23T00:00:00Z")
        .apply(&key("claude/search", json!({})));
    assert_eq!(carry_out(&mut stage), ["a"], "marked in the future");
}

#[test]
fn what_could_not_be_written_is_not_hurried_and_the_rest_is() {
    let stage = {
        let mut stage = stage(&[
            pod("keys", &["production.edge.keys"]),
            pod("target", &["target"]),
        ]);
        stage.at("2026-11-24T00:00:00.1Z").apply(&revoked());
        stage
    };
    let name = NamespacedName::new("claude", "production");
    let snapshot = stage.world.snapshot(&name, stage.now).unwrap();
    let made = plan(&snapshot);
    assert_eq!(names(&made), ["keys", "target"]);
    let unwritten = BTreeSet::from([OutputId::secret("claude", "target")]);
    let left: Vec<_> = pods(&snapshot, &made, &unwritten).hurries;
    let left: Vec<&str> = left.iter().map(|hurry| &*hurry.pod.name).collect();
    assert_eq!(left, ["keys"]);
}

#[test]
fn a_pod_that_could_not_be_hurried_lags_and_only_missing_rights_are_a_condition() {
    let mut stage = stage(&[pod("a", &["production.edge.keys"])]);
    stage.at("2026-11-24T00:00:00.1Z").apply(&revoked());
    let name = NamespacedName::new("claude", "production");
    let mut snapshot = stage.world.snapshot(&name, stage.now).unwrap();
    let hurried_for = snapshot.pods["edge"].clone();
    let before = match &hurried_for {
        crate::facts::PodLookup::Known(pods) => pods["a"].hurried["production.edge"],
        denied => panic!("{denied:?}"),
    };
    let projection = |plan: &Plan| condition(plan, "PromptProjection", "claude/production");
    assert_eq!(projection(&plan(&snapshot)), told("True", "Hurried"));
    for (failure, want) in [
        (
            WriteFailure::Refused("later".into()),
            told("True", "Hurried"),
        ),
        (WriteFailure::Forbidden, told("False", "PodAccessDenied")),
    ] {
        snapshot.unhurried = BTreeMap::from([("a".into(), failure)]);
        let made = plan(&snapshot);
        assert_eq!(projection(&made), want);
        assert_eq!(condition(&made, "Ready", "claude/production").1, "Ready");
        let lagging = LaggingPod {
            name: "a".into(),
            hurried_for: Some(before.to_string()),
            ..LaggingPod::default()
        };
        assert_eq!(
            shown(&made),
            Some(GatewayPods {
                total: 1,
                hurried: 0,
                loaded: Some(0),
                lagging: vec![lagging],
            })
        );
    }
}

fn told(status: &str, reason: &str) -> (String, String) {
    (status.into(), reason.into())
}

#[test]
fn without_a_selector_or_the_right_to_look_the_delay_is_said() {
    let projection =
        |stage: &Stage| condition(&stage.plan(), "PromptProjection", "claude/production");
    let mut stage = Stage::with(&[workspace(
        json!({"gateways": [{"name": "edge", "type": "Envoy"}]}),
    )]);
    assert_eq!(projection(&stage), told("False", "NoPodSelector"));
    assert_eq!(shown(&stage.plan()), None);
    stage.apply(&gateway());
    stage.remove(Change::PodAccess(scope(), Access::Denied));
    assert_eq!(projection(&stage), told("False", "PodAccessDenied"));
    assert_eq!(shown(&stage.plan()), None);
    stage.remove(Change::PodAccess(scope(), Access::Listed));
    assert_eq!(projection(&stage), told("True", "Hurried"));
    stage.apply(&workspace(json!({})));
    let plan = stage.plan();
    let told = plan
        .statuses
        .iter()
        .find_map(|update| match &update.status {
            Status::Workspace(status) => Some(&status.conditions),
            _ => None,
        });
    let kinds = told
        .into_iter()
        .flatten()
        .map(|condition| &*condition.type_);
    assert_eq!(
        kinds.collect::<Vec<_>>(),
        ["Accepted", "Programmed", "Ready"]
    );
    assert!(stage.world.pod_scopes().is_empty(), "nobody looks any more");
}

#[test]
fn older_news_of_a_pod_than_our_own_mark_changes_nothing() {
    let mut stage = stage(&[pod("a", &["production.edge.keys"])]);
    let unmarked = pod("a", &["production.edge.keys"]);
    assert_eq!(seen(&mut stage, &unmarked), [""; 0], "older");
    let marked = stage.plan().pods.gateways["edge"].clone().unwrap();
    assert!(marked.iter().all(|pod: &GatewayPod| pod.present));
    let mut later = unmarked;
    later["metadata"]["resourceVersion"] = json!("3");
    assert_eq!(
        seen(&mut stage, &later),
        ["claude/production"],
        "somebody took the mark off"
    );
    assert_eq!(names(&stage.plan()), ["a"]);
    let content = stage.plan().pods.hurries[0].contents["production.edge"];
    later["metadata"]["resourceVersion"] = json!("4");
    later["metadata"]["annotations"] = json!({
        format!("{HURRIED_FOR}/production.edge"): content.to_string(),
        HURRIED_AT: "2026-11-24T00:00:00Z",
    });
    seen(&mut stage, &later);
    assert_eq!(names(&stage.plan()), [""; 0]);
    later["metadata"]["uid"] = json!("another");
    later["metadata"]["resourceVersion"] = json!("5");
    later["metadata"]["annotations"] = json!({});
    seen(&mut stage, &later);
    assert_eq!(names(&stage.plan()), ["a"], "a namesake");
}

//! What is said of gateways that have loaded what was written, or have not, and who is asked.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::stage::{KEY_A, KEY_B, Stage, binding, condition, key, secret, service, workspace};
use crate::api::{GatewayPods, convert};
use crate::facts::{Awaited, Load, Loaded, PodScope};
use crate::plan::loads::{LOAD_LIMIT, PodLoad};
use crate::plan::output::{Plan, Status};
use crate::plan::world::{Access, Change, Reported};
use crate::policy::name::{Name, NamespacedName};

fn scope() -> PodScope {
    PodScope {
        namespace: "claude".into(),
        selector: "app in (edge)".into(),
    }
}

fn pod(name: &str, address: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "claude", "uid": format!("uid-{name}"), "resourceVersion": "1"},
        "spec": {"volumes": [{"name": "f", "configMap": {"name": "production.edge.data"}}]},
        "status": {"phase": "Running", "startTime": "2026-11-23T00:00:00Z", "podIP": address,
                   "containerStatuses": [{"restartCount": 0}]},
    })
}

fn seen(stage: &mut Stage, pod: &Value) {
    let stored = serde_json::from_value(pod.clone()).unwrap();
    let (name, facts) = convert::pod(&stored).unwrap();
    stage.remove(Change::Pod {
        scope: scope(),
        name: name.name,
        version: Some(1),
        facts,
    });
}

/// A gateway with everything written, and these pods, none of which was asked.
fn stage(pods: &[Value]) -> Stage {
    let gateway =
        json!({"name": "edge", "type": "Envoy", "podSelector": {"matchLabels": {"app": "edge"}}});
    let mut stage = Stage::with(&[workspace(json!({"gateways": [gateway]}))]);
    pods.iter().for_each(|pod| seen(&mut stage, pod));
    stage.remove(Change::PodAccess(scope(), Access::Listed));
    turn(&mut stage);
    stage
}

/// Carries a plan out and remembers it.
fn turn(stage: &mut Stage) -> Plan {
    let made = stage.carry_out();
    let name = NamespacedName::new("claude", "production");
    stage.world.planned(&name, made.last_policy.clone());
    made
}

fn awaited(plan: &Plan) -> Awaited {
    let last = plan.last_policy.clone().unwrap();
    last.awaited.clone().unwrap()
}

/// What a gateway says that has loaded all of a plan.
fn all_of(plan: &Plan) -> Loaded {
    let awaited = awaited(plan);
    Loaded {
        workspace: "claude/production".into(),
        config: awaited.config.to_string().into(),
        revision: awaited.revision.to_string().into(),
        subjects: awaited.subjects,
        differ: Vec::new(),
        error: None,
        versions: awaited
            .versions
            .into_iter()
            .map(|(file, version)| (file, version.to_string().into()))
            .collect(),
    }
}

/// The pod says this; whom that affects.
fn says(stage: &mut Stage, pod: &str, load: Load) -> usize {
    let plan = stage.plan();
    let asked = plan.loads.asks.iter().find(|ask| *ask.pod.name == *pod);
    let asked = asked.expect("it is asked");
    let reported = Reported {
        pod: asked.pod.clone(),
        asked: asked.facts.clone(),
        load,
    };
    stage.remove(Change::Reported(reported)).len()
}

fn shown(plan: &Plan) -> Option<GatewayPods> {
    let status = plan
        .statuses
        .iter()
        .find_map(|update| match &update.status {
            Status::Workspace(status) => Some(status),
            _ => None,
        });
    status.and_then(|status| status.gateways[0].pods.clone())
}

fn programmed(plan: &Plan) -> (String, String) {
    condition(plan, "Programmed", "claude/production")
}

fn message(plan: &Plan) -> String {
    let status = plan
        .statuses
        .iter()
        .find_map(|update| match &update.status {
            Status::Workspace(status) => Some(status),
            _ => None,
        });
    let conditions = &status.unwrap().conditions;
    let programmed = conditions
        .iter()
        .find(|condition| condition.type_ == "Programmed");
    programmed.unwrap().message.clone()
}

fn load_of(plan: &Plan, pod: &str) -> PodLoad {
    plan.loads.gateways["edge"][pod].clone()
}

/// A gateway whose pod was started with the present static files, or with others.
pub(super) fn started(outdated: bool) -> Stage {
    let mut stage = stage(&[pod("a", "10.0.0.7")]);
    let mut loaded = all_of(&stage.plan());
    if outdated {
        loaded.config = "another".into();
    }
    says(&mut stage, "a", Load::Loaded(loaded));
    stage
}

const LATER: &str = "2026-11-24T00:02:00Z";

#[test]
fn a_pod_is_asked_where_it_is_and_one_without_an_address_is_not() {
    let mut waiting = pod("b", "");
    waiting["status"]["podIP"] = Value::Null;
    let plan = stage(&[pod("a", "10.0.0.7"), waiting]).plan();
    let asked = plan.loads.asks.iter();
    let asked = asked.map(|ask| (ask.pod.to_string(), ask.address.to_string(), ask.done));
    assert_eq!(
        asked.collect::<Vec<_>>(),
        [("claude/a".into(), "10.0.0.7:8081".into(), false)]
    );
    assert_eq!(load_of(&plan, "a"), PodLoad::Unasked);
    assert_eq!(load_of(&plan, "b"), PodLoad::NotStarted);
}

#[test]
fn nothing_is_said_of_a_workspace_between_a_pods_start_and_its_first_answer() {
    let mut stage = stage(&[pod("a", "10.0.0.7")]);
    assert_eq!(shown(&stage.plan()), None, "no status");
    let all = all_of(&stage.plan());
    assert_eq!(says(&mut stage, "a", Load::Loaded(all)), 1);
    let told = shown(&stage.plan()).expect("a status");
    assert_eq!((told.total, told.loaded), (1, Some(1)));
}

#[test]
fn what_is_loaded_is_told_once_and_what_is_not_only_after_two_minutes() {
    let mut stage = stage(&[pod("a", "10.0.0.7"), pod("b", "10.0.0.8")]);
    let old = all_of(&stage.plan());
    for name in ["a", "b"] {
        assert_eq!(says(&mut stage, name, Load::Loaded(old.clone())), 1);
        assert_eq!(
            says(&mut stage, name, Load::Loaded(old.clone())),
            0,
            "again"
        );
    }
    turn(&mut stage);
    stage.apply(&binding("claude/b", "user", service("claude", "search")));
    stage.at("2026-11-24T00:10:00Z");
    let plan = turn(&mut stage);
    let told = |plan: &Plan| shown(plan).map(|pods| (pods.loaded, pods.lagging.len()));
    assert_eq!(told(&plan), Some((None, 0)));
    assert_eq!(programmed(&plan), ("True".into(), "Programmed".into()));
    assert!(plan.loads.asks.iter().all(|ask| !ask.done));
    let late_at = stage.now.checked_add(LOAD_LIMIT).ok();
    assert_eq!(plan.loads.wake_at, late_at);

    let new = all_of(&stage.plan());
    says(&mut stage, "a", Load::Loaded(new.clone()));
    stage.at("2026-11-24T00:11:59Z");
    assert_eq!(told(&turn(&mut stage)), Some((None, 0)), "not of each");
    stage.at("2026-11-24T00:12:00Z");
    let plan = turn(&mut stage);
    assert_eq!(told(&plan), Some((Some(1), 1)));
    assert_eq!(programmed(&plan), ("False".into(), "NotLoaded".into()));
    let lagging = &shown(&plan).unwrap().lagging[0];
    assert_eq!(lagging.loaded_revision.as_deref(), Some(&*old.revision));
    assert!(
        message(&plan).contains("Pod b of gateway 'edge'"),
        "{}",
        message(&plan)
    );
    let ready = condition(&plan, "Ready", "claude/production");
    assert_eq!(ready, ("False".into(), "NotLoaded".into()));

    says(&mut stage, "b", Load::Loaded(new));
    let plan = turn(&mut stage);
    assert_eq!(told(&plan), Some((Some(2), 0)));
    assert_eq!(programmed(&plan), ("True".into(), "Programmed".into()));
    assert!(plan.loads.asks.iter().all(|ask| ask.done));
}

#[test]
fn a_pod_that_loads_nothing_is_late_however_often_the_policy_changes() {
    let mut stage = stage(&[pod("busy", "10.0.0.7"), pod("stuck", "10.0.0.8")]);
    let first = all_of(&stage.plan());
    says(&mut stage, "busy", Load::Loaded(first.clone()));
    says(&mut stage, "stuck", Load::Loaded(first.clone()));
    let mut present = all_of(&turn(&mut stage));
    let mut told = Vec::new();
    for minute in 1..=4 {
        stage.at(&format!("2026-11-24T00:0{minute}:00Z"));
        let name = format!("claude/b{minute}");
        stage.apply(&binding(&name, "user", service("claude", "search")));
        // One has loaded what was written a minute ago, and never what is written now.
        says(&mut stage, "busy", Load::Loaded(present));
        let plan = turn(&mut stage);
        present = all_of(&plan);
        told.push(programmed(&plan).1);
        let lags = load_of(&plan, "busy");
        assert_eq!(lags, PodLoad::Pending, "minute {minute}");
    }
    assert_eq!(told, ["Programmed", "Programmed", "NotLoaded", "NotLoaded"]);
    assert!(message(&stage.plan()).contains("Pod stuck"));
    says(&mut stage, "stuck", Load::Loaded(present));
    assert_eq!(programmed(&turn(&mut stage)).1, "Programmed");
}

#[test]
fn whatever_differs_from_what_was_written_is_not_loaded_and_said() {
    let mut stage = stage(&[pod("a", "10.0.0.7")]);
    let all = all_of(&stage.plan());
    let change = |change: fn(&mut Loaded)| {
        let mut loaded = all.clone();
        change(&mut loaded);
        Load::Loaded(loaded)
    };
    stage.at(LATER);
    for (load, says_so) in [
        (change(|loaded| loaded.revision = "0".into()), "revision 0"),
        (
            change(|loaded| loaded.revision = "".into()),
            "has no policy",
        ),
        (
            change(|loaded| loaded.workspace = "claude/staging".into()),
            "claude/staging",
        ),
        (change(|loaded| loaded.subjects = 2), "other subjects"),
        (
            change(|loaded| loaded.differ = vec!["subjects-00".into()]),
            "subjects-00",
        ),
        (
            change(|loaded| loaded.error = Some("line 3:\u{1b}[0m bad".into())),
            "line 3:[0m bad",
        ),
        (
            change(|loaded| drop(loaded.versions.insert("jwt.json".into(), "x".into()))),
            "jwt.json",
        ),
        (
            change(|loaded| drop(loaded.versions.remove("ratelimit.json"))),
            "ratelimit.json",
        ),
        (change(|loaded| loaded.versions.clear()), "clusters.json"),
        (Load::Unreachable, "does not answer"),
        (Load::NotAGateway, "does not say"),
    ] {
        says(&mut stage, "a", load.clone());
        let plan = stage.plan();
        assert_eq!(
            programmed(&plan),
            ("False".into(), "NotLoaded".into()),
            "{load:?}"
        );
        assert!(message(&plan).contains(says_so), "{}", message(&plan));
        assert!(plan.loads.asks.iter().all(|ask| !ask.done));
    }
    says(&mut stage, "a", Load::Loaded(all));
    assert_eq!(
        programmed(&stage.plan()),
        ("True".into(), "Programmed".into())
    );
}

#[test]
fn a_gateway_that_started_anew_is_asked_anew_and_has_its_time() {
    let mut stage = stage(&[pod("a", "10.0.0.7")]);
    let all = all_of(&stage.plan());
    says(&mut stage, "a", Load::Loaded(all));
    turn(&mut stage);
    stage.at("2026-11-24T01:00:00Z");
    let mut again = pod("a", "10.0.0.7");
    again["status"]["containerStatuses"] = json!([
        {"restartCount": 1, "state": {"running": {"startedAt": "2026-11-24T00:59:00Z"}}},
    ]);
    seen(&mut stage, &again);
    assert_eq!(load_of(&stage.plan(), "a"), PodLoad::Unasked);
    says(&mut stage, "a", Load::Unreachable);
    assert_eq!(load_of(&stage.plan(), "a"), PodLoad::Pending);
    stage.at("2026-11-24T01:01:00Z");
    assert_eq!(programmed(&stage.plan()).1, "NotLoaded");
    // What only its readiness changes does not make anybody forget what it said.
    again["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
    seen(&mut stage, &again);
    assert_ne!(load_of(&stage.plan(), "a"), PodLoad::Unasked);
}

#[test]
fn the_version_before_is_not_retirable_while_a_pod_has_not_loaded_the_next() {
    let mut stage = stage(&[pod("a", "10.0.0.7")]);
    stage.apply(&secret("claude/source", KEY_A));
    stage.apply(&key("claude/search", json!({})));
    turn(&mut stage);
    let old = all_of(&stage.plan());
    says(&mut stage, "a", Load::Loaded(old));
    stage.at("2026-11-24T01:00:00Z");
    stage.apply(&secret("claude/source", KEY_B));
    turn(&mut stage);
    stage.at("2026-11-24T01:04:00Z");
    let retirable =
        |stage: &Stage| condition(&stage.plan(), "PreviousKeyRetirable", "claude/search");
    assert_eq!(retirable(&stage), ("False".into(), "NotLoaded".into()));
    let new = all_of(&stage.plan());
    says(&mut stage, "a", Load::Loaded(new));
    assert_eq!(retirable(&stage), ("True".into(), "Retirable".into()));
}

#[test]
fn nobody_is_asked_at_an_address_that_no_pod_has() {
    for address in [
        "169.254.169.254",
        "224.0.0.1",
        "0.0.0.0",
        "fe80::1",
        "::ffff:169.254.169.254",
    ] {
        let mut stage = stage(&[pod("a", address)]);
        assert_eq!(stage.plan().loads.asks, [], "{address}");
        stage.at(LATER);
        assert_eq!(programmed(&stage.plan()).1, "NotLoaded", "{address}");
    }
    for address in ["10.0.0.7", "fd00::7", "192.168.0.7"] {
        assert_eq!(
            stage(&[pod("a", address)]).plan().loads.asks.len(),
            1,
            "{address}"
        );
    }
}

#[test]
fn one_pod_alone_holds_the_rates_exactly() {
    let rates = |pods: &[Value]| {
        let mut stage = stage(pods);
        let all = all_of(&stage.plan());
        for ask in stage.plan().loads.asks {
            says(&mut stage, &ask.pod.name, Load::Loaded(all.clone()));
        }
        let plan = stage.plan();
        let status = plan
            .statuses
            .iter()
            .find_map(|update| match &update.status {
                Status::Workspace(status) => Some(status.gateways[0].limits.clone()),
                _ => None,
            });
        let limits: BTreeMap<Name, _> = status
            .unwrap()
            .into_iter()
            .map(|limit| (Name::from(limit.limit), limit.enforcement))
            .collect();
        limits["requestsPerMinute"]
    };
    use crate::api::Enforcement::{Enforced, PerReplica};
    assert_eq!(rates(&[pod("a", "10.0.0.7")]), Enforced);
    assert_eq!(
        rates(&[pod("a", "10.0.0.7"), pod("b", "10.0.0.8")]),
        PerReplica
    );
}

//! What planning one workspace costs as its bindings grow: time, and memory of the plan. Medians
//! in one run, on this machine.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anthropic_rbac::api::convert;
use anthropic_rbac::facts::{Snapshot, StatusMark};
use anthropic_rbac::plan::output::Plan;
use anthropic_rbac::plan::plan;
use anthropic_rbac::plan::world::{Change, Unseen, World};
use anthropic_rbac::policy::catalogue::Catalogue;
use anthropic_rbac::policy::name::NamespacedName;
use serde_json::{Value, json};

const SIZES: [usize; 4] = [1, 300, 3_000, 50_000];

fn main() {
    println!(
        "{:>9}  {:>11}  {:>11}  {:>11}  {:>14}  {:>10}  {:>9}",
        "bindings", "snapshot ms", "first ms", "later ms", "later, to 1", "each µs", "plan MiB"
    );
    let mut one = None;
    for bindings in SIZES {
        let mut world = world(bindings);
        let runs = (20_000 / bindings).clamp(3, 500);
        let (_, snapshot) = median(runs, || snapshot_of(&world));
        let before = resident_kib();
        let fresh = snapshot_of(&world);
        let held = plan(&fresh);
        let memory = resident_kib().saturating_sub(before);
        let (_, first) = median(runs, || plan(&fresh));
        settle(&mut world, &fresh, &held);
        drop((fresh, held));
        let settled = snapshot_of(&world);
        let (again, later) = median(runs, || plan(&settled));
        assert!(again.statuses.is_empty(), "all of them are written");
        let each = millis(later) * 1_000.0 / bindings as f64;
        let ratio = later.as_secs_f64() / one.get_or_insert(later).as_secs_f64();
        println!(
            "{bindings:>9}  {:>11.3}  {:>11.3}  {:>11.3}  {ratio:>13.1}x  {each:>10.1}  {:>9.1}",
            millis(snapshot),
            millis(first),
            millis(later),
            memory as f64 / 1024.0
        );
    }
}

/// What the last run gives, and how long the median one takes.
fn median<T>(runs: usize, work: impl Fn() -> T) -> (T, Duration) {
    let timed = || {
        let start = Instant::now();
        let done = black_box(work());
        (done, start.elapsed())
    };
    let (mut last, first) = timed();
    let mut times = vec![first];
    for _ in 1..runs {
        // One plan at a time: of 50,000 bindings each takes a good deal of memory.
        drop(last);
        let (done, time) = timed();
        last = done;
        times.push(time);
    }
    times.sort();
    (last, times[runs / 2])
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Memory of this process; 0 where `/proc` does not tell.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn name() -> NamespacedName {
    NamespacedName::new("claude", "production")
}

fn snapshot_of(world: &World) -> Snapshot {
    let now = "2026-11-24T00:00:00Z".parse().expect("an instant");
    world.snapshot(&name(), now).expect("nothing to wait for")
}

fn world(bindings: usize) -> World {
    let mut world = World::new(Arc::new(Catalogue::built_in()), Unseen::Absent);
    let workspace = object(
        "Workspace",
        "claude",
        "production",
        json!({"allowedNamespaces": [{"selector": {}, "roles": ["user", "power"]}]}),
    );
    let workspace = serde_json::from_value(workspace).expect("a Workspace");
    world.apply(Change::Workspace(
        convert::workspace(&workspace).expect("a name"),
    ));
    for i in 0..bindings {
        let role = ["user", "power"][i % 2];
        let spec = json!({
            "workspaceRef": {"name": "production", "namespace": "claude"},
            "roleRef": {"kind": "ApplicationRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": format!("service-{i}")}],
            "expiresAt": "2027-11-24T00:00:00Z",
        });
        let object = object(
            "RoleBinding",
            &format!("team-{}", i % 100),
            &format!("binding-{i}"),
            spec,
        );
        let binding = serde_json::from_value(object).expect("a RoleBinding");
        world.apply(Change::Binding(
            convert::role_binding(&binding).expect("a name"),
        ));
    }
    world
}

fn object(kind: &str, namespace: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "anthropic-rbac.io/v1alpha1",
        "kind": kind,
        "metadata": {"namespace": namespace, "name": name, "uid": format!("uid-{name}"), "generation": 1,
                     "creationTimestamp": "2026-10-01T00:00:00Z"},
        "spec": spec,
    })
}

/// Takes the statuses of a plan for written.
fn settle(world: &mut World, snapshot: &Snapshot, plan: &Plan) {
    let content = plan
        .statuses
        .iter()
        .map(|update| (&update.name, update.content));
    let content: std::collections::HashMap<_, _> = content.collect();
    for facts in &snapshot.bindings {
        let mut facts = (**facts).clone();
        facts.object.status = StatusMark {
            content: content.get(&facts.object.name).copied(),
            conditions: Box::default(),
        };
        world.apply(Change::Binding(facts));
    }
    if let Some(facts) = &snapshot.workspace {
        let mut facts = (**facts).clone();
        facts.object.status = StatusMark {
            content: content.get(&facts.object.name).copied(),
            conditions: Box::default(),
        };
        world.apply(Change::Workspace(facts));
    }
}

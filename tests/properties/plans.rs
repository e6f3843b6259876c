//! What holds of whole plans: the order in which things become known changes no byte, what was
//! carried out leaves nothing to do, whoever a change matters to is told, and what is written
//! reads back as it was meant.

use anthropic_rbac::api::metadata::KEY_VERSIONS;
use anthropic_rbac::gateway::policy_json::{parse, render};
use anthropic_rbac::plan::output::{Content, Plan};
use anthropic_rbac::plan::plan;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::asking::answers;
use crate::random::Random;
use crate::run::{in_worlds, name_of, same};
use crate::stage::Stage;

#[test]
fn the_order_in_which_things_become_known_changes_no_byte() {
    in_worlds(10_000, |world| {
        let random = &mut Random::new(world.seed);
        let mut one = Stage::of(&world.objects);
        let mut other = Stage::of(&random.shuffled(world.objects.clone()));
        if !world.objects.is_empty() {
            // What came late must do the same as if it had been there from the start.
            let late = random.pick(&world.objects);
            other.delete(late);
            other.plans();
            other.apply(late);
        }
        let (want, got) = (one.plans(), other.plans());
        same(
            "workspaces",
            &got.keys().collect::<Vec<_>>(),
            &want.keys().collect(),
        )?;
        let mut pairs = got.iter().zip(&want);
        pairs.try_for_each(|((name, got), (_, want))| {
            same(
                &format!("plans of {name}"),
                &versionless(got),
                &versionless(want),
            )
        })
    });
}

/// A plan without what its outputs remember of resourceVersions: those *are* the order.
fn versionless(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    for output in &mut plan.outputs {
        output.annotations.retain(|key, _| **key != *KEY_VERSIONS);
    }
    plan
}

#[test]
fn a_plan_that_was_carried_out_leaves_nothing_to_do_until_it_says_so() {
    in_worlds(6_000, |world| {
        let mut stage = Stage::of(&world.objects);
        stage.settle();
        let now = stage.now;
        let long = now + SignedDuration::from_hours(24 * 400);
        for name in stage
            .facts
            .workspaces()
            .into_iter()
            .filter(|name| !name.name.is_empty())
        {
            stage.now = now;
            let wake = stage.plan(&name).wake_at;
            let last_quiet = wake.map_or(long, |at| at - SignedDuration::from_nanos(1));
            for at in [now, last_quiet] {
                stage.now = at;
                let snapshot = stage.snapshot(&name);
                let plan = plan(&snapshot);
                let news: Vec<_> = plan
                    .statuses
                    .iter()
                    .filter(|update| stage.is_news(update))
                    .collect();
                same(
                    &format!("writes of {name} at {at}"),
                    &plan.writes(&snapshot.outputs),
                    &Vec::new(),
                )?;
                same(&format!("statuses of {name} at {at}"), &news, &Vec::new())?;
                same(
                    &format!("events of {name} at {at}"),
                    &plan.events,
                    &Vec::new(),
                )?;
            }
        }
        Ok(())
    });
}

#[test]
fn whoever_a_change_matters_to_is_told() {
    in_worlds(6_000, |world| {
        let random = &mut Random::new(world.seed);
        let mut stage = Stage::of(&world.objects);
        stage.settle();
        let before = stage.plans();
        if world.objects.is_empty() {
            return Ok(());
        }
        let changed = random.pick(&world.objects);
        let affected = match random.chance(50) {
            true => stage.delete(changed),
            false => stage.apply(&edited(changed)),
        };
        let there = stage.facts.workspaces();
        for (name, before) in before
            .iter()
            .filter(|(name, _)| there.contains(name) && !affected.contains(name))
        {
            let what = format!(
                "plans of {name}, which was not told of {},",
                name_of(changed)
            );
            same(&what, &stage.plan(name), before)?;
        }
        Ok(())
    });
}

/// The same object with as much as possible changed.
fn edited(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"]["labels"] = json!({"claude": "enabled"});
    object["metadata"]["annotations"] = json!({"anthropic-rbac.io/allow-namespaces": "*"});
    if let Some(values) = object.get_mut("stringData") {
        *values = json!({"api-key": "sk-ant-api03-EXAMPLE-bbbbbbbbbbbbbbbb"});
    }
    if let Some(spec) = object.get_mut("spec") {
        spec["state"] = json!("Disabled");
        object["metadata"]["generation"] = json!(2);
    }
    object
}

#[test]
fn a_policy_decides_the_same_once_written_and_read() {
    in_worlds(20_000, |world| {
        let mut stage = Stage::of(&world.objects);
        for (name, plan) in stage.plans() {
            let Some(policy) = plan
                .resolution
                .as_ref()
                .map(|resolution| &resolution.policy)
            else {
                continue;
            };
            let file = format!("{}.policy", name.name);
            let output = plan
                .outputs
                .iter()
                .find(|output| *output.id.name.name == *file);
            let Some(Content::Text(text)) =
                output.and_then(|output| output.data.get("policy.json"))
            else {
                return Err(format!("{name} has no policy.json"));
            };
            let (revision, read) = parse(text, &[]).map_err(|why| why.to_string())?;
            same(
                "answers",
                &answers(&read, stage.now),
                &answers(policy, stage.now),
            )?;
            same("policies", &read, policy)?;
            same("revisions", &revision, &render(&read).revision)?;
        }
        Ok(())
    });
}

//! What no edit can do: the order of things changes nothing, taking away never gives, grants
//! add up to the best of them, and time bounds are half-open.

use anthropic_rbac::policy::decide::Denial;
use anthropic_rbac::policy::limits::RequestsPerMinute;
use anthropic_rbac::policy::name::NamespacedName;
use anthropic_rbac::policy::table::Policy;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::asking::{Answer, QUESTIONS, Question, answers, wider};
use crate::oracle::contested_client_keys;
use crate::run::{Outcome, in_worlds, name_of, same};
use crate::stage::{Stage, kind_of};
use crate::worlds::{WORKSPACES, World};

const NANOSECOND: SignedDuration = SignedDuration::from_nanos(1);

/// The policies of all workspaces.
fn policies(stage: &mut Stage) -> Vec<Option<Policy>> {
    let mut plans = stage.plans();
    let names = WORKSPACES.map(|name| NamespacedName::parse(name).expect("a name"));
    names
        .map(|name| Some(plans.remove(&name)?.resolution?.policy))
        .into()
}

fn bindings(world: &World) -> impl Iterator<Item = &Value> {
    world
        .objects
        .iter()
        .filter(|object| kind_of(object) == "RoleBinding")
}

/// Answers about client keys that two namespaces bind depend on which of them is there.
fn uncontested(objects: &[Value], answers: Vec<Answer>) -> Vec<Answer> {
    let contested = contested_client_keys(objects);
    let skip = |id| contested.contains(id);
    let answers = QUESTIONS.iter().zip(answers);
    answers
        .map(|(q, answer)| {
            if skip(&q.caller.id) {
                Err(Denial::NoRole)
            } else {
                answer
            }
        })
        .collect()
}

fn same_but_contested(world: &World, what: &str, got: Vec<Answer>, want: Vec<Answer>) -> Outcome {
    let [got, want] = [got, want].map(|answers| uncontested(&world.objects, answers));
    same(what, &got, &want)
}

#[test]
fn taking_a_binding_away_gives_nobody_anything() {
    in_worlds(6_000, |world| {
        let mut stage = Stage::of(&world.objects);
        let before = policies(&mut stage);
        for binding in bindings(world) {
            stage.delete(binding);
            for (before, after) in before.iter().zip(policies(&mut stage)) {
                let (Some(before), Some(after)) = (before, after) else {
                    continue;
                };
                let before = answers(before, stage.now);
                let after = uncontested(&world.objects, answers(&after, stage.now));
                if let Some(more) = wider(&before, &after) {
                    return Err(format!("without {}: {more}", name_of(binding)));
                }
            }
            stage.apply(binding);
        }
        Ok(())
    });
}

#[test]
fn grants_add_up_to_the_most_generous_of_them_for_each_model() {
    in_worlds(8_000, |world| {
        let mut stage = Stage::of(&world.objects);
        let now = stage.now;
        let whole = policies(&mut stage);
        bindings(world).for_each(|binding| drop(stage.delete(binding)));
        let mut parts = Vec::new();
        for binding in bindings(world) {
            stage.apply(binding);
            parts.push(policies(&mut stage));
            stage.delete(binding);
        }
        let contested = contested_client_keys(&world.objects);
        for (i, whole) in whole.iter().enumerate() {
            let Some(whole) = whole else {
                continue;
            };
            let parts: Vec<&Policy> = parts.iter().filter_map(|part| part[i].as_ref()).collect();
            for question in QUESTIONS
                .iter()
                .filter(|q| !contested.contains(&q.caller.id))
            {
                let ask = |policy: &Policy| question.capped(policy, now, Some(u64::MAX)).ok();
                let got = ask(whole);
                let best = parts
                    .iter()
                    .filter_map(|part| ask(part))
                    .map(|permit| permit.max_tokens())
                    .max();
                let tokens = got.as_ref().map(|permit| permit.max_tokens());
                same(
                    &format!("tokens of {question} in {}", WORKSPACES[i]),
                    &tokens,
                    &best,
                )?;
                // The rate is the highest of all roles with access, whatever the model.
                let highest = parts
                    .iter()
                    .filter_map(|part| rate(part, question, now))
                    .max();
                let got = got.map(|permit| permit.requests_per_minute());
                same(
                    &format!("rate of {question} in {}", WORKSPACES[i]),
                    &got,
                    &got.and(highest),
                )?;
            }
        }
        Ok(())
    });
}

/// The highest rate of the roles a caller has, by reading the table.
fn rate(policy: &Policy, question: &Question, now: Timestamp) -> Option<RequestsPerMinute> {
    let identities = std::iter::once(&question.caller.id).chain(&question.caller.group_ids);
    let rows = identities.filter_map(|id| policy.subjects.get(id));
    let held = rows.flat_map(|row| &row.grants).filter(|grant| {
        grant.not_before.is_none_or(|at| at <= now) && grant.expires_at.is_none_or(|at| at > now)
    });
    held.filter_map(|grant| {
        Some(
            policy
                .roles
                .get(&grant.role)?
                .access
                .as_ref()?
                .requests_per_minute,
        )
    })
    .max()
}

#[test]
fn a_policy_holds_for_later_instants_as_if_it_were_made_then() {
    in_worlds(12_000, |world| {
        let mut stage = Stage::of(&world.objects);
        let now = stage.now;
        let early = policies(&mut stage);
        let bound =
            |binding: &Value, field| binding["spec"][field].as_str()?.parse::<Timestamp>().ok();
        let bounds = bindings(world)
            .flat_map(|b| [bound(b, "notBefore"), bound(b, "expiresAt")])
            .flatten();
        let instants = bounds.flat_map(|bound| [bound - NANOSECOND, bound]);
        for at in instants.filter(|at| *at >= now) {
            stage.now = at;
            for (i, late) in policies(&mut stage).into_iter().enumerate() {
                let (Some(early), Some(late)) = (&early[i], late) else {
                    continue;
                };
                // Keys have a clock of their own; who may is asked here.
                let early = Policy {
                    keys: late.keys.clone(),
                    ..early.clone()
                };
                let what = format!("answers of {} at {at}", WORKSPACES[i]);
                same_but_contested(world, &what, answers(&early, at), answers(&late, at))?;
            }
        }
        Ok(())
    });
}

#[test]
fn a_grant_holds_from_its_first_instant_to_before_its_last() {
    in_worlds(3_000, |world| {
        let mut stage = Stage::of(&world.objects);
        let hour = SignedDuration::from_hours(1);
        let (start, end) = (stage.now + hour, stage.now + hour + hour);
        for binding in bindings(world) {
            let mut always = binding.clone();
            let spec = always["spec"].as_object_mut().expect("a spec");
            spec.remove("notBefore");
            spec.remove("expiresAt");
            let (mut timed, mut never) = (always.clone(), always.clone());
            timed["spec"]["notBefore"] = start.to_string().into();
            timed["spec"]["expiresAt"] = end.to_string().into();
            never["spec"]["state"] = "Disabled".into();
            let [timed, always, never] = [timed, always, never].map(|binding| {
                stage.apply(&binding);
                policies(&mut stage)
            });
            stage.apply(binding);
            for (i, timed) in timed.iter().enumerate() {
                let (Some(timed), Some(always), Some(never)) = (timed, &always[i], &never[i])
                else {
                    continue;
                };
                let wanted = [
                    (start - NANOSECOND, never),
                    (start, always),
                    (end - NANOSECOND, always),
                    (end, never),
                ];
                for (at, want) in wanted {
                    let what = format!("answers at {at}");
                    same_but_contested(world, &what, answers(timed, at), answers(want, at))?;
                }
            }
        }
        Ok(())
    });
}

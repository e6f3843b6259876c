//! Nobody's doing reaches anybody else: neither what is broken nor what a hostile tenant writes
//! changes the decisions, keys or statuses of others.

use std::collections::{BTreeMap, BTreeSet};

use anthropic_rbac::facts::OutputKind;
use anthropic_rbac::plan::output::Content;
use anthropic_rbac::policy::name::{Name, NamespacedName};
use anthropic_rbac::policy::subject::Subject;
use serde_json::{Value, json};

use crate::asking::QUESTIONS;
use crate::mischief::{broken, trick};
use crate::oracle::Oracle;
use crate::random::Random;
use crate::run::{Outcome, in_worlds, name_of, same};
use crate::stage::{Stage, kind_of};
use crate::worlds::{HOSTILE, NOW, WORKSPACES};

/// What there is of everybody but those who are left out.
#[derive(PartialEq, Debug)]
struct View {
    answers: BTreeMap<(&'static str, usize), String>,
    /// What is under every data key of targets and gateways' Secrets.
    keys: BTreeMap<(String, Name), Content>,
    statuses: BTreeMap<(String, String), Value>,
}

fn view(stage: &mut Stage, skip: impl Fn(&str) -> bool) -> View {
    let mut view = View {
        answers: BTreeMap::new(),
        keys: BTreeMap::new(),
        statuses: stage.statuses(&["RoleBinding", "ApiKeyRef"]),
    };
    view.statuses.retain(|(_, name), _| !skip(name));
    for (name, plan) in stage.plans() {
        let known = WORKSPACES
            .into_iter()
            .find(|known| *known == name.to_string());
        let policy = plan
            .resolution
            .as_ref()
            .map(|resolution| &resolution.policy);
        if let (Some(known), Some(policy)) = (known.filter(|known| !skip(known)), policy) {
            for (i, question) in QUESTIONS.iter().enumerate() {
                let answer = question.put(policy, stage.now);
                view.answers.insert((known, i), format!("{answer:?}"));
            }
        }
        let secrets = plan
            .outputs
            .into_iter()
            .filter(|output| output.id.kind == OutputKind::Secret);
        for output in secrets.filter(|output| !skip(&output.id.name.to_string())) {
            let name = output.id.name.to_string();
            let data = output.data.into_iter();
            view.keys
                .extend(data.map(|(key, content)| ((name.clone(), key), content)));
        }
    }
    view
}

#[test]
fn what_is_broken_changes_nothing_for_anybody_else() {
    in_worlds(5_000, |world| {
        let random = &mut Random::new(world.seed);
        let broken = broken(random);
        let names: BTreeSet<String> = broken.iter().map(name_of).collect();
        let mut stage = Stage::of(&world.objects);
        stage.settle();
        let before = view(&mut stage, |name| names.contains(name));
        broken.iter().for_each(|object| drop(stage.apply(object)));
        stage.settle();
        let after = view(&mut stage, |name| names.contains(name));
        compared(&after, &before).map_err(|why| format!("{broken:?}: {why}"))
    });
}

fn compared(after: &View, before: &View) -> Outcome {
    for (of, answer) in &before.answers {
        same(
            &format!("answers of {} to {}", of.0, QUESTIONS[of.1]),
            &after.answers.get(of),
            &Some(answer),
        )?;
    }
    for (of, status) in &before.statuses {
        same(
            &format!("statuses of {of:?}"),
            &after.statuses.get(of),
            &Some(status),
        )?;
    }
    for (at, content) in &before.keys {
        same(
            &format!("contents of {at:?}"),
            &after.keys.get(at),
            &Some(content),
        )?;
    }
    // A gateway may be given others' keys as well; a target is one ApiKeyRef's alone.
    let more = after
        .keys
        .keys()
        .find(|at| !before.keys.contains_key(at) && !at.0.ends_with(".keys"));
    same("further contents", &more, &None)
}

#[test]
fn nothing_a_hostile_tenant_writes_changes_anything_for_others() {
    in_worlds(10_000, |world| {
        let theirs = |object: &Value| object["metadata"]["namespace"] == HOSTILE;
        let (hostile, others): (Vec<Value>, Vec<Value>) =
            world.objects.iter().cloned().partition(theirs);
        let mut others: Vec<Value> = others
            .into_iter()
            .filter(|object| !leans_on_the_tenant(object))
            .collect();
        others.iter_mut().for_each(name_only_their_own);
        let mut stage = Stage::of(&others);
        stage.settle();
        let own = |name: &str| name.starts_with(&format!("{HOSTILE}/"));
        let before = view(&mut stage, own);
        let bound = bound_client_keys(&mut stage);
        let random = &mut Random::new(world.seed);
        let mut hostile = hostile;
        hostile.extend((0..4).map(|i| trick(random, i)));
        hostile
            .iter_mut()
            .for_each(|object| object["metadata"]["creationTimestamp"] = json!(NOW));
        hostile.iter().for_each(|object| drop(stage.apply(object)));
        stage.settle();
        let mut after = view(&mut stage, own);
        let mut before = before;
        // A client key that nobody else binds is the tenant's own.
        let strangers = |of: &(&str, usize)| {
            let subject = &QUESTIONS[of.1].caller.subject;
            matches!(subject, Subject::ClientKey(_))
                && !bound.contains(&(of.0.to_owned(), subject.clone()))
                || *subject == account_of_the_tenant(subject)
        };
        before.answers.retain(|of, _| !strangers(of));
        // Who was lent a key shares it, and both are told.
        let all: Vec<Value> = others.iter().chain(&hostile).cloned().collect();
        let lent = lent(&Oracle::of(&all, stage.now), &hostile);
        before
            .statuses
            .values_mut()
            .chain(after.statuses.values_mut())
            .for_each(|status| forget(status, &lent));
        // Nobody is told whose a client key is that he has not bound.
        before.statuses.retain(|(kind, name), _| {
            let key = others
                .iter()
                .find(|object| kind_of(object) == kind && name_of(object) == *name);
            let users = key
                .and_then(|key| key["spec"]["usedBy"].as_array())
                .into_iter()
                .flatten();
            users.filter(|user| user["kind"] == "ClientKey").count() == 0
        });
        compared(&after, &before)
    });
}

/// Whether its author chose to depend on something of the tenant's.
fn leans_on_the_tenant(object: &Value) -> bool {
    let spec = &object["spec"];
    let refers = |part: &Value| part["namespace"] == HOSTILE;
    let parts = [
        &spec["workspaceRef"],
        &spec["source"]["secretKeyRef"],
        &spec["next"]["secretKeyRef"],
    ];
    let blocked = spec["blockedSubjects"].as_array().into_iter().flatten();
    parts.into_iter().chain(blocked).any(refers)
}

/// Where a Workspace lets others name anybody, what they grant to others is by its leave.
fn name_only_their_own(object: &mut Value) {
    for entry in object["spec"]["allowedNamespaces"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        entry["subjects"] = json!("Own");
    }
}

fn account_of_the_tenant(subject: &Subject) -> Subject {
    match subject {
        Subject::ServiceAccount(account) => {
            Subject::ServiceAccount(NamespacedName::new(HOSTILE, account.name.clone()))
        }
        Subject::User { .. } | Subject::Group { .. } | Subject::ClientKey(_) => {
            Subject::ServiceAccount(NamespacedName::new(HOSTILE, ""))
        }
    }
}

/// Client keys that somebody has bound, by workspace.
fn bound_client_keys(stage: &mut Stage) -> BTreeSet<(String, Subject)> {
    let mut bound = BTreeSet::new();
    for (name, plan) in stage.plans() {
        let policy = plan.resolution.map(|resolution| resolution.policy);
        let holds = |subject: &Subject| {
            let row = policy
                .as_ref()
                .and_then(|policy| policy.subjects.get(&subject.id()));
            row.is_some_and(|row| !row.grants.is_empty())
        };
        let callers = crate::asking::CALLERS.iter().map(|caller| &caller.subject);
        bound.extend(
            callers
                .filter(|subject| holds(subject))
                .map(|subject| (name.to_string(), subject.clone())),
        );
    }
    bound
}

/// Fingerprints of the keys that the tenant may use because somebody lent them, or has himself.
fn lent(oracle: &Oracle<'_>, hostile: &[Value]) -> BTreeSet<String> {
    let keys = hostile
        .iter()
        .filter(|object| kind_of(object) == "ApiKeyRef" && oracle.wanted(object));
    let held = keys.flat_map(|key| {
        oracle
            .sources(key)
            .into_iter()
            .map(move |source| oracle.good_value(key, &source))
    });
    held.flatten()
        .map(|digest| digest.fingerprint().to_string())
        .collect()
}

/// Leaves out of a status whether others have the same key, where they were lent it.
fn forget(status: &mut Value, lent: &BTreeSet<String>) {
    if status["fingerprint"]
        .as_str()
        .is_some_and(|fingerprint| lent.contains(fingerprint))
    {
        status["conditions"]
            .as_array_mut()
            .into_iter()
            .flatten()
            .for_each(|condition| {
                if condition["type"] == "Unique" {
                    *condition = json!("Unique");
                }
            });
        let findings = status["findings"].as_array().into_iter().flatten();
        status["findings"] = findings
            .filter(|finding| finding["reason"] != "SharedKey")
            .cloned()
            .collect();
    }
}

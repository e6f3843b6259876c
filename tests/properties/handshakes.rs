//! Both sides must agree: no decision, key or Secret goes beyond what the contract allows, as an
//! oracle reads it that shares no rule with the code.

use anthropic_rbac::facts::OutputKind;
use anthropic_rbac::plan::output::{Content, KeyHandle, Output, Plan};
use anthropic_rbac::plan::write::Write;
use anthropic_rbac::policy::decide::Permit;
use anthropic_rbac::policy::name::NamespacedName;
use serde_json::Value;

use crate::asking::QUESTIONS;
use crate::oracle::{Oracle, Verdict};
use crate::run::{Outcome, in_worlds, name_of};
use crate::stage::Stage;
use crate::worlds::WORKSPACES;

fn verdict(permit: &Permit) -> Verdict {
    Verdict::Allow {
        role: permit.role().to_string(),
        binding: permit.binding().to_string(),
        key: permit.api_key_ref().to_string(),
        max_tokens: permit.max_tokens().get().into(),
        per_minute: permit.requests_per_minute().get().into(),
    }
}

const BLOCKED: &str = "Subject is blocked";
const NO_ROLE: &str = "Subject has no role in this workspace";

fn deny(why: &str) -> Verdict {
    Verdict::Deny(why.to_owned())
}

#[test]
fn every_decision_is_the_one_the_contract_asks_for() {
    in_worlds(15_000, |world| {
        let mut stage = Stage::of(&world.objects);
        let plans = stage.plans();
        let oracle = Oracle::of(&world.objects, stage.now);
        for name in WORKSPACES {
            let Some(court) = oracle.court(name) else {
                continue;
            };
            let plan = &plans[&NamespacedName::parse(name).expect("a name")];
            let policy = &plan.resolution.as_ref().ok_or("no policy")?.policy;
            for question in QUESTIONS.iter() {
                let want = court.judge(question);
                let got = match question.put(policy, stage.now) {
                    Ok(permit) => verdict(&permit),
                    Err(denial) => Verdict::Deny(denial.to_string()),
                };
                let no_role = got == deny(NO_ROLE) && want == deny(BLOCKED);
                if got != want && !(no_role && court.may_say_no_role(question)) {
                    return Err(format!("{name}, {question}:\n got {got:?}\nwant {want:?}"));
                }
            }
        }
        Ok(())
    });
}

#[test]
fn no_secret_is_read_written_or_deleted_beyond_what_its_owners_allow() {
    in_worlds(10_000, |world| {
        let mut stage = Stage::of(&world.objects);
        stage.settle();
        let oracle = Oracle::of(&world.objects, stage.now);
        for (workspace, secret) in &stage.read {
            read(&oracle, &workspace.to_string(), &secret.to_string())?;
        }
        for (workspace, plan, writes) in &stage.done {
            handed_on(&oracle, workspace, plan)?;
            writes
                .iter()
                .try_for_each(|write| written(&oracle, workspace, write))?;
        }
        Ok(())
    });
}

fn attached<'w>(oracle: &Oracle<'w>, workspace: &str) -> impl Iterator<Item = &'w Value> {
    let (namespace, name) = workspace.split_once('/').expect("namespace/name");
    oracle.all("ApiKeyRef").filter(move |key| {
        let reference = &key["spec"]["workspaceRef"];
        let own = &key["metadata"]["namespace"];
        reference["name"] == name && reference.get("namespace").unwrap_or(own) == namespace
    })
}

/// A source of a key that is wanted and may use it, or client keys.
fn read(oracle: &Oracle<'_>, workspace: &str, secret: &str) -> Outcome {
    let is_source = |key: &Value| {
        let mut sources = oracle.sources(key).into_iter();
        oracle.wanted(key)
            && sources.any(|(source, _)| source == secret)
            && oracle.may_use(key, secret)
    };
    let found = oracle
        .find("Secret", secret)
        .ok_or("a Secret that is nobody's was read")?;
    let client_keys = oracle
        .court(workspace)
        .is_some_and(|court| court.may_read_client_keys(found));
    // Bindings to a workspace that is missing are read for nothing, but by their own namespace.
    let own = oracle.court(workspace).is_none() && oracle.is_asked_for_at_home(found);
    if attached(oracle, workspace).any(is_source) || client_keys || own {
        return Ok(());
    }
    Err(format!(
        "Secret {secret} was read for {workspace}, and nothing permits that"
    ))
}

/// Where key bytes go, they were permitted to go.
fn handed_on(oracle: &Oracle<'_>, workspace: &NamespacedName, plan: &Plan) -> Outcome {
    for output in &plan.outputs {
        for content in output.data.values() {
            if let Content::Key(handle) = content {
                let name = workspace.to_string();
                let permitted =
                    attached(oracle, &name).any(|key| permits(oracle, key, output, handle, &name));
                if !permitted {
                    return Err(format!(
                        "{handle:?} goes to {} for {name}, and nothing permits that",
                        output.id
                    ));
                }
            }
        }
    }
    Ok(())
}

fn permits(
    oracle: &Oracle<'_>,
    key: &Value,
    output: &Output,
    handle: &KeyHandle,
    workspace: &str,
) -> bool {
    let source = (
        handle.source.secret().to_string(),
        handle.source.key.to_string(),
    );
    let (namespace, to) = (&*output.id.name.namespace, &*output.id.name.name);
    let target =
        key["spec"]["target"]["secretName"] == to && key["metadata"]["namespace"] == namespace;
    let (home, name) = workspace.split_once('/').expect("namespace/name");
    let gateway = namespace == home && to.starts_with(&format!("{name}.")) && to.ends_with(".keys");
    oracle.wanted(key)
        && oracle.sources(key).contains(&source)
        && oracle.good_value(key, &source) == Some(handle.digest)
        && (target || (gateway && oracle.may_reach(&source.0, workspace)))
}

/// Only names that are the workspace's or a key's of it, and never somebody else's object.
fn written(oracle: &Oracle<'_>, workspace: &NamespacedName, write: &Write) -> Outcome {
    let id = write.id();
    let of_workspace = id.name.namespace == workspace.namespace
        && id.name.name.starts_with(&format!("{}.", workspace.name));
    let of_key = id.kind == OutputKind::Secret
        && attached(oracle, &workspace.to_string()).any(|key| {
            key["metadata"]["namespace"] == *id.name.namespace
                && key["spec"]["target"]["secretName"] == *id.name.name
        });
    let there = oracle
        .find("Secret", &id.name.to_string())
        .filter(|_| id.kind == OutputKind::Secret);
    let ours = there.is_none_or(|secret| {
        secret["metadata"]["annotations"]
            .get("anthropic-rbac.io/retained-by")
            .is_some()
    });
    if (of_workspace || of_key) && ours {
        return Ok(());
    }
    let there = there.map(name_of);
    Err(format!(
        "{workspace} writes {id}, which is not its own ({there:?} is there)"
    ))
}

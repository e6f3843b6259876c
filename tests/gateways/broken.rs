//! What is mounted is broken, or is not all there yet: never does that open anything, it is to be
//! seen from outside, and it is over once what is mounted is whole again.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::attacks::{BODY, CLIENT, Stage, UNKNOWN, VIEWER, post};
use crate::envoy::until;
use crate::gateway::Gateway;
use crate::http::{Connection, request};
use crate::mount::{Files, Order};
use crate::suite::{Test, test};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "broken: data that breaks under a running gateway opens nothing",
            while_running,
        ),
        test(
            "broken: a gateway that starts on broken data opens nothing",
            from_the_start,
        ),
    ]
}

type Breaks = fn(&mut Files);

/// What must come of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// What is absent denies.
    Denies,
    /// What cannot be read leaves what was read last, which may be nothing.
    Keeps,
}

/// Ways to break what is mounted.
fn ways() -> Vec<(&'static str, Then, Breaks)> {
    vec![
        ("nothing at all", Then::Denies, Files::clear),
        ("no policy", Then::Denies, |files| {
            drop(files.remove("policy.tsv"))
        }),
        ("half a policy", Then::Keeps, |files| {
            halve(files, "policy.tsv")
        }),
        ("an empty policy", Then::Keeps, |files| {
            drop(files.insert("policy.tsv".into(), Vec::new()))
        }),
        ("a policy of zeros", Then::Keeps, |files| {
            drop(files.insert("policy.tsv".into(), vec![0; 4096]))
        }),
        ("a policy without its last line", Then::Keeps, |files| {
            cut(files, "policy.tsv")
        }),
        ("no subjects", Then::Denies, |files| {
            drop(files.remove("subjects-00.tsv"))
        }),
        ("half the subjects", Then::Keeps, |files| {
            halve(files, "subjects-00.tsv")
        }),
        ("subjects without their last line", Then::Keeps, |files| {
            cut(files, "subjects-00.tsv")
        }),
        ("no keys", Then::Denies, |files| {
            files.retain(|name, _| name.contains('.'))
        }),
        ("empty keys", Then::Denies, |files| {
            let keys = files.iter_mut().filter(|(name, _)| !name.contains('.'));
            keys.for_each(|(_, bytes)| bytes.clear());
        }),
        ("keys of two lines", Then::Denies, |files| {
            let keys = files.iter_mut().filter(|(name, _)| !name.contains('.'));
            keys.for_each(|(_, bytes)| bytes.extend(b"\nx-evil: 1"));
        }),
        ("issuers that are no JSON", Then::Keeps, |files| {
            drop(files.insert("jwt.json".into(), b"{".to_vec()))
        }),
        ("issuers of another kind", Then::Keeps, |files| {
            drop(files.insert("jwt.json".into(), files["ratelimit.json"].clone()))
        }),
        ("no issuers", Then::Keeps, |files| {
            drop(files.remove("jwt.json"))
        }),
        ("rates that are no JSON", Then::Keeps, |files| {
            drop(files.insert("ratelimit.json".into(), b"[]".to_vec()))
        }),
        ("no rates", Then::Keeps, |files| {
            drop(files.remove("ratelimit.json"))
        }),
        ("no clusters", Then::Keeps, |files| {
            drop(files.remove("clusters.json"))
        }),
    ]
}

fn halve(files: &mut Files, name: &str) {
    if let Some(bytes) = files.get_mut(name) {
        bytes.truncate(bytes.len() / 2);
    }
}

fn cut(files: &mut Files, name: &str) {
    if let Some(bytes) = files.get_mut(name) {
        bytes.truncate(bytes.len().saturating_sub(4));
    }
}

fn while_running() -> Result<()> {
    let mut stage = Stage::new()?;
    let good = stage.gateway.rendered.data.clone();
    for (i, (name, then, breaks)) in ways().into_iter().enumerate() {
        let order = [Order::DataFirst, Order::LinksFirst][i % 2];
        let mut broken = good.clone();
        breaks(&mut broken);
        stage.gateway.envoy.swap(&broken, order)?;
        for _ in 0..20 {
            closed(&stage, then).with_context(|| name.to_owned())?;
        }
        stage.gateway.envoy.swap(&good, order)?;
        until("it works again", || Ok(stage.is_well().ok())).with_context(|| name.to_owned())?;
        stage.gateway.anthropic.take_all();
        seen_whole(&stage.gateway).with_context(|| name.to_owned())?;
    }
    Ok(())
}

fn from_the_start() -> Result<()> {
    let whole = Stage::new()?.gateway.rendered.data.clone();
    for (name, then, breaks) in ways() {
        let mut broken = whole.clone();
        breaks(&mut broken);
        // An Envoy that does not even start opens nothing either.
        let Ok(mut stage) = Stage::on(&broken) else {
            continue;
        };
        for _ in 0..5 {
            closed(&stage, then).with_context(|| name.to_owned())?;
        }
        stage.gateway.envoy.swap(&whole, Order::DataFirst)?;
        until("it works", || Ok(stage.is_well().ok())).with_context(|| name.to_owned())?;
    }
    Ok(())
}

/// Nothing goes upstream that is not permitted by the whole policy, whatever is answered.
fn closed(stage: &Stage, then: Then) -> Result<()> {
    let dear = String::from_utf8_lossy(BODY).replace("haiku-4-5", "opus-5");
    let more = String::from_utf8_lossy(BODY).replace("512", "99999");
    let admin = stage.user(&serde_json::json!({"email": "eve@example.com"}))?;
    for (key, body, may) in [
        (CLIENT, BODY, true),
        (CLIENT, more.as_bytes(), true),
        (CLIENT, dear.as_bytes(), false),
        (UNKNOWN, BODY, false),
        (VIEWER, BODY, false),
        (&*admin, BODY, false),
    ] {
        let mut connection = Connection::open(stage.gateway.envoy.address)?;
        let answer = connection.ask(&post(&[("x-api-key", key.as_bytes())], body));
        let received = stage.gateway.anthropic.take_all();
        let may = may && then == Then::Keeps;
        ensure!(may || received.is_empty(), "{key} got through: {answer:?}");
        for received in &received {
            stage.check(received)?;
        }
    }
    Ok(())
}

/// It says of itself that all is loaded.
fn seen_whole(gateway: &Gateway) -> Result<()> {
    let said = loaded(gateway)?;
    ensure!(said["error"].is_null(), "{said}");
    Ok(())
}

fn loaded(gateway: &Gateway) -> Result<Value> {
    let status = gateway.envoy.status.context("a listener for that")?;
    let answer = Connection::open(status)?.ask(&request("GET", "/loaded", &[], b""))?;
    Ok(answer.json())
}

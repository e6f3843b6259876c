//! What is mounted is broken, or is not all there yet: never does that open anything, it is to be
//! seen from outside, and it is over once what is mounted is whole again.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::attacks::{BODY, CLIENT, Stage, UNKNOWN, VIEWER, post};
use crate::envoy::until;
use crate::gateway::Gateway;
use crate::http::Connection;
use crate::mount::{Files, Order};
use crate::suite::{Test, test};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "broken: data that breaks under a running gateway opens nothing, and is seen",
            while_running,
        ),
        test(
            "broken: a gateway that starts on broken data opens nothing",
            from_the_start,
        ),
    ]
}

type Breaks = Box<dyn Fn(&mut Files)>;

/// What is to be seen of it at `/loaded`, which the operator asks.
#[derive(Clone, Copy, Debug)]
enum Seen {
    /// There is no policy.
    NoPolicy,
    /// This is in its words of what it cannot read.
    Says(&'static str),
    /// Subjects differ from the policy's.
    Differ,
    /// What lies there of this file is not in force.
    NotTaken(&'static str),
}

/// A way to break what is mounted, what must come of it, and what is to be seen of it.
struct Way {
    name: &'static str,
    then: Then,
    seen: Seen,
    breaks: Breaks,
}

fn way(name: &'static str, then: Then, seen: Seen, breaks: impl Fn(&mut Files) + 'static) -> Way {
    Way {
        name,
        then,
        seen,
        breaks: Box::new(breaks),
    }
}

/// What must come of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// What is absent denies.
    Denies,
    /// What cannot be read leaves what was read last, which may be nothing.
    Keeps,
}

/// Ways to break what is mounted.
fn ways() -> Vec<Way> {
    use Seen::{Differ, NoPolicy, NotTaken, Says};
    use Then::{Denies, Keeps};
    let (policy, subjects) = ("policy.tsv", "subjects-00.tsv");
    let (issuers, rates, clusters) = ("jwt.json", "ratelimit.json", "clusters.json");
    let not_whole = Says("policy.tsv: not whole");
    let subjects_not_whole = Says("subjects-00.tsv: not whole");
    let keys = Says("2 of 2 API keys");
    let of_another_kind = move |files: &mut Files| {
        drop(files.insert(issuers.to_owned(), files[rates].clone()));
    };
    vec![
        way("nothing at all", Denies, NoPolicy, Files::clear),
        way("no policy", Denies, NoPolicy, without(policy)),
        way("half a policy", Keeps, Says("policy.tsv: "), half(policy)),
        way("an empty policy", Keeps, not_whole, only(policy, b"")),
        way(
            "a policy of zeros",
            Keeps,
            Says("policy.tsv: "),
            only(policy, &[0; 4096]),
        ),
        way(
            "a policy without its last line",
            Keeps,
            not_whole,
            cut(policy),
        ),
        way("no subjects", Denies, Differ, without(subjects)),
        way(
            "half the subjects",
            Keeps,
            subjects_not_whole,
            half(subjects),
        ),
        way(
            "subjects without their last line",
            Keeps,
            subjects_not_whole,
            cut(subjects),
        ),
        way("no keys", Denies, keys, |files| {
            files.retain(|name, _| !is_key(name));
        }),
        way("empty keys", Denies, keys, |files| {
            each_key(files, Vec::clear)
        }),
        way("keys of two lines", Denies, keys, |files| {
            each_key(files, |bytes| bytes.extend(b"\nx-evil: 1"));
        }),
        way(
            "issuers that are no JSON",
            Keeps,
            NotTaken(issuers),
            only(issuers, b"{"),
        ),
        way(
            "issuers of another kind",
            Keeps,
            NotTaken(issuers),
            of_another_kind,
        ),
        way("no issuers", Keeps, NotTaken(issuers), without(issuers)),
        way(
            "rates that are no JSON",
            Keeps,
            NotTaken(rates),
            only(rates, b"[]"),
        ),
        way("no rates", Keeps, NotTaken(rates), without(rates)),
        way(
            "clusters that are no JSON",
            Keeps,
            NotTaken(clusters),
            only(clusters, b"]"),
        ),
    ]
}

fn without(name: &'static str) -> impl Fn(&mut Files) {
    move |files| drop(files.remove(name))
}

/// Nothing but this in a file.
fn only(name: &'static str, bytes: &'static [u8]) -> impl Fn(&mut Files) {
    move |files| drop(files.insert(name.to_owned(), bytes.to_vec()))
}

fn half(name: &'static str) -> impl Fn(&mut Files) {
    shorter(name, |length| length / 2)
}

fn cut(name: &'static str) -> impl Fn(&mut Files) {
    shorter(name, |length| length.saturating_sub(4))
}

fn shorter(name: &'static str, left: fn(usize) -> usize) -> impl Fn(&mut Files) {
    move |files| {
        if let Some(bytes) = files.get_mut(name) {
            bytes.truncate(left(bytes.len()));
        }
    }
}

/// Files of keys are named after their ids, all others have an ending.
fn is_key(name: &str) -> bool {
    !name.contains('.')
}

fn each_key(files: &mut Files, change: fn(&mut Vec<u8>)) {
    let keys = files.iter_mut().filter(|(name, _)| is_key(name));
    keys.for_each(|(_, bytes)| change(bytes));
}

fn while_running() -> Result<()> {
    let mut stage = Stage::new()?;
    let good = stage.gateway.rendered.data.clone();
    for (i, way) in ways().into_iter().enumerate() {
        let (name, order) = (way.name, [Order::DataFirst, Order::LinksFirst][i % 2]);
        let mut broken = good.clone();
        (way.breaks)(&mut broken);
        stage.gateway.envoy.swap(&broken, order)?;
        for _ in 0..20 {
            closed(&stage, way.then).with_context(|| name.to_owned())?;
        }
        until("it is seen", || {
            let said = stage.gateway.envoy.loaded()?;
            Ok(shows(&said, way.seen, &good).then_some(()))
        })
        .with_context(|| format!("{name}: {:?}", way.seen))?;
        stage.gateway.envoy.swap(&good, order)?;
        until("it works again", || Ok(stage.is_well().ok())).with_context(|| name.to_owned())?;
        stage.gateway.anthropic.take_all();
        seen_whole(&stage.gateway).with_context(|| name.to_owned())?;
    }
    Ok(())
}

fn from_the_start() -> Result<()> {
    let whole = Stage::new()?.gateway.rendered.data.clone();
    for way in ways() {
        let name = way.name;
        let mut broken = whole.clone();
        (way.breaks)(&mut broken);
        let mut stage = Stage::on(&broken).with_context(|| name.to_owned())?;
        for _ in 0..5 {
            closed(&stage, way.then).with_context(|| name.to_owned())?;
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

/// Files that Envoy itself reads.
const NATIVE: [&str; 3] = ["clusters.json", "jwt.json", "ratelimit.json"];

/// It says of itself that all is loaded, once Envoy has looked at its files, too.
fn seen_whole(gateway: &Gateway) -> Result<()> {
    until("it says that all is loaded", || {
        let said = gateway.envoy.loaded()?;
        let policy = said["error"].is_null() && said["revision"].is_string();
        let subjects = said["subjects"]["differ"] == json!([]);
        let taken = NATIVE.iter().all(|file| said["files"][file].is_string());
        Ok((policy && subjects && taken).then_some(()))
    })
}

/// Whether it says of itself what is broken.
fn shows(said: &Value, seen: Seen, good: &Files) -> bool {
    match seen {
        Seen::NoPolicy => said["revision"].is_null(),
        Seen::Says(words) => said["error"]
            .as_str()
            .is_some_and(|error| error.contains(words)),
        Seen::Differ => said["subjects"]["differ"] == json!(["subjects-00"]),
        Seen::NotTaken(file) => {
            let written: Value = serde_json::from_slice(&good[file]).expect("JSON");
            said["error"].is_null() && said["files"][file] != written["version_info"]
        }
    }
}

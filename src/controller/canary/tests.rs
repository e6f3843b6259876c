use std::collections::BTreeSet;
use std::process::Command;

use super::*;
use crate::api::API_VERSION;
use crate::controller::request::Payload;
use crate::controller::telemetry::{LogFormat, init_logging};
use crate::controller::vault::Vault;
use crate::facts::SecretLookup;
use crate::material::KeyMaterial;
use crate::plan::output::Status;
use crate::plan::plan;
use crate::policy::name::Name;

#[test]
fn a_value_would_be_found_however_it_is_written() {
    for canary in CANARIES {
        let bytes = value(canary).into_bytes();
        for text in [
            value(canary),
            format!("{:?}", value(canary)),
            format!("{bytes:?}"),
            format!("{bytes:#?}"),
            serde_json::to_string(&bytes).unwrap(),
            hex(&bytes),
            hex(&bytes).to_uppercase(),
            STANDARD.encode(&bytes),
            STANDARD.encode(&bytes[1..]),
            STANDARD.encode(&bytes[2..]),
            own(canary.0)[..SLICE].to_owned(),
        ] {
            assert!(has_any(&text), "{}", canary.0);
        }
        assert!(!has_any(&own(canary.0)[1..SLICE]), "{}", canary.0);
    }
}

/// The same way that the operator takes: read by name, kept as facts, planned, written, told.
#[tokio::test]
async fn nothing_that_is_planned_from_keys_shows_any_part_of_one() {
    let (fake, mut world) = (server(false), world());
    let (cycle, told) = cycle(&fake, &world);
    let mut read = cycle.snapshot.clone();
    let unread = read.unread();
    let names: BTreeSet<&str> = unread.iter().map(|name| &*name.name).collect();
    assert_eq!(names, CANARIES.map(|(name, _)| name).into());
    let mut vault = Vault::default();
    for name in unread {
        let opened = cycle.reader.open(&name).await.unwrap();
        for (source, material) in opened.materials {
            vault.insert(source, material);
        }
        let lookup = SecretLookup::Present(Arc::new(opened.facts));
        read.secrets.insert(name, lookup);
    }
    let (outcome, news) = tokio::join!(cycle.run(), hear(told, false));
    let told = format!("{news:?}{news:#?}");
    for new in news {
        if let News::Ended {
            learned: Some(learned),
            ..
        } = new
        {
            world.apply(learned.change);
        }
    }
    let mut places = vec![
        ("what a cycle tells", told),
        ("its outcome", format!("{outcome:#?}")),
        ("the world", format!("{world:?}{world:#?}")),
    ];
    for snapshot in [read, snapshot(&world)] {
        let planned = plan(&snapshot);
        let writes = planned.writes(&snapshot.outputs);
        let statuses = planned.statuses.iter().map(|update| match &update.status {
            Status::Workspace(status) => serde_json::to_string(status),
            Status::RoleBinding(status) => serde_json::to_string(status),
            Status::ApiKeyRef(status) => serde_json::to_string(status),
        });
        let statuses: Vec<String> = statuses.map(Result::unwrap).collect();
        places.extend([
            ("the snapshot", format!("{snapshot:?}{snapshot:#?}")),
            ("the plan", format!("{planned:?}{planned:#?}")),
            ("its writes", format!("{writes:?}{writes:#?}")),
            ("its statuses", statuses.concat()),
        ]);
    }
    let to_secrets = |what: &str| what.contains("/secrets");
    let (secrets, others): (Vec<_>, Vec<_>) = fake
        .asked()
        .into_iter()
        .partition(|(what, _)| to_secrets(what));
    places.push(("what is sent elsewhere", format!("{others:?}")));
    for (place, text) in &places {
        assert!(text.len() > 100, "{place} says something");
        assert!(!has_any(text), "a key is in {place}");
    }
    // They were in hand, and their digests are known.
    assert!(has_any(&format!("{secrets:?}")), "no key was written");
    let (_, known) = &places[3];
    for canary in CANARIES {
        let digest = Digest::of(value(canary).as_bytes()).to_string();
        assert!(known.contains(&digest), "{}", canary.0);
    }
}

/// What is set for the process that is to panic.
const TO_PANIC: &str = "ANTHROPIC_RBAC_TEST_PANIC";

#[test]
fn a_panic_with_keys_in_hand_prints_none() {
    if std::env::var_os(TO_PANIC).is_some() {
        return panic_twice();
    }
    let this = "controller::canary::tests::a_panic_with_keys_in_hand_prints_none";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", this, "--nocapture", "--test-threads=1"])
        .env(TO_PANIC, "1")
        .env("RUST_BACKTRACE", "full")
        .env("RUST_LOG", "trace")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    // First of all: what follows prints it.
    assert!(!has_any(&said), "a key is in what a panic prints");
    assert!(output.status.success(), "{said}");
    for wanted in [
        "forced while keys are in hand",
        "cycle.rs:",
        "execute.rs:",
        "forced with a key in hand",
        "a task panicked",
    ] {
        assert!(said.contains(wanted), "no {wanted:?} in {said}");
    }
}

/// In a cycle that has read and is writing keys, and with everything in the message that can be
/// printed of a key.
fn panic_twice() {
    init_logging(LogFormat::Text).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let entered = runtime.enter();
    let fake = server(true);
    let (cycle, told) = cycle(&fake, &world());
    drop(entered);
    let error = runtime.block_on(async {
        tokio::spawn(hear(told, false));
        tokio::spawn(cycle.run()).await
    });
    let error = error.expect_err("it panics");
    tracing::error!(%error, ?error, "a task panicked");
    // It had read all of them.
    let read: BTreeSet<String> = fake.lines().into_iter().collect();
    assert!(read.len() >= CANARIES.len());

    let error = std::thread::spawn(|| {
        let canary = CANARIES[0];
        let key = KeyMaterial::new(value(canary).into_bytes());
        let mut body = Payload::default();
        std::io::Write::write_all(&mut body, key.expose()).unwrap();
        let length = key.expose().len();
        assert!(
            length == 0,
            "forced with a key in hand: {:?} {body:?} {}",
            key.facts(),
            Name::from(canary.0)
        );
    });
    error.join().expect_err("it panics, too");
}

#[tokio::test]
async fn while_others_may_claim_the_keys_none_is_written_and_what_is_to_go_goes() {
    let (fake, mut world) = (server(false), world());
    let spec = json!({
        "workspaceRef": {"name": "production"},
        "service": "gone",
        "source": {"secretKeyRef": {"name": "good", "key": "api-key"}},
        "target": {"secretName": "gone-target"},
        "state": "Revoked",
    });
    let gone = convert::api_key_ref(&object("gone", spec)).unwrap();
    world.apply(Change::KeyRef(gone));
    let mut target = metadata("gone-target");
    target["ownerReferences"] = json!([{
        "apiVersion": API_VERSION, "kind": "ApiKeyRef", "name": "gone", "uid": "uid-gone",
        "controller": true,
    }]);
    let target = convert::secret(&serde_json::from_value(target).unwrap());
    world.apply(Change::Secret(
        NamespacedName::new("claude", "gone-target"),
        target,
    ));

    let in_turn = async |still: bool| {
        let before = fake.asked().len();
        let (mut cycle, told) = cycle(&fake, &world);
        cycle.early = true;
        let (outcome, _) = tokio::join!(cycle.run(), hear(told, still));
        let asked = fake.asked().split_off(before).into_iter();
        let (writes, bodies): (Vec<_>, Vec<_>) =
            asked.filter(|(what, _)| !what.starts_with("GET")).unzip();
        (outcome.held, writes, has_any(&format!("{bodies:?}")))
    };
    let taken_away = "PATCH /api/v1/namespaces/claude/secrets/gone-target".to_owned();
    let (held, writes, has_key) = in_turn(true).await;
    assert_eq!((held, &writes), (true, &vec![taken_away.clone()]));
    assert!(!has_key);
    let (held, writes, has_key) = in_turn(false).await;
    assert!(!held && has_key && writes.len() > 2, "{writes:?}");
    assert_eq!(writes[0], taken_away, "it comes first");
}

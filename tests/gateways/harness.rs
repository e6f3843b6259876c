//! The harness itself, tried with an Envoy that lets everything pass: what is sent arrives as it
//! was sent, and what is answered comes back as it was answered.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::anthropic::{Anthropic, NONCE, PACE, Reach, TEXT};
use crate::authority::{Authority, HOST};
use crate::envoy::{Envoy, until};
use crate::http::{Connection, request};
use crate::installed::installed;
use crate::mount::{Files, Mount, Order};
use crate::sdk::{Call, Sdk};
use crate::suite::{Test, test};

const KEY: &str = "sk-ant-api03-EXAMPLE-harness";

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("harness: bytes go through a plain Envoy as they are", bytes),
        test("harness: both SDKs go through a plain Envoy", sdks),
        test("harness: a stream comes event by event", streams),
        test("harness: errors are Anthropic's", errors),
        test(
            "harness: an upstream with another name is not spoken to",
            stranger,
        ),
        test("harness: a swap is seen by Envoy in both orders", swaps),
        test("harness: a mount is whole at every moment", whole),
        test("harness: Envoy ends with its handle", ends),
    ]
}

/// A plain Envoy in front of a fake.
struct Plain {
    anthropic: Anthropic,
    envoy: Envoy,
}

fn noted(value: &str) -> Files {
    let filter = json!({"resources": [{
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "name": "noted",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
            "mutations": {"request_mutations": [{"append": {
                "header": {"key": "x-noted", "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}]},
        },
    }]});
    Files::from([("noted.json".to_owned(), filter.to_string().into_bytes())])
}

fn plain(host: &str) -> Result<Plain> {
    let authority = Authority::new(host)?;
    let anthropic = Anthropic::start(Some(&authority))?;
    anthropic.set_keys([(KEY.to_owned(), Reach::Workspace)]);
    let config = Files::from([(
        "envoy.yaml".to_owned(),
        include_bytes!("plain.yaml").to_vec(),
    )]);
    let upstream = (&anthropic, Some(&authority));
    let envoy = Envoy::start(&installed()?.envoy, &config, &noted("first"), upstream)?;
    Ok(Plain { anthropic, envoy })
}

fn post(nonce: &str, key: &str, more: &[(&str, &[u8])], body: &[u8]) -> Vec<u8> {
    let usual: [(&str, &[u8]); 4] = [
        ("x-api-key", key.as_bytes()),
        ("anthropic-version", b"2023-06-01"),
        ("content-type", b"application/json"),
        (NONCE, nonce.as_bytes()),
    ];
    request("POST", "/v1/messages", &[&usual, more].concat(), body)
}

const BODY: &[u8] = br#" {"model": "claude-haiku-4-5" ,"max_tokens":0012e0, "messages":[]}"#;
const GOOD: &[u8] = br#"{"model": "claude-haiku-4-5", "max_tokens": 12, "messages": []}"#;

fn bytes() -> Result<()> {
    let plain = plain(HOST)?;
    let mut connection = Connection::open(plain.envoy.address)?;
    // Not JSON, and sent on nevertheless.
    let refused = connection.ask(&post("a", KEY, &[("x-two", b"1"), ("x-two", b"2")], BODY))?;
    ensure!(refused.status == 400, "{refused:?}");
    let answer = connection.ask(&post("b", KEY, &[], GOOD))?;
    ensure!(answer.status == 200, "{answer:?}");
    ensure!(answer.json()["content"][0]["text"] == TEXT, "{answer:?}");
    ensure!(answer.header("request-id").is_some(), "{answer:?}");

    let first = plain
        .anthropic
        .take("a")
        .pop()
        .context("the first arrived")?;
    ensure!(first.body == BODY, "{first:?}");
    ensure!(first.all("x-two").concat().contains(&b'2'), "{first:?}");
    ensure!(first.only("x-noted") == Some("first"), "{first:?}");
    ensure!(first.holds(KEY.as_bytes()) && !first.holds(b"sk-ant-api03-EXAMPLE-other"));
    ensure!((&*first.method, &*first.path) == ("POST", "/v1/messages"));
    let second = plain.anthropic.take("b");
    ensure!(second.len() == 1 && second[0].body == GOOD, "{second:?}");
    ensure!(plain.anthropic.take_all().is_empty() && plain.anthropic.requests() == 2);

    let log = plain.envoy.log_until(0, |line| line["nonce"] == "b")?;
    let statuses: Vec<&Value> = log.iter().map(|line| &line["status"]).collect();
    ensure!(statuses == [400, 200], "{log:?}");
    Ok(())
}

fn sdks() -> Result<()> {
    let plain = plain(HOST)?;
    let installed = installed()?;
    for (python, header) in [
        (&installed.python, "authorization"),
        (&installed.python_x_api_key, "x-api-key"),
    ] {
        let mut sdk = Sdk::start(python, plain.envoy.address, 4)?;
        let call = |nonce: usize, stream, count| Call {
            key: KEY.to_owned(),
            body: object(
                json!({"model": "claude-haiku-4-5", "max_tokens": 9, "x": {"y": 1.50},
                "messages": [{"role": "user", "content": "hi"}]}),
            ),
            headers: object(json!({NONCE: nonce.to_string()})),
            stream,
            count,
        };
        let mut calls: Vec<Call> = (0..40)
            .map(|nonce| call(nonce, nonce % 3 == 0, false))
            .collect();
        calls.push(call(40, false, true));
        calls.push(Call {
            key: "sk-ant-api03-EXAMPLE-wrong".to_owned(),
            ..call(41, false, false)
        });
        let answers = sdk.ask(&calls)?;
        for (nonce, answer) in answers[..40].iter().enumerate() {
            let text = if nonce % 3 == 0 {
                TEXT.repeat(3)
            } else {
                TEXT.to_owned()
            };
            ensure!(
                answer.status == 200 && answer.text == Some(text),
                "{} {answer:?}",
                sdk.version
            );
            let received = plain
                .anthropic
                .take(&nonce.to_string())
                .pop()
                .context("it arrived")?;
            ensure!(received.body == answer.sent(), "{answer:?} {received:?}");
            ensure!(
                received
                    .only(header)
                    .is_some_and(|value| value.ends_with(KEY)),
                "{received:?}"
            );
        }
        let counted = plain.anthropic.take("40").pop().context("it arrived")?;
        ensure!(counted.path == "/v1/messages/count_tokens" && answers[40].status == 200);
        ensure!(answers[41].status == 401, "{answers:?}");
        ensure!(
            answers[41].kind.as_deref() == Some("authentication_error"),
            "{answers:?}"
        );
        eprintln!("SDK {} sends a key as {header}", sdk.version);
    }
    Ok(())
}

fn streams() -> Result<()> {
    let plain = plain(HOST)?;
    let mut connection = Connection::open(plain.envoy.address)?;
    let body = br#"{"model": "m", "max_tokens": 1, "messages": [], "stream": true}"#;
    connection
        .wire
        .write(&post("s", KEY, &[(PACE, b"4x40")], body))?;
    let head = connection.head()?;
    ensure!(
        head.status == 200
            && head
                .header("content-type")
                .is_some_and(|kind| kind.starts_with("text/event-stream"))
    );
    let (begun, mut text, mut arrived) = (Instant::now(), String::new(), Vec::new());
    while let Some(chunk) = connection.chunk()? {
        text += std::str::from_utf8(&chunk)?;
        arrived.push(begun.elapsed());
    }
    let events: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("event: "))
        .collect();
    let delta = "content_block_delta";
    let want = [
        "message_start",
        "content_block_start",
        "ping",
        delta,
        delta,
        delta,
        delta,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    ensure!(events == want, "{events:?}");
    ensure!(arrived.len() >= 5, "they came together: {arrived:?}");
    ensure!(
        *arrived.last().context("an end")? >= Duration::from_millis(150),
        "{arrived:?}"
    );
    Ok(())
}

fn errors() -> Result<()> {
    let plain = plain(HOST)?;
    let organization = "sk-ant-api03-EXAMPLE-everywhere";
    plain.anthropic.set_keys([
        (KEY.to_owned(), Reach::Workspace),
        (
            organization.to_owned(),
            Reach::Organization(vec!["wrkspc_01".to_owned()]),
        ),
    ]);
    let mut connection = Connection::open(plain.envoy.address)?;
    let named = |id: &'static [u8]| [("anthropic-workspace-id", id)];
    for (what, key, more, status, kind) in [
        (
            "a wrong key",
            "sk-ant-api03-EXAMPLE-wrong",
            None,
            401,
            "authentication_error",
        ),
        (
            "no workspace",
            organization,
            None,
            400,
            "invalid_request_error",
        ),
        (
            "another workspace",
            organization,
            Some(named(b"wrkspc_02")),
            404,
            "not_found_error",
        ),
        (
            "its workspace",
            organization,
            Some(named(b"wrkspc_01")),
            200,
            "",
        ),
    ] {
        let more = more.as_ref().map_or(&[][..], |more| &more[..]);
        let answer = connection.ask(&post("", key, more, GOOD))?;
        let json = answer.json();
        ensure!(answer.status == status, "{what}: {answer:?}");
        ensure!(
            json["error"]["type"].as_str().unwrap_or_default() == kind,
            "{what}: {json}"
        );
        ensure!(kind.is_empty() || json["request_id"].as_str() == answer.header("request-id"));
    }
    let other = request("GET", "/v1/models", &[("x-api-key", KEY.as_bytes())], b"");
    ensure!(connection.ask(&other)?.status == 404);
    Ok(())
}

fn stranger() -> Result<()> {
    let plain = plain("api.example.com")?;
    let answer = Connection::open(plain.envoy.address)?.ask(&post("a", KEY, &[], GOOD))?;
    ensure!(answer.status == 503, "{answer:?}");
    ensure!(plain.anthropic.take_all().is_empty());
    let refusals = plain.envoy.stats("anthropic.ssl.fail_verify_san")?;
    ensure!(refusals.iter().any(|(_, count)| *count > 0), "{refusals:?}");
    Ok(())
}

fn swaps() -> Result<()> {
    let mut plain = plain(HOST)?;
    let mut connection = Connection::open(plain.envoy.address)?;
    for (i, order) in [Order::DataFirst, Order::LinksFirst]
        .repeat(3)
        .into_iter()
        .enumerate()
    {
        let value = format!("{order:?} {i}");
        let mut files = noted(&value);
        files.insert(format!("new-{i}"), Vec::new());
        plain.envoy.swap_and_wait(&files, order)?;
        until("the change has an effect", || {
            ensure!(connection.ask(&post("a", KEY, &[], GOOD))?.status == 200);
            let received = plain.anthropic.take("a").pop().context("it arrived")?;
            Ok((received.only("x-noted") == Some(&value)).then_some(()))
        })?;
    }
    Ok(())
}

fn whole() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let of = |text: &str, names: &[&str]| -> Files {
        let file = |name: &&str| ((*name).to_owned(), text.as_bytes().to_vec());
        names.iter().map(file).collect()
    };
    let mut mount = Mount::new(folder.path(), &of("0", &["a", "b"]))?;
    let listed = || -> Result<Vec<String>> {
        let entries = std::fs::read_dir(folder.path())?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names = names.collect::<Result<Vec<_>>>()?;
        names.retain(|name| !name.starts_with(".."));
        names.sort();
        Ok(names)
    };
    ensure!(listed()? == ["a", "b"]);
    for (text, names, order) in [
        ("1", &["a", "c"][..], Order::DataFirst),
        ("2", &["a", "b", "d"][..], Order::LinksFirst),
        ("3", &["a"][..], Order::DataFirst),
    ] {
        mount.swap(&of(text, names), order)?;
        ensure!(listed()? == names);
        for name in names {
            ensure!(std::fs::read_to_string(mount.folder().join(name))? == text);
        }
        let generations = std::fs::read_dir(folder.path())?.filter_map(Result::ok);
        let left =
            generations.filter(|entry| entry.file_name().to_string_lossy().starts_with("..2026"));
        ensure!(left.count() == 1, "the old generation is gone");
    }
    Ok(())
}

fn ends() -> Result<()> {
    let plain = plain(HOST)?;
    let process = format!("/proc/{}", plain.envoy.pid());
    ensure!(std::path::Path::new(&process).exists());
    drop(plain);
    ensure!(!std::path::Path::new(&process).exists());
    Ok(())
}

fn object(value: Value) -> serde_json::Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

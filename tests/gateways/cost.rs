//! What a gateway costs beside an Envoy that lets everything pass, in one run with rounds in turn:
//! processor time a request, waiting time, memory. `MEASURE=true` runs it, on a machine that does
//! nothing else; only Envoy's own time counts, whoever calls it, and ratios are medians over rounds.
//! All speak TLS to the same kind of fake. The plain one has only a router.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anthropic_rbac::gateway::envoy::{self, Inputs, Upstream};
use anthropic_rbac::policy::digest::Digest;
use anthropic_rbac::policy::subject::Subject;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::anthropic::{Anthropic, Reach};
use crate::authority::{Authority, HOST};
use crate::envoy::Envoy;
use crate::gateway::Gateway;
use crate::http::{Connection, request};
use crate::installed::installed;
use crate::mount::Files;
use crate::rendered::{GATEWAY, Issuers, Rendered, WORKSPACE, render};
use crate::suite::{Test, test};
use crate::tokens::{Signer, key_set};
use crate::worlds::{CLUSTER, client_key, object, role_binding, shared_key};

const SUBJECTS: usize = 50_000;
const ROUNDS: usize = 9;
const REQUESTS: usize = 4_000;
const CONNECTIONS: usize = 8;
const KEY: &str = "sk-ant-api03-EXAMPLE-cost";
/// The most that Anthropic takes, less what is put in for a missing `max_tokens`.
const LARGEST: usize = 32 * 1024 * 1024 - 64;

pub(crate) fn tests() -> Vec<Test> {
    let asked_for = std::env::var("MEASURE").is_ok_and(|value| value == "true");
    vec![test("measure: a gateway beside a plain Envoy", cost).only_if(asked_for)]
}

fn client(i: usize) -> String {
    format!("EXAMPLE-client-key-{i:030}")
}

fn manifests() -> Vec<Value> {
    let workspace = json!({
        "gateways": [{"name": GATEWAY, "type": "Envoy"}],
        "keys": {"defaultApiKeyRef": {"name": "shared"}},
        "roles": [{"name": "user", "requestsPerMinute": 1_000_000}],
        "rateLimits": {"requestsPerMinute": 1_000_000},
        "authentication": {"issuers": [{"name": CLUSTER, "type": "Kubernetes", "audiences": ["claude"]}]},
    });
    let mut all = vec![
        object("Workspace", WORKSPACE, workspace),
        role_binding("clients", "user", &[client_key(&client(0))]),
    ];
    all.extend(shared_key(KEY));
    all
}

/// The same with as many subjects as are measured: reading manifests of them would take longer
/// than measuring.
fn crowded(mut rendered: Rendered) -> Result<Rendered> {
    let policy = &mut rendered.policy;
    let id = |i: usize| Subject::ClientKey(Digest::of(client(i).as_bytes())).id();
    let row = policy.subjects.get(&id(0)).context("a first")?.clone();
    let rows = (0..SUBJECTS).map(|i| (id(i), row.clone()));
    policy.subjects.extend(rows);
    let files = envoy::render(&Inputs {
        policy,
        revision: rendered.revision,
        keys: &BTreeMap::new(),
        upstream: &Upstream::default(),
    });
    let policy = files.data["policy.tsv"].clone();
    rendered
        .data
        .insert("policy.tsv".to_owned(), policy.into_bytes());
    for (i, text) in files.subjects.into_iter().enumerate() {
        rendered
            .data
            .insert(format!("subjects-{i:02}.tsv"), text.into_bytes());
    }
    Ok(rendered)
}

/// A request with a body of about this many bytes, whose `max_tokens` has to be lowered.
fn post(key: &str, bytes: usize) -> Vec<u8> {
    let text = "hello world ".repeat(bytes.saturating_sub(120) / 12);
    let body = json!({"model": "claude-haiku-4-5", "max_tokens": 9999,
                      "messages": [{"role": "user", "content": text}]});
    let headers: [(&str, &[u8]); 2] = [
        ("x-api-key", key.as_bytes()),
        ("anthropic-version", b"2023-06-01"),
    ];
    request(
        "POST",
        "/v1/messages",
        &headers,
        body.to_string().as_bytes(),
    )
}

/// Processor time that all threads of a process have used.
fn used(pid: u32) -> Result<Duration> {
    let mut used = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        used += text.split(' ').next().context("a time")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(used))
}

fn resident_mib(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .context("VmRSS")?;
    let kib = line.split_whitespace().nth(1).context("a number")?;
    Ok(kib.parse::<u64>()? / 1024)
}

/// Sends requests of many subjects over some connections; processor time a request.
fn round(envoy: &Envoy, key: impl Fn(usize) -> String + Sync, bytes: usize) -> Result<Duration> {
    let before = used(envoy.pid())?;
    std::thread::scope(|scope| -> Result<()> {
        let work = |worker: usize| {
            let key = &key;
            move || -> Result<()> {
                let mut connection = Connection::open(envoy.address)?;
                for i in 0..REQUESTS / CONNECTIONS {
                    let who = (i * 7919 + worker * 6151) % SUBJECTS;
                    let answer = connection.ask(&post(&key(who), bytes))?;
                    ensure!(answer.status == 200, "{answer:?}");
                }
                Ok(())
            }
        };
        let workers: Vec<_> = (0..CONNECTIONS).map(|i| scope.spawn(work(i))).collect();
        for worker in workers {
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(())
    })?;
    Ok((used(envoy.pid())? - before) / u32::try_from(REQUESTS)?)
}

/// The median time of one request at a time.
fn waiting(envoy: &Envoy, key: impl Fn(usize) -> String) -> Result<Duration> {
    let mut connection = Connection::open(envoy.address)?;
    let mut times = Vec::new();
    for i in 0..1000 {
        let bytes = post(&key(i), 1024);
        let begun = Instant::now();
        let answer = connection.ask(&bytes)?;
        times.push(begun.elapsed());
        ensure!(answer.status == 200, "{answer:?}");
    }
    times.sort();
    Ok(times[times.len() / 2])
}

fn median(of: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = of.collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// What every Lua must do here, and no more: keep the body and read it, tell the audit log one
/// thing, and put a key in.
const LEAST: &str = r#"
function envoy_on_request(handle)
  local body = handle:body(true)
  body:getBytes(0, body:length())
  handle:streamInfo():dynamicMetadata():set("anthropic-rbac", "audit", { decision = "Allow" })
  local headers = handle:headers()
  headers:replace("x-api-key", "@KEY@")
  headers:replace("x-anthropic-rbac-decision", "Allow")
end
"#;

/// The same gateway with no script at all: its other filters, a body that is kept, the log, and
/// the headers that the scripts would have set.
fn scriptless(mut rendered: Rendered) -> Result<Rendered> {
    let mut yaml: Value = serde_saphyr::from_slice(&rendered.config["envoy.yaml"])?;
    let manager = manager(&mut yaml);
    // The last route names the filters that are to be gone.
    let hosts = &mut manager["route_config"]["virtual_hosts"];
    hosts[0]["routes"].as_array_mut().context("routes")?.pop();
    let filters = manager["http_filters"].as_array_mut().context("filters")?;
    filters.retain(|filter| filter["name"] != "request");
    let identity = filters
        .iter_mut()
        .find(|filter| filter["name"] == "identity");
    let subject = Subject::ClientKey(Digest::of(client(0).as_bytes())).id();
    let set = [
        ("x-anthropic-rbac-subject", &*subject.to_string()),
        ("x-anthropic-rbac-rate", "1000000"),
        ("x-api-key", KEY),
        ("x-anthropic-rbac-decision", "Allow"),
    ]
    .map(|(key, value)| {
        json!({"append": {"header": {"key": key, "value": value},
                          "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}})
    });
    identity.context("a filter")?["typed_config"] = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        "mutations": {"request_mutations": set},
    });
    let text = yaml.to_string().into_bytes();
    rendered.config.insert("envoy.yaml".to_owned(), text);
    Ok(rendered)
}

/// What serves clients in a configuration.
fn manager(yaml: &mut Value) -> &mut Value {
    let listener = &mut yaml["static_resources"]["listeners"][0];
    &mut listener["filter_chains"][0]["filters"][0]["typed_config"]
}

/// A plain Envoy that writes this log: the gateway's, as far as such a one can write it, or none.
fn plain(anthropic: &Anthropic, authority: &Authority, log: Value) -> Result<Envoy> {
    let mut yaml: Value = serde_saphyr::from_str(include_str!("plain.yaml"))?;
    let manager = manager(&mut yaml);
    let filters = manager["http_filters"].as_array_mut().context("filters")?;
    filters.retain(|filter| filter["name"] == "router");
    manager["access_log"] = log;
    let config = Files::from([("envoy.yaml".to_owned(), yaml.to_string().into_bytes())]);
    let upstream = (anthropic, Some(authority));
    Envoy::start(&installed()?.envoy, &config, &Files::new(), upstream)
}

fn cost() -> Result<()> {
    let issuers = Issuers::from([(CLUSTER, key_set(&[&Signer::p256("c-1")?]))]);
    let rendered = || -> Result<Rendered> { crowded(render(&manifests(), &issuers)?) };
    let gateway = Gateway::start(rendered()?)?;
    let mut least = rendered()?;
    let lua = LEAST.replace("@KEY@", KEY).into_bytes();
    least.config.insert("request.lua".to_owned(), lua);
    let nothing = b"function envoy_on_request(handle) end".to_vec();
    least.config.insert("identity.lua".to_owned(), nothing);
    let least = Gateway::start(least)?;
    let scriptless = Gateway::start(scriptless(rendered()?)?)?;
    let authority = Authority::new(HOST)?;
    let anthropic = Anthropic::start(Some(&authority))?;
    anthropic.set_keys([(KEY.to_owned(), Reach::Workspace)]);
    let text = String::from_utf8_lossy(&gateway.rendered.config["envoy.yaml"]);
    let log = manager(&mut serde_saphyr::from_str(&text)?)["access_log"].take();
    let logging = plain(&anthropic, &authority, log)?;
    let plain = plain(&anthropic, &authority, json!([]))?;
    let only = |_| KEY.to_owned();

    for (what, bytes) in [("1 KiB", 1024), ("64 KiB", 64 * 1024)] {
        let mut rounds = Vec::new();
        for i in 0..=ROUNDS {
            let round = [
                round(&plain, only, bytes)?,
                round(&logging, only, bytes)?,
                round(&scriptless.envoy, client, bytes)?,
                round(&least.envoy, client, bytes)?,
                round(&gateway.envoy, client, bytes)?,
            ];
            // The first one only makes everything warm.
            if i > 0 {
                rounds.push(round.map(|time| time.as_secs_f64() * 1e6));
            }
            for fake in [
                &anthropic,
                &scriptless.anthropic,
                &least.anthropic,
                &gateway.anthropic,
            ] {
                fake.take_all();
            }
        }
        let time = |of: usize| median(rounds.iter().map(|round| round[of]));
        let ratio = |of: usize, to: usize| median(rounds.iter().map(|round| round[of] / round[to]));
        let named = [
            "plain",
            "plain with the gateway's log",
            "the gateway without a script",
            "the least that a Lua does",
            "the gateway",
        ];
        eprintln!("\nprocessor time a request of {what}, and to a plain Envoy's:");
        for (i, name) in named.iter().enumerate() {
            eprintln!("{:6.0} µs {:5.2}x  {name}", time(i), ratio(i, 0));
        }
    }
    let (plain_waits, gateway_waits) = (waiting(&plain, only)?, waiting(&gateway.envoy, client)?);
    eprintln!(
        "median wait, one at a time: plain {plain_waits:?}, gateway {gateway_waits:?}, {:?} more",
        gateway_waits.saturating_sub(plain_waits)
    );
    eprintln!(
        "memory with {SUBJECTS} subjects: plain {} MiB, gateway {} MiB",
        resident_mib(plain.pid())?,
        resident_mib(gateway.envoy.pid())?
    );
    for (what, unit, end) in [
        ("text", "a".repeat(12), "\"}"),
        ("members", "\",\"a\":\"".to_owned(), "\"}"),
        ("characters of two bytes", "é".to_owned(), "\"}"),
        ("characters of three bytes", "日本語".to_owned(), "\"}"),
        ("escapes", r"\n\u00e9".to_owned(), "\"}"),
        ("all of these in turn", r"aé日\n".to_owned(), "\"}"),
        ("characters by number", r"\u65e5".to_owned(), "\"}"),
    ] {
        let head = r#"{"model": "claude-haiku-4-5", "x": ""#;
        let count = (LARGEST - head.len() - end.len()) / unit.len();
        let body = [head, &unit.repeat(count), end].concat();
        let headers: [(&str, &[u8]); 1] = [("x-api-key", client(1).leak().as_bytes())];
        let bytes = request("POST", "/v1/messages", &headers, body.as_bytes());
        let ask = |envoy: &Envoy| -> Result<f64> {
            let before = used(envoy.pid())?;
            Connection::open(envoy.address)?.ask(&bytes)?;
            Ok((used(envoy.pid())? - before).as_secs_f64() * 1e3)
        };
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push((ask(&gateway.envoy)?, ask(&plain)?));
            // Or the fakes' memory would grow by each.
            for fake in [&anthropic, &gateway.anthropic] {
                fake.take_all();
            }
        }
        eprintln!(
            "32 MiB of {what}: {:.0} ms, of which {:.0} ms pass a plain Envoy",
            median(rounds.iter().map(|round| round.0)),
            median(rounds.iter().map(|round| round.1)),
        );
    }
    Ok(())
}

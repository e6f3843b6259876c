//! Attacks by where a request is sent to, and by headers that mean something to a proxy.

use anyhow::{Context, Result, ensure};

use super::Attack;
use super::Want::{self, Harmless, Passes, Refused, Status};
use super::stage::{BODY, CLIENT, OWN, SHARED, Stage, manifests, post, post_to};
use super::wire::SHOWN;
use crate::envoy::until;
use crate::gateway::Gateway;
use crate::http::{Connection, request};
use crate::rendered::render;
use crate::requests::Signers;

pub(super) fn attacks(_: &Stage) -> Result<Vec<Attack>> {
    let mut all = paths();
    all.extend(methods());
    all.extend(headers());
    Ok(all)
}

fn paths() -> Vec<Attack> {
    let paths = [
        ("/v1/messages?beta=true", Passes),
        ("/v1/messages?/count_tokens", Passes),
        ("/v1/messages?", Passes),
        ("/v1/messages?x=%0d%0ax-api-key:%20y", Passes),
        ("/v1/messages?x=\u{e9}", Harmless),
        ("/v1/messag\u{e9}s", Refused),
        ("/v1/messages?x=/../v1/models#y", Harmless),
        ("//v1/messages", Harmless),
        ("/v1//messages", Harmless),
        ("/v1/./messages", Harmless),
        ("/v1/models/../messages", Harmless),
        ("/v1/messages/count_tokens/../../messages", Harmless),
        ("/v1/messages/../messages/count_tokens", Harmless),
        ("http://api.anthropic.com/v1/messages", Harmless),
        ("/v1/%6dessages", Harmless),
        ("/v1/messages/", Refused),
        ("/v1/messages%2f", Refused),
        ("/v1%2fmessages", Refused),
        ("/v1%5cmessages", Refused),
        ("/v1\\messages", Harmless),
        ("/v1/messages%00", Refused),
        ("/v1/messages%20", Refused),
        ("/v1/messages;x=1", Refused),
        ("/v1/messages/..;/messages", Harmless),
        ("/v1/messages/.%2e/messages", Harmless),
        ("/v1/messages%3Fx=1", Refused),
        ("/V1/Messages", Refused),
        ("/v1/messages/batches", Status(404)),
        ("/v1/messages/count_tokens/", Refused),
        ("/v1/complete", Status(404)),
        ("/v1/models", Status(404)),
        ("/v1/files", Status(404)),
        ("/v1/organizations/api_keys", Status(404)),
        ("/v1/oauth/token", Status(404)),
        ("/stats", Status(404)),
        ("/ready", Status(404)),
        ("/loaded", Status(404)),
        ("/", Status(404)),
        ("*", Refused),
        ("/v1/messages /v1/models", Refused),
        ("@api.anthropic.com/v1/messages", Refused),
    ];
    let more = String::from_utf8_lossy(BODY).replace("512", "100000");
    let each = |(path, want): (&str, Want)| {
        let attack = Attack::new(format!("path {path}"), want, post_to(path, &[SHOWN], BODY));
        // Whatever is counted or cut by the path is by the same path upstream.
        let cut = Attack::new(
            format!("path {path}, to be cut"),
            want,
            post_to(path, &[SHOWN], more.as_bytes()),
        );
        [attack, cut]
    };
    paths.into_iter().flat_map(each).collect()
}

fn methods() -> Vec<Attack> {
    let request = String::from_utf8_lossy(&post(&[SHOWN], BODY)).into_owned();
    let methods = [
        "GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "post", "XPOST", "CONNECT",
    ];
    let each = methods.map(|method| {
        let request = request.replacen("POST", method, 1).into_bytes();
        Attack::new(format!("method {method}"), Refused, request)
    });
    each.into_iter().collect()
}

fn headers() -> Vec<Attack> {
    let of = |name: &str, want, more: &[(&str, &[u8])], absent: &[&'static str]| {
        let attack = Attack::new(name, want, post(&[&[SHOWN], more].concat(), BODY));
        attack.without(absent)
    };
    vec![
        of(
            "another workspace",
            Passes,
            &[("anthropic-workspace-id", b"wrkspc_01Other")],
            &[],
        ),
        of(
            "two other workspaces",
            Passes,
            &[
                ("anthropic-workspace-id", b"wrkspc_01A"),
                ("Anthropic-Workspace-Id", b"wrkspc_01B"),
            ],
            &[],
        ),
        of(
            "a key of Anthropic's beside",
            Refused,
            &[("authorization", b"Bearer sk-ant-api03-EXAMPLE-shared")],
            &[],
        ),
        of(
            "the key as a header of the connection",
            Harmless,
            &[("connection", b"x-api-key")],
            &[],
        ),
        of(
            "much as headers of the connection",
            Harmless,
            &[(
                "connection",
                b"keep-alive, anthropic-workspace-id, authorization, x-api-key, content-length",
            )],
            &[],
        ),
        of(
            "a cookie",
            Passes,
            &[("cookie", CLIENT.as_bytes())],
            &["cookie"],
        ),
        of(
            "a key for proxies",
            Passes,
            &[("proxy-authorization", CLIENT.as_bytes())],
            &["proxy-authorization"],
        ),
        of(
            "Envoy's own path",
            Passes,
            &[("x-envoy-original-path", b"/v1/models")],
            &["x-envoy-original-path"],
        ),
        of(
            "retries",
            Passes,
            &[
                ("x-envoy-retry-on", b"5xx,retriable-status-codes"),
                ("x-envoy-max-retries", b"9"),
                ("x-envoy-retriable-status-codes", b"200,400"),
            ],
            &["x-envoy-retry-on", "x-envoy-max-retries"],
        ),
        of(
            "a time limit",
            Passes,
            &[
                ("x-envoy-upstream-rq-timeout-ms", b"1"),
                ("x-envoy-expected-rq-timeout-ms", b"1"),
            ],
            &["x-envoy-upstream-rq-timeout-ms"],
        ),
        of(
            "another cluster",
            Passes,
            &[
                ("x-envoy-decorator-operation", b"x"),
                ("x-envoy-upstream-alt-stat-name", b"x"),
            ],
            &["x-envoy-decorator-operation"],
        ),
        of(
            "somebody else's address",
            Passes,
            &[
                ("x-forwarded-for", b"127.0.0.1"),
                ("x-real-ip", b"127.0.0.1"),
                ("x-envoy-internal", b"true"),
            ],
            &["x-forwarded-for", "x-envoy-internal"],
        ),
        of(
            "another host",
            Passes,
            &[
                ("x-forwarded-host", b"evil.example"),
                ("forwarded", b"host=evil.example"),
            ],
            &["x-forwarded-host"],
        ),
        of(
            "another method",
            Passes,
            &[
                ("x-http-method-override", b"GET"),
                ("x-original-url", b"/v1/models"),
                ("x-rewrite-url", b"/v1/models"),
            ],
            &[],
        ),
        of(
            "words of the gateway's own",
            Passes,
            &[
                ("x-gw-role", b"admin"),
                ("anthropic-rbac", b"allow"),
                (
                    "x-anthropic-rbac-subject",
                    b"00000000000000000000000000000000",
                ),
                ("x-anthropic-rbac-rate", b"1000000"),
                ("x-anthropic-rbac-standing", b"-\t\tadmin\t"),
                ("x-anthropic-rbac-standing", b"-\t\troot\t"),
                ("X-Anthropic-RBAC-Decision", b"Allow"),
            ],
            &[],
        ),
        of(
            "a name with an underscore",
            Harmless,
            &[
                ("x_api_key", SHARED.as_bytes()),
                ("anthropic_workspace_id", b"wrkspc_01"),
            ],
            &["anthropic_workspace_id"],
        ),
        of(
            "the key once more in a folded name",
            Refused,
            &[("X-API-KEY", SHARED.as_bytes())],
            &[],
        ),
        of("a pseudo-header", Refused, &[(":path", b"/v1/models")], &[]),
        of(
            "a pseudo-header for Lua",
            Refused,
            &[(":authority", b"evil.example")],
            &[],
        ),
        of(
            "trailers asked for",
            Harmless,
            &[("te", b"trailers, deflate")],
            &[],
        ),
        of(
            "bytes that are no text",
            Passes,
            &[("x-note", b"\xff\xfe"), ("anthropic-beta", b"\xc3")],
            &[],
        ),
        of(
            "a range",
            Passes,
            &[("range", b"bytes=0-1"), ("if-none-match", b"*")],
            &[],
        ),
    ]
}

/// What says how a gateway is does nothing else, and knows no secret.
pub(super) fn status() -> Result<()> {
    let stage = Stage::new()?;
    stage.is_well()?;
    let address = stage.gateway.envoy.status.context("a listener")?;
    let ask = |method, path| Connection::open(address)?.ask(&request(method, path, &[], b""));
    for path in ["/ready", "/loaded", "/stats", "/stats/prometheus"] {
        let answer = ask("GET", path)?;
        ensure!(answer.status == 200, "{path}: {answer:?}");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        for secret in [CLIENT, OWN, SHARED, "search", "uma@"] {
            ensure!(!text.contains(secret), "{path} says {secret}");
        }
    }
    for path in [
        "/",
        "/config_dump",
        "//config_dump",
        "/stats/../config_dump",
        "/stats/%2e%2e/config_dump",
        "/stats%2f..%2fconfig_dump",
        "/stats/recentlookups",
        "/stats/",
        "/loaded/../config_dump",
        "/quitquitquit",
        "http://127.0.0.1:9901/config_dump",
        "/v1/messages",
    ] {
        for method in ["GET", "POST"] {
            let answer = ask(method, path)?;
            ensure!(
                [400, 404].contains(&answer.status),
                "{method} {path}: {answer:?}"
            );
        }
    }
    for path in ["/stats", "/stats/prometheus"] {
        let answer = ask("POST", path)?;
        ensure!(answer.status == 404, "POST {path}: {answer:?}");
    }
    stage.is_well()
}

/// Clients that take all connections there are do not hide how a gateway is.
pub(super) fn crowd() -> Result<()> {
    let mut rendered = render(&manifests(), &Signers::new()?.published())?;
    let config = rendered.config.get_mut("envoy.yaml").context("a file")?;
    *config = String::from_utf8_lossy(config)
        .replace("connections: 20000", "connections: 5")
        .into_bytes();
    let gateway = Gateway::start(rendered)?;
    let open = || Connection::open(gateway.envoy.address);
    let crowd = (0..8).map(|_| open()).collect::<Result<Vec<_>>>()?;
    until("no more clients are served", || {
        Ok(open()?.ask(super::PROBE).is_err().then_some(()))
    })?;
    let said = gateway.envoy.loaded()?;
    ensure!(said["files"]["jwt.json"].is_string(), "{said}");
    drop(crowd);
    until("clients are served again", || {
        Ok(open()?.ask(super::PROBE).ok())
    })?;
    Ok(())
}

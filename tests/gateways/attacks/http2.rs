//! Attacks by frames and headers of HTTP/2.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::Want::{self, Harmless, Passes, Refused, Status};
use super::stage::{BODY, CLIENT, FORBIDDEN, SHARED, Stage, UNKNOWN};
use crate::envoy::until;
use crate::http2::{
    CONTINUATION, Connection, DATA, END_HEADERS, END_STREAM, HEADERS, block, frame, request,
};

/// How long an answer may take, and one that need not come.
const SOON: Duration = Duration::from_secs(10);
const BRIEFLY: Duration = Duration::from_millis(300);

type Header<'a> = (&'a str, &'a [u8]);

/// What is right, and what it takes to be somebody.
pub(super) const PSEUDO: [Header<'static>; 4] = [
    (":method", b"POST"),
    (":scheme", b"http"),
    (":path", b"/v1/messages"),
    (":authority", b"gateway.example"),
];
pub(super) const USUAL: [Header<'static>; 3] = [
    ("x-api-key", CLIENT.as_bytes()),
    ("anthropic-version", b"2023-06-01"),
    ("content-type", b"application/json"),
];

/// One of them: on the first stream of a new connection.
struct Attack {
    name: &'static str,
    want: Want,
    bytes: Vec<u8>,
    /// How many other requests come upstream.
    beside: usize,
}

fn attacks() -> Vec<Attack> {
    let usual = [&PSEUDO[..], &USUAL[..]].concat();
    let length = BODY.len().to_string();
    let dear = String::from_utf8_lossy(BODY).replace("claude-haiku-4-5", FORBIDDEN);
    let mut all = Vec::new();
    let mut add = |name, want, bytes| {
        all.push(Attack {
            name,
            want,
            bytes,
            beside: 0,
        })
    };

    add("as it should be", Passes, request(1, &usual, BODY));
    add(
        "a forbidden model",
        Status(403),
        request(1, &usual, dear.as_bytes()),
    );
    let stranger = [&PSEUDO[..], &[("x-api-key", UNKNOWN.as_bytes())]].concat();
    add("a stranger", Status(401), request(1, &stranger, BODY));
    add("nobody", Status(401), request(1, &PSEUDO, BODY));

    let mut headers = usual.clone();
    headers[6].1 = b"application/grpc";
    add(
        "a forbidden model, said to be of gRPC",
        Harmless,
        request(1, &headers, dear.as_bytes()),
    );
    add(
        "no body at all",
        Status(400),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&usual)),
    );

    let more: [(&str, Want, &[Header<'_>]); 20] = [
        (
            "its length",
            Passes,
            &[("content-length", length.as_bytes())],
        ),
        (
            "a length that is too short",
            Refused,
            &[("content-length", b"20")],
        ),
        (
            "a length that is too long",
            Refused,
            &[("content-length", b"99999")],
        ),
        (
            "two lengths",
            Refused,
            &[
                ("content-length", length.as_bytes()),
                ("content-length", b"5"),
            ],
        ),
        (
            "a second path",
            Refused,
            &[(":path", b"/v1/messages/count_tokens")],
        ),
        ("a second method", Refused, &[(":method", b"GET")]),
        (
            "a second authority",
            Refused,
            &[(":authority", b"api.anthropic.com")],
        ),
        ("an unknown pseudo-header", Refused, &[(":model", b"x")]),
        ("a status in a request", Refused, &[(":status", b"200")]),
        (
            "a host besides",
            Harmless,
            &[("host", b"api.anthropic.com")],
        ),
        (
            "a name in upper case",
            Refused,
            &[("X-Api-Key", SHARED.as_bytes())],
        ),
        (
            "a second key",
            Status(401),
            &[("x-api-key", SHARED.as_bytes())],
        ),
        (
            "a second key with a token's name",
            Status(401),
            &[("authorization", b"Bearer sk-ant-api03-EXAMPLE")],
        ),
        ("chunks", Refused, &[("transfer-encoding", b"chunked")]),
        (
            "a connection header",
            Refused,
            &[("connection", b"x-api-key")],
        ),
        ("an upgrade", Refused, &[("upgrade", b"h2c")]),
        (
            "a value with a line break",
            Refused,
            &[("x-a", b"b\r\nx-api-key: c")],
        ),
        ("a value with a zero", Refused, &[("x-a", b"b\0c")]),
        (
            "words of the gateway's own",
            Passes,
            &[
                ("x-anthropic-rbac-decision", b"Allow"),
                ("x-anthropic-rbac-standing", b"a\tb"),
            ],
        ),
        (
            "a workspace",
            Passes,
            &[("anthropic-workspace-id", b"wrkspc_01Other")],
        ),
    ];
    for (name, want, more) in more {
        add(name, want, request(1, &[&usual[..], more].concat(), BODY));
    }
    add(
        "crumbs of cookies",
        Passes,
        request(
            1,
            &[&usual[..], &[("cookie", b"a=b"), ("cookie", b"c=d")]].concat(),
            BODY,
        ),
    );
    let after = [&USUAL[..1], &PSEUDO[..], &USUAL[1..]].concat();
    add(
        "pseudo-headers after others",
        Harmless,
        request(1, &after, BODY),
    );
    for (name, gone) in [("no method", 0), ("no scheme", 1), ("no path", 2)] {
        let mut headers = usual.clone();
        headers.remove(gone);
        add(name, Refused, request(1, &headers, BODY));
    }
    let paths: [(&str, Want, &[u8]); 6] = [
        ("an empty path", Refused, b""),
        (
            "an address as the path",
            Refused,
            b"http://api.anthropic.com/v1/messages",
        ),
        ("a path with a blank", Refused, b"/v1/messages HTTP/1.1"),
        (
            "a path with a line break",
            Refused,
            b"/v1/messages\r\nx-api-key: a",
        ),
        (
            "a path with a fragment",
            Harmless,
            b"/v1/messages#/v1/models",
        ),
        ("a path by another way", Harmless, b"/v1//messages"),
    ];
    for (name, want, path) in paths {
        let mut headers = usual.clone();
        headers[2].1 = path;
        add(name, want, request(1, &headers, BODY));
    }
    let padded = format!(" {CLIENT} ");
    let others: [(&str, Want, usize, &[u8]); 5] = [
        ("CONNECT", Refused, 0, b"CONNECT"),
        ("a method in small letters", Refused, 0, b"post"),
        ("another scheme", Harmless, 1, b"ftp"),
        (
            "an authority with a user",
            Harmless,
            3,
            b"a:b@api.anthropic.com",
        ),
        ("blanks around a key", Harmless, 4, padded.as_bytes()),
    ];
    for (name, want, at, value) in others {
        let mut headers = usual.clone();
        headers[at].1 = value;
        add(name, want, request(1, &headers, BODY));
    }

    let head = frame(HEADERS, END_HEADERS, 1, &block(&usual));
    let data = frame(DATA, 0, 1, BODY);
    let trailer = |header| frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[header]));
    let key = trailer(("x-api-key", SHARED.as_bytes()));
    add(
        "a trailer with a key",
        Harmless,
        [&head[..], &data, &key].concat(),
    );
    let model = trailer(("anthropic-workspace-id", b"wrkspc_01Other"));
    add(
        "a trailer with a workspace",
        Harmless,
        [&head[..], &data, &model].concat(),
    );
    let more = String::from_utf8_lossy(BODY).replace("512", "100000");
    add(
        "a trailer after a body to be cut",
        Passes,
        [&head[..], &frame(DATA, 0, 1, more.as_bytes()), &key].concat(),
    );
    let length = more.len().to_string();
    let headers = [&usual[..], &[("content-length", length.as_bytes())]].concat();
    add(
        "its length, and a body to be cut",
        Passes,
        request(1, &headers, more.as_bytes()),
    );
    let pseudo = trailer((":path", b"/v1/models"));
    add(
        "a trailer with a path",
        Refused,
        [&head[..], &data, &pseudo].concat(),
    );
    let end = frame(DATA, END_STREAM, 1, b"");
    add(
        "data before headers",
        Refused,
        [&data[..], &head, &end].concat(),
    );
    add(
        "headers that stop",
        Refused,
        [&frame(HEADERS, 0, 1, &block(&usual))[..], &data, &end].concat(),
    );
    add(
        "a continuation of nothing",
        Refused,
        [
            &frame(CONTINUATION, END_HEADERS, 1, &block(&usual))[..],
            &data,
            &end,
        ]
        .concat(),
    );
    add(
        "a stream of even number",
        Refused,
        [
            &frame(HEADERS, END_HEADERS, 2, &block(&usual))[..],
            &frame(DATA, END_STREAM, 2, BODY),
        ]
        .concat(),
    );
    add(
        "a frame that is too large",
        Refused,
        [
            &head[..],
            &frame(DATA, END_STREAM, 1, &vec![b'x'; 5_000_000]),
        ]
        .concat(),
    );
    add("one byte a frame", Passes, {
        let pieces = BODY.iter().flat_map(|byte| frame(DATA, 0, 1, &[*byte]));
        [&head[..], &pieces.collect::<Vec<_>>(), &end].concat()
    });
    // Two at a time: what one may is not what the other may.
    let second = [
        frame(HEADERS, END_HEADERS, 3, &block(&usual)),
        frame(DATA, END_STREAM, 3, BODY),
    ];
    let (begun, rest) = dear.as_bytes().split_at(20);
    let bytes = [
        &head[..],
        &frame(DATA, 0, 1, begun),
        &second.concat(),
        &frame(DATA, END_STREAM, 1, rest),
    ];
    all.push(Attack {
        name: "another request within",
        want: Status(403),
        bytes: bytes.concat(),
        beside: 1,
    });
    all
}

/// Runs all of them, and says which went wrong.
pub(super) fn run() -> Result<()> {
    let stage = Stage::new()?;
    let attacks = attacks();
    let failed: Vec<String> = attacks
        .iter()
        .filter_map(|attack| {
            let error = one(&stage, attack).err()?;
            Some(format!("{}: {error:#}", attack.name))
        })
        .collect();
    stage.is_well()?;
    ensure!(
        failed.is_empty(),
        "{} of {} attacks:\n{}",
        failed.len(),
        attacks.len(),
        failed.join("\n")
    );
    eprintln!("{} attacks", attacks.len());
    Ok(())
}

fn one(stage: &Stage, attack: &Attack) -> Result<()> {
    let mut connection = Connection::open(stage.gateway.envoy.address)?;
    let refused = attack.want == Refused;
    connection
        .wire
        .wait_at_most(if refused { BRIEFLY } else { SOON })?;
    let written = connection.wire.write(&attack.bytes);
    let answer = connection.read(1);
    let mut received = stage.gateway.anthropic.take_all();
    // What was sent beside it is answered for itself, perhaps later.
    until("what is beside it came", || {
        received.extend(stage.gateway.anthropic.take_all());
        Ok((received.len() >= attack.beside).then_some(()))
    })?;
    for received in &received {
        stage.check(received)?;
    }
    let what = || format!("{answer:?}, {written:?}, {} upstream", received.len());
    let status = answer.as_ref().map_or(0, |answer| answer.status);
    match attack.want {
        Passes => ensure!(status == 200 && received.len() == 1, "{}", what()),
        Harmless => ensure!(received.len() <= 1 && status < 500, "{}", what()),
        Refused => {
            let refused = status == 0 || status == 501 || (400..500).contains(&status);
            ensure!(refused && received.is_empty(), "{}", what());
        }
        Status(wanted) => {
            ensure!(
                status == wanted && received.len() <= attack.beside,
                "{}",
                what()
            );
        }
    }
    Ok(())
}

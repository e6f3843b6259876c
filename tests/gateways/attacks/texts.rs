//! Attacks by bodies that are not what they seem: other encodings, no JSON, too much of it.

use anyhow::Result;

use super::Attack;
use super::Want::{self, Harmless, Passes, Refused, Status};
use super::bodies::{MESSAGES, attack};
use super::stage::{ALLOWED, BODY, CLIENT, FORBIDDEN, Stage, post};
use crate::http::request;

pub(super) fn attacks(_: &Stage) -> Result<Vec<Attack>> {
    let mut all = Vec::new();
    for (name, want, body) in texts() {
        all.push(attack(name, want, &body));
    }
    for (name, headers) in encodings() {
        let body = if name.contains("zipped") { GZIP } else { BODY };
        let headers: Vec<(&str, &[u8])> = [&[("x-api-key", CLIENT.as_bytes())], headers].concat();
        all.push(Attack::new(name, Harmless, post(&headers, body)));
    }
    let dear = String::from_utf8_lossy(BODY).replace(ALLOWED, FORBIDDEN);
    for (kind, denied) in TYPES {
        for (body, want) in [(BODY, Passes), (dear.as_bytes(), denied)] {
            let headers: [(&str, &[u8]); 3] = [
                ("x-api-key", CLIENT.as_bytes()),
                ("anthropic-version", b"2023-06-01"),
                ("content-type", kind.as_bytes()),
            ];
            let bytes = request("POST", "/v1/messages", &headers, body);
            all.push(Attack::new(format!("type {kind}"), want, bytes));
        }
    }
    Ok(all)
}

/// Types that a body is said to be of, and what comes of a forbidden one: where it is gRPC's, Envoy
/// answers as gRPC does, with status 200 and the error in a header.
const TYPES: [(&str, Want); 6] = [
    ("application/grpc", Harmless),
    ("application/grpc+json", Harmless),
    ("application/grpc-web", Status(403)),
    ("application/json; charset=utf-16", Status(403)),
    ("application/x-www-form-urlencoded", Status(403)),
    ("", Status(403)),
];

/// Bodies that are not what they seem, or nothing.
fn texts() -> Vec<(&'static str, Want, Vec<u8>)> {
    let body = String::from_utf8_lossy(BODY).into_owned();
    let dear = body.replace(ALLOWED, FORBIDDEN);
    let utf16 = |text: &str, order: fn(u16) -> [u8; 2], mark: bool| -> Vec<u8> {
        let mark = mark.then_some(0xfeff);
        mark.into_iter()
            .chain(text.encode_utf16())
            .flat_map(order)
            .collect()
    };
    let with = |at: &str, bytes: &[u8]| {
        let (before, after) = body.split_once(at).unwrap_or((&body, ""));
        [before.as_bytes(), bytes, after.as_bytes()].concat()
    };
    let deep = |depth: usize| {
        format!(
            r#"{{"model": "{ALLOWED}", "max_tokens": 9, "x": {}{}, {MESSAGES}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    let many = |count: usize| {
        let each: Vec<String> = (0..count)
            .map(|i| format!(r#"{{"model": "{ALLOWED}", "max_tokens": {}}}"#, 1 + i % 500))
            .collect();
        format!(
            r#"{{"model": "{ALLOWED}", "max_tokens": 9, {MESSAGES}, "x": [{}]}}"#,
            each.join(",")
        )
    };
    let hidden = format!(
        r#"{}, {{"model": "{FORBIDDEN}"}}]}}"#,
        many(4000).trim_end_matches("]}")
    );
    // What costs by the model must not cost by the name they are under.
    let under = |last: &str| {
        format!(
            r#"{{"model": "{ALLOWED}", "max_tokens": 9, {MESSAGES}, "{}": [{}{{"model": "{last}"}}]}}"#,
            "x".repeat(8_000_000),
            format!(r#"{{"model": "{ALLOWED}"}}, "#).repeat(100_000)
        )
    };
    let wide = format!(
        r#"{{"model": "{ALLOWED}", "max_tokens": 9, {MESSAGES}, "x": [{}0]}}"#,
        "0,".repeat(400_000)
    );
    vec![
        ("nothing", Status(400), Vec::new()),
        ("blanks", Status(400), b" \n\t ".to_vec()),
        ("a list", Status(400), format!("[{body}]").into_bytes()),
        (
            "two bodies",
            Status(400),
            format!("{body}{dear}").into_bytes(),
        ),
        (
            "two bodies on two lines",
            Status(400),
            format!("{body}\n{dear}\n").into_bytes(),
        ),
        (
            "a mark of order before",
            Status(400),
            format!("\u{feff}{body}").into_bytes(),
        ),
        (
            "UTF-16, little end first",
            Status(400),
            utf16(&dear, u16::to_le_bytes, true),
        ),
        (
            "UTF-16, big end first, unmarked",
            Status(400),
            utf16(&dear, u16::to_be_bytes, false),
        ),
        (
            "UTF-32",
            Status(400),
            body.chars()
                .flat_map(|letter| u32::from(letter).to_be_bytes())
                .collect(),
        ),
        (
            "UTF-7",
            Status(400),
            dear.replace('"', "+ACI-").into_bytes(),
        ),
        (
            "a form",
            Status(400),
            format!("model={FORBIDDEN}&max_tokens=9").into_bytes(),
        ),
        (
            "a comment",
            Status(400),
            format!("/* x */{body}").into_bytes(),
        ),
        (
            "a comment within",
            Status(400),
            body.replacen('{', "{//\n", 1).into_bytes(),
        ),
        (
            "a form feed for a blank",
            Status(400),
            body.replacen(": ", ":\u{c}", 1).into_bytes(),
        ),
        (
            "a blank of no break",
            Status(400),
            body.replacen(": ", ":\u{a0}", 1).into_bytes(),
        ),
        (
            "a comma too many",
            Status(400),
            body.replacen("\"}]}", "\"}],}", 1).into_bytes(),
        ),
        (
            "zero at the end",
            Status(400),
            format!("{body}\0").into_bytes(),
        ),
        (
            "zero at the beginning",
            Status(400),
            format!("\0{body}").into_bytes(),
        ),
        (
            "an overlong letter in a name",
            Status(400),
            [
                &BODY[..1],
                b"\"m\xc1\xafdel\": \"claude-opus-5\", ",
                &BODY[1..],
            ]
            .concat(),
        ),
        (
            "a byte that is no character",
            Status(400),
            with("hi", b"\xff"),
        ),
        ("half a character", Status(400), with("hi", b"\xe2\x82")),
        (
            "half a pair in three bytes",
            Status(400),
            with("hi", b"\xed\xa0\x80"),
        ),
        (
            "a character beyond the last",
            Status(400),
            with("hi", b"\xf4\x90\x80\x80"),
        ),
        ("a line end in a text", Status(400), with("hi", b"\n")),
        (
            "an end that is missing",
            Status(400),
            BODY[..BODY.len() - 1].to_vec(),
        ),
        (
            "a bracket for a brace",
            Status(400),
            [&BODY[..BODY.len() - 1], b"]"].concat(),
        ),
        ("deep", Passes, deep(120).into_bytes()),
        ("too deep", Status(400), deep(600).into_bytes()),
        (
            "far too deep",
            Status(400),
            "[".repeat(1_000_000).into_bytes(),
        ),
        (
            "a forbidden model after thousands of allowed ones",
            Refused,
            hidden.into_bytes(),
        ),
        (
            "very many models under a very long name",
            Passes,
            under(ALLOWED).into_bytes(),
        ),
        (
            "very many models under a very long name, one of them forbidden",
            Status(403),
            under(FORBIDDEN).into_bytes(),
        ),
        (
            "a tool of a type that is no name",
            Status(403),
            format!(
                r#"{{"model": "{ALLOWED}", "max_tokens": 9, {MESSAGES}, "tools": [{{"type": "{}"}}]}}"#,
                "x".repeat(257)
            )
            .into_bytes(),
        ),
        ("thousands of models", Harmless, many(4000).into_bytes()),
        ("very many values", Harmless, wide.into_bytes()),
        (
            "no model",
            Status(400),
            format!("{{{MESSAGES}}}").into_bytes(),
        ),
        (
            "no max_tokens",
            Passes,
            format!(r#"{{"model": "{ALLOWED}", {MESSAGES}}}"#).into_bytes(),
        ),
        (
            "no max_tokens after blanks",
            Passes,
            format!(" \n {{ \"model\": \"{ALLOWED}\", {MESSAGES}}}").into_bytes(),
        ),
    ]
}

/// `{"model": "claude-opus-5", "max_tokens": 9, "messages": []}`
const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xabV\xca\xcdOI\xcdQ\xb2RPJ\xceI,MI\xd5\xcd/(-\xd65U\xd2QP\xcaM\xac\x88/\xc9\xcfN\xcd+\x06J[\x82\x04R\x8b\x8b\x13\xd3SA\xdc\xe8\xd8Z\x00\xd3\x8f\xcc\xe0;\x00\x00\x00";

/// Name and value.
type Header = (&'static str, &'static [u8]);

/// What says that a body is something else.
fn encodings() -> Vec<(&'static str, &'static [Header])> {
    vec![
        ("zipped", &[("content-encoding", b"gzip")]),
        ("zipped, and nobody says so", &[]),
        ("zipped, in other letters", &[("Content-Encoding", b"GZip")]),
        (
            "zipped after all",
            &[
                ("content-encoding", b"identity"),
                ("content-encoding", b"gzip"),
            ],
        ),
        (
            "zipped, in a list",
            &[("content-encoding", b"identity, gzip")],
        ),
        ("said to be itself", &[("content-encoding", b"identity")]),
        ("said to be zip", &[("content-encoding", b"gzip")]),
        ("said to be brotli", &[("content-encoding", b"br")]),
        ("said to be nothing", &[("content-encoding", b"")]),
        ("of another type", &[("content-type", b"text/plain")]),
        (
            "of many parts",
            &[("content-type", b"multipart/form-data; boundary=x")],
        ),
        (
            "in another alphabet",
            &[("content-type", b"application/json; charset=utf-16")],
        ),
    ]
}

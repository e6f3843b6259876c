//! Attacks by how a request is framed.

use anyhow::{Result, ensure};

use super::Attack;
use super::Want::{Harmless, Passes, Refused};
use super::stage::{BODY, CLIENT, FORBIDDEN, SHARED, Stage, post};
use crate::http::Connection;

/// What a client says who it is with.
pub(super) const SHOWN: (&str, &[u8]) = ("x-api-key", CLIENT.as_bytes());

/// Anthropic's limit, and so the gateway's.
const LARGEST: usize = 32 * 1024 * 1024;

pub(super) fn attacks(_: &Stage) -> Result<Vec<Attack>> {
    Ok(framing())
}

/// The head of a request without anything that says how long its body is.
fn head(more: &str) -> String {
    format!(
        "POST /v1/messages HTTP/1.1\r\nhost: gateway.example\r\nx-api-key: {CLIENT}\r\n\
         anthropic-version: 2023-06-01\r\ncontent-type: application/json\r\n{more}"
    )
}

/// A request nobody should see.
fn dear() -> Vec<u8> {
    post(
        &[SHOWN],
        String::from_utf8_lossy(BODY)
            .replace("claude-haiku-4-5", FORBIDDEN)
            .as_bytes(),
    )
}

fn chunked(pieces: &[&[u8]]) -> Vec<u8> {
    let chunk =
        |piece: &&[u8]| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
    let mut bytes: Vec<u8> = pieces.iter().flat_map(chunk).collect();
    bytes.extend(b"0\r\n\r\n");
    bytes
}

fn framing() -> Vec<Attack> {
    let length = BODY.len();
    let of = |name: &str, want, more: &str, rest: &[u8]| {
        Attack::new(name, want, [head(more).as_bytes(), b"\r\n", rest].concat())
    };
    let whole = chunked(&[BODY]);
    let split = chunked(&[&BODY[..9], &BODY[9..40], &BODY[40..]]);
    let smuggled = [&chunked(&[BODY])[..], &dear()].concat();
    let both = format!(
        "content-length: {}\r\ntransfer-encoding: chunked\r\n",
        smuggled.len()
    );
    let extended = String::from_utf8_lossy(&whole)
        .replacen("\r\n", ";x=\"y\r\n", 1)
        .into_bytes();
    let trailer_of = |whole: &[u8], name: &str, value: &str| {
        let end = format!("0\r\n{name}: {value}\r\n\r\n");
        [&whole[..whole.len() - 5], end.as_bytes()].concat()
    };
    let trailer = |name: &str, value: &str| trailer_of(&whole, name, value);
    let text = |from, to| {
        String::from_utf8_lossy(BODY)
            .replacen(from, to, 1)
            .into_bytes()
    };
    let more = text("512", "100000");
    let none = text(r#""max_tokens": 512, "#, "");
    let mut all = vec![
        of(
            "chunks to be cut",
            Passes,
            "transfer-encoding: chunked\r\n",
            &chunked(&[&more[..9], &more[9..45], &more[45..]]),
        ),
        of(
            "chunks to be made longer",
            Passes,
            "transfer-encoding: chunked\r\n",
            &chunked(&[&none]),
        ),
        of(
            "chunks to be cut, with a trailer",
            Passes,
            "transfer-encoding: chunked\r\ntrailer: x-api-key\r\n",
            &trailer_of(&chunked(&[&more]), "x-api-key", SHARED),
        ),
        of(
            "it may go on, to be cut",
            Passes,
            &format!("expect: 100-continue\r\ncontent-length: {}\r\n", more.len()),
            &more,
        ),
        of("chunks", Passes, "transfer-encoding: chunked\r\n", &split),
        of(
            "chunks, byte by byte",
            Passes,
            "transfer-encoding: chunked\r\n",
            &chunked(&BODY.chunks(1).collect::<Vec<_>>()),
        ),
        Attack::new("a request byte by byte", Passes, post(&[SHOWN], BODY)).in_pieces(usize::MAX),
        of("a length and chunks", Refused, &both, &smuggled),
        of(
            "chunks and a length",
            Refused,
            "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
            &whole,
        ),
        of(
            "chunks, then a request",
            Passes,
            "transfer-encoding: chunked\r\n",
            &smuggled,
        )
        .then(403),
        of(
            "two encodings",
            Refused,
            "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
            &whole,
        ),
        of(
            "chunks, then identity",
            Refused,
            "transfer-encoding: chunked, identity\r\n",
            &whole,
        ),
        of(
            "zipped chunks",
            Refused,
            "transfer-encoding: gzip, chunked\r\n",
            &whole,
        ),
        of(
            "chunks by another name",
            Refused,
            "transfer-encoding: xchunked\r\n",
            &whole,
        ),
        of(
            "chunks with a tab before",
            Harmless,
            "transfer-encoding:\tchunked\r\n",
            &whole,
        ),
        of(
            "chunks with a letter of other alphabets",
            Refused,
            "transfer-encoding: c\u{212a}unked\r\n",
            &whole,
        ),
        of(
            "a blank before the colon",
            Refused,
            "transfer-encoding : chunked\r\n",
            &whole,
        ),
        of(
            "a folded header",
            Harmless,
            "transfer-encoding:\r\n chunked\r\n",
            &whole,
        ),
        of(
            "two lengths that differ",
            Refused,
            &format!("content-length: {length}\r\ncontent-length: 5\r\n"),
            BODY,
        ),
        of(
            "two lengths that are equal",
            Harmless,
            &format!("content-length: {length}\r\ncontent-length: {length}\r\n"),
            BODY,
        ),
        of(
            "a list of lengths",
            Refused,
            &format!("content-length: {length}, 5\r\n"),
            BODY,
        ),
        of(
            "a length with a sign",
            Refused,
            &format!("content-length: +{length}\r\n"),
            BODY,
        ),
        of(
            "a length in hex",
            Refused,
            &format!("content-length: 0x{length:x}\r\n"),
            BODY,
        ),
        of(
            "a length below zero",
            Refused,
            "content-length: -1\r\n",
            BODY,
        ),
        of(
            "a length beyond 64 bits",
            Refused,
            "content-length: 18446744073709551737\r\n",
            BODY,
        ),
        of("no length", Refused, "", BODY),
        of(
            "a length that is too short",
            Refused,
            "content-length: 20\r\n",
            BODY,
        ),
        of(
            "a length that is too long",
            Refused,
            &format!("content-length: {}\r\n", length + 9),
            BODY,
        ),
        of(
            "a chunk longer than can be",
            Refused,
            "transfer-encoding: chunked\r\n",
            &[b"ffffffffffffffff0\r\n", BODY].concat(),
        ),
        of(
            "a chunk with a negative length",
            Refused,
            "transfer-encoding: chunked\r\n",
            &[b"-1\r\n", BODY].concat(),
        ),
        of(
            "a chunk with an open extension",
            Harmless,
            "transfer-encoding: chunked\r\n",
            &extended,
        ),
        of(
            "chunks that end in line feeds",
            Refused,
            "transfer-encoding: chunked\r\n",
            &whole
                .iter()
                .copied()
                .filter(|byte| *byte != b'\r')
                .collect::<Vec<_>>(),
        ),
        of(
            "chunks without end",
            Refused,
            "transfer-encoding: chunked\r\n",
            &whole[..whole.len() - 5],
        ),
        of(
            "a trailer with a key",
            Harmless,
            "transfer-encoding: chunked\r\ntrailer: x-api-key\r\n",
            &trailer("x-api-key", SHARED),
        ),
        of(
            "a trailer with a workspace",
            Harmless,
            "transfer-encoding: chunked\r\n",
            &trailer("anthropic-workspace-id", "wrkspc_01Other"),
        ),
        of(
            "a trailer with a length",
            Harmless,
            "transfer-encoding: chunked\r\n",
            &trailer("content-length", "3"),
        ),
        of(
            "zero in a header",
            Refused,
            &format!("x-zero: a\0b\r\ncontent-length: {length}\r\n"),
            BODY,
        ),
        of(
            "a return in a header",
            Harmless,
            &format!("x-return: a\rx-api-key: b\r\ncontent-length: {length}\r\n"),
            BODY,
        ),
        of(
            "a name with a blank",
            Refused,
            &format!("x api-key: b\r\ncontent-length: {length}\r\n"),
            BODY,
        ),
        of(
            "a line without colon",
            Refused,
            &format!("x-nothing\r\ncontent-length: {length}\r\n"),
            BODY,
        ),
        of(
            "it may go on",
            Passes,
            &format!("expect: 100-continue\r\ncontent-length: {length}\r\n"),
            BODY,
        ),
        of(
            "it expects something else",
            Harmless,
            &format!("expect: tea\r\ncontent-length: {length}\r\n"),
            BODY,
        ),
        of(
            "an upgrade to HTTP/2",
            Harmless,
            &format!(
                "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\ncontent-length: {length}\r\n"
            ),
            BODY,
        ),
        of(
            "an upgrade to a socket",
            Refused,
            &format!(
                "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\ncontent-length: {length}\r\n"
            ),
            BODY,
        ),
        of(
            "a header that is too large",
            Refused,
            &format!(
                "x-large: {}\r\ncontent-length: {length}\r\n",
                "x".repeat(100_000)
            ),
            BODY,
        ),
        of(
            "more headers than there may be",
            Refused,
            &format!(
                "{}content-length: {length}\r\n",
                "x-many: 1\r\n".repeat(500)
            ),
            BODY,
        ),
        of(
            "two hosts",
            Harmless,
            &format!("host: api.anthropic.com\r\ncontent-length: {length}\r\n"),
            BODY,
        ),
        Attack::new(
            "what is not HTTP",
            Refused,
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        ),
        Attack::new(
            "the preface of HTTP/2, then HTTP/1",
            Refused,
            [
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                &post(&[SHOWN], BODY)[..],
            ]
            .concat(),
        ),
        Attack::new(
            "two requests, the second forbidden",
            Passes,
            [post(&[SHOWN], BODY), dear()].concat(),
        )
        .then(403),
    ];
    for (name, from, to) in [
        ("HTTP/1.0", " HTTP/1.1\r\n", " HTTP/1.0\r\n"),
        ("HTTP/0.9", " HTTP/1.1\r\n", "\r\n"),
        ("HTTP/1.2", " HTTP/1.1\r\n", " HTTP/1.2\r\n"),
        ("lines that end in line feeds", "\r\n", "\n"),
        ("two blanks before the path", "POST /", "POST  /"),
    ] {
        let request = String::from_utf8_lossy(&post(&[SHOWN], BODY)).replace(from, to);
        all.push(Attack::new(name, Harmless, request.into_bytes()));
    }
    all
}

/// The largest body goes through, cut where it must be; one byte more does not.
pub(super) fn sizes() -> Result<()> {
    let stage = Stage::new()?;
    let of_size = |size: usize| {
        let (before, after) = (br#"{"model": "claude-haiku-4-5", "max_tokens": 999, "messages": [{"role": "user", "content": ""#, br#""}]}"#);
        let filler = vec![b'x'; size - before.len() - after.len()];
        [&before[..], &filler, &after[..]].concat()
    };
    let largest = Attack::new("the largest", Passes, post(&[SHOWN], &of_size(LARGEST)));
    largest.run(&stage)?;
    for (name, bytes) in [
        ("one byte more", post(&[SHOWN], &of_size(LARGEST + 1))),
        (
            "one byte more in chunks",
            [
                head("transfer-encoding: chunked\r\n\r\n").as_bytes(),
                &chunked(&of_size(LARGEST + 1).chunks(65_536).collect::<Vec<_>>()),
            ]
            .concat(),
        ),
        ("far more", post(&[SHOWN], &of_size(LARGEST * 2))),
    ] {
        Attack::new(name, Refused, bytes).run(&stage)?;
    }
    stage.is_well()
}

/// Bodies that never come to an end hold up nobody else.
pub(super) fn stalls() -> Result<()> {
    let stage = Stage::new()?;
    let bytes = post(&[SHOWN], BODY);
    let mut stalled = Vec::new();
    for _ in 0..200 {
        let mut connection = Connection::open(stage.gateway.envoy.address)?;
        connection.wire.write(&bytes[..bytes.len() - 1])?;
        stalled.push(connection);
    }
    for _ in 0..20 {
        stage.is_well()?;
    }
    ensure!(
        stage.gateway.anthropic.take_all().is_empty(),
        "nothing that is not whole goes on"
    );
    for mut connection in stalled {
        connection.wire.write(&bytes[bytes.len() - 1..])?;
        ensure!(connection.read()?.status == 200);
    }
    ensure!(stage.gateway.anthropic.take_all().len() == 200);
    Ok(())
}

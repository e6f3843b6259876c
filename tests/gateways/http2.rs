//! HTTP/2 by the frame, without TLS and from the first byte on, so that what no library would send
//! can be sent. Requests are written without compression; of answers status and body are read.
//! Must not repair or retry anything.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};

use crate::http::Response;
use crate::wire::Wire;

/// Kinds of frames.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// Flags of frames.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

/// The most that a frame carries without asking.
const MOST: usize = 16_384;

/// A connection that stays open between requests.
pub(crate) struct Connection {
    pub(crate) wire: Wire,
    next: u32,
}

/// One frame, as it goes over the wire.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Headers as a block in which every one is written out (RFC 7541, 6.2.2).
pub(crate) fn block(headers: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let text = |bytes: &mut Vec<u8>, text: &[u8]| {
        if text.len() < 127 {
            bytes.push(u8::try_from(text.len()).unwrap_or_default());
        } else {
            bytes.push(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                bytes.push(u8::try_from(rest % 128).unwrap_or_default() | 128);
                rest /= 128;
            }
            bytes.push(u8::try_from(rest).unwrap_or_default());
        }
        bytes.extend(text);
    };
    for (name, value) in headers {
        bytes.push(0);
        text(&mut bytes, name.as_bytes());
        text(&mut bytes, value);
    }
    bytes
}

/// The frames of a request with these headers, pseudo-headers among them, on a stream.
pub(crate) fn request(stream: u32, headers: &[(&str, &[u8])], body: &[u8]) -> Vec<u8> {
    let block = block(headers);
    let mut pieces = block.chunks(MOST).peekable();
    let (mut bytes, mut kind) = (Vec::new(), HEADERS);
    while let Some(piece) = pieces.next() {
        let last = if pieces.peek().is_none() {
            END_HEADERS
        } else {
            0
        };
        bytes.extend(frame(kind, last, stream, piece));
        kind = CONTINUATION;
    }
    for piece in body.chunks(MOST) {
        bytes.extend(frame(DATA, 0, stream, piece));
    }
    bytes.extend(frame(DATA, END_STREAM, stream, b""));
    bytes
}

// === impl Connection ===

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let mut wire = Wire::open(address)?;
        // No table of headers, so that none refers to an earlier one; and room for every answer.
        let settings = frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0]);
        let window = frame(WINDOW_UPDATE, 0, 0, &(1u32 << 30).to_be_bytes());
        let preface: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        wire.write(&[preface, &settings, &window].concat())?;
        Ok(Self { wire, next: 1 })
    }

    /// Sends a request on the next stream and reads its answer.
    pub(crate) fn ask(&mut self, headers: &[(&str, &[u8])], body: &[u8]) -> Result<Response> {
        let stream = self.next;
        self.next += 2;
        self.wire.write(&request(stream, headers, body))?;
        self.read(stream)
    }

    /// Reads on to the end of an answer; a stream that is reset, or a connection that is given
    /// up, is an error.
    pub(crate) fn read(&mut self, of: u32) -> Result<Response> {
        let (mut status, mut body) = (0, Vec::new());
        loop {
            let head = self.wire.exactly(9)?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let payload = self.wire.exactly(length as usize)?;
            match kind {
                SETTINGS if flags & ACK == 0 => self.wire.write(&frame(SETTINGS, ACK, 0, b""))?,
                PING if flags & ACK == 0 => self.wire.write(&frame(PING, ACK, 0, &payload))?,
                GOAWAY => bail!("the connection was given up"),
                RST_STREAM if stream == of => bail!("the stream was reset"),
                HEADERS if stream == of => {
                    ensure!(flags & (PADDED | PRIORITY) == 0, "headers of another form");
                    // Trailers have no status.
                    if status < 200 {
                        status = status_of(&payload)?;
                    }
                }
                DATA if stream == of => {
                    ensure!(flags & PADDED == 0, "data of another form");
                    body.extend(payload);
                }
                _ => {}
            }
            if stream == of && [DATA, HEADERS].contains(&kind) && flags & END_STREAM != 0 {
                return Ok(Response {
                    status,
                    headers: Vec::new(),
                    body,
                });
            }
        }
    }
}

/// The status that a block of headers begins with (RFC 7541, appendix A and B: its digits may be
/// in Huffman's code).
fn status_of(block: &[u8]) -> Result<u16> {
    let mut block = block;
    // A change of the table's size may come before it.
    while block.first().is_some_and(|byte| byte & 0xe0 == 0x20) {
        block = &block[1..];
    }
    let first = *block.first().context("an empty block")?;
    if first & 0x80 != 0 {
        let known = [200, 204, 206, 304, 400, 404, 500];
        let place = usize::from(first & 0x7f).checked_sub(8);
        return place
            .and_then(|place| known.get(place).copied())
            .context("no status comes first");
    }
    ensure!((8..=14).contains(&(first & 0x0f)), "no status comes first");
    let length = *block.get(1).context("a length")?;
    let text = block
        .get(2..2 + usize::from(length & 0x7f))
        .context("a status")?;
    if length & 0x80 == 0 {
        return Ok(std::str::from_utf8(text)?.parse()?);
    }
    let bits = text
        .iter()
        .fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
    let mut left = text.len() * 8;
    let mut take = |count: usize| {
        left -= count;
        u16::try_from(bits >> left & ((1 << count) - 1)).unwrap_or_default()
    };
    let mut status = 0;
    for _ in 0..3 {
        let five = take(5);
        // The digits 0 to 2 have five bits, the others six.
        let digit = if five < 3 {
            five
        } else {
            (five << 1 | take(1)) - 0x19 + 3
        };
        status = status * 10 + digit;
    }
    Ok(status)
}

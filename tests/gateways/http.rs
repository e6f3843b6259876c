//! HTTP/1.1 by the byte, so that what no library would send can be sent.
//! Must not repair or retry anything.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};

use crate::wire::Wire;

/// A connection that stays open between requests.
pub(crate) struct Connection {
    pub(crate) wire: Wire,
}

/// An answer.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// How long a body is.
enum Length {
    Exactly(usize),
    Chunked,
    UntilClosed,
}

/// A request of the usual form: the length of the body and the host are added.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &[u8])], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "{method} {path} HTTP/1.1\r\nhost: gateway.example\r\ncontent-length: {}\r\n",
        body.len()
    )
    .into_bytes();
    for (name, value) in headers {
        bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body);
    bytes
}

// === impl Connection ===

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let wire = Wire::open(address)?;
        Ok(Self { wire })
    }

    /// Sends bytes and reads one answer. A server that answers before it has read all of them
    /// may have closed the connection meanwhile; its answer counts.
    pub(crate) fn ask(&mut self, bytes: &[u8]) -> Result<Response> {
        let written = self.wire.write(bytes);
        match (self.read(), written) {
            (Ok(response), _) => Ok(response),
            (Err(error), Ok(())) | (Err(_), Err(error)) => Err(error),
        }
    }

    /// Reads one answer with all of its body. Interim answers are passed over.
    pub(crate) fn read(&mut self) -> Result<Response> {
        let mut response = self.head()?;
        while response.status < 200 {
            response = self.head()?;
        }
        match length(&response)? {
            Length::Exactly(length) => response.body = self.wire.exactly(length)?,
            Length::Chunked => {
                while let Some(chunk) = self.chunk()? {
                    response.body.extend(chunk);
                }
            }
            Length::UntilClosed => response.body = self.wire.rest()?,
        }
        Ok(response)
    }

    /// Reads the head of an answer.
    pub(crate) fn head(&mut self) -> Result<Response> {
        let text = String::from_utf8_lossy(&self.wire.until(b"\r\n\r\n")?).into_owned();
        let mut lines = text.split("\r\n");
        let status = lines.next().unwrap_or_default();
        let code = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let headers = lines.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        });
        Ok(Response {
            status: code.with_context(|| format!("no status line: {status}"))?,
            headers: headers.collect(),
            body: Vec::new(),
        })
    }

    /// Reads the next chunk of a body that comes in chunks; `None` after the last.
    pub(crate) fn chunk(&mut self) -> Result<Option<Vec<u8>>> {
        let line = self.wire.until(b"\r\n")?;
        let digits = String::from_utf8_lossy(&line).into_owned();
        let digits = digits.split([';', '\r']).next().unwrap_or_default();
        let length = usize::from_str_radix(digits.trim(), 16).context("the length of a chunk")?;
        let chunk = self.wire.exactly(length)?;
        ensure!(
            self.wire.exactly(2)? == b"\r\n",
            "a chunk is longer than it says"
        );
        Ok((length > 0).then_some(chunk))
    }
}

// === impl Response ===

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.body.escape_ascii())
    }
}

impl Response {
    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let named = self.headers.iter().find(|(header, _)| header == name);
        named.map(|(_, value)| &**value)
    }

    /// The body as JSON; null when it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

fn length(response: &Response) -> Result<Length> {
    if [204, 304].contains(&response.status) {
        return Ok(Length::Exactly(0));
    }
    if response.header("transfer-encoding") == Some("chunked") {
        return Ok(Length::Chunked);
    }
    match response.header("content-length") {
        Some(length) => Ok(Length::Exactly(length.parse().context("content-length")?)),
        None => Ok(Length::UntilClosed),
    }
}

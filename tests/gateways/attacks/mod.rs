//! Attacks, each by name and by the byte: whatever is sent, what arrives upstream is permitted as
//! it stands, with the right key, and without the credential that the client showed.
//!
//! A new attack: a line in the module of its subject.

mod beside;
mod bodies;
mod claims;
mod credentials;
mod http2;
mod late;
mod routes;
mod stage;
mod texts;
mod tokens;
mod wire;

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::http::{Connection, Response};
use crate::suite::{Test, test};
pub(crate) use stage::{BODY, CLIENT, Stage, UNKNOWN, VIEWER, post};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "attacks: what the set sends without attack arrives",
            controls,
        ),
        test("attacks: bodies", || run(bodies::attacks)),
        test("attacks: texts", || run(texts::attacks)),
        test("attacks: the wire", || run(wire::attacks)),
        test("attacks: frames of HTTP/2", http2::run),
        test("attacks: paths, methods and headers", || {
            run(routes::attacks)
        }),
        test("attacks: credentials", || run(credentials::attacks)),
        test("attacks: tokens", || run(tokens::attacks)),
        test(
            "attacks: a body of the largest size, and one byte more",
            wire::sizes,
        ),
        test("attacks: callers beside each other", beside::run),
        test("attacks: what says how a gateway is", routes::status),
        test(
            "attacks: a crowd does not hide how a gateway is",
            routes::crowd,
        ),
        test("attacks: bodies that come late", late::run),
        test("attacks: a stalled body holds up nobody else", wire::stalls),
    ]
}

/// One of them.
pub(crate) struct Attack {
    pub(crate) name: String,
    /// What is sent, piece by piece.
    pub(crate) pieces: Vec<Vec<u8>>,
    pub(crate) want: Want,
    /// Headers that must not come upstream.
    pub(crate) absent: Vec<&'static str>,
    /// The status of the next answer, when all of it is not one request.
    pub(crate) next: u16,
}

/// What must come of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Want {
    /// Nothing comes upstream; the client gets an error or a closed connection.
    Refused,
    /// The same, with this status.
    Status(u16),
    /// It comes upstream, permitted, and is answered.
    Passes,
    /// Either.
    Harmless,
}

/// How long an answer may take that may never come.
const BRIEFLY: Duration = Duration::from_secs(1);

/// A request that is always answered with 404.
const PROBE: &[u8] = b"GET /probe HTTP/1.1\r\nhost: gateway.example\r\n\r\n";

// === impl Attack ===

impl Attack {
    /// Sent as one piece.
    pub(crate) fn new(name: impl Into<String>, want: Want, bytes: Vec<u8>) -> Self {
        Self {
            name: name.into(),
            pieces: vec![bytes],
            want,
            absent: Vec::new(),
            next: 404,
        }
    }

    /// It is two requests, and the second is answered so.
    pub(crate) fn then(mut self, status: u16) -> Self {
        self.next = status;
        self
    }

    /// Sent in so many pieces.
    pub(crate) fn in_pieces(mut self, count: usize) -> Self {
        let bytes = self.pieces.concat();
        let size = bytes.len().div_ceil(count).max(1);
        self.pieces = bytes.chunks(size).map(<[u8]>::to_vec).collect();
        self
    }

    /// These headers must not come upstream.
    pub(crate) fn without(mut self, absent: &[&'static str]) -> Self {
        self.absent = absent.to_vec();
        self
    }

    fn run(&self, stage: &Stage) -> Result<()> {
        let mut connection = Connection::open(stage.gateway.envoy.address)?;
        let answer = self.send(&mut connection);
        // On the same connection, what was smuggled in would be answered before this.
        connection.wire.wait_at_most(BRIEFLY)?;
        let open = |answer: &Response| answer.header("connection") != Some("close");
        let goes_on = answer.as_ref().is_ok_and(open);
        let next = goes_on.then(|| connection.ask(PROBE));
        let next = next.and_then(Result::ok);
        let received = stage.gateway.anthropic.take_all();
        for received in &received {
            stage.check(received)?;
            for name in &self.absent {
                ensure!(
                    received.all(name).is_empty(),
                    "upstream got {name}: {received:?}"
                );
            }
        }
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        let what = || match &answer {
            Ok(answer) => format!("{answer:?}, {} upstream", received.len()),
            Err(error) => format!("{error:#}, {} upstream", received.len()),
        };
        match self.want {
            Want::Passes => ensure!(status == 200 && received.len() == 1, "{}", what()),
            Want::Harmless => ensure!(received.len() <= 1 && status < 500, "{}", what()),
            Want::Refused => {
                let refused = [0, 501, 505].contains(&status) || (400..500).contains(&status);
                ensure!(refused && received.is_empty(), "{}", what());
            }
            Want::Status(wanted) => {
                ensure!(status == wanted && received.is_empty(), "{}", what());
            }
        }
        ensure!(
            next.as_ref().is_none_or(|next| next.status == self.next),
            "after {answer:?} came {next:?}"
        );
        Ok(())
    }

    fn send(&self, connection: &mut Connection) -> Result<Response> {
        if self.want == Want::Refused {
            // What is not whole is never answered.
            connection.wire.wait_at_most(BRIEFLY)?;
        }
        let mut written = Ok(());
        for piece in &self.pieces {
            written = written.and_then(|()| connection.wire.write(piece));
        }
        let answer = connection.read();
        answer.or_else(|error| written.and(Err(error)))
    }
}

/// Runs all of them, and says which went wrong.
fn run(attacks: fn(&Stage) -> Result<Vec<Attack>>) -> Result<()> {
    let stage = Stage::new()?;
    let attacks = attacks(&stage)?;
    let failed: Vec<String> = attacks
        .iter()
        .filter_map(|attack| {
            let error = attack.run(&stage).err()?;
            Some(format!("{}: {error:#}", attack.name))
        })
        .collect();
    stage.is_well()?;
    let count = failed.len();
    ensure!(
        failed.is_empty(),
        "{count} of {} attacks:\n{}",
        attacks.len(),
        failed.join("\n")
    );
    eprintln!("{} attacks", attacks.len());
    Ok(())
}

fn controls() -> Result<()> {
    let stage = Stage::new()?;
    stage.is_well()?;
    for credential in [stage.account()?, stage.user(&serde_json::json!({}))?] {
        let headers = [("x-api-key", credential.as_bytes())];
        let attack = Attack::new("control", Want::Passes, post(&headers, BODY));
        attack.run(&stage)?;
    }
    Ok(())
}

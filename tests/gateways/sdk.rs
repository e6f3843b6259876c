//! The official Claude SDK for Python as a client: newer ones send a key as `Authorization:
//! Bearer`, older ones as `x-api-key`.
//! Must not decide what an answer should be.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateways/sdk.py");

/// A running client. It ends when dropped.
pub(crate) struct Sdk {
    pub(crate) version: String,
    process: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// A request to send.
#[derive(Clone, Serialize, Debug)]
pub(crate) struct Call {
    pub(crate) key: String,
    pub(crate) body: Map<String, Value>,
    pub(crate) headers: Map<String, Value>,
    pub(crate) stream: bool,
    pub(crate) count: bool,
}

/// What came of it.
#[derive(Clone, PartialEq, Deserialize, Debug)]
pub(crate) struct Answer {
    /// 0 when nothing was answered.
    pub(crate) status: u16,
    pub(crate) message: Option<String>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) events: u32,
    pub(crate) usage: Option<Value>,
    sent: String,
}

// === impl Sdk ===

impl Sdk {
    /// Starts the one that a Python installation has, for a gateway, with so many requests at
    /// the same time.
    pub(crate) fn start(python: &Path, gateway: SocketAddr, workers: usize) -> Result<Self> {
        let mut process = Command::new(python.join("bin/python"))
            .args([DRIVER, &format!("http://{gateway}"), &workers.to_string()])
            // Nothing of the caller's own account may get in.
            .env_clear()
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| python.display().to_string())?;
        let requests = process.stdin.take();
        let mut answers = BufReader::new(process.stdout.take().context("stdout is piped")?);
        let first: Value = next(&mut answers)?;
        let version = first["version"].as_str().context("a version")?.to_owned();
        Ok(Self {
            version,
            process,
            requests,
            answers,
        })
    }

    /// Sends requests, and returns their answers in the same order.
    pub(crate) fn ask(&mut self, calls: &[Call]) -> Result<Vec<Answer>> {
        let requests = self.requests.as_mut().context("stdin is piped")?;
        let answers = &mut self.answers;
        std::thread::scope(|scope| {
            // It reads on while nobody reads its answers, until the pipe is full.
            let writer = scope.spawn(move || -> Result<()> {
                for call in calls {
                    writeln!(requests, "{}", serde_json::to_string(call)?)?;
                }
                Ok(requests.flush()?)
            });
            let read = calls.iter().map(|_| next(answers)).collect();
            writer
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            read
        })
    }
}

impl Drop for Sdk {
    fn drop(&mut self) {
        drop(self.requests.take());
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

// === impl Answer ===

impl Answer {
    /// The body as the SDK sent it.
    pub(crate) fn sent(&self) -> Vec<u8> {
        STANDARD.decode(&self.sent).unwrap_or_default()
    }
}

fn next<T: for<'de> Deserialize<'de>>(answers: &mut BufReader<ChildStdout>) -> Result<T> {
    let mut line = String::new();
    answers.read_line(&mut line)?;
    serde_json::from_str(&line).with_context(|| format!("the SDK's driver said: {line}"))
}

//! A connection by the byte, with what was read and is not used up.
//! Must not know what goes over it, nor repair or retry anything.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// How long anything may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// Both directions of it.
pub(crate) struct Wire {
    stream: TcpStream,
    ahead: Vec<u8>,
}

// === impl Wire ===

impl Wire {
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| address.to_string())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            ahead: Vec::new(),
        })
    }

    /// Sends bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// How long to wait for what may never come.
    pub(crate) fn wait_at_most(&mut self, patience: Duration) -> Result<()> {
        Ok(self.stream.set_read_timeout(Some(patience))?)
    }

    /// Whether the other side has closed the connection, and nothing is left to read.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.ahead.is_empty() && !self.more().unwrap_or(false)
    }

    /// Reads so many bytes.
    pub(crate) fn exactly(&mut self, length: usize) -> Result<Vec<u8>> {
        while self.ahead.len() < length {
            let want = length - self.ahead.len();
            ensure!(
                self.more()?,
                "the connection was closed {want} bytes too early"
            );
        }
        Ok(self.ahead.drain(..length).collect())
    }

    /// Reads to the end of these bytes.
    pub(crate) fn until(&mut self, end: &[u8]) -> Result<Vec<u8>> {
        let mut seen = 0;
        loop {
            let found = self.ahead[seen..]
                .windows(end.len())
                .position(|window| window == end);
            if let Some(at) = found {
                return Ok(self.ahead.drain(..seen + at + end.len()).collect());
            }
            seen = self.ahead.len().saturating_sub(end.len() - 1);
            ensure!(self.more()?, "the connection was closed");
        }
    }

    /// Reads all there is until the other side closes the connection.
    pub(crate) fn rest(&mut self) -> Result<Vec<u8>> {
        while self.more()? {}
        Ok(std::mem::take(&mut self.ahead))
    }

    /// Reads on; false at the end.
    fn more(&mut self) -> Result<bool> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(read) => {
                    self.ahead.extend(&buffer[..read]);
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    bail!("nothing came")
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

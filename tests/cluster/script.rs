//! The shell scripts that build and run what tests need: `build.sh` and `run.sh` of a folder.
//! Must not know what they run; that is for `control_plane`.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

/// Runs a build script, which shows its progress on stderr and may take minutes the first time;
/// the path that is the last line of its stdout.
pub(crate) fn build(script: &str) -> Result<PathBuf> {
    find(script)?.with_context(|| format!("{script} prints no path"))
}

/// The same for a script that prints nothing where there is nothing to be had.
pub(crate) fn find(script: &str) -> Result<Option<PathBuf>> {
    let output = Command::new(script)
        .env("CARGO_TARGET_DIR", target_dir())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| script.to_owned())?;
    ensure!(output.status.success(), "{script}: {}", output.status);
    let stdout = String::from_utf8(output.stdout).context("a script prints a path")?;
    Ok(stdout.lines().last().map(PathBuf::from))
}

// Cargo does not tell a test where its target folder is when that came from a flag or a
// configuration file, but it tells this folder in it.
fn target_dir() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("the tmp folder is in the target folder")
}

/// A script that runs a cluster as a child process. It ends when the pipe to its stdin closes,
/// so it does not outlive this process.
pub(crate) struct Running {
    process: Child,
    stdout: Lines<BufReader<ChildStdout>>,
}

// === impl Running ===

impl Running {
    /// Starts one.
    pub(crate) fn start(script: &mut Command) -> Result<Self> {
        let mut process = script
            .env("CARGO_TARGET_DIR", target_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{script:?}"))?;
        let stdout = process.stdout.take().context("stdout is piped")?;
        let stdout = BufReader::new(stdout).lines();
        Ok(Self { process, stdout })
    }

    /// Waits for a line `WORD …`; what comes after the word. The script has a deadline of its
    /// own for every step.
    pub(crate) fn wait_for(&mut self, word: &str) -> Result<String> {
        for line in &mut self.stdout {
            let line = line?;
            if let Some(rest) = line.strip_prefix(word) {
                return Ok(rest.trim_start().to_owned());
            }
        }
        bail!("it ended before {word}: {}", self.process.wait()?)
    }

    /// Writes a line to its stdin.
    pub(crate) fn say(&mut self, line: &str) -> Result<()> {
        let stdin = self.process.stdin.as_mut().context("it is running")?;
        writeln!(stdin, "{line}").context("telling the script")
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Closes the pipe and waits for its end, which takes seconds at most.
    pub(crate) fn stop(&mut self) {
        drop(self.process.stdin.take());
        // An error says that it is gone already.
        let _ = self.process.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

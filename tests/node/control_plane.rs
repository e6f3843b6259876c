//! The cluster of `run.sh` as a child process.
//! Must not outlive this process: the child ends when the pipe to its stdin closes.

use std::{
    env,
    io::{BufRead, BufReader, Lines, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail};

const BUILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node/build.sh");
const RUN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node/run.sh");

/// Builds everything a node needs; the folder that holds it. The first time takes minutes.
pub(crate) fn build() -> Result<PathBuf> {
    // Cargo does not tell a test where its target folder is, but it tells this folder in it.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    let output = Command::new(BUILD)
        .env("CARGO_TARGET_DIR", target.context("a folder")?)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context(BUILD)?;
    let stdout = String::from_utf8(output.stdout).context("build.sh prints a path")?;
    match stdout.lines().last() {
        Some(folder) if output.status.success() => Ok(PathBuf::from(folder)),
        _ => bail!("the node could not be built: {}", output.status),
    }
}

/// The folder with kubectl.
pub(crate) fn assets() -> Result<PathBuf> {
    let built = env::var_os(crate::BUILT).context("main says where everything is")?;
    Ok(PathBuf::from(built).join("controlplane"))
}

/// A running control plane with one node.
pub(crate) struct ControlPlane {
    run: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    kubeconfig: PathBuf,
}

// === impl ControlPlane ===

impl ControlPlane {
    /// Starts one with its files in `dir`, and returns when the node is ready. `run.sh` has a
    /// deadline of its own for every step.
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let mut run = Command::new(RUN)
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context(RUN)?;
        let stdout = BufReader::new(run.stdout.take().expect("stdout is piped")).lines();
        let mut started = Self {
            run,
            stdout,
            kubeconfig: PathBuf::new(),
        };
        started.kubeconfig = started.ready()?;
        Ok(started)
    }

    /// The administrator's.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Cuts the node's power and turns it on again; returns when it is ready.
    pub(crate) fn restart_node(&mut self) -> Result<()> {
        let stdin = self.run.stdin.as_mut().context("it is running")?;
        stdin.write_all(b"restart\n")?;
        self.ready()?;
        Ok(())
    }

    fn ready(&mut self) -> Result<PathBuf> {
        for line in &mut self.stdout {
            if let Some(kubeconfig) = line?.strip_prefix("READY ") {
                return Ok(PathBuf::from(kubeconfig));
            }
        }
        bail!("the node did not start: {}", self.run.wait()?)
    }

    /// Closes the pipe and waits for the child, which takes seconds at most.
    pub(crate) fn stop(&mut self) {
        drop(self.run.stdin.take());
        // An error says that it is gone already.
        let _ = self.run.wait();
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.stop();
    }
}

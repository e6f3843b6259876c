//! The control plane of `tests/controlplane` as a child process.
//! Must not outlive this process: the child ends when the pipe to its stdin closes.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};

const BUILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/controlplane/build.sh");
const RUN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/controlplane/run.sh");

/// The folder with the control plane's programs and kubectl; builds them when needed,
/// which takes minutes the first time and shows its progress on stderr.
pub(crate) fn assets() -> Result<PathBuf> {
    let output = Command::new(BUILD)
        .env("CARGO_TARGET_DIR", target_dir())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context(BUILD)?;
    let stdout = String::from_utf8(output.stdout).context("build.sh prints a path")?;
    match stdout.lines().last() {
        Some(folder) if output.status.success() => Ok(PathBuf::from(folder)),
        _ => bail!("the control plane could not be built: {}", output.status),
    }
}

// Cargo does not tell a test where its target folder is when that came from a flag or a
// configuration file, but it tells this folder in it.
fn target_dir() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("the tmp folder is in the target folder")
}

/// A running etcd, kube-apiserver and kube-controller-manager.
pub(crate) struct ControlPlane {
    run: Child,
    kubeconfig: PathBuf,
}

// === impl ControlPlane ===

impl ControlPlane {
    /// Starts one with its files in `dir`, and returns when it is ready. `run.sh` has a
    /// deadline of its own for every step.
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let mut run = Command::new(RUN)
            .arg(dir)
            .env("CARGO_TARGET_DIR", target_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context(RUN)?;
        let stdout = run.stdout.take().expect("stdout is piped");
        for line in BufReader::new(stdout).lines() {
            if let Some(kubeconfig) = line?.strip_prefix("READY ") {
                let kubeconfig = PathBuf::from(kubeconfig);
                return Ok(Self { run, kubeconfig });
            }
        }
        bail!("the control plane did not start: {}", run.wait()?)
    }

    /// The administrator's.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
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

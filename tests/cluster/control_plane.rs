//! The control plane of `tests/controlplane` as a child process.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::script::{self, Running};

const BUILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/controlplane/build.sh");
const RUN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/controlplane/run.sh");

/// The folder with the control plane's programs and kubectl; builds them when needed.
pub(crate) fn assets() -> Result<PathBuf> {
    script::build(BUILD)
}

/// A running etcd, kube-apiserver and kube-controller-manager.
pub(crate) struct ControlPlane {
    run: Running,
    kubeconfig: PathBuf,
}

// === impl ControlPlane ===

impl ControlPlane {
    /// Starts one with its files in `dir`, and returns when it is ready.
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let mut run = Running::start(Command::new(RUN).arg(dir))?;
        let kubeconfig = run.wait_for("READY")?.into();
        Ok(Self { run, kubeconfig })
    }

    /// The administrator's.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Ends it.
    pub(crate) fn stop(&mut self) {
        self.run.stop();
    }
}

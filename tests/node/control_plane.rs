//! The cluster of `run.sh` as a child process.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::script::{self, Running};

const BUILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node/build.sh");
const RUN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node/run.sh");

/// Builds everything a node needs; the folder that holds it.
pub(crate) fn build() -> Result<PathBuf> {
    script::build(BUILD)
}

/// The folder that [`build`] told, if this process runs beside a node.
pub(crate) fn built() -> Result<PathBuf> {
    let built = env::var_os(crate::BUILT).context("main says where everything is")?;
    Ok(PathBuf::from(built))
}

/// The folder with kubectl.
pub(crate) fn assets() -> Result<PathBuf> {
    Ok(built()?.join("controlplane"))
}

/// A running control plane with one node.
pub(crate) struct ControlPlane {
    run: Running,
    kubeconfig: PathBuf,
}

// === impl ControlPlane ===

impl ControlPlane {
    /// Starts one in this network, with its files in `dir`, and returns when the node is ready.
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        Self::started(Command::new(RUN).arg(dir))
    }

    /// Starts one in a network of its own.
    pub(crate) fn start_apart(dir: &Path) -> Result<Self> {
        Self::started(Command::new("unshare").args(["--net", "--", RUN]).arg(dir))
    }

    fn started(command: &mut Command) -> Result<Self> {
        let mut run = Running::start(command)?;
        let kubeconfig = run.wait_for("READY")?.into();
        Ok(Self { run, kubeconfig })
    }

    /// The administrator's.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The process that is in the cluster's network.
    pub(crate) fn id(&self) -> u32 {
        self.run.id()
    }

    /// Cuts the node's power and turns it on again; returns when it is ready.
    pub(crate) fn restart_node(&mut self) -> Result<()> {
        self.run.say("restart")?;
        self.run.wait_for("READY")?;
        Ok(())
    }

    /// Gives the node an image, an OCI layout in a tar.
    pub(crate) fn import(&mut self, image: &Path) -> Result<()> {
        let image = image.to_str().context("a path in UTF-8")?;
        self.run.say(&format!("import {image}"))?;
        self.run.wait_for("IMPORTED")?;
        Ok(())
    }

    /// Gives an image of the node another name, as if it had been pulled by that.
    pub(crate) fn tag(&mut self, image: &str, name: &str) -> Result<()> {
        self.run.say(&format!("tag {image} {name}"))?;
        self.run.wait_for("TAGGED")?;
        Ok(())
    }

    /// Ends it.
    pub(crate) fn stop(&mut self) {
        self.run.stop();
    }
}

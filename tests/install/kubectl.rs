//! kubectl as it is built with the control plane: its kustomize, and an API server of ours.
//! Must not run Helm.

use std::fs;
use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow};
use tempfile::TempDir;

use crate::control_plane::{ControlPlane, assets};
use crate::forms::Form;
use crate::helm::succeeded;
use crate::objects::{self, Objects};

/// What kustomize makes of a form.
pub(crate) fn kustomize(form: &Form) -> Result<Objects> {
    let folder = tempfile::tempdir()?;
    let deploy = deploy_from(folder.path())?;
    for (path, text) in form.kustomization {
        let file = folder.path().join(path);
        let depth = Path::new(path).components().count() - 1;
        fs::create_dir_all(file.parent().context("a file is in a folder")?)?;
        fs::write(file, text.replace('@', &("../".repeat(depth) + &deploy)))?;
    }
    let output = Command::new(kubectl()?)
        .arg("kustomize")
        .arg(folder.path())
        .output()?;
    objects::read(&succeeded(&output).with_context(|| format!("kustomize of {}", form.name))?)
}

/// The program; built when needed.
pub(crate) fn kubectl() -> Result<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let build = || assets().map_err(|error| format!("{error:#}"));
    let built = BUILT.get_or_init(|| Ok(build()?.join("kubectl")));
    built
        .as_ref()
        .map(PathBuf::as_path)
        .map_err(|why| anyhow!("{why}"))
}

/// kustomize takes other folders by relative path only.
fn deploy_from(folder: &Path) -> Result<String> {
    let folder = folder.canonicalize()?;
    let up = folder
        .components()
        .filter(|part| matches!(part, Component::Normal(_)));
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let down = deploy.canonicalize()?;
    let down = down.to_str().context("a path in UTF-8")?;
    Ok(vec![".."; up.count()].join("/") + down)
}

/// An API server with nothing installed.
pub(crate) struct Cluster {
    kubeconfig: PathBuf,
    folder: TempDir,
    _control_plane: ControlPlane,
}

// === impl Cluster ===

impl Cluster {
    pub(crate) fn start() -> Result<Self> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let control_plane = ControlPlane::start(folder.path())?;
        Ok(Self {
            kubeconfig: control_plane.kubeconfig().to_owned(),
            folder,
            _control_plane: control_plane,
        })
    }

    /// The administrator's.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// What kubectl says to these arguments and this stdin.
    pub(crate) fn kubectl(&self, arguments: &[&str], stdin: &str) -> Result<Output> {
        let mut child = Command::new(kubectl()?)
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("KUBECONFIG", &self.kubeconfig)
            // Its usual cache is by address: an earlier API server may have had this port.
            .env("KUBECACHEDIR", self.folder.path().join("kubectl-cache"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut pipe = child.stdin.take().context("stdin is piped")?;
        // It may end without reading all of it; then its answer says why.
        let _ = pipe.write_all(stdin.as_bytes());
        drop(pipe);
        Ok(child.wait_with_output()?)
    }

    /// Its stdout, or an error with its stderr.
    pub(crate) fn ok(&self, arguments: &[&str], stdin: &str) -> Result<String> {
        let output = self.kubectl(arguments, stdin)?;
        succeeded(&output).with_context(|| format!("kubectl {}", arguments.join(" ")))
    }
}

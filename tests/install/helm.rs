//! Real Helm, old and new, on the chart. Must not know what the chart is to yield.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail};
use tempfile::TempDir;

use crate::objects::{self, Objects};
use crate::script;

/// Where the chart is.
pub(crate) const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/chart");

/// Where it is installed, as the documents have it.
pub(crate) const NAMESPACE: &str = "anthropic-rbac-system";

const BUILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/install/build.sh");

/// Which Helm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Helm {
    V3,
    V4,
}

// === impl Helm ===

impl Helm {
    /// Those that people have.
    pub(crate) const ALL: [Self; 2] = [Self::V3, Self::V4];

    /// It, told to do something, with a home of its own: repositories and plugins of whoever runs
    /// the tests are no part of them. It reaches no cluster unless it is given one.
    pub(crate) fn command(self, arguments: &[&str]) -> Result<Command> {
        let program = match self {
            Self::V3 => "helm3",
            Self::V4 => "helm4",
        };
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("helm");
        let mut command = Command::new(built()?.join(program));
        command
            .args(arguments)
            .env("HELM_CACHE_HOME", home.join("cache"))
            .env("HELM_CONFIG_HOME", home.join("config"))
            .env("HELM_DATA_HOME", home.join("data"))
            .env("KUBECONFIG", "/dev/null")
            .stdin(Stdio::null());
        Ok(command)
    }

    /// What it says of the chart with these values: `template` or `lint`, say.
    pub(crate) fn on_chart(self, verb: &[&str], values: &str) -> Result<Output> {
        let file = Values::new(values)?;
        let arguments = [verb, &[CHART, "--values", file.path()]].concat();
        Ok(self.command(&arguments)?.output()?)
    }

    /// The chart with these values, in a namespace.
    pub(crate) fn render(self, namespace: &str, values: &str) -> Result<Objects> {
        let verb = ["template", "anthropic-rbac", "--namespace", namespace];
        let output = self.on_chart(&verb, values)?;
        objects::read(&succeeded(&output).with_context(|| format!("{self:?} of {values}"))?)
    }

    /// A packed chart as it is, where it is installed.
    pub(crate) fn render_packed(self, chart: &str) -> Result<Objects> {
        let arguments = ["template", "anthropic-rbac", chart, "-n", NAMESPACE];
        objects::read(&succeeded(&self.command(&arguments)?.output()?)?)
    }
}

/// Values in a file, for as long as this lives.
pub(crate) struct Values {
    path: String,
    _folder: TempDir,
}

// === impl Values ===

impl Values {
    pub(crate) fn new(yaml: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("values.yaml");
        fs::write(&path, yaml)?;
        let path = path.to_str().context("a path in UTF-8")?.to_owned();
        Ok(Self {
            path,
            _folder: folder,
        })
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

/// Its stdout, or an error with its stderr.
pub(crate) fn succeeded(output: &Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout.clone())?);
    }
    bail!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The folder with both; builds them when needed.
fn built() -> Result<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| script::build(BUILD).map_err(|error| format!("{error:#}")));
    built
        .as_ref()
        .map(PathBuf::as_path)
        .map_err(|why| anyhow!("{why}"))
}

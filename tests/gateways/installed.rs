//! The programs that are tested and those that test them, installed by `install.sh`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail};

const INSTALL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateways/install.sh");

/// Where they are.
#[derive(Clone, Debug)]
pub(crate) struct Installed {
    /// `ENVOY`, if that is set, else the pinned one.
    pub(crate) envoy: PathBuf,
    /// A Python with the newest SDK.
    pub(crate) python: PathBuf,
    /// A Python with the last SDK that sends `x-api-key`.
    pub(crate) python_x_api_key: PathBuf,
}

/// Installs what is missing; the first time that takes about a minute.
pub(crate) fn installed() -> Result<&'static Installed> {
    static INSTALLED: OnceLock<Result<Installed, String>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| install().map_err(|error| format!("{error:#}")));
    installed.as_ref().map_err(|why| anyhow!("{why}"))
}

fn install() -> Result<Installed> {
    // Cargo tells a test this folder in its target folder, wherever that is.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    let output = Command::new(INSTALL)
        .env("CARGO_TARGET_DIR", target.context("a target folder")?)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context(INSTALL)?;
    let stdout = String::from_utf8(output.stdout).context("install.sh prints a path")?;
    let Some(folder) = stdout.lines().last().filter(|_| output.status.success()) else {
        bail!("the gateways could not be installed: {}", output.status);
    };
    let folder = Path::new(folder);
    let envoy = env::var_os("ENVOY").map_or_else(|| folder.join("envoy"), PathBuf::from);
    Ok(Installed {
        envoy,
        python: folder.join("python"),
        python_x_api_key: folder.join("python-x-api-key"),
    })
}

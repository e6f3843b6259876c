//! The programs of `build.sh`, and those of them that run on.
//! Must not know what any of them is for.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use anyhow::{Context, Result, anyhow, bail};

use crate::{cluster::Cluster, script, stage::SOON, wait};

const BUILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gitops/build.sh");

/// The folder with everything that is built; builds it when needed.
pub(crate) fn built() -> Result<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| script::build(BUILD).map_err(|error| format!("{error:#}")));
    match built {
        Ok(folder) => Ok(folder),
        Err(error) => Err(anyhow!("{error}")),
    }
}

/// One of the programs, `FOLDER/NAME`, not yet started; in the project's folder.
pub(crate) fn command(program: &str) -> Result<Command> {
    let mut command = Command::new(built()?.join(program));
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("KUBECONFIG")
        .stdin(Stdio::null());
    Ok(command)
}

/// What a program prints, or an error with what it complained about.
pub(crate) fn printed(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let stdout = String::from_utf8(output.stdout).context("programs print UTF-8")?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?}: {}\n{stdout}{stderr}", output.status);
    }
    Ok(stdout)
}

/// A program that runs until this is dropped.
pub(crate) struct Running {
    process: Child,
    log: PathBuf,
}

// === impl Running ===

impl Running {
    /// Starts one that logs into a file.
    pub(crate) fn start(command: &Command, log: PathBuf) -> Result<Self> {
        let file = File::create(&log)?;
        // The kernel ends it with this process: Drop does not run when a test run is killed.
        let mut leashed = Command::new("setpriv");
        leashed
            .args(["--pdeathsig", "KILL", "--"])
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => leashed.env(name, value),
                None => leashed.env_remove(name),
            };
        }
        let process = leashed.spawn().with_context(|| format!("{command:?}"))?;
        Ok(Self { process, log })
    }

    /// What it has logged.
    pub(crate) fn logged(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    /// Fails if it has ended, with the end of its log.
    pub(crate) fn runs(&mut self) -> Result<()> {
        let Some(status) = self.process.try_wait()? else {
            return Ok(());
        };
        let log = self.logged()?;
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(20)..].join("\n");
        bail!("{} has ended, {status}:\n{end}", self.log.display())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error says that it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A loopback port that nobody listens on.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// Applies a tool's custom resources and waits until they are served.
pub(crate) async fn define(cluster: &Cluster, folder: &Path) -> Result<()> {
    let files = format!("--filename={}", folder.display());
    cluster.kubectl_ok(&["apply", "--server-side", &files])?;
    // One that was only just applied may have no condition to wait for.
    wait::poll("custom resources are served", SOON, || {
        let waited = cluster.kubectl(&[
            "wait",
            "--for=condition=Established",
            "--timeout=10s",
            &files,
        ])?;
        Ok(waited.status.success().then_some(()))
    })
    .await
}

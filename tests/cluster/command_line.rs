//! `anthropic-rbac` as people run it. The operator is started elsewhere, see `operator`.
//! Must not interpret what it prints.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cluster::Cluster;

/// The program: the one that was built with these tests, or what `ANTHROPIC_RBAC_BINARY`
/// names, such as an optimised one to be measured.
pub(crate) fn program() -> PathBuf {
    env::var_os("ANTHROPIC_RBAC_BINARY").map_or_else(
        || env!("CARGO_BIN_EXE_anthropic-rbac").into(),
        PathBuf::from,
    )
}

/// Runs it in the project's folder, with no cluster at hand but what the arguments name.
pub(crate) fn run(arguments: &[&str]) -> Result<Output> {
    Command::new(program())
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("KUBECONFIG")
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null())
        .output()
        .context("running anthropic-rbac")
}

/// Renders manifests into a folder.
pub(crate) fn render(manifests: &str, folder: &Path) -> Result<()> {
    let folder = folder.to_str().context("a folder in UTF-8")?;
    let output = run(&["render", "-f", manifests, "--out", folder])?;
    ensure!(
        output.status.success(),
        "render: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// What `check` says of one request, as the administrator of the cluster: exit code and answer.
pub(crate) fn check(
    cluster: &Cluster,
    subject: &str,
    workspace: &str,
    model: &str,
) -> Result<(Option<i32>, Value)> {
    let kubeconfig = cluster.kubeconfig().to_str().context("a path in UTF-8")?;
    let output = run(&[
        "check",
        subject,
        "--workspace",
        workspace,
        "--model",
        model,
        "--kubeconfig",
        kubeconfig,
        "--output",
        "json",
    ])?;
    let answer = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("check: {}", String::from_utf8_lossy(&output.stderr)))?;
    Ok((output.status.code(), answer))
}

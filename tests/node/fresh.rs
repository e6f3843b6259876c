//! Tests that begin with a cluster on which nothing is: each has a node of its own, beside which
//! this program starts itself again. Must not install anything.

use std::{
    env,
    process::{Command, Stdio},
};

use anyhow::{Result, ensure};

use crate::{
    cluster::Cluster,
    control_plane,
    suite::{Test, existing_cluster, test},
};

/// Tells this program, started again, that its node is to stay as it is.
const FRESH: &str = "NODE_FRESH";

/// Whether nothing is to be installed on the node of this program.
pub(crate) fn is_here() -> bool {
    env::var_os(FRESH).is_some()
}

/// Names a test that has a fresh node of its own.
pub(crate) fn fresh(
    name: &'static str,
    body: impl AsyncFn(&Cluster) -> Result<()> + Send + Sync + 'static,
) -> Test {
    if is_here() {
        return test(name, body);
    }
    test(name, async move |_| {
        let mut beside = Command::new("unshare");
        beside
            .args(["--net", "--"])
            .arg(env::current_exe()?)
            .env(crate::BUILT, control_plane::built()?)
            .env(FRESH, "true");
        one(beside, name)
    })
    .only_if(!existing_cluster())
}

/// Runs one test in this program, started again by a command that ends with it. What the test says
/// on stderr is seen at once.
pub(crate) fn one(mut program: Command, name: &str) -> Result<()> {
    let output = program
        .args(["--exact", name])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success() && stdout.contains("1 passed"),
        "{stdout}"
    );
    Ok(())
}

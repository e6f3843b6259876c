//! Installs the operator as users do. Must not change anything of `deploy/base`.

use std::time::Duration;

use anyhow::Result;

use crate::{cluster::Cluster, fresh, operator};

/// Applies `deploy/base` as it is, and waits until the operator runs; unless the test is to begin
/// with nothing.
pub(crate) async fn install(cluster: &Cluster) -> Result<()> {
    if fresh::is_here() {
        return Ok(());
    }
    cluster.kubectl_ok(&[
        "apply",
        "--server-side",
        "--force-conflicts",
        "--kustomize=deploy/base",
    ])?;
    cluster.kubectl_ok(&[
        "wait",
        "--for=condition=Established",
        "--timeout=30s",
        "--filename=crds",
    ])?;
    operator::rolled_out(cluster, Duration::from_secs(90))
}

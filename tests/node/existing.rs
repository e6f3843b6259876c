//! The tests on a cluster that somebody else runs and a kubeconfig names, as on kind: this program
//! starts itself again beside another cluster.

use std::{env, process::Command};

use anyhow::Result;

use crate::{
    cluster::Cluster,
    control_plane::{self, ControlPlane},
    fresh,
    suite::{Test, existing_cluster, test},
};

/// Tests that need the operator's image, pods to look from, and rights that come and go.
const TESTS: [&str; 2] = [
    "the operator runs as it is shipped, restricted",
    "without rights on pods one condition says so, and everything else works",
];

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "the tests run on a cluster that only a kubeconfig names",
            elsewhere,
        )
        .only_if(!existing_cluster()),
    ]
}

async fn elsewhere(cluster: &Cluster) -> Result<()> {
    let node = ControlPlane::start_apart(&cluster.dir().join("elsewhere"))?;
    let mut path = control_plane::assets()?.into_os_string();
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    for test in TESTS {
        let mut beside = Command::new("nsenter");
        beside
            .arg(format!("--net=/proc/{}/ns/net", node.id()))
            .arg("--")
            .arg(env::current_exe()?)
            .env_remove(crate::BUILT)
            .env("USE_EXISTING_CLUSTER", "true")
            .env("KUBECONFIG", node.kubeconfig())
            // kubectl is what users have.
            .env("PATH", &path);
        fresh::one(beside, test)?;
    }
    Ok(())
}

//! Tests on a real node: `cargo test --test node [FILTER]`, as root on Linux. The operator runs as
//! the Pod that `deploy/base` makes, and what it writes is looked at from inside other pods.
//! Must not mock anything but Anthropic; what needs no kubelet is tested in `tests/cluster` and
//! `tests/gateways`, whose modules this shares.
//!
//! One cluster serves all tests: the node of `run.sh`, in namespaces of its own, or, with
//! `USE_EXISTING_CLUSTER=true`, the one that `TEST_KUBECONFIG` (else `KUBECONFIG`) names: a kind
//! cluster, say, into which the images of `target/node/images` were loaded. `NODE_TRIES` says how
//! often delays are measured.
#![allow(
    dead_code,
    reason = "the harness offers more than the tests use at any one time"
)]

#[path = "../gateways/anthropic.rs"]
mod anthropic;
#[path = "../cluster/audit.rs"]
mod audit;
#[path = "../gateways/authority.rs"]
mod authority;
mod checkout;
#[path = "../cluster/cluster.rs"]
mod cluster;
mod control_plane;
mod document;
mod edge;
mod enforced;
mod envoy;
mod existing;
mod forms;
mod fresh;
mod gateway;
#[path = "../gateways/http.rs"]
mod http;
mod hurry;
mod install;
mod killed;
mod lifecycle;
mod network;
mod operator;
mod pod;
mod prompt;
#[path = "../cluster/resource.rs"]
mod resource;
#[path = "../cluster/script.rs"]
mod script;
#[path = "../gateways/sdk.rs"]
mod sdk;
#[path = "../cluster/suite.rs"]
mod suite;
mod upgrade;
#[path = "../cluster/wait.rs"]
mod wait;
#[path = "../gateways/wire.rs"]
mod wire;
mod workload;

use std::{
    env,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use anyhow::{Result, bail};
use libtest_mimic::Arguments;

/// Tells this program, started again, where everything is.
const BUILT: &str = "NODE_BUILT";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One at a time: an operator acts on the whole cluster, and tests measure its delays.
    arguments.test_threads = Some(1);

    let impossible = impossible();
    if let Some(why) = impossible {
        eprintln!("tests on a node are skipped: {why}");
    } else if !arguments.list
        && !suite::existing_cluster()
        && let Err(error) = enter_network()
    {
        eprintln!("tests on a node cannot begin: {error:#}");
        return ExitCode::FAILURE;
    }
    let suite = suite::Suite::new();
    let tests = if env::var_os(killed::HOLDS).is_some() {
        vec![killed::holder()]
    } else {
        vec![
            lifecycle::tests(),
            workload::tests(),
            prompt::tests(),
            hurry::tests(),
            envoy::tests(),
            enforced::tests(),
            existing::tests(),
            killed::tests(),
            forms::tests(),
            network::tests(),
            upgrade::tests(),
        ]
    };
    let tests = tests.into_iter().flatten();
    let conclusion = suite.run(
        &arguments,
        tests.map(|test| test.only_if(impossible.is_none())),
    );
    suite.tear_down(conclusion.has_failed());
    conclusion.exit_code()
}

/// Why there can be no node on this machine.
fn impossible() -> Option<&'static str> {
    if suite::existing_cluster() {
        return None;
    }
    if env::var_os("CI").is_some() {
        return Some("CI has neither the rights nor the time");
    }
    if !cfg!(target_os = "linux") {
        return Some("this is not Linux");
    }
    let runs = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !runs("sh", &["-c", "test $(id -u) = 0"]) {
        return Some("not root");
    }
    if !runs(
        "unshare",
        &["--net", "--mount", "--pid", "--ipc", "--fork", "true"],
    ) {
        return Some("unshare cannot make namespaces here");
    }
    if !runs("ip", &["-V"]) {
        return Some("there is no ip (iproute2)");
    }
    None
}

/// Builds what a node needs, and starts this program again in a network of its own: the addresses
/// of the node are taken by nobody there.
fn enter_network() -> Result<()> {
    if env::var_os(BUILT).is_some() {
        return Ok(());
    }
    let built = control_plane::build()?;
    let error = Command::new("unshare")
        .args(["--net", "--"])
        .arg(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(BUILT, built)
        .exec();
    bail!("unshare: {error}")
}

//! Tests of `deploy/gitops` with real tools: `cargo test --test gitops [FILTER]`. Flux's controllers and
//! Argo CD run as processes of this machine under restricted accounts of their own, beside the operator
//! under its own, on a real API server with the guard on.
//! Must not mock anything; what needs no GitOps tool is tested in `tests/cluster`, whose modules this
//! shares.
#![allow(
    dead_code,
    reason = "the harness offers more than the tests use at any one time"
)]

mod argo;
#[path = "../cluster/audit.rs"]
mod audit;
mod both;
#[path = "../cluster/cluster.rs"]
mod cluster;
#[path = "../cluster/command_line.rs"]
mod command_line;
#[path = "../cluster/control_plane.rs"]
mod control_plane;
mod either;
#[path = "../cluster/faketime.rs"]
mod faketime;
mod flux;
mod health;
#[path = "../cluster/install.rs"]
mod install;
#[path = "../cluster/operator.rs"]
#[allow(unused_imports, reason = "it passes on more names than are used here")]
mod operator;
mod program;
mod references;
mod repository;
#[path = "../cluster/resource.rs"]
mod resource;
#[path = "../cluster/script.rs"]
mod script;
mod stage;
#[path = "../cluster/suite.rs"]
mod suite;
#[path = "../cluster/tap.rs"]
mod tap;
mod tool;
#[path = "../cluster/wait.rs"]
mod wait;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One at a time: the tools and the operator act on the whole cluster, and writes are counted.
    arguments.test_threads = Some(1);

    let suite = suite::Suite::new();
    let tests = [
        health::tests(),
        references::tests(),
        either::tests(),
        both::tests(),
    ]
    .into_iter()
    .flatten();
    let conclusion = suite.run(&arguments, tests);
    suite.tear_down(conclusion.has_failed());
    conclusion.exit_code()
}

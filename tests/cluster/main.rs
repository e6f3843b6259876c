//! Tests against a real Kubernetes API server: `cargo test --test cluster [FILTER]`.
//! Must not mock anything; what needs no API server is tested elsewhere.
//!
//! One cluster serves all tests: the control plane of `tests/controlplane`, started by
//! the first test that runs, or, with `USE_EXISTING_CLUSTER=true`, the one that
//! `TEST_KUBECONFIG` (else `KUBECONFIG`) names. Custom resources, RBAC and namespace
//! come from `deploy/base`; the operator under test runs as its own ServiceAccount.
//!
//! A new test: an `async fn(&Cluster) -> anyhow::Result<()>` in a module of its subject,
//! listed by that module's `tests()`, which [`main`] collects.
#![allow(
    dead_code,
    reason = "the harness offers more than the tests use at any one time"
)]

mod alerts;
mod audit;
#[path = "../docs/block.rs"]
mod block;
mod broken;
mod calendar;
mod canary;
mod clock;
mod cluster;
mod command_line;
mod contest;
mod control_plane;
mod deputy;
mod documents;
mod ending;
mod faketime;
mod follow;
mod foreign;
mod gateways;
mod guard;
mod install;
mod keys;
mod leader;
mod least;
mod lint;
#[path = "../docs/manifest.rs"]
mod manifest;
mod measure;
mod memory;
mod models;
mod namespaced;
mod needles;
mod operator;
mod places;
mod quiet;
mod reports;
mod resource;
mod restore;
mod revocation;
mod revoke;
mod rights;
mod rivals;
mod rotation;
mod schema;
mod script;
mod seed;
#[path = "../docs/shell.rs"]
mod shell;
mod smoke;
mod staging;
mod status;
mod suite;
mod tap;
mod wait;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One at a time: an operator acts on the whole cluster, and tests count its requests
    // and measure its delays.
    arguments.test_threads = Some(1);

    let suite = suite::Suite::new();
    let tests = [
        smoke::tests(),
        schema::tests(),
        seed::tests(),
        quiet::tests(),
        follow::tests(),
        restore::tests(),
        keys::tests(),
        contest::tests(),
        rivals::tests(),
        deputy::tests(),
        foreign::tests(),
        gateways::tests(),
        ending::tests(),
        revocation::tests(),
        rotation::tests(),
        clock::tests(),
        staging::tests(),
        broken::tests(),
        alerts::tests(),
        models::tests(),
        calendar::tests(),
        canary::tests(),
        memory::tests(),
        revoke::tests(),
        leader::tests(),
        status::tests(),
        reports::tests(),
        lint::tests(),
        namespaced::tests(),
        guard::tests(),
        rights::tests(),
        least::tests(),
        documents::tests(),
        measure::tests(),
    ]
    .into_iter()
    .flatten();
    let conclusion = suite.run(&arguments, tests);
    suite.tear_down(conclusion.has_failed());
    conclusion.exit_code()
}

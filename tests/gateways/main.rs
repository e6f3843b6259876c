//! Tests against real gateways: `cargo test --test gateways [FILTER]`. Envoy is the pinned
//! binary that `install.sh` installs, or the one that `ENVOY` names; Anthropic is a fake that
//! remembers what came; clients are raw sockets and the official SDK.
//! Must not mock a gateway.
//!
//! A new test: a `fn() -> anyhow::Result<()>` in a module of its subject, listed by that module's
//! `tests()`, which [`main`] collects.
#![allow(
    dead_code,
    reason = "the harness offers more than the tests use at any one time"
)]

mod anthropic;
mod attacks;
mod audit;
mod authority;
mod bodies;
mod broken;
mod cost;
mod differential;
mod envoy;
mod fetched;
mod gateway;
mod guide;
mod guided;
mod harness;
mod hot;
mod http;
mod http2;
mod installed;
mod mount;
mod oracle;
#[path = "../properties/random.rs"]
mod random;
mod rendered;
mod requests;
mod sdk;
mod suite;
mod tokens;
mod wire;
mod worlds;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let tests = [
        harness::tests(),
        attacks::tests(),
        audit::tests(),
        fetched::tests(),
        hot::tests(),
        broken::tests(),
        differential::tests(),
        guided::tests(),
        cost::tests(),
    ];
    suite::run(Arguments::from_args(), tests.into_iter().flatten())
}

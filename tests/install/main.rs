//! Tests of how it is installed: `cargo test --test install [FILTER]`. What real Helm, old and new,
//! makes of the chart is held to what real kustomize makes of the other forms, and both to a real API
//! server.
//! Must not start an operator; `tests/node` does that with the same forms.
//!
//! A new test: a `fn() -> anyhow::Result<()>` in a module of its subject, listed by that module's
//! `tests()`, which [`main`] collects.

mod accepted;
mod choices;
#[path = "../cluster/control_plane.rs"]
#[allow(dead_code, reason = "other tests stop one early")]
mod control_plane;
mod documented;
mod equal;
mod forms;
mod helm;
mod kubectl;
mod lifetime;
mod objects;
mod refused;
#[path = "../cluster/script.rs"]
#[allow(dead_code, reason = "other tests talk to their scripts")]
mod script;
#[path = "../gateways/suite.rs"]
#[allow(dead_code, reason = "other tests leave some out")]
mod suite;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let tests = [
        equal::tests(),
        choices::tests(),
        refused::tests(),
        documented::tests(),
        accepted::tests(),
        lifetime::tests(),
    ];
    suite::run(Arguments::from_args(), tests.into_iter().flatten())
}

//! Names tests and runs them one after another.
//! Must not know what any test is about.

use std::process::ExitCode;

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};

/// A test.
pub(crate) struct Test {
    name: &'static str,
    body: fn() -> Result<()>,
    asked_for: bool,
}

/// Names a test. The name is a sentence: what holds when it passes.
pub(crate) fn test(name: &'static str, body: fn() -> Result<()>) -> Test {
    Test {
        name,
        body,
        asked_for: true,
    }
}

// === impl Test ===

impl Test {
    /// Reported as ignored unless this holds.
    pub(crate) fn only_if(mut self, asked_for: bool) -> Self {
        self.asked_for = asked_for;
        self
    }
}

/// Runs what the arguments select.
pub(crate) fn run(mut arguments: Arguments, tests: impl Iterator<Item = Test>) -> ExitCode {
    // One at a time: they measure, and there are few processors.
    arguments.test_threads = Some(1);
    let trial = |test: Test| {
        let failed = |error: anyhow::Error| Failed::from(format!("{error:#}"));
        Trial::test(test.name, move || (test.body)().map_err(failed))
            .with_ignored_flag(!test.asked_for)
    };
    libtest_mimic::run(&arguments, tests.map(trial).collect()).exit_code()
}

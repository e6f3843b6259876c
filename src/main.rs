//! The `anthropic-rbac` binary. Must not hold anything but the call into the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    anthropic_rbac::cli::main()
}

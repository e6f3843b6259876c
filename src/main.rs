//! The `anthropic-rbac` binary. Must not hold anything but the call into the command line.

use std::alloc::System;
use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

/// Zeroes what is freed: requests and answers with keys in them pass through buffers of other
/// crates, which leave them behind.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    anthropic_rbac::cli::main()
}

//! Policy to files, one folder a gateway, and the gateway-neutral `policy.json` they share.
//! Must not decide who may do what, nor know Kubernetes, clocks or an async runtime.

// A new variant of ours must be looked at wherever it matters.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod console;
pub mod envoy;
pub mod fit;
pub mod policy_json;
pub mod shards;

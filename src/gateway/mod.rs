//! Policy to files, one folder a gateway, and the gateway-neutral `policy.json` they share.
//! Must not decide who may do what, nor know Kubernetes, clocks or an async runtime.

pub mod console;
pub mod policy_json;

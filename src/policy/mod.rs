//! The domain: names, limits, models, roles, subjects, grants, keys, rotation, findings;
//! `resolve` turns facts into a policy, `decide` answers a request from it.
//!
//! Must not know Kubernetes, gateways, clocks, files or an async runtime. The build with
//! `--no-default-features` holds this room and `gateway` alone, and a check fails if that
//! build depends on any of them.

// A new variant of ours must be looked at wherever it matters.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod access;
pub mod body;
pub mod caller;
pub mod catalogue;
pub mod compare;
pub mod decide;
pub mod digest;
pub mod drift;
pub mod explain;
pub mod finding;
pub mod grant;
pub mod json;
pub mod jwks;
pub mod key;
pub mod limits;
pub mod model;
pub mod name;
pub mod narrow;
pub mod nearest;
pub mod offboard;
pub mod ranges;
pub mod resolve;
pub mod role;
pub mod rotation;
#[cfg(feature = "operator")]
mod schema;
pub mod selector;
pub mod subject;
pub mod table;
pub mod workspace;

//! `anthropic-rbac`: who may call which Claude model, with how many tokens, how often and with
//! which key, as Kubernetes resources.
//!
//! ```text
//!  manifests on disk ─┐                                                    ┌─> files (render)
//!                     ├─> World ─> Snapshot ── plan() ──> Plan { outputs,  ┤
//!  Kubernetes watches ┘   facts,   one         pure,      statuses,        └─> writes (operator)
//!                         indexed  workspace   total      events, wake_at }
//! ```
//!
//! One pure, total function turns a snapshot of facts into everything that should exist. The
//! command line and the operator differ only in where facts come from and where a plan goes.
//!
//! What holds throughout:
//! * Deny by default. Bad input is reported in a condition or finding and grants nothing; it
//!   never widens access and never holds up another object.
//! * A key's bytes live in [`material::KeyMaterial`] alone. Everything else speaks of digests.
//! * Same facts, same bytes, in whatever order they came. Time is a fact: `now` is part of the
//!   snapshot, and the plan says when to look again.
//! * No write without a difference, no finalizers, no state outside the API server.
//!
//! [`policy`] and [`gateway`] are the core: they compile without the `operator` feature, and a
//! check fails if that build depends on Kubernetes, an async runtime or logging.

#[cfg(feature = "operator")]
pub mod api;
#[cfg(feature = "operator")]
pub mod calendar;
#[cfg(feature = "operator")]
pub mod cli;
#[cfg(feature = "operator")]
pub mod controller;
#[cfg(feature = "operator")]
pub mod facts;
pub mod gateway;
#[cfg(feature = "operator")]
pub mod material;
#[cfg(feature = "operator")]
pub mod plan;
pub mod policy;

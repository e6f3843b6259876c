//! Placeholder until the rooms are in place.
#[cfg(feature = "operator")]
pub mod api;
#[cfg(feature = "operator")]
pub mod cli;
pub mod gateway;
#[cfg(feature = "operator")]
pub mod material;
#[cfg(feature = "operator")]
pub mod plan;
pub mod policy;

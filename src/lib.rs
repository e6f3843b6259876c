//! Placeholder until the rooms are in place.
#[cfg(feature = "operator")]
pub mod api;
pub mod gateway;
#[cfg(feature = "operator")]
pub mod material;
#[cfg(feature = "operator")]
pub mod plan;
pub mod policy;

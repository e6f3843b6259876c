//! placeholder

#[cfg(feature = "operator")]
pub mod api;

//! Placeholder until the rooms are in place.
pub mod policy;

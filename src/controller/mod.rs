//! controller
pub mod queue;

//! controller
pub mod body;
pub mod echo;
pub mod metrics;
pub mod object;
pub mod observe;
pub mod queue;
pub mod request;
pub mod vault;

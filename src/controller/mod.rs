//! controller
pub mod body;
pub mod echo;
pub mod metrics;
pub mod object;
pub mod observe;
pub mod queue;
pub mod request;
pub mod vault;
pub mod cycle;
pub mod execute;
pub mod news;
pub mod read;
pub mod report;

//! Whole plans from whole objects, by way of the same conversion the operator uses.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test names what it wants, and fails on the rest"
)]

mod access;
mod choice;
mod client_keys;
mod clock;
mod envoy;
mod findings;
mod full;
mod gateway;
mod keys;
mod loads;
mod pods;
mod quiet;
mod rights;
mod rivals;
mod rotation;
mod stage;
mod staging;
mod world;

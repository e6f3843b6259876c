//! Whole plans from whole objects, by way of the same conversion the operator uses.

mod access;
mod keys;
mod order;
mod quiet;
mod stage;
mod world;

//! What must hold in every world, tried on many thousands of generated ones: whole manifests in,
//! by the same conversion the operator uses, plans and decisions out.

mod access;
mod asking;
mod fields;
mod handshakes;
mod mischief;
mod oracle;
mod plans;
mod random;
mod run;
mod shards;
mod stage;
mod strangers;
mod worlds;

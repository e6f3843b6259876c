//! What must hold in every world, tried on many thousands of generated ones: whole manifests in,
//! by the same conversion the operator uses, plans and decisions out.

mod access;
mod asking;
mod handshakes;
mod oracle;
mod plans;
mod random;
mod run;
mod stage;
mod strangers;
mod worlds;

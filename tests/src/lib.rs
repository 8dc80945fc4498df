//! Stand-ins for what cannot be had on one machine, and the harness that drives the functions against them.

pub mod github;
pub mod payloads;
pub mod runner;
pub mod wire;

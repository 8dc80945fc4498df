//! Stand-ins for what cannot be had on one machine, and the harness that drives the functions against them.

pub mod aws;
pub mod lambda;
pub mod wire;

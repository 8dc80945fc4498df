//! Heals what failed half-way: registrations, tasks, jobs and deliveries.

mod act;
pub mod clean;
mod look;
pub mod plan;
mod reconcile;
mod redeliver;
mod repair;
mod tally;
mod versions;

pub use clean::{Cleaner, Event};

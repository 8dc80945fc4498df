//! Heals what failed half-way: registrations, tasks, jobs and deliveries.

pub mod clean;
pub mod plan;
mod tally;

pub use clean::{Cleaner, Event};

//! Removes what was left behind.

pub mod clean;
pub mod plan;

pub use clean::Cleaner;

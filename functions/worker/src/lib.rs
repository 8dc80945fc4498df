//! Launches one runner for each queued job.

pub mod batch;
pub mod launch;
pub mod release;
pub mod verdict;

pub use batch::{BatchResponse, SqsEvent, Worker};

//! Launches one runner for each queued job.

pub mod batch;
pub mod launch;
pub mod limits;
mod outcome;
pub mod release;
mod robbed;
mod room;
pub mod verdict;

pub use batch::{BatchResponse, SqsEvent, Worker};

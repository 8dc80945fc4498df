//! Launches one runner for each queued job.

mod attempt;
mod batch;
mod brake;
mod capacity;
mod context;
mod event;
mod handle;
mod launch;
mod leftovers;
pub mod limits;
mod outcome;
mod patience;
mod protocol;
mod received;
mod release;
mod remembered;
mod report;
#[cfg(test)]
mod samples;
mod swaps;
pub mod verdict;

pub use batch::Worker;
pub use event::{BatchResponse, SqsEvent};

//! Launches one runner for each queued job.

fn main() {}

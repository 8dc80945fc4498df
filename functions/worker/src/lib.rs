//! Launches one runner for each queued job.

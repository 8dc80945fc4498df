//! Settings from environment variables, checked when a function starts.
//!
//! A malformed value stops the function with an error that names the variable, what was found and what was expected.
//! No secret is read from the environment, so the error may show what was found.

mod common;
mod environment;
mod fleet;
mod github;
mod sharing;
mod webhook;

pub use common::ENVIRONMENT_SIZE;
pub use environment::{ConfigError, Environment};
pub use fleet::FleetConfig;
pub use github::{GitHubConfig, ScopeKind};
pub use webhook::WebhookConfig;

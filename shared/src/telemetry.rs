//! Logs: one JSON object a line, for CloudWatch.
//!
//! The rules: an event's message never changes and its fields never move into it; a field has the same dotted name
//! everywhere (`job.id`, `runner.name`, `delivery.id`); a failure is logged once, where it is decided what happens
//! next; nothing that a secret, a token or a JIT config is part of is ever logged.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{ConfigError, Environment};

/// Whose lines may be had at any level: ours. Those of the AWS SDK and the HTTP clients carry bodies at `debug`, and
/// with them the secret and JIT configs.
const OURS: [&str; 4] = ["jitgate", "webhook", "worker", "cleaner"];

/// Starts logging at the level that `RUST_LOG` names: `error`, `warn`, `info` (the default), `debug` or `trace`, or
/// levels by module (`info,worker=debug`). Everybody else's lines stay at `warn`, whatever it says.
pub fn start_logging(environment: &Environment) -> Result<(), ConfigError> {
    let levels = levels(environment)?;
    tracing_subscriber::registry()
        .with(tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(false))
        .with(levels)
        .with(Targets::new().with_default(LevelFilter::WARN).with_targets(OURS.map(|ours| (ours, LevelFilter::TRACE))))
        .init();
    Ok(())
}

fn levels(environment: &Environment) -> Result<Targets, ConfigError> {
    environment.parsed("RUST_LOG", Targets::new().with_default(LevelFilter::INFO), |value| {
        // A word alone is a level here; `Targets` would take any other for a module and silence everything else.
        let words = value.split(',').filter(|part| !part.contains('='));
        let are_levels = words.into_iter().all(|word| word.trim().parse::<LevelFilter>().is_ok());
        let levels = value.parse().ok().filter(|_| are_levels);
        levels.ok_or_else(|| "error, warn, info, debug or trace, or levels by module".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_level_is_a_level() {
        let levels = |value: &str| levels(&Environment::from_iter([("RUST_LOG", value)])).map(|_| ());
        for value in ["", "debug", "info,worker=debug", "off"] {
            assert_eq!(levels(value), Ok(()), "{value}");
        }
        assert_eq!(levels("loud=and=clear").map_err(|error| error.variable), Err("RUST_LOG"));
    }
}

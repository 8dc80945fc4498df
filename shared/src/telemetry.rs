//! Logs: one JSON object a line, for CloudWatch.
//!
//! The rules:
//! - An event's message never changes, and its values are fields, never part of the message.
//! - A field has the same dotted name everywhere (`job.id`, `runner.name`, `delivery.id`).
//! - What a delivery, a message or a pass is about is said once, by a span, and stands on every line below; an event
//!   does not repeat it. A span is opened by `error_span!`, since `RUST_LOG` must not hide it from a line that it
//!   shows.
//! - A failure is logged once, where the code decides what happens next.
//! - No secret, token or JIT config is ever logged, nor any text that contains one.

mod line;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{ConfigError, Environment};

/// The crates whose lines `RUST_LOG` may show at any level: ours. At `debug`, those of the AWS SDK and the HTTP clients
/// carry bodies, and with them the secret and JIT configs.
const OURS: [&str; 4] = ["jitgate", "webhook", "worker", "cleaner"];

/// Starts logging at the level that `RUST_LOG` names: `error`, `warn`, `info` (the default), `debug` or `trace`, or
/// levels by module (`info,worker=debug`). All other crates' lines stay at `warn`.
pub fn start_logging(environment: &Environment) -> Result<(), ConfigError> {
    let levels = levels(environment)?;
    let others_warn = Targets::new().with_default(LevelFilter::WARN);
    tracing_subscriber::registry()
        .with(line::layer())
        .with(levels)
        .with(others_warn.with_targets(OURS.map(|ours| (ours, LevelFilter::TRACE))))
        .init();
    Ok(())
}

fn levels(environment: &Environment) -> Result<Targets, ConfigError> {
    environment.parsed("RUST_LOG", Targets::new().with_default(LevelFilter::INFO), |value| {
        // Without a `=` it must be a level: `Targets` would take any other word for a module and silence all the rest.
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

//! Logs: one JSON object a line, for CloudWatch.
//!
//! The rules: an event's message never changes and its fields never move into it; a field has the same dotted name
//! everywhere (`job.id`, `runner.name`, `delivery.id`); a failure is logged once, where it is decided what happens
//! next; nothing that a secret, a token or a JIT config is part of is ever logged.

use tracing_subscriber::EnvFilter;

/// Starts logging. `RUST_LOG` chooses the level; the AWS SDK and HTTP clients are kept to warnings, since their debug
/// lines carry bodies.
pub fn start_logging() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let quieter =
        ["aws_smithy_runtime", "aws_smithy_runtime_api", "aws_smithy_http_client", "aws_config", "aws_sdk_ecs"]
            .into_iter()
            .chain([
                "aws_sdk_sqs",
                "aws_sdk_secretsmanager",
                "aws_runtime",
                "hyper",
                "hyper_util",
                "reqwest",
                "rustls",
                "h2",
            ]);
    let filter = quieter.fold(filter, |filter, target| {
        filter.add_directive(format!("{target}=warn").parse().expect("a static directive"))
    });
    tracing_subscriber::fmt().json().flatten_event(true).with_current_span(false).with_env_filter(filter).init();
}

//! Metrics in CloudWatch's embedded metric format: a log line that CloudWatch turns into metrics, without a call.
//!
//! All are in the namespace `jitgate`, by deployment and function. Any finer breakdown is in the log lines, where it
//! costs nothing. A deployment's name is its name prefix, which tells two in one account and region apart.

use std::io::Write as _;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::names::NamePrefix;

/// The namespace of all metrics.
pub const NAMESPACE: &str = "jitgate";

/// A metric's unit, as CloudWatch names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `Count`
    Count,
    /// `Seconds`
    Seconds,
}

impl Unit {
    fn as_str(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Seconds => "Seconds",
        }
    }
}

/// The metrics of one invocation, written as one line.
#[derive(Debug)]
pub struct Metrics<'a> {
    deployment: &'a NamePrefix,
    function: &'static str,
    values: Vec<(&'static str, Unit, Value)>,
}

impl<'a> Metrics<'a> {
    /// Starts without any metric.
    pub fn new(deployment: &'a NamePrefix, function: &'static str) -> Self {
        Self { deployment, function, values: Vec::new() }
    }

    /// Adds a value, or a list of them.
    pub fn put(&mut self, name: &'static str, unit: Unit, value: impl Into<Value>) {
        self.values.push((name, unit, value.into()));
    }

    /// Adds how often something happened, unless it did not.
    pub fn count(&mut self, name: &'static str, count: usize) {
        if count > 0 {
            self.put(name, Unit::Count, count);
        }
    }

    /// The line; `None` without any metric.
    pub fn line(&self, now: OffsetDateTime) -> Option<String> {
        if self.values.is_empty() {
            return None;
        }
        let metrics: Vec<_> =
            self.values.iter().map(|(name, unit, _)| json!({ "Name": name, "Unit": unit.as_str() })).collect();
        let mut line: Map<String, Value> =
            self.values.iter().map(|(name, _, value)| ((*name).to_owned(), value.clone())).collect();
        line.insert("deployment".to_owned(), self.deployment.as_str().into());
        line.insert("function".to_owned(), self.function.into());
        let dimensions = [["deployment", "function"]];
        let directive = json!({ "Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": metrics });
        let milliseconds = i64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
        line.insert("_aws".to_owned(), json!({ "Timestamp": milliseconds, "CloudWatchMetrics": [directive] }));
        Some(Value::Object(line).to_string())
    }

    /// Writes the line to the log.
    pub fn write(&self, now: OffsetDateTime) {
        if let Some(line) = self.line(now) {
            // A log that cannot be written must not fail a job.
            let _ = writeln!(std::io::stdout().lock(), "{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_cloudwatch_reads() {
        let deployment = "jiteu".parse().unwrap();
        let mut metrics = Metrics::new(&deployment, "worker");
        let now = OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(1234);
        assert_eq!(metrics.line(now), None);
        metrics.count("JobsDeferred", 0);
        metrics.count("JobsLaunched", 2);
        metrics.put("QueueToLaunch", Unit::Seconds, vec![1, 3]);
        let line: Value = serde_json::from_str(&metrics.line(now).unwrap()).unwrap();
        assert_eq!(
            line,
            json!({
                "_aws": {
                    "Timestamp": 1234,
                    "CloudWatchMetrics": [{
                        "Namespace": "jitgate",
                        "Dimensions": [["deployment", "function"]],
                        "Metrics": [
                            { "Name": "JobsLaunched", "Unit": "Count" },
                            { "Name": "QueueToLaunch", "Unit": "Seconds" },
                        ],
                    }],
                },
                "deployment": "jiteu",
                "function": "worker",
                "JobsLaunched": 2,
                "QueueToLaunch": [1, 3],
            })
        );
    }
}

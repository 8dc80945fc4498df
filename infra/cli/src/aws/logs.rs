//! CloudWatch Logs.

use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::Aws;
use super::json::Json;
use crate::trouble::Trouble;

const fn operation(operation: &'static str) -> Json {
    Json { service: "logs", target: "Logs_20140328", operation, version: "1.1" }
}

const FILTER: Json = operation("FilterLogEvents");
pub(super) const START: Json = operation("StartQuery");
pub(super) const RESULTS: Json = operation("GetQueryResults");
pub(super) const DESCRIBE: Json = operation("DescribeLogGroups");

/// How often the answer of a query is looked for, and how many times. A query of one hour's lines takes about a second.
const LOOK_EVERY: Duration = Duration::from_millis(300);
const LOOKS: u32 = 20;

impl Aws {
    /// The lines of a group that contain a text, with their moments, oldest first.
    pub async fn log_lines(
        &self,
        group: &str,
        containing: &str,
        since: OffsetDateTime,
    ) -> Result<Vec<(OffsetDateTime, String)>, Trouble> {
        let request = json!({
            "logGroupName": group,
            "filterPattern": format!("\"{containing}\""),
            "startTime": since.unix_timestamp() * 1000,
        });
        let events = self.pages(&FILTER, request, "nextToken", "events").await?;
        let mut lines: Vec<_> = events
            .iter()
            .filter_map(|event| Some((moment(event["timestamp"].as_i64()?), event["message"].as_str()?.to_owned())))
            .collect();
        lines.sort_by_key(|(at, _)| *at);
        Ok(lines)
    }

    /// The rows of a Logs Insights query; each is a list of fields. Groups of the class Infrequent Access answer nothing
    /// else.
    pub async fn log_query(&self, group: &str, query: &str, since: OffsetDateTime) -> Result<Vec<Value>, Trouble> {
        let request = json!({
            "logGroupName": group,
            "queryString": query,
            "startTime": since.unix_timestamp(),
            "endTime": OffsetDateTime::now_utc().unix_timestamp() + 60,
        });
        let query = self.json(&START, &request).await?["queryId"].take();
        for _ in 0..LOOKS {
            let mut answer = self.json(&RESULTS, &json!({ "queryId": query })).await?;
            let status = answer["status"].as_str().unwrap_or_default().to_owned();
            match (status.as_str(), answer["results"].take()) {
                ("Complete", Value::Array(rows)) => return Ok(rows),
                ("Failed" | "Cancelled" | "Timeout", _) => break,
                _ => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
        Err(Trouble::unknown(format!("the query of {group} did not end (logs:StartQuery)"), "run the command again"))
    }
}

pub(super) fn moment(milliseconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

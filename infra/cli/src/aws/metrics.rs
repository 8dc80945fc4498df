//! CloudWatch's metrics.

use roxmltree::Document;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::query::child;
use super::{Aws, Query};
use crate::trouble::Trouble;

/// SQS writes its metrics each minute, and they show some minutes later. Source: SQS's "Available CloudWatch metrics".
const SHOWN_AFTER: Duration = Duration::minutes(10);

impl Aws {
    /// The age of a queue's oldest message in seconds, as CloudWatch last heard; `None` if it heard nothing lately.
    pub async fn oldest_message(&self, queue_url: &str) -> Result<Option<u64>, Trouble> {
        let queue = queue_url.rsplit('/').next().unwrap_or_default();
        let now = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let moment = |at: OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
        let (from, until) = (moment(now - SHOWN_AFTER), moment(now + Duration::MINUTE));
        let parameters = [
            ("Namespace", "AWS/SQS"),
            ("MetricName", "ApproximateAgeOfOldestMessage"),
            ("Dimensions.member.1.Name", "QueueName"),
            ("Dimensions.member.1.Value", queue),
            ("StartTime", &from),
            ("EndTime", &until),
            ("Period", "60"),
            ("Statistics.member.1", "Maximum"),
        ];
        let answer = Query::CLOUDWATCH.call(self, "GetMetricStatistics", &parameters).await;
        Ok(latest(&answer.map_err(|(_, trouble)| trouble)?))
    }
}

/// The latest of the data points, which come in no order.
fn latest(text: &str) -> Option<u64> {
    let document = Document::parse(text).ok()?;
    let points = document.descendants().filter_map(|node| Some((child(node, "Timestamp")?, child(node, "Maximum")?)));
    let (_, value) = points.max_by_key(|(at, _)| OffsetDateTime::parse(at, &Rfc3339).ok())?;
    // Whole seconds, written as a decimal number.
    value.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: the API reference of `GetMetricStatistics`, "Sample Response".
    #[test]
    fn the_latest_point_counts() {
        let point = |at: &str, value: &str| {
            format!("<member><Timestamp>{at}</Timestamp><Unit>Seconds</Unit><Maximum>{value}</Maximum></member>")
        };
        let answer = |points: &str| {
            format!(
                "<GetMetricStatisticsResponse xmlns=\"http://monitoring.amazonaws.com/doc/2010-08-01/\">\
                 <GetMetricStatisticsResult><Datapoints>{points}</Datapoints></GetMetricStatisticsResult>\
                 </GetMetricStatisticsResponse>"
            )
        };
        let both = point("2026-11-01T12:01:00Z", "74.0") + &point("2026-11-01T12:00:00Z", "14.0");
        assert_eq!(latest(&answer(&both)), Some(74));
        assert_eq!(latest(&answer("")), None);
        assert_eq!(latest("<html>"), None);
    }
}

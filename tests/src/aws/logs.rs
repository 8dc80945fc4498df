//! The reading part of CloudWatch Logs, which the command `jitgate` uses: filters by a text, and queries of one stream.
//!
//! Sources: the API references of `FilterLogEvents`, `StartQuery` and `GetQueryResults`.

use std::collections::HashMap;
use std::sync::Mutex;

use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers;
use crate::wire::{self, Answer, lock};

pub(super) const TARGET: &str = "Logs_20140328";

/// A line.
#[derive(Clone, Debug)]
struct Line {
    /// In milliseconds since the epoch.
    at: i64,
    stream: String,
    text: String,
}

/// The stand-in.
#[derive(Default)]
pub struct Logs {
    groups: Mutex<HashMap<String, Vec<Line>>>,
    queries: Mutex<Vec<Vec<Value>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FilterLogEvents {
    log_group_name: String,
    #[serde(default)]
    filter_pattern: String,
    #[serde(default)]
    start_time: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StartQuery {
    log_group_name: String,
    query_string: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GetQueryResults {
    query_id: String,
}

impl Logs {
    /// A line is written.
    pub fn write(&self, group: &str, stream: &str, at: i64, text: &str) {
        let line = Line { at, stream: stream.to_owned(), text: text.to_owned() };
        lock(&self.groups).entry(group.to_owned()).or_default().push(line);
    }

    pub(super) fn answer(&self, operation: &str, body: &Bytes) -> Answer {
        let done = match operation {
            "FilterLogEvents" => serde_json::from_slice(body).map(|filter| self.filter(&filter)),
            "StartQuery" => serde_json::from_slice(body).map(|start| self.start(&start)),
            "GetQueryResults" => serde_json::from_slice(body).map(|results| self.results(&results)),
            _ => return answers::unknown_operation(),
        };
        done.unwrap_or_else(|cause| answers::serialization(&cause))
    }

    fn lines(&self, group: &str) -> Vec<Line> {
        lock(&self.groups).get(group).cloned().unwrap_or_default()
    }

    /// A pattern in quotation marks fits lines that contain it; an empty one fits all.
    fn filter(&self, filter: &FilterLogEvents) -> Answer {
        let wanted = filter.filter_pattern.trim_matches('"');
        let lines = self.lines(&filter.log_group_name).into_iter();
        let fitting = lines.filter(|line| line.at >= filter.start_time && line.text.contains(wanted));
        let events: Vec<Value> = fitting
            .map(|line| json!({ "timestamp": line.at, "message": line.text, "logStreamName": line.stream }))
            .collect();
        wire::json(200, &json!({ "events": events, "searchedLogStreams": [] }))
    }

    /// Finds the lines of the streams that the query names in quotation marks, the latest first.
    fn start(&self, start: &StartQuery) -> Answer {
        let stream = start.query_string.split('\'').nth(1).unwrap_or_default();
        let mut lines = self.lines(&start.log_group_name);
        lines.retain(|line| line.stream.contains(stream));
        lines.sort_by_key(|line| std::cmp::Reverse(line.at));
        let rows = lines.iter().map(|line| {
            let at = super::moment(line.at);
            let (hour, minute, second) = at.time().as_hms();
            let moment = format!("{} {hour:02}:{minute:02}:{second:02}.000", at.date());
            json!([{ "field": "@timestamp", "value": moment }, { "field": "@message", "value": line.text }])
        });
        let mut queries = lock(&self.queries);
        queries.push(rows.collect());
        wire::json(200, &json!({ "queryId": (queries.len() - 1).to_string() }))
    }

    fn results(&self, results: &GetQueryResults) -> Answer {
        let queries = lock(&self.queries);
        let rows = results.query_id.parse::<usize>().ok().and_then(|number| queries.get(number));
        wire::json(200, &json!({ "status": "Complete", "results": rows }))
    }
}

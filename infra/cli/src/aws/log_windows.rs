//! All lines of a log group that contain a text, however many they are.
//!
//! A query of Logs Insights returns 10,000 rows at most. One that finds more is asked again in shorter windows of time, several
//! at once. Calls that filter events would need one for each megabyte of the group, in a row.

use std::time::Duration;

use futures::future::try_join_all;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::Aws;
use super::logs::{DESCRIBE, RESULTS, START};
use crate::trouble::Trouble;

/// The most rows of a query. Source: CloudWatch Logs' "CloudWatch Logs quotas".
const MOST_ROWS: u64 = 10_000;

/// How many lines a shorter window is meant to have: lines are not spread evenly.
const ROWS_A_WINDOW: u64 = 5000;

/// Queries at once. An account may have 30, and others may want some.
const AT_ONCE: usize = 5;

/// How often the answer of a query is looked for, and how many times. A query of a gigabyte takes some seconds.
const LOOK_EVERY: Duration = Duration::from_millis(400);
const LOOKS: u32 = 300;

/// Lines, and how many more there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllLines {
    /// In no particular order. A line at the border of two windows stands here twice.
    pub lines: Vec<String>,
    /// Lines that no query could return: more than 10,000 in one second.
    pub left_out: u64,
}

/// What is known of a log group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogGroup {
    /// How many days its lines are kept; absent if for ever.
    pub days_kept: Option<i64>,
    /// Since when it is there.
    pub created_at: Option<OffsetDateTime>,
}

/// A span of time in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    from: i64,
    until: i64,
}

/// The answer for a window.
struct Found {
    lines: Vec<String>,
    matched: u64,
}

impl Window {
    /// Shorter windows, which cover this one, for that many lines; none if it is as short as can be.
    fn parts(self, matched: u64) -> Vec<Self> {
        let seconds = self.until - self.from;
        if seconds < 2 {
            return Vec::new();
        }
        let parts = i64::try_from(matched.div_ceil(ROWS_A_WINDOW)).unwrap_or(i64::MAX).clamp(2, seconds.min(100));
        let border = |number: i64| self.from + seconds * number / parts;
        (0..parts).map(|number| Self { from: border(number), until: border(number + 1) }).collect()
    }
}

/// Asks for a window, and again for its parts where it has too many lines.
async fn gather(whole: Window, ask: impl AsyncFn(Window) -> Result<Found, Trouble>) -> Result<AllLines, Trouble> {
    let mut windows = vec![whole];
    let mut all = AllLines::default();
    while !windows.is_empty() {
        let some = windows.split_off(windows.len().saturating_sub(AT_ONCE));
        let answers = try_join_all(some.iter().map(|window| ask(*window))).await?;
        for (window, found) in some.into_iter().zip(answers) {
            let has_all = found.matched < MOST_ROWS;
            let parts = if has_all { Vec::new() } else { window.parts(found.matched) };
            if parts.is_empty() {
                all.left_out += found.matched.saturating_sub(found.lines.len() as u64);
                all.lines.extend(found.lines);
            } else {
                windows.extend(parts);
            }
        }
    }
    Ok(all)
}

impl Aws {
    /// All lines of a group in a span of time that contain a text. The text has letters and blanks only.
    pub async fn every_line(
        &self,
        group: &str,
        containing: &str,
        from: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<AllLines, Trouble> {
        let whole = Window { from: from.unix_timestamp(), until: until.unix_timestamp() + 1 };
        gather(whole, async |window| self.window(group, containing, window).await).await
    }

    async fn window(&self, group: &str, containing: &str, window: Window) -> Result<Found, Trouble> {
        let query = format!("fields @message | filter @message like /{containing}/ | limit {MOST_ROWS}");
        // Both ends are included. Source: the API reference, `StartQuery`.
        let request = json!({
            "logGroupName": group, "queryString": query, "startTime": window.from, "endTime": window.until,
        });
        let query = self.json(&START, &request).await?["queryId"].take();
        for _ in 0..LOOKS {
            let answer = self.json(&RESULTS, &json!({ "queryId": query })).await?;
            match answer["status"].as_str().unwrap_or_default() {
                "Complete" => return Ok(found(&answer)),
                "Failed" | "Cancelled" | "Timeout" => break,
                _ => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
        Err(Trouble::unknown(format!("the query of {group} did not end (logs:StartQuery)"), "run the command again"))
    }

    /// How long a log group keeps its lines; `None` if it is not there.
    pub async fn log_group(&self, group: &str) -> Result<Option<LogGroup>, Trouble> {
        let groups = self.pages(&DESCRIBE, json!({ "logGroupNamePrefix": group }), "nextToken", "logGroups").await?;
        let own = groups.iter().find(|each| each["logGroupName"] == group);
        Ok(own.map(|own| LogGroup {
            days_kept: own["retentionInDays"].as_i64(),
            created_at: own["creationTime"].as_i64().map(super::logs::moment),
        }))
    }
}

fn found(answer: &Value) -> Found {
    let rows = answer["results"].as_array().into_iter().flatten();
    let message = |row: &Value| {
        let cell = row.as_array()?.iter().find(|cell| cell["field"] == "@message")?;
        cell["value"].as_str().map(str::to_owned)
    };
    let lines: Vec<String> = rows.filter_map(message).collect();
    let matched = answer["statistics"]["recordsMatched"].as_f64().unwrap_or_default();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let matched = (matched as u64).max(lines.len() as u64);
    Found { lines, matched }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Logs Insights with lines at these seconds.
    async fn read(seconds: &[i64], whole: Window) -> (AllLines, u32) {
        let queries = Cell::new(0);
        let ask = async |Window { from, until }: Window| {
            queries.set(queries.get() + 1);
            let matching = seconds.iter().enumerate().filter(|(_, second)| (from..=until).contains(*second));
            let all: Vec<String> = matching.map(|(number, _)| number.to_string()).collect();
            let matched = all.len() as u64;
            Ok(Found { lines: all.into_iter().take(10_000).collect(), matched })
        };
        let all = gather(whole, ask).await.expect("it answers");
        (all, queries.get())
    }

    fn distinct(all: &AllLines) -> usize {
        all.lines.iter().collect::<BTreeSet<_>>().len()
    }

    #[tokio::test]
    async fn a_hundred_thousand_lines_of_a_month_are_all_read_in_few_queries() {
        let month = 30 * 24 * 3600;
        // Most in the working hours of a day: two thirds of each day's lines in a third of it.
        let at = |number: i64| {
            let (day, part) = (number % 30, number / 30 * 86_400 / 3334);
            day * 86_400 + if number % 3 == 0 { part } else { 8 * 3600 + part / 3 }
        };
        let seconds: Vec<i64> = (0..100_000).map(at).collect();
        let (all, queries) = read(&seconds, Window { from: 0, until: month }).await;
        assert_eq!((distinct(&all), all.left_out), (100_000, 0));
        assert!(queries <= 40, "{queries} queries");
    }

    #[tokio::test]
    async fn more_lines_in_one_second_than_a_query_returns_are_counted() {
        let (all, _) = read(&vec![5; 10_500], Window { from: 0, until: 3600 }).await;
        assert!(distinct(&all) == 10_000 && all.left_out >= 500, "{}", all.left_out);
    }

    proptest! {
        #[test]
        fn parts_cover_a_window_without_a_gap(from in 0..1_i64 << 40, seconds in 2..1_i64 << 30, matched: u64) {
            let window = Window { from, until: from + seconds };
            let parts = window.parts(matched);
            prop_assert_eq!((parts[0].from, parts[parts.len() - 1].until), (window.from, window.until));
            prop_assert!(parts.windows(2).all(|pair| pair[0].until == pair[1].from));
            prop_assert!(parts.iter().all(|part| part.from < part.until && part.until - part.from < seconds));
        }
    }
}

//! What the account says: log lines, tasks, the queue's event source, dead letters.

use std::collections::BTreeMap;

use aws_sdk_ecs::types::{Container, TaskOverride};
use jitgate::ecs::words_of_stop;
use jitgate::job::{Attempt, JobId};
use jitgate::names::{LaunchToken, NamePrefix};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use super::Witnesses;
use crate::aws::Aws;
use crate::trouble::Trouble;
use crate::why::sources::{EventSource, Line, OutputLine, Task};
use crate::why::{redact, words};

/// A delivery follows its job within seconds; later ones are repeats.
const DELIVERED_WITHIN: Duration = Duration::minutes(5);

/// How many of the runner's last lines are shown.
const OUTPUT_LINES: usize = 12;

impl Witnesses<'_> {
    /// The lines of all functions that name the job, oldest first.
    pub(super) async fn lines(&self, job: u64, since: OffsetDateTime) -> Result<Vec<Line>, Trouble> {
        let id = job.to_string();
        let fleet = self.fleet;
        let of = |group| self.aws.log_lines(group, &id, since);
        let (webhook, worker, cleaner) =
            tokio::try_join!(of(&fleet.webhook.log_group), of(&fleet.worker.log_group), of(&fleet.cleaner.log_group),)?;
        let functions = [("webhook", webhook), ("worker", worker), ("cleaner", cleaner)];
        let all = functions
            .into_iter()
            .flat_map(|(function, lines)| lines.into_iter().filter_map(move |(at, line)| parse(function, at, &line)));
        let mut lines: Vec<Line> = all.filter(|(_, of)| *of == Some(job)).map(|(line, _)| line).collect();
        lines.sort_by_key(|line| line.at);
        Ok(lines)
    }

    pub(super) async fn webhook_errors(
        &self,
        since: OffsetDateTime,
        created: Option<OffsetDateTime>,
    ) -> Result<Vec<Line>, Trouble> {
        let Some(created) = created else { return Ok(Vec::new()) };
        let lines = self.aws.log_lines(&self.fleet.webhook.log_group, "ERROR", since).await?;
        let near = lines.into_iter().filter(|(at, _)| *at < created + DELIVERED_WITHIN);
        Ok(near.filter_map(|(at, line)| parse("webhook", at, &line)).map(|(line, _)| line).collect())
    }

    pub(super) async fn event_source(&self) -> Result<EventSource, Trouble> {
        let sources = self.aws.event_sources(&self.fleet.worker.name).await?;
        let states: Vec<&str> = sources.iter().filter_map(|source| source["State"].as_str()).collect();
        Ok(match states.as_slice() {
            [] => EventSource::Missing,
            states if states.iter().all(|state| matches!(*state, "Disabled" | "Disabling")) => EventSource::Off,
            _ => EventSource::On,
        })
    }

    pub(super) async fn dead_letter(&self, job: u64) -> Result<Option<String>, Trouble> {
        let letters = self.aws.dead_letters(&self.fleet.setting("DEAD_LETTER_QUEUE_URL")?).await?;
        let of_job = letters.into_iter().find(|letter| {
            let body: Value = serde_json::from_str(&letter.body).unwrap_or_default();
            body["job_id"].as_u64() == Some(job)
        });
        let reason = |reason: Option<String>| reason.unwrap_or_else(|| "the worker failed five times at it".to_owned());
        Ok(of_job.map(|letter| redact::text(&reason(letter.reason))))
    }

    /// The tasks of each launch that the lines speak of, and of the one after: its line may come later.
    pub(super) async fn tasks(&self, job: u64, lines: Option<&Vec<Line>>) -> Result<Vec<Task>, Trouble> {
        let cluster = self.fleet.setting("ECS_CLUSTER")?;
        let prefix = self.fleet.prefix();
        let fields = ["attempt", "job.attempt", "next.attempt"];
        let named = lines.into_iter().flatten().flat_map(|line| fields.iter().filter_map(|field| line.number(field)));
        let last = u16::try_from(named.max().unwrap_or(1)).unwrap_or(u16::MAX - 1);
        // ECS shows stopped tasks for an hour, in which there are few launches.
        let attempts = last.saturating_sub(4).max(1)..=last + 1;
        let asked = attempts.map(|attempt| of_attempt(self.aws, &cluster, &prefix, job, attempt));
        let mut tasks: Vec<Task> = futures::future::try_join_all(asked).await?.into_iter().flatten().collect();
        tasks.sort_by_key(|task| task.created_at);
        Ok(tasks)
    }

    /// Who has the runners, if a limit of runners holds the job up: the repositories, each with how many.
    pub(super) async fn shares(&self, lines: Option<&Vec<Line>>) -> Result<BTreeMap<String, u64>, Trouble> {
        let last = lines.into_iter().flatten().rev().find(|line| line.function == "worker");
        let error = last.and_then(|line| line.text("error")).unwrap_or_default();
        let mut shares = BTreeMap::new();
        if words::of_error(error).kind == "runner-limit" {
            for task in self.aws.runner_tasks(&self.fleet.setting("ECS_CLUSTER")?).await? {
                *shares.entry(task.repository.unwrap_or_else(|| "?".to_owned())).or_default() += 1;
            }
        }
        Ok(shares)
    }

    /// The last lines of a task's runner.
    pub(super) async fn output(&self, task: Option<&Task>, since: OffsetDateTime) -> Result<Vec<OutputLine>, Trouble> {
        let Some(task) = task else { return Ok(Vec::new()) };
        let query = format!(
            "fields @timestamp, @message | filter @logStream like '{}' | sort @timestamp desc | limit {OUTPUT_LINES}",
            task.id
        );
        let rows = self.aws.log_query(&self.fleet.output_group(), &query, since).await?;
        let field = |row: &Value, name: &str| {
            let cells = row.as_array().into_iter().flatten();
            let mut values = cells.filter(|cell| cell["field"] == name).filter_map(|cell| cell["value"].as_str());
            values.next().map(str::to_owned)
        };
        let lines = rows.iter().filter_map(|row| {
            let at = insights_moment(&field(row, "@timestamp")?)?;
            Some(OutputLine { at, text: redact::text(field(row, "@message")?.trim_end()) })
        });
        let mut lines: Vec<_> = lines.collect();
        lines.reverse();
        Ok(lines)
    }
}

async fn of_attempt(
    aws: &Aws,
    cluster: &str,
    prefix: &NamePrefix,
    job: u64,
    attempt: u16,
) -> Result<Vec<Task>, Trouble> {
    let token = LaunchToken::derive(prefix, JobId(job), Attempt(attempt));
    let tasks = aws.tasks_by(cluster, token.as_str()).await?;
    Ok(tasks.into_iter().map(|task| shown(&task, attempt)).collect())
}

fn shown(task: &aws_sdk_ecs::types::Task, attempt: u16) -> Task {
    let moment = |at: Option<aws_sdk_ecs::primitives::DateTime>| {
        at.and_then(|at| OffsetDateTime::from_unix_timestamp_nanos(at.as_nanos()).ok())
    };
    let overrides = task.overrides.as_ref().map(TaskOverride::container_overrides).unwrap_or_default();
    let is_own = |variable: &aws_sdk_ecs::types::KeyValuePair| variable.name() == Some(jitgate::ecs::JOB_VARIABLE);
    // Only the name is taken: the rest of the overrides has the JIT config.
    let own = overrides.iter().find(|container| container.environment().iter().any(is_own)).and_then(|own| own.name());
    let containers = task.containers();
    let container = containers.iter().find(|each| own.is_none() || each.name() == own);
    let words = container.into_iter().chain(containers).filter_map(Container::reason);
    Task {
        id: task.task_arn().and_then(|arn| arn.rsplit('/').next()).unwrap_or_default().to_owned(),
        attempt,
        status: task.last_status().unwrap_or_default().to_owned(),
        created_at: moment(task.created_at),
        pull_started_at: moment(task.pull_started_at),
        pull_stopped_at: moment(task.pull_stopped_at),
        started_at: moment(task.started_at),
        stopped_at: moment(task.stopped_at),
        stop_code: task.stop_code().map(|code| code.as_str().to_owned()),
        stopped_reason: words_of_stop(task.stopped_reason(), words).map(redact::text),
        exit_code: container.and_then(Container::exit_code),
    }
}

/// A line, and the job that it is of.
fn parse(function: &str, at: OffsetDateTime, line: &str) -> Option<(Line, Option<u64>)> {
    let Value::Object(fields) = serde_json::from_str(line).ok()? else { return None };
    let message = fields.get("message")?.as_str()?.to_owned();
    let job = fields.get("job.id").and_then(Value::as_u64);
    Some((Line { at, function: function.to_owned(), message, fields: redact::fields(&fields) }, job))
}

/// Source: Logs Insights shows `2026-11-01 12:00:00.000`, in UTC.
fn insights_moment(text: &str) -> Option<OffsetDateTime> {
    let text = format!("{}Z", text.replacen(' ', "T", 1));
    OffsetDateTime::parse(&text, &time::format_description::well_known::Rfc3339).ok()
}

//! What the sources say of a job. All of it can be shown: secrets are left out where it is read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

/// What a source says, or why it could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen<T> {
    /// It was asked.
    Known(T),
    /// It could not be asked; says why.
    Unknown(String),
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self::Unknown("not asked".to_owned())
    }
}

impl<T> Seen<T> {
    /// What it says, if it was asked.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(what) => Some(what),
            Self::Unknown(_) => None,
        }
    }
}

/// Everything about one job.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sources {
    /// When the sources were asked.
    #[serde(with = "time::serde::rfc3339")]
    pub now: OffsetDateTime,
    /// The job.
    pub job_id: u64,
    /// `OWNER/NAME`
    pub repository: Option<String>,
    /// Whether the App is installed where the job is.
    pub installation: Seen<Installed>,
    /// The job; nothing inside if GitHub does not know it, or does not show it to the App.
    pub job: Seen<Option<Job>>,
    /// The delivery that announced it.
    pub delivery: Seen<Announced>,
    /// Whether the App subscribes to the event `workflow_job`.
    pub is_subscribed: Seen<bool>,
    /// What the deployed classes say to its labels: the class, or why there is none.
    pub classes: Seen<Result<String, String>>,
    /// The functions' log lines of this job, oldest first.
    pub lines: Seen<Vec<Line>>,
    /// What the webhook logged as an error around the delivery: it cannot say of which job.
    pub webhook_errors: Seen<Vec<Line>>,
    /// Whether the queue's messages reach the worker.
    pub event_source: Seen<EventSource>,
    /// The job's tasks, oldest first.
    pub tasks: Seen<Vec<Task>>,
    /// The registration of its latest runner; nothing inside if there is none.
    pub runner: Seen<Option<Runner>>,
    /// Whether that runner's group admits the repository; asked only of an idle runner.
    pub group_admits: Seen<bool>,
    /// Which repositories have how many runners; asked only where a limit of runners holds the job up.
    pub shares: Seen<BTreeMap<String, u64>>,
    /// The last lines of its latest runner, oldest first.
    pub output: Seen<Vec<OutputLine>>,
    /// Why it is on the dead-letter queue; nothing inside if it is not there.
    pub dead_letter: Seen<Option<String>>,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            now: OffsetDateTime::UNIX_EPOCH,
            job_id: 0,
            repository: None,
            installation: Seen::default(),
            job: Seen::default(),
            delivery: Seen::default(),
            is_subscribed: Seen::default(),
            classes: Seen::default(),
            lines: Seen::default(),
            webhook_errors: Seen::default(),
            event_source: Seen::default(),
            tasks: Seen::default(),
            runner: Seen::default(),
            group_admits: Seen::default(),
            shares: Seen::default(),
            output: Seen::default(),
            dead_letter: Seen::default(),
        }
    }
}

/// The App where the job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Installed {
    /// It is installed and active.
    Yes,
    /// It is suspended.
    Suspended,
    /// It is not installed on this repository.
    No,
}

/// A job as GitHub shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Job {
    /// GitHub's id.
    pub id: u64,
    /// Its run.
    pub run_id: u64,
    /// Its name in the workflow.
    pub name: String,
    /// `queued`, `in_progress`, `completed`, `waiting`, `pending` or `requested`.
    pub status: String,
    /// How it ended.
    pub conclusion: Option<String>,
    /// What it asks for.
    pub labels: Vec<String>,
    /// When it was created.
    #[serde(with = "time::serde::rfc3339::option")]
    pub created_at: Option<OffsetDateTime>,
    /// When a runner began it.
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub completed_at: Option<OffsetDateTime>,
    /// The runner that has or had it.
    pub runner_name: Option<String>,
    /// That runner's group.
    pub runner_group_name: Option<String>,
    /// Its page.
    pub html_url: Option<String>,
}

/// The delivery that announced a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Announced {
    /// It is in the log.
    Delivered {
        /// When GitHub made the latest attempt.
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
        /// How many attempts there were.
        attempts: usize,
        /// The answer's status; 0 if there was none.
        status: u16,
        /// The answer's reason.
        reason: Option<String>,
    },
    /// The log reaches back to the job and has no delivery of it.
    Never,
    /// The log does not reach back so far.
    Forgotten,
}

/// A log line of a function: only fields that [`super::redact`] lets through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When it was written.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// `webhook`, `worker` or `cleaner`.
    pub function: String,
    /// What it says.
    pub message: String,
    /// Its other fields.
    #[serde(default)]
    pub fields: Map<String, Value>,
}

impl Line {
    /// A field as text.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field)?.as_str()
    }

    /// A field as a number.
    pub fn number(&self, field: &str) -> Option<u64> {
        let value = self.fields.get(field)?;
        value.as_u64().or_else(|| value.as_i64().and_then(|number| number.try_into().ok()))
    }
}

/// What takes messages from the queue to the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventSource {
    /// It works.
    On,
    /// Somebody has switched it off.
    Off,
    /// There is none.
    Missing,
}

/// A task, without its overrides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Task {
    /// Its id, the last part of its ARN.
    pub id: String,
    /// Which launch of the job it is.
    pub attempt: u16,
    /// ECS's status.
    pub status: String,
    /// When ECS took it.
    #[serde(with = "time::serde::rfc3339::option")]
    pub created_at: Option<OffsetDateTime>,
    /// When its image began to be pulled.
    #[serde(with = "time::serde::rfc3339::option")]
    pub pull_started_at: Option<OffsetDateTime>,
    /// When that was done.
    #[serde(with = "time::serde::rfc3339::option")]
    pub pull_stopped_at: Option<OffsetDateTime>,
    /// When its containers ran.
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    /// When it stopped.
    #[serde(with = "time::serde::rfc3339::option")]
    pub stopped_at: Option<OffsetDateTime>,
    /// ECS's code for the stop.
    pub stop_code: Option<String>,
    /// ECS's words for it.
    pub stopped_reason: Option<String>,
    /// The runner's exit code.
    pub exit_code: Option<i32>,
}

impl Task {
    /// Whether it lives no longer.
    pub fn is_over(&self) -> bool {
        self.status == "STOPPED" || self.stopped_at.is_some()
    }
}

/// A registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runner {
    /// Its name.
    pub name: String,
    /// Whether it is connected.
    pub is_online: bool,
    /// Whether it runs a job.
    pub is_busy: bool,
    /// Its runner group's id.
    #[serde(default)]
    pub group: Option<u64>,
}

/// A line of a runner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputLine {
    /// When it was written.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// What it says.
    pub text: String,
}

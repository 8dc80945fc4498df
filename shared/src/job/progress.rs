//! How far a job has come.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::is_default;
use crate::report::Wait;

/// The number of a launch for a job; the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempt(pub u16);

impl Attempt {
    /// The first launch.
    pub const FIRST: Self = Self(1);

    /// The launch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// How far a job has come. Only the worker moves it on, in the functions that decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The launch that the message is about.
    pub attempt: Attempt,
    /// Birth time of the runner's name. Every repeat of the message derives the same name from it.
    #[serde(with = "time::serde::timestamp")]
    pub born_at: OffsetDateTime,
    /// How often the message has been deferred.
    #[serde(default, skip_serializing_if = "is_default")]
    pub deferrals: u32,
    /// How often in a row it has been deferred with a growing delay; sets the next delay.
    #[serde(default, skip_serializing_if = "is_default")]
    pub backoff: u32,
    /// Nothing happens before this moment. SQS delays a message by 15 minutes at most, GitHub's limits can take an hour.
    #[serde(default, with = "time::serde::timestamp::option", skip_serializing_if = "is_default")]
    pub not_before: Option<OffsetDateTime>,
    /// Ask GitHub whether the job still waits before launching: it has waited long enough to have ended meanwhile.
    #[serde(default, rename = "ask", skip_serializing_if = "is_default")]
    pub ask_first: bool,
    /// An earlier try may have left a registration under this message's name, so the name stays until that is settled.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unsettled: bool,
    /// How often in a row ECS did not show the launch's task.
    #[serde(default, skip_serializing_if = "is_default")]
    pub doubts: u32,
    /// How often in a row GitHub has refused a call for a reason that this code does not know.
    #[serde(default, skip_serializing_if = "is_default")]
    pub refusals: u32,
    /// How many of the job's launches failed before their runner could take a job.
    #[serde(default, rename = "failed", skip_serializing_if = "is_default")]
    pub failed_starts: u32,
    /// How many of the job's runners came up, and GitHub gave them no job.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unused: u32,
    /// Why the launch before this one came to nothing, or why this one had to wait: [`brief`]ly, in ECS's or GitHub's words or ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Which of the class's placements is tried first, by its index: those before it were interrupted or ran out of capacity
    /// after `RunTask` had accepted this job. On a task, the placement that it was started on.
    #[serde(default, skip_serializing_if = "is_default")]
    pub placement: u8,
    /// Another message for the same launch may be on the queue: whichever comes first launches the job, and only the other one
    /// becomes the job's dead letter.
    #[serde(default, rename = "copy", skip_serializing_if = "is_default")]
    pub is_copy: bool,
    /// For a release: when the runner was first seen online and idle. It counts as idle once a later observation agrees.
    #[serde(default, with = "time::serde::timestamp::option", skip_serializing_if = "is_default")]
    pub seen_idle_at: Option<OffsetDateTime>,
    /// Why the job waits, and what its commit says about it; absent while there are no reports.
    #[serde(default, skip_serializing_if = "is_default")]
    pub wait: Option<Wait>,
}

impl Progress {
    /// The beginning of a launch.
    pub fn new(attempt: Attempt, now: OffsetDateTime) -> Self {
        Self {
            attempt,
            born_at: now,
            deferrals: 0,
            backoff: 0,
            not_before: None,
            ask_first: false,
            unsettled: false,
            doubts: 0,
            refusals: 0,
            failed_starts: 0,
            unused: 0,
            trouble: None,
            placement: 0,
            is_copy: false,
            seen_idle_at: None,
            wait: None,
        }
    }

    /// Whether an earlier launch of the job came to nothing.
    pub fn is_retry(&self) -> bool {
        self.failed_starts + self.unused > 0
    }
}

/// The longest [`Progress::trouble`], in characters: reasons can quote requests, and a task's overrides hold 8,192.
const LONGEST_TROUBLE: usize = 120;

/// The beginning of a reason.
pub fn brief(reason: &str) -> String {
    reason.chars().take(LONGEST_TROUBLE).collect()
}

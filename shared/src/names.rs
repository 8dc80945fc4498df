//! Names and tokens, derived from the message alone.
//!
//! Repeating a step meets its own earlier trace (GitHub's 409, ECS's `ConflictException`) instead of making a second
//! runner, and a registration or a task leads back to its job without a database.

use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;

use crate::job::{Attempt, JobId, JobMessage};

/// Longest name of a runner, in characters. Source: GitHub's OpenAPI description of `generate-jitconfig`.
pub const LONGEST_RUNNER_NAME: usize = 64;

/// Longest `startedBy` that every ECS endpoint takes, in characters.
pub const LONGEST_STARTED_BY: usize = 36;

/// Leaves 24 characters of `startedBy` for the job's id and the attempt.
const LONGEST_PREFIX: usize = 12;

/// How many names a launch may try; each one but the first is taken only when a crash left the one before behind.
pub const MOST_SPARES: u8 = 25;

/// What all names of one deployment begin with, so that it never touches what it did not make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePrefix(String);

impl NamePrefix {
    /// The prefix, without the dash that follows it in names.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for NamePrefix {
    fn default() -> Self {
        Self("jit".to_owned())
    }
}

impl FromStr for NamePrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = (1..=LONGEST_PREFIX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("1 to {LONGEST_PREFIX} lower-case letters, digits and inner dashes"))
        }
    }
}

/// The name of a runner: prefix, class, job, attempt and birth time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunnerName(String);

impl RunnerName {
    /// The name for a message's runner. `spare` 0 is the ordinary one; higher ones stand in for names that are taken
    /// by a registration which may still be about to be used.
    pub fn derive(prefix: &NamePrefix, message: &JobMessage, spare: u8) -> Self {
        let spare = match spare {
            0 => String::new(),
            spare => char::from(b'a' + spare.min(MOST_SPARES)).to_string(),
        };
        let tail =
            format!("-{}-{}-{}{spare}", message.job_id, message.attempt, message.born_at.unix_timestamp().max(0));
        let room = LONGEST_RUNNER_NAME.saturating_sub(prefix.0.len() + 1 + tail.len());
        let class: String = message.class.chars().take(room).collect();
        Self(format!("{}-{class}{tail}", prefix.0))
    }

    /// The name as GitHub knows it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunnerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What a runner's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunnerOrigin {
    /// The job it was made for; it may run another one with the same labels.
    pub job_id: JobId,
    /// Which launch for that job.
    pub attempt: Attempt,
    /// Not before this was it registered.
    pub born_at: OffsetDateTime,
}

impl RunnerOrigin {
    /// Reads a name; `None` for any that this deployment cannot have made.
    pub fn parse(prefix: &NamePrefix, name: &str) -> Option<Self> {
        let rest = name.strip_prefix(prefix.as_str())?.strip_prefix('-')?;
        let mut parts = rest.rsplitn(4, '-');
        let birth = parts.next()?;
        let birth = birth.strip_suffix(|letter: char| letter.is_ascii_lowercase()).unwrap_or(birth);
        let attempt = Attempt(digits(parts.next()?)?);
        let job_id = JobId(digits(parts.next()?)?);
        parts.next()?;
        let born_at = OffsetDateTime::from_unix_timestamp(digits(birth)?).ok()?;
        Some(Self { job_id, attempt, born_at })
    }
}

/// What is written on the task (`startedBy`) and guards its launch (`clientToken`): prefix, job and attempt. It
/// survives the task's stop, where tags do not, and is an indexed filter of `ListTasks`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LaunchToken(String);

impl LaunchToken {
    /// The token of one launch.
    pub fn derive(prefix: &NamePrefix, job_id: JobId, attempt: Attempt) -> Self {
        Self(format!("{}-{job_id}-{attempt}", prefix.0))
    }

    /// The token as ECS knows it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads a task's `startedBy`; `None` for any that this deployment cannot have made.
    pub fn parse(prefix: &NamePrefix, started_by: &str) -> Option<(JobId, Attempt)> {
        let rest = started_by.strip_prefix(prefix.as_str())?.strip_prefix('-')?;
        let (job_id, attempt) = rest.split_once('-')?;
        Some((JobId(digits(job_id)?), Attempt(digits(attempt)?)))
    }
}

impl fmt::Display for LaunchToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Stricter than `parse`, which takes a sign.
fn digits<T: FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

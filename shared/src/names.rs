//! Names and tokens, derived from the message alone.
//!
//! A repeated step meets its own earlier trace (GitHub's 409, ECS's `ConflictException`) instead of making a second runner,
//! and a registration or a task leads back to its job, all without a database.
//!
//! | thing | form | example |
//! |---|---|---|
//! | registration's name | prefix, class (shortened to fit 64 characters), job id, attempt, birth time, spare letter | `jit-default-29679449-1-1793530800` |
//! | `clientToken` and `startedBy` | prefix, job id, attempt | `jit-29679449-1` |
//! | a warm runner's slot, in place of a job id | hash of class, scope and number, 17 digits: above 2^53, where GitHub has no ids | `48151623421081542` |
//!
//! The birth time comes from the message, not from the clock, so every repeat derives the same name. Two messages about one
//! job may derive different names, but always the same token.

use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;

use crate::job::{Attempt, JobId, Message};

/// Longest name of a runner, in characters. Source: GitHub's OpenAPI description of `generate-jitconfig`.
pub const LONGEST_RUNNER_NAME: usize = 64;

/// Longest `startedBy` that every ECS endpoint takes, in characters.
pub const LONGEST_STARTED_BY: usize = 36;

/// Leaves 24 characters of `startedBy` for the job's id and the attempt.
const LONGEST_PREFIX: usize = 12;

/// How many spare names a launch has. A try takes one only if a crash or another worker has taken the name before it.
pub const MOST_SPARES: u8 = 25;

/// The beginning of all names of one deployment, so that it never touches what it did not make. It has no dashes, because
/// they separate it from what follows: `jit-eu-default-…` could belong to `jit-eu` or, with a class `eu-default`, to `jit`.
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
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("1 to {LONGEST_PREFIX} lower-case letters and digits"))
        }
    }
}

/// The name of a runner: prefix, class, job, attempt and birth time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunnerName(String);

impl RunnerName {
    /// The name of a message's runner. `spare` 0 is the ordinary one. Higher ones stand in for names whose registration may
    /// be about to be used.
    pub fn derive(prefix: &NamePrefix, message: &Message, spare: u8) -> Self {
        let Message { job, progress, .. } = message;
        let spare = match spare {
            0 => String::new(),
            spare => char::from(b'a' + spare.min(MOST_SPARES)).to_string(),
        };
        let tail = format!("-{}-{}-{}{spare}", job.id, progress.attempt, progress.born_at.unix_timestamp().max(0));
        let room = LONGEST_RUNNER_NAME.saturating_sub(prefix.0.len() + 1 + tail.len());
        let class: String = job.class.chars().take(room).collect();
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

/// What a runner's name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunnerOrigin {
    /// The job that it was launched for. It may run another one with the same labels.
    pub job_id: JobId,
    /// The launch for that job.
    pub attempt: Attempt,
    /// It was not registered before this moment.
    pub born_at: OffsetDateTime,
}

impl RunnerOrigin {
    /// Reads a name; `None` for one that this deployment cannot have made.
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

/// A launch's `clientToken`, and its task's `startedBy`: prefix, job and attempt. `startedBy` outlives the task's stop, which
/// tags do not, and is an indexed filter of `ListTasks`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LaunchToken(String);

impl LaunchToken {
    /// The token of one launch.
    pub fn derive(prefix: &NamePrefix, job_id: JobId, attempt: Attempt) -> Self {
        Self(format!("{}-{job_id}-{attempt}", prefix.0))
    }

    /// The token of a message's launch.
    pub fn of(prefix: &NamePrefix, message: &Message) -> Self {
        Self::derive(prefix, message.job.id, message.progress.attempt)
    }

    /// The token as ECS knows it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads a task's `startedBy`; `None` for one that this deployment cannot have made.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::tests::message;

    fn prefix(text: &str) -> NamePrefix {
        text.parse().expect("a prefix")
    }

    #[test]
    fn a_prefix_is_short_lower_case_and_has_no_dash() {
        for fine in ["a", "jit", "jiteu", "a1b2c3d4e5f6", "0"] {
            assert_eq!(fine.parse::<NamePrefix>().map(|prefix| prefix.as_str().to_owned()).as_deref(), Ok(fine));
        }
        for wrong in ["", "-", "-a", "a-", "jit-eu", "A", "a_b", "a b", "ä", "abcdefghijklm"] {
            assert!(wrong.parse::<NamePrefix>().is_err(), "{wrong}");
        }
        assert_eq!(NamePrefix::default(), prefix("jit"));
    }

    #[test]
    fn a_name_says_what_its_runner_is_for() {
        for (text, job, attempt, spare) in
            [("jit", 4711, 1, 0), ("a1", 1, 7, 3), ("a1b2c3d4e5f6", u64::MAX, u16::MAX, MOST_SPARES), ("0", 0, 1, 1)]
        {
            for class in ["default", "a-1-2", "1", "n-23-4-56789-_8901234567"] {
                let mut message = message();
                (message.job.id, message.progress.attempt, message.job.class) =
                    (JobId(job), Attempt(attempt), class.to_owned());
                let name = RunnerName::derive(&prefix(text), &message, spare);
                assert!(name.as_str().len() <= LONGEST_RUNNER_NAME, "{name}");
                let origin = RunnerOrigin::parse(&prefix(text), name.as_str()).expect("one of ours");
                assert_eq!((origin.job_id, origin.attempt), (message.job.id, message.progress.attempt), "{name}");
                assert_eq!(origin.born_at, message.progress.born_at, "{name}");
            }
        }
    }

    #[test]
    fn each_spare_of_a_launch_has_a_name_of_its_own() {
        let (prefix, message) = (prefix("jit"), message());
        let names: std::collections::BTreeSet<_> =
            (0..=MOST_SPARES).map(|spare| RunnerName::derive(&prefix, &message, spare)).collect();
        assert_eq!(names.len(), usize::from(MOST_SPARES) + 1);
        assert_eq!(RunnerName::derive(&prefix, &message, 0).as_str(), "jit-default-4711-2-1793530800");
        assert_eq!(RunnerName::derive(&prefix, &message, 1).as_str(), "jit-default-4711-2-1793530800b");
    }

    #[test]
    fn a_name_that_this_deployment_cannot_have_made_is_not_ours() {
        for name in [
            "",
            "jit",
            "jit-",
            "jit-4711-1-1793530800",
            "jit2-default-4711-1-1793530800",
            "jiteu-default-4711-1-1793530800",
            "other-default-4711-1-1793530800",
            "jit-default-4711-1-now",
            "jit-default-4711-1-1793530800bb",
            "jit-default-4711-70000-1793530800",
            "jit-default-+4711-1-1793530800",
            "jit-default-4711-1-99999999999999999999",
        ] {
            assert_eq!(RunnerOrigin::parse(&prefix("jit"), name), None, "{name}");
        }
    }

    #[test]
    fn a_token_fits_started_by_and_leads_back_to_its_launch() {
        for (text, job, attempt) in
            [("jit", 4711, 1), ("a1", 1, 12), ("a1b2c3d4e5f", 999_999_999_999_999_999, u16::MAX)]
        {
            let token = LaunchToken::derive(&prefix(text), JobId(job), Attempt(attempt));
            assert!(token.as_str().len() <= LONGEST_STARTED_BY, "{token}");
            assert_eq!(LaunchToken::parse(&prefix(text), token.as_str()), Some((JobId(job), Attempt(attempt))));
        }
        for other in ["", "jit", "jit-1", "jit-1-2-3", "jit-x-1", "jiteu-1-1", "ecs-svc/123", "jit--1"] {
            assert_eq!(LaunchToken::parse(&prefix("jit"), other), None, "{other}");
        }
    }
}

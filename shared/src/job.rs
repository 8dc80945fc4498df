//! The job, and the message in which it travels from the webhook to the worker.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::admission::Provenance;
pub use crate::ids::{InstallationId, JobId, OwnerId, RunId, RunnerId};

/// The version of [`JobMessage`]'s JSON that this code writes and reads.
pub const MESSAGE_VERSION: u8 = 1;

/// Longest `html_url` carried; a longer one is left out, since nothing but a log line depends on it.
pub const LONGEST_HTML_URL: usize = 192;

/// How many times we have launched a runner for a job, this one included; the first is 1.
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

/// What a message wants done about its job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// The job is queued and needs a runner.
    #[default]
    Launch,
    /// The job ended without a runner: whatever was started for it is of no use.
    Release,
    /// There is no job: a runner is to be kept ready. Whoever wants it asks again, so it never waits.
    Warm,
}

impl Purpose {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_launch(&self) -> bool {
        *self == Self::Launch
    }
}

/// A job on its way through the queue: all that later steps need, so that none has to ask GitHub again.
///
/// About 500 bytes with ordinary names, little more than 1 KB with the longest. Nothing in it is cut: an overlong
/// `html_url` is left out, and a job whose labels are longer than [`LONGEST_LABELS`](crate::classes::LONGEST_LABELS)
/// together is refused at the door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobMessage {
    /// [`MESSAGE_VERSION`]
    #[serde(rename = "v")]
    pub version: u8,
    /// What is to be done.
    #[serde(default, skip_serializing_if = "Purpose::is_launch")]
    pub purpose: Purpose,
    /// The job.
    pub job_id: JobId,
    /// Its run.
    pub run_id: RunId,
    /// Which attempt of the run; re-runs count up from 1.
    pub run_attempt: u32,
    /// Login of the account that owns the repository.
    pub owner: String,
    /// That account's id; also the message's group, so that one owner's storm does not starve the others.
    pub owner_id: OwnerId,
    /// Name of the repository, without its owner.
    pub repository: String,
    /// Login of the organisation; absent for personal accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// Whether anybody may see the repository, and so fork it. Messages of old do not say.
    #[serde(default, rename = "public", skip_serializing_if = "std::ops::Not::not")]
    pub is_public: bool,
    /// Whether the run's code comes from another repository, once that has been asked for.
    #[serde(default, rename = "fork", skip_serializing_if = "Option::is_none")]
    pub is_from_fork: Option<bool>,
    /// The App's installation that sent the delivery; absent for organisation and repository hooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installation_id: Option<InstallationId>,
    /// Exactly the job's labels: its runner will carry these and no others.
    pub labels: Vec<String>,
    /// Name of the runner class that fits.
    pub class: String,
    /// When GitHub created the job.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// The job's page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html_url: Option<String>,
    /// `X-GitHub-Delivery` of the delivery that told us.
    pub delivery_id: String,
    /// Which launch for this job.
    pub attempt: Attempt,
    /// When we first heard of it; a job waits 24 h on GitHub, counted from about here.
    #[serde(with = "time::serde::timestamp")]
    pub queued_at: OffsetDateTime,
    /// Birth time of the runner's name. Every repeat of this message derives the same name from it.
    #[serde(with = "time::serde::timestamp")]
    pub born_at: OffsetDateTime,
    /// How often the job was sent back to wait.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub deferrals: u32,
    /// How often in a row it had to wait for the same reason of ours or of AWS; sets the next delay.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub backoff: u32,
    /// Not to be worked on earlier: SQS delays 15 minutes at most, GitHub's limits can take an hour.
    #[serde(default, with = "time::serde::timestamp::option", skip_serializing_if = "Option::is_none")]
    pub not_before: Option<OffsetDateTime>,
    /// A registration may be left under this message's name by a launch whose outcome we never heard, so the name
    /// must stay as it is until that is settled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsettled: bool,
    /// How often in a row ECS did not show what the launch's task is.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub doubts: u32,
    /// For a release: when the launch's runner was first seen online and idle. It is idle only if a later look agrees.
    #[serde(default, with = "time::serde::timestamp::option", skip_serializing_if = "Option::is_none")]
    pub seen_idle_at: Option<OffsetDateTime>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Why a message's body cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableMessage {
    /// Not JSON, or a field missing or of the wrong type.
    #[error("not a job message: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Written by a later version of jitgate.
    #[error("job message of version {0}, expected {MESSAGE_VERSION}")]
    Version(u8),
}

impl JobMessage {
    /// Reads a message's body.
    pub fn parse(body: &str) -> Result<Self, UnreadableMessage> {
        let message: Self = serde_json::from_str(body)?;
        if message.version == MESSAGE_VERSION { Ok(message) } else { Err(UnreadableMessage::Version(message.version)) }
    }

    /// The message's body.
    pub fn to_body(&self) -> String {
        serde_json::to_string(self).expect("a struct of strings and numbers always becomes JSON")
    }

    /// The message of a further launch for the same job, as if it had just come in.
    #[must_use]
    pub fn for_launch(self, attempt: Attempt, now: OffsetDateTime) -> Self {
        Self {
            purpose: Purpose::Launch,
            attempt,
            born_at: now,
            deferrals: 0,
            backoff: 0,
            doubts: 0,
            not_before: None,
            unsettled: false,
            seen_idle_at: None,
            ..self
        }
    }

    /// Where its code comes from, as far as is known.
    pub fn provenance(&self) -> Provenance {
        Provenance { is_public: self.is_public, is_from_fork: self.is_from_fork }
    }

    /// `owner/name`
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.repository)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A second launch, with all that a message may carry.
    pub(crate) fn message() -> JobMessage {
        let at = time::macros::datetime!(2026-11-01 11:00 UTC);
        JobMessage {
            version: MESSAGE_VERSION,
            purpose: Purpose::Release,
            job_id: JobId(4711),
            run_id: RunId(815),
            run_attempt: 3,
            owner: "octo-org".to_owned(),
            owner_id: OwnerId(1),
            repository: "octo-repo".to_owned(),
            organization: Some("octo-org".to_owned()),
            installation_id: Some(InstallationId(2)),
            labels: vec!["fargate".to_owned(), "ü\"\\".to_owned()],
            class: "default".to_owned(),
            created_at: at - time::Duration::milliseconds(1500),
            html_url: Some("https://github.com/octo-org/octo-repo/actions/runs/815/job/4711".to_owned()),
            delivery_id: "72d3162e-cc78-11e3-81ab-4c9367dc0958".to_owned(),
            attempt: Attempt(2),
            queued_at: at,
            born_at: at,
            deferrals: 4,
            backoff: 2,
            not_before: Some(at),
            unsettled: true,
            doubts: 1,
            seen_idle_at: Some(at),
            is_public: true,
            is_from_fork: Some(false),
        }
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let full = message();
        assert_eq!(JobMessage::parse(&full.to_body()).unwrap(), full);
        let least = JobMessage {
            organization: None,
            installation_id: None,
            html_url: None,
            ..full.for_launch(Attempt::FIRST, time::macros::datetime!(2026-11-01 12:00 UTC))
        };
        let body = least.to_body();
        assert_eq!(JobMessage::parse(&body).unwrap(), least);
        for left_out in ["purpose", "deferrals", "backoff", "not_before", "unsettled", "doubts", "seen_idle_at", "null"]
        {
            assert!(!body.contains(left_out), "{left_out} takes room in {body}");
        }
    }

    #[test]
    fn a_further_launch_begins_anew_and_keeps_what_the_job_is() {
        let now = time::macros::datetime!(2026-11-01 12:00 UTC);
        let again = message().for_launch(Attempt(3), now);
        assert_eq!((again.attempt, again.born_at, again.purpose), (Attempt(3), now, Purpose::Launch));
        assert_eq!((again.deferrals, again.backoff, again.doubts, again.unsettled), (0, 0, 0, false));
        assert_eq!((again.not_before, again.seen_idle_at), (None, None));
        assert_eq!((again.job_id, again.queued_at, again.labels), (JobId(4711), message().queued_at, message().labels));
        assert_eq!(Attempt(u16::MAX).next(), Attempt(u16::MAX));
    }

    #[test]
    fn a_message_that_nobody_can_read_says_why() {
        let later = message().to_body().replacen("\"v\":1", "\"v\":2", 1);
        assert!(matches!(JobMessage::parse(&later), Err(UnreadableMessage::Version(2))));
        let without = message().to_body().replacen("\"job_id\"", "\"id\"", 1);
        let error = JobMessage::parse(&without).expect_err("a field is missing");
        assert!(error.to_string().contains("missing field `job_id`"), "{error}");
        assert!(matches!(JobMessage::parse("jobs"), Err(UnreadableMessage::Malformed(_))));
    }
}

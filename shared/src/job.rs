//! The job, how far it has come, and the message that carries both through the queue.

mod progress;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use self::progress::{Attempt, Progress, brief};
pub use crate::ids::{InstallationId, JobId, OwnerId, RunId, RunnerId};
use crate::provenance::Provenance;
use crate::report::{News, OnCommit, Wait};

/// The version of [`Message`]'s JSON that this code writes and reads.
pub const MESSAGE_VERSION: u8 = 1;

/// The longest `html_url` that a message carries, in bytes. A longer one is left out: only log lines use it.
pub const LONGEST_HTML_URL: usize = 192;

/// The longest name of a workflow that a message carries, in characters. Of a longer one it carries the beginning: only log
/// lines use it.
const LONGEST_WORKFLOW: usize = 64;

/// What a message asks the worker to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Start a runner: the job is queued.
    #[default]
    Launch,
    /// Stop what was started: the job ended without a runner.
    Release,
    /// Start a warm runner. There is no job, so the message never waits: the cleaner asks again.
    Warm,
    /// Tell the job's commit what became of it. Nothing is started or stopped.
    Report,
}

/// A job as its delivery described it. Nothing in it changes on the way, except that `is_from_fork` is filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// GitHub's id, or that of a warm runner's slot.
    #[serde(rename = "job_id")]
    pub id: JobId,
    /// The job's run.
    pub run_id: RunId,
    /// The attempt of the run; re-runs count up from 1.
    pub run_attempt: u32,
    /// Login of the account that owns the repository.
    pub owner: String,
    /// That account's id. It is also the message's group in SQS, so that one owner's burst does not starve the others.
    pub owner_id: OwnerId,
    /// Name of the repository, without its owner.
    pub repository: String,
    /// Login of the organization; absent for personal accounts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub organization: Option<String>,
    /// Whether anyone may see the repository, and so fork it.
    #[serde(default, rename = "public", skip_serializing_if = "is_default")]
    pub is_public: bool,
    /// Whether the run's code comes from another repository; absent until GitHub has been asked.
    #[serde(default, rename = "fork", skip_serializing_if = "is_default")]
    pub is_from_fork: Option<bool>,
    /// The App's installation that sent the delivery; absent for organization and repository hooks.
    #[serde(default, skip_serializing_if = "is_default")]
    pub installation_id: Option<InstallationId>,
    /// Exactly the job's labels: its runner carries these and no others.
    pub labels: Vec<String>,
    /// Name of the runner class that the job fits.
    pub class: String,
    /// When GitHub created the job.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// The job's page.
    #[serde(default, skip_serializing_if = "is_default")]
    pub html_url: Option<String>,
    /// The [beginning](workflow_name) of its workflow's name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub workflow: Option<String>,
    /// Where reports about the job go; absent while there are none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub commit: Option<OnCommit>,
    /// `X-GitHub-Delivery` of the delivery that announced the job.
    pub delivery_id: String,
    /// When jitgate first heard of the job. GitHub's limit of 24 hours counts from about here.
    #[serde(with = "time::serde::timestamp")]
    pub queued_at: OffsetDateTime,
}

impl Job {
    /// Where the job's code comes from, as far as is known.
    pub fn provenance(&self) -> Provenance {
        Provenance { is_public: self.is_public, is_from_fork: self.is_from_fork }
    }

    /// `owner/name`
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.repository)
    }
}

/// As much of a workflow's name as a message carries.
pub fn workflow_name(name: &str) -> String {
    name.chars().take(LONGEST_WORKFLOW).collect()
}

/// A job on its way through the queue, with everything that later steps need.
///
/// About 500 bytes with ordinary names, little more than 1 KB with the longest; reports add 150 to 400. Of a long name of a
/// workflow or a job it has the beginning. Nothing else in it is cut: an overlong `html_url` is left out, and the webhook
/// refuses a job whose labels are longer than [`LONGEST_LABELS`](crate::classes::LONGEST_LABELS) together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    #[serde(rename = "v")]
    version: u8,
    /// What to do.
    #[serde(default, skip_serializing_if = "is_default")]
    pub purpose: Purpose,
    /// The job.
    #[serde(flatten)]
    pub job: Job,
    /// How far it has come.
    #[serde(flatten)]
    pub progress: Progress,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Why a message's body cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableMessage {
    /// Not JSON, or a field is missing or of the wrong type.
    #[error("not a job message: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Written by a later version of jitgate.
    #[error("job message of version {0}, expected {MESSAGE_VERSION}")]
    Version(u8),
}

impl Message {
    /// A message on its way to its first try.
    pub fn new(purpose: Purpose, job: Job, attempt: Attempt, now: OffsetDateTime) -> Self {
        Self { version: MESSAGE_VERSION, purpose, job, progress: Progress::new(attempt, now) }
    }

    /// The message of a further launch for the same job. What its earlier launches came to stays known.
    #[must_use]
    pub fn for_launch(self, attempt: Attempt, now: OffsetDateTime) -> Self {
        let Progress { failed_starts, unused, trouble, .. } = self.progress;
        let mut message = Self::new(Purpose::Launch, self.job, attempt, now);
        message.progress = Progress { failed_starts, unused, trouble, ..message.progress };
        message
    }

    /// The same message with that progress.
    #[must_use]
    pub fn with(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// A message that has the worker tell the job's commit this news.
    #[must_use]
    pub fn saying(mut self, news: News, now: OffsetDateTime) -> Self {
        self.purpose = Purpose::Report;
        self.progress.wait = Some(Wait::noted(self.progress.wait, news, now));
        self
    }

    /// The same message, but GitHub is asked about the job before anything is launched.
    #[must_use]
    pub fn asking_first(mut self) -> Self {
        self.progress.ask_first = true;
        self
    }

    /// The same message as a copy, or as the job's own.
    #[must_use]
    pub fn as_copy(mut self, is_copy: bool) -> Self {
        self.progress.is_copy = is_copy;
        self
    }

    /// The same message for a launch that begins with that placement, or a task that was started on it.
    #[must_use]
    pub fn on_placement(mut self, placement: u8) -> Self {
        self.progress.placement = placement;
        self
    }

    /// Reads a message's body.
    pub fn parse(body: &str) -> Result<Self, UnreadableMessage> {
        let message: Self = serde_json::from_str(body)?;
        match message.version {
            // Bodies of older releases say nothing but `backoff` when GitHub is to be asked first.
            MESSAGE_VERSION if message.progress.backoff > 0 => Ok(message.asking_first()),
            MESSAGE_VERSION => Ok(message),
            other => Err(UnreadableMessage::Version(other)),
        }
    }

    /// The message's body.
    pub fn to_body(&self) -> String {
        serde_json::to_string(self).expect("a struct of strings and numbers always becomes JSON")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::ids::CheckRunId;
    use crate::report::Told;

    const NOW: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

    /// A second launch, with every field set.
    pub(crate) fn message() -> Message {
        let at = datetime!(2026-11-01 11:00 UTC);
        let job = Job {
            id: JobId(4711),
            run_id: RunId(815),
            run_attempt: 3,
            owner: "octo-org".to_owned(),
            owner_id: OwnerId(1),
            repository: "octo-repo".to_owned(),
            organization: Some("octo-org".to_owned()),
            is_public: true,
            is_from_fork: Some(false),
            installation_id: Some(InstallationId(2)),
            labels: vec!["fargate".to_owned(), "ü\"\\".to_owned()],
            class: "default".to_owned(),
            created_at: at - time::Duration::milliseconds(1500),
            html_url: Some("https://github.com/octo-org/octo-repo/actions/runs/815/job/4711".to_owned()),
            workflow: Some("CI".to_owned()),
            commit: OnCommit::of("test", "3484a3fb816e0859fd6e1cea078d76385ff50625"),
            delivery_id: "72d3162e-cc78-11e3-81ab-4c9367dc0958".to_owned(),
            queued_at: at,
        };
        let progress = Progress {
            attempt: Attempt(2),
            born_at: at,
            deferrals: 4,
            backoff: 2,
            not_before: Some(at),
            ask_first: true,
            unsettled: true,
            doubts: 1,
            refusals: 5,
            failed_starts: 2,
            unused: 1,
            trouble: Some("no address".to_owned()),
            placement: 3,
            is_copy: true,
            seen_idle_at: Some(at),
            wait: Some(Wait {
                news: News::NoCapacity,
                since: at,
                told: Some(Told { check: CheckRunId(9), news: News::LimitReached, at }),
            }),
        };
        Message { version: MESSAGE_VERSION, purpose: Purpose::Release, job, progress }
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let full = message();
        assert_eq!(Message::parse(&full.to_body()).unwrap(), full);
        let mut least = Message::new(Purpose::Launch, full.job, Attempt::FIRST, NOW);
        (least.job.organization, least.job.installation_id, least.job.html_url) = (None, None, None);
        (least.job.workflow, least.job.commit) = (None, None);
        let body = least.to_body();
        assert_eq!(Message::parse(&body).unwrap(), least);
        for left_out in [
            "purpose",
            "deferrals",
            "backoff",
            "not_before",
            "ask",
            "unsettled",
            "doubts",
            "refusals",
            "failed",
            "unused",
            "trouble",
            "placement",
            "copy",
            "workflow",
            "seen_idle_at",
            "commit",
            "wait",
            "null",
        ] {
            assert!(!body.contains(left_out), "{left_out} takes room in {body}");
        }
    }

    /// As release 0.1 wrote them: on the queue, and on running tasks.
    #[test]
    fn a_body_that_an_earlier_release_wrote_is_still_read() {
        let full = r#"{"v":1,"purpose":"release","job_id":4711,"run_id":815,"run_attempt":3,"owner":"octo-org",
            "owner_id":1,"repository":"octo-repo","organization":"octo-org","public":true,"fork":false,
            "installation_id":2,"labels":["fargate","ü\"\\"],"class":"default",
            "created_at":"2026-11-01T10:59:58.5Z",
            "html_url":"https://github.com/octo-org/octo-repo/actions/runs/815/job/4711",
            "delivery_id":"72d3162e-cc78-11e3-81ab-4c9367dc0958","attempt":2,"queued_at":1793530800,
            "born_at":1793530800,"deferrals":4,"backoff":2,"not_before":1793530800,"unsettled":true,"doubts":1,
            "seen_idle_at":1793530800}"#;
        let Message { progress, .. } = message();
        let as_then = Progress { refusals: 0, placement: 0, failed_starts: 0, unused: 0, ..progress };
        let as_then = Progress { trouble: None, is_copy: false, wait: None, ..as_then };
        let mut as_then = message().with(as_then);
        (as_then.job.workflow, as_then.job.commit) = (None, None);
        assert_eq!(Message::parse(full).unwrap(), as_then);
        let fresh = r#"{"v":1,"job_id":29679449,"run_id":7,"run_attempt":1,"owner":"octocat","owner_id":3,
            "repository":"hello","labels":["fargate"],"class":"default","created_at":"2026-11-01T11:00:00Z",
            "delivery_id":"d","attempt":1,"queued_at":1793534400,"born_at":1793534400}"#;
        let read = Message::parse(fresh).unwrap();
        assert_eq!(
            (read.purpose, read.job.id, read.progress),
            (Purpose::Launch, JobId(29_679_449), Progress::new(Attempt::FIRST, NOW))
        );
        assert_eq!((read.job.organization, read.job.is_public, read.job.is_from_fork), (None, false, None));
    }

    #[test]
    fn a_further_launch_begins_anew_and_keeps_what_the_job_is_and_what_came_of_the_others() {
        let again = message().for_launch(Attempt(3), NOW);
        assert_eq!((again.purpose, &again.job), (Purpose::Launch, &message().job));
        let Progress { failed_starts, unused, trouble, .. } = message().progress;
        assert_eq!(again.progress, Progress { failed_starts, unused, trouble, ..Progress::new(Attempt(3), NOW) });
        assert_eq!(Attempt(u16::MAX).next(), Attempt(u16::MAX));
    }

    #[test]
    fn an_unreadable_message_says_why() {
        let later = message().to_body().replacen("\"v\":1", "\"v\":2", 1);
        assert!(matches!(Message::parse(&later), Err(UnreadableMessage::Version(2))));
        let without = message().to_body().replacen("\"job_id\"", "\"id\"", 1);
        let error = Message::parse(&without).expect_err("a field is missing");
        assert!(error.to_string().contains("missing field `job_id`"), "{error}");
        assert!(matches!(Message::parse("jobs"), Err(UnreadableMessage::Malformed(_))));
    }
}

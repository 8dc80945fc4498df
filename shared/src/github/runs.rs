//! Runs and their jobs: what waits, by GitHub's own account.

use serde::Deserialize;
use time::OffsetDateTime;

use super::accounts::page_of;
use super::{Account, Call, GitHub, GitHubError};
use crate::admission::Provenance;
use crate::job::{JobId, OwnerId, RunId, RunnerId};

/// Most items of a page. Source: GitHub's OpenAPI description.
const PAGE: usize = 100;

const ACTIONS_READ: &str = "the App's repository permission \"Actions: Read-only\"";

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It waits for a runner.
    Queued,
    /// A runner has it.
    InProgress,
    /// It has ended.
    Completed,
    /// It waits for something else, such as an approval: no runner is of use to it yet.
    #[serde(other)]
    Waiting,
}

/// How far a run is, as far as one asks for it. A run of which one job is on goes on, although others may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// All of its jobs wait.
    Queued,
    /// Some of its jobs are on.
    InProgress,
}

impl RunState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
        }
    }
}

/// A run, as GitHub lists it.
#[derive(Clone, Debug, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// When it was created.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// What set it off, in GitHub's words; a fork that is gone can be told by nothing else.
    #[serde(default)]
    pub event: Option<String>,
    /// Its repository.
    pub repository: RunRepository,
    /// Where its code comes from; absent where that is gone.
    #[serde(default)]
    pub head_repository: Option<HeadRepository>,
}

impl Run {
    /// Who may have had a hand in what its jobs run.
    pub fn provenance(&self) -> Provenance {
        let is_from_fork = match &self.head_repository {
            Some(head) => head.id != self.repository.id,
            None => self.event.as_deref().is_none_or(|event| event.starts_with("pull_request")),
        };
        Provenance { is_public: !self.repository.private.unwrap_or(false), is_from_fork: Some(is_from_fork) }
    }
}

/// The repository of a run's code.
#[derive(Clone, Debug, Deserialize)]
pub struct HeadRepository {
    /// Its id.
    pub id: u64,
}

/// A run's repository.
#[derive(Clone, Debug, Deserialize)]
pub struct RunRepository {
    /// Its id.
    pub id: u64,
    /// Whether only some may see it; `internal` repositories are private, too.
    #[serde(default)]
    pub private: Option<bool>,
    /// Its name, without its owner.
    pub name: String,
    /// Whose it is.
    pub owner: RunOwner,
}

/// A repository's owner.
#[derive(Clone, Debug, Deserialize)]
pub struct RunOwner {
    /// The account's id.
    pub id: OwnerId,
    /// Its login.
    pub login: String,
    /// `Organization` or `User`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

/// A job, as GitHub lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Its run.
    pub run_id: RunId,
    /// Which attempt of the run; absent from old enterprise servers.
    #[serde(default = "first_attempt")]
    pub run_attempt: u32,
    /// How far it is.
    #[serde(rename = "status")]
    pub state: JobState,
    /// The labels of its `runs-on`.
    #[serde(default)]
    pub labels: Vec<String>,
    /// When it was created; absent from old enterprise servers.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub created_at: Option<OffsetDateTime>,
    /// Its page.
    pub html_url: Option<String>,
    /// The registration of the runner that has or had it.
    #[serde(default)]
    pub runner_id: Option<RunnerId>,
    /// The name of the same, which outlives its registration.
    #[serde(default)]
    pub runner_name: Option<String>,
}

fn first_attempt() -> u32 {
    1
}

#[derive(Deserialize)]
struct RunJson {
    status: Option<String>,
}

#[derive(Deserialize)]
struct RunsJson {
    workflow_runs: Vec<Run>,
}

#[derive(Deserialize)]
struct JobsJson {
    jobs: Vec<Job>,
}

/// One page, and whether there may be another.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Whether it was full.
    pub is_full: bool,
}

fn job_call<'a>(owner: &'a str, repository: &'a str, id: &'a str) -> Call<'a> {
    let call = Call::get(vec!["repos", owner, repository, "actions", "jobs", id], ACTIONS_READ);
    call.about_jobs(owner, repository)
}

impl GitHub {
    /// Runs of a repository in that state, the latest first.
    pub async fn runs(
        &self,
        account: &Account,
        (owner, repository): (&str, &str),
        state: RunState,
        page: u32,
    ) -> Result<Page<Run>, GitHubError> {
        let mut call = page_of(vec!["repos", owner, repository, "actions", "runs"], page, ACTIONS_READ);
        call.query.push(("status", state.as_str().to_owned()));
        let RunsJson { workflow_runs } = self.call(account, call.about_jobs(owner, repository)).await?;
        Ok(Page { is_full: workflow_runs.len() >= PAGE, items: workflow_runs })
    }

    /// Jobs of a run, of its latest attempt.
    pub async fn jobs_of_run(
        &self,
        account: &Account,
        (owner, repository): (&str, &str),
        run: RunId,
        page: u32,
    ) -> Result<Page<Job>, GitHubError> {
        let run = run.to_string();
        let call = page_of(vec!["repos", owner, repository, "actions", "runs", &run, "jobs"], page, ACTIONS_READ);
        let JobsJson { jobs } = self.call(account, call.about_jobs(owner, repository)).await?;
        Ok(Page { is_full: jobs.len() >= PAGE, items: jobs })
    }

    /// One job; `None` if GitHub does not know it (any more).
    pub async fn job(
        &self,
        account: &Account,
        owner: &str,
        repository: &str,
        job: JobId,
    ) -> Result<Option<Job>, GitHubError> {
        let id = job.to_string();
        self.job_of(account, job_call(owner, repository, &id)).await
    }

    /// The same, before the job is launched: with [`GitHubError::Paced`] if it is not the launch's turn. `has_waited`: it
    /// was told so, and comes at its moment.
    pub async fn job_in_turn(
        &self,
        account: &Account,
        owner: &str,
        repository: &str,
        job: JobId,
        has_waited: bool,
    ) -> Result<Option<Job>, GitHubError> {
        let id = job.to_string();
        self.job_of(account, job_call(owner, repository, &id).in_turn(has_waited)).await
    }

    async fn job_of(&self, account: &Account, call: Call<'_>) -> Result<Option<Job>, GitHubError> {
        match self.call(account, call).await {
            Ok(job) => Ok(Some(job)),
            Err(GitHubError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One run.
    pub async fn run(&self, account: &Account, owner: &str, repository: &str, run: RunId) -> Result<Run, GitHubError> {
        let id = run.to_string();
        let call = Call::get(vec!["repos", owner, repository, "actions", "runs", &id], ACTIONS_READ);
        self.call(account, call.about_jobs(owner, repository)).await
    }

    /// Whether a run has ended. GitHub was seen to leave jobs queued in runs that had.
    pub async fn run_has_ended(
        &self,
        account: &Account,
        owner: &str,
        repository: &str,
        run: RunId,
    ) -> Result<bool, GitHubError> {
        let id = run.to_string();
        let call = Call::get(vec!["repos", owner, repository, "actions", "runs", &id], ACTIONS_READ);
        match self.call::<RunJson>(account, call.about_jobs(owner, repository)).await {
            Ok(run) => Ok(run.status.as_deref() == Some("completed")),
            Err(GitHubError::NotFound { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

//! A repository's runs and jobs, as GitHub shows and lists them.
//!
//! What a decision does not need may be missing in GitHub's answers, and what is missing decides nothing.

use serde::Deserialize;
use time::OffsetDateTime;

use super::call::{Call, Caller};
use super::client::GitHub;
use super::error::GitHubError;
use super::pages::{PageJson, Pages};
use super::place::Account;
use crate::admission::Provenance;
use crate::job::{JobId, OwnerId, RunId, RunnerId};

const ACTIONS_READ: &str = "the App's repository permission \"Actions: Read-only\"";

/// A job's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// The job waits for a runner.
    Queued,
    /// A runner has the job.
    InProgress,
    /// The job has ended.
    Completed,
    /// The job waits for something else, such as an approval, and cannot use a runner yet.
    #[serde(other)]
    Waiting,
}

/// A run, as GitHub lists it.
#[derive(Clone, Debug, Deserialize)]
pub struct Run {
    /// The run's id.
    pub id: RunId,
    /// When it was created.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub created_at: Option<OffsetDateTime>,
    /// The event that triggered it. For a fork that was deleted, nothing else tells that there was one.
    #[serde(default)]
    pub event: Option<String>,
    /// The repository that it runs in.
    pub repository: RunRepository,
    /// Where its code comes from; absent if that repository is gone.
    #[serde(default)]
    pub head_repository: Option<HeadRepository>,
}

impl Run {
    /// Whether strangers may have written what its jobs run.
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
    /// Whether only some may see it. `internal` repositories are private, too.
    #[serde(default)]
    pub private: Option<bool>,
    /// The name, without its owner.
    #[serde(default)]
    pub name: Option<String>,
    /// The account that owns it.
    #[serde(default)]
    pub owner: Option<RunOwner>,
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

/// What a look at one job says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct JobLook {
    /// The job's state.
    #[serde(default, rename = "status")]
    pub state: Option<JobState>,
    /// The registration of the runner that has or had it.
    #[serde(default)]
    pub runner_id: Option<RunnerId>,
    /// That runner's name, which outlives the registration.
    #[serde(default)]
    pub runner_name: Option<String>,
}

/// A job, as GitHub lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Its name in the workflow.
    #[serde(default)]
    pub name: String,
    /// The commit that its run is of.
    #[serde(default)]
    pub head_sha: String,
    /// The attempt of the run; absent from old Enterprise Servers.
    #[serde(default = "first_attempt")]
    pub run_attempt: u32,
    /// The job's state.
    #[serde(default, rename = "status")]
    pub state: Option<JobState>,
    /// The labels of its `runs-on`.
    #[serde(default)]
    pub labels: Vec<String>,
    /// When it was created; absent from old Enterprise Servers.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub created_at: Option<OffsetDateTime>,
    /// Its page.
    #[serde(default)]
    pub html_url: Option<String>,
    /// Its workflow's name.
    #[serde(default)]
    pub workflow_name: Option<String>,
    /// The name of the runner that has or had it.
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

impl PageJson for RunsJson {
    type Item = Run;

    fn items(self) -> Vec<Run> {
        self.workflow_runs
    }
}

impl PageJson for JobsJson {
    type Item = Job;

    fn items(self) -> Vec<Job> {
        self.jobs
    }
}

/// The client for one repository's runs, jobs and check runs.
#[derive(Clone, Copy)]
pub struct InRepository<'a> {
    pub(super) github: &'a GitHub,
    pub(super) account: &'a Account,
    pub(super) owner: &'a str,
    pub(super) name: &'a str,
}

impl GitHub {
    /// The client for one repository's runs and jobs.
    pub fn in_repository<'a>(&'a self, account: &'a Account, owner: &'a str, name: &'a str) -> InRepository<'a> {
        InRepository { github: self, account, owner, name }
    }
}

impl<'a> InRepository<'a> {
    fn caller(self) -> Caller<'a> {
        Caller::Account(self.account)
    }

    fn call_on<'b>(&'b self, further: &[&'b str]) -> Call<'b> {
        let mut path = vec!["repos", self.owner, self.name, "actions"];
        path.extend(further);
        Call::get(path, ACTIONS_READ).about_jobs(self.owner, self.name)
    }

    /// One job; `None` if GitHub does not, or no longer, know it.
    pub async fn job(self, id: JobId) -> Result<Option<JobLook>, GitHubError> {
        let id = id.to_string();
        self.github.find(self.caller(), &self.call_on(&["jobs", &id])).await
    }

    /// The same before a launch: [`GitHubError::Paced`] says until when the launch has to wait. `has_waited`: the job's
    /// message has waited for such a moment.
    pub async fn job_in_turn(self, id: JobId, has_waited: bool) -> Result<Option<JobLook>, GitHubError> {
        let id = id.to_string();
        self.github.find(self.caller(), &self.call_on(&["jobs", &id]).in_turn(has_waited)).await
    }

    /// One run; `None` if GitHub does not, or no longer, know it.
    pub async fn run(self, id: RunId) -> Result<Option<Run>, GitHubError> {
        let id = id.to_string();
        self.github.find(self.caller(), &self.call_on(&["runs", &id])).await
    }

    /// Whether a run has ended. Users saw GitHub leave jobs queued in runs that had.
    pub async fn run_has_ended(self, id: RunId) -> Result<bool, GitHubError> {
        let id = id.to_string();
        let run: Option<RunJson> = self.github.find(self.caller(), &self.call_on(&["runs", &id])).await?;
        Ok(run.is_none_or(|run| run.status.as_deref() == Some("completed")))
    }

    /// The repository's runs that are queued or in progress, of each state the latest first. A run is in progress while one of
    /// its jobs is, although others may be queued. Reads pages while `may_read` says so.
    pub async fn runs(self, may_read: &mut impl FnMut() -> bool) -> Result<Vec<Run>, GitHubError> {
        let mut all = Vec::new();
        for status in ["queued", "in_progress"] {
            let mut call = self.call_on(&["runs"]);
            call.query.push(("status", status.to_owned()));
            all.extend(self.read::<RunsJson>(call, may_read).await?);
        }
        Ok(all)
    }

    /// The jobs of a run's latest attempt. Reads pages while `may_read` says so.
    pub async fn jobs_of_run(self, run: RunId, may_read: &mut impl FnMut() -> bool) -> Result<Vec<Job>, GitHubError> {
        let run = run.to_string();
        self.read::<JobsJson>(self.call_on(&["runs", &run, "jobs"]), may_read).await
    }

    async fn read<P: PageJson>(
        self,
        call: Call<'_>,
        may_read: &mut impl FnMut() -> bool,
    ) -> Result<Vec<P::Item>, GitHubError> {
        let mut pages = Pages::numbered(self.github, self.caller(), call);
        let mut all = Vec::new();
        while pages.has_next() && may_read() {
            all.extend(pages.next::<P>().await?.into_iter().flatten());
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_missing_in_an_answer_decides_nothing() {
        let look: JobLook = serde_json::from_str("{}").expect("readable");
        assert_eq!(look, JobLook { state: None, runner_id: None, runner_name: None });
        let job: Job = serde_json::from_str(r#"{"id":1}"#).expect("readable");
        assert_eq!((job.state, job.labels.len(), job.run_attempt), (None, 0, 1));
        let run: Run =
            serde_json::from_str(r#"{"id":1,"repository":{"id":2},"head_repository":{"id":2}}"#).expect("readable");
        assert_eq!((run.created_at, run.repository.owner.is_none()), (None, true));
        // Whether the repository is public must be known: what is not said to be private may be seen by anyone.
        assert_eq!(run.provenance(), Provenance { is_public: true, is_from_fork: Some(false) });
    }

    #[test]
    fn the_code_of_a_deleted_fork_counts_as_a_forks() {
        let is_from_fork = |event: Value, head: Value| {
            let run = json!({
                "id": 1, "created_at": "2026-11-01T12:00:00Z", "event": event, "head_repository": head,
                "repository": { "id": 7, "private": false, "name": "r", "owner": { "id": 1, "login": "o" } },
            });
            serde_json::from_value::<Run>(run).expect("a run").provenance().is_from_fork
        };
        for (event, head, expected) in [
            (json!("pull_request"), json!({ "id": 8 }), true),
            (json!("pull_request"), json!({ "id": 7 }), false),
            (json!("pull_request"), Value::Null, true),
            (json!("pull_request_target"), Value::Null, true),
            (Value::Null, Value::Null, true),
            (json!("push"), Value::Null, false),
        ] {
            assert_eq!(is_from_fork(event.clone(), head.clone()), Some(expected), "{event} of {head}");
        }
    }
}

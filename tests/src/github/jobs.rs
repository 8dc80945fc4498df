//! Jobs and runs: how they begin, end and expire, and the calls that read them.

use std::collections::BTreeSet;

use jitgate::job::{JobId, RunId};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::answers::{self, Refused, refuse};
use super::objects;
use super::route::{Paging, query};
use super::scope::Scope;
use super::state::{Due, Job, JobStatus, Run, State, next};
use crate::hook::JobEvent;
use crate::wire::{Answer, Request};

/// A job to queue.
#[derive(Clone, Debug)]
pub struct JobSpec {
    pub(super) owner: String,
    pub(super) repository: String,
    pub(super) name: String,
    pub(super) labels: Vec<String>,
    pub(super) group: Option<u64>,
    pub(super) run: Option<RunId>,
    pub(super) id: Option<JobId>,
    pub(super) waiting: bool,
    pub(super) fork: Option<String>,
    pub(super) event: Option<String>,
    pub(super) example: Option<usize>,
    pub(super) queued_at: Option<OffsetDateTime>,
}

impl JobSpec {
    /// A job of `octo-org/octo-repo` with these labels in its `runs-on`.
    pub fn labels<S: Into<String>>(labels: impl IntoIterator<Item = S>) -> Self {
        Self {
            owner: "octo-org".to_owned(),
            repository: "octo-repo".to_owned(),
            name: "build".to_owned(),
            labels: labels.into_iter().map(Into::into).collect(),
            group: None,
            run: None,
            id: None,
            waiting: false,
            fork: None,
            event: None,
            example: None,
            queued_at: None,
        }
    }

    /// In another repository, which is created if it does not exist.
    #[must_use]
    pub fn in_repository(mut self, owner: &str, name: &str) -> Self {
        owner.clone_into(&mut self.owner);
        name.clone_into(&mut self.repository);
        self
    }

    /// With another name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// For runners of this group only, as with `runs-on: {group: …}`.
    #[must_use]
    pub fn in_group(mut self, group: u64) -> Self {
        self.group = Some(group);
        self
    }

    /// As another job of an existing run.
    #[must_use]
    pub fn of_run(mut self, run: RunId) -> Self {
        self.run = Some(run);
        self
    }

    /// With this id.
    #[must_use]
    pub fn with_id(mut self, id: JobId) -> Self {
        self.id = Some(id);
        self
    }

    /// Waiting for the approval of an environment, not queued yet.
    #[must_use]
    pub fn waiting(mut self) -> Self {
        self.waiting = true;
        self
    }

    /// Queued at this time in the past.
    #[must_use]
    pub fn queued_at(mut self, moment: OffsetDateTime) -> Self {
        self.queued_at = Some(moment);
        self
    }

    /// Part of a pull request from that account's fork.
    #[must_use]
    pub fn from_fork_of(mut self, owner: &str) -> Self {
        self.fork = Some(owner.to_owned());
        self
    }

    /// Of a run that this event triggered, instead of a push or a pull request.
    #[must_use]
    pub fn on_event(mut self, event: &str) -> Self {
        self.event = Some(event.to_owned());
        self
    }

    /// With deliveries made from this one of GitHub's examples.
    #[must_use]
    pub fn like_example(mut self, number: usize) -> Self {
        self.example = Some(number);
        self
    }
}

impl State {
    pub(super) fn create_job(&mut self, spec: JobSpec, now: OffsetDateTime) -> JobId {
        let now = spec.queued_at.unwrap_or(now);
        let repository = self.repository(&spec.owner, &spec.repository);
        let id = spec.id.map_or_else(|| next(&mut self.counters.job), |id| id.0);
        let run_id = spec.run.map_or_else(|| next(&mut self.counters.run), |run| run.0);
        let status = if spec.waiting { JobStatus::Waiting } else { JobStatus::Queued };
        let usual = if spec.fork.is_some() { "pull_request" } else { "push" };
        let event = spec.event.unwrap_or_else(|| usual.to_owned());
        if event == "push"
            && let Some(repository) =
                self.repositories.get_mut(&(spec.owner.to_lowercase(), spec.repository.to_lowercase()))
        {
            repository.pushed_at = Some(now);
        }
        let fork = spec.fork.as_ref().map(|owner| self.repository(owner, &spec.repository));
        let jobs = BTreeSet::new();
        let new = Run { id: RunId(run_id), repository, created_at: now, closed: false, event, fork, jobs };
        self.runs.entry(run_id).or_insert(new).jobs.insert(id);
        let job = Job {
            id: JobId(id),
            run_id: RunId(run_id),
            owner: spec.owner,
            repository: spec.repository,
            name: spec.name,
            labels: spec.labels,
            group: spec.group,
            status,
            conclusion: None,
            created_at: now,
            started_at: None,
            completed_at: None,
            runner_id: None,
            runner_name: None,
            runner_group: None,
            times_taken: 0,
            example: spec.example,
        };
        self.jobs.insert(id, job);
        if status == JobStatus::Waiting {
            self.note(now, Some(JobId(id)), "waiting", String::new());
            self.deliver_job(JobId(id), "waiting", now);
        } else {
            self.enqueue(JobId(id), now);
        }
        JobId(id)
    }

    /// Queues a waiting job after its approval, or announces a queued one again.
    pub(super) fn enqueue(&mut self, id: JobId, now: OffsetDateTime) {
        let Some(job) = self.jobs.get_mut(&id.0) else { return };
        if !matches!(job.status, JobStatus::Waiting | JobStatus::Queued) {
            return;
        }
        job.status = JobStatus::Queued;
        let detail = format!("{}/{} {:?} {}", job.owner, job.repository, job.labels, job.name);
        self.queued.insert(id.0);
        self.plan(now + self.behaviour.queued_job_after, Due::ExpireQueued(id));
        self.note(now, Some(id), "queued", detail);
        self.deliver_job(id, "queued", now);
    }

    pub(super) fn end_job(&mut self, id: JobId, conclusion: &str, now: OffsetDateTime) {
        let Some(job) = self.jobs.get_mut(&id.0) else { return };
        if job.status == JobStatus::Completed {
            return;
        }
        job.status = JobStatus::Completed;
        job.conclusion = Some(conclusion.to_owned());
        job.completed_at = Some(now);
        self.queued.remove(&id.0);
        self.note(now, Some(id), "completed", conclusion.to_owned());
        self.deliver_job(id, "completed", now);
    }

    /// Cancels the job; a runner that works on it is done.
    pub(super) fn cancel_job(&mut self, id: JobId, now: OffsetDateTime) {
        let runner = self.jobs.get(&id.0).and_then(|job| job.runner_id);
        self.end_job(id, "cancelled", now);
        if let Some(runner) = runner
            && self.runners.get(&runner.0).is_some_and(|runner| runner.job == Some(id))
        {
            self.free_runner(runner, now);
        }
    }

    /// Does everything that is due by now.
    pub(super) fn settle(&mut self, now: OffsetDateTime) {
        while let Some(entry) = self.schedule.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let ((at, _), due) = entry.remove_entry();
            match due {
                Due::Deregister(id) => self.remove_runner(id, "deregistered", at),
                Due::ExpireUnused(id) => {
                    if self.runners.get(&id.0).is_some_and(|runner| !runner.has_taken) {
                        self.remove_runner(id, "deregistered", at);
                    }
                }
                Due::LoseJob(job) => self.lose_job(job, at),
                Due::ExpireQueued(id) => {
                    if self.queued.contains(&id.0) {
                        self.end_job(id, "cancelled", at);
                    }
                }
            }
        }
    }

    fn lose_job(&mut self, id: JobId, at: OffsetDateTime) {
        let Some(runner) = self.jobs.get(&id.0).and_then(|job| job.runner_id) else { return };
        if let Some(runner) = self.runners.get_mut(&runner.0)
            && runner.job == Some(id)
            && !runner.online
        {
            runner.job = None;
            runner.ended_at = Some(at);
            self.end_job(id, "failure", at);
        }
    }

    /// What a runner gets to know of its job's event.
    pub(super) fn event_of_run(&self, id: JobId) -> Option<JobEvent> {
        let run = self.runs.get(&self.jobs.get(&id.0)?.run_id.0)?;
        let mut payload = json!({ "repository": objects::repository(&run.repository) });
        let head = objects::repository(run.fork.as_ref().unwrap_or(&run.repository));
        if run.event.starts_with("pull_request") {
            payload["pull_request"] =
                json!({ "title": "\"full_name\": \"octo-org/octo-repo\"", "head": { "repo": head } });
        } else if run.event == "workflow_run" {
            payload["workflow_run"] = json!({ "head_repository": head });
        }
        Some(JobEvent { repository: run.repository.full_name(), run_id: run.id, name: run.event.clone(), payload })
    }

    fn of_scope<'a>(&'a self, scope: &Scope, job: u64) -> Option<&'a Job> {
        self.jobs.get(&job).filter(|job| Scope::repo(&job.owner, &job.repository) == *scope)
    }

    pub(super) fn get_job(&self, scope: &Scope, id: u64) -> Refused<Answer> {
        match self.of_scope(scope, id) {
            Some(job) => Ok(answers::ok(&objects::job(job))),
            None => refuse(answers::not_found()),
        }
    }

    /// A run's status is that of its least advanced job, unless GitHub closed it too early.
    fn run_status(&self, run: &Run) -> (JobStatus, Option<&'static str>) {
        let jobs: Vec<&Job> = run.jobs.iter().filter_map(|id| self.jobs.get(id)).collect();
        let all_done = jobs.iter().all(|job| job.status == JobStatus::Completed);
        if run.closed || all_done {
            let well = jobs.iter().all(|job| job.conclusion.as_deref() == Some("success"));
            return (JobStatus::Completed, Some(if well { "success" } else { "failure" }));
        }
        let any = |status| jobs.iter().any(|job| job.status == status);
        if any(JobStatus::InProgress) || any(JobStatus::Completed) {
            (JobStatus::InProgress, None)
        } else if any(JobStatus::Queued) {
            (JobStatus::Queued, None)
        } else {
            (JobStatus::Waiting, None)
        }
    }

    fn run_object(&self, run: &Run) -> Value {
        let (status, conclusion) = self.run_status(run);
        objects::run(run, status, conclusion)
    }

    fn run_of_scope(&self, scope: &Scope, id: u64) -> Option<&Run> {
        let of_scope = |run: &&Run| Scope::repo(&run.repository.owner.login, &run.repository.name) == *scope;
        self.runs.get(&id).filter(of_scope)
    }

    pub(super) fn get_run(&self, scope: &Scope, id: u64) -> Refused<Answer> {
        match self.run_of_scope(scope, id) {
            Some(run) => Ok(answers::ok(&self.run_object(run))),
            None => refuse(answers::not_found()),
        }
    }

    pub(super) fn list_runs(&self, scope: &Scope, request: &Request) -> Answer {
        let status = query(request, "status");
        let wanted = |run: &&Run| {
            let (is, conclusion) = self.run_status(run);
            status.as_deref().is_none_or(|wanted| wanted == is.as_str() || Some(wanted) == conclusion)
        };
        let runs: Vec<&Run> = self
            .runs
            .values()
            .rev()
            .filter(|run| Scope::repo(&run.repository.owner.login, &run.repository.name) == *scope)
            .filter(wanted)
            .collect();
        let paging = Paging::of(request);
        let page: Vec<Value> = paging.cut(runs.iter()).into_iter().map(|run| self.run_object(run)).collect();
        let mut answer = answers::ok(&json!({ "total_count": runs.len(), "workflow_runs": page }));
        if let Some(link) = paging.link(request, runs.len()) {
            answers::set(&mut answer, "link", link);
        }
        answer
    }

    pub(super) fn list_run_jobs(&self, scope: &Scope, id: u64, request: &Request) -> Refused<Answer> {
        let Some(run) = self.run_of_scope(scope, id) else { return refuse(answers::not_found()) };
        let paging = Paging::of(request);
        let page = paging.cut(run.jobs.iter().filter_map(|id| self.jobs.get(id)));
        let page: Vec<Value> = page.into_iter().map(objects::job).collect();
        let mut answer = answers::ok(&json!({ "total_count": run.jobs.len(), "jobs": page }));
        if let Some(link) = paging.link(request, run.jobs.len()) {
            answers::set(&mut answer, "link", link);
        }
        Ok(answer)
    }
}

//! What people and runners do to GitHub.

use jitgate::job::{InstallationId, JobId, RunId, RunnerId};
use serde_json::Value;

use super::jobs::JobSpec;
use super::runners::Gone;
use super::scope::Scope;
use super::state::{AccountKind, Job};
use super::{GitHub, jitconfig};
use crate::hook::JobEvent;
use crate::payloads::WorkflowJobEvent;

/// What people do.
impl GitHub {
    /// A workflow starts and its job waits for a runner; hooks get a delivery.
    pub fn queue_job(&self, spec: JobSpec) -> JobId {
        let (mut state, now) = self.state();
        let id = state.create_job(spec, now);
        self.ring(&state);
        id
    }

    /// Creates the queued job of a delivery that a test built, with the delivery's repository and installation. Hooks
    /// get a delivery, as for any other job.
    pub fn adopt(&self, event: &WorkflowJobEvent) -> JobId {
        let payload = event.json();
        let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (owner, name) = (text("/repository/owner/login"), text("/repository/name"));
        let labels = payload["workflow_job"]["labels"].as_array().cloned().unwrap_or_default();
        let mut spec = JobSpec::labels(labels.iter().filter_map(Value::as_str))
            .in_repository(&owner, &name)
            .named(&text("/workflow_job/name"));
        spec.id = payload["workflow_job"]["id"].as_u64().map(JobId);
        spec.run = payload["workflow_job"]["run_id"].as_u64().map(RunId);
        let (mut state, now) = self.state();
        let kind = match text("/repository/owner/type").as_str() {
            "User" => AccountKind::User,
            _ => AccountKind::Organization,
        };
        let account = state.account(&owner, kind);
        if let Some(id) = payload["installation"]["id"].as_u64().map(InstallationId) {
            let app = state.first_app();
            let new = state.tests_installation(id, app, account, now);
            state.installations.entry(id.0).or_insert(new);
        }
        let id = state.create_job(spec, now);
        if let Some(repository) = state.repositories.get_mut(&(owner.to_lowercase(), name.to_lowercase())) {
            repository.is_public = payload["repository"]["private"] == false;
        }
        self.ring(&state);
        id
    }

    /// The environment of a waiting job is approved, or GitHub announces a queued job again: one more `queued`.
    pub fn queue_again(&self, job: JobId) {
        let (mut state, now) = self.state();
        state.enqueue(job, now);
        self.ring(&state);
    }

    /// A user cancels the job.
    pub fn cancel_job(&self, job: JobId) {
        let (mut state, now) = self.state();
        state.cancel_job(job, now);
        self.ring(&state);
    }

    /// GitHub calls the run completed although one of its jobs is still queued, as users reported.
    pub fn close_run(&self, run: RunId) {
        if let Some(run) = self.state().0.runs.get_mut(&run.0) {
            run.closed = true;
        }
    }

    /// A user deletes a registration; false if there was none.
    pub fn delete_registration(&self, runner: RunnerId) -> bool {
        let (mut state, now) = self.state();
        let is_there = state.runners.contains_key(&runner.0);
        state.remove_runner(runner, "deleted", now);
        is_there
    }

    /// A registration without a task: offline, but with `has_connected` it was online once.
    pub fn orphan(&self, scope: &Scope, name: &str, labels: &[&str], has_connected: bool) -> RunnerId {
        let (mut state, now) = self.state();
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let id = state.register(scope, 1, name.to_owned(), labels, now);
        if has_connected {
            let version = state.behaviour.runner_version.clone();
            if let Some(runner) = state.runners.get_mut(&id.0) {
                runner.version = Some(version);
            }
        }
        id
    }
}

/// What runners do.
impl GitHub {
    /// The registration of a JIT config; `None` if GitHub did not issue it, or the registration is gone.
    pub fn recognise(&self, encoded_jit_config: &str) -> Option<RunnerId> {
        let credentials = jitconfig::decode(encoded_jit_config)?;
        let (state, _) = self.state();
        let runner = state.runners.get(&credentials.runner_id)?;
        (runner.client_id == credentials.client_id).then_some(runner.id)
    }

    /// A registration's JIT config again, for tests that start a runner without having registered it.
    pub fn config_of(&self, runner: RunnerId) -> Option<String> {
        self.state().0.runners.get(&runner.0).map(|runner| jitconfig::encode(runner, "_work"))
    }

    /// The runner opens a session.
    pub fn connect(&self, runner: RunnerId) -> Result<(), Gone> {
        let (mut state, now) = self.state();
        state.connect(runner, now)
    }

    /// From now on, GitHub gives this runner no job, although it is online.
    pub fn forget_runner(&self, runner: RunnerId) {
        if let Some(runner) = self.state().0.runners.get_mut(&runner.0) {
            runner.has_taken = true;
        }
    }

    /// Whether GitHub turns runners away when they open a session.
    pub fn turns_runners_away(&self) -> bool {
        self.state().0.behaviour.turns_runners_away
    }

    /// Whether runners reach GitHub.
    pub fn is_reachable(&self) -> bool {
        self.state().0.behaviour.is_reachable
    }

    /// Whether runners that are turned away can say so.
    pub fn runners_say_why(&self) -> bool {
        self.state().0.behaviour.runners_say_why
    }

    /// The runner asks for a job and gets the oldest that it may take.
    pub fn take_job(&self, runner: RunnerId) -> Result<Option<Job>, Gone> {
        let (mut state, now) = self.state();
        let taken = state.take_job(runner, now)?;
        self.ring(&state);
        Ok(taken.and_then(|id| state.jobs.get(&id.0).cloned()))
    }

    /// What the runner knows of the job's event.
    pub fn event_of_run(&self, job: JobId) -> Option<JobEvent> {
        self.state().0.event_of_run(job)
    }

    /// The runner finishes its job; GitHub soon removes the registration.
    pub fn finish_job(&self, runner: RunnerId, conclusion: &str) {
        let (mut state, now) = self.state();
        state.finish_job(runner, conclusion, now);
        self.ring(&state);
    }

    /// The runner is killed: it goes offline, stays registered, and loses its job after a while.
    pub fn kill(&self, runner: RunnerId) {
        let (mut state, now) = self.state();
        state.disconnect(runner, now);
    }

    /// Makes GitHub report this runner as not busy although it has a job, or stops that.
    pub fn seem_idle(&self, runner: RunnerId, seems_idle: bool) {
        if let Some(runner) = self.state().0.runners.get_mut(&runner.0) {
            runner.seems_idle = seems_idle;
        }
    }
}

//! What a test can read of GitHub's state.

use std::collections::BTreeMap;

use jitgate::job::{JobId, RunnerId};

use super::GitHub;
use super::checks::CheckRun;
use super::meter::Meter;
use super::state::{Event, Job, Runner};
use crate::payloads::WorkflowJobEvent;

impl GitHub {
    /// All jobs, oldest first.
    pub fn jobs(&self) -> Vec<Job> {
        self.state().0.jobs.values().cloned().collect()
    }

    /// One job.
    pub fn job(&self, id: JobId) -> Option<Job> {
        self.state().0.jobs.get(&id.0).cloned()
    }

    /// All registrations, oldest first.
    pub fn runners(&self) -> Vec<Runner> {
        self.state().0.runners.values().cloned().collect()
    }

    /// One registration.
    pub fn runner(&self, id: RunnerId) -> Option<Runner> {
        self.state().0.runners.get(&id.0).cloned()
    }

    /// The registrations with that name, in all scopes.
    pub fn runners_named(&self, name: &str) -> Vec<Runner> {
        let (state, _) = self.state();
        state.runners.values().filter(|runner| runner.name.eq_ignore_ascii_case(name)).cloned().collect()
    }

    /// All check runs, oldest first.
    pub fn check_runs(&self) -> Vec<CheckRun> {
        self.state().0.check_runs.values().cloned().collect()
    }

    /// How many jobs wait for a runner.
    pub fn queue_length(&self) -> usize {
        self.state().0.queued.len()
    }

    /// All events so far, in order.
    pub fn timeline(&self) -> Vec<Event> {
        self.state().0.timeline.clone()
    }

    /// Adds an event from elsewhere to the timeline.
    pub fn note(&self, job: Option<JobId>, event: &'static str, detail: String) {
        let (mut state, now) = self.state();
        state.note(now, job, event, detail);
    }

    /// What each identity has used: `app 123456`, `installation 77`, `token …`, `anonymous`.
    pub fn meters(&self) -> BTreeMap<String, Meter> {
        self.state().0.meters.iter().map(|(key, meter)| (key.clone(), meter.clone())).collect()
    }

    /// How many installation tokens were issued.
    pub fn tokens_made(&self) -> u64 {
        self.state().0.counters.token
    }

    /// How many calls came with a token that had not reached all of GitHub's servers.
    pub fn calls_with_new_tokens(&self) -> u64 {
        u64::try_from(self.state().0.lagging_calls).expect("few")
    }

    /// The delivery that a hook would send for a job now: the App's hook, or the organisation's if no App is installed.
    ///
    /// # Panics
    /// If there is no such job.
    pub fn event(&self, job: JobId, action: &str) -> WorkflowJobEvent {
        let (state, _) = self.state();
        let job = state.jobs.get(&job.0).expect("a job that GitHub knows");
        let installation = state.installation_of(&job.owner).map(|installation| installation.id);
        state.workflow_job_event(job, action, installation)
    }
}

//! A stand-in for the runner: given a JIT configuration, it behaves as actions/runner does.
//!
//! [`Runner::step`] does one thing and returns, for stories with a clock of their own; [`Runner::run`] runs from start
//! to end on the system's clock.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use jitgate::ecs::COMPLETED_HOOK_VARIABLE;
use jitgate::job::{JobId, RunnerId};
use time::OffsetDateTime;

use crate::github::{GitHub, JobStatus};
use crate::hook::{self, Hooked};

/// The gate, as the task definition has it.
pub const GATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/terraform/gate.sh");

/// The variable of the task's override in which the runner finds its configuration.
pub const JIT_CONFIG_VARIABLE: &str = "ACTIONS_RUNNER_INPUT_JITCONFIG";

/// GitHub does not know the configuration, or the registration is gone: the runner exits at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// What a runner does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It listens and has no job.
    Idle,
    /// It works on a job.
    Working(JobId),
    /// Its job has ended, and so has the runner.
    Finished(JobId),
    /// Its registration was deleted: it exits, unless it is a [ghost](Runner::haunt).
    Gone,
}

/// A runner with a session.
pub struct Runner {
    github: GitHub,
    id: RunnerId,
    work: Duration,
    conclusion: String,
    ghost: bool,
    hook: Option<BTreeMap<String, String>>,
    job: Option<(JobId, OffsetDateTime)>,
}

impl Runner {
    /// Opens a session; each job will take `work`, by GitHub's clock.
    pub fn start(github: &GitHub, encoded_jit_config: &str, work: Duration) -> Result<Self, Refused> {
        let id = github.recognise(encoded_jit_config).ok_or(Refused)?;
        github.connect(id).map_err(|_| Refused)?;
        Ok(Self {
            github: github.clone(),
            id,
            work,
            conclusion: "success".to_owned(),
            ghost: false,
            hook: None,
            job: None,
        })
    }

    /// How its job will end, if not with `success`.
    #[must_use]
    pub fn concluding(mut self, conclusion: &str) -> Self {
        conclusion.clone_into(&mut self.conclusion);
        self
    }

    /// Keeps listening after its registration is gone, as the listener of an ephemeral runner does at times
    /// (actions/runner issue 4617): its task never ends by itself.
    #[must_use]
    pub fn haunt(mut self) -> Self {
        self.ghost = true;
        self
    }

    /// Executes the gate before each job, as the task definition has it do, and the hook that the task's own variables
    /// name after it.
    #[must_use]
    pub fn gated(mut self, mut environment: BTreeMap<String, String>) -> Self {
        if let Some(path) = environment.get_mut(COMPLETED_HOOK_VARIABLE) {
            // Each container has a /tmp of its own.
            *path = hook::temporary("completed.sh").display().to_string();
        }
        self.hook = Some(environment);
        self
    }

    /// GitHub's id of its registration.
    pub fn id(&self) -> RunnerId {
        self.id
    }

    /// Asks for a job, or checks whether its job is done.
    pub fn step(&mut self) -> Step {
        let Some((job, until)) = self.job else { return self.listen() };
        let ended_elsewhere = self.github.job(job).is_none_or(|job| job.status != JobStatus::InProgress);
        if !ended_elsewhere && self.github.clock().now() < until {
            return Step::Working(job);
        }
        let conclusion = if self.completes(job) { self.conclusion.as_str() } else { "failure" };
        self.github.finish_job(self.id, conclusion);
        self.job = None;
        Step::Finished(job)
    }

    /// Whether the hook after the job's last step succeeds, if there is one.
    fn completes(&self, job: JobId) -> bool {
        let Some(environment) = &self.hook else { return true };
        let Some(path) = environment.get(COMPLETED_HOOK_VARIABLE).map(Path::new) else { return true };
        let Some(event) = self.github.event_of_run(job) else { return true };
        let outcome = hook::execute("sh", path, environment, &event);
        // The container goes, and its files with it.
        let _ = std::fs::remove_file(path);
        if let Hooked::Failed(words) | Hooked::Refused(words) = outcome {
            self.github.note(Some(job), "hook_failed", words);
            return false;
        }
        true
    }

    /// Whether the hook lets the job run.
    ///
    /// # Panics
    /// If the gate fails without ending the worker: steps with `if: always()` would run. A class's own script may fail.
    fn admits(&self, job: JobId) -> bool {
        let Some(environment) = &self.hook else { return true };
        let event = self.github.event_of_run(job).expect("a job that was just taken");
        match hook::execute("sh", Path::new(GATE), environment, &event) {
            Hooked::Proceeds => true,
            Hooked::Refused(words) => {
                self.github.note(Some(job), "refused", words);
                false
            }
            Hooked::Failed(words) if environment.contains_key("JITGATE_JOB_STARTED") => {
                self.github.note(Some(job), "hook_failed", words);
                self.completes(job);
                false
            }
            Hooked::Failed(words) => panic!("the gate failed but did not end the worker: {words}"),
        }
    }

    fn listen(&mut self) -> Step {
        match self.github.take_job(self.id) {
            Ok(None) => Step::Idle,
            Ok(Some(job)) if !self.admits(job.id) => {
                self.github.finish_job(self.id, "failure");
                Step::Finished(job.id)
            }
            Ok(Some(job)) => {
                self.job = Some((job.id, self.github.clock().now() + self.work));
                Step::Working(job.id)
            }
            Err(_) if self.ghost => Step::Idle,
            Err(_) => Step::Gone,
        }
    }

    /// Runs until its job is done or its registration is gone, and checks every `pause`; dies when `killed` resolves.
    pub async fn run(mut self, pause: Duration, killed: impl Future<Output = ()> + Send) -> Step {
        let mut killed = std::pin::pin!(killed);
        loop {
            let step = self.step();
            if matches!(step, Step::Finished(_) | Step::Gone) {
                return step;
            }
            tokio::select! {
                () = &mut killed => {
                    self.kill();
                    return Step::Gone;
                }
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Dies as by SIGKILL: the registration stays, and GitHub notices the lost job only later.
    pub fn kill(self) {
        self.github.kill(self.id);
    }

    /// Ends on SIGTERM: an idle runner closes its session and stays registered, a busy one cancels its job.
    pub fn terminate(self) {
        if self.job.is_some() {
            self.github.finish_job(self.id, "cancelled");
        } else {
            self.github.kill(self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use jitgate::clock::Clock;
    use time::macros::datetime;

    use super::*;
    use crate::github::{JobSpec, Scope};

    const WORK: Duration = Duration::from_mins(1);

    fn bench() -> (GitHub, Clock) {
        let clock = Clock::manual(datetime!(2026-11-01 12:00 UTC));
        (GitHub::new(clock.clone()), clock)
    }

    fn runner(github: &GitHub, name: &str) -> Runner {
        let id = github.orphan(&Scope::org("octo-org"), name, &["fargate"], false);
        Runner::start(github, &github.config_of(id).unwrap(), WORK).unwrap()
    }

    #[test]
    fn a_runner_lives_for_one_job() {
        let (github, clock) = bench();
        let mut runner = runner(&github, "jit-1");
        assert_eq!(runner.step(), Step::Idle);
        let job = github.queue_job(JobSpec::labels(["fargate"]));
        assert_eq!(runner.step(), Step::Working(job));
        clock.advance(WORK / 2);
        assert_eq!(runner.step(), Step::Working(job));
        clock.advance(WORK / 2);
        assert_eq!(runner.step(), Step::Finished(job));
        assert!(github.runners().is_empty());
        let events: Vec<&str> = github.timeline().iter().map(|event| event.event).collect();
        assert_eq!(events, ["registered", "online", "queued", "in_progress", "completed", "deregistered"]);
    }

    #[test]
    fn a_runner_whose_registration_is_gone_exits_unless_it_is_a_ghost() {
        let (github, clock) = bench();
        let mut ordinary = runner(&github, "jit-1");
        let mut ghost = runner(&github, "jit-2").haunt();
        let config = github.config_of(ordinary.id()).unwrap();
        clock.advance(Duration::from_hours(24));
        assert_eq!(ordinary.step(), Step::Gone);
        assert_eq!(ghost.step(), Step::Idle);
        assert_eq!(Runner::start(&github, &config, WORK).err(), Some(Refused));
        assert_eq!(Runner::start(&github, "bm8=", WORK).err(), Some(Refused));
    }

    #[test]
    fn a_cancelled_job_ends_its_runner() {
        let (github, _) = bench();
        let mut runner = runner(&github, "jit-1");
        let job = github.queue_job(JobSpec::labels(["fargate"]));
        assert_eq!(runner.step(), Step::Working(job));
        github.cancel_job(job);
        assert_eq!(runner.step(), Step::Finished(job));
        assert_eq!(github.job(job).unwrap().conclusion.as_deref(), Some("cancelled"));
    }

    #[test]
    fn a_signal_ends_an_idle_runner_but_not_its_registration() {
        let (github, _) = bench();
        let idle = runner(&github, "jit-1");
        let id = idle.id();
        idle.terminate();
        assert!(!github.runner(id).unwrap().online);
        let mut busy = runner(&github, "jit-2");
        let job = github.queue_job(JobSpec::labels(["fargate"]));
        assert_eq!(busy.step(), Step::Working(job));
        busy.terminate();
        assert_eq!(github.job(job).unwrap().conclusion.as_deref(), Some("cancelled"));
    }

    #[tokio::test]
    async fn a_killed_runner_loses_its_job() {
        let (github, clock) = bench();
        let runner = runner(&github, "jit-1");
        let job = github.queue_job(JobSpec::labels(["fargate"]));
        let step = runner.run(Duration::from_millis(1), tokio::time::sleep(Duration::from_millis(5))).await;
        assert_eq!(step, Step::Gone);
        clock.advance(Duration::from_mins(10));
        assert_eq!(github.job(job).unwrap().conclusion.as_deref(), Some("failure"));
    }
}

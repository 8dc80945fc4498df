//! One runner for one job, however often and wherever in between it is tried.
//!
//! ECS's `clientToken` is the lock. Whoever's `RunTask` is accepted has launched the job; everyone else is told so, by
//! a conflict that names the task, and takes back what they registered. That makes a registration without a task
//! harmless, and gives a rule for every trace of an earlier try that a step can meet:
//!
//! - *The name is taken.* A neighbour is between registering and starting the task, or an earlier try ended there, or
//!   GitHub's answer was lost. Nobody can tell these apart, so the registration is left alone and the next name is
//!   used. Once the token is taken, no task will ever be started with it, and it is deleted.
//! - *The token is taken, its task lives.* The job has its runner. Ours is deleted.
//! - *The token is taken, its task has stopped.* If the job still waits, it is launched under the next attempt.
//! - *The token is taken, its task lives, but its registration is gone.* It can take no job any more. If the job still
//!   waits, the task is stopped and the job is launched under the next attempt, unless GitHub refuses to delete the
//!   registration: then it is there, and its runner busy.

use std::cell::Cell;

use jitgate::admission::Unwelcome;
use jitgate::classes::{Fit, RunnerClass};
use jitgate::ecs::{Launch, RunError, TaskArn, TaskView};
use jitgate::github::{
    Account, Deletion, GitHubError, JitConfig, JitRequest, Job, JobState, Place, Run, Runner, quickly,
};
use jitgate::job::{Attempt, JobId, JobMessage, Purpose, RunnerId};
use jitgate::names::{LaunchToken, MOST_SPARES, RunnerName};

use crate::batch::Worker;
use crate::verdict::LaunchError;

/// How often ECS may fail to show a launch's task before the task is taken for one that stopped long ago.
const MOST_DOUBTS: u32 = 2;

/// So many free names in a row mean that no try has taken a later one. A name becomes free again when its registration is
/// taken back, or its runner has done a job.
const FREE_IN_A_ROW: usize = 3;

/// A job this old may have ended meanwhile, however late its delivery. Not asked earlier: right after its delivery GitHub
/// may not know yet that a job is queued.
const WORTH_ASKING: time::Duration = time::Duration::minutes(30);

/// A delivery that comes this long after its job was created has failed before: its job may have been cancelled, and
/// released, since then. So may one that GitHub's limit has kept waiting for this long.
pub(crate) const LATE: time::Duration = time::Duration::minutes(2);

/// GitHub's reads lag behind: what is younger than this may not be shown yet.
pub(crate) const SHOWN_AFTER: time::Duration = time::Duration::seconds(60);

/// How a launch ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Launched {
    /// A task has been started.
    Started {
        /// The task.
        task: TaskArn,
        /// Its registration.
        runner_id: RunnerId,
        /// That registration's name.
        runner_name: RunnerName,
    },
    /// An earlier or simultaneous try has started one.
    AlreadyRunning {
        /// The task.
        task: TaskArn,
    },
    /// The attempt is over and the job still waits: a message for this one is on the queue.
    Next {
        /// Which one.
        attempt: Attempt,
        /// ECS's words, or ours, about the one that is over.
        reason: String,
    },
    /// The job waits no longer.
    JobGone,
    /// The class does not take such jobs.
    Refused(Unwelcome),
}

/// What became of a registration that must not be there.
enum TakenBack {
    Deleted,
    /// It is the task's own.
    Spared,
    NotThere,
    StillThere,
}

/// How GitHub is asked about a job.
enum Asking {
    /// Before anything is done for it: when it is its turn.
    InTurn,
    /// In the midst of its launch.
    Now,
}

/// What one attempt came to.
enum Attempted {
    Done(Launched),
    /// The attempt's task has stopped, or is of no use any more.
    Over {
        reason: String,
    },
}

impl Worker {
    /// Gives the job a runner. The message's attempt and whether it is settled are kept up to date, so that it can be
    /// sent anew whatever happens; also after a success, as long as it is not settled.
    pub(crate) async fn launch(&self, message: &mut JobMessage, fit: &Fit<'_>) -> Result<Launched, LaunchError> {
        let place = self.place_of(message);
        // First of all: jobs that wait for capacity come by again and again, and asking GitHub about each would use up its
        // hourly limit.
        let _turn = self.room.turn(fit.kind(), self.clock.now())?;
        if message.purpose == Purpose::Warm {
            return self.launch_warm(&place, message, fit).await;
        }
        let has_waited = message.backoff > 0
            || message.unsettled
            || message.queued_at - message.created_at > LATE
            || self.clock.now() - message.created_at > WORTH_ASKING;
        if has_waited && !self.still_waits(&place, message, Asking::InTurn).await? {
            return self.leave(&place, message).await;
        }
        if message.provenance().depends_on_run(fit.class) {
            match self.run_of(&place, message).await? {
                Some(run) => message.is_from_fork = run.provenance().is_from_fork,
                None if self.has_vanished(&place, message).await? => return self.leave(&place, message).await,
                None => return Err(LaunchError::RunNotShown),
            }
        }
        if let Err(unwelcome) = message.provenance().check(fit.class) {
            return Ok(Launched::Refused(unwelcome));
        }
        let attempted = self.attempt(&place, message, fit).await;
        if matches!(attempted, Err(LaunchError::GitHub(GitHubError::Paced { .. }))) {
            // It has just been asked about, and only waits for its turn.
            message.backoff = 0;
        }
        match attempted? {
            Attempted::Done(launched) => Ok(launched),
            Attempted::Over { reason } if self.still_waits(&place, message, Asking::Now).await? => {
                // By a message of its own: what is registered for an attempt can be found again from its message alone.
                let next = message.clone().for_launch(message.attempt.next(), self.clock.now());
                self.send_again(&next, time::Duration::ZERO).await?;
                Ok(Launched::Next { attempt: next.attempt, reason })
            }
            Attempted::Over { .. } => Ok(Launched::JobGone),
        }
    }

    /// The job needs no runner: what an earlier try may have left is taken back.
    async fn leave(&self, place: &Place, message: &mut JobMessage) -> Result<Launched, LaunchError> {
        if message.unsettled {
            let token = LaunchToken::derive(&self.config.name_prefix, message.job_id, message.attempt);
            let task = self.live_task(&token).await?;
            message.unsettled = !self.sweep(place, message, task.as_ref()).await;
        }
        Ok(Launched::JobGone)
    }

    /// The job's run; `None` if GitHub does not show it: not yet, or not any more.
    async fn run_of(&self, place: &Place, message: &JobMessage) -> Result<Option<Run>, GitHubError> {
        let find = async || self.github.run(&place.account, &message.owner, &message.repository, message.run_id).await;
        match quickly(&self.clock, find).await {
            Ok(run) => Ok(Some(run)),
            Err(GitHubError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a job whose run is not shown has been deleted with it: GitHub has had its time, and shows neither.
    async fn has_vanished(&self, place: &Place, message: &JobMessage) -> Result<bool, GitHubError> {
        let has_had_its_time = self.clock.now() - message.queued_at > SHOWN_AFTER;
        Ok(has_had_its_time && self.job(place, message, message.job_id).await?.is_none())
    }

    /// There is no job to ask about. If this launch's task is over, whoever keeps runners ready asks for the next one.
    async fn launch_warm(
        &self,
        place: &Place,
        message: &mut JobMessage,
        fit: &Fit<'_>,
    ) -> Result<Launched, LaunchError> {
        match self.attempt(place, message, fit).await? {
            Attempted::Done(launched) => Ok(launched),
            Attempted::Over { .. } => Ok(Launched::JobGone),
        }
    }

    /// Where the job's runner is registered.
    pub(crate) fn place_of(&self, message: &JobMessage) -> Place {
        Place { account: Account::from(message), scope: self.github.scope_of(message) }
    }

    /// Only a clear "no" keeps a job from its runner: one that GitHub does not show may still wait. If another job's
    /// runner has it, that job is looked after.
    async fn still_waits(&self, place: &Place, message: &JobMessage, asking: Asking) -> Result<bool, LaunchError> {
        if message.purpose == Purpose::Warm {
            return Ok(false);
        }
        let job = match asking {
            Asking::InTurn => {
                let (account, has_waited) = (&place.account, message.not_before.is_some());
                let (owner, repository, id) = (&message.owner, &message.repository, message.job_id);
                let ask = async || self.github.job_in_turn(account, owner, repository, id, has_waited).await;
                quickly(&self.clock, ask).await?
            }
            Asking::Now => self.job(place, message, message.job_id).await?,
        };
        match job {
            Some(job) if matches!(job.state, JobState::InProgress | JobState::Completed) => {
                self.look_after_robbed(place, message, job).await?;
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    pub(crate) async fn job(&self, place: &Place, message: &JobMessage, id: JobId) -> Result<Option<Job>, GitHubError> {
        quickly(&self.clock, async || self.github.job(&place.account, &message.owner, &message.repository, id).await)
            .await
    }

    async fn attempt(&self, place: &Place, message: &mut JobMessage, fit: &Fit<'_>) -> Result<Attempted, LaunchError> {
        let token = LaunchToken::derive(&self.config.name_prefix, message.job_id, message.attempt);
        let was_unsettled = message.unsettled;
        let mut names_taken = Vec::new();
        let (runner_name, jit) = loop {
            let name = RunnerName::derive(
                &self.config.name_prefix,
                message,
                u8::try_from(names_taken.len()).unwrap_or(u8::MAX),
            );
            match self.register(place, fit.class, message, &name).await {
                Ok(jit) => break (name, jit),
                Err(GitHubError::NameTaken) => {
                    message.unsettled = true;
                    if let Some(task) = self.live_task(&token).await? {
                        message.unsettled = !self.sweep(place, message, Some(&task)).await;
                        return self.meet_alive(place, message, task).await;
                    }
                    names_taken.push(name);
                    if names_taken.len() > usize::from(MOST_SPARES) {
                        return Err(LaunchError::NamesTaken);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        };
        match self.run(message, fit, &token, &runner_name, &jit).await {
            Ok(task) => {
                // An earlier try may have taken later names than this one, if whoever had the first took them back.
                let own = Some((runner_name.as_str(), jit.runner_id));
                let settled = self.delete_by_name(place, &names_taken).await
                    && (!was_unsettled || self.sweep_all_but(own, place, message).await);
                message.unsettled = !settled;
                Ok(Attempted::Done(Launched::Started { task, runner_id: jit.runner_id, runner_name }))
            }
            Err(RunError::AlreadyStarted { arns }) => {
                let is_gone = self.delete(place, jit.runner_id).await;
                let met = self.meet(place, message, &token, &arns, &names_taken).await;
                message.unsettled |= !is_gone;
                met
            }
            Err(error) => {
                // Without an answer the task may be starting with this registration: the next try will see.
                let settled = !matches!(error, RunError::Silent { .. }) && self.delete(place, jit.runner_id).await;
                message.unsettled |= !settled;
                Err(error.into())
            }
        }
    }

    /// Where there is no capacity, the next placement is tried, under the same token: should an earlier one have
    /// been accepted after all, the conflict says so.
    async fn run(
        &self,
        message: &JobMessage,
        fit: &Fit<'_>,
        token: &LaunchToken,
        runner_name: &RunnerName,
        jit: &JitConfig,
    ) -> Result<TaskArn, RunError> {
        let mut reasons = Vec::new();
        for placement in self.config.classes.placements(fit) {
            match self.tasks.run(Launch { message, placement, token, runner_name, jit }).await {
                Err(RunError::NoCapacity { reason }) => {
                    reasons.push(format!("{} on {}: {reason}", placement.class.name, placement.capacity));
                }
                outcome => {
                    if outcome.is_ok() {
                        self.room.found(&fit.kind());
                    }
                    return outcome;
                }
            }
        }
        let reason = reasons.join("; ");
        self.room.missing(&fit.kind(), &reason, self.clock.now());
        Err(RunError::NoCapacity { reason })
    }

    async fn register(
        &self,
        place: &Place,
        class: &RunnerClass,
        message: &mut JobMessage,
        name: &RunnerName,
    ) -> Result<JitConfig, GitHubError> {
        let group = async || self.github.runner_group(&place.account, &place.scope, &class.runner_group).await;
        let request = JitRequest {
            name,
            runner_group_id: quickly(&self.clock, group).await?,
            labels: &message.labels,
            has_waited: message.not_before.is_some(),
        };
        let is_doubtful = Cell::new(false);
        let outcome = quickly(&self.clock, async || {
            let outcome = self.github.generate_jit_config(&place.account, &place.scope, &request).await;
            is_doubtful.set(is_doubtful.get() || outcome.as_ref().is_err_and(GitHubError::is_passing));
            outcome
        });
        let outcome = outcome.await;
        if matches!(outcome, Err(GitHubError::NotFound { .. })) {
            self.github.forget_runner_group(&place.scope, &class.runner_group);
        }
        // It may have been done all the same, or may still be, whatever became of the repeats.
        message.unsettled |= is_doubtful.get();
        outcome
    }

    /// Finds out what the task that has the token is, and takes back the registrations that are not its own.
    async fn meet(
        &self,
        place: &Place,
        message: &mut JobMessage,
        token: &LaunchToken,
        arns: &[TaskArn],
        names_taken: &[RunnerName],
    ) -> Result<Attempted, LaunchError> {
        let found = match arns {
            [] => self.live_task(token).await?,
            arns => self.tasks.describe(arns).await?.into_iter().next(),
        };
        let Some(task) = found else {
            // Started a moment ago and not shown yet, or stopped more than an hour ago and not shown any more.
            if message.doubts < MOST_DOUBTS {
                let task = arns.first().map_or_else(|| token.to_string(), TaskArn::to_string);
                return Err(LaunchError::Unsure { task });
            }
            message.unsettled = !self.take_back_all(place, message, None, names_taken).await;
            return Ok(Attempted::Over { reason: "ECS does not show it any more".to_owned() });
        };
        if task.is_over {
            let mut settled = self.take_back_all(place, message, None, names_taken).await;
            if let Some(id) = task.runner_id {
                settled &= self.delete(place, id).await;
            }
            message.unsettled = !settled;
            return Ok(Attempted::Over { reason: task.stopped_reason.unwrap_or_default() });
        }
        if task.runner_name.is_some() {
            message.unsettled = !self.take_back_all(place, message, Some(&task), names_taken).await;
        }
        self.meet_alive(place, message, task).await
    }

    /// The launch has its task. That is all, unless its registration is gone while the job still waits. One answer may be
    /// wrong, so the deletion decides: GitHub refuses it for a runner with a job.
    async fn meet_alive(&self, place: &Place, message: &JobMessage, task: TaskView) -> Result<Attempted, LaunchError> {
        if let Some(id) = task.runner_id
            && self.runner(place, id).await?.is_none()
        {
            if task.created_at.is_none_or(|at| self.clock.now() - at < SHOWN_AFTER) {
                return Err(LaunchError::Unsure { task: task.arn.to_string() });
            }
            if !self.still_waits(place, message, Asking::Now).await? {
                return Ok(Attempted::Done(Launched::JobGone));
            }
            match self.delete_runner(place, id).await? {
                Deletion::Busy => {}
                Deletion::Deleted | Deletion::Gone => {
                    self.tasks.stop(&task.arn, "jitgate: its registration is gone and its job still waits").await?;
                    return Ok(Attempted::Over { reason: "its registration was gone".to_owned() });
                }
            }
        }
        Ok(Attempted::Done(Launched::AlreadyRunning { task: task.arn }))
    }

    async fn live_task(&self, token: &LaunchToken) -> Result<Option<TaskView>, LaunchError> {
        let arns = self.tasks.live_of(token).await?;
        if arns.is_empty() {
            return Ok(None);
        }
        let tasks = self.tasks.describe(&arns).await?;
        Ok(tasks.into_iter().find(|task| !task.is_over))
    }

    /// Takes back all registrations under the message's names but the one that the launch's task runs; says whether
    /// none is left.
    pub(crate) async fn sweep(&self, place: &Place, message: &JobMessage, task: Option<&TaskView>) -> bool {
        match task {
            Some(TaskView { runner_name: Some(name), runner_id: Some(id), .. }) => {
                self.sweep_all_but(Some((name, *id)), place, message).await
            }
            // It runs one of them, but does not say which.
            Some(_) => true,
            None => self.sweep_all_but(None, place, message).await,
        }
    }

    /// Tries take names in order, but those before may be free again, so a few free ones in a row end the search.
    async fn sweep_all_but(&self, own: Option<(&str, RunnerId)>, place: &Place, message: &JobMessage) -> bool {
        let (own, own_id) = own.unzip();
        let names = (0..=MOST_SPARES).map(|spare| RunnerName::derive(&self.config.name_prefix, message, spare));
        let names: Vec<_> = names.collect();
        let mut is_past_own = !names.iter().any(|name| Some(name.as_str()) == own);
        let (mut settled, mut free) = (true, 0);
        for name in &names {
            is_past_own |= Some(name.as_str()) == own;
            match self.take_back(place, name, own_id).await {
                TakenBack::NotThere => free += 1,
                TakenBack::Spared | TakenBack::Deleted => free = 0,
                TakenBack::StillThere => (settled, free) = (false, 0),
            }
            if is_past_own && free == FREE_IN_A_ROW {
                break;
            }
        }
        settled
    }

    /// The names that were just found taken, but for the task's own. Where an earlier try may have left more, they are
    /// looked for.
    async fn take_back_all(
        &self,
        place: &Place,
        message: &JobMessage,
        task: Option<&TaskView>,
        names_taken: &[RunnerName],
    ) -> bool {
        let own = task.and_then(|task| task.runner_name.as_deref());
        let names: Vec<_> = names_taken.iter().filter(|name| Some(name.as_str()) != own).cloned().collect();
        let settled = self.delete_by_name(place, &names).await;
        settled && (!message.unsettled || self.sweep(place, message, task).await)
    }

    /// Whether none of them is left.
    async fn delete_by_name(&self, place: &Place, names: &[RunnerName]) -> bool {
        let mut settled = true;
        for name in names {
            settled &= !matches!(self.take_back(place, name, None).await, TakenBack::StillThere);
        }
        settled
    }

    /// `own` is spared. It goes by its id: its name may have been taken anew after it was gone.
    async fn take_back(&self, place: &Place, name: &RunnerName, own: Option<RunnerId>) -> TakenBack {
        let find = async || self.github.find_runner(&place.account, &place.scope, name).await;
        match quickly(&self.clock, find).await {
            Ok(Some(runner)) if Some(runner.id) == own => TakenBack::Spared,
            Ok(Some(runner)) if self.delete(place, runner.id).await => TakenBack::Deleted,
            Ok(Some(_)) => TakenBack::StillThere,
            Ok(None) => TakenBack::NotThere,
            Err(error) => {
                tracing::warn!(runner.name = %name, error = %error, "left-over registration not found");
                TakenBack::StillThere
            }
        }
    }

    pub(crate) async fn runner(&self, place: &Place, id: RunnerId) -> Result<Option<Runner>, GitHubError> {
        quickly(&self.clock, async || self.github.runner(&place.account, &place.scope, id).await).await
    }

    pub(crate) async fn delete_runner(&self, place: &Place, id: RunnerId) -> Result<Deletion, GitHubError> {
        quickly(&self.clock, async || self.github.delete_runner(&place.account, &place.scope, id).await).await
    }

    /// Whether the registration is gone now. GitHub refuses if it is busy, which is right.
    async fn delete(&self, place: &Place, id: RunnerId) -> bool {
        match self.delete_runner(place, id).await {
            Ok(Deletion::Deleted | Deletion::Gone) => true,
            Ok(Deletion::Busy) => false,
            Err(error) => {
                tracing::warn!(runner.id = id.0, error = %error, "registration not deleted");
                false
            }
        }
    }
}

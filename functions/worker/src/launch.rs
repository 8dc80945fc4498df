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
//!   waits, the task is stopped and the job is launched under the next attempt.

use std::time::Duration;

use jitgate::classes::RunnerClass;
use jitgate::ecs::{Launch, RunError, TaskArn, TaskView};
use jitgate::github::{Account, Deletion, GitHubError, JitConfig, JitRequest, JobState, Scope};
use jitgate::job::{JobMessage, RunnerId};
use jitgate::names::{LaunchToken, MOST_SPARES, RunnerName};

use crate::batch::Worker;
use crate::verdict::{LaunchError, is_passing, random_fraction};

/// How often a failure that may pass is repeated within an invocation.
const QUICK_REPEATS: u32 = 2;

/// The wait before the first of them; three times that before the second.
const QUICK_PAUSE: Duration = Duration::from_millis(150);

/// How many launches of one job one invocation tries when their tasks turn out to have stopped.
const MOST_LAUNCHES: u16 = 5;

/// A job that has been on its way for this long may have ended meanwhile. Not asked earlier: right after its delivery
/// GitHub may not know yet that a job is queued.
const WORTH_ASKING: time::Duration = time::Duration::minutes(30);

/// A registration younger than this may not be shown yet.
const SHOWN_AFTER: time::Duration = time::Duration::seconds(60);

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
    /// The job waits no longer.
    JobGone,
}

/// What one attempt came to.
enum Attempted {
    Done(Launched),
    /// The attempt's task has stopped, or is of no use any more.
    Over {
        reason: String,
    },
}

/// One job, and where its runner is registered.
struct Place {
    account: Account,
    scope: Scope,
}

impl Worker {
    /// Gives the job a runner. The message's attempt, birth time and whether it is settled are kept up to date, so that
    /// it can be sent anew whatever happens.
    pub(crate) async fn launch(&self, message: &mut JobMessage, class: &RunnerClass) -> Result<Launched, LaunchError> {
        let place = Place { account: Account::from(&*message), scope: self.github.scope_of(message) };
        let has_waited = message.backoff > 0 || self.clock.now() - message.queued_at > WORTH_ASKING;
        if has_waited && !self.still_queued(&place, message).await? {
            return Ok(Launched::JobGone);
        }
        let mut last_reason = String::new();
        for _ in 0..MOST_LAUNCHES {
            match self.attempt(&place, message, class).await? {
                Attempted::Done(launched) => return Ok(launched),
                Attempted::Over { reason } => last_reason = reason,
            }
            if !self.still_queued(&place, message).await? {
                return Ok(Launched::JobGone);
            }
            message.attempt = message.attempt.next();
            message.born_at = self.clock.now();
            message.unsettled = false;
        }
        Err(LaunchError::StopsAtOnce { attempts: MOST_LAUNCHES, reason: last_reason })
    }

    /// Only a clear "no" keeps a job from its runner: one that GitHub does not show may still wait.
    async fn still_queued(&self, place: &Place, message: &JobMessage) -> Result<bool, GitHubError> {
        let state = self.github.job_state(&place.account, &message.owner, &message.repository, message.job_id).await?;
        Ok(!matches!(state, Some(JobState::InProgress | JobState::Completed)))
    }

    async fn attempt(
        &self,
        place: &Place,
        message: &mut JobMessage,
        class: &RunnerClass,
    ) -> Result<Attempted, LaunchError> {
        let token = LaunchToken::derive(&self.config.name_prefix, message.job_id, message.attempt);
        let mut names_taken = Vec::new();
        let (runner_name, jit) = loop {
            let name = RunnerName::derive(
                &self.config.name_prefix,
                message,
                u8::try_from(names_taken.len()).unwrap_or(u8::MAX),
            );
            match self.register(place, class, message, &name).await {
                Ok(jit) => break (name, jit),
                Err(GitHubError::NameTaken) => {
                    message.unsettled = true;
                    if let Some(task) = self.live_task(&token).await? {
                        self.sweep_names(place, message, &task).await;
                        return Ok(Attempted::Done(Launched::AlreadyRunning { task: task.arn }));
                    }
                    names_taken.push(name);
                    if names_taken.len() > usize::from(MOST_SPARES) {
                        return Err(LaunchError::NamesTaken);
                    }
                }
                Err(error) => {
                    // It may have been done all the same.
                    message.unsettled |= is_passing(&error);
                    return Err(error.into());
                }
            }
        };
        let launch = Launch { message, class, token: &token, runner_name: &runner_name, jit: &jit };
        match self.tasks.run(launch).await {
            Ok(task) => {
                self.delete_by_name(place, &names_taken).await;
                Ok(Attempted::Done(Launched::Started { task, runner_id: jit.runner_id, runner_name }))
            }
            Err(RunError::AlreadyStarted { arns }) => {
                self.delete(place, jit.runner_id).await;
                self.meet(place, message, &arns, &names_taken).await
            }
            Err(error) => {
                // Without an answer the task may be starting with this registration: the next try will see.
                let settled = !matches!(error, RunError::Silent { .. }) && self.delete(place, jit.runner_id).await;
                message.unsettled |= !settled;
                Err(error.into())
            }
        }
    }

    async fn register(
        &self,
        place: &Place,
        class: &RunnerClass,
        message: &JobMessage,
        name: &RunnerName,
    ) -> Result<JitConfig, GitHubError> {
        let request = JitRequest {
            name,
            runner_group_id: class.runner_group_id,
            labels: &message.labels,
            has_waited: message.not_before.is_some(),
        };
        self.quickly(async || self.github.generate_jit_config(&place.account, &place.scope, &request).await).await
    }

    /// Repeats what is likely to pass within a second.
    async fn quickly<T>(&self, call: impl AsyncFn() -> Result<T, GitHubError>) -> Result<T, GitHubError> {
        let mut repeats = 0;
        loop {
            match call().await {
                Err(error) if is_passing(&error) && repeats < QUICK_REPEATS => {
                    let pause = QUICK_PAUSE * 3_u32.pow(repeats);
                    self.clock.sleep(pause.mul_f64(0.5 + random_fraction())).await;
                    repeats += 1;
                }
                outcome => return outcome,
            }
        }
    }

    /// Finds out what the task that has the token is, and takes back the registrations that are not its own.
    async fn meet(
        &self,
        place: &Place,
        message: &mut JobMessage,
        arns: &[TaskArn],
        taken: &[RunnerName],
    ) -> Result<Attempted, LaunchError> {
        let found = self.tasks.describe(arns).await?.into_iter().next();
        let Some(task) = found else {
            // Started a moment ago and not shown yet, or stopped more than an hour ago and not shown any more.
            if message.backoff > 0 {
                self.delete_by_name(place, taken).await;
                return Ok(Attempted::Over { reason: "ECS does not show it any more".to_owned() });
            }
            let task = arns.first().map(TaskArn::to_string).unwrap_or_default();
            return Err(LaunchError::Unsure { task });
        };
        let others: Vec<_> =
            taken.iter().filter(|name| Some(name.as_str()) != task.runner_name.as_deref()).cloned().collect();
        if task.is_over {
            self.delete_by_name(place, taken).await;
            if let Some(id) = task.runner_id {
                self.delete(place, id).await;
            }
            return Ok(Attempted::Over { reason: task.stopped_reason.unwrap_or_default() });
        }
        if task.runner_name.is_some() {
            self.delete_by_name(place, &others).await;
        }
        if let Some(id) = task.runner_id
            && self.quickly(async || self.github.runner(&place.account, &place.scope, id).await).await?.is_none()
        {
            if task.created_at.is_none_or(|at| self.clock.now() - at < SHOWN_AFTER) {
                return Err(LaunchError::Unsure { task: task.arn.to_string() });
            }
            if !self.still_queued(place, message).await? {
                return Ok(Attempted::Done(Launched::JobGone));
            }
            self.tasks.stop(&task.arn, "jitgate: its registration is gone and its job still waits").await?;
            return Ok(Attempted::Over { reason: "its registration was gone".to_owned() });
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

    /// Earlier tries took names in order, so all before the living task's own are left over.
    async fn sweep_names(&self, place: &Place, message: &mut JobMessage, task: &TaskView) {
        let Some(own) = &task.runner_name else { return };
        let names: Vec<_> = (0..=MOST_SPARES)
            .map(|spare| RunnerName::derive(&self.config.name_prefix, message, spare))
            .take_while(|name| name.as_str() != own)
            .collect();
        // The task's name belongs to another message about the same job: none of ours is its.
        let names = if names.len() > usize::from(MOST_SPARES) { &names[..1] } else { &names[..] };
        self.delete_by_name(place, names).await;
    }

    async fn delete_by_name(&self, place: &Place, names: &[RunnerName]) {
        for name in names {
            match self.quickly(async || self.github.find_runner(&place.account, &place.scope, name).await).await {
                Ok(Some(runner)) => {
                    self.delete(place, runner.id).await;
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(runner.name = %name, error = %error, "left-over registration not found"),
            }
        }
    }

    /// Whether the registration is gone now. GitHub refuses if it is busy, which is right.
    async fn delete(&self, place: &Place, id: RunnerId) -> bool {
        match self.quickly(async || self.github.delete_runner(&place.account, &place.scope, id).await).await {
            Ok(Deletion::Deleted | Deletion::Gone) => true,
            Ok(Deletion::Busy) => false,
            Err(error) => {
                tracing::warn!(runner.id = id.0, error = %error, "registration not deleted");
                false
            }
        }
    }
}

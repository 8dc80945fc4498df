//! One attempt of a launch: does what [`step`] says, and tells it what that met.

use std::time::Instant;

use jitgate::classes::Fit;
use jitgate::ecs::{EcsError, Launch, RunError, Started, TaskArn, TaskView};
use jitgate::github::{AtPlace, Deletion, JitConfig, JitRequest, Place, Registered, Registration};
use jitgate::job::{Message, RunnerId};
use jitgate::names::{LaunchToken, RunnerName};
use jitgate::relaunch::{Fruitless, is_copy};
use time::{Duration, OffsetDateTime};

use crate::context::Context;
use crate::leftovers::{Leftovers, delete, is_gone};
use crate::patience::patiently;
use crate::protocol::{Action, Ending, Failure, Met, Spared, Step, TakeBack, step};
use crate::swaps::still_waits;
use crate::verdict::LaunchError;

/// How long a launch without capacity waits before it tries again, give or take half. Three tries start a task in 97 of
/// 100 cases where three answers in ten have no capacity. Lambda bills the wait, which is about as long as `RunTask`
/// takes.
const REPEATS: [std::time::Duration; 2] =
    [std::time::Duration::from_millis(150), std::time::Duration::from_millis(450)];

/// A call that took longer than this is not made again. A launch must end before Lambda's deadline.
const REPEAT_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// What an attempt came to.
pub(crate) enum Attempted {
    /// It has started this task with this registration.
    Started { task: TaskArn, runner_id: RunnerId, runner_name: RunnerName },
    /// An earlier or simultaneous try has started this task.
    AlreadyRunning { task: TaskArn },
    /// Its task has stopped, or can take no job any more. The reason is ECS's or ours.
    Over {
        how: Fruitless,
        ended_at: Option<OffsetDateTime>,
        next_placement: u8,
        reason: String,
        is_copy: bool,
        /// This try has deleted the task's registration, so nobody else makes the job's own message.
        has_deleted: bool,
    },
    /// The job waits no longer.
    JobGone,
}

/// An attempt under way.
pub(crate) struct Try<'a> {
    context: &'a Context,
    place: &'a Place,
    message: &'a Message,
    fit: &'a Fit<'a>,
    token: LaunchToken,
    registered: Option<(RunnerName, JitConfig)>,
    names_taken: Vec<RunnerName>,
    /// The launch's task, as last seen or as a conflict named it.
    task: Option<TaskView>,
    reason: String,
    error: Option<RunError>,
    /// A registration may be left under one of the launch's names.
    may_be_left: bool,
    /// The registration of this try is in use, or gone again.
    is_withdrawn: bool,
    /// This try has deleted the registration of the launch's task.
    has_deleted: bool,
}

impl<'a> Try<'a> {
    pub(crate) fn new(context: &'a Context, place: &'a Place, message: &'a Message, fit: &'a Fit<'a>) -> Self {
        Self {
            context,
            place,
            message,
            fit,
            token: context.token(message),
            registered: None,
            names_taken: Vec::new(),
            task: None,
            reason: String::new(),
            error: None,
            may_be_left: message.progress.unsettled,
            is_withdrawn: true,
            has_deleted: false,
        }
    }

    /// Tries the attempt. Also returns whether a registration may be left.
    pub(crate) async fn run(mut self) -> (Result<Attempted, LaunchError>, bool) {
        let mut met = Met::Nothing;
        let outcome = loop {
            met = match step(met) {
                Step::Do(action) => match self.act(action).await {
                    Ok(met) => met,
                    Err(error) => break Err(error),
                },
                Step::End(ending, take_back) => break Ok(self.end(ending, take_back).await),
                Step::Fail(failure) => break Err(self.fail(failure).await),
            };
        };
        (outcome, self.may_be_left || !self.is_withdrawn)
    }

    fn at(&self) -> AtPlace<'_> {
        self.context.github.at(self.place)
    }

    /// Does what the protocol says, and tells what that met.
    async fn act(&mut self, action: Action) -> Result<Met, LaunchError> {
        match action {
            Action::Register(spare) => self.register(spare).await,
            Action::FindTask => match live_task(self.context, &self.token).await? {
                Some(task) => Ok(self.alive(task)),
                None => Ok(Met::NoTaskOfName(u8::try_from(self.names_taken.len()).unwrap_or(u8::MAX))),
            },
            Action::Start => self.start().await,
            Action::Withdraw => {
                self.withdraw().await;
                Ok(Met::Withdrawn)
            }
            Action::LookAtTask => self.look_at_task().await,
            Action::LookAtRegistration => match self.task.as_ref().and_then(|task| task.runner_id) {
                Some(id) if self.at().runner(id).await?.is_none() => Ok(Met::RegistrationHidden(self.age_of_task())),
                _ => Ok(Met::RegistrationShown),
            },
            Action::DeleteRegistration => match self.task.as_ref().and_then(|task| task.runner_id) {
                Some(id) => Ok(match self.at().delete(id).await? {
                    Deletion::Busy => Met::RegistrationBusy,
                    deletion => {
                        self.has_deleted = deletion == Deletion::Deleted;
                        Met::RegistrationDeleted
                    }
                }),
                None => Ok(Met::RegistrationDeleted),
            },
            Action::StopTask => {
                if let Some(task) = &self.task {
                    let reason = "jitgate: its registration is gone and its job still waits";
                    self.context.tasks.stop(&task.arn, reason).await?;
                }
                "its registration was gone".clone_into(&mut self.reason);
                Ok(Met::TaskStopped)
            }
            Action::AskAboutJob => {
                let still_waits = still_waits(self.context, self.place, self.message).await?;
                Ok(if still_waits { Met::JobWaits } else { Met::JobGone })
            }
        }
    }

    async fn register(&mut self, spare: u8) -> Result<Met, LaunchError> {
        let name = RunnerName::derive(&self.context.config.name_prefix, self.message, spare);
        let request = JitRequest {
            name: &name,
            group: &self.fit.class.runner_group,
            labels: &self.message.job.labels,
            has_waited: self.message.progress.not_before.is_some(),
        };
        let mut may_be_left = false;
        let registered = patiently(self.context, async || {
            let Registration { outcome, is_doubtful } = self.at().register(&request).await;
            may_be_left |= is_doubtful;
            outcome
        });
        let registered = registered.await;
        self.may_be_left |= may_be_left;
        match registered? {
            Registered::New(jit) => {
                self.registered = Some((name, jit));
                Ok(Met::Registered)
            }
            Registered::NameTaken => {
                self.names_taken.push(name);
                self.may_be_left = true;
                Ok(Met::NameTaken)
            }
        }
    }

    /// Starts the task. Where there is no capacity, it tries again in a moment: the registration in hand costs more than
    /// a call to ECS.
    async fn start(&mut self) -> Result<Met, LaunchError> {
        let mut pauses = REPEATS.into_iter();
        loop {
            let error = match self.try_placements().await {
                Ok(started) => return Ok(self.started(started)),
                Err(error) => error,
            };
            let may_have_some = matches!(error, RunError::NoCapacity { .. }) && !self.is_at_standstill();
            let met = if matches!(error, RunError::Silent { .. }) { Met::Unanswered } else { Met::NotStarted };
            self.error = Some(error);
            let Some(pause) = pauses.next().filter(|_| may_have_some) else { return Ok(met) };
            self.pause(pause).await;
        }
    }

    /// Where there is no capacity, the next placement is tried under the same token: if an earlier one was accepted after
    /// all, the conflict says so. After the last one come those that this job has lost before.
    async fn try_placements(&self) -> Result<Started, RunError> {
        let (runner_name, jit) = self.registered.as_ref().expect("a start follows a registration");
        let (shortages, clock) = (&self.context.shortages, &self.context.clock);
        let mut reasons = Vec::new();
        let mut placements: Vec<_> = (0_u8..).zip(self.context.config.classes.placements(self.fit)).collect();
        let first = usize::from(self.message.progress.placement) % placements.len().max(1);
        placements.rotate_left(first);
        for (index, placement) in placements {
            let kind = placement.kind();
            if !shortages.is_worth_trying(&kind, clock.now()) {
                reasons.push(format!("{} on {}: none a moment ago", placement.class.name, placement.capacity));
                continue;
            }
            let launch = Launch {
                message: &self.message.clone().on_placement(index),
                fit: self.fit,
                scope: &self.place.scope,
                placement,
                token: &self.token,
                runner_name,
                jit,
            };
            match self.run_task(launch).await {
                Err(RunError::NoCapacity { reason }) => {
                    shortages.missing(&kind, &reason, clock.now());
                    reasons.push(format!("{} on {}: {reason}", placement.class.name, placement.capacity));
                }
                Ok(started) => {
                    shortages.found(&kind);
                    return Ok(started);
                }
                Err(error) => return Err(error),
            }
        }
        Err(RunError::NoCapacity { reason: reasons.join("; ") })
    }

    /// Calls `RunTask`, and once more after a failure that may pass. It is the same call, so should the first one have been
    /// accepted after all, ECS answers with its task.
    async fn run_task(&self, launch: Launch<'_>) -> Result<Started, RunError> {
        let begun = Instant::now();
        match self.context.tasks.run(launch).await {
            Err(RunError::Throttled { .. } | RunError::Unavailable { .. } | RunError::Unknown { .. })
                if begun.elapsed() < REPEAT_WITHIN =>
            {
                self.pause(REPEATS[0]).await;
                self.context.tasks.run(launch).await
            }
            outcome => outcome,
        }
    }

    async fn pause(&self, about: std::time::Duration) {
        let clock = &self.context.clock;
        clock.sleep(about.mul_f64(0.5 + clock.chance())).await;
    }

    fn is_at_standstill(&self) -> bool {
        let placements = self.context.config.classes.placements(self.fit);
        placements.iter().all(|placement| self.context.shortages.is_at_standstill(&placement.kind()))
    }

    fn started(&mut self, started: Started) -> Met {
        match started {
            Started::New(arn) => {
                self.task = Some(TaskView { arn, ..TaskView::default() });
                Met::Accepted
            }
            Started::Before(arns) => {
                self.task = arns.into_iter().next().map(|arn| TaskView { arn, ..TaskView::default() });
                Met::TokenTaken
            }
        }
    }

    async fn withdraw(&mut self) {
        if let Some((_, jit)) = &self.registered {
            self.is_withdrawn = is_gone(delete(self.context, self.place, jit.runner_id).await);
        }
    }

    async fn look_at_task(&mut self) -> Result<Met, LaunchError> {
        let found = match &self.task {
            Some(named) => self.context.tasks.describe(std::slice::from_ref(&named.arn)).await?.into_iter().next(),
            None => live_task(self.context, &self.token).await?,
        };
        match found {
            Some(task) if task.is_over => {
                self.reason = task.stopped_reason.clone().unwrap_or_default();
                self.task = Some(task);
                Ok(Met::TaskOver)
            }
            Some(task) => Ok(self.alive(task)),
            None => {
                "ECS does not show it any more".clone_into(&mut self.reason);
                Ok(Met::TaskHidden(self.message.progress.doubts))
            }
        }
    }

    fn alive(&mut self, task: TaskView) -> Met {
        let met =
            if task.runner_id.is_some() && task.runner_name.is_some() { Met::TaskAlive } else { Met::TaskUntagged };
        self.task = Some(task);
        met
    }

    fn age_of_task(&self) -> Option<Duration> {
        Some(self.context.clock.now() - self.task.as_ref()?.created_at?)
    }

    async fn end(&mut self, ending: Ending, take_back: TakeBack) -> Attempted {
        self.may_be_left = !self.take_back(take_back).await;
        let task = self.task.take().unwrap_or_default();
        match (ending, self.registered.take()) {
            (Ending::Launched, Some((runner_name, jit))) => {
                Attempted::Started { task: task.arn, runner_id: jit.runner_id, runner_name }
            }
            (Ending::Launched | Ending::AlreadyRunning, _) => Attempted::AlreadyRunning { task: task.arn },
            (Ending::JobGone, _) => Attempted::JobGone,
            (Ending::Over, _) => Attempted::Over {
                how: Fruitless::of(&task),
                ended_at: task.stopped_at,
                next_placement: task.next_placement().unwrap_or(self.message.progress.placement),
                reason: std::mem::take(&mut self.reason),
                is_copy: is_copy(&task, self.has_deleted),
                has_deleted: self.has_deleted,
            },
        }
    }

    /// Whether no registration of the launch is left but the spared one.
    async fn take_back(&mut self, what: TakeBack) -> bool {
        let TakeBack::AllBut(spared) = what else { return true };
        let leftovers = Leftovers::of(self.context, self.place, self.message);
        // An earlier try may have taken later names than this one, if the registrations before them were taken back.
        let was_unsettled = self.message.progress.unsettled;
        match (spared, &self.task, &self.registered) {
            (Spared::OurOwn, _, Some((name, jit))) if was_unsettled => {
                leftovers.take_back_all_but(Some((name.as_str(), jit.runner_id))).await
            }
            (Spared::OurOwn, ..) => leftovers.take_back(&self.names_taken).await,
            (Spared::TheTasks, task, _) if self.may_be_left => leftovers.take_back_all(task.as_ref()).await,
            (Spared::TheTasks, ..) => true,
            (Spared::None, task, _) => {
                let own = task.as_ref().and_then(|task| task.runner_id);
                let is_gone = match own {
                    Some(id) => {
                        let deletion = delete(self.context, self.place, id).await;
                        self.has_deleted |= deletion == Some(Deletion::Deleted);
                        is_gone(deletion)
                    }
                    None => true,
                };
                let is_gone = is_gone & (!self.may_be_left || leftovers.take_back_all(None).await);
                self.has_deleted |= leftovers.has_deleted();
                is_gone
            }
        }
    }

    async fn fail(&mut self, failure: Failure) -> LaunchError {
        match failure {
            Failure::NoNameLeft => LaunchError::NamesTaken,
            Failure::Unsure => {
                let arn = self.task.as_ref().map(|task| task.arn.to_string());
                LaunchError::Unsure { task: arn.unwrap_or_else(|| self.token.to_string()) }
            }
            Failure::NotStarted => {
                self.withdraw().await;
                self.error.take().expect("`RunTask` failed").into()
            }
            Failure::Unanswered => {
                self.may_be_left = true;
                self.error.take().expect("`RunTask` failed").into()
            }
        }
    }
}

/// The live task of a launch.
pub(crate) async fn live_task(context: &Context, token: &LaunchToken) -> Result<Option<TaskView>, EcsError> {
    let arns = context.tasks.live_of(token).await?;
    if arns.is_empty() {
        return Ok(None);
    }
    Ok(context.tasks.describe(&arns).await?.into_iter().find(|task| !task.is_over))
}

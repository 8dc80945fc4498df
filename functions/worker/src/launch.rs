//! Gives a job its runner: does what [`step`] says, and tells it what that met.
//!
//! The worker can die between any two steps, and any answer can be lost. The message then returns once its visibility of
//! six minutes ends, and the next try meets what this one left:
//!
//! | died, or answer lost | the next try meets | it does |
//! |---|---|---|
//! | before registering | nothing | registers and starts |
//! | registered, answer lost, the worker lives | 409 on the client's own repeat | finds no task, registers under a spare name, starts, deletes the first registration |
//! | after registering | 409, no task | the same |
//! | `RunTask` accepted, answer lost, the worker lives | The SDK repeats the same call, and ECS gives the original answer. | nothing more |
//! | the same, and all tries of the SDK stay unanswered | The registration is kept and the message deferred under its name; then as in the next row. | |
//! | after `RunTask` | 409, and the task is listed | deletes registrations under names before the task's own |
//! | the same, the task is not listed yet | 409, no task | registers under a spare name, meets the conflict, deletes that registration, sees the task alive |
//! | the same, the job has ended meanwhile | The name is free again. Conflict; the task is over. | deletes its registration, asks GitHub: completed |
//! | left-over names not deleted yet | 409 on a name before the task's own | deletes those |
//! | the message not deleted yet | as after `RunTask` | nothing more |
//! | `RunTask` refused, registration not deleted yet | 409, no task | as after registering |
//! | a deletion refused or not heard | The message is deferred as unsettled, so it keeps its name. 409, or the name is free. | as above |
//! | deferral sent, answer lost | Two messages. | The first one launches the job, the other meets the conflict. |
//! | another worker died with a spare name, this one started the task | 409 on the first name, the task's own | deletes all names but the task's own, up to three free ones in a row |
//! | the next attempt's message sent, answer lost | Two messages for the next attempt, or more. | The first one launches the job, the others meet the conflict. |
//!
//! Nothing is left in any of these rows. What no later try meets, because its message is lost, is an offline registration
//! without a task. It does nothing and costs nothing, and the cleaner deletes it.
//!
//! GitHub is not asked whether a job still waits before its first launch: right after the delivery its answer lags, and
//! jobs would starve. It is asked once a message has waited for longer than a moment, for old jobs, and before each further
//! attempt. Only "in progress" and "completed" keep a job from its runner; a job that GitHub does not show may still wait.

use jitgate::admission::Unwelcome;
use jitgate::classes::Fit;
use jitgate::ecs::{EcsError, Launch, RunError, Started, TaskArn, TaskView};
use jitgate::github::{
    AtPlace, Deletion, InRepository, JitConfig, JitRequest, JobLook, JobState, Place, Registered, Registration,
};
use jitgate::job::{Attempt, Job, Message, Purpose, RunnerId};
use jitgate::names::{LaunchToken, RunnerName};
use time::Duration;

use crate::context::Context;
use crate::leftovers::{Leftovers, delete};
use crate::protocol::{Action, Ending, Failure, Met, SHOWN_AFTER, Spared, Step, TakeBack, step};
use crate::swaps::launch_for_swapped;
use crate::verdict::{Aftermath, LaunchError};

/// A job this old may have ended meanwhile, however late its delivery. GitHub is not asked earlier: right after the
/// delivery it may not show yet that the job is queued.
const WORTH_ASKING: Duration = Duration::minutes(30);

/// A delivery that comes this long after its job was created has failed before, so the job may have been cancelled and
/// released since then.
pub(crate) const LATE: Duration = Duration::minutes(2);

/// How a launch ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Launched {
    /// It has started a task.
    Started { task: TaskArn, runner_id: RunnerId, runner_name: RunnerName },
    /// An earlier or simultaneous try has started this task.
    AlreadyRunning { task: TaskArn },
    /// The attempt is over and the job still waits: a message for this attempt is on the queue. The reason is ECS's or
    /// ours.
    Next { attempt: Attempt, reason: String },
    /// The job waits no longer.
    JobGone,
    /// The class does not take such jobs.
    Refused(Unwelcome),
}

/// A launch that was tried: the job with what is known of it now, the outcome, and what the next try must know.
pub(crate) struct Tried {
    pub(crate) job: Job,
    pub(crate) outcome: Result<Launched, LaunchError>,
    pub(crate) aftermath: Aftermath,
}

/// Launches the message's runner.
pub(crate) async fn launch(context: &Context, message: &Message, fit: &Fit<'_>) -> Tried {
    let mut launch = Launcher {
        context,
        place: context.github.place_of(&message.job),
        message: message.clone(),
        fit,
        aftermath: Aftermath { unsettled: message.progress.unsettled, asked: false },
    };
    let outcome = launch.run().await;
    Tried { job: launch.message.job, outcome, aftermath: launch.aftermath }
}

struct Launcher<'a> {
    context: &'a Context,
    place: Place,
    message: Message,
    fit: &'a Fit<'a>,
    aftermath: Aftermath,
}

/// What one attempt came to.
enum Attempted {
    Done(Launched),
    Over { reason: String, next_placement: u8 },
}

impl Launcher<'_> {
    async fn run(&mut self) -> Result<Launched, LaunchError> {
        // First of all: jobs that wait for capacity come by again and again, and asking GitHub about each of them would use
        // up its hourly limit.
        let _turn = self.context.shortages.turn(self.fit.kind(), self.context.clock.now())?;
        if self.message.purpose == Purpose::Warm {
            // There is no job to ask about. Once the task is over, the cleaner asks for the next one.
            return Ok(match self.attempt().await? {
                Attempted::Done(launched) => launched,
                Attempted::Over { .. } => Launched::JobGone,
            });
        }
        if self.is_worth_asking() {
            let has_waited = self.message.progress.not_before.is_some();
            let job = repository(self.context, &self.place, &self.message).job_in_turn(self.message.job.id, has_waited);
            if has_runner(self.context, &self.message, job.await?).await? {
                return self.leave().await;
            }
            self.aftermath.asked = true;
        }
        let Some(provenance) = self.provenance().await? else { return self.leave().await };
        if let Err(unwelcome) = provenance.check(self.fit.class) {
            return Ok(Launched::Refused(unwelcome));
        }
        match self.attempt().await? {
            Attempted::Done(launched) => Ok(launched),
            Attempted::Over { reason, next_placement }
                if still_waits(self.context, &self.place, &self.message).await? =>
            {
                self.go_on(reason, next_placement).await
            }
            Attempted::Over { .. } => Ok(Launched::JobGone),
        }
    }

    /// Whether the job may have ended since its delivery.
    fn is_worth_asking(&self) -> bool {
        let Message { job, progress, .. } = &self.message;
        progress.ask_first
            || progress.unsettled
            || job.queued_at - job.created_at > LATE
            || self.context.clock.now() - job.created_at > WORTH_ASKING
    }

    /// Where the job's code comes from; `None` if the job has been deleted. GitHub is asked only if the class depends on it.
    async fn provenance(&mut self) -> Result<Option<jitgate::admission::Provenance>, LaunchError> {
        let known = self.message.job.provenance();
        if !known.depends_on_run(self.fit.class) {
            return Ok(Some(known));
        }
        let repository = repository(self.context, &self.place, &self.message);
        if let Some(run) = repository.run(self.message.job.run_id).await? {
            self.message.job.is_from_fork = run.provenance().is_from_fork;
            return Ok(Some(self.message.job.provenance()));
        }
        let had_time = self.context.clock.now() - self.message.job.queued_at > SHOWN_AFTER;
        if had_time && repository.job(self.message.job.id).await?.is_none() {
            return Ok(None);
        }
        Err(LaunchError::RunNotShown)
    }

    /// The job needs no runner: take back what an earlier try may have left.
    async fn leave(&mut self) -> Result<Launched, LaunchError> {
        if self.message.progress.unsettled {
            let task = live_task(self.context, &self.context.token(&self.message)).await?;
            let leftovers = Leftovers::of(self.context, &self.place, &self.message);
            self.aftermath.unsettled = !leftovers.take_back_all(task.as_ref()).await;
        }
        Ok(Launched::JobGone)
    }

    /// The next attempt is a message of its own, so that everything registered for an attempt can be found from its message.
    async fn go_on(&self, reason: String, placement: u8) -> Result<Launched, LaunchError> {
        let next = self.message.clone().for_launch(self.message.progress.attempt.next(), self.context.clock.now());
        let next = next.on_placement(placement);
        self.context.queue.send(&next, std::time::Duration::ZERO).await?;
        Ok(Launched::Next { attempt: next.progress.attempt, reason })
    }

    async fn attempt(&mut self) -> Result<Attempted, LaunchError> {
        let mut attempt = Running {
            context: self.context,
            place: &self.place,
            message: &self.message,
            fit: self.fit,
            token: self.context.token(&self.message),
            registered: None,
            names_taken: Vec::new(),
            task: None,
            reason: String::new(),
            error: None,
            may_be_left: self.message.progress.unsettled,
            is_withdrawn: true,
        };
        let mut met = Met::Nothing;
        let outcome = loop {
            met = match step(met) {
                Step::Do(action) => match attempt.act(action).await {
                    Ok(met) => met,
                    Err(error) => break Err(error),
                },
                Step::End(ending, take_back) => break Ok(attempt.end(ending, take_back).await),
                Step::Fail(failure) => break Err(attempt.fail(failure).await),
            };
        };
        self.aftermath.unsettled = attempt.may_be_left || !attempt.is_withdrawn;
        outcome
    }
}

/// An attempt under way.
struct Running<'a> {
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
}

impl Running<'_> {
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
                Some(id) if self.at().delete(id).await? == Deletion::Busy => Ok(Met::RegistrationBusy),
                _ => Ok(Met::RegistrationDeleted),
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
        let Registration { outcome, is_doubtful } = self.at().register(&request).await;
        self.may_be_left |= is_doubtful;
        match outcome? {
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

    /// Where there is no capacity, the next placement is tried under the same token: if an earlier one was accepted after
    /// all, the conflict says so. After the last one come those that this job has lost before.
    async fn start(&mut self) -> Result<Met, LaunchError> {
        let (runner_name, jit) = self.registered.as_ref().expect("a start follows a registration");
        let (kind, mut reasons) = (self.fit.kind(), Vec::new());
        let mut placements: Vec<_> = (0_u8..).zip(self.context.config.classes.placements(self.fit)).collect();
        let first = usize::from(self.message.progress.placement) % placements.len().max(1);
        placements.rotate_left(first);
        for (index, placement) in placements {
            let message = &self.message.clone().on_placement(index);
            let launch = Launch { message, placement, token: &self.token, runner_name, jit };
            let error = match self.context.tasks.run(launch).await {
                Err(RunError::NoCapacity { reason }) => {
                    reasons.push(format!("{} on {}: {reason}", placement.class.name, placement.capacity));
                    continue;
                }
                Ok(started) => {
                    self.context.shortages.found(&kind);
                    return Ok(self.started(started));
                }
                Err(error) => error,
            };
            let met = if matches!(error, RunError::Silent { .. }) { Met::Unanswered } else { Met::NotStarted };
            self.error = Some(error);
            return Ok(met);
        }
        let reason = reasons.join("; ");
        self.context.shortages.missing(&kind, &reason, self.context.clock.now());
        self.error = Some(RunError::NoCapacity { reason });
        Ok(Met::NotStarted)
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
            self.is_withdrawn = delete(self.context, self.place, jit.runner_id).await;
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
        match (ending, &self.registered) {
            (Ending::Launched, Some((runner_name, jit))) => Attempted::Done(Launched::Started {
                task: task.arn,
                runner_id: jit.runner_id,
                runner_name: runner_name.clone(),
            }),
            (Ending::Launched | Ending::AlreadyRunning, _) => {
                Attempted::Done(Launched::AlreadyRunning { task: task.arn })
            }
            (Ending::JobGone, _) => Attempted::Done(Launched::JobGone),
            (Ending::Over, _) => Attempted::Over {
                reason: std::mem::take(&mut self.reason),
                next_placement: task.next_placement().unwrap_or(self.message.progress.placement),
            },
        }
    }

    /// Whether no registration of the launch is left but the spared one.
    async fn take_back(&self, what: TakeBack) -> bool {
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
            (Spared::Nobody, task, _) => {
                let own = task.as_ref().and_then(|task| task.runner_id);
                let is_gone = match own {
                    Some(id) => delete(self.context, self.place, id).await,
                    None => true,
                };
                is_gone & (!self.may_be_left || leftovers.take_back_all(None).await)
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

/// Whether the job has, or had, a runner. Only a clear answer counts: a job that GitHub does not show, or whose
/// state it does not say, may still wait. If it
/// has another job's runner, that job is launched again.
async fn has_runner(context: &Context, message: &Message, job: Option<JobLook>) -> Result<bool, LaunchError> {
    match job {
        Some(job) if matches!(job.state, Some(JobState::InProgress | JobState::Completed)) => {
            launch_for_swapped(context, message, job).await?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Whether the job still needs a runner. A warm runner's message has no job.
async fn still_waits(context: &Context, place: &Place, message: &Message) -> Result<bool, LaunchError> {
    if message.purpose == Purpose::Warm {
        return Ok(false);
    }
    let job = repository(context, place, message).job(message.job.id).await?;
    Ok(!has_runner(context, message, job).await?)
}

pub(crate) fn repository<'a>(context: &'a Context, place: &'a Place, message: &'a Message) -> InRepository<'a> {
    context.github.in_repository(&place.account, &message.job.owner, &message.job.repository)
}

/// The live task of a launch.
async fn live_task(context: &Context, token: &LaunchToken) -> Result<Option<TaskView>, EcsError> {
    let arns = context.tasks.live_of(token).await?;
    if arns.is_empty() {
        return Ok(None);
    }
    Ok(context.tasks.describe(&arns).await?.into_iter().find(|task| !task.is_over))
}

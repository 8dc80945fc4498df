//! Gives a job its runner, whatever earlier tries have left.
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
//! attempt. Only "in progress" and "completed" keep a job from its runner. A job that GitHub does not show may still wait,
//! unless it is half an hour old.

use jitgate::admission::{Provenance, Unwelcome};
use jitgate::classes::Fit;
use jitgate::github::{JobState, Place};
use jitgate::job::{Attempt, Job, Message, Purpose};
use jitgate::names::LaunchToken;
use jitgate::relaunch::{is_near_its_end, relaunch};
use time::Duration;

use crate::attempt::{Attempted, Try, live_task};
use crate::context::Context;
use crate::leftovers::Leftovers;
use crate::patience::patiently;
use crate::protocol::SHOWN_AFTER;
use crate::swaps::{SHOWN_BY, needs_none, repository, still_waits};
use crate::verdict::{Aftermath, LaunchError};

/// A delivery that comes this long after its job was created has failed before, so the job may have been cancelled and
/// released since then.
const LATE: Duration = Duration::minutes(2);

/// ECS keeps a token for at least this long after the task's start. Source: ECS's "Ensuring idempotency".
const TOKEN_LASTS: Duration = Duration::HOUR;

/// How a launch ended well.
pub(crate) enum Launched {
    /// Its attempt did.
    Attempted(Attempted),
    /// The attempt is over and the job still waits: a message for this attempt is on the queue.
    Next { attempt: Attempt, reason: String },
    /// The class does not take such jobs.
    Refused(Unwelcome),
    /// GitHub has just failed the job, which waited for as long as it may.
    TooLate,
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

impl Launcher<'_> {
    async fn run(&mut self) -> Result<Launched, LaunchError> {
        let Job { owner, installation_id, .. } = &self.message.job;
        // The list may have changed since the delivery. A warm runner is asked for by the cleaner, which has looked.
        if self.message.purpose == Purpose::Launch && !self.context.config.allowed.includes(owner, *installation_id) {
            let unwelcome = Unwelcome::Account(owner.clone());
            self.leave().await?;
            return Ok(Launched::Refused(unwelcome));
        }
        // Before anything is asked: jobs that wait for capacity come by again and again, and asking GitHub about each of them would use
        // up its hourly limit.
        let placements = self.context.config.classes.placements(self.fit);
        let _turn = self.context.shortages.turn(&placements, &self.context.clock).await?;
        if self.message.purpose == Purpose::Warm {
            // There is no job to ask about. Once the task is over, the cleaner asks for the next one.
            return Ok(Launched::Attempted(self.attempt().await?));
        }
        if self.is_worth_asking() {
            let has_waited = self.message.progress.not_before.is_some();
            let repository = repository(self.context, &self.place, &self.message);
            let job = patiently(self.context, async || repository.job_in_turn(self.message.job.id, has_waited).await);
            let job = job.await?;
            let never_ran =
                job.as_ref().is_some_and(|job| job.state == Some(JobState::Completed) && job.runner_id.is_none());
            let is_late = never_ran && is_near_its_end(&self.message, self.context.clock.now());
            if needs_none(self.context, &self.message, job).await? {
                let left = self.leave().await?;
                return Ok(if is_late && !self.aftermath.unsettled { Launched::TooLate } else { left });
            }
            self.aftermath.asked = true;
        }
        let Some(provenance) = self.provenance().await? else { return self.leave().await };
        if let Err(unwelcome) = provenance.check(self.fit.class) {
            return Ok(Launched::Refused(unwelcome));
        }
        if self.is_superseded().await? {
            return self.leave().await;
        }
        match self.attempt().await? {
            // What follows a retry is left to the cleaner, unless its registration was deleted here: each copy of the retry's
            // message would send one.
            Attempted::Over { how, ended_at, next_placement, reason, is_copy, has_deleted }
                if (has_deleted || !self.message.progress.is_retry())
                    && still_waits(self.context, &self.place, &self.message).await? =>
            {
                let now = self.context.clock.now();
                let next = relaunch(self.message.clone(), how, ended_at.unwrap_or(now), Some(&reason));
                self.go_on(next.on_placement(next_placement).as_copy(is_copy), reason).await
            }
            attempted => Ok(Launched::Attempted(attempted)),
        }
    }

    /// Whether a later launch of the job was started, which sees to it. ECS forgets a launch's token an hour after its task, so
    /// what is left of the launch's messages by then would start another task beside the later one's.
    async fn is_superseded(&self) -> Result<bool, LaunchError> {
        let Message { job, progress, .. } = &self.message;
        let now = self.context.clock.now();
        if now - job.queued_at < TOKEN_LASTS {
            return Ok(false);
        }
        let tasks = self.context.brake.tasks(self.context, now).await?;
        let mut launches =
            tasks.iter().filter_map(|task| LaunchToken::parse(&self.context.config.name_prefix, &task.started_by));
        Ok(launches.any(|(of_job, attempt)| of_job == job.id && attempt > progress.attempt))
    }

    /// Whether the job may have ended since its delivery. GitHub is not asked about others: right after the delivery it may not
    /// show yet that the job is queued.
    fn is_worth_asking(&self) -> bool {
        let Message { job, progress, .. } = &self.message;
        progress.ask_first
            || progress.unsettled
            || job.queued_at - job.created_at > LATE
            || self.context.clock.now() - job.created_at > SHOWN_BY
    }

    /// Where the job's code comes from; `None` if the job has been deleted. GitHub is asked only if the class depends on it.
    async fn provenance(&mut self) -> Result<Option<Provenance>, LaunchError> {
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
        Ok(Launched::Attempted(Attempted::JobGone))
    }

    /// The next attempt is a message of its own, so that everything registered for an attempt can be found from its message.
    async fn go_on(&self, next: Message, reason: String) -> Result<Launched, LaunchError> {
        let now = self.context.clock.now();
        self.context.queue.send_at(&next, next.progress.not_before.unwrap_or(now), now).await?;
        Ok(Launched::Next { attempt: next.progress.attempt, reason })
    }

    async fn attempt(&mut self) -> Result<Attempted, LaunchError> {
        let (outcome, is_unsettled) = Try::new(self.context, &self.place, &self.message, self.fit).run().await;
        self.aftermath.unsettled = is_unsettled;
        outcome
    }
}

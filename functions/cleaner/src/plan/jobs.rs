//! Jobs that wait although a runner was started for them, and jobs that no delivery announced.
//!
//! A task can stop before its runner took a job, and a runner can take another job than its own, since runners with the
//! same labels are interchangeable. No event says so, and only GitHub knows whether a job still waits. A question costs a
//! point, and a job whose message is on its way needs no second one. So each job is asked about at a few moments after its
//! task stopped or started, or after it was created. The moments follow from times alone: nothing has to be remembered.
//!
//! In a burst, or while there is no capacity, many jobs wait in our own queue, which cannot be searched. So no job whose message
//! may be there is asked about while the queue holds as many messages as such jobs are known ([`without_queued`]). If it
//! holds fewer, some are lost; a second message for the others is harmless, since the launch token makes one launch of both.

use std::collections::HashSet;
use std::ops::Range;

use jitgate::ecs::ended_by_itself;
use jitgate::job::{Attempt, JobId, Message, Purpose, RunnerId};
use time::Duration;

use super::interval::{PASS_INTERVAL, falls_on};
use super::links::Task;
use super::question::{Cause, Left, Question, question_of};
use super::world::World;

/// After a stop that came before the job. ECS's event comes at once. It deletes the registration, so while that is left, each
/// pass from the first moment on takes the event for lost. These moments are for where no registration tells. Each may put one
/// more message of the same launch on the queue, so after a retry, which may wait for hours, there is only the first.
const AFTER_A_FAILED_START: [Duration; 4] =
    [Duration::minutes(2), Duration::minutes(12), Duration::minutes(30), Duration::minutes(50)];

/// From the first of these moments until the last pass to which ECS shows the task (for an hour), each pass asks, unless the
/// job's message may be on the queue: GitHub may have been out of order at the moments.
const UNTIL_FORGOTTEN: Duration = Duration::HOUR.saturating_sub(PASS_INTERVAL);

/// After any other stop: the runner did a job, perhaps another one than its own.
const AFTER_A_STOP: [Duration; 1] = [Duration::minutes(2)];

/// After a start, while the runner has a job, perhaps another one, or its registration is gone.
const WHILE_BUSY: [Duration; 3] = [Duration::minutes(5), Duration::minutes(20), Duration::HOUR];

/// After a job's last task stopped, while GitHub lists the job as queued and ECS shows the task, for an hour. Its message may be
/// waiting for capacity: each of these moments may put one more on the queue.
const WHILE_WAITING: [Duration; 4] =
    [WORTH_LISTING, Duration::minutes(20), Duration::minutes(35), Duration::minutes(50)];

/// After a job was created, while GitHub lists it as queued and no task of it is known. Each pass in these times asks, since
/// one may fail to reach the repository. Not in between: the job may have been given up, which no task tells once ECS has
/// forgotten its tasks. So such a job is tried again after hours.
const WHILE_UNTOLD: [Range<Duration>; 3] = [
    WORTH_LISTING..Duration::minutes(90),
    Duration::hours(4)..Duration::hours(5),
    Duration::hours(16)..Duration::hours(17),
];

/// A job that was queued more recently is not looked for: its delivery is on its way, or its task about to start.
pub const WORTH_LISTING: Duration = Duration::minutes(5);

/// The jobs about which this pass asks.
pub fn questions(world: &World<'_>) -> Vec<Question> {
    let raised = world.latest.values().filter_map(|task| {
        let cause = if task.view.is_over { after_stop(world, task) } else { while_busy(world, task) };
        let question = question_of(world.now, world.settings.prefix, task.view, cause?)?;
        let left = left(world, task).filter(|_| question.cause == Cause::FailedStart).map(Left::Id);
        Some(Question { swapped: task.working.cloned(), left, ..question })
    });
    let mut questions: Vec<_> = raised.collect();
    let raised: HashSet<_> = questions.iter().map(|question| question.message.job.id).collect();
    let listed = world.seen.waiting.iter().filter(|message| !raised.contains(&message.job.id));
    questions.extend(listed.filter_map(|message| while_waiting(world, message)));
    questions.sort_by_key(|question| question.message.job.id);
    questions.dedup_by_key(|question| question.message.job.id);
    questions
}

/// Without the questions that a message on the queue may already answer, unless more jobs wait, as far as they were listed,
/// than messages are on the queue: then some messages are lost, and which ones is unknown.
pub fn without_queued(mut questions: Vec<Question>, world: &World<'_>, on_queue: usize) -> Vec<Question> {
    let has_no_task = |message: &&Message| world.latest.get(&message.job.id).is_none_or(|task| task.view.is_over);
    let waiting = world.seen.waiting.iter().filter(has_no_task).count();
    if on_queue > 0 && waiting <= on_queue {
        questions.retain(|question| !question.cause.may_be_queued());
    }
    questions
}

/// Heals: image pull failure, Spot reclaim, bad network; and a runner that did another job than its own.
fn after_stop(world: &World<'_>, task: &Task<'_>) -> Option<Cause> {
    let since = world.now - task.view.stopped_at?;
    if did_a_job(world, task) {
        return falls_on(since, &AFTER_A_STOP).then_some(Cause::Stopped);
    }
    let is_retry = task.view.message.as_ref().is_some_and(|message| message.progress.is_retry());
    let moments = if is_retry { &AFTER_A_FAILED_START[..1] } else { &AFTER_A_FAILED_START };
    let is_shown = (AFTER_A_FAILED_START[0]..UNTIL_FORGOTTEN).contains(&since);
    if falls_on(since, moments) || is_shown && left(world, task).is_some() {
        return Some(Cause::FailedStart);
    }
    is_shown.then_some(Cause::StillWaiting)
}

/// GitHub deletes a registration after a job.
fn did_a_job(world: &World<'_>, task: &Task<'_>) -> bool {
    ended_by_itself(task.view.stop_code.as_deref(), task.view.exit_code) && left(world, task).is_none()
}

/// The registration that a task has left. A stopped task has lost the tag with its id, so the launch stands for it.
fn left(world: &World<'_>, task: &Task<'_>) -> Option<RunnerId> {
    world.left.get(&task.launch?).copied()
}

/// Whether passes see to the job of the launch, and with it to its registration: that a registration is left tells them that
/// nobody has yet.
pub(super) fn is_seen_to(world: &World<'_>, launch: (JobId, Attempt)) -> bool {
    world.latest.get(&launch.0).filter(|task| task.view.is_over && task.launch == Some(launch)).is_some_and(|task| {
        let is_of_job = task.view.message.as_ref().is_some_and(|message| message.purpose == Purpose::Launch);
        is_of_job && task.view.stopped_at.is_some_and(|at| world.now - at < UNTIL_FORGOTTEN)
    })
}

/// Heals: the runner was swapped, and has another job with the same labels; its registration vanished before a job came.
fn while_busy(world: &World<'_>, task: &Task<'_>) -> Option<Cause> {
    let (Some(_), Some(_)) = (task.view.runner_id, task.place) else { return None };
    let cause = match task.runner {
        Some(_) if task.is_busy() => Cause::Busy,
        Some(_) => return None,
        None => Cause::Unregistered,
    };
    let own_job = task.view.message.as_ref().map(|message| message.job.id);
    let has_its_own = task.working.is_some_and(|working| Some(working.job) == own_job);
    (!has_its_own && falls_on(world.now - task.view.created_at?, &WHILE_BUSY)).then_some(cause)
}

/// Heals: a webhook that never came, not even in vain, and whatever the other moments have missed.
fn while_waiting(world: &World<'_>, message: &Message) -> Option<Question> {
    let Some(task) = world.latest.get(&message.job.id) else {
        let age = world.now - message.job.created_at;
        let question = || Question {
            message: message.clone(),
            cause: Cause::Untold,
            stopped_reason: None,
            swapped: None,
            left: None,
        };
        return WHILE_UNTOLD.iter().any(|time| time.contains(&age)).then(question);
    };
    if !falls_on(world.now - task.view.stopped_at?, &WHILE_WAITING) {
        return None;
    }
    // Its registration may have been deleted by whoever then failed to send the job's message, so it is not taken for queued.
    let cause = if did_a_job(world, task) { Cause::FailedStart } else { Cause::StillWaiting };
    question_of(world.now, world.settings.prefix, task.view, cause)
}

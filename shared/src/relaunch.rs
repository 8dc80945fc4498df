//! The next launch of a job whose last one came to nothing, and when it may go.
//!
//! What keeps a runner from coming up passes sooner or later: there are no free addresses, the registry limits pulls, GitHub turns a
//! version away. So a launch that failed is repeated for as long as GitHub keeps the job queued, 24 hours, at growing
//! intervals. A runner that came up and got no job is another matter: it costs its time, and another one would hardly do
//! better. So there are few of them, far apart.
//!
//! | the last launch | the next one goes |
//! |---|---|
//! | failed to start | 10 s after the first failure, then twice as long each time, up to 5 min; from the thirteenth failure on up to an hour |
//! | found no capacity after ECS had accepted it | the same, but never more than 5 min, as while ECS refuses launches |
//! | got no job, for the first time | after 10 s |
//! | for the second and third time | after one and eight hours |
//! | for the fourth time | never: the job waits for its end |
//! | did another job | at once |
//!
//! **One dead letter.** Several may see to a launch that came to nothing, at once or one after the other: ECS's event, passes,
//! and a message of the same launch. Each sends the next one's message, so that the job is not lost with any of them, and the
//! launch token makes one launch of all. But should the job wait to its end, only one of them becomes its dead letter: that
//! of whoever deleted the registration of the launch. GitHub confirms a deletion once, so all others are copies.
//!
//! So one job costs at most 4 tasks that get no job, 12 that fail within the first 40 minutes and 25 in the rest of the
//! day; or 27 whose runners never connect, each for its class's `start_minutes` and until the next pass. Where a class fails as
//! a whole, its brake lets far fewer go: see the worker's `brake`.

use time::{Duration, OffsetDateTime};

use crate::ecs::{CONTAINER_EXITED, IDLE, TaskView, VERSION_REFUSED};
use crate::job::{Message, Progress, brief};

/// What a launch waits for whose class fails; the reason follows.
pub const CLASS_FAILS: &str = "the last runners of the class failed: ";

/// What a launch waits for whose class's idle runners get no jobs.
pub const NO_JOBS: &str = "GitHub gives idle runners no jobs; one of the class's stays, to show when it does again";

/// What became of a launch whose job still waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fruitless {
    /// Its runner could take no job: its task never ran, ended early, or lost its registration.
    FailedToStart,
    /// There was no capacity for its task, which showed only after ECS had accepted it. It never ran, so it cost nothing.
    NoCapacity,
    /// Its runner came up, and GitHub gave it no job.
    Unused,
    /// Its runner did another job, or its gate refused one.
    Swapped,
}

impl Fruitless {
    /// What became of a task's launch, if its runner did no job.
    pub fn of(task: &TaskView) -> Self {
        let was_idle = task.stopped_reason.as_deref().is_some_and(|reason| reason.contains(IDLE));
        if was_idle {
            Self::Unused
        } else if task.never_got_capacity() {
            Self::NoCapacity
        } else {
            Self::FailedToStart
        }
    }
}

/// GitHub fails a job that waits longer. Source: GitHub's "Usage limits for self-hosted runners".
pub const LONGEST_WAIT: Duration = Duration::hours(24);

/// How long a job may be queued before jitgate hears of it: a delivery that failed once is repeated within this time.
const LONGEST_NEWS: Duration = Duration::minutes(10);

/// Whether GitHub may just have failed the job, whose 24 hours began a little before jitgate heard of it.
pub fn is_near_its_end(message: &Message, now: OffsetDateTime) -> bool {
    now - message.job.queued_at > LONGEST_WAIT - LONGEST_NEWS
}

/// What a job's launches came to, for its dead letter.
pub fn last_words(Progress { failed_starts, unused, trouble, .. }: &Progress) -> String {
    let trouble = trouble.as_deref().unwrap_or("its message came too late");
    format!("24 hours are over; launches that failed: {failed_starts}, runners without a job: {unused}; {trouble}")
}

/// The pause after the first failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::seconds(10);

/// The longest pause while a failure is fresh: how long a job may go on waiting after the cause is gone.
const LONGEST_FRESH_PAUSE: Duration = Duration::minutes(5);

/// As many failures are fresh. With the pauses between them they take 40 minutes.
const FRESH_FAILURES: u32 = 12;

/// The longest pause of all. About 24 of them fill the 24 hours in which GitHub keeps a job queued.
const LONGEST_PAUSE: Duration = Duration::HOUR;

/// The pauses after runners that got no job.
const PAUSES_WHEN_UNUSED: [Duration; 3] = [FIRST_PAUSE, Duration::HOUR, Duration::hours(8)];

/// The message of the launch after one that ended in this way at that moment. GitHub is asked first whether the job still
/// waits.
pub fn relaunch(message: Message, how: Fruitless, ended_at: OffsetDateTime, trouble: Option<&str>) -> Message {
    let next = message.progress.attempt.next();
    let mut message = message.for_launch(next, ended_at).asking_first();
    let progress = &mut message.progress;
    match how {
        Fruitless::FailedToStart | Fruitless::NoCapacity => progress.failed_starts += 1,
        Fruitless::Unused => progress.unused += 1,
        Fruitless::Swapped => return message,
    }
    progress.trouble = trouble.map(brief);
    let pause = pause(how, progress);
    progress.not_before = Some(ended_at + pause);
    progress.born_at = ended_at + pause;
    message
}

/// Whether the next launch's message is a copy, given whether its sender deleted the registration of the task. Where a task
/// was stopped by us, its registration was deleted before, and the event about the stop makes the job's own message.
pub fn is_copy(task: &TaskView, has_deleted: bool) -> bool {
    !has_deleted && task.stop_code.as_deref() != Some("UserInitiated")
}

/// Why a task came to nothing, in ECS's words, or in ours where the runner's exit code says more.
pub fn trouble(task: &TaskView) -> Option<String> {
    let image = || task.image.as_deref().unwrap_or("the class's");
    match (task.exit_code, task.stopped_reason.as_deref()) {
        (Some(VERSION_REFUSED), _) => Some(format!(
            "GitHub turns this version of the runner away (exit code 7): use another image than {}",
            image()
        )),
        (Some(code), Some(CONTAINER_EXITED)) => Some(format!(
            "its runner ended before it had a job (exit code {code}): its log says why; its image is {}",
            image()
        )),
        (_, reason) => reason.map(str::to_owned),
    }
}

fn pause(how: Fruitless, progress: &Progress) -> Duration {
    if how == Fruitless::Unused {
        let index = usize::try_from(progress.unused.saturating_sub(1)).unwrap_or(usize::MAX);
        return PAUSES_WHEN_UNUSED.get(index).copied().unwrap_or(NEVER);
    }
    let doubled = |first: Duration, times: u32| first * 2_i32.pow(times.min(16));
    let failures = progress.failed_starts;
    match failures.checked_sub(FRESH_FAILURES) {
        Some(times) if times > 0 && how == Fruitless::FailedToStart => {
            doubled(LONGEST_FRESH_PAUSE, times).min(LONGEST_PAUSE)
        }
        _ => doubled(FIRST_PAUSE, failures.saturating_sub(1)).min(LONGEST_FRESH_PAUSE),
    }
}

/// Longer than GitHub keeps a job queued: the message only waits to become the job's dead letter.
const NEVER: Duration = Duration::hours(25);

#[cfg(test)]
mod reasons;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::tests::message;
    use crate::job::{Attempt, Purpose};

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-01 12:00 UTC);

    fn first() -> Message {
        Message::new(Purpose::Launch, message().job, Attempt::FIRST, NOW)
    }

    /// When the launches of a job go, as times after the first, if each of them ends like this after that time.
    fn launches(how: Fruitless, each_takes: Duration) -> Vec<Duration> {
        let (mut message, mut at) = (first(), NOW);
        let mut launches = Vec::new();
        while at - NOW < Duration::DAY {
            launches.push(at - NOW);
            let ended_at = at + each_takes;
            message = relaunch(message, how, ended_at, None);
            at = message.progress.not_before.unwrap_or(ended_at);
        }
        launches
    }

    #[test]
    fn a_day_of_failures_costs_a_few_dozen_tasks_and_a_day_of_idle_runners_four() {
        let failing = launches(Fruitless::FailedToStart, Duration::seconds(20));
        assert_eq!(failing.len(), 37);
        let pauses = failing.windows(2).filter(|pair| pair[0] < Duration::minutes(40)).map(|pair| pair[1] - pair[0]);
        assert!(pauses.max() < Some(Duration::minutes(6)), "while it is fresh");
        assert_eq!(launches(Fruitless::Unused, Duration::minutes(15)).len(), 4);
        let never_connecting = launches(Fruitless::FailedToStart, Duration::minutes(25));
        assert_eq!(never_connecting.len(), 27, "twenty minutes until it counts, and five until the next pass");
    }

    #[test]
    fn a_launch_that_finds_no_capacity_late_is_repeated_every_five_minutes_all_day() {
        let late = launches(Fruitless::NoCapacity, Duration::minutes(3));
        let pauses = late.windows(2).map(|pair| pair[1] - pair[0] - Duration::minutes(3));
        assert_eq!(pauses.max(), Some(LONGEST_FRESH_PAUSE));
        let task = TaskView {
            stop_code: Some("TaskFailedToStart".to_owned()),
            stopped_reason: Some("InsufficientInstanceCapacity".to_owned()),
            ..TaskView::default()
        };
        assert_eq!(Fruitless::of(&task), Fruitless::NoCapacity);
    }

    #[test]
    fn a_runner_that_did_another_job_is_replaced_at_once_and_counts_as_no_failure() {
        let mut failed = relaunch(first(), Fruitless::FailedToStart, NOW, Some("no address"));
        assert_eq!((failed.progress.failed_starts, failed.progress.trouble.as_deref()), (1, Some("no address")));
        failed = relaunch(failed, Fruitless::Swapped, NOW, None);
        assert_eq!((failed.progress.attempt, failed.progress.failed_starts), (Attempt(3), 1));
        assert_eq!((failed.progress.not_before, failed.progress.unused), (None, 0));
    }

    #[test]
    fn a_long_reason_is_cut() {
        let next = relaunch(first(), Fruitless::FailedToStart, NOW, Some(&"ü".repeat(500)));
        assert_eq!(next.progress.trouble.expect("a reason").chars().count(), 120);
    }
}

//! Jobs that wait although something was started for them.
//!
//! A task can stop before its runner took a job, and a runner can take another job than its own: runners with the same
//! labels are interchangeable. Neither is told by anyone, so GitHub is asked, at a few moments after each stop or start
//! and not more often: a call costs a point, and a job whose message is on its way needs no second one. The moments
//! follow from times alone, so nothing has to be remembered between passes.

use std::collections::HashMap;

use jitgate::ecs::TaskView;
use jitgate::github::{JobState, RunnerStatus};
use jitgate::job::{Attempt, JobId, JobMessage};
use jitgate::names::LaunchToken;
use time::{Duration, OffsetDateTime};

use super::{Seen, Settings};

/// How far apart passes are, with something to spare, so that each moment falls into at least one. One that falls into
/// two sends a message twice, which is harmless.
const PASS: Duration = Duration::seconds(330);

/// After a stop that came before the job. The event comes at once; these are for when it was lost.
const AFTER_A_FAILED_START: [Duration; 4] =
    [Duration::minutes(2), Duration::minutes(12), Duration::minutes(30), Duration::minutes(50)];

/// After any other stop: the runner has done a job, if perhaps not its own.
const AFTER_A_STOP: [Duration; 1] = [Duration::minutes(2)];

/// After a start, while the runner is busy, perhaps with another job.
const WHILE_BUSY: [Duration; 3] = [Duration::minutes(5), Duration::minutes(20), Duration::minutes(60)];

/// Launches for one job, all together. After that something is wrong that launching does not mend.
pub const MOST_ATTEMPTS: u16 = 8;

/// A job about which GitHub is to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The message of its next launch, should it still wait.
    pub message: JobMessage,
    /// What raised the question.
    pub reason: &'static str,
    /// ECS's words about the task that raised it.
    pub stopped_reason: Option<String>,
}

/// What follows from GitHub's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// The job has its runner, had it, or waits for something else.
    None,
    /// It is queued, but its run has ended: GitHub's own inconsistency.
    LeaveStuck,
    /// It waits: send its message.
    Relaunch,
    /// It waits, and has been launched too often.
    GiveUp,
}

/// The jobs to be asked about in a pass.
pub fn questions(now: OffsetDateTime, settings: Settings<'_>, seen: Seen<'_>) -> Vec<Question> {
    let mut latest: HashMap<JobId, (Attempt, &TaskView)> = HashMap::new();
    for task in seen.live.iter().chain(seen.stopped) {
        if let Some((job, attempt)) = LaunchToken::parse(settings.prefix, &task.started_by) {
            let entry = latest.entry(job).or_insert((attempt, task));
            if attempt > entry.0 {
                *entry = (attempt, task);
            }
        }
    }
    let mut questions: Vec<_> = latest
        .into_values()
        .filter_map(|(_, task)| {
            let reason = if task.is_over { after_stop(now, task, seen) } else { while_busy(now, task, seen) };
            question_of(now, settings, task, reason?)
        })
        .collect();
    questions.sort_by_key(|question| question.message.job_id);
    questions
}

/// The question about the job of a task; `None` if the task does not carry its message.
pub fn question_of(
    now: OffsetDateTime,
    settings: Settings<'_>,
    task: &TaskView,
    reason: &'static str,
) -> Option<Question> {
    let (job, attempt) = LaunchToken::parse(settings.prefix, &task.started_by)?;
    let message = task.message.clone().filter(|message| message.job_id == job)?;
    let message = message.for_launch(attempt.next(), now);
    Some(Question { message, reason, stopped_reason: task.stopped_reason.clone() })
}

/// What follows for a job, given how far GitHub says it is. A job that GitHub does not show is left alone: nobody can
/// be waiting for it.
pub fn plan_repair(question: &Question, state: Option<JobState>, run_has_ended: bool) -> Repair {
    match state {
        Some(JobState::Queued) if run_has_ended => Repair::LeaveStuck,
        Some(JobState::Queued) if question.message.attempt.0 > MOST_ATTEMPTS => Repair::GiveUp,
        Some(JobState::Queued) => Repair::Relaunch,
        Some(JobState::InProgress | JobState::Completed | JobState::Waiting) | None => Repair::None,
    }
}

/// How long a relaunch waits: what made one task fail may make the next one fail, too.
pub fn backoff(attempt: Attempt) -> Duration {
    let failed = u32::from(attempt.0.saturating_sub(2)).min(8);
    (Duration::seconds(10) * 2_i32.pow(failed)).min(Duration::minutes(15))
}

/// Heals: image pull failure, Spot reclaim, bad network; and a runner that did another job than its own.
fn after_stop(now: OffsetDateTime, task: &TaskView, seen: Seen<'_>) -> Option<&'static str> {
    let since = now - task.stopped_at?;
    if failed_to_start(task) || has_unused_registration(task, seen) {
        falls_on(since, &AFTER_A_FAILED_START).then_some("its task stopped before the job")
    } else {
        falls_on(since, &AFTER_A_STOP).then_some("its task has stopped")
    }
}

/// Heals: the runner was taken by another job with the same labels (it was *stolen*).
fn while_busy(now: OffsetDateTime, task: &TaskView, seen: Seen<'_>) -> Option<&'static str> {
    let (_, listed) = seen.place_of(task)?;
    let is_busy = listed.runners.iter().any(|runner| Some(runner.id) == task.runner_id && runner.busy);
    (is_busy && falls_on(now - task.created_at?, &WHILE_BUSY)).then_some("its runner has a job, perhaps another")
}

fn failed_to_start(task: &TaskView) -> bool {
    matches!(task.stop_code.as_deref(), Some("TaskFailedToStart" | "SpotInterruption" | "TerminationNotice"))
}

/// A registration that outlives its task has done no job: GitHub deletes it after one.
fn has_unused_registration(task: &TaskView, seen: Seen<'_>) -> bool {
    let Some((id, (_, listed))) = task.runner_id.zip(seen.place_of(task)) else { return false };
    listed.runners.iter().any(|runner| runner.id == id && runner.status == RunnerStatus::Offline && !runner.busy)
}

/// Whether one of the moments lies in the time of this pass.
fn falls_on(since: Duration, moments: &[Duration]) -> bool {
    moments.iter().any(|moment| (*moment..*moment + PASS).contains(&since))
}

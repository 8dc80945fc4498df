//! A question about a job, and what follows from GitHub's answer.

use jitgate::ecs::TaskView;
use jitgate::github::JobState;
use jitgate::job::{Message, Purpose, RunnerId};
use jitgate::names::{LaunchToken, NamePrefix, RunnerName};
use jitgate::relaunch::{Fruitless, is_copy, relaunch, trouble};
use time::OffsetDateTime;

use super::seen::Working;

/// Launches of one job, all together. Failures and idle runners are far fewer in 24 hours; a runner that did another job has
/// taken that one out of the way, and a pass every five minutes makes about 200 such launches a day.
pub const MOST_LAUNCHES: u16 = 200;

/// A job about which GitHub is to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The message of its next launch, in case it still waits.
    pub message: Message,
    /// What raised the question.
    pub cause: Cause,
    /// ECS's words about the task that raised it.
    pub stopped_reason: Option<String>,
    /// The job with which its runner was swapped, where that is known.
    pub swapped: Option<Working>,
    /// The registration of the task, if nobody seems to have seen to the job yet.
    pub left: Option<Left>,
}

/// A registration that a task may have left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// The one of that id.
    Id(RunnerId),
    /// The one of that name, which the task's launch took first. A stopped task has lost the tag with the id.
    Name(RunnerName),
}

impl Left {
    /// What a task that has stopped may have left. Where it was stopped by us, its registration was deleted before.
    pub fn by(prefix: &NamePrefix, task: &TaskView) -> Option<Self> {
        let name = || task.message.as_ref().map(|message| Self::Name(RunnerName::derive(prefix, message, 0)));
        task.runner_id.map(Self::Id).or_else(|| name().filter(|_| is_copy(task, false)))
    }
}

/// What raises a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its task stopped before its runner took a job, as far as can be seen.
    FailedStart,
    /// Its task stopped after a job, perhaps another one.
    Stopped,
    /// Its runner has a job, perhaps another one.
    Busy,
    /// Its task lives, but the registration is gone.
    Unregistered,
    /// GitHub lists it as queued, and its last task stopped a while ago.
    StillWaiting,
    /// GitHub lists it as queued, and no task of it is known.
    Untold,
}

impl Cause {
    /// Whether the job's message may be on the queue.
    pub fn may_be_queued(self) -> bool {
        matches!(self, Self::StillWaiting | Self::Untold)
    }

    /// Whether somebody else may have sent the job's message.
    fn makes_copies(self) -> bool {
        matches!(self, Self::FailedStart | Self::StillWaiting)
    }

    /// In words, for the log.
    pub fn words(self) -> &'static str {
        match self {
            Self::FailedStart => "its task stopped before the job",
            Self::Stopped => "its task has stopped",
            Self::Busy => "its runner has another job",
            Self::Unregistered => "its registration is gone",
            Self::StillWaiting => "it still waits",
            Self::Untold => "no delivery announced it",
        }
    }
}

/// What follows from GitHub's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// The job has a runner, had one, or waits for something else.
    None,
    /// It is queued, but its run has ended: GitHub's own inconsistency.
    LeaveStuck,
    /// It waits: send its message.
    Relaunch,
    /// It waits, and has been launched too often.
    GiveUp,
}

/// The question about the job of a task; `None` if the task does not carry the job's message.
pub fn question_of(now: OffsetDateTime, prefix: &NamePrefix, task: &TaskView, cause: Cause) -> Option<Question> {
    let (job, attempt) = LaunchToken::parse(prefix, &task.started_by)?;
    let is_of_job = |message: &&Message| message.job.id == job && message.purpose == Purpose::Launch;
    let mut message = task.message.as_ref().filter(is_of_job)?.clone();
    message.progress.attempt = attempt;
    let how = match cause {
        Cause::Stopped | Cause::Busy => Fruitless::Swapped,
        Cause::FailedStart | Cause::Unregistered | Cause::StillWaiting | Cause::Untold => Fruitless::of(task),
    };
    let trouble = trouble(task);
    let message = relaunch(message, how, task.stopped_at.unwrap_or(now), trouble.as_deref());
    let message = message.on_placement(task.next_placement().unwrap_or_default());
    let message = message.as_copy(cause.makes_copies());
    Some(Question { message, cause, stopped_reason: trouble, swapped: None, left: None })
}

/// What follows for a job, given how far GitHub says it is. A job that GitHub does not show is left alone: it no longer
/// waits.
pub fn plan_repair(question: &Question, state: Option<JobState>, run_has_ended: bool) -> Repair {
    match state {
        Some(JobState::Queued) if run_has_ended => Repair::LeaveStuck,
        Some(JobState::Queued) if question.message.progress.attempt.0 > MOST_LAUNCHES => Repair::GiveUp,
        Some(JobState::Queued) => Repair::Relaunch,
        Some(JobState::InProgress | JobState::Completed | JobState::Waiting) | None => Repair::None,
    }
}

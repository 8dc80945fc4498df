//! The launch protocol, as pure decisions.
//!
//! ECS accepts one task for a `clientToken`. A later `RunTask` with other parameters hears `ConflictException` with the ARN
//! of that task, and the parameters always differ, because each JIT config does. So **the token is the lock**: the worker
//! whose `RunTask` is accepted has launched the job, and every other worker deletes what it registered. A registration
//! without a task is therefore harmless, and there is one step for each trace of an earlier try that a launch can meet.
//!
//! A taken name is the one trace that cannot be told: another worker is between registering and starting, or an earlier try
//! crashed there, or GitHub's answer was lost. Deleting that registration could take it from a worker that is half a second
//! from its `RunTask`. So it stays, the launch goes on under a *spare name*, and the token decides. Once the token is taken,
//! no task will ever be started with the other registrations of the launch, and they are deleted.

use time::Duration;

use jitgate::names::MOST_SPARES;

/// How often ECS may fail to show a launch's task before the task counts as one that stopped more than an hour ago, when
/// ECS forgets it. Two deferrals are a minute, and ECS's reads lag by seconds.
const MOST_DOUBTS: u32 = 2;

/// GitHub's reads lag behind its writes: it may not show yet what is younger than this.
pub(crate) const SHOWN_AFTER: Duration = Duration::seconds(60);

/// What a launch has just met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    Nothing,
    NameTaken,
    /// With the number of names that were taken so far.
    NoTaskOfName(u8),
    Registered,
    Accepted,
    TokenTaken,
    Withdrawn,
    /// `RunTask` failed, and ECS says so.
    NotStarted,
    /// `RunTask` got no answer.
    Unanswered,
    /// With the number of times in a row that ECS did not show the task before this one.
    TaskHidden(u32),
    TaskOver,
    TaskAlive,
    /// The task is alive, but its tags do not name its registration.
    TaskUntagged,
    RegistrationShown,
    /// With the task's age, if ECS says it.
    RegistrationHidden(Option<Duration>),
    JobWaits,
    JobGone,
    RegistrationBusy,
    RegistrationDeleted,
    TaskStopped,
}

/// What a launch does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Do(Action),
    End(Ending, TakeBack),
    Fail(Failure),
}

/// A step after which the launch goes on with what it met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Register under the spare name of that number; 0 is the ordinary name.
    Register(u8),
    /// Look for a live task that has the token.
    FindTask,
    /// Call `RunTask` with the registration.
    Start,
    /// Delete the registration that this try made.
    Withdraw,
    /// Look at the task that the conflict named.
    LookAtTask,
    /// Ask GitHub for the task's registration.
    LookAtRegistration,
    /// Ask GitHub whether the job still waits.
    AskAboutJob,
    /// Delete the task's registration. GitHub refuses if its runner has a job.
    DeleteRegistration,
    StopTask,
}

/// How an attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// This try has started the task.
    Launched,
    /// An earlier or simultaneous try has.
    AlreadyRunning,
    /// The attempt's task has stopped or can take no job any more. If the job still waits, the next attempt follows.
    Over,
    JobGone,
}

/// Why an attempt cannot go on now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// All spare names are taken.
    NoNameLeft,
    /// ECS or GitHub do not show yet whether the launch's task lives.
    Unsure,
    /// `RunTask` failed; the registration is deleted first.
    NotStarted,
    /// `RunTask` got no answer, so the task may be starting with the registration.
    Unanswered,
}

/// Which of the launch's registrations are deleted at its end. The token is taken, so no task will ever use them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakeBack {
    /// None: which one a live task runs is not known.
    Nothing,
    /// Those under the names that were found taken, or under all names if an earlier try may have left more.
    AllBut(Spared),
}

/// The registration that stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spared {
    /// The one that this try has started a task with.
    OurOwn,
    /// The one that the launch's live task runs.
    TheTasks,
    /// No task of the launch lives.
    None,
}

/// The next step. The table is the protocol; a test holds it against the code.
///
/// | met | meaning | step |
/// |---|---|---|
/// | `Nothing` | the launch begins | `Register` |
/// | `NameTaken` | the job may have its runner | `FindTask` |
/// | `NoTaskOfName` | another worker is at work, or one crashed, or an answer was lost | `Register`, or `Fail(NoNameLeft)` after 26 names |
/// | `Registered` | | `Start` |
/// | `Accepted` | the token is ours | `End(Launched)` |
/// | `TokenTaken` | another try has started a task | `Withdraw` |
/// | `Withdrawn` | | `LookAtTask` |
/// | `NotStarted` | nothing was started | `Fail(NotStarted)` |
/// | `Unanswered` | the task may be starting | `Fail(Unanswered)` |
/// | `TaskHidden` | started a moment ago, or stopped over an hour ago | `Fail(Unsure)` twice, then `End(Over)` |
/// | `TaskOver` | the attempt's runner came and went | `End(Over)` |
/// | `TaskAlive` | the job has its runner, if that is still registered | `LookAtRegistration` |
/// | `TaskUntagged` | the job has its runner | `End(AlreadyRunning)` |
/// | `RegistrationShown` | the job has its runner | `End(AlreadyRunning)` |
/// | `RegistrationHidden` | not shown yet; from an age of 60 s on, the task can take no job any more | `Fail(Unsure)`, or `AskAboutJob` |
/// | `JobWaits` | one answer may be wrong, so the deletion decides | `DeleteRegistration` |
/// | `JobGone` | nothing is to be done | `End(JobGone)` |
/// | `RegistrationBusy` | it exists after all, and its runner has a job | `End(AlreadyRunning)` |
/// | `RegistrationDeleted` | the task is of no use | `StopTask` |
/// | `TaskStopped` | | `End(Over)` |
pub(crate) fn step(met: Met) -> Step {
    let end = |ending, spared| Step::End(ending, TakeBack::AllBut(spared));
    match met {
        Met::Nothing => Step::Do(Action::Register(0)),
        Met::NameTaken => Step::Do(Action::FindTask),
        Met::NoTaskOfName(taken) if taken > MOST_SPARES => Step::Fail(Failure::NoNameLeft),
        Met::NoTaskOfName(taken) => Step::Do(Action::Register(taken)),
        Met::Registered => Step::Do(Action::Start),
        Met::Accepted => end(Ending::Launched, Spared::OurOwn),
        Met::TokenTaken => Step::Do(Action::Withdraw),
        Met::Withdrawn => Step::Do(Action::LookAtTask),
        Met::NotStarted => Step::Fail(Failure::NotStarted),
        Met::Unanswered => Step::Fail(Failure::Unanswered),
        Met::TaskHidden(doubts) if doubts < MOST_DOUBTS => Step::Fail(Failure::Unsure),
        Met::TaskHidden(_) | Met::TaskOver | Met::TaskStopped => end(Ending::Over, Spared::None),
        Met::TaskAlive => Step::Do(Action::LookAtRegistration),
        Met::TaskUntagged => Step::End(Ending::AlreadyRunning, TakeBack::Nothing),
        Met::RegistrationShown | Met::RegistrationBusy => end(Ending::AlreadyRunning, Spared::TheTasks),
        Met::RegistrationHidden(age) if age.is_none_or(|age| age < SHOWN_AFTER) => Step::Fail(Failure::Unsure),
        Met::RegistrationHidden(_) => Step::Do(Action::AskAboutJob),
        Met::JobWaits => Step::Do(Action::DeleteRegistration),
        Met::JobGone => end(Ending::JobGone, Spared::TheTasks),
        Met::RegistrationDeleted => Step::Do(Action::StopTask),
    }
}

#[cfg(test)]
mod tests;

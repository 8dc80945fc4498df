//! What happens to a message after a failure. This is the only place that decides it, and the only one that moves a
//! message's progress on, but for what its commit was told (`report`).
//!
//! A message is done; or it is deferred, that is sent again with a delay, until its job has waited as long as GitHub lets
//! it; or it is given up, that is put on the dead-letter queue with the reason. A deferral uses up none of the queue's
//! receives. Failures that often pass within a second are repeated before that, inside the clients: GitHub's twice, AWS's
//! in three tries altogether.
//!
//! The verdicts, which a test holds against the code:
//!
//! | error | verdict | delay |
//! |---|---|---|
//! | `GitHubError::RateLimited` | deferred | until |
//! | `GitHubError::TokenTooNew` | deferred | until |
//! | `GitHubError::Denied` | deferred | until |
//! | `GitHubError::Paced` | deferred | exactly |
//! | `GitHubError::Full` | deferred | growing |
//! | `GitHubError::Refused` | deferred | growing |
//! | `GitHubError::Rejected` | given up | none |
//! | `GitHubError::BadName` | given up | none |
//! | `GitHubError::NotFound` | deferred | mending |
//! | `GitHubError::Unavailable` | retried, then deferred | growing |
//! | `GitHubError::Silent` | retried, then deferred | growing |
//! | `SecretError::Unusable` | deferred | mending |
//! | `SecretError::OutOfReach` | deferred | mending |
//! | `SecretError::Unreadable` | deferred | growing |
//! | `RunError::TooLarge` | given up | none |
//! | `RunError::Rejected` | given up | none |
//! | `RunError::Denied` | deferred | mending |
//! | `RunError::Unready` | deferred | mending |
//! | `RunError::Unknown` | deferred | growing |
//! | `RunError::NoCapacity` | deferred | growing |
//! | `RunError::Throttled` | deferred | growing |
//! | `RunError::Unavailable` | deferred | growing |
//! | `RunError::Silent` | deferred | growing |
//! | `EcsError::Denied` | deferred | mending |
//! | `EcsError::Failed` | deferred | growing |
//! | `LaunchError::Queue` | deferred | growing |
//! | `LaunchError::Unsure` | deferred | settling |
//! | `LaunchError::RunNotShown` | deferred | growing |
//! | `LaunchError::NamesTaken` | deferred | growing |
//! | `LaunchError::LimitReached` | deferred | limit |
//! | `LaunchError::Standstill` | deferred | exactly |
//! | `LaunchError::Braked` | deferred | exactly |
//!
//! `GitHubError::Refused` is given up when it is the answer for the thirtieth time in a row.
//!
//! | delay | how long |
//! |---|---|
//! | until | until the moment in the error, and 3 to 5 s more |
//! | exactly | until the moment in the error, which is this job's own |
//! | growing | 10 s, then twice as long each time, up to 5 min; spread between three and five quarters of that |
//! | mending | 5 min, and 3 to 5 s more: a person must correct the secret, the runner group, the App's installation, a role, or what tasks are started from; or a deployment is about to |
//! | limit | 60 s, and less the longer the job has waited, down to 15 s after half an hour; spread like the growing delay |
//! | settling | 30 s; counts as a step of the growing delay |
//! | none | no delay: the dead-letter queue |

use jitgate::ecs::{EcsError, RunError};
use jitgate::github::GitHubError;
use jitgate::job::{Progress, brief};
use jitgate::queue::QueueError;
pub use jitgate::relaunch::LONGEST_WAIT;
use jitgate::secret::SecretError;
use time::{Duration, OffsetDateTime};

/// The first growing delay; each next one is twice as long.
pub const FIRST_DELAY: Duration = Duration::seconds(10);

/// The longest growing delay: how long a job may go on waiting after the cause is gone.
pub const LONGEST_GROWING_DELAY: Duration = Duration::minutes(5);

/// How soon to look again at what a person must correct.
pub const MENDING_DELAY: Duration = Duration::minutes(5);

/// How long ECS's and GitHub's reads may lag behind their writes, with plenty to spare: they lag by seconds.
pub const SETTLING_DELAY: Duration = Duration::seconds(30);

/// How often in a row a job may hear a refusal of unknown meaning before the next one gives it up: with the growing delay,
/// about two hours.
const MOST_REFUSALS: u32 = 29;

/// How soon a job that has just met a runner limit is tried again. One that has waited longer comes back sooner, so that it
/// gets the next free place before newcomers do, as far as a queue without an order permits.
pub const LONGEST_LIMIT_DELAY: Duration = Duration::seconds(60);

/// How soon a job is tried again that has waited for [`LONG_WAIT`].
pub const SHORTEST_LIMIT_DELAY: Duration = Duration::seconds(15);

/// From this age on, a job that waits for a free place comes back as often as it can.
pub const LONG_WAIT: Duration = Duration::minutes(30);

/// A pause that ends sooner is too short for a job to have been cancelled and released, so GitHub is not asked about it.
/// Such questions, all at the end of a pause, met GitHub's limit again and more than halved the rate.
const SHORT_PAUSE: Duration = Duration::minutes(2);

/// Why a launch or a release did not come to its end.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LaunchError {
    /// From GitHub.
    #[error(transparent)]
    GitHub(#[from] GitHubError),
    /// From `RunTask`.
    #[error(transparent)]
    Run(#[from] RunError),
    /// From a call about existing tasks.
    #[error(transparent)]
    Ecs(#[from] EcsError),
    /// From the queue, about another message.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A task was started for this launch, but ECS or GitHub do not show yet whether it lives.
    #[error("the launch's task {task} cannot be told alive from dead yet")]
    Unsure {
        /// Its ARN, or the launch token if ECS did not name it.
        task: String,
    },
    /// GitHub does not show the job's run yet, so where its code comes from is not known.
    #[error("GitHub does not show the job's run")]
    RunNotShown,
    /// Other workers or crashes have left too many registrations for one launch.
    #[error("all names for this launch are taken")]
    NamesTaken,
    /// A runner limit is reached.
    #[error("{of} has the {limit} runners that it may have")]
    LimitReached {
        /// Whose limit it is, in words.
        of: String,
        /// How many runners it allows.
        limit: u32,
        /// How long the job has waited.
        waited: Duration,
    },
    /// Its job's earlier launches came to nothing, and so did those of other jobs of the class.
    #[error("held back: {reason}")]
    Braked {
        /// When to look again.
        until: OffsetDateTime,
        /// What is wrong with the class.
        reason: String,
    },
    /// Other launches found no capacity, one after the other, so this one was not tried.
    #[error("no capacity a moment ago: {reason}")]
    Standstill {
        /// When this job's turn comes, after the next launch that tries for all.
        until: OffsetDateTime,
        /// ECS's words.
        reason: String,
    },
}

/// What happens to the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is sent again, to be worked on from that moment.
    Defer {
        /// The moment.
        until: OffsetDateTime,
    },
    /// It goes to the dead-letter queue.
    GiveUp,
}

/// What a deferral is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A runner limit is reached.
    Limit,
    /// A person must correct something.
    Person,
    /// The class fails as a whole.
    Brake,
    /// Anything else.
    Other,
}

/// What a try leaves for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aftermath {
    /// A registration may be left under the message's names.
    pub unsettled: bool,
    /// GitHub has just said that the job still waits.
    pub asked: bool,
}

/// The decision about a message after a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What happens to it.
    pub verdict: Verdict,
    /// The progress that it is sent again with.
    pub next: Progress,
    /// What the deferral is counted as.
    pub cause: Cause,
}

/// How an error is dealt with.
enum Rule {
    GiveUp,
    /// Temporary, for an unknown time.
    Grow,
    /// ECS or GitHub do not show their latest writes yet.
    Settle,
    /// This job's turn comes at that moment.
    Turn(OffsetDateTime),
    /// The same, and the job may have waited for long.
    LateTurn(OffsetDateTime),
    /// GitHub limits the credential until that moment, or does not know it everywhere before.
    Limited(OffsetDateTime),
    /// A person must correct something; worth another look from that moment.
    Mend(OffsetDateTime),
    /// A runner limit is reached; the job has waited this long.
    Limit(Duration),
    /// The class fails; worth another look from that moment.
    Brake(OffsetDateTime),
}

fn rule(error: &LaunchError, progress: &Progress, now: OffsetDateTime) -> Rule {
    match error {
        LaunchError::GitHub(error) => match error {
            GitHubError::RateLimited { until } | GitHubError::TokenTooNew { until } => Rule::Limited(*until),
            GitHubError::Paced { until } => Rule::Turn(*until),
            GitHubError::Denied { until, .. } => Rule::Mend(*until),
            GitHubError::NotFound { .. }
            | GitHubError::Secret(SecretError::Unusable { .. } | SecretError::OutOfReach { .. }) => {
                Rule::Mend(now + MENDING_DELAY)
            }
            GitHubError::Rejected { .. } | GitHubError::BadName { .. } => Rule::GiveUp,
            GitHubError::Refused { .. } if progress.refusals >= MOST_REFUSALS => Rule::GiveUp,
            GitHubError::Refused { .. }
            | GitHubError::Full { .. }
            | GitHubError::Unavailable { .. }
            | GitHubError::Silent { .. }
            | GitHubError::Secret(SecretError::Unreadable { .. }) => Rule::Grow,
        },
        LaunchError::Run(error) => match error {
            RunError::TooLarge { .. } | RunError::Rejected { .. } => Rule::GiveUp,
            RunError::Denied { .. } | RunError::Unready { .. } => Rule::Mend(now + MENDING_DELAY),
            RunError::NoCapacity { .. }
            | RunError::Throttled { .. }
            | RunError::Unknown { .. }
            | RunError::Unavailable { .. }
            | RunError::Silent { .. } => Rule::Grow,
        },
        LaunchError::Ecs(EcsError::Denied { .. }) => Rule::Mend(now + MENDING_DELAY),
        LaunchError::Ecs(EcsError::Failed { .. })
        | LaunchError::Queue(_)
        | LaunchError::RunNotShown
        | LaunchError::NamesTaken => Rule::Grow,
        LaunchError::Unsure { .. } => Rule::Settle,
        LaunchError::LimitReached { waited, .. } => Rule::Limit(*waited),
        LaunchError::Standstill { until, .. } => Rule::LateTurn(*until),
        LaunchError::Braked { until, .. } => Rule::Brake(*until),
    }
}

/// Decides what follows from an error. `chance`, from 0 up to 1, keeps jobs that were turned away together from coming back
/// together.
pub fn judge(
    error: &LaunchError,
    progress: &Progress,
    aftermath: Aftermath,
    now: OffsetDateTime,
    chance: f64,
) -> Judgement {
    // Between three and five quarters of it.
    let spread = |delay: Duration| delay * (0.75 + 0.5 * chance);
    let a_little = spread(Duration::seconds(4));
    let as_before = (progress.backoff, progress.ask_first);
    let grown = (progress.backoff + 1, true);
    // After any longer pause the job may have ended.
    let anew = (0, true);
    let (until, (backoff, ask_first), cause) = match rule(error, progress, now) {
        Rule::GiveUp => {
            let next = Progress { unsettled: aftermath.unsettled, ..progress.clone() };
            return Judgement { verdict: Verdict::GiveUp, next, cause: Cause::Other };
        }
        Rule::Grow => (now + spread(growing_delay(progress.backoff)), grown, Cause::Other),
        Rule::Settle => (now + SETTLING_DELAY, grown, Cause::Other),
        Rule::Turn(until) => (until, if aftermath.asked { (0, false) } else { as_before }, Cause::Other),
        Rule::LateTurn(until) => (until, (progress.backoff, true), Cause::Other),
        Rule::Limited(until) => {
            let is_short = until + a_little - now < SHORT_PAUSE;
            (until + a_little, if is_short { as_before } else { anew }, Cause::Other)
        }
        Rule::Mend(until) => (until + a_little, anew, Cause::Person),
        Rule::Brake(until) => (until, (progress.backoff, true), Cause::Brake),
        Rule::Limit(waited) => (now + spread(limit_delay(waited)), anew, Cause::Limit),
    };
    let is_refused = matches!(error, LaunchError::GitHub(GitHubError::Refused { .. }));
    let next = Progress {
        deferrals: progress.deferrals + 1,
        backoff,
        ask_first,
        doubts: if matches!(error, LaunchError::Unsure { .. }) { progress.doubts + 1 } else { 0 },
        refusals: if is_refused { progress.refusals + 1 } else { 0 },
        trouble: Some(brief(&error.to_string())),
        not_before: Some(until),
        unsettled: aftermath.unsettled,
        // An unsettled message keeps its names; any other gets new ones, because the cleaner goes by the birth time in them.
        born_at: if aftermath.unsettled { progress.born_at } else { until },
        ..progress.clone()
    };
    Judgement { verdict: Verdict::Defer { until }, next, cause }
}

/// The message was received before, so an earlier try may have crashed at any step and left anything behind.
pub(crate) fn received_again(progress: &Progress) -> Progress {
    Progress { unsettled: true, ..progress.clone() }
}

/// The message lay in the queue for so long that its names are too old. Nothing is registered under them yet.
pub(crate) fn renamed(progress: &Progress, now: OffsetDateTime) -> Progress {
    Progress { born_at: now, ..progress.clone() }
}

/// The job has its runner, but a registration of an earlier try is left.
pub(crate) fn launched_unsettled(progress: &Progress, now: OffsetDateTime) -> Progress {
    Progress {
        backoff: progress.backoff + 1,
        ask_first: true,
        not_before: Some(now + SETTLING_DELAY),
        unsettled: true,
        ..progress.clone()
    }
}

/// A release has to look again at that moment.
pub(crate) fn to_look_again(
    progress: &Progress,
    until: OffsetDateTime,
    seen_idle_at: Option<OffsetDateTime>,
) -> Progress {
    Progress { deferrals: progress.deferrals + 1, not_before: Some(until), seen_idle_at, ..progress.clone() }
}

fn growing_delay(backoff: u32) -> Duration {
    (FIRST_DELAY * 2_i32.pow(backoff.min(16))).min(LONGEST_GROWING_DELAY)
}

fn limit_delay(waited: Duration) -> Duration {
    let share = (waited / LONG_WAIT).clamp(0.0, 1.0);
    LONGEST_LIMIT_DELAY - (LONGEST_LIMIT_DELAY - SHORTEST_LIMIT_DELAY) * share
}

#[cfg(test)]
mod tests;

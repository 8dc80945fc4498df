//! The one place that decides what happens to a message after a failure.
//!
//! A message is done, or it is deferred: sent anew with a delay, which does not use up its retries, until its job has
//! waited as long as GitHub lets it; or it is given up: put on the dead-letter queue with the reason on it. Failures
//! that often pass within a second are first repeated inside the invocation; see
//! [`GitHubError::is_passing`].

use jitgate::ecs::{EcsError, RunError};
use jitgate::github::GitHubError;
use jitgate::queue::QueueError;
use jitgate::secret::SecretError;
use time::{Duration, OffsetDateTime};

/// GitHub fails a job that waits longer. Source: GitHub's "Usage limits for self-hosted runners".
pub const LONGEST_WAIT: Duration = Duration::hours(24);

/// The first of the growing delays; each next one is twice as long.
pub const FIRST_DELAY: Duration = Duration::seconds(10);

/// The longest of the growing delays: what a job waits at most after capacity has come back.
pub const LONGEST_DELAY: Duration = Duration::minutes(5);

/// Until something that a person must mend is looked at again.
pub const MENDING_DELAY: Duration = Duration::minutes(5);

/// ECS's reads lag behind its writes by seconds.
pub const SETTLING_DELAY: Duration = Duration::seconds(30);

/// How soon a job that came when as many runners lived as may is looked at again. One that has waited longer comes back
/// sooner, so that room goes to it rather than to newcomers, as far as a queue without an order permits.
pub const LONGEST_ROOM_DELAY: Duration = Duration::seconds(60);

/// Likewise after it has waited for [`LONG_WAIT`].
pub const SHORTEST_ROOM_DELAY: Duration = Duration::seconds(15);

/// From then on a job that waits for room comes back as often as it may.
pub const LONG_WAIT: Duration = Duration::minutes(30);

/// Why a launch did not come to its end.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LaunchError {
    /// From GitHub.
    #[error(transparent)]
    GitHub(#[from] GitHubError),
    /// From `RunTask`.
    #[error(transparent)]
    Run(#[from] RunError),
    /// From a look at existing tasks.
    #[error(transparent)]
    Ecs(#[from] EcsError),
    /// From the queue, about another job's message.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A task was started for this launch, but ECS or GitHub do not show yet what it is.
    #[error("the launch's task {task} cannot be told alive from dead yet")]
    Unsure {
        /// Its ARN, if known.
        task: String,
    },
    /// Where its code comes from is not known before that.
    #[error("GitHub does not show the job's run")]
    RunNotShown,
    /// Neighbours or crashes have left too many registrations for one launch.
    #[error("all names for this launch are taken")]
    NamesTaken,
    /// As many runners live as may.
    #[error("{of} has the {limit} runners that it may have")]
    OverLimit {
        /// Whose limit it is, in words.
        of: String,
        /// How many it allows.
        limit: u32,
        /// How long the job has waited.
        waited: Duration,
    },
}

/// What happens to the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Sent anew, to be worked on at that moment.
    Defer {
        /// Not before this.
        until: OffsetDateTime,
        /// Whether the next delay for the same reason is longer.
        grows: bool,
    },
    /// To the dead-letter queue.
    GiveUp,
}

/// Whether only a person can help, by mending the App, its installation, the secret or a role.
pub fn needs_a_person(error: &LaunchError) -> bool {
    matches!(
        error,
        LaunchError::GitHub(
            GitHubError::Denied { .. }
                | GitHubError::NotFound { .. }
                | GitHubError::Secret(SecretError::Unusable { .. } | SecretError::OutOfReach { .. })
        ) | LaunchError::Run(RunError::Denied { .. })
            | LaunchError::Ecs(EcsError::Denied { .. })
    )
}

/// Decides. `backoff` is how often in a row the message has been deferred with a growing delay; `chance`, from 0 up to 1,
/// keeps jobs that were turned away together from coming back together.
pub fn decide(error: &LaunchError, backoff: u32, now: OffsetDateTime, chance: f64) -> Verdict {
    // Between three and five quarters of it.
    let spread = |delay: Duration| delay * (0.75 + 0.5 * chance);
    let growing = || Verdict::Defer { until: now + spread(growing_delay(backoff)), grows: true };
    let later = |until: OffsetDateTime| Verdict::Defer { until: until + spread(Duration::seconds(4)), grows: false };
    match error {
        LaunchError::GitHub(error) => match error {
            GitHubError::RateLimited { until } | GitHubError::Denied { until, .. } => later(*until),
            // Every job was given a moment of its own.
            GitHubError::Paced { until } => Verdict::Defer { until: *until, grows: false },
            GitHubError::NotFound { .. }
            | GitHubError::Secret(SecretError::Unusable { .. } | SecretError::OutOfReach { .. }) => {
                later(now + MENDING_DELAY)
            }
            GitHubError::Rejected { .. } => Verdict::GiveUp,
            GitHubError::NameTaken
            | GitHubError::Full { .. }
            | GitHubError::Unavailable { .. }
            | GitHubError::Silent { .. }
            | GitHubError::Secret(SecretError::Unreadable { .. }) => growing(),
        },
        LaunchError::Run(error) => match error {
            RunError::TooLarge { .. } | RunError::Rejected { .. } => Verdict::GiveUp,
            RunError::Denied { .. } => later(now + MENDING_DELAY),
            RunError::AlreadyStarted { .. }
            | RunError::NoCapacity { .. }
            | RunError::Throttled { .. }
            | RunError::Unknown { .. }
            | RunError::Unavailable { .. }
            | RunError::Silent { .. } => growing(),
        },
        LaunchError::OverLimit { waited, .. } => {
            Verdict::Defer { until: now + spread(room_delay(*waited)), grows: false }
        }
        LaunchError::Unsure { .. } => Verdict::Defer { until: now + SETTLING_DELAY, grows: true },
        LaunchError::Ecs(EcsError::Denied { .. }) => later(now + MENDING_DELAY),
        LaunchError::Ecs(EcsError::Failed { .. })
        | LaunchError::Queue(_)
        | LaunchError::RunNotShown
        | LaunchError::NamesTaken => growing(),
    }
}

fn growing_delay(backoff: u32) -> Duration {
    (FIRST_DELAY * 2_i32.pow(backoff.min(16))).min(LONGEST_DELAY)
}

fn room_delay(waited: Duration) -> Duration {
    let share = (waited / LONG_WAIT).clamp(0.0, 1.0);
    LONGEST_ROOM_DELAY - (LONGEST_ROOM_DELAY - SHORTEST_ROOM_DELAY) * share
}

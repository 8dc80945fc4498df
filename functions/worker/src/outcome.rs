//! What became of the messages of a batch, as metrics.

use jitgate::metrics::{Metrics, Unit};

use crate::verdict::Cause;

/// The message must return to the queue: SQS did not take what had to be sent, or no time was left.
pub(crate) struct MustReturn;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A task was started, this many seconds after the job came in.
    Launched(i64),
    /// A warm runner's task was started.
    Warmed,
    /// Nothing had to be started.
    Nothing,
    /// This many tasks without a job were stopped.
    Stopped(usize),
    /// The job has waited as long as GitHub lets it.
    Expired,
    /// The class does not take such jobs.
    Refused,
    Deferred {
        /// Seconds since the job came in; absent if no job waits.
        waited: Option<i64>,
        cause: Cause,
    },
    GivenUp,
}

/// Counts the outcomes, and how long their jobs have waited.
pub(crate) fn measure(outcomes: &[Result<Outcome, MustReturn>], metrics: &mut Metrics<'_>) {
    let count = |kind: fn(&Outcome) -> bool| outcomes.iter().flatten().filter(|outcome| kind(outcome)).count();
    let waits: Vec<_> = outcomes
        .iter()
        .flatten()
        .filter_map(|outcome| if let Outcome::Launched(seconds) = outcome { Some(*seconds) } else { None })
        .collect();
    metrics.count("JobsLaunched", waits.len());
    if !waits.is_empty() {
        metrics.put("QueueToLaunch", Unit::Seconds, waits);
    }
    let deferred: Vec<_> = outcomes
        .iter()
        .flatten()
        .filter_map(
            |outcome| {
                if let Outcome::Deferred { waited, cause } = outcome { Some((*waited, *cause)) } else { None }
            },
        )
        .collect();
    let caused_by = |reason| deferred.iter().filter(|(_, cause)| *cause == reason).count();
    metrics.count("JobsDeferred", deferred.len() - caused_by(Cause::Person));
    metrics.count("JobsOverLimit", caused_by(Cause::Limit));
    metrics.count("JobsDenied", caused_by(Cause::Person));
    let waited: Vec<_> = deferred.iter().filter_map(|(waited, _)| *waited).collect();
    if !waited.is_empty() {
        metrics.put("JobWaited", Unit::Seconds, waited);
    }
    metrics.count("JobsGivenUp", count(|outcome| *outcome == Outcome::GivenUp));
    metrics.count("WarmRunnersLaunched", count(|outcome| *outcome == Outcome::Warmed));
    metrics.count("JobsRefused", count(|outcome| *outcome == Outcome::Refused));
    metrics.count("JobsExpired", count(|outcome| *outcome == Outcome::Expired));
    let stopped =
        outcomes.iter().flatten().map(|outcome| if let Outcome::Stopped(tasks) = outcome { *tasks } else { 0 });
    metrics.count("TasksReleased", stopped.sum());
    metrics.count("MessagesReturned", outcomes.iter().filter(|outcome| outcome.is_err()).count());
}

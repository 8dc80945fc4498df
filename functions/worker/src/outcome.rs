//! What became of the messages of a batch, as metrics.

use jitgate::metrics::{Metrics, Unit};

/// The queue did not take what had to be put there, or no time was left: the message itself must come again.
pub(crate) struct MustReturn;

/// Why a message was sent back to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Because {
    /// As many runners live as may.
    OverLimit,
    /// It will not help unless somebody mends something.
    Denied,
    Other,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A task was started, this many seconds after the job had come in.
    Launched(i64),
    /// A task was started that is kept ready.
    Warmed,
    /// There was nothing to start.
    Nothing,
    /// Tasks without a job were stopped.
    Stopped(usize),
    /// The job's time was over.
    Expired,
    /// Its class does not take such jobs.
    Refused,
    Deferred {
        /// Seconds since the job came in; absent where none waits.
        waited: Option<i64>,
        because: Because,
    },
    GivenUp,
}

/// Counts them, and how long their jobs have waited.
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
    let deferred: Vec<_> =
        outcomes
            .iter()
            .flatten()
            .filter_map(|outcome| {
                if let Outcome::Deferred { waited, because } = outcome { Some((*waited, *because)) } else { None }
            })
            .collect();
    let because = |reason| deferred.iter().filter(|(_, because)| *because == reason).count();
    metrics.count("JobsDeferred", deferred.len() - because(Because::Denied));
    metrics.count("JobsOverLimit", because(Because::OverLimit));
    metrics.count("JobsDenied", because(Because::Denied));
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

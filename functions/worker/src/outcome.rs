//! What became of the messages of a batch, as metrics.

use std::collections::BTreeMap;

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

/// A job that has waited for more seconds than this starves, whatever it waits for. One that a person has to help, or whose class
/// fails, starves from the start.
const STARVES_AFTER: i64 = 30 * 60;

/// Counts the outcomes, and how long their jobs have waited.
pub(crate) fn measure(outcomes: &[Result<Outcome, MustReturn>], metrics: &mut Metrics<'_>) {
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    let (mut until_launch, mut so_far) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        let (name, count) = match outcome {
            Err(MustReturn) => ("MessagesReturned", 1),
            Ok(Outcome::Launched(seconds)) => {
                until_launch.push(*seconds);
                ("JobsLaunched", 1)
            }
            Ok(Outcome::Warmed) => ("WarmRunnersLaunched", 1),
            Ok(Outcome::Nothing) => continue,
            Ok(Outcome::Stopped(tasks)) => ("TasksReleased", *tasks),
            Ok(Outcome::Expired) => ("JobsExpired", 1),
            Ok(Outcome::Refused) => ("JobsRefused", 1),
            Ok(Outcome::GivenUp) => ("JobsGivenUp", 1),
            Ok(Outcome::Deferred { waited, cause }) => {
                so_far.extend(*waited);
                let is_denied = matches!(cause, Cause::Person | Cause::Brake);
                if *cause == Cause::Limit {
                    *counts.entry("JobsOverLimit").or_default() += 1;
                }
                if waited.is_some_and(|waited| is_denied || waited > STARVES_AFTER) {
                    *counts.entry("JobsStarving").or_default() += 1;
                }
                (if is_denied { "JobsDenied" } else { "JobsDeferred" }, 1)
            }
        };
        *counts.entry(name).or_default() += count;
    }
    for (name, count) in counts {
        metrics.count(name, count);
    }
    for (name, seconds) in [("QueueToLaunch", until_launch), ("JobWaited", so_far)] {
        if !seconds.is_empty() {
            metrics.put(name, Unit::Seconds, seconds);
        }
    }
}

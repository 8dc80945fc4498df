//! A job ended without a runner: what was started for it is taken back.
//!
//! The registration goes first, and only then the task: GitHub refuses to delete what it knows to be busy, and a runner
//! started for one job may have taken another with the same labels. What GitHub knows lags by up to a minute, so a
//! runner that has ever connected is believed to be idle only at the second of two looks.

use jitgate::ecs::TaskView;
use jitgate::github::{Deletion, Place};
use jitgate::job::{Attempt, JobMessage};
use jitgate::names::LaunchToken;
use time::Duration;

use crate::batch::Worker;
use crate::launch::SHOWN_AFTER;
use crate::verdict::LaunchError;

/// Between the two looks at a runner that seems idle. `busy` was seen to lag by 25 to 60 seconds.
pub const BETWEEN_LOOKS: Duration = Duration::seconds(90);

/// When nothing was found, the release may have overtaken its launch, or met it half done: these are the pauses before
/// the next looks.
pub const LATER_LOOKS: [Duration; 3] = [Duration::seconds(30), Duration::seconds(60), Duration::seconds(120)];

/// More launches for one job than ever happen.
const MOST_ATTEMPTS: u16 = 100;

/// How a release ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// There is nothing left to do.
    Done {
        /// How many tasks have been stopped.
        stopped: usize,
        /// How many go on, since their runners have taken other jobs.
        left: usize,
    },
    /// To be looked at again after this long.
    LookAgain(Duration),
}

enum Found {
    Stopped,
    Busy,
    SeemsIdle,
}

impl Worker {
    /// Takes back what was started for the message's job.
    pub(crate) async fn release(&self, message: &mut JobMessage) -> Result<Released, LaunchError> {
        let place = self.place_of(message);
        let (mut stopped, mut left, mut idle) = (0, 0, 0);
        let mut attempt = Attempt::FIRST;
        while attempt.0 <= MOST_ATTEMPTS {
            let token = LaunchToken::derive(&self.config.name_prefix, message.job_id, attempt);
            let live = self.tasks.live_of(&token).await?;
            if live.is_empty() && self.tasks.stopped_of(&token).await?.is_empty() {
                break;
            }
            for task in self.tasks.describe(&live).await?.iter().filter(|task| !task.is_over) {
                match self.release_task(&place, message, task).await? {
                    Found::Stopped => stopped += 1,
                    Found::Busy => left += 1,
                    Found::SeemsIdle => idle += 1,
                }
            }
            attempt = attempt.next();
        }
        if idle > 0 {
            message.seen_idle_at = message.seen_idle_at.or(Some(self.clock.now()));
            return Ok(Released::LookAgain(BETWEEN_LOOKS));
        }
        let looks = usize::try_from(message.deferrals).unwrap_or(usize::MAX);
        match LATER_LOOKS.get(looks) {
            Some(pause) if stopped + left == 0 => Ok(Released::LookAgain(*pause)),
            _ => Ok(Released::Done { stopped, left }),
        }
    }

    async fn release_task(&self, place: &Place, message: &JobMessage, task: &TaskView) -> Result<Found, LaunchError> {
        let now = self.clock.now();
        let Some(id) = task.runner_id else { return Ok(Found::SeemsIdle) };
        let may_go = match self.runner(place, id).await? {
            Some(runner) if runner.never_connected() => true,
            Some(runner) if runner.busy => return Ok(Found::Busy),
            Some(_) => message.seen_idle_at.is_some_and(|at| now - at >= BETWEEN_LOOKS),
            None => task.created_at.is_some_and(|at| now - at >= SHOWN_AFTER),
        };
        if !may_go {
            return Ok(Found::SeemsIdle);
        }
        match self.delete_runner(place, id).await? {
            Deletion::Busy => Ok(Found::Busy),
            Deletion::Deleted | Deletion::Gone => {
                self.tasks.stop(&task.arn, "jitgate: its job ended without a runner").await?;
                Ok(Found::Stopped)
            }
        }
    }
}

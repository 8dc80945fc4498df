//! Takes back what was started for a job that ended without a runner.
//!
//! The registration goes first, and the task after it: GitHub refuses to delete the registration of a runner that it knows
//! to be busy, and a runner may have taken another job with the same labels. `busy` lags by up to a minute, so a runner
//! that has connected counts as idle only if two observations agree.

use jitgate::ecs::TaskView;
use jitgate::github::{Deletion, Place};
use jitgate::job::{Attempt, Message};
use jitgate::names::LaunchToken;
use time::{Duration, OffsetDateTime};

use crate::context::Context;
use crate::protocol::SHOWN_AFTER;
use crate::verdict::LaunchError;

/// Between the two observations of a runner that seems idle. Users saw `busy` lag by 25 to 60 seconds.
const BETWEEN_LOOKS: Duration = Duration::seconds(90);

/// The pauses before further looks when nothing was found: the release may have overtaken its launch, or met it half done.
const LATER_LOOKS: [Duration; 3] = [Duration::seconds(30), Duration::seconds(60), Duration::seconds(120)];

/// More launches than one job ever gets.
const MOST_ATTEMPTS: u16 = 100;

/// How a release ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Released {
    /// Nothing is left to do. `stopped` tasks were stopped, `left` go on because their runners have other jobs.
    Done { stopped: usize, left: usize },
    /// Look again after this pause. A runner was seen idle at that moment, if at all.
    LookAgain { pause: Duration, seen_idle_at: Option<OffsetDateTime> },
}

enum Found {
    Stopped,
    Busy,
    SeemsIdle,
}

/// Takes back everything that was started for the message's job.
pub(crate) async fn release(context: &Context, message: &Message) -> Result<Released, LaunchError> {
    let place = context.github.place_of(&message.job);
    let (mut stopped, mut left, mut idle) = (0, 0, 0);
    let mut attempt = Attempt::FIRST;
    while attempt.0 <= MOST_ATTEMPTS {
        let token = LaunchToken::derive(&context.config.name_prefix, message.job.id, attempt);
        let live = context.tasks.live_of(&token).await?;
        if live.is_empty() && context.tasks.stopped_of(&token).await?.is_empty() {
            break;
        }
        for task in context.tasks.describe(&live).await?.iter().filter(|task| !task.is_over) {
            match release_task(context, &place, message, task).await? {
                Found::Stopped => stopped += 1,
                Found::Busy => left += 1,
                Found::SeemsIdle => idle += 1,
            }
        }
        attempt = attempt.next();
    }
    let seen_idle_at = message.progress.seen_idle_at;
    if idle > 0 {
        let seen_idle_at = seen_idle_at.or(Some(context.clock.now()));
        return Ok(Released::LookAgain { pause: BETWEEN_LOOKS, seen_idle_at });
    }
    let looks = usize::try_from(message.progress.deferrals).unwrap_or(usize::MAX);
    match LATER_LOOKS.get(looks) {
        Some(pause) if stopped + left == 0 => Ok(Released::LookAgain { pause: *pause, seen_idle_at }),
        _ => Ok(Released::Done { stopped, left }),
    }
}

async fn release_task(
    context: &Context,
    place: &Place,
    message: &Message,
    task: &TaskView,
) -> Result<Found, LaunchError> {
    let now = context.clock.now();
    let Some(id) = task.runner_id else { return Ok(Found::SeemsIdle) };
    let may_go = match context.github.at(place).runner(id).await? {
        Some(runner) if runner.never_connected() => true,
        Some(runner) if runner.busy => return Ok(Found::Busy),
        Some(_) => message.progress.seen_idle_at.is_some_and(|at| now - at >= BETWEEN_LOOKS),
        None => task.created_at.is_some_and(|at| now - at >= SHOWN_AFTER),
    };
    if !may_go {
        return Ok(Found::SeemsIdle);
    }
    match context.github.at(place).delete(id).await? {
        Deletion::Busy => Ok(Found::Busy),
        Deletion::Deleted | Deletion::Gone => {
            context.tasks.stop(&task.arn, "jitgate: its job ended without a runner").await?;
            Ok(Found::Stopped)
        }
    }
}

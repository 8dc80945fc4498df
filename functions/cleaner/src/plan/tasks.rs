//! Live tasks that are of no use.

use std::collections::HashMap;

use jitgate::ecs::{TaskView, tag};
use jitgate::github::{Runner, RunnerStatus};
use jitgate::job::RunnerId;
use time::{Duration, OffsetDateTime};

use super::{Action, Places, Seen, Settings, Useless, warm};

/// Two looks that shall agree are at least this far apart. `busy` was seen to lag by 25 to 60 seconds.
pub const BETWEEN_LOOKS: Duration = Duration::seconds(90);

/// A registration must have been seen gone for this long before its task is stopped. A runner whose job has ended is
/// deregistered first and exits after that.
pub const GONE_FOR: Duration = Duration::minutes(4);

/// A task whose runner has not connected after this long will not: the image pull takes about a minute, ten for a huge
/// one.
pub const NEVER_CAME: Duration = Duration::minutes(20);

/// The idle limit of a task whose class is not configured any more.
const IDLE_LIMIT: Duration = Duration::minutes(10);

pub(super) fn plan(now: OffsetDateTime, settings: Settings<'_>, seen: Seen<'_>) -> Vec<Action> {
    let places = Places::of(seen.places);
    let by_id: Vec<HashMap<RunnerId, &Runner>> =
        seen.places.iter().map(|seen| seen.runners.iter().map(|runner| (runner.id, runner)).collect()).collect();
    let kept = warm::kept(now, settings, seen);
    let mut actions = Vec::new();
    for task in seen.live.iter().filter(|task| !task.is_over) {
        let (Some(id), Some(created_at)) = (task.runner_id, task.created_at) else { continue };
        let class = task.class.as_deref().and_then(|name| settings.classes.named(name));
        let lifetime = class.and_then(|class| class.lifetime_minutes).map(|minutes| Duration::minutes(minutes.into()));
        if lifetime.is_some_and(|lifetime| now - created_at > lifetime) {
            let reason = "jitgate: longer than its class lets a task live";
            actions.push(Action::Stop { task: task.arn.clone(), reason });
            continue;
        }
        let Some(place) = places.find(task) else { continue };
        let idle_limit = class.map_or(IDLE_LIMIT, |class| Duration::minutes(class.idle_minutes.into()));
        let idle_limit = if kept.contains(&task.arn) { Duration::MAX } else { idle_limit };
        match by_id[place].get(&id) {
            None => actions.extend(without_registration(now, task, place, id, created_at)),
            Some(runner) if runner.never_connected() && now - created_at > NEVER_CAME => {
                let because = Useless::NeverConnected;
                actions.push(Action::Retire { place, id, task: task.arn.clone(), because });
            }
            Some(runner) => {
                let is_busy = runner.busy || seen.working.contains_key(&runner.name);
                actions.extend(with_registration(now, task, runner, is_busy, place, idle_limit));
            }
        }
    }
    actions
}

/// Heals: a container that hangs after its job, and a ghost whose listener goes on although its registration is gone.
/// Waits out: the moments between deregistration and exit, and GitHub not showing a new registration yet.
fn without_registration(
    now: OffsetDateTime,
    task: &TaskView,
    place: usize,
    id: RunnerId,
    created_at: OffsetDateTime,
) -> Option<Action> {
    match task.gone_since {
        None if now - created_at < GONE_FOR => None,
        None => Some(Action::Note { task: task.arn.clone(), key: tag::GONE_SINCE, moment: Some(now) }),
        Some(since) if now - since >= GONE_FOR => Some(Action::StopUnregistered { place, id, task: task.arn.clone() }),
        Some(_) => None,
    }
}

/// Heals: a surplus runner, whose job was taken by another or cancelled without our hearing of it. Idleness counts from
/// the first look that finds the runner online, so that a slow start is not held against it. A runner has one job in
/// its life: once seen busy it is never idle again, whatever `busy` says, which was seen false in the middle of jobs.
fn with_registration(
    now: OffsetDateTime,
    task: &TaskView,
    runner: &Runner,
    is_busy: bool,
    place: usize,
    idle_limit: Duration,
) -> Vec<Action> {
    let note = |key, moment| Action::Note { task: task.arn.clone(), key, moment };
    let mut actions = Vec::new();
    if task.gone_since.is_some() {
        // GitHub shows it again: the look that missed it was wrong.
        actions.push(note(tag::GONE_SINCE, None));
    }
    match (runner.status, is_busy, task.idle_since) {
        _ if task.busy_since.is_some() => {}
        (RunnerStatus::Online, false, None) => actions.push(note(tag::IDLE_SINCE, Some(now))),
        (RunnerStatus::Online, false, Some(since)) if now - since >= idle_limit.max(BETWEEN_LOOKS) => {
            let because = Useless::Idle;
            actions.push(Action::Retire { place, id: runner.id, task: task.arn.clone(), because });
        }
        (_, true, Some(_)) => actions.push(note(tag::BUSY_SINCE, Some(now))),
        _ => {}
    }
    actions
}

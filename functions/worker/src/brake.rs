//! The brake: while a class's runners fail one after the other, or GitHub gives them no jobs, only a probe goes now and then.
//!
//! Nothing is remembered. What ECS shows of the class's tasks, for an hour after their stop, says how it fares:
//!
//! | seen | so |
//! |---|---|
//! | the last [`ENOUGH`] tasks whose end is known, or that run, have all failed to start | one retry in [`PROBE_INTERVAL`] |
//! | an idle runner that the cleaner keeps as a probe | no retry until the probe has a job or is gone |
//! | anything else | every retry at its own time |
//!
//! A first launch always goes: it costs one task a job, and its success is the best sign that all is well. So the brake
//! cannot lock a class up, for the next probe always comes, and one task that runs for [`UP`] releases all retries. Nor does
//! it stop a class whose other jobs run well: one of the last three is enough. A single job that fails is no class that
//! fails: it goes on at the growing intervals of `jitgate::relaunch`.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jitgate::ecs::{EcsError, TaskView};
use jitgate::job::Purpose;
use jitgate::names::LaunchToken;
use jitgate::relaunch::trouble;
use time::{Duration, OffsetDateTime};

use crate::context::Context;
use crate::received::Received;
use crate::verdict::LaunchError;

/// So many failures in a row are no accident: of tasks that fail by chance, one in ten, three in a row are one in a thousand.
const ENOUGH: usize = 3;

/// One retry of a class goes in this time.
const PROBE_INTERVAL: Duration = Duration::minutes(5);

/// A task that has run for so long has a runner: one that GitHub turns away ends within seconds.
const UP: Duration = Duration::minutes(1);

/// Retries that wait look again after this time, give or take a quarter: how long a job waits once all is well again. With
/// [`PROBE_INTERVAL`], [`UP`] and two starts, all jobs run within ten minutes of the end.
const LOOK_AGAIN: Duration = Duration::minutes(1);

/// How long a process acts on what it saw of all tasks. A look takes several calls, retries that wait come by one by one, and
/// [`LOOK_AGAIN`] is several times longer.
const LOOK_LASTS: Duration = Duration::seconds(10);

/// How long ECS may fail to list a probe. Its lists lag by seconds.
const LISTED_AFTER: Duration = Duration::minutes(1);

/// The reason of a class whose idle runners get no jobs.
pub(crate) const NO_JOBS: &str =
    "GitHub gives the class's idle runners no jobs; one of them stays, to show when it does again";

/// What this process saw a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    tasks: Mutex<Option<(OffsetDateTime, Arc<Vec<TaskView>>)>>,
    /// When a probe of a class went.
    probes: Mutex<HashMap<String, OffsetDateTime>>,
}

impl Memory {
    /// All tasks of the deployment, those that stopped within an hour included.
    pub(crate) async fn tasks(&self, context: &Context, now: OffsetDateTime) -> Result<Arc<Vec<TaskView>>, EcsError> {
        if let Some((at, tasks)) = &*lock(&self.tasks)
            && now - *at < LOOK_LASTS
        {
            return Ok(Arc::clone(tasks));
        }
        let prefix = &context.config.name_prefix;
        let mut tasks = context.tasks.live(prefix).await?;
        tasks.extend(context.tasks.stopped(prefix).await?);
        let tasks = Arc::new(tasks);
        *lock(&self.tasks) = Some((now, Arc::clone(&tasks)));
        Ok(tasks)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Holds back the retries of a batch whose class fails. ECS is asked only if the batch has a retry.
pub(crate) async fn apply(context: &Context, batch: &mut [Received<'_>]) {
    let now = context.clock.now();
    let retries: Vec<_> = batch
        .iter()
        .enumerate()
        .filter(|(_, received)| received.held_back.is_none())
        .filter_map(|(index, received)| Some((index, received.launch_due(now)?.0)))
        .filter(|(_, message)| message.purpose == Purpose::Launch && message.progress.is_retry())
        .map(|(index, message)| Retry {
            index,
            class: message.job.class.clone(),
            since: message.job.queued_at,
            token: LaunchToken::of(&context.config.name_prefix, message).to_string(),
        })
        .collect();
    if retries.is_empty() {
        return;
    }
    match context.brake.tasks(context, now).await {
        Ok(tasks) => {
            for (retry, reason) in held_back(retries, &tasks, &mut lock(&context.brake.probes), now) {
                let until = now + LOOK_AGAIN * (0.75 + 0.5 * context.clock.chance());
                batch[retry.index].held_back = Some(LaunchError::Braked { until, reason });
            }
        }
        Err(error) => retries.iter().for_each(|retry| batch[retry.index].held_back = Some(error.clone().into())),
    }
}

/// A launch whose job has had one in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Retry {
    /// Its place in the batch.
    index: usize,
    class: String,
    /// When its job began to wait.
    since: OffsetDateTime,
    /// Its launch's.
    token: String,
}

/// The retries that must wait, and why. Of each class that fails, the one that has waited longest goes if a probe is due.
/// A retry whose launch has a task already, by another message, starts none: it goes, and is done.
/// `probes` is when a probe of each class went, as far as ECS may not list it yet.
fn held_back(
    mut retries: Vec<Retry>,
    tasks: &[TaskView],
    probes: &mut HashMap<String, OffsetDateTime>,
    now: OffsetDateTime,
) -> Vec<(Retry, String)> {
    probes.retain(|_, at| now - *at < LISTED_AFTER);
    retries.retain(|retry| !tasks.iter().any(|task| task.started_by == retry.token));
    retries.sort_by(|one, other| (&one.class, one.since).cmp(&(&other.class, other.since)));
    let mut held = Vec::new();
    for retries in retries.chunk_by(|one, other| one.class == other.class) {
        let of_class = |task: &&TaskView| task.message.as_ref().is_some_and(|each| each.job.class == retries[0].class);
        let (reason, may_probe) = match state(&tasks.iter().filter(of_class).collect::<Vec<_>>(), now) {
            State::Well => continue,
            State::Unassigned => (NO_JOBS.to_owned(), false),
            State::Failing { reason, may_probe } => {
                let may_probe = may_probe && !probes.contains_key(&retries[0].class);
                if may_probe {
                    probes.insert(retries[0].class.clone(), now);
                }
                (format!("the last runners of the class failed: {reason}"), may_probe)
            }
        };
        held.extend(retries.iter().skip(usize::from(may_probe)).map(|retry| (retry.clone(), reason.clone())));
    }
    held
}

/// How a class fares.
enum State {
    Well,
    /// GitHub gives its runners no jobs.
    Unassigned,
    Failing {
        reason: String,
        may_probe: bool,
    },
}

fn state(tasks: &[&TaskView], now: OffsetDateTime) -> State {
    if tasks.iter().any(|task| task.probe_since.is_some() && task.busy_since.is_none() && !task.is_over) {
        return State::Unassigned;
    }
    let mut fates: Vec<_> = tasks.iter().filter_map(|task| fate(task, now)).collect();
    fates.sort_by_key(|(at, _)| Reverse(*at));
    let last: Option<Vec<String>> = fates.into_iter().take(ENOUGH).map(|(_, failure)| failure).collect();
    let Some([reason, ..]) = last.as_deref().filter(|last| last.len() == ENOUGH) else { return State::Well };
    let is_retry = |task: &&&TaskView| task.message.as_ref().is_some_and(|message| message.progress.is_retry());
    let last = tasks.iter().filter(is_retry).filter_map(|task| task.created_at).max();
    State::Failing { reason: reason.clone(), may_probe: last.is_none_or(|last| now - last >= PROBE_INTERVAL) }
}

/// Why a task failed, or `None` if it did well, and when that showed. Absent while that is unknown, or where it says nothing about
/// the class: we stopped it, or there was no capacity, which other placements may have.
fn fate(task: &TaskView, now: OffsetDateTime) -> Option<(OffsetDateTime, Option<String>)> {
    if !task.is_over {
        let up = task.started_at? + UP;
        return (up <= now).then_some((up, None));
    }
    if task.lost_capacity() {
        return None;
    }
    let failure = match (task.stop_code.as_deref()?, task.exit_code) {
        ("EssentialContainerExited", Some(0)) => None,
        ("TaskFailedToStart" | "EssentialContainerExited", _) => Some(trouble(task).unwrap_or_default()),
        _ => return None,
    };
    Some((task.stopped_at?, failure))
}

#[cfg(test)]
mod tests;

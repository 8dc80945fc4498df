//! The brake: while a class's runners fail one after the other, or GitHub gives them no jobs, only a probe goes now and then.
//!
//! What ECS shows of the class's tasks, for an hour after their stop, says how it fares:
//!
//! | seen | so |
//! |---|---|
//! | the last [`ENOUGH`] tasks whose end is known, or that are up, have all failed | one retry in [`PROBE_INTERVAL`] |
//! | an idle runner that the cleaner keeps as a probe | one retry in [`SECOND_PROBE_INTERVAL`], until the probe has a job or is gone, or another task did one |
//! | anything else | every retry at its own time |
//!
//! `run.sh` ends with 0 after a job, and after nearly all that can go wrong before one; and what ends with another code may have had a
//! job before. So where neither is plain, GitHub is asked whether the task's job still waits, while retries have to know.
//!
//! A first launch always goes: it costs one task a job, and its success is the best sign that all is well. So the brake
//! cannot lock a class up, for the next probe always comes, and one task that is [up](up_after) releases all retries. Nor does
//! it stop a class whose other jobs run well: one of the last three is enough. A single job that fails is no class that
//! fails: it goes on at the growing intervals of `jitgate::relaunch`.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jitgate::ecs::{EcsError, TaskArn, TaskView};
use jitgate::github::{GitHubError, JobState};
use jitgate::job::{Attempt, Purpose};
use jitgate::names::LaunchToken;
use jitgate::relaunch::{CLASS_FAILS, NO_JOBS, trouble};
use time::{Duration, OffsetDateTime};

use crate::context::Context;
use crate::received::Received;
use crate::swaps::repository;
use crate::verdict::LaunchError;

/// So many failures in a row are no accident: of tasks that fail by chance, one in ten, three in a row are one in a thousand.
const ENOUGH: usize = 3;

/// One retry of a class goes in this time.
const PROBE_INTERVAL: Duration = Duration::minutes(5);

/// One retry goes beside an idle runner in this time, should GitHub have forgotten just that one. Each costs its class's
/// `idle_minutes`.
const SECOND_PROBE_INTERVAL: Duration = Duration::HOUR;

/// A task that has run for so long has a runner, if the last failures ended sooner: one that GitHub turns away ends within seconds.
const UP: Duration = Duration::minutes(1);

/// Retries that wait look again after this time, give or take a quarter: how long a job waits once all is well again. With
/// [`PROBE_INTERVAL`], [`UP`] and two starts, all jobs run within ten minutes of the end.
const LOOK_AGAIN: Duration = Duration::minutes(1);

/// How long a process acts on what it saw of all tasks. A look takes several calls, retries that wait come by one by one, and
/// [`LOOK_AGAIN`] is several times longer.
const LOOK_LASTS: Duration = Duration::seconds(10);

/// How long ECS may fail to list a probe. Its lists lag by seconds.
const LISTED_AFTER: Duration = Duration::minutes(1);

/// Whether the job of a task that ended as after a job still waits, so that it had none, and when GitHub said so.
type Answers = HashMap<TaskArn, (OffsetDateTime, bool)>;

/// That a job still waits is asked again after this time: its task may have done another job with the same labels.
const ANSWER_LASTS: Duration = PROBE_INTERVAL;

/// What this process saw a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    tasks: Mutex<Option<(OffsetDateTime, Arc<Vec<TaskView>>)>>,
    answers: Mutex<Answers>,
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
            attempt: message.progress.attempt,
            since: message.job.queued_at,
            token: LaunchToken::of(&context.config.name_prefix, message).to_string(),
        })
        .collect();
    if retries.is_empty() {
        return;
    }
    match context.brake.tasks(context, now).await {
        Ok(tasks) => {
            let answers = answers(context, &retries, &tasks, now).await;
            for (retry, reason) in held_back(retries, &tasks, &answers, &mut lock(&context.brake.probes), now) {
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
    attempt: Attempt,
    /// When its job began to wait.
    since: OffsetDateTime,
    /// Its launch's.
    token: String,
}

/// What has to be known of the jobs of tasks in these retries' classes.
async fn answers(context: &Context, retries: &[Retry], tasks: &[TaskView], now: OffsetDateTime) -> Answers {
    let mut answers = lock(&context.brake.answers).clone();
    answers
        .retain(|arn, (at, waits)| (!*waits || now - *at < ANSWER_LASTS) && tasks.iter().any(|task| task.arn == *arn));
    for class in retries.iter().map(|retry| &retry.class).collect::<BTreeSet<_>>() {
        let tasks = of_class(tasks, class);
        while let Err(task) = state(&tasks, &answers, now) {
            // The retries will meet the error themselves.
            let Ok(waits) = is_job_queued(context, task).await else { break };
            answers.insert(task.arn.clone(), (now, waits));
        }
    }
    lock(&context.brake.answers).clone_from(&answers);
    answers
}

/// Whether the task's job waits for a runner.
async fn is_job_queued(context: &Context, task: &TaskView) -> Result<bool, GitHubError> {
    let Some(message) = &task.message else { return Ok(false) };
    let place = context.github.place_of(&message.job);
    let job = repository(context, &place, message).job(message.job.id).await?;
    Ok(job.is_some_and(|job| job.state == Some(JobState::Queued)))
}

fn of_class<'a>(tasks: &'a [TaskView], class: &str) -> Vec<&'a TaskView> {
    tasks.iter().filter(|task| task.message.as_ref().is_some_and(|message| message.job.class == class)).collect()
}

/// The retries that must wait, and why. Of each class that fails, one goes if a probe is due: of those whose jobs had the fewest
/// launches, the one that has waited longest.
/// A retry whose launch has a task already, by another message, starts none: it goes, and is done.
/// `probes` is when a probe of each class went, as far as ECS may not list it yet.
fn held_back(
    mut retries: Vec<Retry>,
    tasks: &[TaskView],
    answers: &Answers,
    probes: &mut HashMap<String, OffsetDateTime>,
    now: OffsetDateTime,
) -> Vec<(Retry, String)> {
    probes.retain(|_, at| now - *at < LISTED_AFTER);
    retries.retain(|retry| !tasks.iter().any(|task| task.started_by == retry.token));
    let order = |retry: &Retry| (retry.class.clone(), retry.attempt, retry.since);
    retries.sort_by_cached_key(order);
    let mut held = Vec::new();
    for retries in retries.chunk_by(|one, other| one.class == other.class) {
        let class = &retries[0].class;
        let Ok(State::HeldBack { reason, may_probe }) = state(&of_class(tasks, class), answers, now) else { continue };
        let may_probe = may_probe && !probes.contains_key(class);
        if may_probe {
            probes.insert(class.clone(), now);
        }
        held.extend(retries.iter().skip(usize::from(may_probe)).map(|retry| (retry.clone(), reason.clone())));
    }
    held
}

/// How a class fares.
enum State {
    Well,
    /// Its runners fail, or GitHub gives them no jobs.
    HeldBack {
        reason: String,
        may_probe: bool,
    },
}

/// How the class of these tasks fares, or the task about whose job GitHub has to be asked first.
fn state<'a>(tasks: &[&'a TaskView], answers: &Answers, now: OffsetDateTime) -> Result<State, &'a TaskView> {
    let is_retry = |task: &&&TaskView| task.message.as_ref().is_some_and(|message| message.progress.is_retry());
    let last_retry = tasks.iter().filter(is_retry).filter_map(|task| task.created_at).max();
    let is_due = |after| last_retry.is_none_or(|last| now - last >= after);
    let is_idle_probe = |task: &&&TaskView| task.busy_since.is_none() && !task.is_over;
    let idle_since = tasks.iter().filter(is_idle_probe).filter_map(|task| task.probe_since).max();
    let mut ends: Vec<_> =
        tasks.iter().filter_map(|task| Some((task.stopped_at?, *task, fate(task, answers)?))).collect();
    ends.sort_by_key(|(at, ..)| Reverse(*at));
    let mut failures = Vec::with_capacity(ENOUGH);
    for (at, task, fate) in ends {
        if idle_since.is_some_and(|since| at <= since) {
            break;
        }
        match fate {
            Fate::Well => return Ok(State::Well),
            Fate::Unclear => return Err(task),
            Fate::Failed(reason) => failures.push((at, task, reason)),
        }
        if failures.len() == ENOUGH {
            break;
        }
    }
    if let Some(since) = idle_since {
        let may_probe = now - since >= SECOND_PROBE_INTERVAL && is_due(SECOND_PROBE_INTERVAL);
        return Ok(State::HeldBack { reason: NO_JOBS.to_owned(), may_probe });
    }
    let Ok(failures) = <[_; ENOUGH]>::try_from(failures) else { return Ok(State::Well) };
    let up_after = up_after(failures.iter().map(|(_, task, _)| *task));
    let [(_, _, reason), .., (earliest, ..)] = failures;
    let mut up = tasks.iter().filter(|task| !task.is_over).filter_map(|task| Some(task.started_at? + up_after));
    if up.any(|at| at <= now && at > earliest) {
        return Ok(State::Well);
    }
    let reason = format!("{CLASS_FAILS}{reason}");
    Ok(State::HeldBack { reason, may_probe: is_due(PROBE_INTERVAL) })
}

/// After this time, a running task has outlived the failures, and something beyond, since they do not all take the same time: a runner
/// that cannot reach GitHub runs for as long as its class lets it try, and until the next pass.
fn up_after<'a>(failures: impl Iterator<Item = &'a TaskView>) -> Duration {
    failures.filter_map(ran).max().map_or(UP, |longest| UP.max(longest * 3 / 2))
}

fn ran(task: &TaskView) -> Option<Duration> {
    Some(task.stopped_at? - task.started_at?)
}

/// How a task ended.
enum Fate {
    Well,
    Failed(String),
    /// As after a job: GitHub knows whether it had one.
    Unclear,
}

/// Absent for a task that lives, and for an end that says nothing about the class: we stopped it for another reason, or there was no
/// capacity, which other placements may have.
fn fate(task: &TaskView, answers: &Answers) -> Option<Fate> {
    if !task.is_over || task.lost_capacity() {
        return None;
    }
    let failed = || Some(Fate::Failed(trouble(task).unwrap_or_default()));
    let was_up = ran(task).is_some_and(|ran| ran >= UP);
    match (task.stop_code.as_deref()?, task.exit_code) {
        ("EssentialContainerExited", Some(0)) if was_up => Some(Fate::Well),
        ("EssentialContainerExited", Some(code)) if code == 0 || was_up => match answers.get(&task.arn) {
            // No job waits for a warm runner.
            _ if task.message.as_ref()?.purpose != Purpose::Launch => None,
            Some((_, true)) => failed(),
            Some((_, false)) => Some(Fate::Well),
            None => Some(Fate::Unclear),
        },
        ("TaskFailedToStart" | "EssentialContainerExited", _) => failed(),
        ("UserInitiated", _) if task.never_connected() => failed(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

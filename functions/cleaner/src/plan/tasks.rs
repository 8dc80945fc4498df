//! Live tasks that are of no use.
//!
//! What a pass has to remember of an earlier one stands on the task, as tags: `jitgate:idle-since`, `jitgate:busy-since`,
//! `jitgate:offline-since`, `jitgate:gone-since` and `jitgate:probe-since`. A stopped task loses its tags. It keeps `startedBy` (job and attempt) and `JITGATE_JOB` (the
//! message), which is all that a further launch needs.

use std::collections::{HashMap, HashSet};

use jitgate::ecs::{TaskArn, tag};
use jitgate::github::{RunnerStatus, Scope};
use jitgate::job::Purpose;
use time::Duration;

use super::action::{Action, Useless};
use super::interval::GONE_FOR;
use super::links::Task;
use super::world::World;

/// Two observations that agree are at least this far apart. `busy` was seen to lag by 25 to 60 seconds.
pub const BETWEEN_LOOKS: Duration = Duration::seconds(90);

/// A runner that has not connected by this age will not, if its class is no longer configured: the usual `start_minutes`.
pub const NEVER_CAME: Duration = Duration::minutes(20);

/// A runner that has connected and then is offline without a job for this long hangs. A lost connection comes back within
/// minutes, and a runner that ends after its job has no registration any more.
const HANGS_AFTER: Duration = Duration::minutes(10);

/// So many runners of one class and account without a job, and none with one: GitHub assigns no jobs. Fewer happen when jobs are
/// cancelled, or where one job's runner group does not admit its repository.
const UNASSIGNED: usize = 3;

/// How long GitHub denies access to a task's place before the task is stopped. Most jobs have ended by then; one that has
/// not is stopped, because nobody can ask whether its runner is busy, and no one else would end it for days.
pub const PLACE_GONE_FOR: Duration = Duration::hours(1);

/// The idle limit of a task whose class is no longer configured.
const IDLE_LIMIT: Duration = Duration::minutes(10);

/// The lifetime of a task whose class is no longer configured: the usual one.
const LIFETIME: Duration = Duration::hours(5 * 24 + 1);

pub(super) fn plan(world: &World<'_>) -> Vec<Action> {
    let kept: HashSet<_> = world.pools.iter().flat_map(|pool| &pool.kept).map(|task| &task.view.arn).collect();
    let actions = world.live.iter().flat_map(|task| of_task(world, task, kept.contains(&task.view.arn)));
    with_probes(world, actions.collect())
}

/// While GitHub assigns no jobs to a class's runners, one idle runner stays: as long as it gets no job, another one would not
/// either. The worker holds further launches back until it has one. Where each repository has runners of its own, those of
/// one owner's are seen together: a job in each would otherwise be one runner without a job, time and again.
fn with_probes(world: &World<'_>, mut actions: Vec<Action>) -> Vec<Action> {
    let mut idle: HashMap<_, Vec<&TaskArn>> = HashMap::new();
    for action in &actions {
        let Action::Retire { place, task: arn, because: Useless::Idle, .. } = action else { continue };
        let Some(task) = world.live.iter().find(|task| task.view.arn == *arn) else { continue };
        // No job waits for a warm runner.
        if task.view.message.as_ref().is_some_and(|message| message.purpose == Purpose::Launch) {
            idle.entry((owner_of(world, *place), task.view.class.as_deref())).or_default().push(arn);
        }
    }
    let mut probes = HashSet::new();
    for ((owner, class), retired) in idle {
        let is_there = |place| owner_of(world, place) == owner;
        let of_group = |task: &&Task<'_>| task.place.is_some_and(is_there) && task.view.class.as_deref() == class;
        let mut group = world.live.iter().filter(of_group);
        let probe = group.clone().find(|task| task.view.probe_since.is_some()).map(|task| &task.view.arn);
        let has_job = group.any(|task| task.is_busy() || task.view.busy_since.is_some());
        if !has_job && (probe.is_some() || retired.len() >= UNASSIGNED) {
            probes.extend(probe.or_else(|| retired.into_iter().min()).cloned());
        }
    }
    for action in &mut actions {
        if let Action::Retire { place, id, task, because: Useless::Idle } = action
            && probes.contains(task)
        {
            *action = Action::Probe { place: *place, id: *id, task: task.clone() };
        }
    }
    actions
}

/// Whose runners a place has.
fn owner_of(world: &World<'_>, place: usize) -> String {
    match &world.seen.places[place].place.scope {
        Scope::Repository { owner, .. } => owner.to_lowercase(),
        scope => scope.to_string(),
    }
}

fn of_task(world: &World<'_>, task: &Task<'_>, is_kept: bool) -> Vec<Action> {
    let Task { view, .. } = *task;
    let (Some(id), Some(created_at)) = (view.runner_id, view.created_at) else { return Vec::new() };
    let (now, age) = (world.now, world.now - created_at);
    let class = view.class.as_deref().and_then(|name| world.settings.classes.named(name));
    if age > class.map_or(LIFETIME, |class| Duration::minutes(class.lifetime_minutes.into())) {
        let reason = "jitgate: longer than its class lets a task live";
        return vec![Action::Stop { task: view.arn.clone(), reason }];
    }
    let note = |key, moment| Action::Note { task: view.arn.clone(), key, moment };
    let Some(place) = task.place else {
        // Heals: the App was uninstalled, suspended or taken off the repository while tasks lived.
        return match view.gone_since {
            _ if !task.is_gone => Vec::new(),
            None => vec![note(tag::GONE_SINCE, Some(now))],
            Some(since) if now - since < PLACE_GONE_FOR => Vec::new(),
            Some(_) => {
                let reason = "jitgate: GitHub has shown nothing of its organization or repository for an hour";
                vec![Action::Stop { task: view.arn.clone(), reason }]
            }
        };
    };
    let retire = |because| Action::Retire { place, id, task: view.arn.clone(), because };
    let Some(runner) = task.runner else {
        // Heals: a container that hangs after its job, and a runner that listens on although its registration is gone.
        // Waits while GitHub does not yet show a new registration, and while a runner exits after its job.
        return match view.gone_since {
            None if age < GONE_FOR => Vec::new(),
            None => vec![note(tag::GONE_SINCE, Some(now))],
            Some(since) if now - since < GONE_FOR => Vec::new(),
            Some(_) => vec![Action::StopUnregistered { place, id, task: view.arn.clone() }],
        };
    };
    let start_limit = class.map_or(NEVER_CAME, |class| Duration::minutes(class.start_minutes.into()));
    if runner.never_connected() && age > start_limit {
        return vec![retire(Useless::NeverConnected)];
    }
    // GitHub shows it again: the list that missed it was wrong.
    let mut actions: Vec<_> = view.gone_since.map(|_| note(tag::GONE_SINCE, None)).into_iter().collect();
    // Heals: a runner that has lost its connection for good, while its container goes on.
    let is_offline = runner.status == RunnerStatus::Offline && !runner.never_connected() && !task.is_busy();
    match view.offline_since {
        None if is_offline => actions.push(note(tag::OFFLINE_SINCE, Some(now))),
        Some(since) if is_offline && now - since >= HANGS_AFTER => return vec![retire(Useless::Hangs)],
        Some(_) if !is_offline => actions.push(note(tag::OFFLINE_SINCE, None)),
        _ => {}
    }
    let idle_limit = class.map_or(IDLE_LIMIT, |class| Duration::minutes(class.idle_minutes.into()));
    let idle_limit = if is_kept { Duration::MAX } else { idle_limit.max(BETWEEN_LOOKS) };
    // Heals: a surplus runner, whose job was taken by another runner, or cancelled without a delivery that told us. Idleness
    // counts from the first look that finds the runner online, so a slow start does not count. A runner has one job in its
    // life: once seen busy after it was idle, it is never idle again, whatever `busy` says.
    let action = match (runner.status, task.is_busy(), view.idle_since) {
        _ if view.busy_since.is_some() => None,
        (RunnerStatus::Online, false, None) => Some(note(tag::IDLE_SINCE, Some(now))),
        (RunnerStatus::Online, false, Some(since)) if now - since >= idle_limit => Some(retire(Useless::Idle)),
        (_, true, Some(_)) => Some(note(tag::BUSY_SINCE, Some(now))),
        _ => None,
    };
    actions.extend(action);
    actions
}

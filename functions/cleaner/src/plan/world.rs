//! One index of what a pass saw, built once and asked by every planner.

use std::collections::{HashMap, HashSet};

use jitgate::ecs::TaskView;
use jitgate::github::{Runner, RunnerStatus};
use jitgate::job::{Attempt, JobId, RunnerId};
use jitgate::names::RunnerOrigin;
use time::OffsetDateTime;

use super::links::{Links, Task};
use super::pools::{Pool, pools};
use super::seen::{Seen, Settings};

/// What a pass saw, as of one moment.
pub struct World<'a> {
    pub(super) now: OffsetDateTime,
    pub(super) settings: Settings<'a>,
    pub(super) seen: &'a Seen,
    links: Links<'a>,
    /// Our live tasks that are not about to stop.
    pub(super) live: Vec<Task<'a>>,
    /// By job, or by slot of a warm runner: the task of the last launch, live or stopped.
    pub(super) latest: HashMap<JobId, Task<'a>>,
    /// Our registrations whose runner is offline and has no job.
    pub(super) offline: Vec<Registration<'a>>,
    /// Those by their launches.
    pub(super) left: HashMap<(JobId, Attempt), RunnerId>,
    pub(super) running: Running,
    /// The same at the second look.
    pub(super) running_later: Option<Running>,
    pub(super) pools: Vec<Pool<'a>>,
}

/// A registration of ours.
pub(super) struct Registration<'a> {
    /// Index of its place.
    pub(super) place: usize,
    pub(super) runner: &'a Runner,
    pub(super) origin: RunnerOrigin,
}

impl<'a> World<'a> {
    /// The index.
    pub fn of(now: OffsetDateTime, settings: Settings<'a>, seen: &'a Seen) -> Self {
        let links = Links::of(settings.prefix, seen);
        let mut live: Vec<_> = seen.live.iter().map(|view| links.task(view)).collect();
        let latest = latest(live.iter().copied().chain(seen.stopped.iter().map(|view| links.task(view))));
        live.retain(|task| !task.view.is_over);
        let offline = offline(settings, seen);
        Self {
            now,
            settings,
            seen,
            latest,
            left: offline.iter().map(|each| ((each.origin.job_id, each.origin.attempt), each.runner.id)).collect(),
            offline,
            running: Running::of(live.iter().copied()),
            running_later: None,
            pools: pools(now, settings.classes, &links, &live),
            links,
            live,
        }
    }

    /// Adds the live tasks of a second look, [`SECOND_LOOK_AFTER`](super::SECOND_LOOK_AFTER) the first.
    pub fn look_again(&mut self, live: &[TaskView]) {
        let tasks = live.iter().filter(|view| !view.is_over).map(|view| self.links.task(view));
        self.running_later = Some(Running::of(tasks));
    }
}

/// Live tasks come first: one that stops between the two lists is in both, and its later view counts.
fn latest<'a>(tasks: impl Iterator<Item = Task<'a>>) -> HashMap<JobId, Task<'a>> {
    let mut launched: Vec<_> = tasks.filter_map(|task| Some((task.launch?, task))).collect();
    launched.sort_by_key(|(launch, _)| *launch);
    launched.into_iter().map(|((job, _), task)| (job, task)).collect()
}

fn offline<'a>(settings: Settings<'_>, seen: &'a Seen) -> Vec<Registration<'a>> {
    let all = seen.places.iter().enumerate();
    let all = all.flat_map(|(place, listed)| listed.runners.iter().map(move |runner| (place, runner)));
    let offline = all.filter(|(_, runner)| runner.status == RunnerStatus::Offline && !runner.busy);
    let ours = offline.filter_map(|(place, runner)| {
        let origin = RunnerOrigin::parse(settings.prefix, &runner.name)?;
        Some(Registration { place, runner, origin })
    });
    ours.collect()
}

/// What live tasks run.
pub(super) struct Running {
    /// Ids are unique only within a place, which is absent where it is not known.
    registrations: HashSet<(Option<usize>, RunnerId)>,
    /// The launches of tasks that do not say which registration they run.
    launches: HashSet<(JobId, Attempt)>,
}

impl Running {
    fn of<'a>(tasks: impl Iterator<Item = Task<'a>>) -> Self {
        let mut running = Self { registrations: HashSet::new(), launches: HashSet::new() };
        for task in tasks {
            match task.view.runner_id {
                Some(id) => _ = running.registrations.insert((task.place, id)),
                None => running.launches.extend(task.launch),
            }
        }
        running
    }

    /// A task that does not say which registration it runs counts for each registration of its launch, and one whose
    /// place is unknown for each of its id.
    pub(super) fn includes(&self, registration: &Registration<'_>) -> bool {
        let Registration { place, runner, origin } = registration;
        self.registrations.contains(&(Some(*place), runner.id))
            || self.registrations.contains(&(None, runner.id))
            || self.launches.contains(&(origin.job_id, origin.attempt))
    }
}

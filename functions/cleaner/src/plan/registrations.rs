//! Registrations that no task will use any more.

use std::collections::{HashMap, HashSet};

use jitgate::ecs::TaskView;
use jitgate::github::{Runner, RunnerStatus};
use jitgate::job::{Attempt, JobId, RunnerId};
use jitgate::names::{LaunchToken, RunnerOrigin};
use time::{Duration, OffsetDateTime};

use super::{Action, Places, Seen, SeenPlace, Settings};

/// A registration younger than this is left alone, whatever else is seen. It outlasts every window in which a launch
/// is half done (registered, its task not started or not listed yet) and the minute or so in which a task starts.
pub const GRACE: Duration = Duration::minutes(10);

/// A name says when a launch began, which can be long before its registration: a message whose earlier try is
/// unsettled keeps its birth time. So the grace does not cover a runner that has never connected, and it is an orphan
/// only if no task of its is listed at a second look either. From registering until the task is listed take `RunTask`,
/// 14 seconds at most, and ECS's lists, which lag by seconds.
pub const SECOND_LOOK_AFTER: Duration = Duration::seconds(45);

/// Heals: the worker died between registering and starting; the task was killed; GitHub never deregistered its runner.
pub(super) fn plan(now: OffsetDateTime, settings: Settings<'_>, seen: Seen<'_>) -> Vec<Action> {
    let places = Places::of(seen.places);
    let later = seen.live_later.map(|live| Lives::of(settings, &places, live));
    let is_certain = |place: usize, listed: &SeenPlace, runner: &Runner, origin: RunnerOrigin| match &later {
        Some(later) => !later.include(place, runner, origin),
        None => !is_doubtful(listed, runner),
    };
    let suspects = suspects(now, settings, seen, &places);
    let orphans = suspects.filter(|(place, listed, runner, origin)| is_certain(*place, listed, runner, *origin));
    orphans
        .map(|(place, _, runner, _)| Action::DeleteRegistration { place, id: runner.id, name: runner.name.clone() })
        .collect()
}

/// Whether a second look at the live tasks would say more.
pub fn needs_second_look(now: OffsetDateTime, settings: Settings<'_>, seen: Seen<'_>) -> bool {
    let places = Places::of(seen.places);
    suspects(now, settings, seen, &places).any(|(_, listed, runner, _)| is_doubtful(listed, runner))
}

fn is_doubtful(listed: &SeenPlace, runner: &Runner) -> bool {
    runner.version.is_none() || listed.after_tasks
}

/// What looks like an orphan by the first look.
fn suspects<'a>(
    now: OffsetDateTime,
    settings: Settings<'a>,
    seen: Seen<'a>,
    places: &Places,
) -> impl Iterator<Item = (usize, &'a SeenPlace, &'a Runner, RunnerOrigin)> {
    let lives = Lives::of(settings, places, seen.live);
    let all = seen
        .places
        .iter()
        .enumerate()
        .flat_map(|(place, listed)| listed.runners.iter().map(move |runner| (place, listed, runner)));
    all.filter(|(_, _, runner)| runner.status == RunnerStatus::Offline && !runner.busy).filter_map(
        move |(place, listed, runner)| {
            let origin = RunnerOrigin::parse(settings.prefix, &runner.name)?;
            let is_suspect = now - origin.born_at > GRACE && !lives.include(place, runner, origin);
            is_suspect.then_some((place, listed, runner, origin))
        },
    )
}

/// What the live tasks run.
struct Lives {
    /// With the place, where it is known: ids are unique within one.
    registrations: HashMap<RunnerId, Vec<Option<usize>>>,
    /// Of tasks that do not say which registration they run.
    launches: HashSet<(JobId, Attempt)>,
}

impl Lives {
    fn of(settings: Settings<'_>, places: &Places, live: &[TaskView]) -> Self {
        let mut lives = Self { registrations: HashMap::new(), launches: HashSet::new() };
        for task in live.iter().filter(|task| !task.is_over) {
            match task.runner_id {
                Some(id) => lives.registrations.entry(id).or_default().push(places.find(task)),
                None => lives.launches.extend(LaunchToken::parse(settings.prefix, &task.started_by)),
            }
        }
        lives
    }

    /// A task that does not say which registration it runs counts for every registration of its launch.
    fn include(&self, place: usize, runner: &Runner, origin: RunnerOrigin) -> bool {
        let runs_it = |of: &Option<usize>| of.is_none_or(|of| of == place);
        self.registrations.get(&runner.id).is_some_and(|of| of.iter().any(runs_it))
            || self.launches.contains(&(origin.job_id, origin.attempt))
    }
}

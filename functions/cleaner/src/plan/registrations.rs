//! Registrations that no task will use any more.

use jitgate::ecs::TaskView;
use jitgate::github::{Runner, RunnerStatus};
use jitgate::names::{LaunchToken, RunnerOrigin};
use time::{Duration, OffsetDateTime};

use super::{Action, Seen, Settings};

/// A registration younger than this is left alone, whatever else is seen. It outlasts every window in which a launch
/// is half done (registered, its task not started or not listed yet) and the minute or so in which a task starts.
pub const GRACE: Duration = Duration::minutes(10);

/// Heals: the worker died between registering and starting; the task was killed; GitHub never deregistered its runner.
pub(super) fn plan(now: OffsetDateTime, settings: Settings<'_>, seen: Seen<'_>) -> Vec<Action> {
    let mut actions = Vec::new();
    for (place, listed) in seen.places.iter().enumerate() {
        for runner in listed.runners.iter().filter(|runner| runner.status == RunnerStatus::Offline && !runner.busy) {
            let is_orphan = RunnerOrigin::parse(settings.prefix, &runner.name).is_some_and(|origin| {
                now - origin.born_at > GRACE && !has_live_task(settings, runner, origin, seen.live)
            });
            if is_orphan {
                actions.push(Action::DeleteRegistration { place, id: runner.id, name: runner.name.clone() });
            }
        }
    }
    actions
}

/// A task that does not say which registration it runs counts for every registration of its launch.
fn has_live_task(settings: Settings<'_>, runner: &Runner, origin: RunnerOrigin, live: &[TaskView]) -> bool {
    live.iter().filter(|task| !task.is_over).any(|task| match task.runner_id {
        Some(id) => id == runner.id,
        None => LaunchToken::parse(settings.prefix, &task.started_by) == Some((origin.job_id, origin.attempt)),
    })
}

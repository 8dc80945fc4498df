//! Registrations that no task will use any more.
//!
//! **The second look.** A name says when a launch began, and that can be long before its registration: a message that is
//! unsettled keeps its birth time. So the grace does not protect a runner that has never connected (GitHub shows no
//! `version`), and its registration is an orphan only if a second look at the live tasks does not find its task either. A
//! runner that was connected once had a task that has been listed for a minute, so one look is enough. A pass waits for
//! the second look only if there is a registration in doubt. Alternatives that were weighed: a mark on the registration
//! (GitHub has none), a `ListTasks` for each suspect (thousands after an outage), and a longer grace (a message may be
//! unsettled for a day).

use time::Duration;

use super::action::Action;
use super::jobs::is_seen_to;
use super::world::{Registration, World};

/// A registration younger than this is left alone, whatever else is seen. It is longer than every window in which a launch
/// is half done (registered, its task not started or not listed yet) and the minute or so in which a task starts.
pub const GRACE: Duration = Duration::minutes(10);

/// The time between the two looks. A registration's task is listed after one `RunTask`, 14 seconds at most, and ECS's
/// lists lag by seconds.
pub const SECOND_LOOK_AFTER: Duration = Duration::seconds(45);

/// Heals: the worker died between registering and starting; the task was killed; GitHub never deregistered its runner.
pub(super) fn plan(world: &World<'_>) -> impl Iterator<Item = Action> {
    let is_orphan = |registration: &&Registration<'_>| match &world.running_later {
        Some(running) => !running.includes(registration),
        None => !is_in_doubt(world, registration),
    };
    suspects(world).filter(is_orphan).map(|Registration { place, runner, .. }| Action::DeleteRegistration {
        place: *place,
        id: runner.id,
        name: runner.name.clone(),
    })
}

/// Whether a second look at the live tasks would say more.
pub fn needs_second_look(world: &World<'_>) -> bool {
    suspects(world).any(|registration| is_in_doubt(world, registration))
}

/// What looks like an orphan at the first look. That a stopped task's registration is left says that nobody has seen to its job
/// yet, so none is deleted without a look at those tasks.
fn suspects<'w>(world: &'w World<'_>) -> impl Iterator<Item = &'w Registration<'w>> {
    let is_old = |registration: &&Registration<'_>| world.now - registration.origin.born_at > GRACE;
    let is_ours = |registration: &&Registration<'_>| {
        !is_seen_to(world, (registration.origin.job_id, registration.origin.attempt))
    };
    world
        .offline
        .iter()
        .filter(|_| !world.seen.lacks_stopped)
        .filter(is_old)
        .filter(is_ours)
        .filter(|registration| !world.running.includes(registration))
}

fn is_in_doubt(world: &World<'_>, registration: &Registration<'_>) -> bool {
    registration.runner.version.is_none() || world.seen.places[registration.place].after_tasks
}

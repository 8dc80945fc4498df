//! What to do, as pure functions of what was seen and the time.
//!
//! Nothing is ever done about what was not seen: a place whose registrations could not be listed is as good as unknown,
//! and so is a task that does not say which registration it runs. A planner asks one index, [`World`], which a pass builds
//! once from what it saw, [`Seen`].
//!
//! | while | a pass waits out |
//! |---|---|
//! | a runner is registered, and its task is not started or not listed yet | [`GRACE`] since its birth; for a runner that never connected also [`SECOND_LOOK_AFTER`] |
//! | a task is listed, and its runner has not connected | its class's `start_minutes`, usually [`NEVER_CAME`]; only a runner that was seen online is idle |
//! | a runner has a job, and `busy` does not say so | its class's `idle_minutes`, at least [`BETWEEN_LOOKS`]; and GitHub refuses to delete its registration |
//! | a job has ended, its registration is gone, and the container has not ended | [`GONE_FOR`] between two looks |
//! | GitHub denies access to a task's place | [`PLACE_GONE_FOR`] between two looks |
//! | a job is queued, and its delivery or its task is on the way | [`WORTH_LISTING`] |
//! | a delivery failed, and GitHub's log is not complete | a minute; nothing is repeated if the log since then is missing |

mod action;
mod deliveries;
mod interval;
mod jobs;
mod links;
mod pools;
mod question;
mod registrations;
mod repositories;
mod schedule;
mod seen;
mod tasks;
#[cfg(test)]
mod tests;
mod warm;
mod world;

pub use action::{Action, Useless};
pub use deliveries::{Due, LOOK_BACK, Redeliveries, due, log_needed, plan_redeliveries};
pub(crate) use interval::rotate;
pub use interval::{GONE_FOR, PASS_INTERVAL};
pub use jobs::{WORTH_LISTING, questions, without_queued};
pub use pools::RENEWED_AFTER;
pub use question::{Cause, Left, MOST_LAUNCHES, Question, Repair, plan_repair, question_of};
pub use registrations::{GRACE, SECOND_LOOK_AFTER, needs_second_look};
pub use repositories::{
    IN_TURN, MOST_PAGES, MOST_POINTS, MOST_PUSHED, MOST_WITH_TASKS, pages, pass_number, pushed, turn,
};
pub use schedule::check_time_zones;
pub use seen::{Seen, SeenPlace, Settings, Working};
pub use tasks::{BETWEEN_LOOKS, NEVER_CAME, PLACE_GONE_FOR};
pub use warm::plan_warm;
pub use world::World;

/// What to do about registrations and tasks.
pub fn plan_cleanup(world: &World<'_>) -> Vec<Action> {
    let mut actions = tasks::plan(world);
    actions.extend(registrations::plan(world));
    actions
}

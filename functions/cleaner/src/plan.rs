//! What is to be done, as pure functions of what was seen and the time.
//!
//! Nothing is ever done about what was not seen: a place whose registrations could not be listed is as good as unknown,
//! and so is a task that does not say which registration it runs.

mod deliveries;
mod jobs;
mod registrations;
mod tasks;
#[cfg(test)]
mod tests;

use jitgate::classes::RunnerClasses;
use jitgate::ecs::{TaskArn, TaskView};
use jitgate::github::{Place, Runner, Scope};
use jitgate::job::RunnerId;
use jitgate::names::NamePrefix;
use time::OffsetDateTime;

pub use deliveries::{LOOK_BACK, MOST_TRIES, plan_redeliveries};
pub use jobs::{MOST_ATTEMPTS, Question, Repair, backoff, plan_repair, question_of, questions};
pub use registrations::GRACE;
pub use tasks::{BETWEEN_LOOKS, GONE_FOR, NEVER_CAME};

/// The settings that planning depends on.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// What all our names begin with.
    pub prefix: &'a NamePrefix,
    /// Idle limits and lifetimes.
    pub classes: &'a RunnerClasses,
}

/// What was seen, in this order: registrations first, tasks after them. So every registration seen had its task, if it
/// got one, in time to be listed.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Places whose registrations could be listed.
    pub places: &'a [SeenPlace],
    /// Our live tasks.
    pub live: &'a [TaskView],
    /// Our tasks that have stopped within the last hour or so.
    pub stopped: &'a [TaskView],
}

/// A scope and its registrations.
#[derive(Clone, Debug)]
pub struct SeenPlace {
    /// Where.
    pub place: Place,
    /// All of them, ours or not.
    pub runners: Vec<Runner>,
}

/// One thing to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Delete a registration that no runner will use any more.
    DeleteRegistration {
        /// Index of its place.
        place: usize,
        /// Its id.
        id: RunnerId,
        /// Its name.
        name: String,
    },
    /// Note on a task since when something is so, or take the note away.
    Note {
        /// The task.
        task: TaskArn,
        /// The tag.
        key: &'static str,
        /// Since when; `None` takes the note away.
        moment: Option<OffsetDateTime>,
    },
    /// Delete a registration, and only if GitHub agrees, stop its task.
    Retire {
        /// Index of the registration's place.
        place: usize,
        /// Its id.
        id: RunnerId,
        /// The task.
        task: TaskArn,
        /// Why.
        reason: &'static str,
    },
    /// Stop a task.
    Stop {
        /// The task.
        task: TaskArn,
        /// Why.
        reason: &'static str,
    },
}

/// Plans everything that follows from the lists alone.
pub fn plan_cleanup(now: OffsetDateTime, settings: Settings<'_>, seen: Seen<'_>) -> Vec<Action> {
    let mut actions = registrations::plan(now, settings, seen);
    actions.extend(tasks::plan(now, settings, seen));
    actions
}

impl Seen<'_> {
    /// The place where a task's runner is registered; `None` if it is not known or could not be listed.
    fn place_of(&self, task: &TaskView) -> Option<(usize, &SeenPlace)> {
        let (owner, name) = task.repository.as_deref()?.split_once('/')?;
        self.places.iter().enumerate().find(|(_, seen)| match &seen.place.scope {
            Scope::Organization(login) => login.eq_ignore_ascii_case(owner),
            Scope::Repository { owner: of, name: called } => {
                of.eq_ignore_ascii_case(owner) && called.eq_ignore_ascii_case(name)
            }
        })
    }
}

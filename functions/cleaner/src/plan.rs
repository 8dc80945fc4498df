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
mod warm;

use std::collections::HashMap;

use jitgate::classes::RunnerClasses;
use jitgate::ecs::{TaskArn, TaskView};
use jitgate::github::{Place, Runner, Scope};
use jitgate::job::{JobId, Message, RunnerId};
use jitgate::names::NamePrefix;
use time::OffsetDateTime;

pub use deliveries::{LOOK_BACK, MOST_TRIES, candidates, plan_redeliveries};
pub(crate) use jobs::ended_by_itself;
pub use jobs::{
    Cause, MOST_ATTEMPTS, Question, Repair, WORTH_LISTING, backoff, plan_repair, question_of, questions, without_queued,
};
pub use registrations::{GRACE, SECOND_LOOK_AFTER, needs_second_look};
pub use tasks::{BETWEEN_LOOKS, GONE_FOR, NEVER_CAME};
pub use warm::{RENEWED_AFTER, check_time_zones, plan_warm};

/// The settings that planning depends on.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// What all our names begin with.
    pub prefix: &'a NamePrefix,
    /// Idle limits and lifetimes.
    pub classes: &'a RunnerClasses,
}

/// What was seen, in this order: registrations, tasks, jobs, and the tasks once more where that matters. So every
/// registration seen had its task, if it got one, in time to be listed.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Places whose registrations could be listed.
    pub places: &'a [SeenPlace],
    /// Our live tasks.
    pub live: &'a [TaskView],
    /// Our live tasks at a look that came [`SECOND_LOOK_AFTER`] later, if there was one.
    pub live_later: Option<&'a [TaskView]>,
    /// Our tasks that have stopped within the last hour or so.
    pub stopped: &'a [TaskView],
    /// Which job a runner has, by the runner's name, as far as jobs in progress were listed. Ids are unique only within a
    /// place, and a job does not say in which place its runner is registered.
    pub working: &'a HashMap<String, Working>,
    /// Jobs that were listed as queued.
    pub waiting: &'a [Waiting],
}

/// A scope and its registrations.
#[derive(Clone, Debug)]
pub struct SeenPlace {
    /// Where.
    pub place: Place,
    /// All of them that may be ours.
    pub runners: Vec<Runner>,
    /// They were listed only after the tasks.
    pub after_tasks: bool,
}

/// A job that a runner has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Working {
    /// The job.
    pub job: JobId,
    /// `owner/name` of its repository.
    pub repository: String,
}

/// A job that GitHub lists as queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The message with which a delivery would have told us of it.
    pub message: Message,
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
        because: Useless,
    },
    /// Stop a task whose registration is gone, if it still is.
    StopUnregistered {
        /// Index of the place where it was registered.
        place: usize,
        /// The registration's id.
        id: RunnerId,
        /// The task.
        task: TaskArn,
    },
    /// Stop a task, whatever its runner does.
    Stop {
        /// The task.
        task: TaskArn,
        /// Why.
        reason: &'static str,
    },
}

/// Why a runner is retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Useless {
    /// It has not come for so long that it never will.
    NeverConnected,
    /// It has had no job for as long as its class permits.
    Idle,
}

impl Useless {
    /// In words, for ECS and the log.
    pub fn words(self) -> &'static str {
        match self {
            Self::NeverConnected => "jitgate: its runner never connected",
            Self::Idle => "jitgate: its runner has no job",
        }
    }

    /// Whether it still holds, by a look at the registration right before; `None` if that is gone.
    pub fn holds(self, runner: Option<&Runner>) -> bool {
        runner.is_none_or(|runner| match self {
            Self::NeverConnected => runner.never_connected(),
            Self::Idle => !runner.busy,
        })
    }
}

/// Plans everything that follows from the lists of registrations and tasks.
pub fn plan_cleanup(now: OffsetDateTime, settings: Settings<'_>, seen: Seen<'_>) -> Vec<Action> {
    let mut actions = tasks::plan(now, settings, seen);
    actions.extend(registrations::plan(now, settings, seen));
    actions
}

/// Where a list begins in a pass, so that nothing waits for ever behind a pass whose time or points ran out. About a third
/// of the list further on each time, since a pass may come that far; every element is the first in turn, since the step has
/// no divisor in common with the length.
pub(crate) fn beginning(pass: usize, len: usize) -> usize {
    let is_coprime = |step: &usize| greatest_common_divisor(*step, len) == 1;
    let step = (len / 3 + 1..=len + 1).find(is_coprime).unwrap_or(1);
    if len == 0 { 0 } else { (pass % len) * step % len }
}

fn greatest_common_divisor(one: usize, other: usize) -> usize {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

/// Finds places by what tasks say.
struct Places {
    by_key: HashMap<String, usize>,
    /// Where all organisations' runners are registered.
    enterprise: Option<usize>,
}

impl Places {
    fn of(places: &[SeenPlace]) -> Self {
        let of_enterprise = |seen: &SeenPlace| matches!(seen.place.scope, Scope::Enterprise(_));
        let keys = places.iter().enumerate();
        let keys = keys.filter_map(|(index, seen)| Some((key(&seen.place.scope)?, index)));
        Self { by_key: keys.collect(), enterprise: places.iter().position(of_enterprise) }
    }

    /// The index of the place where a task's runner is registered; `None` if it is not known or could not be listed.
    fn find(&self, task: &TaskView) -> Option<usize> {
        let of_message = task.message.as_ref().map(|message| message.job.full_name());
        let repository = task.repository.clone().or(of_message)?.to_lowercase();
        let owner = repository.split_once('/')?.0;
        let of_organization = task.message.as_ref().is_some_and(|message| message.job.organization.is_some());
        let enterprise = self.enterprise.filter(|_| of_organization);
        self.by_key.get(owner).or_else(|| self.by_key.get(&repository)).copied().or(enterprise)
    }
}

fn key(scope: &Scope) -> Option<String> {
    match scope {
        Scope::Enterprise(_) => None,
        Scope::Organization(login) => Some(login.to_lowercase()),
        Scope::Repository { owner, name } => Some(format!("{owner}/{name}").to_lowercase()),
    }
}

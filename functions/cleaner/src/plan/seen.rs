//! What a pass saw, and the settings by which it is judged.

use std::collections::HashMap;

use jitgate::classes::RunnerClasses;
use jitgate::ecs::TaskView;
use jitgate::github::{Place, Runner};
use jitgate::job::{JobId, Message};
use jitgate::names::NamePrefix;

/// The settings that planning depends on.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// The prefix of every name that this deployment makes.
    pub prefix: &'a NamePrefix,
    /// Idle limits, lifetimes and warm runners.
    pub classes: &'a RunnerClasses,
}

/// What a pass saw: registrations first, tasks after them, then jobs. So each registration seen had its task, if it got
/// one, in time to be listed.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The places whose registrations could be listed.
    pub places: Vec<SeenPlace>,
    /// The places of live tasks to which GitHub denies access, and which it does not list.
    pub gone: Vec<Place>,
    /// Our live tasks.
    pub live: Vec<TaskView>,
    /// Our tasks that stopped within about the last hour.
    pub stopped: Vec<TaskView>,
    /// Whether the stopped tasks could not be listed.
    pub lacks_stopped: bool,
    /// Which job a runner has, by the runner's name, as far as jobs in progress were listed. An id would not do: it is
    /// unique only within a place, and a job does not say where its runner is registered.
    pub working: HashMap<String, Working>,
    /// The messages of the jobs that GitHub lists as queued, as the webhook would have made them.
    pub waiting: Vec<Message>,
}

/// A place and its registrations.
#[derive(Clone, Debug)]
pub struct SeenPlace {
    /// The place.
    pub place: Place,
    /// All registrations that may be ours.
    pub runners: Vec<Runner>,
    /// Whether they were listed only after the tasks.
    pub after_tasks: bool,
    /// Whether its account's jobs are taken.
    pub is_served: bool,
}

/// A job that a runner has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Working {
    /// The job.
    pub job: JobId,
    /// `owner/name` of its repository.
    pub repository: String,
}

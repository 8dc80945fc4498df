//! What the runners of each class do: ECS knows which tasks there are, GitHub which runners have a job.

use std::collections::{BTreeMap, HashMap};

use jitgate::names::{LaunchToken, NamePrefix};
use serde::Serialize;

use crate::aws::RunnerTask;

/// The runners of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Count {
    /// Tasks whose containers do not run yet.
    pub(super) starting: u64,
    /// Tasks whose containers run.
    pub(super) running: u64,
    /// What GitHub says of those that run.
    #[serde(flatten)]
    pub(super) at_github: Option<AtGitHub>,
}

/// What GitHub says of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its runner is not connected.
    Offline,
    /// It has no job.
    Idle,
    /// It has one.
    Busy,
}

/// What GitHub says of runners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct AtGitHub {
    /// They are not connected.
    pub(super) connecting: u64,
    /// They have no job.
    pub(super) idle: u64,
    /// They have one.
    pub(super) busy: u64,
    /// They are kept ready, and have none.
    pub(super) warm: u64,
    /// GitHub has no registration of them any more: their job is done.
    pub(super) ending: u64,
}

/// Counts the tasks of each class. `states` has the registrations by name; `None` if GitHub could not be asked.
pub(super) fn count(
    tasks: &[RunnerTask],
    states: Option<&HashMap<String, State>>,
    prefix: &NamePrefix,
) -> BTreeMap<String, Count> {
    let mut classes: BTreeMap<String, Count> = BTreeMap::new();
    for task in tasks {
        let count = classes.entry(task.class.clone()).or_default();
        if let Some(states) = states {
            let seen = count.at_github.get_or_insert_default();
            let is_warm = LaunchToken::parse(prefix, &task.started_by).is_some_and(|(job, _)| job.is_warm());
            let state = task.runner.as_ref().and_then(|name| states.get(name));
            match (task.is_running, state) {
                (false, _) => {}
                (true, Some(State::Offline)) => seen.connecting += 1,
                (true, Some(State::Busy)) => seen.busy += 1,
                (true, Some(State::Idle)) if is_warm => seen.warm += 1,
                (true, Some(State::Idle)) => seen.idle += 1,
                (true, None) => seen.ending += 1,
            }
        }
        if task.is_running {
            count.running += 1;
        } else {
            count.starting += 1;
        }
    }
    classes
}

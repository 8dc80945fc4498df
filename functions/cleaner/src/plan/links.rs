//! What belongs to a task: its launch, the place and the registration of its runner, and the job that the runner has.

use std::collections::HashMap;

use jitgate::ecs::TaskView;
use jitgate::github::{Runner, Scope};
use jitgate::job::{Attempt, JobId, RunnerId};
use jitgate::names::{LaunchToken, NamePrefix};

use super::seen::{Seen, SeenPlace, Working};

/// A task, and what belongs to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task<'a> {
    pub(super) view: &'a TaskView,
    pub(super) launch: Option<(JobId, Attempt)>,
    /// Index of the place where its runner is registered; `None` if that is unknown or was not listed.
    pub(super) place: Option<usize>,
    /// Its runner's registration; `None` if its place does not list it.
    pub(super) runner: Option<&'a Runner>,
    /// The job that its runner has, if that job was listed.
    pub(super) working: Option<&'a Working>,
}

impl Task<'_> {
    /// Whether its runner has a job: `busy` lags, and was seen false in the middle of one.
    pub(super) fn is_busy(&self) -> bool {
        self.runner.is_some_and(|runner| runner.busy) || self.working.is_some()
    }
}

/// Finds what belongs to a task.
pub(super) struct Links<'a> {
    pub(super) seen: &'a Seen,
    prefix: &'a NamePrefix,
    places: HashMap<String, usize>,
    /// Where the runners of all organizations are registered.
    enterprise: Option<usize>,
    registrations: HashMap<(usize, RunnerId), &'a Runner>,
}

impl<'a> Links<'a> {
    pub(super) fn of(prefix: &'a NamePrefix, seen: &'a Seen) -> Self {
        let places = || seen.places.iter().enumerate();
        let of_enterprise = |seen: &SeenPlace| matches!(seen.place.scope, Scope::Enterprise(_));
        let registrations =
            places().flat_map(|(at, listed)| listed.runners.iter().map(move |each| ((at, each.id), each)));
        Self {
            seen,
            prefix,
            places: places().filter_map(|(at, listed)| Some((key(&listed.place.scope)?, at))).collect(),
            enterprise: seen.places.iter().position(of_enterprise),
            registrations: registrations.collect(),
        }
    }

    /// A task, with what belongs to it.
    pub(super) fn task(&self, view: &'a TaskView) -> Task<'a> {
        let place = self.place_of(view);
        let runner = place.zip(view.runner_id).and_then(|key| self.registrations.get(&key).copied());
        let name = runner.map(|runner| runner.name.as_str()).or(view.runner_name.as_deref());
        Task {
            view,
            launch: LaunchToken::parse(self.prefix, &view.started_by),
            place,
            runner,
            working: name.and_then(|name| self.seen.working.get(name)),
        }
    }

    fn place_of(&self, task: &TaskView) -> Option<usize> {
        let of_message = || task.message.as_ref().map(|message| message.job.full_name());
        let repository = task.repository.clone().or_else(of_message)?.to_lowercase();
        let owner = repository.split_once('/')?.0;
        let of_organization = task.message.as_ref().is_some_and(|message| message.job.organization.is_some());
        let enterprise = self.enterprise.filter(|_| of_organization);
        self.places.get(owner).or_else(|| self.places.get(&repository)).copied().or(enterprise)
    }

    /// The place of a class's warm runners. Without a name, the enterprise or the only place.
    pub(super) fn place_named(&self, name: Option<&str>) -> Option<usize> {
        match name {
            Some(name) => self.places.get(&name.to_lowercase()).copied(),
            None => self.enterprise.or((self.seen.places.len() == 1).then_some(0)),
        }
    }
}

fn key(scope: &Scope) -> Option<String> {
    match scope {
        Scope::Enterprise(_) => None,
        Scope::Organization(login) => Some(login.to_lowercase()),
        Scope::Repository { owner, name } => Some(format!("{owner}/{name}").to_lowercase()),
    }
}

//! What belongs to a task: its launch, the place and the registration of its runner, and the job that the runner has.

use std::collections::{HashMap, HashSet};

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
    /// Whether GitHub denies access to that place.
    pub(super) is_gone: bool,
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
    /// The places of registrations, by their names. A name is derived from a job and a moment, so no two places have it.
    by_name: HashMap<&'a str, usize>,
    gone: HashSet<String>,
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
            by_name: places()
                .flat_map(|(at, listed)| listed.runners.iter().map(move |each| (each.name.as_str(), at)))
                .collect(),
            gone: seen.gone.iter().filter_map(|place| key(&place.scope)).collect(),
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
            is_gone: place.is_none() && self.is_gone(view),
            runner,
            working: name.and_then(|name| self.seen.working.get(name)),
        }
    }

    /// A repository or an organization may have been renamed since: then its registrations stand under the new name.
    fn place_of(&self, task: &TaskView) -> Option<usize> {
        let names = Self::names_of(task)?;
        let of_organization = task.message.as_ref().is_some_and(|message| message.job.organization.is_some());
        let enterprise = self.enterprise.filter(|_| of_organization);
        let place = names.iter().find_map(|name| self.places.get(name).copied());
        place.or(enterprise).or_else(|| self.by_name.get(task.runner_name.as_deref()?).copied())
    }

    fn is_gone(&self, task: &TaskView) -> bool {
        Self::names_of(task).is_some_and(|names| names.iter().any(|name| self.gone.contains(name)))
    }

    /// What its place may be called: the owner or the repository.
    fn names_of(task: &TaskView) -> Option<[String; 2]> {
        let of_message = || task.message.as_ref().map(|message| message.job.full_name());
        let repository = task.repository.clone().or_else(of_message)?.to_lowercase();
        let owner = repository.split_once('/')?.0.to_owned();
        Some([owner, repository])
    }

    /// The place of a class's warm runners. Without a name, the enterprise or the only place.
    pub(super) fn place_named(&self, name: Option<&str>) -> Option<usize> {
        let is_served = |at: &usize| self.seen.places[*at].is_served;
        if let Some(name) = name {
            return self.places.get(&name.to_lowercase()).copied().filter(is_served);
        }
        let mut served = (0..self.seen.places.len()).filter(is_served);
        let first = served.next();
        self.enterprise.or_else(|| first.filter(|_| served.next().is_none()))
    }
}

fn key(scope: &Scope) -> Option<String> {
    match scope {
        Scope::Enterprise(_) => None,
        Scope::Organization(login) => Some(login.to_lowercase()),
        Scope::Repository { owner, name } => Some(format!("{owner}/{name}").to_lowercase()),
    }
}

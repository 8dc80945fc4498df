//! Ends the runners: those without a job at once, the others when their jobs end or at once, as the user wants.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use jitgate::names::{NamePrefix, RunnerOrigin};
use secrecy::SecretString;
use tokio::time::Instant;

use crate::args::Running;
use crate::aws::{Aws, RunnerTask};
use crate::github::{Installation, Runner, SignedIn};
use crate::screen::Screen;
use crate::trouble::Trouble;

/// GitHub shows a job's start up to a minute late, so a runner counts as idle only when it was seen so for longer.
const IDLE_FOR: Duration = Duration::from_secs(75);

/// A stand-in shows it at once.
const IDLE_FOR_LOCALLY: Duration = Duration::from_secs(2);

const LOOK_EVERY: Duration = Duration::from_secs(10);
const LOOK_EVERY_LOCALLY: Duration = Duration::from_secs(1);

/// After its task was stopped, GitHub shows a runner as busy until the job's lease ends, about ten minutes.
const STOPPED_PATIENCE: Duration = Duration::from_mins(20);

/// The runners of a fleet.
pub(super) struct Jobs<'a> {
    pub(super) aws: &'a Aws,
    pub(super) screen: &'a Screen,
    pub(super) cluster: String,
    /// What the names of its runners begin with.
    pub(super) prefix: NamePrefix,
    pub(super) in_repositories: bool,
    pub(super) app: Option<&'a SignedIn>,
}

/// A registration, and how to delete it.
struct Registered {
    place: String,
    token: SecretString,
    runner: Runner,
}

/// What GitHub shows of the fleet's runners.
#[derive(Default)]
struct Shown {
    registered: Vec<Registered>,
    /// The places that were looked at.
    places: HashSet<String>,
    /// The accounts whose installation is suspended: GitHub does not show their runners.
    suspended: BTreeSet<String>,
}

/// The tasks that may run a job, for all that can be seen. Nobody stops them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hidden {
    pub(super) tasks: Vec<String>,
    pub(super) suspended: BTreeSet<String>,
}

impl Jobs<'_> {
    /// Ends all runners and deletes their registrations. Returns the tasks that were left because GitHub does not show
    /// whether they run a job.
    pub(super) async fn end(&self, running: Running) -> Result<Hidden, Trouble> {
        if running == Running::Stop {
            self.stop(self.aws.tasks(&self.cluster).await?).await?;
        }
        let Some(app) = self.app else {
            self.wait_for_tasks().await?;
            return Ok(Hidden::default());
        };
        let (idle_for, pause) =
            if self.aws.is_emulated() { (IDLE_FOR_LOCALLY, LOOK_EVERY_LOCALLY) } else { (IDLE_FOR, LOOK_EVERY) };
        let mut waiting = self.screen.wait("waiting for jobs to end");
        let mut idle_since: HashMap<(String, u64), Instant> = HashMap::new();
        let mut over_before: Vec<String> = Vec::new();
        let began = Instant::now();
        let hidden = loop {
            // Before the registrations: each task was registered before it was started. So one that is listed here and
            // has no registration afterwards runs no job and never will.
            let tasks = self.aws.runner_tasks(&self.cluster).await?;
            let shown = self.shown(app).await?;
            let busy = shown.registered.iter().filter(|each| each.runner.busy).count();
            for each in &shown.registered {
                let key = (each.place.clone(), each.runner.id);
                if each.runner.busy {
                    idle_since.remove(&key);
                } else if idle_since.entry(key).or_insert_with(Instant::now).elapsed() >= idle_for {
                    // GitHub itself refuses to delete one that has just become busy; it is looked at again.
                    let deleted = app.delete_runner(&each.token, &each.place, each.runner.id).await;
                    deleted.or_else(|trouble| match trouble.status {
                        Some(status) if status.as_u16() == 422 => Ok(()),
                        _ => Err(trouble),
                    })?;
                }
            }
            if shown.registered.is_empty() {
                let (over, hidden) = Self::sorted(tasks, &shown.places, running);
                if over.is_empty() {
                    break Hidden { tasks: hidden, suspended: shown.suspended };
                }
                // A list that is read while others register and leave may skip one, but hardly twice.
                self.stop(over.iter().filter(|task| over_before.contains(*task)).cloned().collect()).await?;
                over_before = over;
                tokio::time::sleep(pause).await;
                continue;
            }
            over_before.clear();
            if running == Running::Stop && began.elapsed() > STOPPED_PATIENCE {
                return Err(Trouble::failed(
                    format!("GitHub still shows {busy} runners as busy, though their tasks were stopped"),
                    "run the command again in an hour; GitHub deletes them after a day by itself",
                ));
            }
            let idle = shown.registered.len() - busy;
            waiting.tell(format!("waiting for {busy} jobs to end, and for {idle} runners to go"));
            tokio::time::sleep(pause).await;
        };
        let where_seen = if hidden.suspended.is_empty() { "" } else { ", as far as GitHub shows them" };
        waiting.done(format!("no runner is registered any more{where_seen}"));
        Ok(hidden)
    }

    /// The tasks that run no job, and those of which nobody knows: their registrations are where GitHub shows nothing.
    fn sorted(tasks: Vec<RunnerTask>, seen: &HashSet<String>, running: Running) -> (Vec<String>, Vec<String>) {
        let (over, hidden): (Vec<_>, Vec<_>) =
            tasks.into_iter().partition(|task| running == Running::Stop || is_seen(task.repository.as_deref(), seen));
        let arns = |tasks: Vec<RunnerTask>| tasks.into_iter().map(|task| task.arn).collect();
        (arns(over), arns(hidden))
    }

    async fn stop(&self, tasks: Vec<String>) -> Result<(), Trouble> {
        for task in tasks {
            self.aws.stop(&self.cluster, &task).await?;
        }
        Ok(())
    }

    /// Without GitHub, only the tasks can be seen.
    async fn wait_for_tasks(&self) -> Result<(), Trouble> {
        let mut waiting = self.screen.wait("waiting for tasks to end");
        loop {
            let count = self.aws.tasks(&self.cluster).await?.len();
            if count == 0 {
                waiting.done("no task runs any more");
                return Ok(());
            }
            waiting.tell(format!("waiting for {count} tasks to end"));
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn shown(&self, app: &SignedIn) -> Result<Shown, Trouble> {
        let mut found = Shown::default();
        for installation in app.installations().await? {
            if installation.suspended_at.is_some() {
                found.suspended.insert(installation.account.login);
                continue;
            }
            let token = app.token(installation.id, &installation.permissions).await?;
            for place in self.places(app, &installation, &token).await? {
                let runners = app.runners(&token, &place).await?.into_iter();
                let ours = runners.filter(|runner| is_ours(&runner.name, &self.prefix));
                let registered = ours.map(|runner| Registered { place: place.clone(), token: token.clone(), runner });
                found.registered.extend(registered);
                found.places.insert(place.to_lowercase());
            }
        }
        Ok(found)
    }

    async fn places(
        &self,
        app: &SignedIn,
        installation: &Installation,
        token: &SecretString,
    ) -> Result<Vec<String>, Trouble> {
        if installation.account.kind == "Organization" && !self.in_repositories {
            return Ok(vec![format!("orgs/{}", installation.account.login)]);
        }
        let repositories = app.repositories(token).await?.into_iter();
        Ok(repositories.map(|repository| format!("repos/{repository}")).collect())
    }
}

/// Whether the registration of a job's task, in the repository or its owner, would have been among what was looked at.
fn is_seen(repository: Option<&str>, places: &HashSet<String>) -> bool {
    repository.map(str::to_lowercase).is_some_and(|repository| {
        let owner = repository.split('/').next().unwrap_or_default();
        places.contains(&format!("repos/{repository}")) || places.contains(&format!("orgs/{owner}"))
    })
}

/// Whether this fleet can have made a runner of that name, by the rule of the functions.
fn is_ours(name: &str, prefix: &NamePrefix) -> bool {
    RunnerOrigin::parse(prefix, name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_runners_of_this_fleet_are_ended() {
        let prefix = NamePrefix::default();
        assert!(is_ours("jit-default-123-1-1793530800", &prefix));
        for other in ["jiteu-123-1", "jit", "mine-jit-1", "jiteu-default-123-1-1793530800", "jit-mac-mini"] {
            assert!(!is_ours(other, &prefix), "{other}");
        }
    }
    #[test]
    fn a_task_is_seen_only_where_its_registrations_place_was_looked_at() {
        let places = HashSet::from(["orgs/acme".to_owned(), "repos/mona/site".to_owned()]);
        for (repository, seen) in [
            (Some("acme/rockets"), true),
            (Some("Acme/Rockets"), true),
            (Some("mona/site"), true),
            (Some("mona/other"), false),
            (Some("globex/rockets"), false),
            (None, false),
        ] {
            assert_eq!(is_seen(repository, &places), seen, "{repository:?}");
        }
    }
}

//! Runner groups, which classes may name: their ids are found out, not configured.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use time::{Duration, OffsetDateTime};

use super::accounts::page_of;
use super::fetched::Fetched;
use super::{Account, GitHub, GitHubError, Scope};
use crate::classes::RunnerGroup;

/// The group that every scope has, and the only one of a repository.
const DEFAULT_GROUP: u64 = 1;

/// How that one is called, whatever the case.
const DEFAULT_NAME: &str = "default";

/// Most groups of a page. Source: GitHub's OpenAPI description.
const PAGE: usize = 100;

/// A name that was not there is not looked for again before: jobs that wait for somebody to make the group come about
/// as often.
const MISSING_LIFETIME: Duration = Duration::minutes(4);

/// What has been read, by scope. A name that was found stays: ids do not change, and one that GitHub does not know any
/// more is forgotten when a registration fails.
#[derive(Default)]
pub(super) struct Groups(Mutex<HashMap<Scope, Arc<Fetched<Arc<Known>>>>>);

struct Known {
    ids: HashMap<String, u64>,
    read_at: OffsetDateTime,
}

#[derive(Deserialize)]
struct GroupsJson {
    runner_groups: Vec<GroupJson>,
}

#[derive(Deserialize)]
struct GroupJson {
    id: u64,
    name: String,
    /// From the enterprise; an organisation's own group of that name goes before.
    #[serde(default)]
    inherited: bool,
}

impl Groups {
    fn of(&self, scope: &Scope) -> Arc<Fetched<Arc<Known>>> {
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(scope.clone()).or_default())
    }
}

impl GitHub {
    /// The id of the group that a class's registrations join. A name is looked up once for each scope and process,
    /// however many jobs need it at the same time.
    pub async fn runner_group(
        &self,
        account: &Account,
        scope: &Scope,
        group: &RunnerGroup,
    ) -> Result<u64, GitHubError> {
        let name = match group {
            RunnerGroup::Id(id) => return Ok(*id),
            RunnerGroup::Name(name) if name.eq_ignore_ascii_case(DEFAULT_NAME) => return Ok(DEFAULT_GROUP),
            RunnerGroup::Name(name) => name,
        };
        if matches!(scope, Scope::Repository { .. }) {
            let message = format!("the runner group {name:?}: a {scope} has only the default group");
            return Err(GitHubError::NotFound { message });
        }
        let says = |known: &Arc<Known>| {
            known.ids.contains_key(&name.to_lowercase()) || self.clock.now() - known.read_at < MISSING_LIFETIME
        };
        let read = async || {
            let read_at = self.clock.now();
            Ok(Arc::new(Known { ids: self.runner_groups(account, scope).await?, read_at }))
        };
        let known = self.groups.of(scope).get(says, read).await?;
        known.ids.get(&name.to_lowercase()).copied().ok_or_else(|| {
            let names = if known.ids.is_empty() { "none".to_owned() } else { sorted(&known.ids).join(", ") };
            GitHubError::NotFound { message: format!("the runner group {name:?}: {scope} has {names}") }
        })
    }

    /// A registration with such a group has failed, maybe for its sake.
    pub fn forget_runner_group(&self, scope: &Scope, group: &RunnerGroup) {
        if matches!(group, RunnerGroup::Name(_)) {
            self.groups.0.lock().unwrap_or_else(PoisonError::into_inner).remove(scope);
        }
    }

    async fn runner_groups(&self, account: &Account, scope: &Scope) -> Result<HashMap<String, u64>, GitHubError> {
        let mut path = scope.path();
        path.pop();
        path.push("runner-groups");
        let mut groups = Vec::new();
        for page in 1_u32.. {
            let call = page_of(path.clone(), page, scope.permission()).on_account_itself();
            let GroupsJson { runner_groups } = self.call(account, call).await?;
            let is_last = runner_groups.len() < PAGE;
            groups.extend(runner_groups);
            if is_last {
                break;
            }
        }
        groups.sort_by_key(|group| !group.inherited);
        Ok(groups.into_iter().map(|group| (group.name.to_lowercase(), group.id)).collect())
    }
}

fn sorted(ids: &HashMap<String, u64>) -> Vec<&str> {
    let mut names: Vec<_> = ids.keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

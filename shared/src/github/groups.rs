//! A scope's runner groups: their ids, looked up by name, and whom they admit.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use time::{Duration, OffsetDateTime};

use super::call::Call;
use super::error::GitHubError;
use super::fetched::Fetched;
use super::pages::{PageJson, Pages};
use super::place::Scope;
use super::registrations::AtPlace;
use crate::classes::RunnerGroup;

/// The group that every scope has, and the only one of a repository.
const DEFAULT_GROUP: u64 = 1;

/// The default group's name, in any case.
const DEFAULT_NAME: &str = "default";

/// How long a missing name is not looked up again. Jobs that wait for the group to be created are tried about as often.
const MISSING_LIFETIME: Duration = Duration::minutes(4);

/// One scope's groups as last read. A name that was found stays, because ids do not change. If GitHub no longer knows the
/// id, a registration fails and the client drops the whole copy.
#[derive(Default)]
pub(super) struct Groups(Fetched<Arc<Known>>);

struct Known {
    ids: HashMap<String, u64>,
    read_at: OffsetDateTime,
}

impl Groups {
    /// The id of the group with that name, or an error that lists the names there are. Reads the groups once for all calls
    /// at the same time.
    pub(super) async fn id(
        &self,
        name: &str,
        scope: &str,
        now: OffsetDateTime,
        read: impl AsyncFnOnce() -> Result<HashMap<String, u64>, GitHubError>,
    ) -> Result<u64, GitHubError> {
        let key = name.to_lowercase();
        let is_good = |known: &Arc<Known>| known.ids.contains_key(&key) || now - known.read_at < MISSING_LIFETIME;
        let known = self.0.get(is_good, async || Ok(Arc::new(Known { ids: read().await?, read_at: now }))).await?;
        known.ids.get(&key).copied().ok_or_else(|| {
            let names = if known.ids.is_empty() { "none".to_owned() } else { sorted(&known.ids).join(", ") };
            GitHubError::NotFound { message: format!("the runner group {name:?}: {scope} has {names}") }
        })
    }
}

#[derive(Deserialize)]
struct GroupsJson {
    runner_groups: Vec<GroupJson>,
}

#[derive(Deserialize)]
struct GroupJson {
    id: u64,
    name: String,
    /// It is the enterprise's. An organization's own group of the same name takes precedence.
    #[serde(default)]
    inherited: bool,
}

impl PageJson for GroupsJson {
    type Item = GroupJson;

    fn items(self) -> Vec<GroupJson> {
        self.runner_groups
    }
}

impl AtPlace<'_> {
    /// The id of a runner group. A name is looked up once for each scope and process.
    pub(super) async fn group_id(self, group: &RunnerGroup) -> Result<u64, GitHubError> {
        let name = match group {
            RunnerGroup::Id(id) => return Ok(*id),
            RunnerGroup::Name(name) if name.eq_ignore_ascii_case(DEFAULT_NAME) => return Ok(DEFAULT_GROUP),
            RunnerGroup::Name(name) => name,
        };
        let scope = self.scope();
        if matches!(scope, Scope::Repository { .. }) {
            let message = format!("the runner group {name:?}: a {scope} has only the default group");
            return Err(GitHubError::NotFound { message });
        }
        let now = self.github.clock().now();
        self.github.groups_of(scope).id(name, &scope.to_string(), now, async || self.ids_of_groups().await).await
    }

    async fn ids_of_groups(self) -> Result<HashMap<String, u64>, GitHubError> {
        let mut groups = self.groups(None).await?;
        // Inherited ones first, so that the organization's own replace them.
        groups.sort_by_key(|group| !group.inherited);
        Ok(groups.into_iter().map(|group| (group.name.to_lowercase(), group.id)).collect())
    }

    /// Whether jobs of a repository may use the runners of a group; `None` for runners of a repository, which are in no
    /// group that could be closed to it. An enterprise is asked about the repository's organization.
    pub async fn admits(self, group: &RunnerGroup, repository: &str) -> Result<Option<bool>, GitHubError> {
        let visible = match self.scope() {
            Scope::Organization(_) => ("visible_to_repository", repository.to_owned()),
            Scope::Enterprise(_) => ("visible_to_organization", self.place.account.login.clone()),
            Scope::Repository { .. } => return Ok(None),
        };
        let id = self.group_id(group).await?;
        Ok(Some(self.groups(Some(visible)).await?.iter().any(|group| group.id == id)))
    }

    async fn groups(self, visible: Option<(&'static str, String)>) -> Result<Vec<GroupJson>, GitHubError> {
        let mut path = self.scope().root();
        path.extend(["actions", "runner-groups"]);
        let mut call = Call::get(path, self.permission()).on_account_itself();
        call.query.extend(visible);
        Pages::numbered(self.github, self.caller(), call).collect::<GroupsJson>(|_| true).await
    }
}

fn sorted(ids: &HashMap<String, u64>) -> Vec<&str> {
    let mut names: Vec<_> = ids.keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

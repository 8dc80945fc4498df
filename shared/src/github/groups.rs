//! The ids of a scope's runner groups, looked up by name.

use std::collections::HashMap;
use std::sync::Arc;

use time::{Duration, OffsetDateTime};

use super::error::GitHubError;
use super::fetched::Fetched;

/// The group that every scope has, and the only one of a repository.
pub(super) const DEFAULT_GROUP: u64 = 1;

/// The default group's name, in any case.
pub(super) const DEFAULT_NAME: &str = "default";

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

fn sorted(ids: &HashMap<String, u64>) -> Vec<&str> {
    let mut names: Vec<_> = ids.keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

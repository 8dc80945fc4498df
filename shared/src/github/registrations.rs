//! The registrations of a place.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::call::{Call, Caller};
use super::client::GitHub;
use super::error::GitHubError;
use super::pages::{PageJson, Pages};
use super::place::{Place, Scope};
use super::repeat::Repeats;
use crate::classes::RunnerGroup;
use crate::job::RunnerId;
use crate::names::RunnerName;

/// What a registration is requested with.
#[derive(Clone, Copy, Debug)]
pub struct JitRequest<'a> {
    /// At most 64 characters, unique in the scope.
    pub name: &'a RunnerName,
    /// The group that the registration joins.
    pub group: &'a RunnerGroup,
    /// 1 to 100; the runner carries these and no others.
    pub labels: &'a [String],
    /// Whether the job's message has waited before. If so, the request goes before those of other jobs.
    pub has_waited: bool,
}

/// How GitHub answered a request for a registration.
#[derive(Clone, Debug)]
pub enum Registered {
    /// The registration exists now, offline.
    New(JitConfig),
    /// A registration of that name exists: an earlier try's, or that of another worker on the same message.
    NameTaken,
}

/// The outcome of a request for a registration.
#[derive(Clone, Debug)]
pub struct Registration {
    /// GitHub's last answer.
    pub outcome: Result<Registered, GitHubError>,
    /// A try got no clear answer, so GitHub may make a registration of that name even later.
    pub is_doubtful: bool,
}

/// A registration for one job, and the configuration that starts its runner.
#[derive(Clone, Debug)]
pub struct JitConfig {
    /// The registration.
    pub runner_id: RunnerId,
    /// Base64, about 4 KB. It authorizes its holder to be that runner.
    pub encoded: SecretString,
}

/// A registration as GitHub lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Runner {
    /// The registration's id.
    pub id: RunnerId,
    /// The runner's name.
    pub name: String,
    /// Whether the runner is connected.
    #[serde(default)]
    pub status: RunnerStatus,
    /// Whether the runner has a job. It lags by up to a minute, and users saw it false in the middle of a job. A runner of
    /// which GitHub does not say so counts as busy, and so stays.
    #[serde(default = "busy_unless_told")]
    pub busy: bool,
    /// The runner's version; absent until the runner has connected once.
    #[serde(default)]
    pub version: Option<String>,
}

impl Runner {
    /// Whether the runner has never connected, and so cannot have a job.
    pub fn never_connected(&self) -> bool {
        self.status == RunnerStatus::Offline && !self.busy && self.version.is_none()
    }
}

fn busy_unless_told() -> bool {
    true
}

/// A runner's connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunnerStatus {
    /// Connected.
    Online,
    /// Not connected, either not yet or no longer.
    Offline,
    /// A word that this code does not know, or none; never taken for offline.
    #[default]
    #[serde(other)]
    Unknown,
}

/// The outcome of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// The registration is deleted.
    Deleted,
    /// The registration was already gone.
    Gone,
    /// GitHub refuses: the runner has a job, or had one a moment ago.
    Busy,
}

#[derive(Serialize)]
struct JitRequestJson<'a> {
    name: &'a str,
    runner_group_id: u64,
    labels: &'a [String],
}

#[derive(Deserialize)]
struct JitConfigJson {
    runner: RunnerIdJson,
    encoded_jit_config: SecretString,
}

#[derive(Deserialize)]
struct RunnerIdJson {
    id: RunnerId,
}

#[derive(Deserialize)]
struct RunnersJson {
    #[serde(default)]
    total_count: Option<usize>,
    runners: Vec<Runner>,
}

impl PageJson for RunnersJson {
    type Item = Runner;

    fn items(self) -> Vec<Runner> {
        self.runners
    }

    fn total(&self) -> Option<usize> {
        self.total_count
    }
}

/// The client for one place.
#[derive(Clone, Copy)]
pub struct AtPlace<'a> {
    pub(super) github: &'a GitHub,
    pub(super) place: &'a Place,
}

impl GitHub {
    /// The client for one place.
    pub fn at<'a>(&'a self, place: &'a Place) -> AtPlace<'a> {
        AtPlace { github: self, place }
    }
}

/// Whether GitHub refuses what the job itself asks for: its labels, or the name made of its class. GitHub answers 422 to such a
/// request, but also to requests that it takes for spam. Source: GitHub's OpenAPI description of `generate-jitconfig`.
fn speaks_of_the_request(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("label") || message.contains("name")
}

impl<'a> AtPlace<'a> {
    pub(super) fn caller(self) -> Caller<'a> {
        Caller::Account(&self.place.account)
    }

    pub(super) fn scope(self) -> &'a Scope {
        &self.place.scope
    }

    pub(super) fn permission(self) -> &'static str {
        self.place.scope.permission()
    }

    /// Registers a runner for one job. The registration exists, offline, from the moment GitHub answers, even if the answer
    /// is lost.
    pub async fn register(self, request: &JitRequest<'_>) -> Registration {
        let runner_group_id = match self.group_id(request.group).await {
            Ok(id) => id,
            Err(error) => return Registration { outcome: Err(error), is_doubtful: false },
        };
        let body = JitRequestJson { name: request.name.as_str(), runner_group_id, labels: request.labels };
        let path = self.scope().runners(["generate-jitconfig"]);
        let call = Call::post(path, self.permission(), &body).on_account_itself().in_turn(request.has_waited);
        let mut repeats = Repeats::default();
        let outcome = match self.github.call_repeatedly::<JitConfigJson>(self.caller(), &call, &mut repeats).await {
            Ok(answer) => {
                let JitConfigJson { runner, encoded_jit_config: encoded } = answer.body;
                Ok(Registered::New(JitConfig { runner_id: runner.id, encoded }))
            }
            Err(GitHubError::Refused { status: 409, .. }) => Ok(Registered::NameTaken),
            Err(GitHubError::Refused { status, message }) if speaks_of_the_request(&message) => {
                Err(GitHubError::Rejected { status, message })
            }
            Err(error) => {
                if matches!((&error, request.group), (GitHubError::NotFound { .. }, RunnerGroup::Name(_))) {
                    self.github.forget_groups_of(self.scope());
                }
                Err(error)
            }
        };
        Registration { outcome, is_doubtful: repeats.is_doubtful }
    }

    /// The registration of exactly that name.
    pub async fn find(self, name: &RunnerName) -> Result<Option<Runner>, GitHubError> {
        self.named(name.as_str()).await
    }

    /// The same for a name that somebody noted. GitHub answers with a list, so a registration that is gone can be told from a
    /// credential that is too new to see it.
    pub async fn named(self, name: &str) -> Result<Option<Runner>, GitHubError> {
        let mut call = Call::get(self.scope().runners([]), self.permission()).on_account_itself();
        call.query = vec![("name", name.to_owned())];
        let answer: RunnersJson = self.github.call(self.caller(), &call).await?;
        Ok(answer.runners.into_iter().find(|runner| runner.name.eq_ignore_ascii_case(name)))
    }

    /// The registration of that id; `None` once it is gone.
    pub async fn runner(self, id: RunnerId) -> Result<Option<Runner>, GitHubError> {
        let id = id.to_string();
        let call = Call::get(self.scope().runners([id.as_str()]), self.permission());
        self.github.find(self.caller(), &call).await
    }

    /// All registrations that are wanted. GitHub lists a hundred in a call.
    pub async fn runners(self, is_wanted: impl Fn(&Runner) -> bool) -> Result<Vec<Runner>, GitHubError> {
        let call = Call::get(self.scope().runners([]), self.permission()).on_account_itself();
        Pages::numbered(self.github, self.caller(), call).collect::<RunnersJson>(is_wanted).await
    }

    /// Deletes a registration, unless GitHub knows that its runner is busy.
    pub async fn delete(self, id: RunnerId) -> Result<Deletion, GitHubError> {
        let id = id.to_string();
        self.send_deletion(&Call::delete(self.scope().runners([id.as_str()]), self.permission())).await
    }

    /// The same for a deletion that can wait, so that launches go first: [`GitHubError::Paced`] says until when.
    /// `has_waited`: this deletion has waited for such a moment.
    pub async fn delete_in_turn(self, id: RunnerId, has_waited: bool) -> Result<Deletion, GitHubError> {
        let id = id.to_string();
        let call = Call::delete(self.scope().runners([id.as_str()]), self.permission()).in_turn(has_waited);
        self.send_deletion(&call).await
    }

    async fn send_deletion(self, call: &Call<'_>) -> Result<Deletion, GitHubError> {
        match self.github.call::<()>(self.caller(), call).await {
            Ok(()) => Ok(Deletion::Deleted),
            Err(GitHubError::NotFound { .. }) => Ok(Deletion::Gone),
            Err(GitHubError::Refused { status: 422, .. }) => Ok(Deletion::Busy),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runner_of_which_github_says_too_little_counts_as_busy() {
        let runner: Runner = serde_json::from_str(r#"{"id":7,"name":"jit-default-1-1-1793530800"}"#).expect("readable");
        assert_eq!((runner.status, runner.busy, runner.never_connected()), (RunnerStatus::Unknown, true, false));
    }

    #[test]
    fn only_words_about_the_request_make_a_refusal_final() {
        for (message, is_final) in [
            ("Validation Failed; Labels is invalid", true),
            ("Validation Failed; field: name, code: invalid", true),
            ("Validation failed, or the endpoint has been spammed.", false),
            ("Problems parsing JSON", false),
            ("", false),
        ] {
            assert_eq!(speaks_of_the_request(message), is_final, "{message}");
        }
    }
}

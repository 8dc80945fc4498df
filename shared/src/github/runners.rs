//! Registrations, and the jobs they are for.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{Account, Call, GitHub, GitHubError, Pace, Scope};
use crate::job::RunnerId;
use crate::names::RunnerName;

/// Most registrations a page can hold. Source: GitHub's OpenAPI description.
const PAGE: usize = 100;

/// What a registration is asked for with.
#[derive(Clone, Debug, Serialize)]
pub struct JitRequest<'a> {
    /// At most 64 characters, unique in the scope.
    pub name: &'a RunnerName,
    /// 1 is the default group.
    pub runner_group_id: u64,
    /// 1 to 100; the runner answers to these and no others.
    pub labels: &'a [String],
    /// Whether the job has been told to come back before; then it goes before newcomers.
    #[serde(skip)]
    pub has_waited: bool,
}

/// A registration good for one job, and the configuration that starts its runner.
#[derive(Clone, Debug)]
pub struct JitConfig {
    /// The registration.
    pub runner_id: RunnerId,
    /// Base64; about 4 KB. Whoever has it can be that runner.
    pub encoded: SecretString,
}

/// A registration as GitHub lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Runner {
    /// Its id.
    pub id: RunnerId,
    /// Its name.
    pub name: String,
    /// Whether its runner is connected.
    pub status: RunnerStatus,
    /// Whether it has a job; lags by up to a minute and was seen false in the middle of one.
    pub busy: bool,
    /// The runner's version; absent until it has connected once.
    #[serde(default)]
    pub version: Option<String>,
}

impl Runner {
    /// Whether its runner has never been there, and so cannot have a job.
    pub fn never_connected(&self) -> bool {
        self.status == RunnerStatus::Offline && !self.busy && self.version.is_none()
    }
}

/// Whether a registration's runner is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunnerStatus {
    /// Connected.
    Online,
    /// Not connected: not yet, or not any more.
    Offline,
    /// Some word this code does not know; never taken for offline.
    #[serde(other)]
    Unknown,
}

/// What became of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It is deleted.
    Deleted,
    /// It was gone before.
    Gone,
    /// GitHub refuses, since the runner has a job or had one a moment ago.
    Busy,
}

impl Serialize for RunnerName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

fn deletion<'a>(scope: &'a Scope, id: &'a str) -> Call<'a> {
    let mut path = scope.path();
    path.push(id);
    let mut call = Call::get(path, scope.permission());
    call.method = reqwest::Method::DELETE;
    call
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
    total_count: usize,
    runners: Vec<Runner>,
}

impl GitHub {
    /// Registers a runner for one job. The registration is there, offline, from the moment GitHub answers, or even
    /// when its answer is lost.
    pub async fn generate_jit_config(
        &self,
        account: &Account,
        scope: &Scope,
        request: &JitRequest<'_>,
    ) -> Result<JitConfig, GitHubError> {
        let mut path = scope.path();
        path.push("generate-jitconfig");
        let mut call = Call::post(path, scope.permission(), request).on_account_itself();
        call.pace = Pace::Covered { has_waited: request.has_waited };
        let answer: JitConfigJson = self.call(account, call).await?;
        Ok(JitConfig { runner_id: answer.runner.id, encoded: answer.encoded_jit_config })
    }

    /// The registration of exactly that name.
    pub async fn find_runner(
        &self,
        account: &Account,
        scope: &Scope,
        name: &RunnerName,
    ) -> Result<Option<Runner>, GitHubError> {
        let mut call = Call::get(scope.path(), scope.permission()).on_account_itself();
        call.query = vec![("name", name.to_string())];
        let answer: RunnersJson = self.call(account, call).await?;
        Ok(answer.runners.into_iter().find(|runner| runner.name.eq_ignore_ascii_case(name.as_str())))
    }

    /// The registration of that id; `None` once it is gone.
    pub async fn runner(&self, account: &Account, scope: &Scope, id: RunnerId) -> Result<Option<Runner>, GitHubError> {
        let id = id.to_string();
        let mut path = scope.path();
        path.push(&id);
        match self.call(account, Call::get(path, scope.permission())).await {
            Ok(runner) => Ok(Some(runner)),
            Err(GitHubError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The registrations of a scope that are wanted, from a list of all that is read a hundred a call.
    pub async fn runners(
        &self,
        account: &Account,
        scope: &Scope,
        is_wanted: impl Fn(&Runner) -> bool,
    ) -> Result<Vec<Runner>, GitHubError> {
        let (mut found, mut listed) = (Vec::new(), 0);
        for page in 1_u32.. {
            let mut call = Call::get(scope.path(), scope.permission()).on_account_itself();
            call.query = vec![("per_page", PAGE.to_string()), ("page", page.to_string())];
            let answer: RunnersJson = self.call(account, call).await?;
            let count = answer.runners.len();
            listed += count;
            found.extend(answer.runners.into_iter().filter(&is_wanted));
            if count < PAGE || listed >= answer.total_count {
                break;
            }
        }
        Ok(found)
    }

    /// Deletes a registration, unless its runner is known to be busy.
    pub async fn delete_runner(&self, account: &Account, scope: &Scope, id: RunnerId) -> Result<Deletion, GitHubError> {
        let id = id.to_string();
        self.delete(account, deletion(scope, &id)).await
    }

    /// The same where it can wait for its turn: [`GitHubError::Paced`] says until when, so that launches go before.
    /// `has_waited`: it was told so, and comes at its moment.
    pub async fn delete_runner_in_turn(
        &self,
        account: &Account,
        scope: &Scope,
        id: RunnerId,
        has_waited: bool,
    ) -> Result<Deletion, GitHubError> {
        let id = id.to_string();
        self.delete(account, deletion(scope, &id).in_turn(has_waited)).await
    }

    async fn delete(&self, account: &Account, call: Call<'_>) -> Result<Deletion, GitHubError> {
        match self.call::<()>(account, call).await {
            Ok(()) => Ok(Deletion::Deleted),
            Err(GitHubError::NotFound { .. }) => Ok(Deletion::Gone),
            Err(GitHubError::Rejected { status: 422, .. }) => Ok(Deletion::Busy),
            Err(error) => Err(error),
        }
    }
}

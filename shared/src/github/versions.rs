//! How long GitHub accepts a version of the runner.

use serde::Deserialize;
use time::OffsetDateTime;

use super::call::Call;
use super::error::GitHubError;
use super::registrations::AtPlace;
use crate::runner_version::RunnerVersion;

/// When GitHub stops accepting a version, as far as it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct EndOfLife {
    /// From then on the version cannot be registered.
    #[serde(default, rename = "registration_deprecates_at", with = "time::serde::rfc3339::option")]
    pub registration: Option<OffsetDateTime>,
    /// From then on the version gets no jobs.
    #[serde(default, rename = "runtime_deprecates_at", with = "time::serde::rfc3339::option")]
    pub runtime: Option<OffsetDateTime>,
}

impl EndOfLife {
    /// The earlier of the two.
    pub fn first(self) -> Option<OffsetDateTime> {
        self.registration.into_iter().chain(self.runtime).min()
    }
}

impl AtPlace<'_> {
    /// When a version ends; `None` where GitHub does not offer the question.
    pub async fn end_of_life(self, version: RunnerVersion) -> Result<Option<EndOfLife>, GitHubError> {
        let version = version.to_string();
        let scope = &self.place.scope;
        let path = scope.runners(["deprecations", version.as_str()]);
        self.github.find(self.caller(), &Call::get(path, scope.permission()).about_versions(scope)).await
    }
}

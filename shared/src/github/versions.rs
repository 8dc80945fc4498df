//! How long GitHub accepts a version of the runner.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use time::OffsetDateTime;

use super::call::Call;
use super::error::GitHubError;
use super::registrations::AtPlace;

/// A version of the runner's software.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunnerVersion(u32, u32, u32);

impl FromStr for RunnerVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Option<Vec<u32>> = text.split('.').map(|number| number.parse().ok()).collect();
        match numbers.as_deref() {
            Some([major, minor, patch]) => Ok(Self(*major, *minor, *patch)),
            _ => Err("a version of the runner, such as 2.329.0".to_owned()),
        }
    }
}

impl fmt::Display for RunnerVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.0, self.1, self.2)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        let version = |text: &str| text.parse::<RunnerVersion>().unwrap();
        assert!(version("2.99.0") < version("2.329.0"));
        assert_eq!(version("2.329.0").to_string(), "2.329.0");
        for malformed in ["", "2.329", "2.329.0.1", "v2.329.0", "2.x.0"] {
            assert!(malformed.parse::<RunnerVersion>().is_err(), "{malformed}");
        }
    }
}

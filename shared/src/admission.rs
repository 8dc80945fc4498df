//! Whose jobs are taken, whatever their labels.
//!
//! A workflow is code, and its jobs run in our network. This module decides whose code that may be: by account, by
//! whether anybody may see the repository, and by whether the code comes from a fork.

use std::str::FromStr;

use crate::classes::RunnerClass;
use crate::ids::InstallationId;
pub use crate::provenance::Provenance;

/// The accounts whose jobs are taken: by login, or by the id of the App's installation, which, unlike a login, cannot
/// pass to another account by a renaming. An empty list takes every account whose deliveries are signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    /// In lower case.
    logins: Vec<String>,
    installations: Vec<InstallationId>,
}

impl AllowList {
    /// Whether an account's jobs are taken. `installation` is the one that sent the delivery, if an App did.
    pub fn includes(&self, owner: &str, installation: Option<InstallationId>) -> bool {
        (self.logins.is_empty() && self.installations.is_empty())
            || installation.is_some_and(|installation| self.installations.contains(&installation))
            || self.logins.contains(&owner.to_lowercase())
    }
}

impl FromStr for AllowList {
    type Err = String;

    /// A number is an installation's id, anything else a login.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut list = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            if let Ok(id) = entry.parse() {
                list.installations.push(InstallationId(id));
            } else if entry.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
                list.logins.push(entry.to_lowercase());
            } else {
                return Err("logins of organisations or users, or ids of installations, separated by commas".to_owned());
            }
        }
        Ok(list)
    }
}

/// Why a job is not taken although its labels fit a class.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwelcome {
    /// The account is not on the list.
    #[error("{0} is not among ALLOWED_INSTALLATIONS")]
    Account(String),
    /// Anybody may fork a public repository and open a pull request.
    #[error("the repository is public, and class {0} does not take jobs of public repositories (public_repositories)")]
    Public(String),
    /// The code is that of the pull request's author.
    #[error("its run is of a fork, and class {0} does not take pull requests from forks (fork_pull_requests)")]
    Fork(String),
}

impl Provenance {
    /// Whether anybody may see a repository, by the two fields that its object has. One that has neither counts as public: it may
    /// be. An `internal` repository is private, too.
    pub fn is_public(visibility: Option<&str>, private: Option<bool>) -> bool {
        match (visibility, private) {
            (Some(visibility), _) => visibility == "public",
            (None, private) => !private.unwrap_or(false),
        }
    }

    /// Whether the class takes such jobs. An unknown fork counts as none: see [`depends_on_run`](Self::depends_on_run).
    pub fn check(self, class: &RunnerClass) -> Result<(), Unwelcome> {
        if self.is_public && !class.public_repositories {
            return Err(Unwelcome::Public(class.name.clone()));
        }
        // A private repository can be forked only by those who may see it.
        if self.is_public && !class.fork_pull_requests && self.is_from_fork == Some(true) {
            return Err(Unwelcome::Fork(class.name.clone()));
        }
        Ok(())
    }

    /// Whether the class's answer depends on the run, so that GitHub must be asked whether it is of a fork.
    pub fn depends_on_run(self, class: &RunnerClass) -> bool {
        self.is_public && class.public_repositories && !class.fork_pull_requests && self.is_from_fork.is_none()
    }
}

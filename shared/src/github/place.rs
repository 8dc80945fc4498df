//! Where runners are registered, and whose credential that takes.

use std::fmt;

use crate::config::ScopeKind;
use crate::job::{InstallationId, Job};

/// The organization or user whose resources a call is about. It decides which credential the call uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The login.
    pub login: String,
    /// Whether it is an organization.
    pub is_organization: bool,
    /// One of its repositories, by which the installation of a personal account is found.
    pub repository: Option<String>,
    /// The installation, where a delivery or a list named it. It may be out of date.
    pub installation: Option<InstallationId>,
}

impl From<&Job> for Account {
    fn from(job: &Job) -> Self {
        Self {
            login: job.owner.clone(),
            is_organization: job.organization.is_some(),
            repository: Some(job.repository.clone()),
            installation: job.installation_id,
        }
    }
}

/// Where a runner is registered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// An enterprise, by its slug. Its runner groups say which organizations may use the runner.
    Enterprise(String),
    /// An organization. Its runner groups say which repositories may use the runner.
    Organization(String),
    /// One repository.
    Repository {
        /// The owner's login.
        owner: String,
        /// The repository's name.
        name: String,
    },
}

impl Scope {
    /// Where the runner for a job is registered. A personal account has no runners of its own and belongs to no
    /// enterprise, so its runners are registered with the repository whatever `RUNNER_SCOPE` says.
    pub(super) fn of(kind: &ScopeKind, job: &Job) -> Self {
        match (kind, &job.organization) {
            (ScopeKind::Enterprise(slug), Some(_)) => Self::Enterprise(slug.clone()),
            (ScopeKind::Org, Some(organization)) => Self::Organization(organization.clone()),
            (ScopeKind::Repo, _) | (_, None) => {
                Self::Repository { owner: job.owner.clone(), name: job.repository.clone() }
            }
        }
    }

    /// The first segments of each of its routes.
    pub(super) fn root(&self) -> Vec<&str> {
        match self {
            Self::Enterprise(slug) => vec!["enterprises", slug],
            Self::Organization(login) => vec!["orgs", login],
            Self::Repository { owner, name } => vec!["repos", owner, name],
        }
    }

    /// The route of its registrations, with further segments.
    pub(super) fn runners<'a>(&'a self, further: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        let mut path = self.root();
        path.extend(["actions", "runners"]);
        path.extend(further);
        path
    }

    /// What the credential needs in order to manage runners here, in the words of GitHub's settings.
    pub(super) fn permission(&self) -> &'static str {
        match self {
            Self::Enterprise(_) => "a classic personal access token with manage_runners:enterprise",
            Self::Organization(_) => {
                "the App's organization permission \"Self-hosted runners: Read and write\" (or a token with admin:org)"
            }
            Self::Repository { .. } => {
                "the App's repository permission \"Administration: Read and write\" (or a token with repo)"
            }
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enterprise(slug) => write!(formatter, "enterprise {slug}"),
            Self::Organization(login) => write!(formatter, "organization {login}"),
            Self::Repository { owner, name } => write!(formatter, "repository {owner}/{name}"),
        }
    }
}

/// A scope, and the account that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whose credential calls take.
    pub account: Account,
    /// Where the registrations are.
    pub scope: Scope,
}

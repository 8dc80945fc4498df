//! The scope of a registration.

use std::fmt;

/// Where a runner is registered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// An organisation.
    Organization(String),
    /// A repository: owner and name.
    Repository(String, String),
    /// An enterprise.
    Enterprise(String),
}

impl Scope {
    /// An organisation, by its login.
    pub fn org(login: &str) -> Self {
        Self::Organization(login.to_lowercase())
    }

    /// A repository, by its owner's login and its name.
    pub fn repo(owner: &str, name: &str) -> Self {
        Self::Repository(owner.to_lowercase(), name.to_lowercase())
    }

    /// An enterprise, by its slug.
    pub fn enterprise(slug: &str) -> Self {
        Self::Enterprise(slug.to_lowercase())
    }
}

/// The path prefix in GitHub's URLs.
impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organization(login) => write!(formatter, "orgs/{login}"),
            Self::Repository(owner, name) => write!(formatter, "repos/{owner}/{name}"),
            Self::Enterprise(slug) => write!(formatter, "enterprises/{slug}"),
        }
    }
}

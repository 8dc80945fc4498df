//! The accounts and places where runners of ours may be registered: found by asking GitHub, not configured.

use serde::Deserialize;
use time::OffsetDateTime;

use super::call::{Call, Caller};
use super::client::GitHub;
use super::error::GitHubError;
use super::pages::{PAGE_SIZE, Pages};
use super::place::{Account, Place, Scope};
use crate::config::ScopeKind;
use crate::job::{InstallationId, Job};

#[derive(Deserialize)]
struct InstallationJson {
    id: InstallationId,
    account: Option<AccountJson>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    suspended_at: Option<OffsetDateTime>,
}

#[derive(Deserialize)]
struct AccountJson {
    /// Absent for enterprises, which have a slug.
    login: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl InstallationJson {
    fn account(self) -> Option<Account> {
        let account = self.account?;
        Some(Account {
            login: account.login?,
            is_organization: account.kind.as_deref() == Some("Organization"),
            repository: None,
            installation: Some(self.id),
        })
    }
}

#[derive(Deserialize)]
struct OrganizationJson {
    login: String,
}

#[derive(Deserialize)]
struct RepositoriesJson {
    #[serde(default)]
    total_count: Option<usize>,
    repositories: Vec<RepositoryJson>,
}

#[derive(Deserialize)]
struct RepositoryJson {
    name: String,
    owner: OrganizationJson,
    /// Absent for a repository without a commit.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pushed_at: Option<OffsetDateTime>,
}

/// How many repositories a page of an installation's has.
pub const REPOSITORIES_A_PAGE: usize = PAGE_SIZE;

/// A repository that an installation covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// It, and the account whose credential it takes.
    pub place: Place,
    /// Its name, without its owner.
    pub name: String,
    /// When somebody last pushed to it.
    pub pushed_at: Option<OffsetDateTime>,
}

/// A page of the repositories that an installation covers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoveredPage {
    /// Those of the page.
    pub repositories: Vec<Covered>,
    /// How many there are on all pages.
    pub total: usize,
}

/// Where an account's own runners are registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registers {
    /// With the enterprise.
    AtEnterprise,
    /// With the organization.
    Here(Place),
    /// With each repository.
    InRepositories,
}

impl GitHub {
    /// All accounts that the credential manages: the App's installations except suspended ones, or the organizations of
    /// the user of a personal access token.
    pub async fn accounts(&self) -> Result<Vec<Account>, GitHubError> {
        if !self.is_app().await? {
            return self.organizations_of_user().await;
        }
        let call = Call::get(vec!["app", "installations"], "a GitHub App");
        let installations = Pages::numbered(self, Caller::App, call);
        let active = installations.collect::<Vec<InstallationJson>>(|each| each.suspended_at.is_none()).await?;
        Ok(active.into_iter().filter_map(InstallationJson::account).collect())
    }

    async fn organizations_of_user(&self) -> Result<Vec<Account>, GitHubError> {
        let user = Account { login: String::new(), is_organization: false, repository: None, installation: None };
        let call = Call::get(vec!["user", "orgs"], "a token with read:org");
        let organizations = Pages::numbered(self, Caller::Account(&user), call);
        let organizations = organizations.collect::<Vec<OrganizationJson>>(|_| true).await?;
        let account = |OrganizationJson { login }| Account { login, is_organization: true, ..user.clone() };
        Ok(organizations.into_iter().map(account).collect())
    }

    /// Where the runner for a job is registered.
    pub fn place_of(&self, job: &Job) -> Place {
        Place { account: Account::from(job), scope: Scope::of(&self.scope, job) }
    }

    /// The enterprise, if the runners of all organizations are registered there.
    pub fn enterprise(&self) -> Option<Place> {
        let ScopeKind::Enterprise(slug) = &self.scope else { return None };
        let account = Account { login: slug.clone(), is_organization: true, repository: None, installation: None };
        Some(Place { account, scope: Scope::Enterprise(slug.clone()) })
    }

    /// Where an account's own runners are registered.
    pub fn registers(&self, account: &Account) -> Registers {
        match &self.scope {
            ScopeKind::Enterprise(_) if account.is_organization => Registers::AtEnterprise,
            ScopeKind::Org if account.is_organization => {
                let scope = Scope::Organization(account.login.clone());
                Registers::Here(Place { account: account.clone(), scope })
            }
            _ => Registers::InRepositories,
        }
    }

    /// A page of the repositories that an account's installation covers, from 1 on, in an order that GitHub does not say and
    /// keeps. With a personal access token there is no such list.
    pub async fn repositories_on_page(&self, account: &Account, page: usize) -> Result<CoveredPage, GitHubError> {
        if account.installation.is_none() {
            return Ok(CoveredPage::default());
        }
        let permission = "an installation that covers at least one repository";
        let mut call = Call::get(vec!["installation", "repositories"], permission);
        call.query = vec![("per_page", PAGE_SIZE.to_string()), ("page", page.to_string())];
        let answer: RepositoriesJson = self.call(Caller::Account(account), &call).await?;
        let covered = |RepositoryJson { name, owner, pushed_at }| Covered {
            place: Place {
                account: Account { repository: Some(name.clone()), ..account.clone() },
                scope: Scope::Repository { owner: owner.login, name: name.clone() },
            },
            name,
            pushed_at,
        };
        let total = answer.total_count.unwrap_or(answer.repositories.len());
        Ok(CoveredPage { repositories: answer.repositories.into_iter().map(covered).collect(), total })
    }
}

//! The accounts and places where runners of ours may be registered: found by asking GitHub, not configured.

use serde::Deserialize;
use time::OffsetDateTime;

use super::call::{Call, Caller};
use super::client::GitHub;
use super::error::GitHubError;
use super::pages::{PageJson, Pages};
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
    repositories: Vec<RepositoryJson>,
}

#[derive(Deserialize)]
struct RepositoryJson {
    name: String,
    owner: OrganizationJson,
}

impl PageJson for RepositoriesJson {
    type Item = RepositoryJson;

    fn items(self) -> Vec<RepositoryJson> {
        self.repositories
    }
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

    /// The places where an account's own runners are registered, except an enterprise. For repository scope those are all
    /// repositories that the installation covers.
    pub async fn places_of(&self, account: &Account) -> Result<Vec<Place>, GitHubError> {
        match &self.scope {
            ScopeKind::Enterprise(_) if account.is_organization => Ok(Vec::new()),
            ScopeKind::Org if account.is_organization => {
                Ok(vec![Place { account: account.clone(), scope: Scope::Organization(account.login.clone()) }])
            }
            _ => self.repositories_of(account, |_, _| true).await,
        }
    }

    /// The repositories that an account's installation covers, by owner and name, if `is_wanted`. With a personal access
    /// token there is no such list.
    pub async fn repositories_of(
        &self,
        account: &Account,
        is_wanted: impl Fn(&str, &str) -> bool,
    ) -> Result<Vec<Place>, GitHubError> {
        if account.installation.is_none() {
            return Ok(Vec::new());
        }
        let permission = "an installation that covers at least one repository";
        let call = Call::get(vec!["installation", "repositories"], permission);
        let all = Pages::numbered(self, Caller::Account(account), call);
        let wanted = all.collect::<RepositoriesJson>(|each| is_wanted(&each.owner.login, &each.name)).await?;
        let place = |RepositoryJson { name, owner }| Place {
            account: Account { repository: Some(name.clone()), ..account.clone() },
            scope: Scope::Repository { owner: owner.login, name },
        };
        Ok(wanted.into_iter().map(place).collect())
    }
}

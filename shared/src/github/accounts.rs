//! Where runners of ours may be registered: found out, not configured.

use serde::Deserialize;
use time::OffsetDateTime;

use super::{Account, Call, GitHub, GitHubError, Scope};
use crate::config::ScopeKind;
use crate::job::InstallationId;

/// Most items of a page. Source: GitHub's OpenAPI description.
const PAGE: usize = 100;

/// A scope, and the account it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whose credential it takes.
    pub account: Account,
    /// Where the registrations are.
    pub scope: Scope,
}

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

impl GitHub {
    /// All accounts that the credential manages: the App's installations but for suspended ones, or the organisations
    /// of a personal access token's user.
    pub async fn accounts(&self) -> Result<Vec<Account>, GitHubError> {
        let mut accounts = Vec::new();
        for page in 1_u32.. {
            let call = page_of(vec!["app", "installations"], page, "a GitHub App");
            let Some((installations, _)) = self.call_as_app_itself::<Vec<InstallationJson>>(&call).await? else {
                return self.organizations_of_user().await;
            };
            let is_last = installations.len() < PAGE;
            accounts.extend(installations.into_iter().filter(|each| each.suspended_at.is_none()).filter_map(|each| {
                let account = each.account?;
                Some(Account {
                    login: account.login?,
                    is_organization: account.kind.as_deref() == Some("Organization"),
                    repository: None,
                    installation: Some(each.id),
                })
            }));
            if is_last {
                break;
            }
        }
        Ok(accounts)
    }

    /// The enterprise where the runners of all organisations are registered, if that is how it is configured.
    pub fn enterprise(&self) -> Option<Place> {
        let ScopeKind::Enterprise(slug) = &self.config.scope else { return None };
        let account = Account { login: slug.clone(), is_organization: true, repository: None, installation: None };
        Some(Place { account, scope: Scope::Enterprise(slug.clone()) })
    }

    /// The places where an account's own runners are registered, an enterprise's aside. For repository scope those are all repositories that the
    /// installation covers.
    pub async fn places_of(&self, account: &Account) -> Result<Vec<Place>, GitHubError> {
        if matches!(self.config.scope, ScopeKind::Enterprise(_)) && account.is_organization {
            return Ok(Vec::new());
        }
        if self.config.scope == ScopeKind::Org && account.is_organization {
            return Ok(vec![Place { account: account.clone(), scope: Scope::Organization(account.login.clone()) }]);
        }
        self.repositories_of(account, |_, _| true).await
    }

    /// The repositories that an account's installation covers, as far as they are wanted. A token has no such list.
    pub async fn repositories_of(
        &self,
        account: &Account,
        is_wanted: impl Fn(&str, &str) -> bool,
    ) -> Result<Vec<Place>, GitHubError> {
        let mut places = Vec::new();
        if account.installation.is_none() {
            return Ok(places);
        }
        let permission = "an installation that covers at least one repository";
        for page in 1_u32.. {
            let call = page_of(vec!["installation", "repositories"], page, permission);
            let RepositoriesJson { repositories } = self.call(account, call).await?;
            let is_last = repositories.len() < PAGE;
            let wanted = repositories.into_iter().filter(|each| is_wanted(&each.owner.login, &each.name));
            places.extend(wanted.map(|repository| Place {
                account: Account { repository: Some(repository.name.clone()), ..account.clone() },
                scope: Scope::Repository { owner: repository.owner.login, name: repository.name },
            }));
            if is_last {
                break;
            }
        }
        Ok(places)
    }

    async fn organizations_of_user(&self) -> Result<Vec<Account>, GitHubError> {
        let user = Account { login: String::new(), is_organization: false, repository: None, installation: None };
        let mut accounts = Vec::new();
        for page in 1_u32.. {
            let call = page_of(vec!["user", "orgs"], page, "a token with read:org");
            let organizations: Vec<OrganizationJson> = self.call(&user, call).await?;
            let is_last = organizations.len() < PAGE;
            accounts.extend(organizations.into_iter().map(|organization| Account {
                login: organization.login,
                is_organization: true,
                repository: None,
                installation: None,
            }));
            if is_last {
                break;
            }
        }
        Ok(accounts)
    }
}

pub(super) fn page_of<'a>(path: Vec<&'a str>, page: u32, permission: &'static str) -> Call<'a> {
    let mut call = Call::get(path, permission);
    call.query = vec![("per_page", PAGE.to_string()), ("page", page.to_string())];
    call
}

//! Who and what exists at this GitHub, how it behaves and what it permits.

use std::collections::BTreeSet;
use std::sync::Arc;

use jitgate::job::{InstallationId, OwnerId};

use super::behaviour::Behaviour;
use super::hooks::HookTarget;
use super::meter::Limits;
use super::scope::Scope;
use super::state::{AccountKind, Group, Installation, next};
use super::{GitHub, PERMISSIONS};

impl GitHub {
    /// An organisation.
    pub fn add_organization(&self, login: &str) -> OwnerId {
        self.state().0.account(login, AccountKind::Organization).id
    }

    /// A personal account, which has no runners of its own, only its repositories have.
    pub fn add_user(&self, login: &str) -> OwnerId {
        self.state().0.account(login, AccountKind::User).id
    }

    /// A repository, with its owner if that is not there: an organisation then.
    pub fn add_repository(&self, owner: &str, name: &str) {
        self.state().0.repository(owner, name);
    }

    /// Anybody may see the repository from now on, and fork it.
    pub fn publish(&self, owner: &str, name: &str) {
        let mut state = self.state().0;
        state.repository(owner, name);
        if let Some(repository) = state.repositories.get_mut(&(owner.to_lowercase(), name.to_lowercase())) {
            repository.is_public = true;
        }
    }

    /// Installs the App on an account with all that jitgate needs; on an organisation, if there is no such account.
    pub fn install_app(&self, login: &str) -> InstallationId {
        let (mut state, now) = self.state();
        let account = state.account(login, AccountKind::Organization);
        let id = InstallationId(next(&mut state.counters.installation));
        let permissions = PERMISSIONS.map(|(name, level)| (name.to_owned(), level.to_owned())).into();
        let installation =
            Installation { id, account, permissions, repositories: None, suspended_at: None, created_at: now };
        state.installations.insert(id.0, installation);
        id
    }

    /// Gives the installation exactly these permissions from now on; tokens that are out keep what they have.
    pub fn grant(&self, installation: InstallationId, permissions: &[(&str, &str)]) {
        if let Some(installation) = self.state().0.installations.get_mut(&installation.0) {
            let permissions = permissions.iter().map(|(name, level)| ((*name).to_owned(), (*level).to_owned()));
            installation.permissions = permissions.collect();
        }
    }

    /// Lets the installation see these repositories of its account only.
    pub fn select_repositories(&self, installation: InstallationId, names: &[&str]) {
        if let Some(installation) = self.state().0.installations.get_mut(&installation.0) {
            installation.repositories = Some(names.iter().map(|name| name.to_lowercase()).collect());
        }
    }

    /// Suspends the installation.
    pub fn suspend(&self, installation: InstallationId) {
        let (mut state, now) = self.state();
        if let Some(installation) = state.installations.get_mut(&installation.0) {
            installation.suspended_at = Some(now);
        }
    }

    /// Uninstalls the App there; a later [`install_app`](Self::install_app) gives another id.
    pub fn uninstall(&self, installation: InstallationId) {
        self.state().0.installations.remove(&installation.0);
    }

    /// Makes every installation token invalid at once.
    pub fn revoke_tokens(&self) {
        self.state().0.tokens.clear();
    }

    /// Knows a classic personal access token with these scopes.
    pub fn add_personal_token(&self, token: &str, scopes: &[&str]) {
        let scopes: BTreeSet<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self.state().0.personal_tokens.insert(token.to_owned(), Arc::new(scopes));
    }

    /// Somebody deletes a runner group.
    pub fn remove_runner_group(&self, scope: &Scope, id: u64) {
        if let Some(groups) = self.state().0.groups.get_mut(scope) {
            groups.remove(&id);
        }
    }

    /// A runner group besides the default one, for all repositories or for some.
    pub fn add_runner_group(&self, scope: &Scope, name: &str, repositories: Option<&[&str]>) -> u64 {
        let (mut state, _) = self.state();
        let id = next(&mut state.counters.group);
        let repositories = repositories.map(|names| names.iter().map(|name| name.to_lowercase()).collect());
        let group = Group { id, name: name.to_owned(), repositories };
        state.groups.entry(scope.clone()).or_default().insert(id, group);
        id
    }

    /// A hook that hears of `workflow_job` from now on. Without one nothing is sent, and nothing logged.
    pub fn add_hook(&self, target: HookTarget, url: &str) -> u64 {
        let (mut state, now) = self.state();
        state.add_hook(target, url, now)
    }

    /// Changes in which ways this GitHub is slow or odd.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.state().0.behaviour);
    }

    /// Changes what each identity may use.
    pub fn limit(&self, change: impl FnOnce(&mut Limits)) {
        change(&mut self.state().0.limits);
    }
}

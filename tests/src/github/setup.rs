//! Sets up what exists at this GitHub, how it behaves, and its rate limits.

use std::collections::BTreeSet;
use std::sync::Arc;

use jitgate::job::{InstallationId, OwnerId};

use super::GitHub;
use super::behaviour::Behaviour;
use super::hooks::{HookOwner, HookTarget};
use super::meter::Limits;
use super::scope::Scope;
use super::state::{AccountKind, Group, Job, Repository, next};

impl GitHub {
    /// Adds an organisation.
    pub fn add_organization(&self, login: &str) -> OwnerId {
        self.state().0.account(login, AccountKind::Organization).id
    }

    /// Adds a personal account. Only its repositories can have runners, not the account.
    pub fn add_user(&self, login: &str) -> OwnerId {
        self.state().0.account(login, AccountKind::User).id
    }

    /// Adds a repository, and its owner as an organisation if it does not exist.
    pub fn add_repository(&self, owner: &str, name: &str) {
        self.state().0.repository(owner, name);
    }

    /// Makes the repository public, and adds it if it does not exist.
    pub fn publish(&self, owner: &str, name: &str) {
        let mut state = self.state().0;
        state.repository(owner, name);
        if let Some(repository) = state.repositories.get_mut(&(owner.to_lowercase(), name.to_lowercase())) {
            repository.is_public = true;
        }
    }

    /// Renames a repository. Its registrations stay, under the new name.
    pub fn rename_repository(&self, owner: &str, old: &str, new: &str) {
        let mut state = self.state().0;
        let key = |name: &str| (owner.to_lowercase(), name.to_lowercase());
        let Some(repository) = state.repositories.remove(&key(old)) else { return };
        state.repositories.insert(key(new), Repository { name: new.to_owned(), ..repository });
        for runner in state.runners.values_mut().filter(|runner| runner.scope == Scope::repo(owner, old)) {
            runner.scope = Scope::repo(owner, new);
        }
        let is_there = |job: &&mut Job| job.owner.eq_ignore_ascii_case(owner) && job.repository == old;
        for job in state.jobs.values_mut().filter(is_there) {
            new.clone_into(&mut job.repository);
        }
    }

    /// Installs the tests' App on an account with all [`PERMISSIONS`](super::PERMISSIONS). Adds the account as an organisation
    /// if it does not exist. Hooks hear nothing of it.
    pub fn install_app(&self, login: &str) -> InstallationId {
        let (mut state, now) = self.state();
        let account = state.account(login, AccountKind::Organization);
        let app = state.first_app();
        let id = InstallationId(next(&mut state.counters.installation));
        let installation = state.tests_installation(id, app, account, now);
        state.installations.insert(id.0, installation);
        id
    }

    /// Sets the installation's permissions; existing tokens keep theirs.
    pub fn grant(&self, installation: InstallationId, permissions: &[(&str, &str)]) {
        if let Some(installation) = self.state().0.installations.get_mut(&installation.0) {
            let permissions = permissions.iter().map(|(name, level)| ((*name).to_owned(), (*level).to_owned()));
            installation.permissions = permissions.collect();
        }
    }

    /// Restricts the installation to these repositories of its account.
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

    /// Ends a suspension.
    pub fn unsuspend(&self, installation: InstallationId) {
        if let Some(installation) = self.state().0.installations.get_mut(&installation.0) {
            installation.suspended_at = None;
        }
    }

    /// Uninstalls the App there; a later [`install_app`](Self::install_app) gets a new id.
    pub fn uninstall(&self, installation: InstallationId) {
        self.state().0.installations.remove(&installation.0);
    }

    /// Revokes all installation tokens.
    pub fn revoke_tokens(&self) {
        self.state().0.tokens.clear();
    }

    /// Adds a classic personal access token with these scopes.
    pub fn add_personal_token(&self, token: &str, scopes: &[&str]) {
        let scopes: BTreeSet<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self.state().0.personal_tokens.insert(token.to_owned(), Arc::new(scopes));
    }

    /// Deletes a runner group.
    pub fn remove_runner_group(&self, scope: &Scope, id: u64) {
        if let Some(groups) = self.state().0.groups.get_mut(scope) {
            groups.remove(&id);
        }
    }

    /// Adds a runner group, for all repositories or for some; for an enterprise, for all organisations or for some.
    pub fn add_runner_group(&self, scope: &Scope, name: &str, selected: Option<&[&str]>) -> u64 {
        let (mut state, _) = self.state();
        let id = next(&mut state.counters.group);
        let selected = selected.map(|names| names.iter().map(|name| name.to_lowercase()).collect());
        let group = Group { id, name: name.to_owned(), selected, allows_public: true };
        state.groups.entry(scope.clone()).or_default().insert(id, group);
        id
    }

    /// Closes a runner group to public repositories, as new groups are at GitHub.
    pub fn close_to_public(&self, scope: &Scope, group: u64) {
        let (mut state, _) = self.state();
        if let Some(mut found) = state.group(scope, group) {
            found.allows_public = false;
            state.groups.entry(scope.clone()).or_default().insert(group, found);
        }
    }

    /// Adds a hook for `workflow_job`: that of the tests' App, or another's. Without a hook, nothing is sent or logged.
    pub fn add_hook(&self, target: HookTarget, url: &str) -> u64 {
        let (mut state, now) = self.state();
        let owner = match target {
            HookTarget::App => HookOwner::App(state.first_app()),
            HookTarget::Scope(scope) => HookOwner::Scope(scope),
        };
        state.add_hook(owner, url, now)
    }

    /// Changes how this GitHub is slow or odd.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.state().0.behaviour);
    }

    /// Another client changes something with the credential that [`meters`](Self::meters) calls `key`.
    pub fn write_elsewhere(&self, key: &str) {
        let (mut state, now) = self.state();
        state.charge_elsewhere(key, now);
    }

    /// A new hour begins, in which nobody has made a call.
    pub fn begin_hour(&self) {
        self.state().0.meters.clear();
    }

    /// Changes the rate limits.
    pub fn limit(&self, change: impl FnOnce(&mut Limits)) {
        change(&mut self.state().0.limits);
    }
}

//! How a request is answered: identity, limits, permission, then the call itself.

use time::OffsetDateTime;

use super::answers::{self, Refused};
use super::auth::{Identity, Level, Permission, require_app};
use super::hooks::{HookOwner, HookTarget};
use super::route::Route;
use super::scope::Scope;
use super::state::State;
use crate::wire::{Answer, Request};

impl State {
    pub(super) fn respond(&mut self, request: &Request, now: OffsetDateTime) -> Refused<Answer> {
        let identity = match Route::of(request) {
            Some(Route::Conversion(_)) => Self::stranger(request)?,
            _ => self.authenticate(request, now)?,
        };
        let key = identity.key();
        let is_free = matches!(Route::of(request), Some(Route::RateLimit));
        let refusal = if is_free { None } else { self.charge(&key, request.method(), now) };
        let mut answer = match refusal {
            Some(refusal) => refusal,
            None => self.work(&identity, request, now).unwrap_or_else(|refusal| *refusal),
        };
        self.state_budget(&key, now, &mut answer);
        Ok(answer)
    }

    fn work(&mut self, identity: &Identity, request: &Request, now: OffsetDateTime) -> Refused<Answer> {
        let Some(route) = Route::of(request) else { return answers::refuse(answers::not_found()) };
        if let Some((scope, permission, level)) = route.needs() {
            self.authorize(identity, scope, permission, level)?;
        }
        match &route {
            Route::App => self.get_app(identity),
            Route::RateLimit => Ok(self.rate_limit(&identity.key(), now)),
            Route::Conversion(code) => self.convert_manifest(code, now),
            Route::HookConfig => self.get_hook_config(identity),
            Route::SetHookConfig => self.set_hook_config(identity, request),
            Route::DeleteInstallation(id) => self.delete_installation(identity, *id, now),
            Route::InstallationRepositories => self.list_repositories(identity, request),
            Route::UserOrganizations => self.list_organizations(identity, request),
            Route::Installations => self.list_installations(identity, request),
            Route::InstallationOf(owner) => self.get_installation(identity, owner),
            Route::AccessToken(id) => self.create_token(identity, *id, request, now),
            Route::GenerateJitconfig(scope) => self.generate_jitconfig(scope, request, now),
            Route::Runners(scope) => Ok(self.list_runners(scope, request, now)),
            Route::Runner(scope, id) => self.get_runner(scope, *id, now),
            Route::DeleteRunner(scope, id) => self.delete_runner(scope, *id, now),
            Route::RunnerGroups(scope) => Ok(self.list_runner_groups(scope, request)),
            Route::RunnerDeprecations(_, version) => self.runner_deprecations(version),
            Route::Job(scope, id) => self.get_job(scope, *id),
            Route::Runs(scope) => Ok(self.list_runs(scope, request)),
            Route::Run(scope, id) => self.get_run(scope, *id),
            Route::RunJobs(scope, id) => self.list_run_jobs(scope, *id, request),
            Route::CreateCheckRun(scope) => self.create_check_run(identity, scope, request, now),
            Route::UpdateCheckRun(scope, id) => self.update_check_run(identity, scope, *id, request, now),
            Route::CheckRuns(scope, sha) => Ok(self.list_check_runs(scope, sha, request)),
            Route::Hooks(scope) => Ok(self.list_hooks(scope, request)),
            Route::Deliveries(target, hook) => {
                self.list_deliveries(&hook_owner(identity, target)?, *hook, request, now)
            }
            Route::Delivery(target, hook, id) => self.get_delivery(&hook_owner(identity, target)?, *hook, *id, now),
            Route::Redeliver(target, hook, id) => self.redeliver(&hook_owner(identity, target)?, *hook, *id, now),
        }
    }
}

/// Only the App itself may use its own hook; the others require a permission.
fn hook_owner(identity: &Identity, target: &HookTarget) -> Refused<HookOwner> {
    match target {
        HookTarget::App => require_app(identity).map(HookOwner::App),
        HookTarget::Scope(scope) => Ok(HookOwner::Scope(scope.clone())),
    }
}

impl Route {
    /// What a token needs for the call; `None` if the call checks the identity itself.
    fn needs(&self) -> Option<(&Scope, Permission, Level)> {
        match self {
            Self::App
            | Self::RateLimit
            | Self::Conversion(_)
            | Self::HookConfig
            | Self::SetHookConfig
            | Self::DeleteInstallation(_)
            | Self::Installations
            | Self::InstallationRepositories
            | Self::UserOrganizations
            | Self::InstallationOf(_)
            | Self::AccessToken(_)
            | Self::Deliveries(HookTarget::App, _)
            | Self::Delivery(HookTarget::App, ..)
            | Self::Redeliver(HookTarget::App, ..) => None,
            Self::GenerateJitconfig(scope) | Self::DeleteRunner(scope, _) => {
                Some((scope, Permission::Runners, Level::Write))
            }
            Self::Runners(scope)
            | Self::Runner(scope, _)
            | Self::RunnerGroups(scope)
            | Self::RunnerDeprecations(scope, _) => Some((scope, Permission::Runners, Level::Read)),
            Self::Job(scope, _) | Self::Runs(scope) | Self::Run(scope, _) | Self::RunJobs(scope, _) => {
                Some((scope, Permission::Actions, Level::Read))
            }
            Self::CreateCheckRun(scope) | Self::UpdateCheckRun(scope, _) => {
                Some((scope, Permission::Checks, Level::Write))
            }
            Self::CheckRuns(scope, _) => Some((scope, Permission::Checks, Level::Read)),
            Self::Hooks(scope)
            | Self::Deliveries(HookTarget::Scope(scope), _)
            | Self::Delivery(HookTarget::Scope(scope), ..) => Some((scope, Permission::Hooks, Level::Read)),
            Self::Redeliver(HookTarget::Scope(scope), ..) => Some((scope, Permission::Hooks, Level::Write)),
        }
    }
}

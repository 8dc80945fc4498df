//! A stand-in for GitHub: it keeps state, follows GitHub's rules, and can be slow, odd or down on demand.
//!
//! Over the wire it is a [`Service`]; what people and runners do to GitHub is done through [`GitHub`]'s methods. All
//! time is its clock's.

pub mod answers;
mod auth;
pub mod courier;
mod deliveries;
mod jitconfig;
mod jobs;
pub mod keys;
mod limits;
mod objects;
mod route;
mod runners;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jitgate::clock::Clock;
use jitgate::job::{InstallationId, JobId, OwnerId, RunId, RunnerId};
use jsonwebtoken::DecodingKey;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::Notify;

use self::answers::Refused;
use self::auth::{Identity, Level, Permission, require_app};
use self::keys::AppKey;
use self::route::Route;
use self::state::{AccountKind, App, Group, Installation, State, next};
use crate::openapi::Checker;
use crate::payloads::WorkflowJobEvent;
use crate::wire::{Answer, Request, Service};

pub use self::deliveries::{Delivery, HookTarget, Outcome};
pub use self::jobs::JobSpec;
pub use self::limits::{Counting, Limits, Meter, Secondary};
pub use self::route::operation;
pub use self::runners::Gone;
pub use self::state::{Behaviour, EndOfLife, Event, Job, JobStatus, Runner, Scope};

/// The App's id in tests.
pub const APP_ID: u64 = 123_456;

/// The App's client id in tests.
pub const CLIENT_ID: &str = "Iv23liJitgateTests01";

/// The organisation that is there from the start, with the App installed.
pub const ORGANIZATION: &str = "octo-org";

/// The App's installation on it.
pub const INSTALLATION: InstallationId = InstallationId(77);

/// What an installation grants unless a test says otherwise: all that jitgate ever needs.
pub const PERMISSIONS: [(&str, &str); 5] = [
    ("actions", "read"),
    ("administration", "write"),
    ("metadata", "read"),
    ("organization_hooks", "write"),
    ("organization_self_hosted_runners", "write"),
];

/// The stand-in; clones are the same GitHub.
#[derive(Clone)]
pub struct GitHub(Arc<Inner>);

struct Inner {
    clock: Clock,
    /// Absent where nobody asks.
    checker: Option<Checker>,
    state: Mutex<State>,
    /// Rings when there is a delivery to send.
    unsent: Notify,
}

impl GitHub {
    /// A GitHub with the tests' App installed on [`ORGANIZATION`]. Every request to it and every answer is held
    /// against GitHub's description: end with [`assert_spoke_github`](Self::assert_spoke_github).
    pub fn new(clock: Clock) -> Self {
        Self::build(clock, APP_ID, tests_key(), Some(Checker::default()))
    }

    /// The same, unchecked: for runs of thousands of jobs.
    pub fn unchecked(clock: Clock) -> Self {
        Self::build(clock, APP_ID, tests_key(), None)
    }

    /// Unchecked, with another App; the key is PEM, an error if it is not.
    pub fn with_app(clock: Clock, id: u64, public_pem: &[u8]) -> Result<Self, jsonwebtoken::errors::Error> {
        Ok(Self::build(clock, id, DecodingKey::from_rsa_pem(public_pem)?, None))
    }

    fn build(clock: Clock, id: u64, public_key: DecodingKey, checker: Option<Checker>) -> Self {
        let state = State::new(App { id, client_id: CLIENT_ID.to_owned(), public_key });
        let github = Self(Arc::new(Inner { clock, checker, state: Mutex::new(state), unsent: Notify::new() }));
        github.add_organization(ORGANIZATION);
        github.install_app(ORGANIZATION);
        github
    }

    /// Whether what is said is held against GitHub's description.
    pub fn is_checked(&self) -> bool {
        self.0.checker.is_some()
    }

    /// What was said, by either side, that GitHub's own description does not know.
    ///
    /// # Panics
    /// With an unchecked GitHub.
    pub fn violations(&self) -> Vec<String> {
        self.0.checker.as_ref().expect("a checked GitHub").violations()
    }

    /// Fails the test if anything was said, by either side, that GitHub's own description does not know.
    ///
    /// # Panics
    /// If so, and with an unchecked GitHub.
    pub fn assert_spoke_github(&self) {
        let violations = self.violations();
        assert!(violations.is_empty(), "not what GitHub's description says:\n{}", violations.join("\n"));
    }

    /// The secret that jitgate reads to act as the tests' App.
    pub fn app_secret(webhook_secret: &str) -> Value {
        json!({
            "app_id": APP_ID.to_string(),
            "private_key": AppKey::of_tests().private_pem,
            "webhook_secret": webhook_secret,
        })
    }

    /// The clock all of it goes by.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The state, with everything done that was due by now.
    fn state(&self) -> (MutexGuard<'_, State>, OffsetDateTime) {
        let now = self.0.clock.now();
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.settle(now);
        (state, now)
    }

    /// Rings for the courier, if there is work for it.
    fn ring(&self, state: &State) {
        if !state.unsent.is_empty() {
            self.0.unsent.notify_one();
        }
    }
}

/// Who and what exists.
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

    /// Another client changes something with the credential that [`meters`](Self::meters) calls `key`.
    pub fn write_elsewhere(&self, key: &str) {
        let (mut state, now) = self.state();
        state.charge_elsewhere(key, now);
    }
}

/// What people do.
impl GitHub {
    /// A workflow starts and its job waits for a runner; hooks hear of it.
    pub fn queue_job(&self, spec: JobSpec) -> JobId {
        let (mut state, now) = self.state();
        let id = state.create_job(spec, now);
        self.ring(&state);
        id
    }

    /// The job of a delivery that a test made by itself: it exists from now on, queued, and its repository and the
    /// installation it names do too. Hooks hear of it as of any other.
    pub fn adopt(&self, event: &WorkflowJobEvent) -> JobId {
        let payload = event.json();
        let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (owner, name) = (text("/repository/owner/login"), text("/repository/name"));
        let labels = payload["workflow_job"]["labels"].as_array().cloned().unwrap_or_default();
        let mut spec = JobSpec::labels(labels.iter().filter_map(Value::as_str))
            .in_repository(&owner, &name)
            .named(&text("/workflow_job/name"));
        spec.id = payload["workflow_job"]["id"].as_u64().map(JobId);
        spec.run = payload["workflow_job"]["run_id"].as_u64().map(RunId);
        let (mut state, now) = self.state();
        let kind = match text("/repository/owner/type").as_str() {
            "User" => AccountKind::User,
            _ => AccountKind::Organization,
        };
        let account = state.account(&owner, kind);
        if let Some(id) = payload["installation"]["id"].as_u64().map(InstallationId) {
            let permissions = PERMISSIONS.map(|(name, level)| (name.to_owned(), level.to_owned())).into();
            let new =
                Installation { id, account, permissions, repositories: None, suspended_at: None, created_at: now };
            state.installations.entry(id.0).or_insert(new);
        }
        let id = state.create_job(spec, now);
        if let Some(repository) = state.repositories.get_mut(&(owner.to_lowercase(), name.to_lowercase())) {
            repository.is_public = payload["repository"]["private"] == false;
        }
        self.ring(&state);
        id
    }

    /// The environment of a waiting job is approved, or GitHub announces a queued one again: one more `queued`.
    pub fn queue_again(&self, job: JobId) {
        let (mut state, now) = self.state();
        state.enqueue(job, now);
        self.ring(&state);
    }

    /// Somebody cancels the job.
    pub fn cancel_job(&self, job: JobId) {
        let (mut state, now) = self.state();
        state.cancel_job(job, now);
        self.ring(&state);
    }

    /// GitHub calls the run completed although a job of it is still queued, as users saw it.
    pub fn close_run(&self, run: RunId) {
        if let Some(run) = self.state().0.runs.get_mut(&run.0) {
            run.closed = true;
        }
    }

    /// Somebody deletes a registration by hand; false if there was none.
    pub fn delete_registration(&self, runner: RunnerId) -> bool {
        let (mut state, now) = self.state();
        let is_there = state.runners.contains_key(&runner.0);
        state.remove_runner(runner, "deleted", now);
        is_there
    }

    /// A registration that nobody here has made: offline, and if `has_connected`, once online.
    pub fn orphan(&self, scope: &Scope, name: &str, labels: &[&str], has_connected: bool) -> RunnerId {
        let (mut state, now) = self.state();
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let id = state.register(scope, 1, name.to_owned(), labels, now);
        if has_connected {
            let version = state.behaviour.runner_version.clone();
            if let Some(runner) = state.runners.get_mut(&id.0) {
                runner.version = Some(version);
            }
        }
        id
    }
}

/// What runners do.
impl GitHub {
    /// Whose JIT configuration this is; `None` if GitHub has not made it, or its registration is gone.
    pub fn recognise(&self, encoded_jit_config: &str) -> Option<RunnerId> {
        let credentials = jitconfig::decode(encoded_jit_config)?;
        let (state, _) = self.state();
        let runner = state.runners.get(&credentials.runner_id)?;
        (runner.client_id == credentials.client_id).then_some(runner.id)
    }

    /// A registration's configuration once more, for tests that start a runner without having asked for it.
    pub fn config_of(&self, runner: RunnerId) -> Option<String> {
        self.state().0.runners.get(&runner.0).map(|runner| jitconfig::encode(runner, "_work"))
    }

    /// The runner opens a session.
    pub fn connect(&self, runner: RunnerId) -> Result<(), Gone> {
        let (mut state, now) = self.state();
        state.connect(runner, now)
    }

    /// The runner asks for a job, and has the oldest that it may take.
    pub fn take_job(&self, runner: RunnerId) -> Result<Option<Job>, Gone> {
        let (mut state, now) = self.state();
        let taken = state.take_job(runner, now)?;
        self.ring(&state);
        Ok(taken.and_then(|id| state.jobs.get(&id.0).cloned()))
    }

    /// The runner has done its job; its registration goes, soon.
    pub fn finish_job(&self, runner: RunnerId, conclusion: &str) {
        let (mut state, now) = self.state();
        state.finish_job(runner, conclusion, now);
        self.ring(&state);
    }

    /// The runner is killed: it goes offline, its registration stays, its job is lost after a while.
    pub fn kill(&self, runner: RunnerId) {
        let (mut state, now) = self.state();
        state.disconnect(runner, now);
    }

    /// GitHub is mistaken about this runner: `busy` says no although it has a job.
    pub fn seem_idle(&self, runner: RunnerId, seems_idle: bool) {
        if let Some(runner) = self.state().0.runners.get_mut(&runner.0) {
            runner.seems_idle = seems_idle;
        }
    }
}

/// What can be seen.
impl GitHub {
    /// All jobs, oldest first.
    pub fn jobs(&self) -> Vec<Job> {
        self.state().0.jobs.values().cloned().collect()
    }

    /// One job.
    pub fn job(&self, id: JobId) -> Option<Job> {
        self.state().0.jobs.get(&id.0).cloned()
    }

    /// All registrations, oldest first.
    pub fn runners(&self) -> Vec<Runner> {
        self.state().0.runners.values().cloned().collect()
    }

    /// One registration.
    pub fn runner(&self, id: RunnerId) -> Option<Runner> {
        self.state().0.runners.get(&id.0).cloned()
    }

    /// The registrations of that name, in whichever scopes.
    pub fn runners_named(&self, name: &str) -> Vec<Runner> {
        let (state, _) = self.state();
        state.runners.values().filter(|runner| runner.name.eq_ignore_ascii_case(name)).cloned().collect()
    }

    /// How many jobs wait for a runner.
    pub fn queue_length(&self) -> usize {
        self.state().0.queued.len()
    }

    /// All that has happened, in order.
    pub fn timeline(&self) -> Vec<Event> {
        self.state().0.timeline.clone()
    }

    /// Adds what happened elsewhere to the timeline.
    pub fn note(&self, job: Option<JobId>, event: &'static str, detail: String) {
        let (mut state, now) = self.state();
        state.note(now, job, event, detail);
    }

    /// How much each identity has used: `app`, `installation 77`, `token …`.
    pub fn meters(&self) -> BTreeMap<String, Meter> {
        self.state().0.meters.iter().map(|(key, meter)| (key.clone(), meter.clone())).collect()
    }

    /// How many installation tokens were handed out.
    pub fn tokens_made(&self) -> u64 {
        self.state().0.counters.token
    }

    /// What a hook would send of a job now: as the App's hook, or as an organisation's where no App is installed.
    ///
    /// # Panics
    /// If there is no such job.
    pub fn event(&self, job: JobId, action: &str) -> WorkflowJobEvent {
        let (state, _) = self.state();
        let job = state.jobs.get(&job.0).expect("a job that GitHub knows");
        state.workflow_job_event(job, action, true)
    }
}

/// What hooks send.
impl GitHub {
    /// The deliveries to be sent, each given out once: the taker sends them and says how it went.
    pub fn take_deliveries(&self) -> Vec<Delivery> {
        self.state().0.take_unsent()
    }

    /// Waits until there may be deliveries to send.
    pub async fn deliveries_wait(&self) {
        self.0.unsent.notified().await;
    }

    /// Writes into the log how sending a delivery went.
    pub fn delivered(&self, id: u64, outcome: Outcome) {
        let (mut state, now) = self.state();
        state.record_outcome(id, outcome, now);
    }

    /// GitHub forgets the latest delivery of a job before anybody could send it: it is in no log, and is never made up
    /// for. False if there was none to be sent.
    pub fn forget_delivery(&self, job: JobId) -> bool {
        let (mut state, _) = self.state();
        state.withdraw_unsent(job).is_some_and(|id| state.deliveries.remove(&id).is_some())
    }

    /// The latest delivery of a job did not reach its receiver, back then. False if there was none to be sent.
    pub fn lose_delivery(&self, job: JobId, at: OffsetDateTime) -> bool {
        let (mut state, _) = self.state();
        let lost = state.withdraw_unsent(job);
        if let Some(id) = lost {
            state.record_outcome(id, Outcome::unreachable(), at);
        }
        lost.is_some()
    }

    /// How sending a delivery went, if it has been sent.
    pub fn outcome(&self, id: u64) -> Option<Outcome> {
        self.state().0.outcome(id)
    }

    /// Id and GUID of the last delivery that tells of this job.
    pub fn last_delivery_of(&self, job: JobId) -> Option<(u64, String)> {
        self.state().0.last_delivery_of(job)
    }
}

impl Service for GitHub {
    fn operation(&self, request: &Request) -> String {
        Route::of(request).map_or(operation::UNKNOWN, |route| route.operation()).to_owned()
    }

    fn answer<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Answer> {
        let (mut state, now) = self.state();
        let mut answer = state.respond(request, now).unwrap_or_else(|refusal| *refusal);
        let id = next(&mut state.counters.request);
        self.ring(&state);
        drop(state);
        answers::set(&mut answer, "x-github-request-id", format!("0000:0000:{id:08X}"));
        futures::future::ready(answer).boxed()
    }

    fn overhear(&self, request: &Request, answer: Option<&Answer>) {
        if let Some(checker) = &self.0.checker {
            checker.check(request, answer);
        }
    }
}

fn tests_key() -> DecodingKey {
    DecodingKey::from_rsa_pem(AppKey::of_tests().public_pem.as_bytes()).expect("a key that was just made")
}

impl State {
    fn respond(&mut self, request: &Request, now: OffsetDateTime) -> Refused<Answer> {
        let identity = self.authenticate(request, now)?;
        let key = identity.key();
        let mut answer = match self.charge(&key, request.method(), now) {
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
            Route::Hooks(target) => Ok(self.list_hooks(target, request)),
            Route::Deliveries(target, hook) => {
                require_hook_owner(identity, target)?;
                self.list_deliveries(target, *hook, request, now)
            }
            Route::Delivery(target, hook, id) => {
                require_hook_owner(identity, target)?;
                self.get_delivery(target, *hook, *id, now)
            }
            Route::Redeliver(target, hook, id) => {
                require_hook_owner(identity, target)?;
                self.redeliver(target, *hook, *id, now)
            }
        }
    }
}

/// The App's own hook is for the App itself; the others go by permission.
fn require_hook_owner(identity: &Identity, target: &HookTarget) -> Refused<()> {
    match target {
        HookTarget::App => require_app(identity),
        HookTarget::Scope(_) => Ok(()),
    }
}

impl Route {
    /// What a token needs for the call, where it is not the App's own affair.
    fn needs(&self) -> Option<(&Scope, Permission, Level)> {
        match self {
            Self::App
            | Self::Installations
            | Self::InstallationRepositories
            | Self::UserOrganizations
            | Self::InstallationOf(_)
            | Self::AccessToken(_)
            | Self::Hooks(HookTarget::App)
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
            Self::Hooks(HookTarget::Scope(scope))
            | Self::Deliveries(HookTarget::Scope(scope), _)
            | Self::Delivery(HookTarget::Scope(scope), ..) => Some((scope, Permission::Hooks, Level::Read)),
            Self::Redeliver(HookTarget::Scope(scope), ..) => Some((scope, Permission::Hooks, Level::Write)),
        }
    }
}

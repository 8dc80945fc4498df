//! GitHub's data: accounts, repositories, installations, runners, jobs, hooks. It contains no rules.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jitgate::job::{InstallationId, JobId, OwnerId, RunId, RunnerId};
use time::OffsetDateTime;

use super::apps::{App, Web};
use super::behaviour::Behaviour;
use super::checks::CheckRun;
use super::hooks::{DeliveryRecord, Hook};
use super::meter::{Limits, Meter};
use super::scope::Scope;

/// Whether an account is an organisation or a user; only organisations have runners of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AccountKind {
    Organization,
    User,
}

#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) id: OwnerId,
    pub(super) login: String,
    pub(super) kind: AccountKind,
}

#[derive(Clone, Debug)]
pub(super) struct Repository {
    pub(super) id: u64,
    pub(super) owner: Account,
    pub(super) name: String,
    pub(super) is_public: bool,
    /// When somebody last pushed to it; absent for a repository without a commit.
    pub(super) pushed_at: Option<OffsetDateTime>,
}

impl Repository {
    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.owner.login, self.name)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Installation {
    pub(super) id: InstallationId,
    /// The id of its App.
    pub(super) app: u64,
    pub(super) account: Account,
    pub(super) permissions: BTreeMap<String, String>,
    /// Lower-case names of its repositories; absent for all.
    pub(super) repositories: Option<BTreeSet<String>>,
    pub(super) suspended_at: Option<OffsetDateTime>,
    pub(super) events: Vec<String>,
    pub(super) created_at: OffsetDateTime,
}

impl Installation {
    /// Whether it is on that account and covers this repository of it.
    pub(super) fn covers(&self, owner: &str, repository: &str) -> bool {
        self.account.login.eq_ignore_ascii_case(owner)
            && self.repositories.as_ref().is_none_or(|names| names.contains(&repository.to_lowercase()))
    }
}

/// What an installation token may do.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) installation: InstallationId,
    pub(super) permissions: BTreeMap<String, String>,
    pub(super) repositories: Option<BTreeSet<String>>,
    pub(super) expires_at: OffsetDateTime,
}

/// A registration. All of them are ephemeral: valid for one job.
#[derive(Clone, Debug)]
pub struct Runner {
    /// GitHub's id.
    pub id: RunnerId,
    /// Its name, unique within the scope.
    pub name: String,
    /// Where it is registered.
    pub scope: Scope,
    /// The group it belongs to.
    pub group_id: u64,
    /// Exactly the labels it was registered with.
    pub labels: Vec<String>,
    /// Whether it has a session.
    pub online: bool,
    /// The software's version; `None` until it has connected once.
    pub version: Option<String>,
    /// The job it works on.
    pub job: Option<JobId>,
    /// Whether it has ever taken a job.
    pub has_taken: bool,
    /// When it was registered; not part of GitHub's answers.
    pub registered_at: OffsetDateTime,
    /// When it last took a job.
    pub taken_at: Option<OffsetDateTime>,
    /// When its job ended.
    pub ended_at: Option<OffsetDateTime>,
    /// Whether GitHub wrongly reports it as not busy while it has a job.
    pub seems_idle: bool,
    pub(super) client_id: String,
}

/// The status of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStatus {
    /// Waits for the approval of an environment.
    Waiting,
    /// Waits for a runner.
    Queued,
    /// A runner has it.
    InProgress,
    /// It has ended.
    Completed,
}

impl JobStatus {
    /// GitHub's name for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
        }
    }
}

/// A workflow job.
#[derive(Clone, Debug)]
pub struct Job {
    /// GitHub's id.
    pub id: JobId,
    /// Its run.
    pub run_id: RunId,
    /// Login of the repository's owner.
    pub owner: String,
    /// Name of the repository.
    pub repository: String,
    /// Its name in the workflow.
    pub name: String,
    /// The labels of `runs-on`.
    pub labels: Vec<String>,
    /// The group of `runs-on`, which deliveries do not contain.
    pub group: Option<u64>,
    /// Its status.
    pub status: JobStatus,
    /// How it ended.
    pub conclusion: Option<String>,
    /// When it was created.
    pub created_at: OffsetDateTime,
    /// When a runner took it.
    pub started_at: Option<OffsetDateTime>,
    /// When it ended.
    pub completed_at: Option<OffsetDateTime>,
    /// The runner that took it.
    pub runner_id: Option<RunnerId>,
    /// That runner's name, which outlives its registration.
    pub runner_name: Option<String>,
    /// That runner's group: id and name.
    pub runner_group: Option<(u64, String)>,
    /// How often a runner took it. More than once is a fault of the stand-in.
    pub times_taken: u32,
    /// The number of GitHub's example from which its deliveries are made.
    pub(super) example: Option<usize>,
}

/// A workflow run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) repository: Repository,
    pub(super) created_at: OffsetDateTime,
    /// Whether GitHub calls the run completed although a job of it is not.
    pub(super) closed: bool,
    /// The event that started it.
    pub(super) event: String,
    /// The fork from which its code comes; absent for its own repository.
    pub(super) fork: Option<Repository>,
    pub(super) jobs: BTreeSet<u64>,
}

/// A runner group.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) id: u64,
    pub(super) name: String,
    /// Lower-case names of the repositories that may use it, or, for an enterprise's, of the organisations; absent for all.
    pub(super) selected: Option<BTreeSet<String>>,
    /// Whether public repositories may use it.
    pub(super) allows_public: bool,
}

/// Something that happens later by itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    /// The registration is removed, since its job has ended.
    Deregister(RunnerId),
    /// The registration is removed, unless a runner has used it.
    ExpireUnused(RunnerId),
    /// The job fails, unless its runner has come back.
    LoseJob(JobId),
    /// The job is cancelled, unless a runner has taken it.
    ExpireQueued(JobId),
}

/// An event in the timeline.
#[derive(Clone, Debug)]
pub struct Event {
    /// When.
    pub at: OffsetDateTime,
    /// The job, if it is known.
    pub job_id: Option<JobId>,
    /// What: `queued`, `delivered`, `registered`, `task_started`, `online`, `in_progress`, `completed`,
    /// `deregistered`, `offline`, `deleted`, `redelivered`.
    pub event: &'static str,
    /// In words.
    pub detail: String,
}

/// The last numbers used. Each kind of thing has its own range, so that ids of different kinds differ.
pub(super) struct Counters {
    pub(super) app: u64,
    pub(super) account: u64,
    pub(super) repository: u64,
    pub(super) installation: u64,
    pub(super) group: u64,
    pub(super) runner: u64,
    pub(super) job: u64,
    pub(super) run: u64,
    pub(super) hook: u64,
    pub(super) delivery: u64,
    pub(super) token: u64,
    pub(super) due: u64,
    pub(super) request: u64,
    pub(super) check_run: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            app: 1_200_000,
            account: 6_000_000,
            repository: 400_000_000,
            installation: 76,
            group: 1,
            runner: 100,
            job: 52_000_000_000,
            run: 18_000_000_000,
            hook: 500_000,
            delivery: 20_000_000_000,
            token: 0,
            due: 0,
            request: 0,
            check_run: 9_000_000_000,
        }
    }
}

/// Increments the counter and returns it.
pub(super) fn next(counter: &mut u64) -> u64 {
    *counter += 1;
    *counter
}

/// All of GitHub's data.
pub(super) struct State {
    pub(super) apps: BTreeMap<u64, App>,
    /// Who sits at the browser, and what its pages wait for.
    pub(super) web: Web,
    pub(super) counters: Counters,
    pub(super) behaviour: Behaviour,
    /// Calls with a token that has not reached all servers yet.
    pub(super) lagging_calls: usize,
    pub(super) limits: Limits,
    pub(super) meters: HashMap<String, Meter>,
    /// By lower-case login.
    pub(super) accounts: BTreeMap<String, Account>,
    /// By lower-case owner and name.
    pub(super) repositories: BTreeMap<(String, String), Repository>,
    pub(super) installations: BTreeMap<u64, Installation>,
    pub(super) tokens: HashMap<String, Arc<Token>>,
    /// Scopes of personal access tokens, by token.
    pub(super) personal_tokens: HashMap<String, Arc<BTreeSet<String>>>,
    /// The last JWT used, and the second in which it was used.
    pub(super) last_jwt: Option<(String, i64)>,
    pub(super) groups: BTreeMap<Scope, BTreeMap<u64, Group>>,
    pub(super) runners: BTreeMap<u64, Runner>,
    /// Runners by scope and lower-case name.
    pub(super) names: HashMap<(Scope, String), u64>,
    pub(super) jobs: BTreeMap<u64, Job>,
    pub(super) queued: BTreeSet<u64>,
    pub(super) runs: BTreeMap<u64, Run>,
    pub(super) check_runs: BTreeMap<u64, CheckRun>,
    pub(super) hooks: BTreeMap<u64, Hook>,
    pub(super) deliveries: BTreeMap<u64, DeliveryRecord>,
    /// Deliveries to send.
    pub(super) unsent: Vec<u64>,
    pub(super) schedule: BTreeMap<(OffsetDateTime, u64), Due>,
    pub(super) timeline: Vec<Event>,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            apps: BTreeMap::new(),
            web: Web::default(),
            counters: Counters::default(),
            behaviour: Behaviour::default(),
            lagging_calls: 0,
            limits: Limits::default(),
            meters: HashMap::new(),
            accounts: BTreeMap::new(),
            repositories: BTreeMap::new(),
            installations: BTreeMap::new(),
            tokens: HashMap::new(),
            personal_tokens: HashMap::new(),
            last_jwt: None,
            groups: BTreeMap::new(),
            runners: BTreeMap::new(),
            names: HashMap::new(),
            jobs: BTreeMap::new(),
            queued: BTreeSet::new(),
            runs: BTreeMap::new(),
            check_runs: BTreeMap::new(),
            hooks: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            unsent: Vec::new(),
            schedule: BTreeMap::new(),
            timeline: Vec::new(),
        }
    }

    /// The account with that login, created if there is none.
    pub(super) fn account(&mut self, login: &str, kind: AccountKind) -> Account {
        let counter = &mut self.counters.account;
        let new = || Account { id: OwnerId(next(counter)), login: login.to_owned(), kind };
        self.accounts.entry(login.to_lowercase()).or_insert_with(new).clone()
    }

    /// The repository with that name, created if there is none. A new owner is an organisation.
    pub(super) fn repository(&mut self, owner: &str, name: &str) -> Repository {
        let owner = self.account(owner, AccountKind::Organization);
        let counter = &mut self.counters.repository;
        let key = (owner.login.to_lowercase(), name.to_lowercase());
        let new = || Repository { id: next(counter), owner, name: name.to_owned(), is_public: false, pushed_at: None };
        self.repositories.entry(key).or_insert_with(new).clone()
    }

    pub(super) fn known_repository(&self, owner: &str, name: &str) -> Option<&Repository> {
        self.repositories.get(&(owner.to_lowercase(), name.to_lowercase()))
    }

    /// The first installation on an account, of whichever App.
    pub(super) fn installation_of(&self, login: &str) -> Option<&Installation> {
        self.installations.values().find(|installation| installation.account.login.eq_ignore_ascii_case(login))
    }

    pub(super) fn installations_of_app(&self, app: u64) -> impl Iterator<Item = &Installation> {
        self.installations.values().filter(move |installation| installation.app == app)
    }

    pub(super) fn plan(&mut self, at: OffsetDateTime, due: Due) {
        let number = next(&mut self.counters.due);
        self.schedule.insert((at, number), due);
    }

    pub(super) fn note(&mut self, at: OffsetDateTime, job_id: Option<JobId>, event: &'static str, detail: String) {
        self.timeline.push(Event { at, job_id, event, detail });
    }
}

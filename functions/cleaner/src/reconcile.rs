//! Asking GitHub which jobs wait, and which are on, in the repositories where they may be ours.

use std::collections::HashSet;

use jitgate::classes::Asked;
use jitgate::github::{Account, GitHubError, Job, JobState, Run, RunState};
use jitgate::job::{Attempt, LONGEST_HTML_URL, Message, Purpose};
use jitgate::names::RunnerOrigin;

use crate::clean::{Cleaner, ListedJobs, Pass};
use crate::plan::{WORTH_LISTING, Waiting, Working};

/// Points that one pass spends on this at most, of the 900 a minute that GitHub allows an installation. What they do
/// not reach is looked at by another pass, since each begins elsewhere.
const MOST_POINTS: u32 = 200;

/// What stands in a message in place of the id of a delivery.
const NO_DELIVERY: &str = "reconciled";

/// A repository to be looked at.
struct Repository {
    account: Account,
    owner: String,
    name: String,
}

/// How much of a pass's points is left.
struct Points(u32);

impl Points {
    fn spend(&mut self) -> bool {
        self.0 = self.0.saturating_sub(1);
        self.0 > 0
    }
}

impl Cleaner {
    /// The jobs of the repositories of recent tasks and of those that are configured; and how many looks failed.
    pub(crate) async fn reconcile(&self, pass: Pass, accounts: &[Account], recent: &[Message]) -> (ListedJobs, usize) {
        let (mut repositories, mut failed) = self.repositories(accounts, recent).await;
        self.rotate(&mut repositories);
        let mut jobs = ListedJobs::default();
        let mut points = Points(MOST_POINTS);
        let mut closed = HashSet::new();
        for repository in repositories {
            if points.0 == 0 || pass.is_over(self.clock.now()) {
                break;
            }
            if closed.contains(&repository.owner) {
                continue;
            }
            match self.look_at_jobs(pass, &repository, &mut points, &mut jobs).await {
                Ok(()) => {}
                // It has been deleted or renamed, or is not the credential's to see.
                Err(GitHubError::NotFound { .. }) => {
                    tracing::info!(owner = repository.owner, repository = repository.name, "no such repository");
                }
                Err(error) => {
                    failed += 1;
                    tracing::error!(owner = repository.owner, repository = repository.name, error = %error, "jobs not listed");
                    // For the other repositories the answer would be the same.
                    if matches!(error, GitHubError::RateLimited { .. } | GitHubError::Secret(_)) {
                        closed.insert(repository.owner);
                    }
                }
            }
        }
        (jobs, failed)
    }

    async fn repositories(&self, accounts: &[Account], recent: &[Message]) -> (Vec<Repository>, usize) {
        let mut failed = 0;
        let mut known = HashSet::new();
        let mut repositories: Vec<_> = recent
            .iter()
            .map(|message| Repository {
                account: Account::from(&message.job),
                owner: message.job.owner.clone(),
                name: message.job.repository.clone(),
            })
            .collect();
        for account in accounts {
            let globs: Vec<_> =
                self.config.reconcile.iter().filter(|glob| glob.matches_owner(&account.login)).collect();
            repositories.extend(globs.iter().filter_map(|glob| glob.only_name()).map(|name| Repository {
                account: Account { repository: Some(name.to_owned()), ..account.clone() },
                owner: account.login.clone(),
                name: name.to_owned(),
            }));
            if globs.iter().all(|glob| glob.only_name().is_some()) {
                continue;
            }
            let fits = |owner: &str, name: &str| globs.iter().any(|glob| glob.matches(owner, name));
            match self.github.repositories_of(account, fits).await {
                Ok(places) => repositories.extend(places.into_iter().filter_map(|place| {
                    let name = place.account.repository.clone()?;
                    Some(Repository { owner: account.login.clone(), account: place.account, name })
                })),
                Err(error) => {
                    failed += 1;
                    tracing::error!(owner = account.login, error = %error, "repositories not listed");
                }
            }
        }
        repositories.retain(|each| self.config.allowed.includes(&each.owner, each.account.installation));
        repositories.retain(|each| known.insert(format!("{}/{}", each.owner, each.name).to_lowercase()));
        (repositories, failed)
    }

    async fn look_at_jobs(
        &self,
        pass: Pass,
        repository: &Repository,
        points: &mut Points,
        jobs: &mut ListedJobs,
    ) -> Result<(), GitHubError> {
        let Repository { account, owner, name } = repository;
        let client = self.github.in_repository(account, owner, name);
        let mut runs = Vec::new();
        for state in [RunState::Queued, RunState::InProgress] {
            runs.extend(client.runs(state, &mut || points.spend()).await?);
        }
        let now = self.clock.now();
        runs.retain(|run| now - run.created_at >= WORTH_LISTING);
        self.rotate(&mut runs);
        for run in runs {
            let mut may_read = || !pass.is_over(self.clock.now()) && points.spend();
            for job in client.jobs_of_run(run.id, &mut may_read).await? {
                self.sort(account, &run, job, jobs);
            }
        }
        Ok(())
    }

    fn sort(&self, account: &Account, run: &Run, job: Job, jobs: &mut ListedJobs) {
        match job.state {
            JobState::InProgress => {
                let is_ours = |name: &String| RunnerOrigin::parse(&self.config.name_prefix, name).is_some();
                if let Some(name) = job.runner_name.filter(is_ours) {
                    let repository = format!("{}/{}", run.repository.owner.login, run.repository.name);
                    jobs.working.insert(name, Working { job: job.id, repository });
                }
            }
            JobState::Queued => {
                if let Some(message) = self.message_of(account, run, job) {
                    jobs.waiting.push(Waiting { message });
                }
            }
            JobState::Completed | JobState::Waiting => {}
        }
    }

    /// As the webhook would have made it; `None` for a job that fits none of our classes, or that its class does not
    /// take: it would only be refused again.
    fn message_of(&self, account: &Account, run: &Run, job: Job) -> Option<Message> {
        let now = self.clock.now();
        let owner = &run.repository.owner;
        let asked = Asked { owner: &owner.login, repository: &run.repository.name, labels: &job.labels };
        let class = self.config.classes.fit(&asked).ok()?.class;
        let provenance = run.provenance();
        provenance.check(class).ok()?;
        let class = class.name.clone();
        let created_at = job.created_at.unwrap_or(run.created_at);
        let job = jitgate::job::Job {
            id: job.id,
            run_id: job.run_id,
            run_attempt: job.run_attempt,
            owner: owner.login.clone(),
            owner_id: owner.id,
            repository: run.repository.name.clone(),
            organization: (owner.kind.as_deref() == Some("Organization")).then(|| owner.login.clone()),
            is_public: provenance.is_public,
            is_from_fork: provenance.is_from_fork,
            installation_id: account.installation,
            labels: job.labels,
            class,
            created_at,
            html_url: job.html_url.filter(|url| url.len() <= LONGEST_HTML_URL),
            delivery_id: NO_DELIVERY.to_owned(),
            queued_at: created_at,
        };
        Some(Message::new(Purpose::Launch, job, Attempt::FIRST, now))
    }
}

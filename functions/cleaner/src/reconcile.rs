//! Seeing which jobs wait and which run, in the repositories where they may be ours: those of recent tasks and those that
//! `RECONCILE_REPOSITORIES` names.
//!
//! It lists the runs that are queued or in progress (a run goes on while some of its jobs wait), and their jobs. Each pass
//! begins with another repository, so what the points do not reach is looked at by a later pass.

use std::collections::HashSet;

use jitgate::classes::Asked;
use jitgate::github::{Account, GitHubError, Job, JobState, Run};
use jitgate::job::{self, Attempt, LONGEST_HTML_URL, Message, Purpose};
use jitgate::names::RunnerOrigin;
use tracing::{Instrument, error_span};

use crate::context::Pass;
use crate::plan::{Seen, WORTH_LISTING, Working};
use crate::tally::Done;

/// The most points that a pass spends here, of the 900 a minute that GitHub allows an installation.
const MOST_POINTS: u32 = 200;

/// Stands in a message in place of a delivery's id.
const NO_DELIVERY: &str = "reconciled";

struct Repository {
    account: Account,
    owner: String,
    name: String,
}

impl Repository {
    fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }
}

/// How much of a pass's points is left.
struct Points(u32);

impl Points {
    fn spend(&mut self) -> bool {
        self.0 = self.0.saturating_sub(1);
        self.0 > 0
    }
}

/// Adds the jobs to what was seen.
pub(crate) async fn reconcile(pass: Pass<'_>, accounts: &[Account], recent: &[Message], seen: &mut Seen) -> Vec<Done> {
    let mut steps = Vec::new();
    let mut repositories = repositories(pass, accounts, recent, &mut steps).await;
    pass.rotate(&mut repositories);
    let mut points = Points(MOST_POINTS);
    let mut closed = HashSet::new();
    for repository in repositories {
        if points.0 == 0 || pass.is_over() {
            break;
        }
        if closed.contains(&repository.owner) {
            continue;
        }
        let span = error_span!("repository", repository = repository.full_name());
        match look_at_jobs(pass, &repository, &mut points, seen).instrument(span.clone()).await {
            Ok(()) => {}
            // It was deleted or renamed, or the credential may not see it.
            Err(GitHubError::NotFound { .. }) => span.in_scope(|| tracing::info!("no such repository")),
            Err(error) => {
                span.in_scope(|| tracing::error!(error = %error, "jobs not listed"));
                steps.push(Done::Failed);
                // GitHub would answer the same for the owner's other repositories.
                if matches!(error, GitHubError::RateLimited { .. } | GitHubError::Secret(_)) {
                    closed.insert(repository.owner);
                }
            }
        }
    }
    steps
}

async fn repositories(
    pass: Pass<'_>,
    accounts: &[Account],
    recent: &[Message],
    steps: &mut Vec<Done>,
) -> Vec<Repository> {
    let of_task = |message: &Message| {
        let job::Job { owner, repository: name, .. } = message.job.clone();
        Repository { account: Account::from(&message.job), owner, name }
    };
    let mut repositories: Vec<_> = recent.iter().map(of_task).collect();
    for account in accounts {
        let in_account = |name: String| Repository {
            account: Account { repository: Some(name.clone()), ..account.clone() },
            owner: account.login.clone(),
            name,
        };
        let globs: Vec<_> = pass.config.reconcile.iter().filter(|glob| glob.matches_owner(&account.login)).collect();
        repositories.extend(globs.iter().filter_map(|glob| glob.only_name()).map(|name| in_account(name.to_owned())));
        if globs.iter().all(|glob| glob.only_name().is_some()) {
            continue;
        }
        let fits = |owner: &str, name: &str| globs.iter().any(|glob| glob.matches(owner, name));
        match pass.github.repositories_of(account, fits).await {
            Ok(places) => {
                repositories.extend(places.into_iter().filter_map(|place| place.account.repository).map(in_account));
            }
            Err(error) => {
                tracing::error!(owner = account.login, error = %error, "repositories not listed");
                steps.push(Done::Failed);
            }
        }
    }
    let mut known = HashSet::new();
    repositories.retain(|each| pass.config.allowed.includes(&each.owner, each.account.installation));
    repositories.retain(|each| known.insert(each.full_name().to_lowercase()));
    repositories
}

async fn look_at_jobs(
    pass: Pass<'_>,
    repository: &Repository,
    points: &mut Points,
    seen: &mut Seen,
) -> Result<(), GitHubError> {
    let Repository { account, owner, name } = repository;
    let client = pass.github.in_repository(account, owner, name);
    let mut runs = client.runs(&mut || points.spend()).await?;
    let now = pass.clock.now();
    runs.retain(|run| run.created_at.is_none_or(|at| now - at >= WORTH_LISTING));
    pass.rotate(&mut runs);
    for run in runs {
        let mut may_read = || !pass.is_over() && points.spend();
        for job in client.jobs_of_run(run.id, &mut may_read).await? {
            sort(pass, repository, &run, job, seen);
        }
    }
    Ok(())
}

fn sort(pass: Pass<'_>, repository: &Repository, run: &Run, job: Job, seen: &mut Seen) {
    match job.state {
        Some(JobState::InProgress) => {
            let is_ours = |name: &String| RunnerOrigin::parse(&pass.config.name_prefix, name).is_some();
            if let Some(name) = job.runner_name.filter(is_ours) {
                seen.working.insert(name, Working { job: job.id, repository: repository.full_name() });
            }
        }
        Some(JobState::Queued) => seen.waiting.extend(message_of(pass, repository, run, job)),
        Some(JobState::Completed | JobState::Waiting) | None => {}
    }
}

/// The message as the webhook would have made it; `None` for a job that fits no class, or whose class refuses it.
fn message_of(pass: Pass<'_>, Repository { account, name, .. }: &Repository, run: &Run, job: Job) -> Option<Message> {
    let owner = run.repository.owner.as_ref()?;
    let name = run.repository.name.as_ref().unwrap_or(name);
    let asked = Asked { owner: &owner.login, repository: name, labels: &job.labels };
    let class = pass.config.classes.fit(&asked).ok()?.class;
    let provenance = run.provenance();
    provenance.check(class).ok()?;
    let created_at = job.created_at.or(run.created_at).unwrap_or_else(|| pass.clock.now());
    let job = job::Job {
        id: job.id,
        run_id: run.id,
        run_attempt: job.run_attempt,
        owner: owner.login.clone(),
        owner_id: owner.id,
        repository: name.clone(),
        organization: (owner.kind.as_deref() == Some("Organization")).then(|| owner.login.clone()),
        is_public: provenance.is_public,
        is_from_fork: provenance.is_from_fork,
        installation_id: account.installation,
        class: class.name.clone(),
        labels: job.labels,
        created_at,
        html_url: job.html_url.filter(|url| url.len() <= LONGEST_HTML_URL),
        delivery_id: NO_DELIVERY.to_owned(),
        queued_at: created_at,
    };
    Some(Message::new(Purpose::Launch, job, Attempt::FIRST, pass.clock.now()))
}

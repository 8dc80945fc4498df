//! Seeing which jobs wait and which run, in the repositories where they may be ours: those of recent tasks, those that
//! `RECONCILE_REPOSITORIES` names, and those that were pushed to within a day, the latest first. So a job that no delivery
//! announced is found in a quiet repository, too.
//!
//! It lists the runs that are queued or in progress (a run goes on while some of its jobs wait), and their jobs. Each pass
//! begins with another repository, so what the points do not reach is looked at by a later pass.

use std::collections::{HashMap, HashSet};

use jitgate::classes::Asked;
use jitgate::github::{Account, GitHubError, Job, JobState, Run};
use jitgate::job::{self, Attempt, LONGEST_HTML_URL, Message, Purpose};
use jitgate::names::RunnerOrigin;
use jitgate::report::OnCommit;
use tracing::{Instrument, error_span};

use crate::context::Pass;
use crate::plan::{MOST_POINTS, MOST_PUSHED, Seen, WORTH_LISTING, Working};
use crate::repositories::Repositories;
use crate::tally::Done;

/// The most points that a pass spends here on all accounts together: its calls are made one after the other, and billed. On
/// one account it spends [`MOST_POINTS`] at most.
const MOST_POINTS_OF_ALL: u32 = 200;

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

/// How much of a pass's points is left, for all accounts and for each.
struct Points {
    of_all: u32,
    of_each: HashMap<String, u32>,
}

impl Points {
    fn of(&mut self, owner: &str) -> &mut u32 {
        self.of_each.entry(owner.to_lowercase()).or_insert(MOST_POINTS)
    }

    fn are_left(&mut self, owner: &str) -> bool {
        self.of_all > 0 && *self.of(owner) > 0
    }

    fn spend(&mut self, owner: &str) -> bool {
        let may_spend = self.are_left(owner);
        self.of_all -= u32::from(may_spend);
        *self.of(owner) -= u32::from(may_spend);
        may_spend
    }
}

/// Adds the jobs to what was seen.
pub(crate) async fn reconcile(
    pass: Pass<'_>,
    accounts: &[Account],
    covered: &[Repositories],
    recent: &[Message],
    seen: &mut Seen,
) -> Vec<Done> {
    let mut steps = Vec::new();
    let mut points = Points { of_all: MOST_POINTS_OF_ALL, of_each: HashMap::new() };
    let mut closed = HashSet::new();
    for repository in repositories(pass, accounts, covered, recent) {
        if points.of_all == 0 || pass.is_over() {
            break;
        }
        if closed.contains(&repository.owner) || !points.are_left(&repository.owner) {
            continue;
        }
        let span = error_span!("repository", repository = repository.full_name());
        match look_at_jobs(pass, &repository, &mut points, seen).instrument(span.clone()).await {
            Ok(()) => {}
            // It was deleted or renamed, or the credential may not see it.
            Err(GitHubError::NotFound { .. }) => span.in_scope(|| tracing::info!("no such repository")),
            Err(GitHubError::TokenTooNew { .. }) => steps.push(Done::Left),
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

/// The configured ones and those of tasks begin elsewhere in each pass, since what the points do not reach comes later.
fn repositories(pass: Pass<'_>, accounts: &[Account], covered: &[Repositories], recent: &[Message]) -> Vec<Repository> {
    let of_task = |message: &Message| {
        let job::Job { owner, repository: name, .. } = message.job.clone();
        Repository { account: Account::from(&message.job), owner, name }
    };
    let mut repositories: Vec<_> = recent.iter().map(of_task).collect();
    let in_account = |account: &Account, name: &str| Repository {
        account: Account { repository: Some(name.to_owned()), ..account.clone() },
        owner: account.login.clone(),
        name: name.to_owned(),
    };
    let globs = |account: &Account| {
        let login = account.login.clone();
        pass.config.reconcile.iter().filter(move |glob| glob.matches_owner(&login))
    };
    for account in accounts {
        repositories.extend(globs(account).filter_map(|glob| glob.only_name()).map(|name| in_account(account, name)));
    }
    for each in covered {
        let fits = |name: &&str| globs(&each.account).any(|glob| glob.matches(&each.account.login, name));
        repositories.extend(each.names().filter(fits).map(|name| in_account(&each.account, name)));
    }
    pass.rotate(&mut repositories);
    let mut pushed: Vec<_> = covered.iter().map(|each| (&each.account, each.pushed(pass))).collect();
    pass.rotate(&mut pushed);
    // The latest of each account first.
    let pushed = (0..MOST_PUSHED)
        .flat_map(|_| {
            pushed
                .iter_mut()
                .filter_map(|(account, names)| Some(in_account(account, &names.next()?)))
                .collect::<Vec<_>>()
        })
        .collect::<Vec<_>>();
    repositories.extend(pushed);
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
    let mut runs = client.runs(&mut || points.spend(owner)).await?;
    let now = pass.clock.now();
    runs.retain(|run| run.created_at.is_none_or(|at| now - at >= WORTH_LISTING));
    pass.rotate(&mut runs);
    for run in runs {
        let mut may_read = || !pass.is_over() && points.spend(owner);
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
        workflow: job.workflow_name.as_deref().map(job::workflow_name),
        commit: OnCommit::of(&job.name, &job.head_sha).filter(|_| pass.config.reports),
        delivery_id: NO_DELIVERY.to_owned(),
        queued_at: created_at,
    };
    Some(Message::new(Purpose::Launch, job, Attempt::FIRST, pass.clock.now()))
}

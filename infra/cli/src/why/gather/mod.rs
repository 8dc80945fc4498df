//! Asks all sources about a job. Calls that need nothing of each other go in parallel, and a source that cannot be asked
//! holds no other up.

mod account;
mod github;

use jitgate::classes::{Asked, RunnerClasses};
use jitgate::clock::Clock;
use serde::Deserialize;
use time::Duration;

pub use self::github::Access;
use super::sources::{Job, Line, Seen, Sources};
use crate::aws::Aws;
use crate::fleet::Deployed;
use crate::github::{GitHubTrouble, SignedIn};
use crate::trouble::Trouble;

/// How far back log lines are looked for if nobody says when the job was created. GitHub ends a job that waits for longer
/// than a day.
const FURTHEST_BACK: Duration = Duration::hours(30);

/// Lambda's and GitHub's clocks differ, and a job's lines are not older than it.
const MARGIN: Duration = Duration::minutes(1);

/// Those who are asked.
pub struct Witnesses<'a> {
    /// The account.
    pub aws: &'a Aws,
    /// What is deployed.
    pub fleet: &'a Deployed,
    /// The App, or why it cannot sign in.
    pub app: Result<SignedIn, String>,
    /// What tells the time.
    pub clock: Clock,
}

impl Witnesses<'_> {
    /// The jobs of a run that wait or run, or else all of it.
    pub async fn jobs_of_run(&self, access: &Access, repository: &str, run: u64) -> Result<Vec<u64>, Trouble> {
        #[derive(Deserialize)]
        struct Page {
            jobs: Vec<Job>,
        }
        let app = self.app.as_ref().map_err(|why| Trouble::unknown(why.clone(), "name the job instead of its run"))?;
        let token = access
            .token
            .as_ref()
            .ok_or_else(|| Trouble::failed(format!("the App is not installed on {repository}"), "install it there"))?;
        let path = format!("repos/{repository}/actions/runs/{run}/jobs?per_page=100");
        let Page { jobs } = app.read(Some(token), &path).await?;
        let is_over = |job: &&Job| job.status == "completed";
        let open: Vec<u64> = jobs.iter().filter(|job| !is_over(job)).map(|job| job.id).collect();
        Ok(if open.is_empty() { jobs.iter().map(|job| job.id).collect() } else { open })
    }

    /// The repository that the functions logged of a job.
    pub async fn repository_of(&self, job: u64) -> Option<String> {
        let lines = self.lines(job, self.clock.now() - FURTHEST_BACK).await.ok()?;
        lines.iter().find_map(|line| line.text("repository")).map(str::to_owned)
    }

    /// Asks everybody. What needs nothing of the job goes beside what does.
    pub async fn ask(&self, access: &Access, job_id: u64, repository: Option<&str>) -> Sources {
        let (of_job, is_subscribed, event_source, dead_letter) = tokio::join!(
            self.of_job(access, job_id, repository),
            self.is_subscribed(),
            self.event_source(),
            self.dead_letter(job_id),
        );
        Sources { is_subscribed, event_source: seen(event_source), dead_letter: seen(dead_letter), ..of_job }
    }

    /// The job, then its lines and its delivery, then its tasks, then its runner.
    async fn of_job(&self, access: &Access, job_id: u64, repository: Option<&str>) -> Sources {
        let now = self.clock.now();
        let job = self.job(access, job_id, repository).await;
        let created = job.known().and_then(|job| job.as_ref()?.created_at);
        let since = created.map_or(now - FURTHEST_BACK, |created| created - MARGIN);
        let delivery = async { tokio::join!(self.webhook_errors(since, created), self.delivery(job_id, created)) };
        let launches = async {
            let lines = seen(self.lines(job_id, since).await);
            let tasks = seen(self.tasks(job_id, lines.known()).await);
            (lines, tasks)
        };
        let ((webhook_errors, delivery), (lines, tasks)) = tokio::join!(delivery, launches);
        let name = runner_name(&lines);
        let latest = tasks.known().and_then(|tasks| tasks.last());
        let waits = job.known().is_none_or(|job| job.as_ref().is_some_and(|job| job.status == "queued"));
        let runner = async {
            let runner = self.runner(access, repository, name.filter(|_| waits)).await;
            let admits = self.group_admits(access, repository, &runner).await;
            (runner, admits)
        };
        let ((runner, group_admits), output, shares) = tokio::join!(
            runner,
            self.output(latest.filter(|_| waits), since),
            self.shares(lines.known().filter(|_| waits)),
        );
        Sources {
            now,
            job_id,
            repository: repository.map(str::to_owned),
            installation: access.state.clone(),
            classes: self.classes(job.known().and_then(Option::as_ref), repository),
            delivery,
            webhook_errors: seen(webhook_errors),
            runner,
            group_admits,
            shares: seen(shares),
            output: seen(output),
            job,
            lines,
            tasks,
            ..Sources::default()
        }
    }

    fn classes(&self, job: Option<&Job>, repository: Option<&str>) -> Seen<Result<String, String>> {
        let classes = match self.fleet.classes() {
            Ok(classes) => classes,
            Err(trouble) => return Seen::Unknown(trouble.what),
        };
        let (Some(job), Some((owner, repository))) = (job, repository.and_then(|name| name.split_once('/'))) else {
            return Seen::Unknown("the job's labels are not known".to_owned());
        };
        Seen::Known(fit(&classes, &Asked { owner, repository, labels: &job.labels }))
    }
}

/// The class, or why there is none.
fn fit(classes: &RunnerClasses, asked: &Asked<'_>) -> Result<String, String> {
    classes.fit(asked).map(|fit| fit.class.name.clone()).map_err(|misfit| {
        let near = classes.nearest(asked);
        let near = near.map(|(class, objections)| {
            let all: Vec<String> = objections.iter().map(ToString::to_string).collect();
            format!("; nearest is class {}: {}", class.name, all.join("; "))
        });
        format!("{misfit}{}", near.unwrap_or_default())
    })
}

/// The name of the runner that was launched last.
fn runner_name(lines: &Seen<Vec<Line>>) -> Option<&str> {
    lines.known()?.iter().rev().find(|line| line.message == "runner launched")?.text("runner.name")
}

fn seen<T>(outcome: Result<T, Trouble>) -> Seen<T> {
    outcome.map_or_else(|trouble| Seen::Unknown(trouble.what), Seen::Known)
}

fn unknown<T>(trouble: GitHubTrouble) -> Seen<T> {
    Seen::Unknown(Trouble::from(trouble).what)
}

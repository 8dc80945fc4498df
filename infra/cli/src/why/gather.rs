//! Asks all sources about a job. Calls that need nothing of each other go in parallel, and a source that cannot be asked
//! holds no other up.

use std::collections::BTreeMap;

use aws_sdk_ecs::types::{Container, TaskOverride};
use jitgate::classes::{Asked, RunnerClasses};
use jitgate::job::{Attempt, JobId};
use jitgate::names::{LaunchToken, NamePrefix};
use reqwest::StatusCode;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use super::redact;
use super::sources::{Announced, EventSource, Installed, Job, Line, OutputLine, Runner, Seen, Sources, Task};
use crate::aws::Aws;
use crate::fleet::Deployed;
use crate::github::{GitHubTrouble, Installation, SignedIn};
use crate::trouble::Trouble;

/// How far back log lines are looked for if nobody says when the job was created. GitHub ends a job that waits for longer
/// than a day.
const FURTHEST_BACK: Duration = Duration::hours(30);

/// Lambda's and GitHub's clocks differ, and a job's lines are not older than it.
const MARGIN: Duration = Duration::minutes(1);

/// A delivery follows its job within seconds; later ones are repeats.
const DELIVERED_WITHIN: Duration = Duration::minutes(5);

/// How many deliveries of the time in question are opened to see whose they are.
const MOST_OPENED: usize = 20;

/// How many of the runner's last lines are shown.
const OUTPUT_LINES: usize = 12;

/// Those who are asked.
pub(super) struct Witnesses<'a> {
    pub(super) aws: &'a Aws,
    pub(super) fleet: &'a Deployed,
    /// The App, or why it cannot sign in.
    pub(super) app: Result<SignedIn, String>,
}

/// A repository's installation, and a token that reads there.
pub(super) struct Access {
    state: Seen<Installed>,
    token: Option<SecretString>,
}

impl Witnesses<'_> {
    /// The jobs of a run that wait or run, or else all of it.
    pub(super) async fn jobs_of_run(&self, access: &Access, repository: &str, run: u64) -> Result<Vec<u64>, Trouble> {
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
    pub(super) async fn repository_of(&self, job: u64) -> Option<String> {
        let lines = self.lines(job, OffsetDateTime::now_utc() - FURTHEST_BACK).await.ok()?;
        lines.iter().find_map(|line| line.text("repository")).map(str::to_owned)
    }

    /// Signs in where the job is.
    pub(super) async fn access(&self, repository: Option<&str>) -> Access {
        let none = |state| Access { state, token: None };
        let (app, repository) = match (&self.app, repository) {
            (Ok(app), Some(repository)) => (app, repository),
            (Err(why), _) => return none(Seen::Unknown(why.clone())),
            (_, None) => {
                return none(Seen::Unknown("no log line names its repository: give the job's address".to_owned()));
            }
        };
        let found: Result<Installation, GitHubTrouble> =
            app.read(None, &format!("repos/{repository}/installation")).await;
        let installation = match found {
            Ok(installation) => installation,
            Err(trouble) if trouble.status == Some(StatusCode::NOT_FOUND) => return none(Seen::Known(Installed::No)),
            Err(trouble) => return none(unknown(trouble)),
        };
        if installation.suspended_at.is_some() {
            return none(Seen::Known(Installed::Suspended));
        }
        let mut wanted: BTreeMap<String, String> = installation.permissions;
        wanted.retain(|name, _| {
            matches!(name.as_str(), "actions" | "administration" | "organization_self_hosted_runners")
        });
        match app.token(installation.id, &wanted).await {
            Ok(token) => Access { state: Seen::Known(Installed::Yes), token: Some(token) },
            Err(trouble) => none(unknown(trouble)),
        }
    }

    /// Asks everybody.
    pub(super) async fn ask(&self, access: &Access, job_id: u64, repository: Option<&str>) -> Sources {
        let now = OffsetDateTime::now_utc();
        let job = self.job(access, job_id, repository).await;
        let created = job.known().and_then(|job| job.as_ref()?.created_at);
        let since = created.map_or(now - FURTHEST_BACK, |created| created - MARGIN);
        let (lines, webhook_errors, delivery, is_subscribed, event_source, dead_letter) = tokio::join!(
            self.lines(job_id, since),
            self.webhook_errors(since, created),
            self.delivery(job_id, created),
            self.is_subscribed(),
            self.event_source(),
            self.dead_letter(job_id),
        );
        let lines = seen(lines);
        let tasks = seen(self.tasks(job_id, lines.known()).await);
        let name = runner_name(&lines);
        let latest = tasks.known().and_then(|tasks| tasks.last());
        let waits = job.known().is_none_or(|job| job.as_ref().is_some_and(|job| job.status == "queued"));
        let (runner, output) = tokio::join!(
            self.runner(access, repository, name.filter(|_| waits)),
            self.output(latest.filter(|_| waits), since),
        );
        let classes = self.classes(job.known().and_then(Option::as_ref), repository);
        Sources {
            now,
            job_id,
            repository: repository.map(str::to_owned),
            installation: access.state.clone(),
            classes,
            delivery,
            is_subscribed,
            webhook_errors: seen(webhook_errors),
            event_source: seen(event_source),
            dead_letter: seen(dead_letter),
            runner,
            output: seen(output),
            job,
            lines,
            tasks,
        }
    }

    async fn job(&self, access: &Access, job: u64, repository: Option<&str>) -> Seen<Option<Job>> {
        let (Ok(app), Some(token), Some(repository)) = (&self.app, &access.token, repository) else {
            return Seen::Unknown("the App reads nothing there".to_owned());
        };
        match app.read(Some(token), &format!("repos/{repository}/actions/jobs/{job}")).await {
            Ok(job) => Seen::Known(Some(job)),
            Err(trouble) if trouble.status == Some(StatusCode::NOT_FOUND) => Seen::Known(None),
            Err(trouble) => unknown(trouble),
        }
    }

    /// The lines of all functions that name the job, oldest first.
    async fn lines(&self, job: u64, since: OffsetDateTime) -> Result<Vec<Line>, Trouble> {
        let id = job.to_string();
        let fleet = self.fleet;
        let of = |group| self.aws.log_lines(group, &id, since);
        let (webhook, worker, cleaner) =
            tokio::try_join!(of(&fleet.webhook.log_group), of(&fleet.worker.log_group), of(&fleet.cleaner.log_group),)?;
        let functions = [("webhook", webhook), ("worker", worker), ("cleaner", cleaner)];
        let all = functions
            .into_iter()
            .flat_map(|(function, lines)| lines.into_iter().filter_map(move |(at, line)| parse(function, at, &line)));
        let mut lines: Vec<Line> = all.filter(|(_, of)| *of == Some(job)).map(|(line, _)| line).collect();
        lines.sort_by_key(|line| line.at);
        Ok(lines)
    }

    async fn webhook_errors(
        &self,
        since: OffsetDateTime,
        created: Option<OffsetDateTime>,
    ) -> Result<Vec<Line>, Trouble> {
        let Some(created) = created else { return Ok(Vec::new()) };
        let lines = self.aws.log_lines(&self.fleet.webhook.log_group, "ERROR", since).await?;
        let near = lines.into_iter().filter(|(at, _)| *at < created + DELIVERED_WITHIN);
        Ok(near.filter_map(|(at, line)| parse("webhook", at, &line)).map(|(line, _)| line).collect())
    }

    /// Which delivery announced the job, and what it was answered.
    async fn delivery(&self, job: u64, created: Option<OffsetDateTime>) -> Seen<Announced> {
        let app = match &self.app {
            Ok(app) => app,
            Err(why) => return Seen::Unknown(why.clone()),
        };
        let Some(created) = created else { return Seen::Unknown("nobody says when the job was created".to_owned()) };
        let log = match app.deliveries().await {
            Ok(log) => log,
            Err(trouble) => return unknown(trouble),
        };
        let reaches_back =
            log.len() < 100 || log.last().and_then(|last| last.delivered_at).is_some_and(|at| at < created);
        let near = log.iter().filter(|delivery| {
            let at = delivery.delivered_at.unwrap_or(created);
            delivery.event == "workflow_job"
                && delivery.action.as_deref() == Some("queued")
                && (delivery.redelivery || (created - MARGIN..=created + DELIVERED_WITHIN).contains(&at))
        });
        let opened = near.take(MOST_OPENED).map(|delivery| async move {
            let whole: Value = app.read(None, &format!("app/hook/deliveries/{}", delivery.id)).await.ok()?;
            (whole["request"]["payload"]["workflow_job"]["id"].as_u64() == Some(job)).then_some((delivery, whole))
        });
        let found: Vec<_> = futures::future::join_all(opened).await.into_iter().flatten().collect();
        // The log is newest first.
        let Some((latest, whole)) = found.first() else {
            return Seen::Known(if reaches_back { Announced::Never } else { Announced::Forgotten });
        };
        Seen::Known(Announced::Delivered {
            at: latest.delivered_at.unwrap_or(created),
            attempts: found.len(),
            status: latest.status_code,
            reason: reason_of(&whole["response"]["payload"]),
        })
    }

    async fn is_subscribed(&self) -> Seen<bool> {
        match &self.app {
            Err(why) => Seen::Unknown(why.clone()),
            Ok(app) => match app.app().await {
                Ok(app) => Seen::Known(app.events.iter().any(|event| event == "workflow_job")),
                Err(trouble) => unknown(trouble),
            },
        }
    }

    async fn event_source(&self) -> Result<EventSource, Trouble> {
        let sources = self.aws.event_sources(&self.fleet.worker.name).await?;
        let states: Vec<&str> = sources.iter().filter_map(|source| source["State"].as_str()).collect();
        Ok(match states.as_slice() {
            [] => EventSource::Missing,
            states if states.iter().all(|state| matches!(*state, "Disabled" | "Disabling")) => EventSource::Off,
            _ => EventSource::On,
        })
    }

    async fn dead_letter(&self, job: u64) -> Result<Option<String>, Trouble> {
        let letters = self.aws.dead_letters(&self.fleet.setting("DEAD_LETTER_QUEUE_URL")?).await?;
        let of_job = letters.into_iter().find(|letter| {
            let body: Value = serde_json::from_str(&letter.body).unwrap_or_default();
            body["job_id"].as_u64() == Some(job)
        });
        let reason = |reason: Option<String>| reason.unwrap_or_else(|| "the worker failed five times at it".to_owned());
        Ok(of_job.map(|letter| redact::text(&reason(letter.reason))))
    }

    /// The tasks of each launch that the lines speak of, and of the one after: its line may come later.
    async fn tasks(&self, job: u64, lines: Option<&Vec<Line>>) -> Result<Vec<Task>, Trouble> {
        let cluster = self.fleet.setting("ECS_CLUSTER")?;
        let prefix = self.fleet.prefix();
        let fields = ["attempt", "job.attempt", "next.attempt"];
        let named = lines.into_iter().flatten().flat_map(|line| fields.iter().filter_map(|field| line.number(field)));
        let last = u16::try_from(named.max().unwrap_or(1)).unwrap_or(u16::MAX - 1);
        // ECS shows stopped tasks for an hour, in which there are few launches.
        let attempts = last.saturating_sub(4).max(1)..=last + 1;
        let asked = attempts.map(|attempt| of_attempt(self.aws, &cluster, &prefix, job, attempt));
        let mut tasks: Vec<Task> = futures::future::try_join_all(asked).await?.into_iter().flatten().collect();
        tasks.sort_by_key(|task| task.created_at);
        Ok(tasks)
    }

    async fn runner(&self, access: &Access, repository: Option<&str>, name: Option<&str>) -> Seen<Option<Runner>> {
        let (Ok(app), Some(token), Some(repository), Some(name)) = (&self.app, &access.token, repository, name) else {
            return Seen::Unknown("there is no runner to look for".to_owned());
        };
        let owner = repository.split('/').next().unwrap_or_default();
        let place = if self.fleet.in_repositories() { format!("repos/{repository}") } else { format!("orgs/{owner}") };
        match app.runners(token, &place).await {
            Ok(runners) => Seen::Known(runners.into_iter().find(|runner| runner.name == name).map(|runner| Runner {
                is_online: runner.status == "online",
                is_busy: runner.busy,
                name: runner.name,
            })),
            Err(trouble) => unknown(trouble),
        }
    }

    /// The last lines of a task's runner.
    async fn output(&self, task: Option<&Task>, since: OffsetDateTime) -> Result<Vec<OutputLine>, Trouble> {
        let Some(task) = task else { return Ok(Vec::new()) };
        let query = format!(
            "fields @timestamp, @message | filter @logStream like '{}' | sort @timestamp desc | limit {OUTPUT_LINES}",
            task.id
        );
        let rows = self.aws.log_query(&self.fleet.output_group(), &query, since).await?;
        let field = |row: &Value, name: &str| {
            let cells = row.as_array().into_iter().flatten();
            let mut values = cells.filter(|cell| cell["field"] == name).filter_map(|cell| cell["value"].as_str());
            values.next().map(str::to_owned)
        };
        let lines = rows.iter().filter_map(|row| {
            let at = insights_moment(&field(row, "@timestamp")?)?;
            Some(OutputLine { at, text: redact::text(field(row, "@message")?.trim_end()) })
        });
        let mut lines: Vec<_> = lines.collect();
        lines.reverse();
        Ok(lines)
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
        let near = classes.nearest(asked).map(|(class, objections)| {
            let all: Vec<String> = objections.iter().map(ToString::to_string).collect();
            format!("; nearest is class {}: {}", class.name, all.join("; "))
        });
        format!("{misfit}{}", near.unwrap_or_default())
    })
}

async fn of_attempt(
    aws: &Aws,
    cluster: &str,
    prefix: &NamePrefix,
    job: u64,
    attempt: u16,
) -> Result<Vec<Task>, Trouble> {
    let token = LaunchToken::derive(prefix, JobId(job), Attempt(attempt));
    let tasks = aws.tasks_by(cluster, token.as_str()).await?;
    Ok(tasks.into_iter().map(|task| shown(&task, attempt)).collect())
}

fn shown(task: &aws_sdk_ecs::types::Task, attempt: u16) -> Task {
    let moment = |at: Option<aws_sdk_ecs::primitives::DateTime>| {
        at.and_then(|at| OffsetDateTime::from_unix_timestamp_nanos(at.as_nanos()).ok())
    };
    let overrides = task.overrides.as_ref().map(TaskOverride::container_overrides).unwrap_or_default();
    let is_own = |variable: &aws_sdk_ecs::types::KeyValuePair| variable.name() == Some(jitgate::ecs::JOB_VARIABLE);
    // Only the name is taken: the rest of the overrides has the JIT config.
    let own = overrides.iter().find(|container| container.environment().iter().any(is_own)).and_then(|own| own.name());
    let containers = task.containers();
    let exit_code = containers.iter().find(|each| own.is_none() || each.name() == own).and_then(Container::exit_code);
    Task {
        id: task.task_arn().and_then(|arn| arn.rsplit('/').next()).unwrap_or_default().to_owned(),
        attempt,
        status: task.last_status().unwrap_or_default().to_owned(),
        created_at: moment(task.created_at),
        pull_started_at: moment(task.pull_started_at),
        pull_stopped_at: moment(task.pull_stopped_at),
        started_at: moment(task.started_at),
        stopped_at: moment(task.stopped_at),
        stop_code: task.stop_code().map(|code| code.as_str().to_owned()),
        stopped_reason: task.stopped_reason().map(redact::text),
        exit_code,
    }
}

/// A line, and the job that it is of.
fn parse(function: &str, at: OffsetDateTime, line: &str) -> Option<(Line, Option<u64>)> {
    let Value::Object(fields) = serde_json::from_str(line).ok()? else { return None };
    let message = fields.get("message")?.as_str()?.to_owned();
    let job = fields.get("job.id").and_then(Value::as_u64);
    Some((Line { at, function: function.to_owned(), message, fields: redact::fields(&fields) }, job))
}

/// The name of the runner that was launched last.
fn runner_name(lines: &Seen<Vec<Line>>) -> Option<&str> {
    lines.known()?.iter().rev().find(|line| line.message == "runner launched")?.text("runner.name")
}

/// What the webhook gave as the reason, if it is our webhook that answered.
fn reason_of(payload: &Value) -> Option<String> {
    let parsed = match payload {
        Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
        other => other.clone(),
    };
    parsed["reason"].as_str().map(redact::text)
}

/// Source: Logs Insights shows `2026-11-01 12:00:00.000`, in UTC.
fn insights_moment(text: &str) -> Option<OffsetDateTime> {
    let text = format!("{}Z", text.replacen(' ', "T", 1));
    OffsetDateTime::parse(&text, &time::format_description::well_known::Rfc3339).ok()
}

fn seen<T>(outcome: Result<T, Trouble>) -> Seen<T> {
    outcome.map_or_else(|trouble| Seen::Unknown(trouble.what), Seen::Known)
}

fn unknown<T>(trouble: GitHubTrouble) -> Seen<T> {
    Seen::Unknown(Trouble::from(trouble).what)
}

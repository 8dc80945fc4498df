//! The demo's control API of the stand-in, beside GitHub's own: `/_standin/…`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::Method;
use jitgate::job::JobId;
use jitgate_tests::github::courier::Courier;
use jitgate_tests::github::{GitHub, JobSpec, ORGANIZATION, Outcome, Scope, answers};
use jitgate_tests::payloads::WorkflowJobEvent;
use jitgate_tests::wire::{self, Answer, Calls, Endpoint, Faults, Request, Service};
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::fates::{Fate, Fates};
use crate::{apps, oddities};

const PREFIX: &str = "/_standin/";

/// GitHub, and the control API beside it.
pub(crate) struct Standin {
    github: GitHub,
    courier: Arc<Courier>,
    fates: Fates,
    sent_by_hand: AtomicU64,
    /// What the endpoint hears, and what goes wrong there.
    wire: OnceLock<(Arc<Faults>, Arc<Calls>)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewJob {
    labels: Vec<String>,
    /// Owner and name; by default the tests' organisation and the example's name.
    #[serde(default)]
    repository: Option<String>,
    #[serde(default = "build")]
    name: String,
    #[serde(default)]
    example: usize,
    /// How long ago it was queued.
    #[serde(default)]
    minutes_ago: u32,
    #[serde(default)]
    told: Told,
    #[serde(default)]
    fate: Option<Fate>,
    /// It is cancelled as soon as `queued` is delivered, without another delivery.
    #[serde(default)]
    cancelled: bool,
}

/// The fate of the delivery of `queued`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Told {
    #[default]
    AtOnce,
    /// It failed when the job was queued, and is in the hook's log as failed.
    InVain,
    /// GitHub never made it.
    Never,
}

fn build() -> String {
    "build".to_owned()
}

/// A user cancels a job, and hooks get a delivery.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancellation {
    job_id: JobId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRunner {
    name: String,
    labels: Vec<String>,
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// Its runner has never connected.
    #[default]
    New,
    /// It was online and is not any more.
    Offline,
    Online,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewDelivery {
    payload: Value,
    #[serde(default = "workflow_job")]
    event: String,
    signature: Option<String>,
}

fn workflow_job() -> String {
    "workflow_job".to_owned()
}

impl Standin {
    pub(crate) fn new(github: GitHub, courier: Arc<Courier>, fates: Fates) -> Self {
        Self { github, courier, fates, sent_by_hand: AtomicU64::new(0), wire: OnceLock::new() }
    }

    /// Lets the control API tell what this endpoint heard, and make its calls fail.
    pub(crate) fn attach(&self, endpoint: &Endpoint) {
        self.wire.get_or_init(|| (Arc::clone(&endpoint.faults), Arc::clone(&endpoint.calls)));
    }

    async fn control(&self, what: &str, request: &Request) -> Answer {
        if let Some((faults, calls)) = self.wire.get()
            && let Some(done) = apps::control(&self.github, (faults, calls), what, request)
        {
            return done.unwrap_or_else(|problem| answers::error(400, &problem));
        }
        if let Some(done) = oddities::control(&self.github, what, request) {
            return done.unwrap_or_else(|problem| answers::error(400, &problem));
        }
        let done = match (request.method(), what) {
            (&Method::POST, "jobs") => match read(request) {
                Ok(job) => Ok(self.queue_job(job).await),
                Err(problem) => Err(problem),
            },
            (&Method::POST, "cancellations") => read(request).map(|job: Cancellation| {
                self.github.cancel_job(job.job_id);
                wire::json(200, &json!({ "job_id": job.job_id }))
            }),
            (&Method::POST, "runners") => read(request).map(|runner| self.add_runner(&runner)),
            (&Method::POST, "deliveries") => match read(request) {
                Ok(delivery) => Ok(self.send(delivery).await),
                Err(problem) => Err(problem),
            },
            (&Method::GET, "timeline") => Ok(self.timeline()),
            (&Method::GET, "state") => Ok(self.state()),
            _ => Ok(answers::not_found()),
        };
        done.unwrap_or_else(|problem| answers::error(400, &problem))
    }

    async fn queue_job(&self, new: NewJob) -> Answer {
        let job = self.create_job(&new);
        let delivery = match self.github.last_delivery_of(job) {
            None => Value::Null,
            Some((id, guid)) => {
                let outcome = self.outcome(id).await;
                json!({ "id": guid, "status": outcome.status, "body": outcome.body })
            }
        };
        if new.cancelled {
            self.github.cancel_job(job);
            self.github.forget_delivery(job);
        }
        wire::json(201, &json!({ "job_id": job, "delivery": delivery }))
    }

    /// Does not await: the delivery's fate is decided before the courier can take it.
    fn create_job(&self, job: &NewJob) -> JobId {
        let queued_at = self.github.clock().now() - Duration::from_mins(job.minutes_ago.into());
        let example = WorkflowJobEvent::example(job.example);
        let repository = example.json()["repository"]["name"].as_str().unwrap_or("octo-repo");
        let given = job.repository.as_deref().and_then(|repository| repository.split_once('/'));
        let (owner, repository) = given.unwrap_or((ORGANIZATION, repository));
        let spec = JobSpec::labels(job.labels.clone())
            .named(&job.name)
            .in_repository(owner, repository)
            .like_example(job.example)
            .queued_at(queued_at);
        let id = self.github.queue_job(spec);
        match job.told {
            Told::AtOnce => true,
            Told::InVain => self.github.lose_delivery(id, queued_at),
            Told::Never => self.github.forget_delivery(id),
        };
        if let Some(fate) = job.fate {
            self.fates.decide(id, fate);
        }
        id
    }

    /// The courier sends it and has its own time-out.
    async fn outcome(&self, delivery: u64) -> Outcome {
        loop {
            if let Some(outcome) = self.github.outcome(delivery) {
                return outcome;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn add_runner(&self, runner: &NewRunner) -> Answer {
        let labels: Vec<&str> = runner.labels.iter().map(String::as_str).collect();
        let was_there = !matches!(runner.status, Status::New);
        let id = self.github.orphan(&Scope::org(ORGANIZATION), &runner.name, &labels, was_there);
        if matches!(runner.status, Status::Online) {
            let _ = self.github.connect(id);
        }
        wire::json(201, &json!({ "id": id, "name": runner.name }))
    }

    async fn send(&self, delivery: NewDelivery) -> Answer {
        let number = self.sent_by_hand.fetch_add(1, Ordering::Relaxed);
        let guid = format!("7c1e4f50-0000-11f1-9000-{number:012x}");
        let body = delivery.payload.to_string().into_bytes();
        let outcome = self.courier.post(&delivery.event, &guid, body, delivery.signature).await;
        wire::json(200, &json!({ "status": outcome.status, "body": outcome.body }))
    }

    fn timeline(&self) -> Answer {
        let events: Vec<Value> = self
            .github
            .timeline()
            .into_iter()
            .map(|event| {
                json!({
                    "at": moment(event.at),
                    "job_id": event.job_id,
                    "event": event.event,
                    "detail": event.detail,
                })
            })
            .collect();
        wire::json(200, &json!({ "events": events }))
    }

    fn state(&self) -> Answer {
        let jobs = self.github.jobs().into_iter().map(|job| {
            json!({
                "id": job.id,
                "status": job.status.as_str(),
                "conclusion": job.conclusion,
                "runner_name": job.runner_name,
            })
        });
        let runners = self.github.runners().into_iter().map(|runner| {
            json!({
                "id": runner.id,
                "name": runner.name,
                "status": if runner.online { "online" } else { "offline" },
                "busy": runner.job.is_some(),
                "labels": runner.labels,
            })
        });
        let check_runs = self.github.check_runs().into_iter().map(
            |run| json!({ "name": run.name, "status": run.status, "title": run.title, "external_id": run.external_id }),
        );
        let (jobs, runners): (Vec<Value>, Vec<Value>) = (jobs.collect(), runners.collect());
        let check_runs: Vec<Value> = check_runs.collect();
        wire::json(200, &json!({ "jobs": jobs, "runners": runners, "check_runs": check_runs }))
    }
}

pub(crate) fn read<T: for<'de> Deserialize<'de>>(request: &Request) -> Result<T, String> {
    serde_json::from_slice(request.body()).map_err(|error| error.to_string())
}

fn moment(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).expect("a year of four digits")
}

impl Service for Standin {
    fn operation(&self, request: &Request) -> String {
        match request.uri().path().strip_prefix(PREFIX) {
            Some(what) => format!("standin {what}"),
            None => self.github.operation(request),
        }
    }

    fn answer<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Answer> {
        match request.uri().path().strip_prefix(PREFIX) {
            Some(what) => self.control(what, request).boxed(),
            None => self.github.answer(request),
        }
    }
}

#[cfg(test)]
mod tests;

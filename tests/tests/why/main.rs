//! `jitgate why`: jobs that wait, each for another cause, made to wait for real by the real functions against the stand-ins,
//! and what the command says of each. Its hint is followed where a test can follow it.
//!
//! `table.rs` names the story of each cause. `infra/local/why_checks.py` has the same on a deployed fleet, for what needs one.

mod deliveries;
mod launches;
mod refusals;
mod table;
mod tasks;

use std::time::Duration;

use jitgate::job::JobId;
use jitgate_cli::aws::Aws;
use jitgate_cli::fleet::{Deployed, Function};
use jitgate_cli::why::cause::{self, Cause};
use jitgate_cli::why::gather::Witnesses;
use jitgate_tests::aws::{ACCOUNT, REGION, millis};
use jitgate_tests::github::{HookTarget, JobSpec, JobStatus, Outcome};
use jitgate_tests::logs::logged;
use jitgate_tests::world::{Delivery, World};
use serde_json::{Map, Value};

const MINUTE: Duration = Duration::from_mins(1);
const PASS: Duration = Duration::from_mins(5);

/// The repository of all jobs, unless they say otherwise.
const REPOSITORY: &str = "octo-org/octo-repo";

/// A world whose functions log to CloudWatch, and somebody with the command.
struct Story {
    world: World,
    fleet: Deployed,
}

impl Story {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(changes: &[(&str, &str)]) -> Self {
        let world = World::with(changes).await;
        world.github.add_hook(HookTarget::App, "https://webhook.example");
        let function = |name: &str| Function {
            name: name.to_owned(),
            variables: world.environment(),
            log_group: format!("/jitgate/jitgate/{name}"),
            version: None,
        };
        let fleet = Deployed {
            stack: "jitgate".to_owned(),
            version: None,
            webhook: function("webhook"),
            worker: function("worker"),
            cleaner: function("cleaner"),
        };
        Self { world, fleet }
    }

    /// A job with the class's labels is queued, and not delivered yet.
    fn queue(&self) -> JobId {
        self.queue_as(JobSpec::labels(["fargate"]))
    }

    fn queue_as(&self, spec: JobSpec) -> JobId {
        self.world.github.queue_job(spec)
    }

    /// A job is queued and delivered.
    async fn job(&self) -> JobId {
        let job = self.queue();
        self.deliver().await;
        job
    }

    /// GitHub makes its deliveries.
    async fn deliver(&self) {
        for delivery in self.world.github.take_deliveries() {
            let request = Delivery::signed(&delivery.event, &delivery.body[..]);
            let (answer, lines) = logged(self.world.request(&request)).await;
            self.log("webhook", &lines);
            let outcome = Outcome { status: answer.status_code, body: answer.body };
            self.world.github.delivered(delivery.id, outcome);
        }
    }

    /// GitHub's deliveries are answered this by somebody who is not the webhook.
    fn deliver_in_vain(&self, status: u16) {
        for delivery in self.world.github.take_deliveries() {
            self.world.github.delivered(delivery.id, Outcome { status, body: "<html>".to_owned() });
        }
    }

    /// The worker handles what is on the queue.
    async fn work(&self) {
        let ((), lines) = logged(self.world.work()).await;
        self.log("worker", &lines);
    }

    /// A pass of the cleaner.
    async fn clean(&self) {
        let (_, lines) = logged(self.world.clean()).await;
        self.log("cleaner", &lines);
    }

    /// The cleaner hears of the tasks that have stopped.
    async fn heal(&self) {
        let (_, lines) = logged(self.world.heal()).await;
        self.log("cleaner", &lines);
    }

    /// Everything goes on until the job is done.
    async fn goes_on(&mut self, job: JobId) {
        for _ in 0..40 {
            self.deliver().await;
            self.work().await;
            self.world.pass(MINUTE);
            self.heal().await;
            if self.world.github.job(job).is_some_and(|job| job.status == JobStatus::Completed) {
                break;
            }
            self.world.clock.advance(PASS);
            self.clean().await;
        }
        let job = self.world.github.job(job).expect("it exists");
        assert_eq!(job.conclusion.as_deref(), Some("success"), "the hint has not helped: {job:?}");
    }

    /// Puts lines into a function's log group, as they are in CloudWatch: the fields of spans at the top level.
    fn log(&self, function: &str, lines: &str) {
        let at = millis(self.world.clock.now());
        for line in lines.lines() {
            let line: Value = serde_json::from_str(line).expect("JSON");
            let mut flat = Map::new();
            for object in line["spans"].as_array().into_iter().flatten().chain([&line["fields"]]) {
                flat.extend(object.as_object().cloned().unwrap_or_default());
            }
            flat.insert("level".to_owned(), line["level"].clone());
            let group = format!("/jitgate/jitgate/{function}");
            self.world.aws.logs.write(&group, "a-process", at, &Value::Object(flat).to_string());
        }
    }

    /// What the command says of a job.
    async fn why(&self, job: JobId) -> Cause {
        self.why_in(job, REPOSITORY).await
    }

    /// The account as the command sees it.
    fn aws(&self) -> Aws {
        Aws {
            sdk: self.world.aws.sdk_config(),
            account: ACCOUNT.to_owned(),
            partition: "aws".to_owned(),
            caller: String::new(),
            region: REGION.to_owned(),
        }
    }

    /// `jitgate dead-letters --redrive`
    async fn redrive(&self) {
        let queue = |name: &str| self.fleet.setting(name).expect("a setting");
        let sent = self.aws().redrive(&queue("DEAD_LETTER_QUEUE_URL"), &queue("JOB_QUEUE_URL")).await;
        sent.expect("they are sent back");
        assert_eq!(self.world.dead_letters(), Vec::<String>::new());
    }

    async fn why_in(&self, job: JobId, repository: &str) -> Cause {
        let aws = self.aws();
        let clock = self.world.clock.clone();
        let app = match self.fleet.app(&aws).await {
            Ok(Some(app)) => Ok(app.by(clock.clone())),
            Ok(None) => Err("the secret holds no App's key".to_owned()),
            Err(trouble) => Err(trouble.what),
        };
        let witnesses = Witnesses { aws: &aws, fleet: &self.fleet, app, clock };
        let access = Box::pin(witnesses.access(Some(repository))).await;
        cause::find(&Box::pin(witnesses.ask(&access, job.0, Some(repository))).await)
    }

    /// Asserts that the command names this cause.
    async fn named(&self, job: JobId, kind: &str) -> Cause {
        let cause = self.why(job).await;
        assert_eq!(cause.kind, kind, "{cause:#?}");
        cause
    }
}

/// The default class with one key changed.
fn class_with(key: &str, value: Value) -> String {
    let mut classes = jitgate_tests::world::runner_classes();
    classes[0][key] = value;
    classes.to_string()
}

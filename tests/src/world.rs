//! The whole system in one process: the real handlers against stand-ins over HTTP, on a clock that the test turns.

mod delivery;
mod runners;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cleaner::{CleanError, Cleaner};
use jitgate::clock::Clock;
use jitgate::config::{ConfigError, Environment, FleetConfig, WebhookConfig};
use jitgate::job::{JobId, RunnerId};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::mpsc::UnboundedReceiver;
use webhook::{HttpResponse, Webhook};
use worker::Worker;

use crate::aws::Aws;
use crate::aws::ecs::{Started, TaskChange, TaskDefinition};
use crate::aws::sqs::QueueSettings;
use crate::aws::sqs::mapping::EventSource;
use crate::github::{GitHub, JobSpec, JobStatus, Scope};
use crate::lambda::http_event::Front;
use crate::payloads::WorkflowJobEvent;
use crate::runner::Runner;
use crate::wire::{self, Endpoint};

pub use self::delivery::Delivery;

/// The key with which GitHub signs deliveries.
pub const WEBHOOK_SECRET: &str = "It's a Secret to Everybody";

/// The name of the secret in Secrets Manager.
pub const SECRET_ID: &str = "jitgate/github";

/// The name of the job queue.
pub const JOB_QUEUE: &str = "jobs";
/// The name of its dead-letter queue.
pub const DEAD_LETTER_QUEUE: &str = "dead-letters";

/// After this many receives the queue moves a message to the dead-letter queue. Source: `template.yaml`.
pub const MOST_RECEIVES: u32 = 5;

/// How long a received message stays invisible: six times the worker's time-out. Source: `template.yaml`.
pub const VISIBILITY: Duration = Duration::from_mins(6);

/// When each story begins: a Monday.
pub const START: OffsetDateTime = time::macros::datetime!(2026-11-02 09:00 UTC);

/// A deployment and what surrounds it.
pub struct World {
    /// The clock of all stand-ins and functions.
    pub clock: Clock,
    /// ECS, SQS and Secrets Manager.
    pub aws: Aws,
    /// GitHub itself.
    pub github: GitHub,
    /// GitHub's API on the wire: its faults and calls.
    pub api: Endpoint,
    /// The webhook function.
    pub webhook: Webhook,
    /// The worker function.
    pub worker: Worker,
    /// The queue's event source.
    pub source: EventSource,
    settings: Vec<(String, String)>,
    changes: UnboundedReceiver<TaskChange>,
    runners: HashMap<String, Runner>,
    /// Tasks whose containers run, and whose runners have not connected.
    starting: Vec<Started>,
    talks_nonsense: bool,
}

impl World {
    /// A deployment with one runner class, for jobs with the labels `fargate` and `linux`.
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// The same deployment with some variables changed.
    pub async fn with(changes: &[(&str, &str)]) -> Self {
        Self::on(Clock::manual(START), changes).await
    }

    /// The same on another clock. Functions that run as processes have the system's clock.
    pub async fn on(clock: Clock, changes: &[(&str, &str)]) -> Self {
        Self::build(clock, changes, GitHub::new).await
    }

    /// The same without checks against GitHub's description: for runs of thousands of jobs.
    pub async fn unchecked(changes: &[(&str, &str)]) -> Self {
        Self::build(Clock::manual(START), changes, GitHub::unchecked).await
    }

    /// The same without checks, on another clock.
    pub async fn unchecked_on(clock: Clock, changes: &[(&str, &str)]) -> Self {
        Self::build(clock, changes, GitHub::unchecked).await
    }

    async fn build(clock: Clock, changes: &[(&str, &str)], github: fn(Clock) -> GitHub) -> Self {
        let aws = Aws::start(clock.clone()).await;
        let github = github(clock.clone());
        let api = wire::serve(Arc::new(github.clone())).await;
        aws.secrets.put(SECRET_ID, &GitHub::app_secret(WEBHOOK_SECRET).to_string());
        aws.ecs.add_cluster("runners");
        aws.ecs.add_task_definition(TaskDefinition::new("runner"));
        aws.sqs.add_queue(DEAD_LETTER_QUEUE, QueueSettings::default());
        let redrive = Some((DEAD_LETTER_QUEUE.to_owned(), MOST_RECEIVES));
        aws.sqs.add_queue(JOB_QUEUE, QueueSettings { visibility: VISIBILITY, redrive, ..QueueSettings::default() });
        let mut settings: HashMap<String, String> = [
            ("JOB_QUEUE_URL", aws.queue_url(JOB_QUEUE)),
            ("DEAD_LETTER_QUEUE_URL", aws.queue_url(DEAD_LETTER_QUEUE)),
            ("GITHUB_SECRET_ID", SECRET_ID.to_owned()),
            ("GITHUB_API_URL", api.url()),
            ("ECS_CLUSTER", "runners".to_owned()),
            ("RUNNER_CLASSES", runner_classes().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        settings.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let settings: Vec<_> = settings.into_iter().collect();
        let sdk = aws.sdk_config();
        let webhook_config = WebhookConfig::from_environment(&settings.iter().cloned().collect());
        let fleet_config = FleetConfig::from_environment(&settings.iter().cloned().collect());
        Self {
            webhook: Webhook::new(&sdk, webhook_config.expect("a complete environment"), clock.clone()),
            worker: Worker::new(&sdk, fleet_config.expect("a complete environment"), clock.clone()),
            source: EventSource::new(Arc::clone(&aws.sqs), JOB_QUEUE),
            changes: aws.ecs.changes(),
            runners: HashMap::new(),
            starting: Vec::new(),
            talks_nonsense: false,
            settings,
            clock,
            aws,
            github,
            api,
        }
    }

    /// From now on, functions that start sign in with a personal access token with these scopes in place of the App.
    pub fn use_personal_token(&self, scopes: &[&str]) {
        const TOKEN: &str = "ghp_standin";
        self.github.add_personal_token(TOKEN, scopes);
        let secret = json!({ "token": TOKEN, "webhook_secret": WEBHOOK_SECRET });
        self.aws.secrets.put(SECRET_ID, &secret.to_string());
    }

    /// A registration made now, without a task: a launch that died left it.
    pub fn orphan(&self, scope: &Scope, job: u64) -> RunnerId {
        let name = format!("jit-default-{job}-1-{}", self.clock.now().unix_timestamp());
        self.github.orphan(scope, &name, &["fargate"], false)
    }

    /// The environment of the functions.
    pub fn environment(&self) -> Environment {
        self.settings.iter().cloned().collect()
    }

    /// Sets a variable for functions that start from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.retain(|(own, _)| own != name);
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// The environment as pairs, for processes.
    pub fn variables(&self) -> Vec<(String, String)> {
        self.settings.iter().cloned().chain(self.aws.environment()).collect()
    }

    /// A worker in a new process: with nothing cached.
    pub fn new_worker(&self) -> Result<Worker, ConfigError> {
        let config = FleetConfig::from_environment(&self.environment())?;
        Ok(Worker::new(&self.aws.sdk_config(), config, self.clock.clone()))
    }

    /// A webhook in a new process.
    pub fn new_webhook(&self) -> Result<Webhook, ConfigError> {
        let config = WebhookConfig::from_environment(&self.environment())?;
        Ok(Webhook::new(&self.aws.sdk_config(), config, self.clock.clone()))
    }

    /// One pass of the cleaner, in a new process.
    pub async fn clean(&self) -> Result<(), CleanError> {
        let config = FleetConfig::from_environment(&self.environment()).expect("a complete environment");
        Box::pin(Cleaner::new(&self.aws.sdk_config(), config, self.clock.clone()).clean()).await
    }

    /// The cleaner handles EventBridge's events of all tasks that stopped since the last call.
    pub async fn heal(&self) -> Result<(), CleanError> {
        let config = FleetConfig::from_environment(&self.environment()).expect("a complete environment");
        let cleaner = Cleaner::new(&self.aws.sdk_config(), config, self.clock.clone());
        for event in self.aws.ecs.take_events() {
            let event = serde_json::from_value(event).expect("an event as EventBridge makes it");
            cleaner.handle(&event).await?;
        }
        Ok(())
    }

    /// A job with the class's labels is queued at GitHub.
    pub fn queue_job(&self) -> JobId {
        self.github.queue_job(JobSpec::labels(["fargate"]))
    }

    /// GitHub delivers `queued` for a job.
    pub async fn deliver_queued(&self, job: JobId) -> HttpResponse {
        self.deliver(&self.github.event(job, "queued")).await
    }

    /// A job is queued at GitHub, and delivered.
    pub async fn queue_and_deliver(&self) -> JobId {
        let job = self.queue_job();
        assert_eq!(self.deliver_queued(job).await.status_code, 202);
        job
    }

    /// GitHub delivers an event, signed.
    pub async fn deliver(&self, event: &WorkflowJobEvent) -> HttpResponse {
        let (body, signature) = event.signed(WEBHOOK_SECRET);
        self.request(&Delivery::new("workflow_job", body).signature(&signature)).await
    }

    /// Any request comes in at the Function URL.
    pub async fn request(&self, delivery: &Delivery) -> HttpResponse {
        answer(&self.webhook, delivery.event().to_event(Front::FunctionUrl)).await
    }

    /// A worker handles one batch. Returns the ids of the messages that stay on the queue.
    pub async fn work_one_batch(&self, worker: &Worker) -> Vec<String> {
        let batch = self.source.take().expect("a batch");
        let answer = invoke(worker, batch.event().clone()).await;
        self.source.settle(&batch, &answer).returned
    }

    /// The worker handles all visible messages.
    pub async fn work(&self) {
        self.source.drain(async |event| invoke(&self.worker, event).await).await;
    }

    /// Turns off the check against GitHub's description, for answers that GitHub would never give.
    pub fn let_github_talk_nonsense(&mut self) {
        self.talks_nonsense = true;
    }

    /// How many calls of this operation GitHub received.
    pub fn api_calls(&self, operation: &str) -> usize {
        self.api.calls.count(operation)
    }

    /// Asserts that each job ran exactly once and that no task, message, registration or dead letter is left.
    ///
    /// # Panics
    /// If something is left, or a job did not run once.
    pub fn assert_done(&self, jobs: &[JobId]) {
        for job in jobs {
            let job = self.github.job(*job).expect("it exists");
            assert_eq!((job.status, job.times_taken), (JobStatus::Completed, 1), "job {}", job.id);
        }
        assert_eq!(self.live_tasks(), 0, "live tasks");
        assert_eq!(self.waiting(), 0, "messages");
        assert!(self.github.runners().is_empty(), "registrations: {:?}", self.github.runners());
        assert_eq!(self.dead_letters(), Vec::<String>::new());
    }

    /// Asserts that one task is live and that the only registration is its own.
    pub fn assert_one_runner(&self) {
        let (tasks, runners) = (self.aws.ecs.live_tasks(), self.github.runners());
        assert_eq!((tasks.len(), runners.len()), (1, 1), "{runners:?}");
        assert_eq!(tasks[0].tags["jitgate:runner-id"], runners[0].id.to_string());
    }

    /// How many tasks are live.
    pub fn live_tasks(&self) -> usize {
        self.aws.ecs.live_tasks().len()
    }

    /// How many messages are on the job queue, invisible ones included.
    pub fn waiting(&self) -> usize {
        self.aws.sqs.depth(JOB_QUEUE).total()
    }

    /// The reasons on all dead letters.
    pub fn dead_letters(&self) -> Vec<String> {
        let letters = self.aws.sqs.messages(DEAD_LETTER_QUEUE);
        let reason = |attribute: &crate::aws::sqs::Attribute| attribute.string_value.clone();
        letters
            .iter()
            .map(|letter| letter.attributes.get("jitgate.reason").and_then(reason).unwrap_or_default())
            .collect()
    }
}

impl Drop for World {
    /// Every story also checks that all calls to GitHub agree with GitHub's description.
    fn drop(&mut self) {
        if !std::thread::panicking() && self.github.is_checked() && !self.talks_nonsense {
            self.github.assert_spoke_github();
        }
    }
}

/// The configuration of one class, named `default`.
pub fn runner_classes() -> Value {
    json!([{
        "name": "default",
        "labels": ["fargate", "linux"],
        "runner_group_id": 1,
        "task_definition": "runner",
        "container": "runner",
        "subnets": ["subnet-1"],
        "security_groups": ["sg-1"],
        "assign_public_ip": true,
    }])
}

/// Invokes a worker with a batch, as Lambda does.
pub async fn invoke(worker: &Worker, event: Value) -> Result<Value, serde_json::Error> {
    let event = serde_json::from_value(event)?;
    serde_json::to_value(Box::pin(worker.handle(event)).await)
}

/// Invokes a webhook with a request, as Lambda does.
pub async fn answer(webhook: &Webhook, event: Value) -> HttpResponse {
    webhook.handle(serde_json::from_value(event).expect("an event as Lambda makes it")).await
}

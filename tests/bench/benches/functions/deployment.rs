//! The measured programs and their surroundings.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{StreamExt as _, stream};
use jitgate::clock::Clock;
use jitgate_tests::aws::sqs::mapping::EventSource;
use jitgate_tests::github::JobSpec;
use jitgate_tests::lambda::http_event::{Front, HttpAnswer};
use jitgate_tests::lambda::{Function, FunctionSettings, Program};
use jitgate_tests::payloads::sign;
use jitgate_tests::world::{Delivery, JOB_QUEUE, WEBHOOK_SECRET, World};
use serde_json::{Value, json};

/// The programs that are measured.
pub(crate) const NAMES: [&str; 4] = ["webhook", "worker", "cleaner", "floor"];

/// Bytes of a delivery's body. GitHub's have 7 to 30 KB.
const PAYLOAD: usize = 12 * 1024;

/// The folder of the programs.
pub(crate) struct Programs(PathBuf);

impl Programs {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self(std::path::absolute(folder).expect("a path"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Starts a program in a world's environment, and waits until it asks for work.
    pub(crate) async fn start(&self, name: &str, world: &World) -> Function {
        let program = Program::other(name, self.path(name), &[]);
        let mut environment = world.variables();
        environment.push(("WEBHOOK_SECRET".to_owned(), WEBHOOK_SECRET.to_owned()));
        let settings = FunctionSettings { timeout: Duration::from_mins(5), ..FunctionSettings::default() };
        let function = Function::start_with(program, environment, settings).await;
        function.ready().await.expect("a function that starts");
        function
    }
}

/// A deployment in real time, with neither pacing nor limits at GitHub.
pub(crate) async fn unlimited() -> World {
    let world = World::unchecked_on(Clock::system(), &[("GITHUB_POINTS_PER_MINUTE", "0")]).await;
    world.github.limit(|limits| {
        limits.primary = u64::MAX;
        limits.secondary = None;
    });
    world
}

/// A delivery of a queued job as a Function URL's event: GitHub's own example, padded to [`PAYLOAD`].
pub(crate) fn delivery(world: &World) -> Delivery {
    let event = world.github.event(world.github.queue_job(JobSpec::labels(["fargate"])), "queued");
    let event = event.with("/repository/description", json!(""));
    let missing = PAYLOAD.saturating_sub(event.bytes().len());
    let body = event.with("/repository/description", json!("~".repeat(missing))).bytes();
    Delivery::signed("workflow_job", body)
}

/// The same delivery with a forged signature.
pub(crate) fn forgery(world: &World) -> Delivery {
    let genuine = delivery(world);
    let signature = sign("another secret", &genuine.body);
    genuine.signature(&signature)
}

pub(crate) fn event(delivery: &Delivery) -> Value {
    delivery.event().to_event(Front::FunctionUrl)
}

/// Invokes a webhook and expects this status.
pub(crate) async fn deliver(webhook: &Function, event: &Value, status: u16) {
    let answer = webhook.invoke(event).await.expect("an answer");
    assert_eq!(HttpAnswer::read(&answer).expect("an answer that a front can read").status, status);
}

/// Puts the webhook's messages of this many queued jobs on the queue.
pub(crate) async fn queue(world: &World, jobs: usize) {
    let deliveries = (0..jobs).map(|_| world.queue_and_deliver());
    stream::iter(deliveries).buffer_unordered(16).collect::<Vec<_>>().await;
}

/// The queue, as Lambda reads it for the worker.
pub(crate) fn source(world: &World, batch: usize) -> EventSource {
    EventSource::new(world.aws.sqs.clone(), JOB_QUEUE).batches_of(batch).allow_loops()
}

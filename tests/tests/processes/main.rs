//! Stories of the functions as Lambda runs them: the real binaries, as processes, behind a Runtime API.

mod configuration;
mod invocations;
mod logs;
mod secrets;

use jitgate::clock::Clock;
use jitgate_tests::aws::sqs::mapping::Batch;
use jitgate_tests::github::JobSpec;
use jitgate_tests::lambda::http_event::{Front, HttpAnswer};
use jitgate_tests::lambda::{Function, FunctionError};
use jitgate_tests::world::{Delivery, World};
use serde_json::Value;

/// A value that a stand-in puts where a function must read it but never quote it: a secret, a token, a JIT config.
const PLANTED: &str = "Zm9yZXZlciBoaWRkZW4gaW4gdGhpcyBkZXBsb3ltZW50";

async fn world() -> World {
    World::on(Clock::system(), &[("RUST_LOG", "trace")]).await
}

async fn start(world: &World, name: &str) -> Function {
    Function::start(name, world.variables()).await
}

/// A job is queued at GitHub; returns its delivery as a Function URL's event.
fn delivery(world: &World) -> Value {
    let job = world.github.queue_job(JobSpec::labels(["fargate"]));
    let event = world.github.event(job, "queued");
    Delivery::signed("workflow_job", event.bytes()).event().to_event(Front::FunctionUrl)
}

async fn deliver(webhook: &Function, event: &Value) -> u16 {
    let answer = webhook.invoke(event).await.expect("an answer");
    HttpAnswer::read(&answer).expect("an answer that a front can read").status
}

async fn work(worker: &Function, world: &World) -> (Batch, Result<Value, FunctionError>) {
    let batch = world.source.take().expect("a batch");
    let answer = worker.invoke(batch.event()).await;
    world.source.settle(&batch, &answer);
    (batch, answer)
}

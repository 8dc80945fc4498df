//! The worker function: the job queue in front, GitHub and ECS behind.

use std::time::SystemTime;

use jitgate::aws::{Patience, sdk_config};
use jitgate::clock::Clock;
use jitgate::config::{Environment, FleetConfig};
use jitgate::telemetry::start_logging;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use worker::{SqsEvent, Worker};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let environment = Environment::of_process();
    start_logging(&environment)?;
    let config = FleetConfig::from_environment(&environment)?;
    let worker = Worker::new(&sdk_config(Patience::FLEET).await, config, Clock::system());
    lambda_runtime::run(service_fn(async |event: LambdaEvent<SqsEvent>| {
        let time_left = event.context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
        Ok::<_, Error>(worker.handle_within(event.payload, Some(time_left)).await)
    }))
    .await
}

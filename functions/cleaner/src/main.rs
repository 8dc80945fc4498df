//! The cleaner function: a schedule and ECS's events in front, GitHub, ECS and the job queue behind.

use cleaner::plan::check_time_zones;
use cleaner::{Cleaner, Event};
use jitgate::aws::{Patience, sdk_config};
use jitgate::clock::Clock;
use jitgate::config::{Environment, FleetConfig};
use jitgate::telemetry::start_logging;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use time::OffsetDateTime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let environment = Environment::of_process();
    start_logging(&environment)?;
    let config = FleetConfig::from_environment(&environment)?;
    check_time_zones(&config.classes)?;
    let cleaner = Cleaner::new(&sdk_config(Patience::FLEET).await, config, Clock::system());
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Event>| {
        let until = OffsetDateTime::from(event.context.deadline());
        cleaner.handle_until(&event.payload, Some(until)).await.map_err(Error::from)
    }))
    .await
}

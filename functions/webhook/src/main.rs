//! The webhook function: a Function URL or API Gateway in front, the job queue behind.

use std::alloc::System;

use jitgate::aws::{Patience, sdk_config};
use jitgate::clock::Clock;
use jitgate::config::{Environment, WebhookConfig};
use jitgate::telemetry::start_logging;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use webhook::{HttpRequest, Webhook};
use zeroizing_alloc::ZeroAlloc;

/// Wipes memory as it is freed: the secret that the webhook reads holds the App's key, too, and each answer with it passes
/// through buffers of the SDK and of TLS. The webhook reads what anybody sends it, so the key must not stay in its memory.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let environment = Environment::of_process();
    start_logging(&environment)?;
    let config = WebhookConfig::from_environment(&environment)?;
    let webhook = Webhook::new(&sdk_config(Patience::WEBHOOK).await, config, Clock::system());
    lambda_runtime::run(service_fn(async |event: LambdaEvent<HttpRequest>| {
        Ok::<_, Error>(webhook.handle(event.payload).await)
    }))
    .await
}

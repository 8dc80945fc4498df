//! A process's own ports to GitHub and AWS, by which its calls are told from those of other processes.

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_sdk_ecs::config::{AsyncSleep, SharedAsyncSleep, Sleep};
use cleaner::Cleaner;
use jitgate::config::{Environment, FleetConfig, WebhookConfig};
use webhook::Webhook;
use worker::Worker;

use crate::wire::{self, Endpoint, Service};
use crate::world::World;

/// The SDK's attempts in production.
const ATTEMPTS: u32 = 3;

/// The ports of a process.
pub struct Gateway {
    api: Endpoint,
    aws: Endpoint,
    retries: bool,
}

impl Gateway {
    /// Opens ports to a world's services, each wrapped by `guard`.
    pub async fn open(world: &World, guard: impl Fn(Arc<dyn Service>) -> Arc<dyn Service>) -> Self {
        Self {
            api: wire::serve(guard(Arc::new(world.github.clone()))).await,
            aws: wire::serve(guard(world.aws.service())).await,
            retries: false,
        }
    }

    /// Whether the AWS SDK retries failed calls as in production, but without pauses.
    #[must_use]
    pub fn with_retries(mut self, retries: bool) -> Self {
        self.retries = retries;
        self
    }

    /// A new worker, with nothing cached.
    pub fn worker(&self, world: &World) -> Worker {
        let config = FleetConfig::from_environment(&self.environment(world)).expect("a complete environment");
        Worker::new(&self.sdk_config(world), config, world.clock.clone())
    }

    /// A new webhook, with nothing cached.
    pub fn webhook(&self, world: &World) -> Webhook {
        let config = WebhookConfig::from_environment(&self.environment(world)).expect("a complete environment");
        Webhook::new(&self.sdk_config(world), config, world.clock.clone())
    }

    /// A new cleaner, with nothing cached.
    pub fn cleaner(&self, world: &World) -> Cleaner {
        let config = FleetConfig::from_environment(&self.environment(world)).expect("a complete environment");
        Cleaner::new(&self.sdk_config(world), config, world.clock.clone())
    }

    /// Forgets the calls so far: their bodies take most of a long run's memory.
    pub fn forget_calls(&self) {
        self.api.calls.clear();
        self.aws.calls.clear();
    }

    fn environment(&self, world: &World) -> Environment {
        let own = [("GITHUB_API_URL".to_owned(), self.api.url())];
        world.variables().into_iter().filter(|(name, _)| name != "GITHUB_API_URL").chain(own).collect()
    }

    fn sdk_config(&self, world: &World) -> SdkConfig {
        let retries =
            if self.retries { RetryConfig::standard().with_max_attempts(ATTEMPTS) } else { RetryConfig::disabled() };
        let config = world.aws.sdk_config_with(retries).into_builder();
        config
            .endpoint_url(self.aws.url())
            .sleep_impl(SharedAsyncSleep::new(NoRealTime))
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build()
    }
}

/// The SDK's pauses take no time and its time-outs never expire: both would pass in real time, in a world of simulated
/// time.
#[derive(Debug)]
struct NoRealTime;

/// Longer than all pauses of the SDK, and shorter than all of its time-outs.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl AsyncSleep for NoRealTime {
    fn sleep(&self, duration: Duration) -> Sleep {
        if duration <= LONGEST_PAUSE {
            Sleep::new(tokio::task::yield_now())
        } else {
            Sleep::new(std::future::pending())
        }
    }
}

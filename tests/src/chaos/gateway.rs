//! A process's own way out: every call that it makes to GitHub and AWS comes through ports of its own, so that whoever
//! stands there knows whose call it is.

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

/// As production has it.
const ATTEMPTS: u32 = 3;

/// Where a process's calls end.
pub struct Gateway {
    api: Endpoint,
    aws: Endpoint,
    retries: bool,
}

impl Gateway {
    /// Opens the way to a world's services, each behind what `guard` puts in front of it.
    pub async fn open(world: &World, guard: impl Fn(Arc<dyn Service>) -> Arc<dyn Service>) -> Self {
        Self {
            api: wire::serve(guard(Arc::new(world.github.clone()))).await,
            aws: wire::serve(guard(world.aws.service())).await,
            retries: false,
        }
    }

    /// The AWS SDK repeats failed calls as it does in production, but without a pause.
    #[must_use]
    pub fn with_retries(mut self, retries: bool) -> Self {
        self.retries = retries;
        self
    }

    /// A worker that nothing is known to yet.
    pub fn worker(&self, world: &World) -> Worker {
        let config = FleetConfig::from_environment(&self.environment(world)).expect("a complete environment");
        Worker::new(&self.sdk_config(world), config, world.clock.clone())
    }

    /// A webhook that nothing is known to yet.
    pub fn webhook(&self, world: &World) -> Webhook {
        let config = WebhookConfig::from_environment(&self.environment(world)).expect("a complete environment");
        Webhook::new(&self.sdk_config(world), config, world.clock.clone())
    }

    /// A cleaner that nothing is known to yet.
    pub fn cleaner(&self, world: &World) -> Cleaner {
        let config = FleetConfig::from_environment(&self.environment(world)).expect("a complete environment");
        Cleaner::new(&self.sdk_config(world), config, world.clock.clone())
    }

    /// Forgets what was called so far: bodies take most of the memory of a long run.
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

/// The pauses between the SDK's attempts take no time, and its time-outs never come: both would be real time, in a world
/// whose time is not.
#[derive(Debug)]
struct NoRealTime;

/// No pause of the SDK is as long, and all of its time-outs are longer.
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

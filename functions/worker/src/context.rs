//! What every message needs: settings, clients, and what this process remembers.

use aws_config::SdkConfig;
use jitgate::clock::Clock;
use jitgate::config::FleetConfig;
use jitgate::ecs::Tasks;
use jitgate::github::GitHub;
use jitgate::job::Message;
use jitgate::names::LaunchToken;
use jitgate::queue::JobQueue;
use jitgate::secret::SecretReader;

use crate::capacity::Shortages;
use crate::limits::{Started, Waiting};

/// Lives as long as its process.
pub(crate) struct Context {
    pub(crate) config: FleetConfig,
    pub(crate) github: GitHub,
    pub(crate) tasks: Tasks,
    pub(crate) queue: JobQueue,
    pub(crate) clock: Clock,
    pub(crate) shortages: Shortages,
    pub(crate) started: Started,
    pub(crate) waiting: Waiting,
}

impl Context {
    /// Nothing is read or called yet.
    pub(crate) fn new(sdk: &SdkConfig, config: FleetConfig, clock: Clock) -> Self {
        let secret = SecretReader::new(aws_sdk_secretsmanager::Client::new(sdk), config.github_secret_id.clone());
        Self {
            github: GitHub::new(&config.github, secret, clock.clone()),
            tasks: Tasks::new(sdk, config.cluster.clone()),
            queue: JobQueue::new(sdk, config.job_queue_url.clone()),
            shortages: Shortages::default(),
            started: Started::default(),
            waiting: Waiting::default(),
            config,
            clock,
        }
    }

    pub(crate) fn token(&self, message: &Message) -> LaunchToken {
        LaunchToken::of(&self.config.name_prefix, message)
    }
}

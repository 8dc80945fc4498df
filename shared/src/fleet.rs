//! What the worker and the cleaner work with.

use aws_config::SdkConfig;

use crate::clock::Clock;
use crate::config::FleetConfig;
use crate::ecs::Tasks;
use crate::github::GitHub;
use crate::queue::JobQueue;
use crate::secret::SecretReader;

/// The settings and the clients of one process.
pub struct Fleet {
    /// The settings.
    pub config: FleetConfig,
    /// GitHub, as the configured credential reaches it.
    pub github: GitHub,
    /// The cluster's tasks.
    pub tasks: Tasks,
    /// The job queue.
    pub queue: JobQueue,
    /// The time; tests set it.
    pub clock: Clock,
}

impl Fleet {
    /// Nothing is read or called yet.
    pub fn new(sdk: &SdkConfig, config: FleetConfig, clock: Clock) -> Self {
        let secret = SecretReader::new(sdk, config.github_secret_id.clone());
        Self {
            github: GitHub::new(&config.github, secret, clock.clone()),
            tasks: Tasks::new(sdk, config.cluster.clone()),
            queue: JobQueue::new(sdk, config.job_queue_url.clone()),
            config,
            clock,
        }
    }
}

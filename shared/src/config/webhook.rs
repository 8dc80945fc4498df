//! The webhook's settings.

use super::common::{allow_list, job_queue_url, name_prefix, report_to_github, secret_id};
use super::environment::{ConfigError, Environment};
use crate::admission::AllowList;
use crate::classes::RunnerClasses;
use crate::names::NamePrefix;

/// The webhook's settings.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// `JOB_QUEUE_URL`
    pub job_queue_url: String,
    /// `GITHUB_SECRET_ID`
    pub github_secret_id: String,
    /// `RUNNER_CLASSES`
    pub classes: RunnerClasses,
    /// `ALLOWED_INSTALLATIONS`: the accounts whose jobs are taken.
    pub allowed: AllowList,
    /// `RUNNER_NAME_PREFIX`: the name of the deployment in metrics.
    pub name_prefix: NamePrefix,
    /// `REPORT_TO_GITHUB`: whether a job's commit is told why it waits.
    pub reports: bool,
}

impl WebhookConfig {
    /// Reads and checks the webhook's variables.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        Ok(Self {
            job_queue_url: job_queue_url(environment)?,
            github_secret_id: secret_id(environment)?,
            classes: environment.runner_classes()?,
            allowed: allow_list(environment)?,
            name_prefix: name_prefix(environment)?,
            reports: report_to_github(environment)?,
        })
    }
}

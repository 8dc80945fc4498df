//! Settings that all functions read.

use reqwest::Url;

use super::environment::{ConfigError, Environment};
use crate::admission::AllowList;
use crate::classes::RunnerClasses;
use crate::names::NamePrefix;

/// The most bytes that Lambda gives a function for all its variables together.
/// Source: "Lambda quotas", environment variables.
pub const ENVIRONMENT_SIZE: usize = 4096;

impl Environment {
    /// `RUNNER_CLASSES`: the classes themselves, or `file:PATH` of a file with them, shipped with the function or below
    /// `/opt` in a layer.
    pub fn runner_classes(&self) -> Result<RunnerClasses, ConfigError> {
        const EXPECTED: &str = "a JSON list of runner classes";
        let value = self.required("RUNNER_CLASSES", EXPECTED)?;
        let outcome = match value.strip_prefix("file:") {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| error.to_string())
                .and_then(|json| RunnerClasses::parse(&json))
                .map_err(|problem| format!("{EXPECTED} in that file: {problem}")),
            None => RunnerClasses::parse(&value).map_err(|problem| {
                let size = value.len();
                format!(
                    "{EXPECTED}: {problem} ({size} bytes; a function has {ENVIRONMENT_SIZE} for all its variables, and a \
                     longer list may be in a file: RUNNER_CLASSES=file:PATH)"
                )
            }),
        };
        outcome.map_err(|expected| ConfigError::malformed("RUNNER_CLASSES", &value, expected))
    }
}

pub(super) fn job_queue_url(environment: &Environment) -> Result<String, ConfigError> {
    const VARIABLE: &str = "JOB_QUEUE_URL";
    let value = environment.required(VARIABLE, "the URL of the SQS job queue")?;
    queue_url(&value).map_err(|expected| ConfigError::malformed(VARIABLE, &value, expected))
}

pub(super) fn queue_url(value: &str) -> Result<String, String> {
    http_url(value, "the URL of an SQS queue")
}

pub(super) fn http_url(value: &str, expected: &str) -> Result<String, String> {
    match Url::parse(value) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(value.to_owned()),
        _ => Err(expected.to_owned()),
    }
}

pub(super) fn secret_id(environment: &Environment) -> Result<String, ConfigError> {
    environment.required("GITHUB_SECRET_ID", "the name or ARN of the Secrets Manager secret")
}

pub(super) fn allow_list(environment: &Environment) -> Result<AllowList, ConfigError> {
    environment.parsed("ALLOWED_INSTALLATIONS", AllowList::default(), str::parse)
}

pub(super) fn name_prefix(environment: &Environment) -> Result<NamePrefix, ConfigError> {
    environment.parsed("RUNNER_NAME_PREFIX", NamePrefix::default(), str::parse)
}

/// `REPORT_TO_GITHUB`: whether a job's commit is told why it waits.
pub(super) fn report_to_github(environment: &Environment) -> Result<bool, ConfigError> {
    environment.parsed("REPORT_TO_GITHUB", false, |value| match value {
        "none" => Ok(false),
        "checks" => Ok(true),
        _ => Err("\"none\" or \"checks\"".to_owned()),
    })
}

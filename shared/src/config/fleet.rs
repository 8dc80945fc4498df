//! The settings of the worker and the cleaner.

use std::num::NonZeroU32;

use super::common::{allow_list, http_url, job_queue_url, name_prefix, queue_url, report_to_github, secret_id};
use super::environment::{ConfigError, Environment};
use super::github::GitHubConfig;
use super::sharing::check_sharing;
use crate::admission::AllowList;
use crate::classes::RunnerClasses;
use crate::globs::RepositoryGlob;
use crate::names::NamePrefix;
use crate::runner_version::RunnerVersion;

/// The settings of the worker and the cleaner.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// `JOB_QUEUE_URL`
    pub job_queue_url: String,
    /// `DEAD_LETTER_QUEUE_URL`: where the worker sends a message that it gives up, with the reason. Without it the
    /// message fails until the queue's redrive policy moves it.
    pub dead_letter_queue_url: Option<String>,
    /// `GITHUB_SECRET_ID`
    pub github_secret_id: String,
    /// `GITHUB_API_URL`, `GITHUB_CA_FILE`, `RUNNER_SCOPE`, `GITHUB_ENTERPRISE`, `GITHUB_POINTS_PER_MINUTE`
    pub github: GitHubConfig,
    /// `RUNNER_CLASSES`, with `RUNNER_SECURITY_GROUPS` where a class names no security group.
    pub classes: RunnerClasses,
    /// `ALLOWED_INSTALLATIONS`: the accounts whose jobs are taken and whose runners the cleaner looks after.
    pub allowed: AllowList,
    /// `MAX_RUNNERS`: how many runners of all classes may live at once.
    pub max_runners: Option<NonZeroU32>,
    /// `ECS_CLUSTER`: name or ARN.
    pub cluster: String,
    /// `RUNNER_NAME_PREFIX`
    pub name_prefix: NamePrefix,
    /// `DRY_RUN`: the cleaner logs what it would do and does nothing.
    pub dry_run: bool,
    /// `RECONCILE_REPOSITORIES`: where the cleaner looks for jobs whose delivery never arrived, besides the
    /// repositories of recent tasks.
    pub reconcile: Vec<RepositoryGlob>,
    /// `RUNNER_VERSION_FLOOR`: the cleaner warns of runners of this version or an older one, where GitHub does not say
    /// when a version ends.
    pub runner_version_floor: Option<RunnerVersion>,
    /// `WEBHOOK_URL`: the hooks of an organisation or a repository that deliver there are ours.
    pub webhook_url: Option<String>,
    /// `REPORT_TO_GITHUB`: whether a job's commit is told why it waits.
    pub reports: bool,
}

impl FleetConfig {
    /// Reads and checks the variables of the worker and the cleaner.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let github = GitHubConfig::from_environment(environment)?;
        let groups = environment.parsed("RUNNER_SECURITY_GROUPS", Vec::new(), security_groups)?;
        let classes = environment.runner_classes()?.with_security_groups(&groups);
        check_sharing(&classes, &github.scope)?;
        Ok(Self {
            job_queue_url: job_queue_url(environment)?,
            dead_letter_queue_url: environment
                .parsed("DEAD_LETTER_QUEUE_URL", None, |value| queue_url(value).map(Some))?,
            github_secret_id: secret_id(environment)?,
            github,
            classes,
            allowed: allow_list(environment)?,
            max_runners: environment.parsed("MAX_RUNNERS", None, |value| match value.parse() {
                Ok(number) => Ok(NonZeroU32::new(number)),
                Err(_) => Err("a whole number of runners, 0 for no limit".to_owned()),
            })?,
            cluster: environment.required("ECS_CLUSTER", "the name or ARN of the ECS cluster")?,
            name_prefix: name_prefix(environment)?,
            dry_run: environment
                .parsed("DRY_RUN", false, |value| value.parse().map_err(|_| "true or false".to_owned()))?,
            reconcile: environment.parsed("RECONCILE_REPOSITORIES", Vec::new(), |value| {
                value.split(',').filter(|glob| !glob.trim().is_empty()).map(str::parse).collect()
            })?,
            runner_version_floor: environment.parsed("RUNNER_VERSION_FLOOR", None, |value| value.parse().map(Some))?,
            webhook_url: environment
                .parsed("WEBHOOK_URL", None, |value| http_url(value, "the URL that hooks deliver to").map(Some))?,
            reports: report_to_github(environment)?,
        })
    }
}

fn security_groups(value: &str) -> Result<Vec<String>, String> {
    let groups: Vec<String> = value.split(',').map(|group| group.trim().to_owned()).collect();
    let is_fine = groups.len() <= 5 && groups.iter().all(|group| group.starts_with("sg-"));
    if is_fine { Ok(groups) } else { Err("up to 5 ids of security groups, separated by commas".to_owned()) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::github::ScopeKind;
    use super::*;

    const CLASSES: &str =
        r#"[{"name":"default","labels":["fargate"],"task_definition":"runner","subnets":["subnet-1"]}]"#;

    fn fleet(changes: &[(&str, &str)]) -> Result<FleetConfig, ConfigError> {
        let mut variables = HashMap::from([
            ("JOB_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/1/jobs"),
            ("GITHUB_SECRET_ID", "jitgate/github"),
            ("RUNNER_CLASSES", CLASSES),
            ("ECS_CLUSTER", "runners"),
        ]);
        variables.extend(changes.iter().copied());
        FleetConfig::from_environment(&variables.into_iter().collect())
    }

    #[test]
    fn an_absent_variable_has_the_documented_default() {
        let config = fleet(&[]).expect("a complete environment");
        assert_eq!(config.github.api_url, "https://api.github.com");
        assert_eq!(config.github.scope, ScopeKind::Org);
        assert_eq!(config.github.points_per_minute, 900);
        assert_eq!(config.name_prefix.as_str(), "jit");
        assert_eq!((config.dead_letter_queue_url, config.reports), (None, false));
    }

    #[test]
    fn a_malformed_value_is_named_with_what_was_expected() {
        for (variable, value, expected) in [
            ("JOB_QUEUE_URL", "", "the URL of the SQS job queue"),
            ("JOB_QUEUE_URL", "jobs", "the URL of an SQS queue"),
            ("GITHUB_SECRET_ID", "", "Secrets Manager"),
            ("ECS_CLUSTER", "", "ECS cluster"),
            ("RUNNER_SCOPE", "team", "\"org\", \"repo\" or \"enterprise\""),
            ("MAX_RUNNERS", "-1", "a whole number of runners"),
            ("ALLOWED_INSTALLATIONS", "octo org", "logins"),
            ("RUNNER_NAME_PREFIX", "a prefix", "1 to 12"),
            ("RUNNER_CLASSES", "{}", "a JSON list of runner classes"),
            ("RUNNER_CLASSES", "[]", "2 bytes; a function has 4096"),
            ("RUNNER_CLASSES", "file:/no/such/file.json", "in that file: No such file"),
            ("GITHUB_POINTS_PER_MINUTE", "-1", "a whole number"),
            ("RUNNER_SECURITY_GROUPS", "default", "ids of security groups"),
            ("GITHUB_API_URL", "api.github.com", "an https URL"),
            ("DRY_RUN", "yes", "true or false"),
            ("RECONCILE_REPOSITORIES", "octo-org", "owner/name"),
            ("RUNNER_VERSION_FLOOR", "latest", "2.329.0"),
            ("WEBHOOK_URL", "here", "the URL"),
            ("REPORT_TO_GITHUB", "checks,statuses", "\"none\" or \"checks\""),
        ] {
            let error = fleet(&[(variable, value)]).expect_err(value);
            assert_eq!(error.variable, variable);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}

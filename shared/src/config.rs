//! Settings from environment variables, checked when a function starts.
//!
//! A malformed value stops the function with an error that names the variable, what was found and what was expected.
//! No secret is ever read from the environment, so what was found may be shown.

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::num::NonZeroU32;

use reqwest::{Certificate, Url};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use crate::admission::AllowList;
use crate::classes::RunnerClasses;
use crate::github::RunnerVersion;
use crate::globs::RepositoryGlob;
use crate::names::NamePrefix;

/// GitHub's public API.
pub const GITHUB_API_URL: &str = "https://api.github.com";

/// GitHub's published secondary limit, in points a minute and installation.
/// Source: GitHub's "Rate limits for the REST API".
pub const GITHUB_POINTS_PER_MINUTE: u32 = 900;

/// Lambda gives a function this much for all its variables together, in bytes.
/// Source: "Lambda quotas", environment variables.
pub const ENVIRONMENT_SIZE: usize = 4096;

/// What is wrong with one variable.
#[derive(thiserror::Error, PartialEq, Eq)]
#[error("{variable}: found {found}, expected {expected}")]
pub struct ConfigError {
    /// The variable's name.
    pub variable: &'static str,
    /// What was found, shortened.
    pub found: String,
    /// What would have been right.
    pub expected: String,
}

impl fmt::Debug for ConfigError {
    /// As [`Display`]: this is how `main` shows what stopped it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, formatter)
    }
}

/// The environment a function reads its settings from.
#[derive(Clone, Debug, Default)]
pub struct Environment(HashMap<String, String>);

impl Environment {
    /// The process's own environment.
    pub fn of_process() -> Self {
        Self(std::env::vars().collect())
    }

    /// The variable's value; an empty one counts as absent, since deployment tools cannot leave a variable out.
    pub fn get(&self, variable: &str) -> Option<&str> {
        self.0.get(variable).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// `RUST_LOG`
    pub(crate) fn log_levels(&self) -> Result<Targets, ConfigError> {
        self.parsed("RUST_LOG", Targets::new().with_default(LevelFilter::INFO), |value| {
            // A word alone is a level here; `Targets` would take any other for a module and silence everything else.
            let words = value.split(',').filter(|part| !part.contains('='));
            let are_levels = words.into_iter().all(|word| word.trim().parse::<LevelFilter>().is_ok());
            let levels = value.parse().ok().filter(|_| are_levels);
            levels.ok_or_else(|| "error, warn, info, debug or trace, or levels by module".to_owned())
        })
    }

    /// `RUNNER_CLASSES`: the classes themselves, or `file:PATH` of where they are, shipped with the function or below
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
        outcome.map_err(|expected| malformed("RUNNER_CLASSES", &value, expected))
    }

    fn required(&self, variable: &'static str, expected: &str) -> Result<String, ConfigError> {
        self.get(variable).map(str::to_owned).ok_or_else(|| ConfigError {
            variable,
            found: "nothing".to_owned(),
            expected: expected.to_owned(),
        })
    }

    fn parsed<T>(
        &self,
        variable: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        match self.get(variable) {
            None => Ok(default),
            Some(value) => parse(value).map_err(|expected| malformed(variable, value, expected)),
        }
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

fn malformed(variable: &'static str, found: &str, expected: impl Display) -> ConfigError {
    const SHOWN: usize = 80;
    // A URL's user and query are where people put what nobody should see.
    if found.contains("://") && found.contains(['@', '?']) {
        let found = "a URL with a user or a query (not shown)".to_owned();
        return ConfigError { variable, found, expected: expected.to_string() };
    }
    let mut shown: String = found.chars().take(SHOWN).collect();
    if shown.len() < found.len() {
        shown.push('…');
    }
    ConfigError { variable, found: format!("{shown:?}"), expected: expected.to_string() }
}

/// What the webhook function needs to know.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// `JOB_QUEUE_URL`
    pub job_queue_url: String,
    /// `GITHUB_SECRET_ID`
    pub github_secret_id: String,
    /// `RUNNER_CLASSES`
    pub classes: RunnerClasses,
    /// `ALLOWED_INSTALLATIONS`: whose jobs are taken.
    pub allowed: AllowList,
    /// `RUNNER_NAME_PREFIX`: which deployment the metrics are of.
    pub name_prefix: NamePrefix,
}

impl WebhookConfig {
    /// Reads and checks the webhook function's variables.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        Ok(Self {
            job_queue_url: queue_url(environment)?,
            github_secret_id: secret_id(environment)?,
            classes: environment.runner_classes()?,
            allowed: allow_list(environment)?,
            name_prefix: name_prefix(environment)?,
        })
    }
}

/// What the worker and the cleaner need to know.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// `JOB_QUEUE_URL`
    pub job_queue_url: String,
    /// `DEAD_LETTER_QUEUE_URL`: where a job is given up, with the reason on the message. Without it such a message
    /// is failed until the queue's redrive policy moves it.
    pub dead_letter_queue_url: Option<String>,
    /// `GITHUB_SECRET_ID`
    pub github_secret_id: String,
    /// `GITHUB_API_URL`, `GITHUB_CA_FILE`, `RUNNER_SCOPE`, `GITHUB_ENTERPRISE`, `GITHUB_POINTS_PER_MINUTE`
    pub github: GitHubConfig,
    /// `RUNNER_CLASSES`
    pub classes: RunnerClasses,
    /// `ALLOWED_INSTALLATIONS`: whose accounts the cleaner looks after.
    pub allowed: AllowList,
    /// `MAX_RUNNERS`: how many runners of all classes may live at once.
    pub max_runners: Option<NonZeroU32>,
    /// `ECS_CLUSTER`: name or ARN.
    pub cluster: String,
    /// `RUNNER_NAME_PREFIX`
    pub name_prefix: NamePrefix,
    /// `DRY_RUN`: the cleaner says what it would do and does nothing.
    pub dry_run: bool,
    /// `RECONCILE_REPOSITORIES`: where the cleaner looks for jobs that nobody told us of, besides those of recent tasks.
    pub reconcile: Vec<RepositoryGlob>,
    /// `RUNNER_VERSION_FLOOR`: a runner of this version or an older one is worth a warning, where GitHub does not say.
    pub runner_version_floor: Option<RunnerVersion>,
    /// `WEBHOOK_URL`: an organisation's or a repository's hook that delivers there is ours.
    pub webhook_url: Option<String>,
}

impl FleetConfig {
    /// Reads and checks the variables that the worker and the cleaner share.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        Ok(Self {
            job_queue_url: queue_url(environment)?,
            dead_letter_queue_url: environment
                .get("DEAD_LETTER_QUEUE_URL")
                .map(|value| http_url("DEAD_LETTER_QUEUE_URL", value))
                .transpose()?,
            github_secret_id: secret_id(environment)?,
            github: GitHubConfig::from_environment(environment)?,
            classes: environment.runner_classes()?,
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
            webhook_url: environment.parsed("WEBHOOK_URL", None, |value| match Url::parse(value) {
                Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(Some(value.to_owned())),
                _ => Err("the URL that hooks deliver to".to_owned()),
            })?,
        })
    }
}

/// Where GitHub is, at which level runners are registered, and how fast it may be called.
#[derive(Clone, Debug)]
pub struct GitHubConfig {
    /// `GITHUB_API_URL`, without a trailing slash.
    pub api_url: String,
    /// `GITHUB_CA_FILE`: roots that are trusted besides those of the system, for hosts with a certificate of a private
    /// authority.
    pub authorities: Vec<Certificate>,
    /// `RUNNER_SCOPE`
    pub scope: ScopeKind,
    /// `GITHUB_POINTS_PER_MINUTE`; 0 switches pacing off.
    pub points_per_minute: u32,
}

impl GitHubConfig {
    fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        Ok(Self {
            api_url: environment.parsed("GITHUB_API_URL", GITHUB_API_URL.to_owned(), api_url)?,
            authorities: environment.parsed("GITHUB_CA_FILE", Vec::new(), certificates)?,
            scope: match environment.get("RUNNER_SCOPE") {
                None | Some("org") => ScopeKind::Org,
                Some("repo") => ScopeKind::Repo,
                Some("enterprise") => ScopeKind::Enterprise(enterprise(environment)?),
                Some(other) => {
                    return Err(malformed("RUNNER_SCOPE", other, "\"org\", \"repo\" or \"enterprise\""));
                }
            },
            points_per_minute: environment.parsed("GITHUB_POINTS_PER_MINUTE", GITHUB_POINTS_PER_MINUTE, |value| {
                value.parse().map_err(|_| "a whole number of points a minute, 0 for no pacing".to_owned())
            })?,
        })
    }
}

/// At which level runners are registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScopeKind {
    /// With the organisation that owns the job's repository.
    Org,
    /// With the job's repository itself; the only one that personal accounts have.
    Repo,
    /// With the enterprise of that slug (`GITHUB_ENTERPRISE`), for all of its organisations.
    Enterprise(String),
}

fn enterprise(environment: &Environment) -> Result<String, ConfigError> {
    const EXPECTED: &str = "the enterprise's slug, as in github.com/enterprises/SLUG: letters, digits, '-' and '_'";
    let slug = environment.required("GITHUB_ENTERPRISE", EXPECTED)?;
    if slug.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        Ok(slug)
    } else {
        Err(malformed("GITHUB_ENTERPRISE", &slug, EXPECTED))
    }
}

fn allow_list(environment: &Environment) -> Result<AllowList, ConfigError> {
    environment.parsed("ALLOWED_INSTALLATIONS", AllowList::default(), str::parse)
}

fn queue_url(environment: &Environment) -> Result<String, ConfigError> {
    let value = environment.required("JOB_QUEUE_URL", "the URL of the SQS job queue")?;
    http_url("JOB_QUEUE_URL", &value)
}

fn http_url(variable: &'static str, value: &str) -> Result<String, ConfigError> {
    match Url::parse(value) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(value.to_owned()),
        _ => Err(malformed(variable, value, "the URL of an SQS queue")),
    }
}

fn name_prefix(environment: &Environment) -> Result<NamePrefix, ConfigError> {
    environment.parsed("RUNNER_NAME_PREFIX", NamePrefix::default(), str::parse)
}

fn secret_id(environment: &Environment) -> Result<String, ConfigError> {
    environment.required("GITHUB_SECRET_ID", "the name or ARN of the Secrets Manager secret")
}

/// The file is read once, at the start, so that one that is missing or damaged stops the function and not a job.
fn certificates(path: &str) -> Result<Vec<Certificate>, String> {
    const EXPECTED: &str = "a file with one or more certificates in PEM";
    let pem = std::fs::read(path).map_err(|error| format!("{EXPECTED}: {error}"))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|_| EXPECTED.to_owned())?;
    // Only a client looks into them.
    let client = reqwest::Client::builder().tls_certs_merge(found.clone()).build();
    match client {
        Ok(_) if !found.is_empty() => Ok(found),
        _ => Err(EXPECTED.to_owned()),
    }
}

/// Plain HTTP would show tokens to the network, so it is for loopback only.
fn api_url(value: &str) -> Result<String, String> {
    const EXPECTED: &str = "an https URL such as https://api.github.com or https://HOST/api/v3, without user or query \
                            (http only on loopback)";
    let url = Url::parse(value).map_err(|_| EXPECTED.to_owned())?;
    let on_loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if plain && (url.scheme() == "https" || (url.scheme() == "http" && on_loopback)) {
        Ok(value.trim_end_matches('/').to_owned())
    } else {
        Err(EXPECTED.to_owned())
    }
}

#[cfg(test)]
mod tests {
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
    fn what_is_not_said_has_the_documented_default() {
        let config = fleet(&[]).expect("a complete environment");
        assert_eq!(config.github.api_url, "https://api.github.com");
        assert_eq!(config.github.scope, ScopeKind::Org);
        assert_eq!(config.github.points_per_minute, 900);
        assert_eq!(config.name_prefix.as_str(), "jit");
        assert_eq!(config.dead_letter_queue_url, None);
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
            ("GITHUB_API_URL", "api.github.com", "an https URL"),
            ("DRY_RUN", "yes", "true or false"),
            ("RECONCILE_REPOSITORIES", "octo-org", "owner/name"),
            ("RUNNER_VERSION_FLOOR", "latest", "2.329.0"),
            ("WEBHOOK_URL", "here", "the URL"),
        ] {
            let error = fleet(&[(variable, value)]).expect_err(value);
            assert_eq!(error.variable, variable);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn a_file_of_certificates_has_certificates() {
        let folder = std::env::temp_dir().join(format!("jitgate-config-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        for (name, content) in [
            ("empty.pem", ""),
            ("words.pem", "no certificate"),
            ("damaged.pem", "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n"),
        ] {
            let path = folder.join(name);
            std::fs::write(&path, content).expect("a file");
            let error = fleet(&[("GITHUB_CA_FILE", path.to_str().expect("text"))]).expect_err(name);
            assert!(error.to_string().contains("in PEM"), "{error}");
        }
        let error = fleet(&[("GITHUB_CA_FILE", "/nowhere/ca.pem")]).expect_err("no such file");
        assert!(error.to_string().contains("No such file"), "{error}");
        std::fs::remove_dir_all(&folder).expect("the folder");
    }

    #[test]
    fn enterprise_scope_needs_the_enterprise() {
        let with = |slug| fleet(&[("RUNNER_SCOPE", "enterprise"), ("GITHUB_ENTERPRISE", slug)]);
        assert_eq!(with("octo-corp").unwrap().github.scope, ScopeKind::Enterprise("octo-corp".to_owned()));
        for slug in ["", "a/b", "a b"] {
            assert_eq!(with(slug).expect_err(slug).variable, "GITHUB_ENTERPRISE");
        }
    }

    #[test]
    fn a_log_level_is_a_level() {
        let levels = |value: &str| Environment::from_iter([("RUST_LOG", value)]).log_levels().map(|_| ());
        for value in ["", "debug", "info,worker=debug", "off"] {
            assert_eq!(levels(value), Ok(()), "{value}");
        }
        assert_eq!(levels("loud=and=clear").map_err(|error| error.variable), Err("RUST_LOG"));
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        for url in ["http://127.0.0.1:1", "http://[::1]:1/api/v3", "http://localhost:1/", "https://ghes.example/api/v3"]
        {
            assert!(fleet(&[("GITHUB_API_URL", url)]).is_ok(), "{url}");
        }
        for url in [
            "http://ghes.example",
            "http://127.0.0.1.example",
            "http://localhost.example",
            "https://u:p@h.example",
            "ftp://127.0.0.1",
        ] {
            assert!(fleet(&[("GITHUB_API_URL", url)]).is_err(), "{url}");
        }
    }
}

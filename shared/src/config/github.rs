//! Where GitHub is, at which level runners are registered, and how fast GitHub may be called.

use reqwest::{Certificate, Url};

use super::environment::{ConfigError, Environment};

/// GitHub's public API.
const PUBLIC_API_URL: &str = "https://api.github.com";

/// GitHub's published secondary rate limit, in points a minute and installation.
/// Source: GitHub's "Rate limits for the REST API".
const PUBLISHED_POINTS_PER_MINUTE: u32 = 900;

/// GitHub's settings.
#[derive(Clone, Debug)]
pub struct GitHubConfig {
    /// `GITHUB_API_URL`, without a trailing slash.
    pub api_url: String,
    /// `GITHUB_CA_FILE`: root certificates to trust besides the system's, for a host with a certificate of a private
    /// authority.
    pub authorities: Vec<Certificate>,
    /// `RUNNER_SCOPE`
    pub scope: ScopeKind,
    /// `GITHUB_POINTS_PER_MINUTE`; 0 switches pacing off.
    pub points_per_minute: u32,
}

/// At which level runners are registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScopeKind {
    /// With the organisation that owns the job's repository.
    Org,
    /// With the job's repository itself; the only level that personal accounts have.
    Repo,
    /// With the enterprise of that slug (`GITHUB_ENTERPRISE`), for all of its organisations.
    Enterprise(String),
}

impl GitHubConfig {
    pub(super) fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        Ok(Self {
            api_url: environment.parsed("GITHUB_API_URL", PUBLIC_API_URL.to_owned(), api_url)?,
            authorities: environment.parsed("GITHUB_CA_FILE", Vec::new(), certificates)?,
            scope: scope(environment)?,
            points_per_minute: environment.parsed(
                "GITHUB_POINTS_PER_MINUTE",
                PUBLISHED_POINTS_PER_MINUTE,
                |value| value.parse().map_err(|_| "a whole number of points a minute, 0 for no pacing".to_owned()),
            )?,
        })
    }
}

fn scope(environment: &Environment) -> Result<ScopeKind, ConfigError> {
    match environment.get("RUNNER_SCOPE") {
        None | Some("org") => Ok(ScopeKind::Org),
        Some("repo") => Ok(ScopeKind::Repo),
        Some("enterprise") => Ok(ScopeKind::Enterprise(enterprise(environment)?)),
        Some(other) => Err(ConfigError::malformed("RUNNER_SCOPE", other, "\"org\", \"repo\" or \"enterprise\"")),
    }
}

fn enterprise(environment: &Environment) -> Result<String, ConfigError> {
    const EXPECTED: &str = "the enterprise's slug, as in github.com/enterprises/SLUG: letters, digits, '-' and '_'";
    let slug = environment.required("GITHUB_ENTERPRISE", EXPECTED)?;
    if slug.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        Ok(slug)
    } else {
        Err(ConfigError::malformed("GITHUB_ENTERPRISE", &slug, EXPECTED))
    }
}

/// Reads the file once, at the start, so that a missing or damaged one stops the function and not a job.
fn certificates(path: &str) -> Result<Vec<Certificate>, String> {
    const EXPECTED: &str = "a file with one or more certificates in PEM";
    let pem = std::fs::read(path).map_err(|error| format!("{EXPECTED}: {error}"))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|_| EXPECTED.to_owned())?;
    // Only building a client parses the certificates' content.
    let client = reqwest::Client::builder().tls_certs_merge(found.clone()).build();
    match client {
        Ok(_) if !found.is_empty() => Ok(found),
        _ => Err(EXPECTED.to_owned()),
    }
}

/// Plain HTTP would show tokens to the network, so it is for loopback only.
fn api_url(value: &str) -> Result<String, String> {
    const EXPECTED: &str = "an https URL such as https://api.github.com or https://HOST/api/v3, with the host in ASCII, \
                            without user or query (http only on loopback)";
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

    fn github(variables: &[(&str, &str)]) -> Result<GitHubConfig, ConfigError> {
        GitHubConfig::from_environment(&variables.iter().copied().collect())
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
            let error = github(&[("GITHUB_CA_FILE", path.to_str().expect("text"))]).expect_err(name);
            assert!(error.to_string().contains("in PEM"), "{error}");
        }
        let error = github(&[("GITHUB_CA_FILE", "/nowhere/ca.pem")]).expect_err("no such file");
        assert!(error.to_string().contains("No such file"), "{error}");
        std::fs::remove_dir_all(&folder).expect("the folder");
    }

    #[test]
    fn enterprise_scope_needs_the_enterprise() {
        let with = |slug| github(&[("RUNNER_SCOPE", "enterprise"), ("GITHUB_ENTERPRISE", slug)]);
        assert_eq!(with("octo-corp").unwrap().scope, ScopeKind::Enterprise("octo-corp".to_owned()));
        for slug in ["", "a/b", "a b"] {
            assert_eq!(with(slug).expect_err(slug).variable, "GITHUB_ENTERPRISE");
        }
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        for url in [
            "http://127.0.0.1:1",
            "http://[::1]:1/api/v3",
            "http://localhost:1/",
            "https://ghes.example/api/v3",
            "https://xn--bcher-kva.example/api/v3",
        ] {
            assert!(github(&[("GITHUB_API_URL", url)]).is_ok(), "{url}");
        }
        for url in [
            "http://ghes.example",
            "http://127.0.0.1.example",
            "http://localhost.example",
            "https://u:p@h.example",
            "ftp://127.0.0.1",
            "https://bücher.example/api/v3",
        ] {
            assert!(github(&[("GITHUB_API_URL", url)]).is_err(), "{url}");
        }
    }
}

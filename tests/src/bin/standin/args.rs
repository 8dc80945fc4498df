//! The command line.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

const USAGE: &str = "usage: standin --listen 127.0.0.1:PORT --webhook-url URL [--webhook-host HOST] \
                     --webhook-secret-env VARIABLE --app-id ID --app-public-key FILE --aws-endpoint URL \
                     --cluster NAME --job-seconds SECONDS";

/// The parsed command line.
pub(crate) struct Args {
    pub(crate) listen: SocketAddr,
    pub(crate) webhook_url: String,
    /// The `Host` header, by which an emulator tells functions apart.
    pub(crate) webhook_host: Option<String>,
    pub(crate) webhook_secret: String,
    pub(crate) app_id: u64,
    pub(crate) app_public_key: Vec<u8>,
    pub(crate) aws_endpoint: String,
    pub(crate) cluster: String,
    pub(crate) job_time: Duration,
}

impl Args {
    pub(crate) fn of_process() -> Result<Self, String> {
        Self::parse(std::env::args().skip(1), |variable| std::env::var(variable).ok())
    }

    fn parse(
        args: impl IntoIterator<Item = String>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let mut given = HashMap::new();
        let mut args = args.into_iter();
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name}: no value\n{USAGE}"))?;
            given.insert(name, value);
        }
        let mut take = |name: &str| given.remove(name).ok_or_else(|| format!("{name} is missing\n{USAGE}"));
        let secret_variable = take("--webhook-secret-env")?;
        let key_file = take("--app-public-key")?;
        let args = Self {
            listen: number("--listen", &take("--listen")?)?,
            webhook_url: take("--webhook-url")?,
            webhook_host: take("--webhook-host").ok(),
            webhook_secret: environment(&secret_variable)
                .ok_or_else(|| format!("--webhook-secret-env: {secret_variable} is not set"))?,
            app_id: number("--app-id", &take("--app-id")?)?,
            app_public_key: std::fs::read(&key_file)
                .map_err(|error| format!("--app-public-key: {key_file}: {error}"))?,
            aws_endpoint: take("--aws-endpoint")?,
            cluster: take("--cluster")?,
            job_time: Duration::from_secs(number("--job-seconds", &take("--job-seconds")?)?),
        };
        match given.keys().next() {
            None => Ok(args),
            Some(unknown) => Err(format!("{unknown} is not known\n{USAGE}")),
        }
    }
}

fn number<T: FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name}: found {value:?}\n{USAGE}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, String> {
        Args::parse(line.split_whitespace().map(str::to_owned), |variable| {
            (variable == "SECRET").then(|| "a secret".to_owned())
        })
    }

    #[test]
    fn what_is_wrong_is_named() {
        let key = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let line = format!(
            "--listen 127.0.0.1:0 --webhook-url http://127.0.0.1:1/ --webhook-secret-env SECRET --app-id 1 \
             --app-public-key {key} --aws-endpoint http://127.0.0.1:2 --cluster runners --job-seconds 2"
        );
        assert_eq!(parse(&line).map(|args| args.job_time).ok(), Some(Duration::from_secs(2)));
        for (change, to, problem) in [
            ("--app-id 1", "--app-id one", "--app-id: found \"one\""),
            ("--cluster runners", "", "--cluster is missing"),
            ("SECRET", "OTHER", "OTHER is not set"),
            ("--cluster", "--clutter x --cluster", "--clutter is not known"),
        ] {
            let error = parse(&line.replace(change, to)).err().unwrap_or_default();
            assert!(error.contains(problem), "{error}");
        }
    }
}

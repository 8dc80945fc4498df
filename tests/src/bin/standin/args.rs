//! The command line.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use reqwest::Url;

const USAGE: &str = "usage: standin --listen 127.0.0.1:PORT \
                     --webhook-url URL [--webhook-host HOST] --webhook-secret-env VARIABLE --app-id ID \
                     --app-public-key FILE CLUSTER
       standin --listen 127.0.0.1:PORT --user LOGIN [--organization LOGIN]… [--repository OWNER/NAME]… \
                     [--webhook-via URL] [CLUSTER]
where CLUSTER is --aws-endpoint URL --cluster NAME --job-seconds SECONDS; with --user, without --cluster, the account's \
                     first cluster is meant, as soon as there is one";

/// The parsed command line.
pub(crate) struct Args {
    pub(crate) listen: SocketAddr,
    pub(crate) start: Start,
    pub(crate) cluster: Option<Cluster>,
}

/// What there is at the start.
pub(crate) enum Start {
    /// An App that is installed on the tests' organisation.
    App {
        webhook_url: String,
        /// The `Host` header, by which an emulator tells functions apart.
        webhook_host: Option<String>,
        webhook_secret: String,
        id: u64,
        public_key: Vec<u8>,
    },
    /// No App: a browser makes the first. The user is signed in and owns the organisations.
    Empty {
        user: String,
        organizations: Vec<String>,
        /// Owners and names.
        repositories: Vec<(String, String)>,
        /// Where Function URLs are reached, whatever their host. Without it no delivery arrives.
        gateway: Option<Url>,
    },
}

/// The ECS cluster whose tasks get runners.
pub(crate) struct Cluster {
    pub(crate) aws_endpoint: String,
    /// By default the account's first.
    pub(crate) name: Option<String>,
    pub(crate) job_time: Duration,
}

/// The arguments that are not read yet.
struct Given(HashMap<String, Vec<String>>);

impl Given {
    fn all(&mut self, name: &str) -> Vec<String> {
        self.0.remove(name).unwrap_or_default()
    }

    fn optional(&mut self, name: &str) -> Result<Option<String>, String> {
        let mut values = self.all(name);
        let value = values.pop();
        if values.is_empty() { Ok(value) } else { Err(format!("{name} is given more than once\n{USAGE}")) }
    }

    fn required(&mut self, name: &str) -> Result<String, String> {
        self.optional(name)?.ok_or_else(|| format!("{name} is missing\n{USAGE}"))
    }
}

impl Args {
    pub(crate) fn of_process() -> Result<Self, String> {
        Self::parse(std::env::args().skip(1), |variable| std::env::var(variable).ok())
    }

    fn parse(
        args: impl IntoIterator<Item = String>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let mut given = Given(HashMap::new());
        let mut args = args.into_iter();
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name}: no value\n{USAGE}"))?;
            given.0.entry(name).or_default().push(value);
        }
        let listen = number("--listen", &given.required("--listen")?)?;
        let (start, cluster) = match given.optional("--user")? {
            None => {
                let name = Some(given.required("--cluster")?);
                (app(&mut given, environment)?, Some(cluster(&mut given, name)?))
            }
            Some(user) => {
                let has_cluster = given.0.contains_key("--aws-endpoint");
                let name = given.optional("--cluster")?;
                (empty(user, &mut given)?, if has_cluster { Some(cluster(&mut given, name)?) } else { None })
            }
        };
        match given.0.keys().next() {
            None => Ok(Self { listen, start, cluster }),
            Some(unknown) => Err(format!("{unknown} is not known, or not here\n{USAGE}")),
        }
    }
}

fn app(given: &mut Given, environment: impl Fn(&str) -> Option<String>) -> Result<Start, String> {
    let secret_variable = given.required("--webhook-secret-env")?;
    let key_file = given.required("--app-public-key")?;
    Ok(Start::App {
        webhook_url: given.required("--webhook-url")?,
        webhook_host: given.optional("--webhook-host")?,
        webhook_secret: environment(&secret_variable)
            .ok_or_else(|| format!("--webhook-secret-env: {secret_variable} is not set"))?,
        id: number("--app-id", &given.required("--app-id")?)?,
        public_key: std::fs::read(&key_file).map_err(|error| format!("--app-public-key: {key_file}: {error}"))?,
    })
}

fn empty(user: String, given: &mut Given) -> Result<Start, String> {
    let repositories = given.all("--repository").into_iter().map(|repository| match repository.split_once('/') {
        Some((owner, name)) => Ok((owner.to_owned(), name.to_owned())),
        None => Err(format!("--repository: found {repository:?}\n{USAGE}")),
    });
    let gateway = given.optional("--webhook-via")?;
    Ok(Start::Empty {
        user,
        organizations: given.all("--organization"),
        repositories: repositories.collect::<Result<_, _>>()?,
        gateway: gateway.map(|url| number("--webhook-via", &url)).transpose()?,
    })
}

fn cluster(given: &mut Given, name: Option<String>) -> Result<Cluster, String> {
    Ok(Cluster {
        aws_endpoint: given.required("--aws-endpoint")?,
        name,
        job_time: Duration::from_secs(number("--job-seconds", &given.required("--job-seconds")?)?),
    })
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
        let job_time = |args: Args| args.cluster.map(|cluster| cluster.job_time);
        assert_eq!(parse(&line).ok().and_then(job_time), Some(Duration::from_secs(2)));
        for (change, to, problem) in [
            ("--app-id 1", "--app-id one", "--app-id: found \"one\""),
            ("--app-id 1", "--app-id 1 --app-id 2", "--app-id is given more than once"),
            ("--cluster runners", "", "--cluster is missing"),
            ("SECRET", "OTHER", "OTHER is not set"),
            ("--cluster", "--clutter x --cluster", "--clutter is not known"),
            ("--cluster", "--user mona --cluster", "is not known, or not here"),
        ] {
            let error = parse(&line.replace(change, to)).err().unwrap_or_default();
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn a_start_without_an_app_names_who_and_what_is_there() {
        let line = "--listen 127.0.0.1:0 --user mona --organization acme --organization octo-org \
                    --repository acme/rockets --webhook-via http://127.0.0.1:4566";
        let args = parse(line).unwrap_or_else(|problem| panic!("{problem}"));
        let Start::Empty { user, organizations, repositories, gateway } = args.start else { panic!("an App") };
        assert_eq!((user.as_str(), organizations), ("mona", vec!["acme".to_owned(), "octo-org".to_owned()]));
        assert_eq!(repositories, [("acme".to_owned(), "rockets".to_owned())]);
        assert_eq!(gateway.map(String::from).as_deref(), Some("http://127.0.0.1:4566/"));
        assert!(args.cluster.is_none());
        for (change, to, problem) in [
            ("acme/rockets", "rockets", "--repository: found \"rockets\""),
            ("http://127.0.0.1:4566", "there", "--webhook-via: found \"there\""),
            ("--webhook-via", "--aws-endpoint http://127.0.0.1:2 --webhook-via", "--job-seconds is missing"),
        ] {
            let error = parse(&line.replace(change, to)).err().unwrap_or_default();
            assert!(error.contains(problem), "{error}");
        }
    }
}

//! A fleet as it is deployed, whether CloudFormation or Terraform made it: its functions, and what they are set up with.

use jitgate::classes::RunnerClasses;
use jitgate::config::Environment;
use jitgate::names::NamePrefix;
use serde_json::Value;

use crate::aws::{Aws, SecretStore, VERSION_TAG};
use crate::github::{Place, SignedIn, Uses};
use crate::trouble::Trouble;

/// The fleet.
pub struct Deployed {
    /// The name of the stack, or of Terraform's module.
    pub stack: String,
    /// The version that made it what it is, if it says so.
    pub version: Option<String>,
    /// Takes deliveries.
    pub webhook: Function,
    /// Takes messages from the queue.
    pub worker: Function,
    /// Looks after everything.
    pub cleaner: Function,
}

/// A function.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its name in the account.
    pub name: String,
    /// Its variables, in which there is no secret.
    pub variables: Environment,
    /// Where it logs.
    pub log_group: String,
    /// From a tag of the stack, which CloudFormation hands down.
    pub version: Option<String>,
}

impl Deployed {
    /// Finds a fleet by its name.
    pub async fn find(aws: &Aws, stack: &str) -> Result<Self, Trouble> {
        let names = aws.functions_of(stack).await?;
        let (webhook, worker, cleaner) = tokio::try_join!(
            function(aws, stack, &names, "webhook"),
            function(aws, stack, &names, "worker"),
            function(aws, stack, &names, "cleaner"),
        )?;
        Ok(Self { stack: stack.to_owned(), version: webhook.version.clone(), webhook, worker, cleaner })
    }

    /// The classes, as the webhook has them.
    pub fn classes(&self) -> Result<RunnerClasses, Trouble> {
        let text = self.setting("RUNNER_CLASSES")?;
        if text.starts_with("file:") {
            return Err(Trouble::failed(
                format!("the classes of stack {} are in a file of its functions ({text})", self.stack),
                "name that file by --classes",
            ));
        }
        RunnerClasses::parse(&text).map_err(|error| {
            Trouble::failed(format!("RUNNER_CLASSES of stack {}: {error}", self.stack), "correct the classes")
        })
    }

    /// What the names of its runners begin with.
    pub fn prefix(&self) -> NamePrefix {
        let named = self.worker.variables.get("RUNNER_NAME_PREFIX").and_then(|prefix| prefix.parse().ok());
        named.unwrap_or_default()
    }

    /// A variable that one of its functions has.
    pub fn setting(&self, name: &str) -> Result<String, Trouble> {
        let found = [&self.webhook, &self.worker, &self.cleaner].into_iter().find_map(|each| each.variables.get(name));
        found.map(str::to_owned).ok_or_else(|| {
            Trouble::failed(format!("the functions of stack {} have no {name}", self.stack), "run `jitgate upgrade`")
        })
    }

    /// Whether runners are registered in repositories.
    pub fn in_repositories(&self) -> bool {
        self.uses().in_repositories
    }

    /// What it does with its App.
    pub fn uses(&self) -> Uses {
        let is = |name: &str, value: &str| self.setting(name).is_ok_and(|set| set == value);
        Uses { in_repositories: is("RUNNER_SCOPE", "repo"), reports: is("REPORT_TO_GITHUB", "checks") }
    }

    /// Its App; `None` if the secret holds no App's key.
    pub async fn app(&self, aws: &Aws) -> Result<Option<SignedIn>, Trouble> {
        let secret = SecretStore::new(aws, self.setting("GITHUB_SECRET_ID")?).read().await?;
        let place = self.setting("GITHUB_API_URL").ok().and_then(|api| Place::of_api(&api)).unwrap_or_default();
        secret.app().map(|(id, key)| SignedIn::new(place, &id, &key)).transpose()
    }

    /// The group of the runners' own output.
    pub fn output_group(&self) -> String {
        format!("/jitgate/{}/runner-output", self.stack)
    }
}

async fn function(aws: &Aws, stack: &str, names: &[(String, String)], which: &str) -> Result<Function, Trouble> {
    let logical = format!("{}Function", capital(which));
    let of_stack = names.iter().find(|(resource, _)| *resource == logical).map(|(_, name)| name.clone());
    // Terraform's module, which CloudFormation does not know, calls them so.
    let name = of_stack.unwrap_or_else(|| format!("{stack}-{which}"));
    let function = aws.function(&name).await?.ok_or_else(|| {
        Trouble::failed(
            format!("there is no fleet {stack} in {}: it has no function {name}", aws.region),
            "name the stack by --stack, and its region by --region; or run `jitgate setup`",
        )
    })?;
    let configuration = &function["Configuration"];
    let variables = configuration["Environment"]["Variables"].as_object().into_iter().flatten();
    let variables = variables.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect();
    let version = function["Tags"][VERSION_TAG].as_str().map(str::to_owned);
    Ok(Function { variables, log_group: log_group(configuration, stack, which), version, name })
}

fn log_group(configuration: &Value, stack: &str, which: &str) -> String {
    let group = configuration["LoggingConfig"]["LogGroup"].as_str().filter(|group| group.starts_with("/jitgate/"));
    group.map_or_else(|| format!("/jitgate/{stack}/{which}"), str::to_owned)
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

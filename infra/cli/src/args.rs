//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use url::Url;

/// Sets up, explains and removes jitgate: GitHub Actions runners on AWS Fargate, one for each job.
///
/// Exit codes: 0 all is well; 1 something failed or is left; 2 wrong usage; 3 could not be determined; 4 sign in to AWS
/// first; 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "jitgate", version, max_term_width = 100, disable_help_subcommand = true)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The options of every command.
    #[command(flatten)]
    pub common: Common,
}

/// The options of every command.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Name of the CloudFormation stack
    #[arg(long, global = true, default_value = "jitgate", value_name = "NAME", value_parser = stack_name)]
    pub stack: String,
    /// AWS region; by default that of your AWS configuration
    #[arg(long, global = true)]
    pub region: Option<String>,
    /// Profile of your AWS configuration
    #[arg(long, global = true)]
    pub profile: Option<String>,
    /// Do not ask; take the default of each question
    #[arg(long, short, global = true)]
    pub yes: bool,
    /// Print one JSON object on standard output; everything else goes to standard error
    #[arg(long, global = true)]
    pub json: bool,
    /// Show each event of CloudFormation, on a line of its own
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// From nothing to a verified fleet; run again, it goes on where it stopped
    Setup(Box<Setup>),
    /// Bring an existing stack to this version, or change its parameters
    Upgrade(Upgrade),
    /// Take everything back, and prove that nothing is left
    Destroy(Destroy),
    /// Make or replace the GitHub App alone, for a stack made by SAM or Terraform
    App(Box<AppCommand>),
    /// Is everything right? Exit code 1 if something is wrong, 3 if something could not be looked at
    Doctor(crate::doctor::Doctor),
    /// What runs, what waits, and for how long
    Status(crate::status::Status),
    /// The jobs that were given up, and why
    DeadLetters(crate::dead_letters::DeadLetters),
    /// One job's way, and what holds it up
    Why(crate::why::Why),
    /// What the runners cost, and what GitHub's own runners would have
    Cost(crate::cost::Cost),
    /// Which class, size and price a job with these labels gets, or why it gets no runner
    Explain(crate::explain::Explain),
    /// Recorded deliveries against other classes: which jobs would change if you deployed them? Exit code 1 if a job that was
    /// taken no longer is
    Replay(crate::replay::Replay),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Options of `setup`.
#[derive(Args, Debug)]
pub struct Setup {
    /// The GitHub side.
    #[command(flatten)]
    pub github: GitHubOptions,
    /// The code.
    #[command(flatten)]
    pub code: CodeOptions,
    /// The VPC, by default the region's default VPC
    #[arg(long, value_name = "ID")]
    pub vpc: Option<String>,
    /// Subnets in which runners run, by default the VPC's public ones
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub subnets: Vec<String>,
    /// Set a parameter of the stack; see docs/CONFIGURATION.md
    #[arg(long = "set", value_name = "PARAMETER=VALUE", value_parser = assignment)]
    pub parameters: Vec<(String, String)>,
}

/// Options about the GitHub App.
#[derive(Args, Clone, Debug, Default)]
pub struct GitHubOptions {
    /// The organisation that will own the App
    #[arg(long, conflicts_with = "personal")]
    pub org: Option<String>,
    /// Your personal account will own the App
    #[arg(long)]
    pub personal: bool,
    /// GitHub's address, for an Enterprise Server or data residency; by default the stack's, or github.com
    #[arg(long, value_name = "URL", value_parser = web_address)]
    pub github_url: Option<Url>,
    /// Name of the App, at most 34 characters; by default the stack's name with a random ending
    #[arg(long, value_name = "NAME", value_parser = app_name)]
    pub app_name: Option<String>,
    /// Use an App that exists: its id or client id
    #[arg(long, value_name = "ID", requires = "private_key")]
    pub app_id: Option<String>,
    /// The private key of that App
    #[arg(long, value_name = "FILE", requires = "app_id")]
    pub private_key: Option<PathBuf>,
    /// Write the page that creates the App into a file, for somebody who may create it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["app_id"])]
    pub hand_over: Option<PathBuf>,
    /// Print addresses instead of opening a browser
    #[arg(long)]
    pub no_browser: bool,
}

/// Options about the functions' code.
#[derive(Args, Clone, Debug)]
pub struct CodeOptions {
    /// A bucket of your own for the code, in the same region
    #[arg(long, value_name = "NAME")]
    pub code_bucket: Option<String>,
    /// A folder with the functions' zips, such as webhook-x86_64.zip
    #[arg(long, value_name = "FOLDER")]
    pub zips: Option<PathBuf>,
    /// Another CloudFormation template than this version's
    #[arg(long, value_name = "FILE")]
    pub template: Option<PathBuf>,
}

/// Options of `upgrade`.
#[derive(Args, Debug)]
pub struct Upgrade {
    /// The code.
    #[command(flatten)]
    pub code: CodeOptions,
    /// Set a parameter of the stack; the others keep their values
    #[arg(long = "set", value_name = "PARAMETER=VALUE", value_parser = assignment)]
    pub parameters: Vec<(String, String)>,
    /// The runners' image; short for `--set RunnerImage=…`
    #[arg(long)]
    pub image: Option<String>,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub plan: bool,
}

/// Options of `destroy`.
#[derive(Args, Debug)]
pub struct Destroy {
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    pub plan: bool,
    /// Leave the GitHub App, though not its installations
    #[arg(long)]
    pub keep_app: bool,
    /// What happens to jobs that run
    #[arg(long, value_enum, value_name = "WHAT")]
    pub running: Option<Running>,
    /// Print addresses instead of opening a browser
    #[arg(long)]
    pub no_browser: bool,
}

/// What happens to jobs that run while their fleet is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Running {
    /// Wait until they end
    Wait,
    /// Stop them; GitHub shows them as failed
    Stop,
}

/// Options of `app`.
#[derive(Args, Debug)]
pub struct AppCommand {
    /// The GitHub side.
    #[command(flatten)]
    pub github: GitHubOptions,
    /// Webhook URL, for a stack that CloudFormation does not know
    #[arg(long, value_name = "URL", requires = "secret")]
    pub webhook_url: Option<Url>,
    /// Name or ARN of the secret, for a stack that CloudFormation does not know
    #[arg(long, value_name = "ID", requires = "webhook_url")]
    pub secret: Option<String>,
    /// Runners are registered in repositories, not in the organisation
    #[arg(long)]
    pub repository_scope: bool,
    /// Jobs that wait are explained on their commits, for which the App needs one permission more
    #[arg(long)]
    pub report_to_github: bool,
    /// Replace an App whose key is in the secret
    #[arg(long)]
    pub replace: bool,
}

/// CloudFormation's own rule for names, less what the longest name made from it could not hold.
fn stack_name(text: &str) -> Result<String, String> {
    let is_fit = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|each| each.is_ascii_alphanumeric() || each == '-')
        && text.len() <= 64;
    if is_fit {
        Ok(text.to_owned())
    } else {
        Err("a letter, then letters, digits and dashes, at most 64 characters".to_owned())
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && name.chars().all(|each| each.is_ascii_alphanumeric()) => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("expected PARAMETER=VALUE, such as MaxRunners=50".to_owned()),
    }
}

/// The most characters in the name of a GitHub App. Source: GitHub's form for registering one.
pub const LONGEST_APP_NAME: usize = 34;

fn app_name(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if (1..=LONGEST_APP_NAME).contains(&length) {
        Ok(text.to_owned())
    } else {
        Err(format!("{length} characters; GitHub takes 1 to {LONGEST_APP_NAME}"))
    }
}

fn web_address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("not an address: {error}"))?;
    let is_local = matches!(url.host_str(), Some("127.0.0.1" | "localhost"));
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_local => Ok(url),
        _ => Err("an address that begins with https://".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn values_that_aws_or_github_would_refuse_are_refused_at_once() {
        for (arguments, says) in [
            (vec!["setup", "--stack", "1st"], "a letter, then"),
            (vec!["setup", "--stack", "a_b"], "a letter, then"),
            (vec!["setup", "--set", "MaxRunners"], "PARAMETER=VALUE"),
            (vec!["setup", "--set", "=5"], "PARAMETER=VALUE"),
            (vec!["setup", "--app-name", "a-name-that-is-longer-than-github-allows"], "GitHub takes 1 to 34"),
            (vec!["setup", "--github-url", "http://github.example"], "https://"),
            (vec!["setup", "--github-url", "ghe"], "not an address"),
            (vec!["setup", "--org", "o", "--personal"], "cannot be used with"),
            (vec!["setup", "--app-id", "1"], "--private-key"),
            (vec!["app", "--webhook-url", "https://h.example"], "--secret"),
        ] {
            let error = CommandLine::try_parse_from([vec!["jitgate"], arguments].concat()).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn the_help_says_what_each_command_does() {
        let mut command = CommandLine::command().term_width(100);
        command.build();
        let mut all = command.render_help().to_string();
        for subcommand in command.get_subcommands_mut() {
            let help = subcommand.render_help();
            all = format!("{all}\n\n== {}\n{help}", subcommand.get_name());
        }
        insta::assert_snapshot!(all);
    }

    #[test]
    fn common_options_may_stand_before_and_after_the_command() {
        for arguments in [["jitgate", "--stack", "fleet", "destroy"], ["jitgate", "destroy", "--stack", "fleet"]] {
            assert_eq!(CommandLine::try_parse_from(arguments).unwrap().common.stack, "fleet");
        }
    }
}

//! `jitgate destroy`: takes everything back, and then proves that nothing is left.
//!
//! The order lets each step still have what it needs. First the door is closed, so that no further job comes. GitHub's
//! side follows, while the App's key is still in the secret: runners, installations, the App itself. AWS's side comes
//! last.

mod jobs;
mod proof;

use serde::Serialize;

use crate::args::{Common, Destroy, Running};
use crate::aws::{Aws, Bucket, SecretStore, Stack, Standing};
use crate::deploy::{BUCKET_OUTPUT, Fleet};
use crate::github::{App, Place, SignedIn};
use crate::receipt::Receipts;
use crate::screen::Screen;
use crate::setup::{API_PARAMETER, signed_in};
use crate::trouble::{Exit, Trouble};

use jobs::Jobs;
use proof::Proof;

/// GitHub may take a while to refuse the key of an App that was deleted, and its owner a while to delete it.
const APP_PATIENCE: std::time::Duration = std::time::Duration::from_mins(30);
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(2);

/// What `destroy --json` prints.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The stack's name.
    pub stack: String,
    /// Whether it was only planned.
    pub is_plan: bool,
    /// What was removed, or would be.
    pub removed: Vec<String>,
    /// What is left.
    pub left: Vec<String>,
    /// What could not be looked at, and why.
    pub unknown: Vec<String>,
}

impl Report {
    /// Something left counts more than something unknown.
    pub fn exit(&self) -> Exit {
        match (self.left.is_empty(), self.unknown.is_empty()) {
            (false, _) => Exit::Failed,
            (true, false) => Exit::Unknown,
            (true, true) => Exit::Good,
        }
    }
}

/// What there is to remove.
struct Found {
    stack: Option<Stack>,
    code: Option<Stack>,
    app: Option<(SignedIn, App)>,
    tasks: Vec<String>,
}

/// Runs the command.
pub async fn run(common: &Common, options: &Destroy, screen: &Screen) -> Result<Report, Trouble> {
    screen.begin(format!("jitgate {} destroy", env!("CARGO_PKG_VERSION")));
    let aws = Aws::sign_in(common).await?;
    let fleet = Fleet::new(&aws, screen, common);
    let receipts = Receipts::of(&aws, &common.stack)?;
    let removal = Removal { fleet, options, screen, receipts };
    removal.run().await
}

struct Removal<'a> {
    fleet: Fleet<'a>,
    options: &'a Destroy,
    screen: &'a Screen,
    receipts: Receipts,
}

impl Removal<'_> {
    async fn run(&self) -> Result<Report, Trouble> {
        let (screen, name) = (self.screen, self.fleet.name);
        let found = self.look().await?;
        let planned = self.list(&found);
        let text = if planned.is_empty() { "nothing".to_owned() } else { planned.join("\n") };
        screen
            .note(format!("What is removed in {} of account {}", self.fleet.aws.region, self.fleet.aws.account), text);
        if self.options.plan {
            screen.end("Nothing was removed.");
            let (left, unknown) = (Vec::new(), Vec::new());
            return Ok(Report { stack: name.to_owned(), is_plan: true, removed: planned, left, unknown });
        }
        if !planned.is_empty() {
            screen.ask_for_word(&format!("To remove all of it, type the stack's name, {name}:"), name)?;
        }
        let mut unknown = Vec::new();
        if let Some(stack) = found.stack.as_ref().filter(|stack| stack.standing() == Standing::Steady) {
            self.empty(stack, &found, &mut unknown).await?;
        }
        if let Some((app, description)) = &found.app
            && !self.options.keep_app
        {
            self.delete_app(app, description).await?;
        }
        self.delete_stacks(&found).await?;
        let proof = Proof { fleet: &self.fleet, app: found.app.as_ref().filter(|_| !self.options.keep_app) };
        let (left, more) = proof.look().await;
        unknown.extend(more);
        Ok(self.conclude(planned, left, unknown))
    }

    fn conclude(&self, removed: Vec<String>, left: Vec<String>, unknown: Vec<String>) -> Report {
        for each in &left {
            self.screen.warn(format!("left: {each}"));
        }
        for each in &unknown {
            self.screen.warn(format!("could not be looked at: {each}"));
        }
        let report = Report { stack: self.fleet.name.to_owned(), is_plan: false, removed, left, unknown };
        if report.exit() == Exit::Good {
            self.receipts.forget();
            self.screen.end("Nothing is left.");
        } else {
            self.screen.end("Not all is gone. Run the command again once the reasons are mended.");
        }
        report
    }

    async fn look(&self) -> Result<Found, Trouble> {
        let waiting = self.screen.wait("looking at what is there");
        let stack = self.fleet.settled(self.fleet.name).await?;
        let code = self.fleet.settled(&self.fleet.code_name()).await?;
        let steady = stack.as_ref().filter(|stack| stack.standing() == Standing::Steady);
        let mut app = None;
        let mut tasks = Vec::new();
        if let Some(stack) = steady {
            let secret = SecretStore::new(self.fleet.aws, stack.output("GitHubSecretArn")?).read().await?;
            if secret.app().is_some() {
                let place = stack.parameters.get(API_PARAMETER).and_then(|api| Place::of_api(api)).unwrap_or_default();
                let signed_in = signed_in(&place, &secret)?;
                app = match signed_in.app().await {
                    Ok(description) => Some((signed_in, description)),
                    // Deleted already, in this command's earlier run or by hand.
                    Err(trouble) if trouble.status.is_some_and(|status| status.is_client_error()) => None,
                    Err(trouble) => return Err(trouble.into()),
                };
            }
            tasks = self.fleet.aws.tasks(&stack.output("ClusterName")?).await?;
        }
        waiting.done("looked at what is there");
        Ok(Found { stack, code, app, tasks })
    }

    fn list(&self, found: &Found) -> Vec<String> {
        let mut list = Vec::new();
        if !found.tasks.is_empty() {
            list.push(format!("{} running tasks", found.tasks.len()));
        }
        if let Some((_, app)) = &found.app {
            list.push(format!("the installations of the GitHub App {}", app.slug));
            if !self.options.keep_app {
                list.push(format!("the GitHub App {}, by you, on GitHub's page", app.slug));
            }
        }
        if found.stack.is_some() {
            list.push(format!("the stack {}, with its secret, queues and logs", self.fleet.name));
        }
        if found.code.is_some() {
            list.push(format!("the stack {}, with the code's bucket", self.fleet.code_name()));
        }
        list
    }

    /// Lets no further job in, waits for those that run or stops them, and removes GitHub's side.
    async fn empty(&self, stack: &Stack, found: &Found, unknown: &mut Vec<String>) -> Result<(), Trouble> {
        let (aws, screen) = (self.fleet.aws, self.screen);
        if let Some(webhook) = self.fleet.stacks.resource(self.fleet.name, "WebhookFunction").await? {
            aws.close(&webhook).await?;
            screen.done("the webhook takes no further delivery");
        }
        let jobs = Jobs {
            aws,
            screen,
            cluster: stack.output("ClusterName")?,
            prefix: stack.parameters.get("RunnerNamePrefix").and_then(|prefix| prefix.parse().ok()).unwrap_or_default(),
            in_repositories: stack.parameters.get("RunnerScope").is_some_and(|scope| scope == "repo"),
            app: found.app.as_ref().map(|(app, _)| app),
        };
        let running = match self.options.running {
            Some(running) => running,
            None if found.tasks.is_empty() => Running::Wait,
            None => {
                let choices = [
                    (Running::Wait, "wait until they end".to_owned()),
                    (Running::Stop, "stop them; GitHub shows their jobs as failed".to_owned()),
                ];
                screen.choose("Jobs that run:", "--running wait or --running stop", &choices)?
            }
        };
        if found.app.is_none() && running == Running::Wait {
            unknown.push("GitHub's runners: the secret holds no App's key that GitHub accepts".to_owned());
        }
        // While the runners end: it finds what this command does not know of.
        if let Err(trouble) = aws.run_cleaner(&stack.output("CleanerFunctionName")?).await {
            screen.warn(format!("the cleaner's last pass failed: {}", trouble.what));
        }
        jobs.end(running).await?;
        if let Some((app, _)) = &found.app {
            for installation in app.installations().await? {
                app.uninstall(installation.id).await?;
                screen.done(format!("the App is uninstalled from {}", installation.account.login));
            }
        }
        Ok(())
    }

    /// GitHub has no call that deletes an App. Its owner does it on a page; GitHub then refuses its key.
    async fn delete_app(&self, app: &SignedIn, description: &App) -> Result<(), Trouble> {
        let owner = &description.owner;
        let page = app.place().deletion_of(&owner.login, owner.kind == "Organization", &description.slug);
        self.screen.note("Delete the GitHub App", "GitHub lets no program do it. Choose \"Delete GitHub App\" there.");
        self.screen.open(page.as_str(), !self.options.no_browser);
        let waiting = self.screen.wait("waiting until GitHub refuses the App's key");
        let began = tokio::time::Instant::now();
        while began.elapsed() < APP_PATIENCE {
            if proof::is_gone(app).await? {
                waiting.done(format!("App {} is gone", description.slug));
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(Trouble::failed(
            format!("App {} is still there", description.slug),
            format!("delete it at {page}, then run the command again; or leave it by --keep-app"),
        ))
    }

    async fn delete_stacks(&self, found: &Found) -> Result<(), Trouble> {
        let family = format!("{}-runner", self.fleet.name);
        if let Some(stack) = &found.stack {
            self.fleet.stacks.delete(stack, self.fleet.name).await?;
        }
        let definitions = self.fleet.aws.task_definitions(&family).await?;
        self.fleet.aws.delete_task_definitions(&definitions).await?;
        if let Some(code) = &found.code {
            if let Some(bucket) = code.outputs.get(BUCKET_OUTPUT) {
                let bucket = Bucket::new(self.fleet.aws, bucket.clone());
                bucket.remove(&bucket.list().await?).await?;
            }
            self.fleet.stacks.delete(code, &self.fleet.code_name()).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_counts_more_than_what_is_unknown() {
        let of = |left: &[&str], unknown: &[&str]| {
            let owned = |list: &[&str]| list.iter().map(|&each| each.to_owned()).collect();
            let (left, unknown) = (owned(left), owned(unknown));
            Report { stack: "s".to_owned(), is_plan: false, removed: Vec::new(), left, unknown }.exit()
        };
        assert_eq!(of(&[], &[]), Exit::Good);
        assert_eq!(of(&[], &["logs"]), Exit::Unknown);
        assert_eq!(of(&["bucket"], &["logs"]), Exit::Failed);
    }
}

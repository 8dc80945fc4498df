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

use jobs::{Hidden, Jobs};
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
        let app = found.app.as_ref().map(|(_, app)| app.slug.as_str());
        let planned = Planned {
            tasks: found.tasks.len(),
            app,
            keeps_app: self.options.keep_app,
            stacks: [found.stack.is_some(), found.code.is_some()],
            name,
        };
        let planned = planned.list();
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
            let hidden = self.empty(stack, &found, &mut unknown).await?;
            if !hidden.tasks.is_empty() {
                unknown.push(words_of(&hidden));
                return Ok(self.conclude(Vec::new(), Vec::new(), unknown));
            }
        }
        if let Some((app, description)) = &found.app
            && !self.options.keep_app
        {
            self.delete_app(app, description).await?;
        }
        self.delete_stacks(&found).await?;
        self.delete_late_logs().await;
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

    /// Lets no further job in, waits for those that run or stops them, and removes GitHub's side. Tasks that may run a job
    /// unseen are returned, and need all of it.
    async fn empty(&self, stack: &Stack, found: &Found, unknown: &mut Vec<String>) -> Result<Hidden, Trouble> {
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
        let hidden = jobs.end(running).await?;
        if let Some((app, _)) = found.app.as_ref().filter(|_| hidden.tasks.is_empty()) {
            for installation in app.installations().await? {
                app.uninstall(installation.id).await?;
                screen.done(format!("the App is uninstalled from {}", installation.account.login));
            }
        }
        Ok(hidden)
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

    /// A function that was at work when its stack was deleted writes its last lines later, which makes its log group anew. What
    /// fails here, the proof finds.
    async fn delete_late_logs(&self) {
        let groups = self.fleet.aws.log_groups(&format!("/jitgate/{}/", self.fleet.name)).await;
        for group in groups.unwrap_or_default() {
            if let Err(trouble) = self.fleet.aws.delete_log_group(&group).await {
                self.screen.warn(trouble.what);
            }
        }
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

/// What would be removed.
#[derive(Clone, Copy)]
struct Planned<'a> {
    tasks: usize,
    app: Option<&'a str>,
    keeps_app: bool,
    /// The fleet's, and the code's.
    stacks: [bool; 2],
    name: &'a str,
}

impl Planned<'_> {
    fn list(&self) -> Vec<String> {
        let name = self.name;
        let mut list = Vec::new();
        if self.tasks > 0 {
            list.push(counted(self.tasks, "running task"));
        }
        if let Some(app) = self.app {
            list.push(format!("the installations of the GitHub App {app}"));
            if !self.keeps_app {
                list.push(format!("the GitHub App {app}, by you, on GitHub's page"));
            }
        }
        let [fleet, code] = self.stacks;
        if fleet {
            list.push(format!("the stack {name}, with its secret, queues and logs"));
        }
        if code {
            list.push(format!("the stack {name}-code, with the code's bucket"));
        }
        list
    }
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Whose tasks go on, why, and what to do about it.
fn words_of(hidden: &Hidden) -> String {
    let count = counted(hidden.tasks.len(), "task");
    let cause = if hidden.suspended.is_empty() {
        "the App is not installed where their jobs come from, so install it there".to_owned()
    } else {
        let accounts = hidden.suspended.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        format!("the App is suspended for {accounts}, so have its owner unsuspend it")
    };
    let tasks = hidden.tasks.join(", ");
    format!("what {count} may still run: {cause}, or wait until they end, or stop them by --running stop ({tasks})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_lists_whatever_is_there() {
        let all = Planned { tasks: 2, app: Some("jitgate-1"), keeps_app: false, stacks: [true, true], name: "jitgate" };
        insta::assert_snapshot!(all.list().join("\n"), @"
        2 running tasks
        the installations of the GitHub App jitgate-1
        the GitHub App jitgate-1, by you, on GitHub's page
        the stack jitgate, with its secret, queues and logs
        the stack jitgate-code, with the code's bucket
        ");
        let kept = Planned { tasks: 0, keeps_app: true, stacks: [false, true], ..all };
        insta::assert_snapshot!(kept.list().join("\n"), @"
        the installations of the GitHub App jitgate-1
        the stack jitgate-code, with the code's bucket
        ");
    }

    #[test]
    fn tasks_that_may_run_jobs_unseen_are_named_with_what_to_do() {
        let tasks = vec!["arn:1".to_owned(), "arn:2".to_owned()];
        let suspended = Hidden { tasks: tasks.clone(), suspended: ["acme".to_owned()].into() };
        let elsewhere = Hidden { tasks, ..Hidden::default() };
        insta::assert_snapshot!([suspended, elsewhere].map(|hidden| words_of(&hidden)).join("\n\n"));
    }

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

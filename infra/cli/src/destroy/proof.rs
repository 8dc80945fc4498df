//! Looks for what is left, by name, by tag and by prefix.

use reqwest::StatusCode;

use crate::deploy::Fleet;
use crate::github::{App, GitHubTrouble, SignedIn};
use crate::trouble::Trouble;

/// What was removed, and is looked for again.
pub(super) struct Proof<'a> {
    pub(super) fleet: &'a Fleet<'a>,
    /// The App, if it was to go.
    pub(super) app: Option<&'a (SignedIn, App)>,
}

impl Proof<'_> {
    /// What is left, and what could not be looked at.
    pub(super) async fn look(&self) -> (Vec<String>, Vec<String>) {
        let (fleet, name) = (self.fleet, self.fleet.name);
        let waiting = fleet.screen.wait("looking for anything that is left");
        let (mut left, mut unknown) = (Vec::new(), Vec::new());
        let mut note = |what: &str, found: Result<Vec<String>, Trouble>| match found {
            Ok(found) => left.extend(found.into_iter().map(|each| format!("{what} {each}"))),
            Err(trouble) => unknown.push(trouble.what),
        };
        for stack in [name.to_owned(), fleet.code_name()] {
            let found = fleet.stacks.find(&stack).await;
            note(
                "stack",
                found.map(|found| found.into_iter().map(|found| format!("{stack} ({})", found.status)).collect()),
            );
            note("resource", fleet.aws.resources_of(&stack).await.map(without_the_departing));
        }
        note("task definition", fleet.aws.task_definitions(&format!("{name}-runner")).await);
        note("log group", fleet.aws.log_groups(&format!("/jitgate/{name}/")).await);
        if let Some((app, description)) = self.app {
            let slug = || vec![description.slug.clone()];
            note(
                "GitHub App",
                is_gone(app).await.map(|gone| if gone { Vec::new() } else { slug() }).map_err(Into::into),
            );
        }
        waiting.clear();
        (left, unknown)
    }
}

/// The tags outlive some resources by a while: a task definition that is being deleted, a secret, a queue for a minute.
fn without_the_departing(arns: Vec<String>) -> Vec<String> {
    let departs = |arn: &str| arn.contains(":task-definition/") || arn.contains(":secret:") || arn.contains(":sqs:");
    arns.into_iter().filter(|arn| !departs(arn)).collect()
}

/// Whether GitHub refuses the App's key.
pub(super) async fn is_gone(app: &SignedIn) -> Result<bool, GitHubTrouble> {
    match app.app().await {
        Ok(_) => Ok(false),
        Err(trouble) if matches!(trouble.status, Some(StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND)) => Ok(true),
        Err(trouble) => Err(trouble),
    }
}

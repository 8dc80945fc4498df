//! Follows a change of a stack to its end, and finds the reason of one that failed.

use std::collections::HashSet;

use aws_sdk_cloudformation::types::{ResourceStatus, StackEvent};

use super::{Stacks, Standing};
use crate::trouble::Trouble;

impl Stacks<'_> {
    /// Waits until whoever works on the stack is done.
    pub async fn wait_for_others(&self, name: &str) -> Result<(), Trouble> {
        let before = self.seen(name).await;
        self.follow(name, &format!("waiting for another change of stack {name}"), before).await
    }

    /// Follows a stack by its id or name until it no longer changes. Ends well if the change did.
    pub(super) async fn follow(&self, name: &str, title: &str, mut seen: HashSet<String>) -> Result<(), Trouble> {
        let mut waiting = self.screen.wait(title);
        let mut events = Vec::new();
        loop {
            let status = match self.find(name).await? {
                Some(stack) => stack.status,
                None => "DELETE_COMPLETE".to_owned(),
            };
            for event in self.events(name).await {
                if seen.insert(event.event_id().unwrap_or_default().to_owned()) {
                    if self.screen.is_live() || !is_beginning(&event) {
                        waiting.tell(format!("{title}: {}", words_of(&event)));
                    }
                    events.push(event);
                }
            }
            if Standing::of(&status) == Standing::Busy && status != "REVIEW_IN_PROGRESS" {
                tokio::time::sleep(self.pause).await;
                continue;
            }
            if status.ends_with("_COMPLETE") && !status.contains("ROLLBACK") {
                waiting.done(format!("{title}: {status}"));
                return Ok(());
            }
            waiting.clear();
            let failures = events.iter().map(|event| {
                let status = event.resource_status().map(ResourceStatus::as_str).unwrap_or_default();
                (event.logical_resource_id().unwrap_or_default(), status, event.resource_status_reason().unwrap_or(""))
            });
            let (resource, reason) =
                first_failure(failures).unwrap_or_else(|| (name.to_owned(), format!("the stack is {status}")));
            return Err(Trouble::failed(format!("{title} failed: {resource}: {reason}"), remedy_for(&reason)));
        }
    }

    pub(super) async fn seen(&self, name: &str) -> HashSet<String> {
        let events = self.events(name).await.into_iter();
        events.map(|event| event.event_id().unwrap_or_default().to_owned()).collect()
    }

    /// The latest events, oldest first; none if they may not be read, since they only explain.
    async fn events(&self, name: &str) -> Vec<StackEvent> {
        let answer = self.client.describe_stack_events().stack_name(name).send().await;
        let mut events = answer.ok().and_then(|answer| answer.stack_events).unwrap_or_default();
        events.reverse();
        events
    }
}

/// The beginning of a resource's change is news only on a terminal, where the next event takes its place.
fn is_beginning(event: &StackEvent) -> bool {
    event.resource_status().is_some_and(|status| status.as_str().ends_with("_IN_PROGRESS"))
}

fn words_of(event: &StackEvent) -> String {
    let status = event.resource_status().map(ResourceStatus::as_str).unwrap_or_default();
    format!("{} {}", event.logical_resource_id().unwrap_or_default(), status.to_lowercase().replace('_', " "))
}

/// The first failure among events of (resource, status, reason), oldest first. Those that follow from it are cancelled.
pub fn first_failure<'a>(events: impl Iterator<Item = (&'a str, &'a str, &'a str)>) -> Option<(String, String)> {
    let mut failures = events.filter(|(_, status, reason)| {
        status.ends_with("_FAILED") && !reason.is_empty() && !reason.contains("cancelled")
    });
    failures.next().map(|(resource, _, reason)| (resource.to_owned(), reason.to_owned()))
}

/// What to do about the commonest reasons of a failed change.
fn remedy_for(reason: &str) -> &'static str {
    let says = |words: &str| reason.contains(words);
    if says("is not authorized to perform") || says("AccessDenied") {
        "let whoever you are signed in as make this call, then run the command again"
    } else if says("already exists") {
        "delete what is left of an earlier stack of this name, or choose another by --stack"
    } else if says("ReservedConcurrentExecutions") || says("UnreservedConcurrentExecution") {
        "raise Lambda's quota of concurrent executions, or set WebhookConcurrency to 0 by --set"
    } else if says("limit") || says("quota") || says("Quota") {
        "raise the quota that it names, then run the command again"
    } else {
        "correct what it names, then run the command again"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_failure_tells_what_to_do() {
        let reasons = [
            "u is not authorized to perform: iam:CreateRole on resource: role r",
            "jitgate-jobs already exists in stack s",
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below",
            "The maximum number of VPC security groups has been reached (quota)",
            "Unable to assume the service linked role",
        ];
        let told = reasons.map(|reason| Trouble::failed(reason, remedy_for(reason)).to_string());
        insta::assert_snapshot!(told.join("\n\n"));
    }

    #[test]
    fn the_first_failure_is_the_cause_of_the_others() {
        let events = [
            ("Queue", "CREATE_COMPLETE", ""),
            ("Role", "CREATE_FAILED", "Resource creation cancelled"),
            ("Cluster", "CREATE_FAILED", "no role AWSServiceRoleForECS"),
            ("jitgate", "ROLLBACK_IN_PROGRESS", "The following resource(s) failed to create: [Cluster]."),
            ("Secret", "CREATE_FAILED", "later"),
        ];
        let found = first_failure(events.into_iter()).unwrap();
        assert_eq!(found, ("Cluster".to_owned(), "no role AWSServiceRoleForECS".to_owned()));
        assert_eq!(first_failure(events[..2].iter().copied()), None);
    }
}

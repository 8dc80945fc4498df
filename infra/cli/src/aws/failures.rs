//! Why a stack's last change failed.

use aws_sdk_cloudformation::Client;

use super::{Aws, first_failure, trouble_of};
use crate::trouble::Trouble;

impl Aws {
    /// The resource at which a stack's last change failed, and CloudFormation's words; `None` if it does not say.
    pub async fn last_failure(&self, stack: &str) -> Result<Option<(String, String)>, Trouble> {
        let answer = Client::new(&self.sdk).describe_stack_events().stack_name(stack).send().await;
        let answer = answer.map_err(|error| trouble_of("the stack (cloudformation:DescribeStackEvents)", &error))?;
        let events = answer.stack_events.unwrap_or_default();
        let told = events.iter().map(|event| {
            let status = event.resource_status().map_or("", |status| status.as_str());
            let is_stack = event.physical_resource_id() == event.stack_id();
            (is_stack, event.logical_resource_id().unwrap_or_default(), status, event.resource_status_reason())
        });
        Ok(of_last_change(told.map(|(is_stack, resource, status, reason)| Event {
            is_stack,
            resource,
            status,
            reason: reason.unwrap_or_default(),
        })))
    }
}

struct Event<'a> {
    /// It is of the stack itself.
    is_stack: bool,
    resource: &'a str,
    status: &'a str,
    reason: &'a str,
}

/// From events, newest first. A change begins where the stack itself says so.
fn of_last_change<'a>(events: impl Iterator<Item = Event<'a>>) -> Option<(String, String)> {
    let begins = |event: &Event<'_>| {
        event.is_stack && matches!(event.status, "UPDATE_IN_PROGRESS" | "CREATE_IN_PROGRESS" | "IMPORT_IN_PROGRESS")
    };
    let mut last: Vec<Event<'a>> = events.take_while(|event| !begins(event)).collect();
    last.reverse();
    first_failure(last.iter().map(|event| (event.resource, event.status, event.reason)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_change_counts_and_what_follows_from_its_failure_does_not() {
        let event = |is_stack, resource, status, reason| Event { is_stack, resource, status, reason };
        let before = || {
            [event(false, "Old", "CREATE_FAILED", "an old failure"), event(true, "jitgate", "CREATE_IN_PROGRESS", "")]
        };
        let last = [
            event(true, "jitgate", "UPDATE_ROLLBACK_COMPLETE", ""),
            event(false, "Webhook", "UPDATE_FAILED", "Resource update cancelled"),
            event(false, "Worker", "UPDATE_FAILED", "not authorized"),
            event(true, "jitgate", "UPDATE_IN_PROGRESS", "User Initiated"),
        ];
        let expected = Some(("Worker".to_owned(), "not authorized".to_owned()));
        assert_eq!(of_last_change(last.into_iter().chain(before())), expected);
        let good = [event(true, "jitgate", "UPDATE_COMPLETE", ""), event(true, "jitgate", "UPDATE_IN_PROGRESS", "")];
        assert_eq!(of_last_change(good.into_iter().chain(before())), None);
    }
}

//! CloudFormation: what is there, what would change, and following a change to its end.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::ProvideErrorMetadata as _;
use aws_sdk_cloudformation::types::{
    Capability, ChangeSetStatus, ChangeSetType, OnStackFailure, Parameter, ResourceStatus, StackEvent, Tag,
    TemplateStage,
};

use super::{Aws, trouble_of};
use crate::screen::Screen;
use crate::trouble::Trouble;

/// How often CloudFormation is asked while it works.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// An emulator works at once.
const LOOK_EVERY_LOCALLY: Duration = Duration::from_millis(300);

/// The tag that names the version of jitgate that a stack has.
pub const VERSION_TAG: &str = "jitgate:version";

/// What can be done with a stack as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It can be created: there is none, or only an empty shell for a change set.
    Absent,
    /// It can be updated.
    Steady,
    /// CloudFormation is at work on it.
    Busy,
    /// It can only be deleted: its creation failed.
    Doomed,
    /// Its update failed, and so did taking it back.
    Stuck,
}

impl Standing {
    /// Source: CloudFormation's "Stack status codes".
    pub fn of(status: &str) -> Self {
        match status {
            "REVIEW_IN_PROGRESS" | "DELETE_COMPLETE" => Self::Absent,
            "CREATE_FAILED" | "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" | "DELETE_FAILED" => Self::Doomed,
            "UPDATE_ROLLBACK_FAILED" => Self::Stuck,
            _ if status.ends_with("_IN_PROGRESS") => Self::Busy,
            _ => Self::Steady,
        }
    }
}

/// A stack as CloudFormation describes it.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Its id, which outlives it.
    pub id: String,
    /// Its status in CloudFormation's words.
    pub status: String,
    /// Its outputs.
    pub outputs: BTreeMap<String, String>,
    /// Its parameters.
    pub parameters: BTreeMap<String, String>,
    /// The version that made it what it is.
    pub version: Option<String>,
}

impl Stack {
    /// What can be done with it.
    pub fn standing(&self) -> Standing {
        Standing::of(&self.status)
    }

    /// An output that this version's template has.
    pub fn output(&self, name: &str) -> Result<String, Trouble> {
        self.outputs.get(name).cloned().ok_or_else(|| {
            Trouble::failed(format!("the stack has no output {name}"), "run `jitgate upgrade`, or check --stack")
        })
    }
}

/// A change that CloudFormation would make.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// `Add`, `Modify`, `Remove`, …
    pub action: String,
    /// The resource's name in the template.
    pub resource: String,
    /// Its type.
    pub kind: String,
    /// Whether the resource is made anew.
    pub replaces: bool,
}

/// A change set that has been made and not carried out.
pub struct ChangeSet {
    id: String,
    is_new: bool,
    /// What it would do.
    pub changes: Vec<Change>,
}

/// What a stack is to become.
pub struct Wanted<'a> {
    /// The template's text, if it is short, or its address in S3.
    pub template: Template<'a>,
    /// Parameters; those that are not named keep their values.
    pub parameters: &'a BTreeMap<String, String>,
    /// The names of all parameters that the template has.
    pub known: &'a HashSet<String>,
}

/// A template.
#[derive(Clone, Copy)]
pub enum Template<'a> {
    /// As text; CloudFormation takes 51,200 bytes.
    Text(&'a str),
    /// In S3.
    At(&'a str),
}

/// CloudFormation in one region.
pub struct Stacks<'a> {
    client: Client,
    screen: &'a Screen,
    pause: Duration,
}

impl<'a> Stacks<'a> {
    /// Of an account.
    pub fn new(aws: &Aws, screen: &'a Screen) -> Self {
        let pause = if aws.is_emulated() { LOOK_EVERY_LOCALLY } else { LOOK_EVERY };
        Self { client: Client::new(&aws.sdk), screen, pause }
    }

    /// A stack by its name or id; `None` if there is none, or none any more.
    pub async fn find(&self, name: &str) -> Result<Option<Stack>, Trouble> {
        match self.client.describe_stacks().stack_name(name).send().await {
            Ok(answer) => Ok(answer
                .stacks
                .unwrap_or_default()
                .first()
                .map(read)
                .filter(|stack| stack.status != "DELETE_COMPLETE")),
            Err(error) if error.code() == Some("ValidationError") && says(&error, "does not exist") => Ok(None),
            Err(error) => Err(trouble_of(&format!("stack {name} (cloudformation:DescribeStacks)"), &error)),
        }
    }

    /// The template as it was given.
    pub async fn template_of(&self, name: &str) -> Result<String, Trouble> {
        let get = self.client.get_template().stack_name(name).template_stage(TemplateStage::Original);
        let answer = get
            .send()
            .await
            .map_err(|error| trouble_of(&format!("stack {name} (cloudformation:GetTemplate)"), &error))?;
        Ok(answer.template_body.unwrap_or_default())
    }

    /// What CloudFormation named a resource of a stack; `None` if it has none of that name.
    pub async fn resource(&self, stack: &str, resource: &str) -> Result<Option<String>, Trouble> {
        let describe = self.client.describe_stack_resource().stack_name(stack).logical_resource_id(resource);
        match describe.send().await {
            Ok(answer) => Ok(answer.stack_resource_detail.and_then(|detail| detail.physical_resource_id)),
            Err(error) if error.code() == Some("ValidationError") => Ok(None),
            Err(error) => Err(trouble_of(&format!("stack {stack} (cloudformation:DescribeStackResource)"), &error)),
        }
    }

    /// Makes a change set; `None` if nothing would change.
    pub async fn prepare(&self, name: &str, wanted: &Wanted<'_>) -> Result<Option<ChangeSet>, Trouble> {
        let found = self.find(name).await?;
        let is_new = found.as_ref().is_none_or(|stack| stack.standing() == Standing::Absent);
        let what = format!("stack {name} (cloudformation:CreateChangeSet)");
        let kept = found.iter().filter(|_| !is_new).flat_map(|stack| stack.parameters.keys());
        let kept = kept.filter(|key| wanted.known.contains(*key) && !wanted.parameters.contains_key(*key));
        let kept = kept.map(|key| Parameter::builder().parameter_key(key).use_previous_value(true).build());
        let given = wanted.parameters.iter();
        let given = given.map(|(key, value)| Parameter::builder().parameter_key(key).parameter_value(value).build());
        let version = Tag::builder().key(VERSION_TAG).value(env!("CARGO_PKG_VERSION")).build();
        let create = self
            .client
            .create_change_set()
            .stack_name(name)
            .change_set_name(format!("jitgate-{:016x}", rand::random::<u64>()))
            .change_set_type(if is_new { ChangeSetType::Create } else { ChangeSetType::Update })
            .set_parameters(Some(given.chain(kept).collect()))
            .capabilities(Capability::CapabilityIam)
            .capabilities(Capability::CapabilityAutoExpand)
            .set_on_stack_failure(is_new.then_some(OnStackFailure::Rollback))
            .tags(version);
        let create = match wanted.template {
            Template::Text(text) => create.template_body(text),
            Template::At(address) => create.template_url(address),
        };
        let made = create.send().await.map_err(|error| trouble_of(&what, &error))?;
        let id = made.id.unwrap_or_default();
        loop {
            let describe = self.client.describe_change_set().change_set_name(&id).stack_name(name);
            let set = describe.send().await.map_err(|error| trouble_of(&what, &error))?;
            match set.status() {
                Some(ChangeSetStatus::CreateComplete) => {
                    let changes = set.changes().iter().filter_map(|change| change.resource_change());
                    let changes = changes.map(|change| Change {
                        action: change.action().map(|action| action.as_str().to_owned()).unwrap_or_default(),
                        resource: change.logical_resource_id().unwrap_or_default().to_owned(),
                        kind: change.resource_type().unwrap_or_default().to_owned(),
                        replaces: change.replacement().is_some_and(|replacement| replacement.as_str() == "True"),
                    });
                    return Ok(Some(ChangeSet { changes: changes.collect(), id, is_new }));
                }
                Some(ChangeSetStatus::Failed) => {
                    let reason = set.status_reason().unwrap_or("no reason given").to_owned();
                    self.forget(name, &ChangeSet { id, is_new, changes: Vec::new() }).await?;
                    return if is_empty(&reason) {
                        Ok(None)
                    } else {
                        Err(Trouble::failed(format!("{what}: {reason}"), "correct the parameters"))
                    };
                }
                _ => tokio::time::sleep(self.pause).await,
            }
        }
    }

    /// Takes a change set back, and the empty shell of a stack that it may have needed.
    pub async fn forget(&self, name: &str, set: &ChangeSet) -> Result<(), Trouble> {
        let delete = self.client.delete_change_set().stack_name(name).change_set_name(&set.id);
        delete.send().await.map_err(|error| trouble_of("cloudformation:DeleteChangeSet", &error))?;
        if set.is_new {
            let delete = self.client.delete_stack().stack_name(name);
            delete.send().await.map_err(|error| trouble_of("cloudformation:DeleteStack", &error))?;
        }
        Ok(())
    }

    /// Carries a change set out and follows it to its end.
    pub async fn carry_out(&self, name: &str, set: &ChangeSet) -> Result<Stack, Trouble> {
        let before = self.seen(name).await;
        let execute = self.client.execute_change_set().stack_name(name).change_set_name(&set.id);
        execute
            .send()
            .await
            .map_err(|error| trouble_of(&format!("stack {name} (cloudformation:ExecuteChangeSet)"), &error))?;
        let title = if set.is_new { "creating" } else { "updating" };
        self.follow(name, &format!("{title} stack {name}"), before).await?;
        self.find(name).await?.ok_or_else(|| Trouble::failed(format!("stack {name} is gone"), "run the command again"))
    }

    /// Waits until whoever works on the stack is done.
    pub async fn wait_for_others(&self, name: &str) -> Result<(), Trouble> {
        let before = self.seen(name).await;
        self.follow(name, &format!("waiting for another change of stack {name}"), before).await
    }

    /// Deletes a stack and waits until it is gone.
    pub async fn delete(&self, stack: &Stack, name: &str) -> Result<(), Trouble> {
        let before = self.seen(name).await;
        let delete = self.client.delete_stack().stack_name(name);
        delete
            .send()
            .await
            .map_err(|error| trouble_of(&format!("stack {name} (cloudformation:DeleteStack)"), &error))?;
        self.follow(&stack.id, &format!("deleting stack {name}"), before).await
    }

    /// Follows a stack by its id or name until it no longer changes. Ends well if the change did.
    async fn follow(&self, name: &str, title: &str, mut seen: HashSet<String>) -> Result<(), Trouble> {
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

    async fn seen(&self, name: &str) -> HashSet<String> {
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

impl Aws {
    /// The functions of a stack, each with its name in the template and its name in the account; none if CloudFormation
    /// knows no such stack.
    pub async fn functions_of(&self, stack: &str) -> Result<Vec<(String, String)>, Trouble> {
        let mut pages = Client::new(&self.sdk).list_stack_resources().stack_name(stack).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = match page {
                Ok(page) => page,
                Err(error) if says(&error, "does not exist") => return Ok(Vec::new()),
                Err(error) => {
                    return Err(trouble_of(&format!("stack {stack} (cloudformation:ListStackResources)"), &error));
                }
            };
            for resource in page.stack_resource_summaries.unwrap_or_default() {
                if resource.resource_type() == Some("AWS::Lambda::Function") {
                    let logical = resource.logical_resource_id.unwrap_or_default();
                    found.push((logical, resource.physical_resource_id.unwrap_or_default()));
                }
            }
        }
        Ok(found)
    }
}

fn read(stack: &aws_sdk_cloudformation::types::Stack) -> Stack {
    let pairs = |name: Option<&str>, value: Option<&str>| Some((name?.to_owned(), value?.to_owned()));
    Stack {
        id: stack.stack_id().or(stack.stack_name()).unwrap_or_default().to_owned(),
        status: stack.stack_status().map(|status| status.as_str().to_owned()).unwrap_or_default(),
        outputs: stack.outputs().iter().filter_map(|each| pairs(each.output_key(), each.output_value())).collect(),
        parameters: stack
            .parameters()
            .iter()
            .filter_map(|each| pairs(each.parameter_key(), each.parameter_value()))
            .collect(),
        version: stack.tags().iter().find(|tag| tag.key() == Some(VERSION_TAG)).and_then(Tag::value).map(Into::into),
    }
}

fn says<E: aws_sdk_cloudformation::error::ProvideErrorMetadata>(error: &E, words: &str) -> bool {
    error.message().is_some_and(|message| message.contains(words))
}

/// CloudFormation has no code for a change set without changes, only these words; the second are those of a transform.
fn is_empty(reason: &str) -> bool {
    reason.contains("didn't contain changes") || reason.contains("No updates are to be performed")
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
    fn a_status_says_what_can_be_done() {
        for (status, standing) in [
            ("REVIEW_IN_PROGRESS", Standing::Absent),
            ("CREATE_IN_PROGRESS", Standing::Busy),
            ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", Standing::Busy),
            ("ROLLBACK_COMPLETE", Standing::Doomed),
            ("DELETE_FAILED", Standing::Doomed),
            ("UPDATE_ROLLBACK_COMPLETE", Standing::Steady),
            ("UPDATE_ROLLBACK_FAILED", Standing::Stuck),
            ("CREATE_COMPLETE", Standing::Steady),
            ("IMPORT_ROLLBACK_COMPLETE", Standing::Steady),
        ] {
            assert_eq!(Standing::of(status), standing, "{status}");
        }
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

//! Change sets: what a stack is to become, what that would change, and doing it.

use std::collections::{BTreeMap, HashSet};

use aws_sdk_cloudformation::error::ProvideErrorMetadata as _;
use aws_sdk_cloudformation::types::{Capability, ChangeSetStatus, ChangeSetType, OnStackFailure, Parameter, Tag};

use super::{Stack, Stacks, Standing, VERSION_TAG};
use crate::aws::trouble_of;
use crate::trouble::Trouble;

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
    /// Its name among those of the stack.
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

impl Stacks<'_> {
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
        let id = format!("jitgate-{:016x}", rand::random::<u64>());
        let create = self
            .client
            .create_change_set()
            .stack_name(name)
            .change_set_name(&id)
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
        match create.send().await {
            Ok(_) => {}
            // The call was repeated because its answer was lost: nobody else takes a name of 64 random bits.
            Err(error) if error.code() == Some("AlreadyExistsException") => {}
            Err(error) => return Err(trouble_of(&what, &error)),
        }
        loop {
            let describe = self.client.describe_change_set().change_set_name(&id).stack_name(name);
            let set = describe.send().await;
            let set =
                set.map_err(|error| trouble_of(&format!("stack {name} (cloudformation:DescribeChangeSet)"), &error))?;
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
        match execute.send().await {
            Ok(_) => {}
            // The call was repeated because its answer was lost. What follows tells how it went.
            Err(_) if self.is_under_way(name, &set.id).await => {}
            Err(error) => return Err(trouble_of(&format!("stack {name} (cloudformation:ExecuteChangeSet)"), &error)),
        }
        let title = if set.is_new { "creating" } else { "updating" };
        self.follow(name, &format!("{title} stack {name}"), before).await?;
        self.find(name).await?.ok_or_else(|| Trouble::failed(format!("stack {name} is gone"), "run the command again"))
    }

    /// Whether a change set is being carried out, or was.
    async fn is_under_way(&self, name: &str, set: &str) -> bool {
        let set = self.client.describe_change_set().change_set_name(set).stack_name(name).send().await;
        let execution = set.ok().and_then(|set| set.execution_status);
        execution.is_some_and(|execution| execution.as_str().starts_with("EXECUTE_"))
    }
}

/// CloudFormation has no code for a change set without changes, only these words; the second are those of a transform.
fn is_empty(reason: &str) -> bool {
    reason.contains("didn't contain changes") || reason.contains("No updates are to be performed")
}

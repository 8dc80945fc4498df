//! CloudFormation: what is there, what would change, and following a change to its end.

mod change;
mod follow;
mod stack;

use std::time::Duration;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::types::TemplateStage;

pub use change::{Change, ChangeSet, Template, Wanted};
pub use follow::first_failure;
use stack::read;
pub use stack::{Stack, Standing};

use super::{Aws, trouble_of};
use crate::screen::Screen;
use crate::trouble::Trouble;

/// How often CloudFormation is asked while it works.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// An emulator works at once.
const LOOK_EVERY_LOCALLY: Duration = Duration::from_millis(300);

/// The tag that names the version of jitgate that a stack has.
pub const VERSION_TAG: &str = "jitgate:version";

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

fn says<E: ProvideErrorMetadata>(error: &E, words: &str) -> bool {
    error.message().is_some_and(|message| message.contains(words))
}

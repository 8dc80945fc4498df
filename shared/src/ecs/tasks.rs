//! The cluster's tasks: finding, marking and stopping them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_config::SdkConfig;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ecs::types::{DesiredStatus, Tag, TaskField};
use time::OffsetDateTime;

use super::task::{TaskArn, TaskView};
use crate::aws::{is_denial, words_of};
use crate::names::{LaunchToken, NamePrefix};

/// The most ARNs that one `DescribeTasks` takes. Source: ECS's `DescribeTasks` reference.
const DESCRIBED_AT_ONCE: usize = 100;

/// Why a call about existing tasks failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EcsError {
    /// Trying again may help.
    #[error("ECS {call} failed: {reason}")]
    Failed {
        /// The API's name.
        call: &'static str,
        /// What ECS or the network said.
        reason: String,
    },
    /// The function's role does not permit it; a person must change that.
    #[error("ECS {call} is not permitted: {reason}")]
    Denied {
        /// The API's name.
        call: &'static str,
        /// What ECS said.
        reason: String,
    },
}

/// The cluster's tasks.
#[derive(Clone, Debug)]
pub struct Tasks {
    pub(super) client: Client,
    pub(super) cluster: String,
    /// Tasks that had stopped when they were described. Nothing changes about them any more, and each comes with its overrides,
    /// so a process asks for each once.
    stopped: Arc<Mutex<HashMap<TaskArn, TaskView>>>,
}

impl Tasks {
    /// The tasks of a cluster, by name or ARN.
    pub fn new(config: &SdkConfig, cluster: String) -> Self {
        Self { client: Client::new(config), cluster, stopped: Arc::default() }
    }

    /// The tasks with these ARNs that ECS already or still shows.
    pub async fn describe(&self, arns: &[TaskArn]) -> Result<Vec<TaskView>, EcsError> {
        let mut found = Vec::with_capacity(arns.len());
        for arns in arns.chunks(DESCRIBED_AT_ONCE) {
            let answer = self
                .client
                .describe_tasks()
                .cluster(&self.cluster)
                .set_tasks(Some(arns.iter().map(|arn| arn.0.clone()).collect()))
                .include(TaskField::Tags)
                .send()
                .await
                .map_err(|error| failed("DescribeTasks", &error))?;
            found.extend(answer.tasks.unwrap_or_default().into_iter().filter_map(TaskView::of));
        }
        Ok(found)
    }

    /// The live tasks of one launch. One that was started seconds ago may be missing: ECS's reads lag behind its writes.
    pub async fn live_of(&self, token: &LaunchToken) -> Result<Vec<TaskArn>, EcsError> {
        self.of(token, DesiredStatus::Running).await
    }

    /// The tasks of one launch that have stopped within about an hour.
    pub async fn stopped_of(&self, token: &LaunchToken) -> Result<Vec<TaskArn>, EcsError> {
        self.of(token, DesiredStatus::Stopped).await
    }

    async fn of(&self, token: &LaunchToken, status: DesiredStatus) -> Result<Vec<TaskArn>, EcsError> {
        let answer = self
            .client
            .list_tasks()
            .cluster(&self.cluster)
            .started_by(token.as_str())
            .desired_status(status)
            .send()
            .await
            .map_err(|error| failed("ListTasks", &error))?;
        Ok(answer.task_arns.unwrap_or_default().into_iter().map(TaskArn).collect())
    }

    /// All live tasks of this deployment.
    pub async fn live(&self, prefix: &NamePrefix) -> Result<Vec<TaskView>, EcsError> {
        let mut tasks = self.describe(&self.list(DesiredStatus::Running).await?).await?;
        tasks.retain(|task| is_ours(prefix, task));
        Ok(tasks)
    }

    /// The stopped tasks of this deployment. ECS shows them for about an hour.
    pub async fn stopped(&self, prefix: &NamePrefix) -> Result<Vec<TaskView>, EcsError> {
        let arns = self.list(DesiredStatus::Stopped).await?;
        let unknown: Vec<_> = {
            let mut known = self.known();
            // ECS has forgotten the others.
            let listed: HashSet<_> = arns.iter().collect();
            known.retain(|arn, _| listed.contains(arn));
            arns.iter().filter(|arn| !known.contains_key(arn)).cloned().collect()
        };
        let described = self.describe(&unknown).await?;
        let mut known = self.known();
        let stopping = described.iter().filter(|task| task.stopped_at.is_none()).cloned();
        let mut tasks: Vec<_> = stopping.collect();
        known.extend(
            described.into_iter().filter(|task| task.stopped_at.is_some()).map(|task| (task.arn.clone(), task)),
        );
        tasks.extend(arns.iter().filter_map(|arn| known.get(arn)).cloned());
        tasks.retain(|task| is_ours(prefix, task));
        Ok(tasks)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<TaskArn, TaskView>> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn list(&self, status: DesiredStatus) -> Result<Vec<TaskArn>, EcsError> {
        let mut arns = Vec::new();
        let mut pages = self.client.list_tasks().cluster(&self.cluster).desired_status(status).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed("ListTasks", &error))?;
            arns.extend(page.task_arns.unwrap_or_default().into_iter().map(TaskArn));
        }
        Ok(arns)
    }

    /// Notes a moment on a task, or removes the note with `None`. A task that has stopped meanwhile takes none, which is fine.
    pub async fn note(&self, arn: &TaskArn, key: &str, moment: Option<OffsetDateTime>) -> Result<(), EcsError> {
        let Some(moment) = moment else {
            let answer = self.client.untag_resource().resource_arn(&arn.0).tag_keys(key).send().await;
            return noted("UntagResource", answer);
        };
        let tag = Tag::builder().key(key).value(moment.unix_timestamp().to_string()).build();
        noted("TagResource", self.client.tag_resource().resource_arn(&arn.0).tags(tag).send().await)
    }

    /// Stops a task. One that is gone or has already stopped is fine.
    pub async fn stop(&self, arn: &TaskArn, reason: &str) -> Result<(), EcsError> {
        let answer = self.client.stop_task().cluster(&self.cluster).task(&arn.0).reason(reason).send().await;
        match answer {
            Ok(_) => Ok(()),
            // "The referenced task was not found."
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(aws_sdk_ecs::operation::stop_task::StopTaskError::is_invalid_parameter_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(failed("StopTask", &error)),
        }
    }
}

fn is_ours(prefix: &NamePrefix, task: &TaskView) -> bool {
    LaunchToken::parse(prefix, &task.started_by).is_some()
}

fn noted<T, E: ProvideErrorMetadata>(call: &'static str, answer: Result<T, SdkError<E>>) -> Result<(), EcsError> {
    match answer {
        Ok(_) => Ok(()),
        // "The specified task is stopped", "could not be found"
        Err(error) if matches!(error.code(), Some("InvalidParameterException" | "ResourceNotFoundException")) => Ok(()),
        Err(error) => Err(failed(call, &error)),
    }
}

fn failed<E: ProvideErrorMetadata>(call: &'static str, error: &SdkError<E>) -> EcsError {
    let reason = words_of(error);
    if error.code().is_some_and(is_denial) {
        EcsError::Denied { call, reason }
    } else {
        EcsError::Failed { call, reason }
    }
}

//! Fargate tasks: starting exactly one for a launch, and finding it again.
//!
//! `clientToken` is what makes a launch happen once: ECS accepts one task for it, and tells everyone who comes later
//! which one that was. `startedBy` is the same text, since it survives the task's stop, where tags do not.

mod launch;
mod refusal;

use std::collections::HashMap;
use std::fmt;

use aws_config::SdkConfig;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ecs::primitives::DateTime;
use aws_sdk_ecs::types::{
    Container, ContainerOverride, DesiredStatus, KeyValuePair, Tag, Task, TaskField, TaskOverride,
};
use time::OffsetDateTime;

use crate::aws::{is_denial, words_of};
use crate::job::{JobMessage, RunnerId};
use crate::names::{LaunchToken, NamePrefix};

pub use launch::{JIT_CONFIG_VARIABLE, JOB_VARIABLE, LONGEST_OVERRIDES, Launch};
pub use refusal::RunError;

/// Tags that lead from a task to its job and its registration.
pub mod tag {
    /// The job's id.
    pub const JOB: &str = "jitgate:job-id";
    /// Which launch for that job.
    pub const ATTEMPT: &str = "jitgate:attempt";
    /// `owner/name` of the job's repository.
    pub const REPOSITORY: &str = "jitgate:repository";
    /// Name of the runner class.
    pub const CLASS: &str = "jitgate:class";
    /// The registration's id.
    pub const RUNNER_ID: &str = "jitgate:runner-id";
    /// The registration's name.
    pub const RUNNER_NAME: &str = "jitgate:runner-name";
    /// When the cleaner first saw the runner online and idle, in seconds since the Unix epoch.
    pub const IDLE_SINCE: &str = "jitgate:idle-since";
    /// When the cleaner first saw the registration gone, likewise.
    pub const GONE_SINCE: &str = "jitgate:gone-since";
    /// When the cleaner first saw the runner busy, after it had been idle. It stays: a runner has one job in its life.
    pub const BUSY_SINCE: &str = "jitgate:busy-since";
}

/// The most ARNs one `DescribeTasks` takes.
const DESCRIBED_AT_ONCE: usize = 100;

/// A task's ARN.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskArn(pub String);

impl fmt::Display for TaskArn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What we need to know about a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskView {
    /// Its ARN.
    pub arn: TaskArn,
    /// Whether it is stopped, or will be in a moment.
    pub is_over: bool,
    /// What it was started for.
    pub started_by: String,
    /// When ECS took the launch on.
    pub created_at: Option<OffsetDateTime>,
    /// The registration it runs; absent once the task's tags are gone.
    pub runner_id: Option<RunnerId>,
    /// Its name; absent likewise.
    pub runner_name: Option<String>,
    /// `owner/name` of its job's repository; absent likewise.
    pub repository: Option<String>,
    /// The class it was made by; absent likewise.
    pub class: Option<String>,
    /// When its runner was first seen idle, as the cleaner noted it; absent likewise.
    pub idle_since: Option<OffsetDateTime>,
    /// When its runner was first seen busy after it had been idle, noted likewise.
    pub busy_since: Option<OffsetDateTime>,
    /// When its registration was first seen gone, noted likewise.
    pub gone_since: Option<OffsetDateTime>,
    /// The job's message, from the task's overrides, which outlive its stop.
    pub message: Option<JobMessage>,
    /// ECS's code for why it stopped: `TaskFailedToStart`, `SpotInterruption`, …
    pub stop_code: Option<String>,
    /// What its container ended with, if it ever ran.
    pub exit_code: Option<i32>,
    /// ECS's words for why it stopped.
    pub stopped_reason: Option<String>,
    /// When it was over.
    pub stopped_at: Option<OffsetDateTime>,
}

/// A call about existing tasks failed.
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
    /// The role does not permit it; somebody must mend it.
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
    client: Client,
    cluster: String,
}

impl Tasks {
    /// The tasks of a cluster, by name or ARN.
    pub fn new(config: &SdkConfig, cluster: String) -> Self {
        Self { client: Client::new(config), cluster }
    }

    /// The tasks with these ARNs, as far as ECS still (or already) shows them.
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
            found.extend(answer.tasks.unwrap_or_default().into_iter().filter_map(view));
        }
        Ok(found)
    }

    /// Live tasks of one launch. A task started a moment ago may be missing: ECS's reads lag behind its writes.
    pub async fn live_of(&self, token: &LaunchToken) -> Result<Vec<TaskArn>, EcsError> {
        self.of(token, DesiredStatus::Running).await
    }

    /// Tasks of one launch that have stopped, within the last hour or so.
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

    /// All live tasks that carry the prefix in `startedBy`, whatever their state.
    pub async fn live(&self, prefix: &NamePrefix) -> Result<Vec<TaskView>, EcsError> {
        self.all(prefix, DesiredStatus::Running).await
    }

    /// Our tasks that have stopped, as far as ECS still shows them: for about an hour.
    pub async fn stopped(&self, prefix: &NamePrefix) -> Result<Vec<TaskView>, EcsError> {
        self.all(prefix, DesiredStatus::Stopped).await
    }

    async fn all(&self, prefix: &NamePrefix, status: DesiredStatus) -> Result<Vec<TaskView>, EcsError> {
        let mut arns = Vec::new();
        let mut pages = self.client.list_tasks().cluster(&self.cluster).desired_status(status).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed("ListTasks", &error))?;
            arns.extend(page.task_arns.unwrap_or_default().into_iter().map(TaskArn));
        }
        let mut tasks = self.describe(&arns).await?;
        tasks.retain(|task| LaunchToken::parse(prefix, &task.started_by).is_some());
        Ok(tasks)
    }

    /// Notes a moment on a task; `None` takes the note away. One that has stopped meanwhile takes none, which is fine.
    pub async fn note(&self, arn: &TaskArn, key: &str, moment: Option<OffsetDateTime>) -> Result<(), EcsError> {
        let Some(moment) = moment else {
            let answer = self.client.untag_resource().resource_arn(&arn.0).tag_keys(key).send().await;
            return noted("UntagResource", answer);
        };
        let tag = Tag::builder().key(key).value(moment.unix_timestamp().to_string()).build();
        noted("TagResource", self.client.tag_resource().resource_arn(&arn.0).tags(tag).send().await)
    }

    /// Stops a task; one that is gone or stopped already is fine.
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

fn noted<T, E>(call: &'static str, answer: Result<T, SdkError<E>>) -> Result<(), EcsError>
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    match answer {
        Ok(_) => Ok(()),
        // "The specified task is stopped", "could not be found"
        Err(error) if matches!(error.code(), Some("InvalidParameterException" | "ResourceNotFoundException")) => Ok(()),
        Err(error) => Err(failed(call, &error)),
    }
}

fn view(task: Task) -> Option<TaskView> {
    let tags: HashMap<String, String> =
        task.tags.unwrap_or_default().into_iter().filter_map(|tag| Some((tag.key?, tag.value?))).collect();
    let over = |status: Option<String>| status.is_some_and(|status| status == "STOPPED");
    let moment = |at: Option<DateTime>| at.and_then(|at| OffsetDateTime::from_unix_timestamp(at.secs()).ok());
    let noted = |key: &str| OffsetDateTime::from_unix_timestamp(tags.get(key)?.parse().ok()?).ok();
    let message = task.overrides.as_ref().and_then(message_of);
    Some(TaskView {
        arn: TaskArn(task.task_arn?),
        is_over: over(task.desired_status) || over(task.last_status),
        started_by: task.started_by.unwrap_or_default(),
        created_at: moment(task.created_at),
        class: tags.get(tag::CLASS).cloned(),
        idle_since: noted(tag::IDLE_SINCE),
        busy_since: noted(tag::BUSY_SINCE),
        gone_since: noted(tag::GONE_SINCE),
        message,
        exit_code: task.containers.unwrap_or_default().iter().find_map(Container::exit_code),
        stop_code: task.stop_code.map(|code| code.as_str().to_owned()),
        stopped_at: moment(task.stopped_at),
        repository: tags.get(tag::REPOSITORY).cloned(),
        runner_name: tags.get(tag::RUNNER_NAME).cloned(),
        runner_id: tags.get(tag::RUNNER_ID).and_then(|id| id.parse().ok()).map(RunnerId),
        stopped_reason: task.stopped_reason,
    })
}

fn message_of(overrides: &TaskOverride) -> Option<JobMessage> {
    let variables = overrides.container_overrides().iter().flat_map(ContainerOverride::environment);
    let body = variables.filter(|variable| variable.name() == Some(JOB_VARIABLE)).find_map(KeyValuePair::value)?;
    JobMessage::parse(body).ok()
}

fn failed<E>(call: &'static str, error: &SdkError<E>) -> EcsError
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let reason = words_of(error);
    if error.code().is_some_and(is_denial) {
        EcsError::Denied { call, reason }
    } else {
        EcsError::Failed { call, reason }
    }
}

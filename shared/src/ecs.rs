//! Fargate tasks: starting exactly one for a launch, and finding it again.
//!
//! `clientToken` is what makes a launch happen once: ECS accepts one task for it, and tells everyone who comes later
//! which one that was. `startedBy` is the same text, since it survives the task's stop, where tags do not.

use std::collections::HashMap;
use std::fmt;

use aws_config::SdkConfig;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_ecs::operation::run_task::{RunTaskError, RunTaskOutput};
use aws_sdk_ecs::primitives::DateTime;
use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, CapacityProviderStrategyItem, ContainerOverride, DesiredStatus, KeyValuePair,
    LaunchType, NetworkConfiguration, Tag, Task, TaskField, TaskOverride,
};
use secrecy::SecretString;
use serde::Serialize;
use time::OffsetDateTime;

use crate::classes::{Capacity, RunnerClass};
use crate::github::JitConfig;
use crate::job::{JobMessage, RunnerId};
use crate::names::{LaunchToken, NamePrefix, RunnerName};
use crate::secret::expose;

/// Most characters of a task's overrides, JSON punctuation included. Source: ECS's `RunTask` reference.
pub const LONGEST_OVERRIDES: usize = 8192;

/// The runner takes any `ACTIONS_RUNNER_INPUT_*` for its argument of that name, and drops this one from the
/// environment of job steps. On the command line everyone could read it.
pub const JIT_CONFIG_VARIABLE: &str = "ACTIONS_RUNNER_INPUT_JITCONFIG";

/// Carries the job's message on the task. Overrides outlive the stop, where tags do not, so that whoever finds the
/// task dead still knows what it was for.
pub const JOB_VARIABLE: &str = "JITGATE_JOB";

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

/// All that a launch depends on.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// The job.
    pub message: &'a JobMessage,
    /// What the task is made of: the job's class, or the fallback that stands in for it.
    pub class: &'a RunnerClass,
    /// What it runs on.
    pub capacity: Capacity,
    /// Guards the launch.
    pub token: &'a LaunchToken,
    /// The registration's name.
    pub runner_name: &'a RunnerName,
    /// The registration and its configuration.
    pub jit: &'a JitConfig,
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
    /// When its registration was first seen gone, noted likewise.
    pub gone_since: Option<OffsetDateTime>,
    /// The job's message, from the task's overrides, which outlive its stop.
    pub message: Option<JobMessage>,
    /// ECS's code for why it stopped: `TaskFailedToStart`, `SpotInterruption`, …
    pub stop_code: Option<String>,
    /// ECS's words for the same.
    pub stopped_reason: Option<String>,
    /// When it was over.
    pub stopped_at: Option<OffsetDateTime>,
}

/// Why a task did not start. None of them carries the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// A launch with this token was accepted before: these are its tasks.
    #[error("already started: {}", arns.iter().map(TaskArn::to_string).collect::<Vec<_>>().join(", "))]
    AlreadyStarted {
        /// The tasks; one, unless ECS forgot to say.
        arns: Vec<TaskArn>,
    },
    /// The overrides are longer than ECS takes. Nothing was called.
    #[error("the task's overrides have {characters} characters, {LONGEST_OVERRIDES} at most are possible")]
    TooLarge {
        /// How long they are.
        characters: usize,
    },
    /// Fargate has no room, or the account's quota is used up. It will pass.
    #[error("no capacity: {reason}")]
    NoCapacity {
        /// ECS's words.
        reason: String,
    },
    /// Too many calls. It will pass.
    #[error("throttled: {reason}")]
    Throttled {
        /// ECS's words.
        reason: String,
    },
    /// The function's role or its credentials do not permit the launch: somebody must mend them.
    #[error("ECS denies access: {reason}")]
    Denied {
        /// ECS's words.
        reason: String,
    },
    /// ECS will refuse this launch again until somebody mends something.
    #[error("ECS refuses: {reason}")]
    Rejected {
        /// ECS's words.
        reason: String,
    },
    /// ECS did not start the task, for a reason that this code does not know. Nothing says that it will stay so.
    #[error("ECS did not start the task: {reason}")]
    Unknown {
        /// ECS's words.
        reason: String,
    },
    /// ECS answered that it cannot at the moment.
    #[error("ECS is unavailable: {reason}")]
    Unavailable {
        /// ECS's words.
        reason: String,
    },
    /// No answer was heard, or none that says what became of the launch: the task may be starting.
    #[error("no answer from ECS: {reason}")]
    Silent {
        /// What the network said.
        reason: String,
    },
}

/// A call about existing tasks failed; trying again may help.
#[derive(Clone, Debug, thiserror::Error)]
#[error("ECS {call} failed: {reason}")]
pub struct EcsError {
    /// The API's name.
    pub call: &'static str,
    /// What ECS or the network said.
    pub reason: String,
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

    /// Starts a launch's task. Repeating the very same call, as the SDK does when an answer is lost, starts no second.
    pub async fn run(&self, launch: Launch<'_>) -> Result<TaskArn, RunError> {
        let environment =
            [(JIT_CONFIG_VARIABLE, expose(&launch.jit.encoded).to_owned()), (JOB_VARIABLE, launch.message.to_body())];
        let characters = overrides_length(&launch.class.container, &environment);
        if characters > LONGEST_OVERRIDES {
            return Err(RunError::TooLarge { characters });
        }
        let call = self.client.run_task();
        let call = match launch.capacity {
            Capacity::OnDemand => call.launch_type(LaunchType::Fargate),
            Capacity::Spot => call.capacity_provider_strategy(spot()?),
        };
        let answer = call
            .cluster(&self.cluster)
            .task_definition(&launch.class.task_definition)
            .count(1)
            .client_token(launch.token.as_str())
            .started_by(launch.token.as_str())
            .network_configuration(network_of(launch.class)?)
            .overrides(overrides_of(launch.class, environment))
            .set_tags(Some(tags_of(&launch)))
            .send()
            .await;
        match answer {
            Ok(output) => started(output),
            Err(error) => Err(refused(&error, &launch.jit.encoded)),
        }
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

    /// Notes a moment on a task; `None` takes the note away.
    pub async fn note(&self, arn: &TaskArn, key: &str, moment: Option<OffsetDateTime>) -> Result<(), EcsError> {
        let Some(moment) = moment else {
            let call = self.client.untag_resource().resource_arn(&arn.0).tag_keys(key);
            return call.send().await.map(|_| ()).map_err(|error| failed("UntagResource", &error));
        };
        let tag = Tag::builder().key(key).value(moment.unix_timestamp().to_string()).build();
        let call = self.client.tag_resource().resource_arn(&arn.0).tags(tag);
        call.send().await.map(|_| ()).map_err(|error| failed("TagResource", &error))
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
        gone_since: noted(tag::GONE_SINCE),
        message,
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

fn network_of(class: &RunnerClass) -> Result<NetworkConfiguration, RunError> {
    let public_ip = if class.assign_public_ip { AssignPublicIp::Enabled } else { AssignPublicIp::Disabled };
    let network = AwsVpcConfiguration::builder()
        .set_subnets(Some(class.subnets.clone()))
        .set_security_groups((!class.security_groups.is_empty()).then(|| class.security_groups.clone()))
        .assign_public_ip(public_ip)
        .build()
        .map_err(|error| RunError::Rejected { reason: error.to_string() })?;
    Ok(NetworkConfiguration::builder().awsvpc_configuration(network).build())
}

fn spot() -> Result<CapacityProviderStrategyItem, RunError> {
    let strategy = CapacityProviderStrategyItem::builder().capacity_provider("FARGATE_SPOT").weight(1).build();
    strategy.map_err(|error| RunError::Rejected { reason: error.to_string() })
}

fn overrides_of(class: &RunnerClass, environment: [(&str, String); 2]) -> TaskOverride {
    let environment = environment.map(|(name, value)| KeyValuePair::builder().name(name).value(value).build());
    let container =
        ContainerOverride::builder().name(&class.container).set_environment(Some(environment.to_vec())).build();
    TaskOverride::builder().container_overrides(container).build()
}

/// The length of what [`overrides_of`] makes, as the JSON that ECS counts.
fn overrides_length(container: &str, environment: &[(&str, String); 2]) -> usize {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Overrides<'a> {
        container_overrides: [Container<'a>; 1],
    }
    #[derive(Serialize)]
    struct Container<'a> {
        name: &'a str,
        environment: Vec<Variable<'a>>,
    }
    #[derive(Serialize)]
    struct Variable<'a> {
        name: &'a str,
        value: &'a str,
    }
    let environment = environment.iter().map(|(name, value)| Variable { name, value }).collect();
    let overrides = Overrides { container_overrides: [Container { name: container, environment }] };
    let json = serde_json::to_string(&overrides).expect("strings always become JSON");
    json.chars().count()
}

fn tags_of(launch: &Launch<'_>) -> Vec<Tag> {
    [
        (tag::JOB, launch.message.job_id.to_string()),
        (tag::ATTEMPT, launch.message.attempt.to_string()),
        (tag::REPOSITORY, launch.message.full_name()),
        (tag::CLASS, launch.class.name.clone()),
        (tag::RUNNER_ID, launch.jit.runner_id.to_string()),
        (tag::RUNNER_NAME, launch.runner_name.to_string()),
    ]
    .into_iter()
    .map(|(key, value)| Tag::builder().key(key).value(value).build())
    .collect()
}

/// ECS says with HTTP 200 that it did not start anything.
fn started(output: RunTaskOutput) -> Result<TaskArn, RunError> {
    if let Some(arn) = output.tasks.unwrap_or_default().into_iter().find_map(|task| task.task_arn) {
        return Ok(TaskArn(arn));
    }
    let Some(failure) = output.failures.unwrap_or_default().into_iter().next() else {
        return Err(RunError::Silent { reason: "neither a task nor a failure in the answer".to_owned() });
    };
    let reason = failure.reason.unwrap_or_default();
    let words = match failure.detail {
        Some(detail) => format!("{reason}: {detail}"),
        None => reason.clone(),
    };
    Err(match reason.as_str() {
        _ if speaks_of_capacity(&words) => RunError::NoCapacity { reason: words },
        // Source: ECS's "API failures messages": the cluster or the task definition is not there (any more).
        "MISSING" | "INACTIVE" => RunError::Rejected { reason: words },
        _ => RunError::Unknown { reason: words },
    })
}

/// Whether a failure's words mean that waiting helps. Sources: ECS's "API failures messages" and the service event
/// messages of Fargate.
fn speaks_of_capacity(words: &str) -> bool {
    // RESOURCE:FARGATE, RESOURCE:CPU and the like mean that there is not enough of it now.
    words.starts_with("RESOURCE:")
        || words.starts_with("Capacity is unavailable")
        || words.contains("reached the limit on the number of")
        || words.contains("Capacity is unavailable at this time")
        || words.contains("limit on concurrent")
}

fn refused(error: &SdkError<RunTaskError>, config: &SecretString) -> RunError {
    // Nobody promises that an error never quotes what was sent.
    let words = |error: &dyn fmt::Display| error.to_string().replace(expose(config), "[JIT config]");
    let answer_status = error.raw_response().map(|response| response.status().as_u16());
    let Some(service_error) = error.as_service_error() else {
        let reason = words(&DisplayErrorContext(error));
        return match answer_status {
            Some(500..) => RunError::Unavailable { reason },
            _ => RunError::Silent { reason },
        };
    };
    let code = service_error.code().unwrap_or_default();
    let message = service_error.message().unwrap_or_default();
    let reason = words(&format_args!("{code}: {message}"));
    match service_error {
        RunTaskError::ConflictException(conflict) => {
            RunError::AlreadyStarted { arns: conflict.resource_ids().iter().cloned().map(TaskArn).collect() }
        }
        _ if speaks_of_capacity(message) => RunError::NoCapacity { reason },
        _ if is_throttling(code) || speaks_of_throttling(message) => RunError::Throttled { reason },
        RunTaskError::AccessDeniedException(_) => RunError::Denied { reason },
        _ if is_denial(code) => RunError::Denied { reason },
        RunTaskError::ServerException(_) => RunError::Unavailable { reason },
        RunTaskError::BlockedException(_)
        | RunTaskError::ClientException(_)
        | RunTaskError::ClusterNotFoundException(_)
        | RunTaskError::InvalidParameterException(_)
        | RunTaskError::PlatformTaskDefinitionIncompatibilityException(_)
        | RunTaskError::PlatformUnknownException(_)
        | RunTaskError::UnsupportedFeatureException(_) => RunError::Rejected { reason },
        _ if answer_status.is_some_and(|status| status >= 500) => RunError::Unavailable { reason },
        _ => RunError::Unknown { reason },
    }
}

/// Source: the codes that the AWS SDKs treat as throttling.
fn is_throttling(code: &str) -> bool {
    matches!(
        code,
        "ThrottlingException"
            | "Throttling"
            | "ThrottledException"
            | "RequestLimitExceeded"
            | "TooManyRequestsException"
    ) || code == "LimitExceededException"
}

/// Source: ECS's "Common errors".
fn is_denial(code: &str) -> bool {
    matches!(
        code,
        "AccessDenied"
            | "AccessDeniedException"
            | "ExpiredTokenException"
            | "InvalidClientTokenId"
            | "NotAuthorized"
            | "UnrecognizedClientException"
    )
}

/// ECS passes on that EC2 throttled it, as an error of another kind.
fn speaks_of_throttling(words: &str) -> bool {
    words.contains("RequestLimitExceeded") || words.contains("Rate exceeded")
}

fn failed<E>(call: &'static str, error: &SdkError<E>) -> EcsError
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    EcsError { call, reason: DisplayErrorContext(error).to_string() }
}

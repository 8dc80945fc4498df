//! Starting the task of a launch, exactly once.

use std::borrow::Cow;

use aws_sdk_ecs::operation::run_task::RunTaskError;
use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, CapacityProviderStrategyItem, ContainerOverride, EphemeralStorage,
    KeyValuePair, LaunchType, NetworkConfiguration, Tag, TaskOverride,
};
use serde::Serialize;

use super::gate::{COMPLETED_HOOK_VARIABLE, GATE_VARIABLE, HOOK_VARIABLE, gate};
use super::run_error::{LONGEST_OVERRIDES, RunError, not_started, refused};
use super::task::{JOB_VARIABLE, TaskArn, tag};
use super::tasks::Tasks;
use crate::classes::{Capacity, Fit, Placement, RunnerClass};
use crate::github::{JitConfig, Scope};
use crate::job::Message;
use crate::names::{LaunchToken, RunnerName};
use crate::secret::expose;

/// The runner reads each `ACTIONS_RUNNER_INPUT_*` as its argument of that name, and removes this one from the environment
/// of job steps. On the command line it would be visible to every process. Source: `actions/runner`.
pub const JIT_CONFIG_VARIABLE: &str = "ACTIONS_RUNNER_INPUT_JITCONFIG";

/// Has the runner end with [`VERSION_REFUSED`](super::VERSION_REFUSED) if GitHub turns its version away. Otherwise `run.sh` makes that
/// a 0, as after a job. Source: `actions/runner`.
pub const VERSION_VARIABLE: &str = "ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE";

/// Fargate's capacity provider for Spot.
const FARGATE_SPOT: &str = "FARGATE_SPOT";

/// Everything that `RunTask` is called with.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// The job's message; the task carries it.
    pub message: &'a Message,
    /// The job's class, which decides whose jobs the runner may do, even if a fallback provides the task.
    pub fit: &'a Fit<'a>,
    /// Where the runner is registered.
    pub scope: &'a Scope,
    /// What the task is made of and runs on.
    pub placement: Placement<'a>,
    /// `clientToken` and `startedBy`.
    pub token: &'a LaunchToken,
    /// The registration's name.
    pub runner_name: &'a RunnerName,
    /// The registration and its configuration.
    pub jit: &'a JitConfig,
}

/// How ECS took a launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    /// It accepted the launch and starts this task.
    New(TaskArn),
    /// It had accepted a launch with this token before. These are its tasks: one, or none if ECS does not say.
    Before(Vec<TaskArn>),
}

impl Tasks {
    /// Starts a launch's task. Repeating the same call, as the SDK does when an answer is lost, starts no second task.
    pub async fn run(&self, launch: Launch<'_>) -> Result<Started, RunError> {
        let Placement { class, capacity, task_definition, .. } = launch.placement;
        let overrides = Overrides::of(&launch);
        let characters = overrides.length();
        if characters > LONGEST_OVERRIDES {
            return Err(RunError::TooLarge { characters });
        }
        let call = self.client.run_task();
        let call = match capacity {
            Capacity::OnDemand => call.launch_type(LaunchType::Fargate),
            Capacity::Spot => call.capacity_provider_strategy(provided_by(FARGATE_SPOT)?),
            Capacity::Provider(name) => call.capacity_provider_strategy(provided_by(name.as_str())?),
        };
        let answer = call
            .cluster(&self.cluster)
            .task_definition(task_definition)
            .count(1)
            .client_token(launch.token.as_str())
            .started_by(launch.token.as_str())
            .set_network_configuration(network_of(class, capacity)?)
            .overrides(overrides.for_ecs())
            .set_tags(Some(tags_of(&launch)))
            .send()
            .await;
        match answer {
            Ok(output) => match output.tasks.unwrap_or_default().into_iter().find_map(|task| task.task_arn) {
                Some(arn) => Ok(Started::New(TaskArn(arn))),
                None => Err(not_started(output.failures.unwrap_or_default(), &launch.jit.encoded)),
            },
            Err(error) => match error.as_service_error() {
                Some(RunTaskError::ConflictException(conflict)) => {
                    Ok(Started::Before(conflict.resource_ids().iter().cloned().map(TaskArn).collect()))
                }
                _ => Err(refused(&error, &launch.jit.encoded)),
            },
        }
    }
}

/// ECS refuses a public address off Fargate, and any network for a task definition that is not in `awsvpc` mode. Source: ECS's
/// `RunTask` reference.
fn network_of(class: &RunnerClass, capacity: &Capacity) -> Result<Option<NetworkConfiguration>, RunError> {
    if class.subnets.is_empty() {
        return Ok(None);
    }
    let public_ip = if class.assign_public_ip { AssignPublicIp::Enabled } else { AssignPublicIp::Disabled };
    let network = AwsVpcConfiguration::builder()
        .set_subnets(Some(class.subnets.clone()))
        .set_security_groups((!class.security_groups.is_empty()).then(|| class.security_groups.clone()))
        .set_assign_public_ip(capacity.is_fargate().then_some(public_ip))
        .build()
        .map_err(|error| RunError::Rejected { reason: error.to_string() })?;
    Ok(Some(NetworkConfiguration::builder().awsvpc_configuration(network).build()))
}

fn provided_by(name: &str) -> Result<CapacityProviderStrategyItem, RunError> {
    let strategy = CapacityProviderStrategyItem::builder().capacity_provider(name).weight(1).build();
    strategy.map_err(|error| RunError::Rejected { reason: error.to_string() })
}

/// What differs from the task definition, in the shape whose JSON ECS counts.
///
/// `cpu` and `memory` are the task's. A container with a `cpu` or `memory` of its own in the task definition stays within
/// those, so task definitions for classes with sizes must not set them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Overrides<'a> {
    #[serde(rename = "containerOverrides")]
    containers: [Container<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ephemeral_storage: Option<Storage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_role_arn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_role_arn: Option<&'a str>,
}

#[derive(Serialize)]
struct Container<'a> {
    name: &'a str,
    environment: Vec<Variable<'a>>,
}

#[derive(Serialize)]
struct Variable<'a> {
    name: &'a str,
    value: Cow<'a, str>,
}

#[derive(Serialize)]
struct Storage {
    #[serde(rename = "sizeInGiB")]
    size_in_gib: i32,
}

impl<'a> Overrides<'a> {
    fn of(launch: &Launch<'a>) -> Self {
        let Placement { class, size, disk, .. } = launch.placement;
        let hooks = &launch.fit.class.hooks;
        let own = [
            (JIT_CONFIG_VARIABLE, Cow::Borrowed(expose(&launch.jit.encoded))),
            (JOB_VARIABLE, Cow::Owned(launch.message.to_body())),
            (GATE_VARIABLE, Cow::Owned(gate(launch.message, launch.fit, launch.scope))),
            (VERSION_VARIABLE, Cow::Borrowed("1")),
        ];
        let own = own.into_iter().chain(hooks.variables().map(|(name, value)| (name, Cow::Borrowed(value))));
        // A fallback may do without the gate and name scripts of its own; the job's class keeps its gate and its scripts.
        let may_set = |name: &str| match name {
            VERSION_VARIABLE => false,
            HOOK_VARIABLE => !launch.fit.class.gate && hooks.job_started.is_none(),
            COMPLETED_HOOK_VARIABLE => hooks.job_completed.is_none(),
            _ => true,
        };
        let further = class.environment.iter().filter(|(name, _)| may_set(name));
        let further = further.map(|(name, value)| (name.as_str(), Cow::Borrowed(value.as_str())));
        let environment = own.chain(further).map(|(name, value)| Variable { name, value }).collect();
        Self {
            containers: [Container { name: &class.container, environment }],
            cpu: size.map(|size| size.cpu.0.to_string()),
            memory: size.map(|size| size.memory.0.to_string()),
            ephemeral_storage: disk.map(|disk| Storage { size_in_gib: disk.0.cast_signed() }),
            // What a job may do is for its own class to say; how a task is started, for the class that provides it.
            task_role_arn: launch.fit.class.task_role.as_deref(),
            execution_role_arn: class.execution_role.as_deref(),
        }
    }

    fn length(&self) -> usize {
        serde_json::to_string(self).expect("strings and numbers always become JSON").chars().count()
    }

    fn for_ecs(self) -> TaskOverride {
        let [Container { name, environment }] = self.containers;
        let environment = environment
            .into_iter()
            .map(|Variable { name, value }| KeyValuePair::builder().name(name).value(value).build());
        let container = ContainerOverride::builder().name(name).set_environment(Some(environment.collect())).build();
        let storage = self.ephemeral_storage;
        TaskOverride::builder()
            .container_overrides(container)
            .set_cpu(self.cpu)
            .set_memory(self.memory)
            .set_task_role_arn(self.task_role_arn.map(str::to_owned))
            .set_execution_role_arn(self.execution_role_arn.map(str::to_owned))
            .set_ephemeral_storage(
                storage.map(|Storage { size_in_gib }| EphemeralStorage::builder().size_in_gib(size_in_gib).build()),
            )
            .build()
    }
}

fn tags_of(launch: &Launch<'_>) -> Vec<Tag> {
    let class = launch.placement.class;
    let own = [
        (tag::JOB, launch.message.job.id.to_string()),
        (tag::ATTEMPT, launch.message.progress.attempt.to_string()),
        (tag::REPOSITORY, launch.message.job.full_name()),
        (tag::CLASS, class.name.clone()),
        (tag::RUNNER_ID, launch.jit.runner_id.to_string()),
        (tag::RUNNER_NAME, launch.runner_name.to_string()),
    ];
    let further = class.tags.iter().map(|(key, value)| (key.as_str(), value.clone()));
    own.into_iter().chain(further).map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

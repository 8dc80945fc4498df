//! Starting the task of a launch, exactly once.

use std::borrow::Cow;

use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, CapacityProviderStrategyItem, ContainerOverride, EphemeralStorage,
    KeyValuePair, LaunchType, NetworkConfiguration, Tag, TaskOverride,
};
use serde::Serialize;

use super::refusal::{RunError, refused, started};
use super::{TaskArn, Tasks, tag};
use crate::classes::{Capacity, Placement, RunnerClass};
use crate::github::JitConfig;
use crate::job::JobMessage;
use crate::names::{LaunchToken, RunnerName};
use crate::secret::expose;

/// Most characters of a task's overrides, JSON punctuation included. Source: ECS's `RunTask` reference.
pub const LONGEST_OVERRIDES: usize = 8192;

/// The runner takes any `ACTIONS_RUNNER_INPUT_*` for its argument of that name, and drops this one from the
/// environment of job steps. On the command line everyone could read it.
pub const JIT_CONFIG_VARIABLE: &str = "ACTIONS_RUNNER_INPUT_JITCONFIG";

/// Carries the job's message on the task. Overrides outlive the stop, where tags do not, so that whoever finds the
/// task dead still knows what it was for.
pub const JOB_VARIABLE: &str = "JITGATE_JOB";

/// All that a launch depends on.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// The job.
    pub message: &'a JobMessage,
    /// What the task is made of and runs on.
    pub placement: Placement<'a>,
    /// Guards the launch.
    pub token: &'a LaunchToken,
    /// The registration's name.
    pub runner_name: &'a RunnerName,
    /// The registration and its configuration.
    pub jit: &'a JitConfig,
}

impl Tasks {
    /// Starts a launch's task. Repeating the very same call, as the SDK does when an answer is lost, starts no second.
    pub async fn run(&self, launch: Launch<'_>) -> Result<TaskArn, RunError> {
        let Placement { class, capacity, task_definition, .. } = launch.placement;
        let overrides = Overrides::of(&launch);
        let characters = overrides.length();
        if characters > LONGEST_OVERRIDES {
            return Err(RunError::TooLarge { characters });
        }
        let call = self.client.run_task();
        let call = match capacity {
            Capacity::OnDemand => call.launch_type(LaunchType::Fargate),
            Capacity::Spot => call.capacity_provider_strategy(spot()?),
        };
        let answer = call
            .cluster(&self.cluster)
            .task_definition(task_definition)
            .count(1)
            .client_token(launch.token.as_str())
            .started_by(launch.token.as_str())
            .network_configuration(network_of(class)?)
            .overrides(overrides.for_ecs())
            .set_tags(Some(tags_of(&launch)))
            .send()
            .await;
        match answer {
            Ok(output) => started(output),
            Err(error) => Err(refused(&error, &launch.jit.encoded)),
        }
    }
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

/// What differs from the task definition, in the shape whose JSON ECS counts.
///
/// The size is the task's. A container that the task definition limits by `cpu` or `memory` of its own stays within those,
/// whatever the task has, so definitions for classes with sizes must not set them.
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
        let own = [
            (JIT_CONFIG_VARIABLE, Cow::Borrowed(expose(&launch.jit.encoded))),
            (JOB_VARIABLE, Cow::Owned(launch.message.to_body())),
        ];
        let further = class.environment.iter().map(|(name, value)| (name.as_str(), Cow::Borrowed(value.as_str())));
        let environment = own.into_iter().chain(further).map(|(name, value)| Variable { name, value }).collect();
        Self {
            containers: [Container { name: &class.container, environment }],
            cpu: size.map(|size| size.cpu.0.to_string()),
            memory: size.map(|size| size.memory.0.to_string()),
            ephemeral_storage: disk.map(|disk| Storage { size_in_gib: disk.0.cast_signed() }),
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
            .set_ephemeral_storage(
                storage.map(|Storage { size_in_gib }| EphemeralStorage::builder().size_in_gib(size_in_gib).build()),
            )
            .build()
    }
}

fn tags_of(launch: &Launch<'_>) -> Vec<Tag> {
    let class = launch.placement.class;
    let own = [
        (tag::JOB, launch.message.job_id.to_string()),
        (tag::ATTEMPT, launch.message.attempt.to_string()),
        (tag::REPOSITORY, launch.message.full_name()),
        (tag::CLASS, class.name.clone()),
        (tag::RUNNER_ID, launch.jit.runner_id.to_string()),
        (tag::RUNNER_NAME, launch.runner_name.to_string()),
    ];
    let further = class.tags.iter().map(|(key, value)| (key.as_str(), value.clone()));
    own.into_iter().chain(further).map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

//! Starting the task of a launch, exactly once.

use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, CapacityProviderStrategyItem, ContainerOverride, KeyValuePair, LaunchType,
    NetworkConfiguration, Tag, TaskOverride,
};
use serde::Serialize;

use super::refusal::{RunError, refused, started};
use super::{TaskArn, Tasks, tag};
use crate::classes::{Capacity, RunnerClass};
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

impl Tasks {
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

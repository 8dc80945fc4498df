//! `RunTask` and `StopTask`.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::idempotency::{Verdict, fingerprint, is_valid};
use super::in_millis;
use super::limits::Shortage;
use super::reads::seconds;
use super::refusal::{Refusal, invalid_parameter};
use super::state::State;
use super::tags::{Tag, check_tags};
use super::task::{
    Compatibility, NetworkMode, Provider, Resources, Status, StopCode, Task, TaskDefinition, id_of, task_arn,
};
use crate::aws::answers;
use crate::wire::Answer;

/// The most characters of the overrides, JSON punctuation included.
const LONGEST_OVERRIDES: usize = 8192;

/// The longest `startedBy`. Today's reference says 128; older endpoints refused more than 36, so this one does too.
const LONGEST_STARTED_BY: usize = 36;

/// The most tasks of a cluster that wait for instances. Source: ECS's service quotas, "Tasks in the PROVISIONING state per
/// cluster".
const MOST_PROVISIONING: u32 = 500;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunTask {
    cluster: Option<String>,
    task_definition: Option<String>,
    launch_type: Option<String>,
    platform_version: Option<String>,
    #[serde(default)]
    capacity_provider_strategy: Vec<StrategyItem>,
    network_configuration: Option<Value>,
    overrides: Option<Value>,
    count: Option<usize>,
    started_by: Option<String>,
    client_token: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StrategyItem {
    capacity_provider: String,
    #[serde(default)]
    weight: u32,
    #[serde(default)]
    base: u32,
}

#[derive(Debug, Deserialize)]
pub(super) struct StopTask {
    cluster: Option<String>,
    task: String,
    reason: Option<String>,
}

impl RunTask {
    fn tags_by_key(&self) -> BTreeMap<String, String> {
        self.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect()
    }
}

impl State {
    pub(super) fn cluster(&self, name: Option<&str>) -> Result<String, Refusal> {
        let name = id_of(name.unwrap_or("default"));
        if self.clusters.contains(name) {
            Ok(name.to_owned())
        } else {
            Err(Refusal::new("ClusterNotFoundException", "Cluster not found."))
        }
    }

    pub(super) fn run_task(&mut self, input: &RunTask, body: &Bytes) -> Result<Answer, Refusal> {
        let cluster = self.cluster(input.cluster.as_deref())?;
        let definition = input.task_definition.as_deref().and_then(|name| self.definition(name));
        let definition = definition.ok_or_else(|| invalid_parameter("TaskDefinition not found."))?;
        let placement = self.check(input, body, &definition)?;
        let print = fingerprint(body);
        if let Some(token) = &input.client_token {
            match self.tokens.judge(&cluster, token, print, self.now, &self.tasks) {
                Verdict::Fresh => {}
                Verdict::Repeat(tasks) => {
                    let tags = input.tags_by_key();
                    let first = tasks.iter().map(|index| self.tasks[*index].as_answered_first(tags.clone()));
                    return Ok(started(first.map(|task| task.to_json(seconds, true)), &[]));
                }
                Verdict::Conflict(tasks) => {
                    let arns: Vec<_> = tasks.iter().map(|index| self.tasks[*index].arn.clone()).collect();
                    return Err(Refusal::conflict(arns));
                }
            }
        }
        if let Some(reason) = self.refusals.pop_front() {
            return Ok(answers::failure(&reason));
        }
        let (mut indexes, mut failures) = (Vec::new(), Vec::new());
        let overrides = Arc::new(complete_overrides(input.overrides.as_ref(), &definition));
        for _ in 0..input.count.unwrap_or(1) {
            if self.too_many_wait(placement.provider) {
                return Err(Refusal::new("ClientException", answers::PROVISIONING_QUOTA));
            }
            let provider = placement.provider.index();
            let is_short = self.shortages[provider].as_mut().is_some_and(Shortage::strikes);
            let refusal = self.limits[provider]
                .of(placement.provider)
                .refusal(self.used[provider], placement.resources.cpu_units);
            match refusal.or(is_short.then_some(answers::CAPACITY_UNAVAILABLE)) {
                // Instances are asked for later: the task waits for one, and learns then that there is none.
                Some(_) if placement.provider == Provider::Instances => {
                    self.bad_starts.push_front(answers::NO_INSTANCE.to_owned());
                    indexes.push(self.place(input, &cluster, &definition, &placement, &overrides));
                }
                Some(reason) => failures.push(json!({ "reason": reason })),
                None => indexes.push(self.place(input, &cluster, &definition, &placement, &overrides)),
            }
        }
        if let Some(token) = &input.client_token
            && !indexes.is_empty()
        {
            self.tokens.remember(&cluster, token, print, self.now, indexes.clone());
        }
        Ok(started(indexes.iter().map(|index| self.tasks[*index].to_json(seconds, true)), &failures))
    }

    fn check(&self, input: &RunTask, body: &Bytes, definition: &TaskDefinition) -> Result<Placement, Refusal> {
        let refuse = |message: &str| Err(invalid_parameter(message));
        if !input.count.is_none_or(|count| (1..=10).contains(&count)) {
            return refuse("Count must be between 1 and 10.");
        }
        if input.launch_type.is_some() && !input.capacity_provider_strategy.is_empty() {
            return refuse(
                "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
            );
        }
        let provider = self.choose(input)?;
        check_compatibility(input, provider, definition)?;
        self.check_network(input, provider, definition)?;
        // Serialising them again takes longer than all the rest, so only if the whole request is that long.
        if body.len() > LONGEST_OVERRIDES {
            check_length(input.overrides.as_ref())?;
        }
        let roles = ["taskRoleArn", "executionRoleArn"].map(|key| input.overrides.as_ref()?[key].as_str());
        if let Some(role) = roles.into_iter().flatten().find(|role| !self.allowed_roles.contains(*role)) {
            return Err(Refusal::new("AccessDeniedException", answers::cannot_pass(role)));
        }
        let resources = check_overrides(input.overrides.as_ref(), provider, definition)?;
        if let Some(started_by) = &input.started_by {
            let fits = started_by.len() <= LONGEST_STARTED_BY
                && started_by.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-/_".contains(&byte));
            if !fits {
                return refuse("startedBy must be letters, digits, -, / and _, and not too long.");
            }
        }
        if input.client_token.as_deref().is_some_and(|token| !is_valid(token)) {
            return refuse("clientToken must be 1 to 64 visible ASCII characters.");
        }
        check_tags(&input.tags)?;
        Ok(Placement { provider, by_strategy: input.launch_type.is_none(), resources })
    }

    fn check_network(&self, input: &RunTask, provider: Provider, definition: &TaskDefinition) -> Result<(), Refusal> {
        let network = input.network_configuration.as_ref().map(|network| &network["awsvpcConfiguration"]);
        if definition.network == NetworkMode::Host {
            return match network {
                None => Ok(()),
                Some(_) => Err(invalid_parameter(
                    "Network Configuration is not valid for the given networkMode of this task definition.",
                )),
            };
        }
        if !provider.is_fargate() && network.is_some_and(|network| network["assignPublicIp"] == "ENABLED") {
            return Err(invalid_parameter("Assign public IP is not supported for this launch type."));
        }
        let Some(network) = network.filter(|network| network.is_object()) else {
            return Err(invalid_parameter(
                "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
            ));
        };
        let subnets = network["subnets"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !(1..=16).contains(&subnets.len()) {
            return Err(invalid_parameter("subnets must be 1 to 16."));
        }
        if network["securityGroups"].as_array().is_some_and(|groups| groups.len() > 5) {
            return Err(invalid_parameter("securityGroups must be at most 5."));
        }
        let lost = subnets.iter().filter_map(Value::as_str).find(|subnet| self.lost_subnets.contains(*subnet));
        lost.map_or(Ok(()), |subnet| {
            Err(invalid_parameter(format!(
                "Error retrieving subnet information for [{subnet}]: The subnet ID '{subnet}' does not exist (ErrorCode: InvalidSubnetID.NotFound)"
            )))
        })
    }

    /// A cluster's tasks that wait for instances may be so many, not more.
    fn too_many_wait(&self, provider: Provider) -> bool {
        let waits = |index: &&usize| {
            let task = &self.tasks[**index];
            task.provider == Provider::Instances && task.status == Status::Provisioning
        };
        let most = self.limits[Provider::Instances.index()].tasks.unwrap_or(MOST_PROVISIONING);
        provider == Provider::Instances && self.wanted.iter().filter(waits).count() >= most as usize
    }

    /// A single task goes to the provider with the base, else to the one with most weight. ECS never falls back to another.
    fn choose(&self, input: &RunTask) -> Result<Provider, Refusal> {
        if let Some(launch_type) = &input.launch_type {
            return match launch_type.as_str() {
                "FARGATE" => Ok(Provider::OnDemand),
                _ => Err(invalid_parameter("No Container Instances were found in your cluster.")),
            };
        }
        let mut best: Option<(&StrategyItem, Provider)> = None;
        for item in &input.capacity_provider_strategy {
            let provider = Provider::named(&item.capacity_provider)
                .filter(|provider| provider.is_fargate() || self.has_instances)
                .ok_or_else(|| invalid_parameter(answers::NOT_ASSOCIATED))?;
            if best.is_none_or(|(best, _)| (item.base, item.weight) > (best.base, best.weight)) {
                best = Some((item, provider));
            }
        }
        // Clusters here have no default strategy, so a request without either means the launch type EC2.
        best.map(|(_, provider)| provider)
            .ok_or_else(|| invalid_parameter("No Container Instances were found in your cluster."))
    }

    fn place(
        &mut self,
        input: &RunTask,
        cluster: &str,
        definition: &Arc<TaskDefinition>,
        placement: &Placement,
        overrides: &Arc<Value>,
    ) -> usize {
        let network = input.network_configuration.as_ref().map(|network| network["awsvpcConfiguration"].clone());
        let of_family = || self.outages_of.get(&definition.family).cloned();
        let bad_start = self.bad_starts.pop_front().or_else(|| self.outage.clone()).or_else(of_family);
        self.add_task(Task {
            arn: task_arn(cluster, &task_id(self.tasks.len())),
            cluster: cluster.to_owned(),
            definition: Arc::clone(definition),
            provider: placement.provider,
            network: Arc::new(network.unwrap_or_default()),
            started_by: input.started_by.clone(),
            tags: input.tags_by_key(),
            overrides: Arc::clone(overrides),
            status: Status::Provisioning,
            stop_code: None,
            stopped_reason: None,
            exit_code: None,
            created_at: self.now,
            pull_started_at: None,
            pull_stopped_at: None,
            started_at: None,
            stopping_at: None,
            stopped_at: None,
            by_strategy: placement.by_strategy,
            resources: placement.resources,
            visible_at: self.now.saturating_add(in_millis(self.pace.appear)),
            bad_start,
            version: 0,
        })
    }

    pub(super) fn stop_task(&mut self, input: &StopTask) -> Result<Answer, Refusal> {
        let cluster = self.cluster(input.cluster.as_deref())?;
        let index = self.find(&input.task).filter(|index| self.tasks[*index].cluster == cluster);
        let index = index.filter(|index| self.is_remembered(*index));
        let index = index.ok_or_else(|| invalid_parameter("The referenced task was not found."))?;
        self.begin_stop(
            &input.task,
            StopCode::UserInitiated,
            input.reason.as_deref().unwrap_or("Task stopped by user"),
        );
        Ok(answers::ok(&json!({ "task": self.tasks[index].to_json(seconds, false) })))
    }
}

#[derive(Debug)]
struct Placement {
    provider: Provider,
    by_strategy: bool,
    resources: Resources,
}

fn started(tasks: impl Iterator<Item = Value>, failures: &[Value]) -> Answer {
    answers::ok(&json!({ "tasks": tasks.collect::<Vec<_>>(), "failures": failures }))
}

/// The words are reported of Fargate; those for Managed Instances are assumed to be the same. Source of the other: ECS's
/// `RunTask` reference, `platformVersion`.
fn check_compatibility(input: &RunTask, provider: Provider, definition: &TaskDefinition) -> Result<(), Refusal> {
    let (needed, name) = match provider {
        Provider::OnDemand | Provider::Spot => (Compatibility::Fargate, "FARGATE"),
        Provider::Instances => (Compatibility::Instances, "MANAGED_INSTANCES"),
    };
    if definition.compatibility != needed {
        return Err(invalid_parameter(format!("Task definition does not support launch_type {name}.")));
    }
    if !provider.is_fargate() && input.platform_version.is_some() {
        return Err(invalid_parameter("The platform version must be null when specifying an EC2 launch type."));
    }
    Ok(())
}

fn check_length(overrides: Option<&Value>) -> Result<(), Refusal> {
    if overrides.is_none_or(|overrides| overrides.to_string().chars().count() <= LONGEST_OVERRIDES) {
        Ok(())
    } else {
        Err(invalid_parameter(format!("Container Overrides length must be at most {LONGEST_OVERRIDES}")))
    }
}

/// Returns the resources of the task.
fn check_overrides(
    overrides: Option<&Value>,
    provider: Provider,
    definition: &TaskDefinition,
) -> Result<Resources, Refusal> {
    let own = Resources { cpu_units: definition.cpu_units, memory: definition.memory, disk: 20 };
    let Some(overrides) = overrides else { return Ok(own) };
    for container in overrides["containerOverrides"].as_array().into_iter().flatten() {
        let name = container["name"].as_str().unwrap_or_default();
        if name != definition.container {
            return Err(invalid_parameter(format!(
                "Override for container named {name} is not a container in the TaskDefinition."
            )));
        }
    }
    let number = |key: &str, own: u32| match &overrides[key] {
        Value::Null => Ok(own),
        Value::String(text) => text.parse().map_err(|_| invalid_parameter(format!("Invalid '{key}' setting for task"))),
        _ => Err(Refusal::new("SerializationException", "Expected a string.")),
    };
    let (cpu_units, memory) = (number("cpu", own.cpu_units)?, number("memory", own.memory)?);
    if provider.is_fargate() && !has_fargate(cpu_units, memory) {
        return Err(Refusal::new("ClientException", "No Fargate configuration exists for given values."));
    }
    let disk = match &overrides["ephemeralStorage"] {
        Value::Null => own.disk,
        // Source: ECS's `TaskOverride` reference, "only supported for tasks hosted on Fargate". The words are ours.
        _ if !provider.is_fargate() => {
            return Err(invalid_parameter("Ephemeral storage is not supported for this launch type."));
        }
        storage => match storage["sizeInGiB"].as_u64() {
            Some(size @ 21..=200) => u32::try_from(size).expect("200 at most"),
            _ => return Err(invalid_parameter("Ephemeral storage must be between 21 and 200 GiB.")),
        },
    };
    Ok(Resources { cpu_units, memory, disk })
}

/// Source: ECS's "Task size"; on purpose not shared with the code under test.
fn has_fargate(cpu_units: u32, memory: u32) -> bool {
    let gib = memory / 1024;
    match cpu_units {
        256 => [512, 1024, 2048].contains(&memory),
        _ if !memory.is_multiple_of(1024) => false,
        512 => (1..=4).contains(&gib),
        1024 => (2..=8).contains(&gib),
        2048 => (4..=16).contains(&gib),
        4096 => (8..=30).contains(&gib),
        8192 => (16..=60).contains(&gib) && gib.is_multiple_of(4),
        16384 => (32..=120).contains(&gib) && gib.is_multiple_of(8),
        _ => false,
    }
}

/// Answers name every container, overridden or not.
fn complete_overrides(overrides: Option<&Value>, definition: &TaskDefinition) -> Value {
    let mut overrides = overrides.cloned().unwrap_or_else(|| json!({}));
    if overrides["containerOverrides"].as_array().is_none_or(Vec::is_empty) {
        overrides["containerOverrides"] = json!([{ "name": definition.container }]);
    }
    for sidecar in &definition.sidecars {
        let containers = overrides["containerOverrides"].as_array_mut().expect("set above");
        containers.insert(0, json!({ "name": sidecar.name }));
    }
    overrides["inferenceAcceleratorOverrides"] = json!([]);
    overrides
}

/// 32 hexadecimal digits without an order, like real ids.
fn task_id(number: usize) -> String {
    let number = number as u64;
    format!("{:016x}{:016x}", number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15), number)
}

//! Tasks and task definitions, and their JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::aws::{ACCOUNT, REGION};

/// A container beside the runner's, of the task definition or added by AWS, such as an agent of its own.
#[derive(Clone, Debug)]
pub struct Sidecar {
    /// Its name.
    pub name: String,
    /// What it ends with when the task stops: 0 if it heeds SIGTERM, 137 if it is killed. Source: ECS's "Stopped tasks error
    /// codes".
    pub exit_code: i32,
}

/// What a task definition is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compatibility {
    /// `FARGATE`
    Fargate,
    /// `MANAGED_INSTANCES`
    Instances,
}

/// How a task is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkMode {
    /// `awsvpc`: a network interface of its own.
    Awsvpc,
    /// `host`: that of its instance.
    Host,
}

/// A task definition with the runner's container.
#[derive(Clone, Debug)]
pub struct TaskDefinition {
    /// The family's name.
    pub family: String,
    /// The container's name.
    pub container: String,
    /// Other containers. ECS lists containers in no particular order: these come first.
    pub sidecars: Vec<Sidecar>,
    /// What it requires.
    pub compatibility: Compatibility,
    /// How its tasks are connected.
    pub network: NetworkMode,
    /// CPU units, of which 1,024 are one vCPU.
    pub cpu_units: u32,
    /// Memory in MiB.
    pub memory: u32,
    /// The revision; set when the definition is added.
    pub revision: u32,
}

impl TaskDefinition {
    /// One vCPU and 2 GiB on Fargate, with a container called `runner`.
    pub fn new(family: &str) -> Self {
        Self {
            family: family.to_owned(),
            container: "runner".to_owned(),
            sidecars: Vec::new(),
            compatibility: Compatibility::Fargate,
            network: NetworkMode::Awsvpc,
            cpu_units: 1024,
            memory: 2048,
            revision: 0,
        }
    }

    /// The same for instances.
    #[must_use]
    pub fn on_instances(mut self, network: NetworkMode) -> Self {
        (self.compatibility, self.network) = (Compatibility::Instances, network);
        self
    }

    /// The same with one more sidecar.
    #[must_use]
    pub fn with_sidecar(mut self, name: &str, exit_code: i32) -> Self {
        self.sidecars.push(Sidecar { name: name.to_owned(), exit_code });
        self
    }

    /// The ARN of this revision.
    pub fn arn(&self) -> String {
        format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{}:{}", self.family, self.revision)
    }
}

/// A task's resources: the task definition's, unless the request overrides them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// CPU units, of which 1,024 are one vCPU.
    pub cpu_units: u32,
    /// Memory in MiB.
    pub memory: u32,
    /// Disk in GiB.
    pub disk: u32,
}

/// The capacity provider of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// `FARGATE`
    OnDemand,
    /// `FARGATE_SPOT`
    Spot,
    /// A provider of the cluster's own, of ECS Managed Instances, which is called `instances`.
    Instances,
}

impl Provider {
    pub(super) const COUNT: usize = 3;

    pub(super) fn index(self) -> usize {
        match self {
            Self::OnDemand => 0,
            Self::Spot => 1,
            Self::Instances => 2,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::OnDemand => "FARGATE",
            Self::Spot => "FARGATE_SPOT",
            Self::Instances => "instances",
        }
    }

    pub(super) fn is_fargate(self) -> bool {
        self != Self::Instances
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::OnDemand, Self::Spot, Self::Instances].into_iter().find(|provider| provider.as_str() == name)
    }
}

/// A task's status. ECS has more; these are the ones that matter to a runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Its network and its image are being set up.
    Provisioning,
    /// Its container runs.
    Running,
    /// It was told to stop.
    Stopping,
    /// It has stopped.
    Stopped,
}

impl Status {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Running => "RUNNING",
            Self::Stopping => "STOPPING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// Why a task stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCode {
    /// The image, the network or a secret was not available.
    TaskFailedToStart,
    /// The container ended by itself.
    EssentialContainerExited,
    /// `StopTask`
    UserInitiated,
    /// A service scaled in; never for tasks of `RunTask`.
    ServiceSchedulerInitiated,
    /// AWS reclaimed Spot capacity.
    SpotInterruption,
    /// The host was retired.
    TerminationNotice,
}

impl StopCode {
    /// ECS's name for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TaskFailedToStart => "TaskFailedToStart",
            Self::EssentialContainerExited => "EssentialContainerExited",
            Self::UserInitiated => "UserInitiated",
            Self::ServiceSchedulerInitiated => "ServiceSchedulerInitiated",
            Self::SpotInterruption => "SpotInterruption",
            Self::TerminationNotice => "TerminationNotice",
        }
    }
}

/// A task as it is now. Moments are in milliseconds since the Unix epoch.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its ARN.
    pub arn: String,
    /// The name of its cluster.
    pub cluster: String,
    /// Its task definition.
    pub definition: Arc<TaskDefinition>,
    /// Its capacity provider.
    pub provider: Provider,
    /// Its resources.
    pub resources: Resources,
    /// Its subnets and security groups, as the request gave them.
    pub network: Arc<Value>,
    /// Its `startedBy`.
    pub started_by: Option<String>,
    /// Its tags; a stop deletes them.
    pub tags: BTreeMap<String, String>,
    /// The request's overrides.
    pub overrides: Arc<Value>,
    /// Its status.
    pub status: Status,
    /// Why it stops or stopped.
    pub stop_code: Option<StopCode>,
    /// The same in words.
    pub stopped_reason: Option<String>,
    /// Its container's exit code, if the container ran and ended.
    pub exit_code: Option<i32>,
    /// When `RunTask` created it.
    pub created_at: i64,
    /// When the pull of its image began.
    pub pull_started_at: Option<i64>,
    /// When its image was there.
    pub pull_stopped_at: Option<i64>,
    /// When it began to run.
    pub started_at: Option<i64>,
    /// When it was told to stop.
    pub stopping_at: Option<i64>,
    /// When it had stopped.
    pub stopped_at: Option<i64>,
    pub(super) by_strategy: bool,
    pub(super) visible_at: i64,
    pub(super) bad_start: Option<String>,
    pub(super) version: u32,
}

impl Task {
    /// Its id, the last part of the ARN.
    pub fn id(&self) -> &str {
        id_of(&self.arn)
    }

    /// Whether it runs or is about to run, and was not told to stop.
    pub fn is_wanted(&self) -> bool {
        self.stop_code.is_none()
    }

    /// Its container's environment from the request's overrides.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let containers = self.overrides["containerOverrides"].as_array();
        let container =
            containers.into_iter().flatten().find(|container| container["name"] == *self.definition.container);
        let variables = container.and_then(|container| container["environment"].as_array());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        variables.into_iter().flatten().map(|variable| (text(&variable["name"]), text(&variable["value"]))).collect()
    }

    pub(super) fn desired_status(&self) -> &'static str {
        if self.is_wanted() { "RUNNING" } else { "STOPPED" }
    }

    /// The task as the call that created it answered, whatever happened since; `tags` are that call's.
    pub(super) fn as_answered_first(&self, tags: BTreeMap<String, String>) -> Self {
        let mut first = self.clone();
        first.tags = tags;
        first.status = Status::Provisioning;
        first.version = 1;
        (first.pull_started_at, first.pull_stopped_at) = (None, None);
        (first.started_at, first.stopping_at, first.stopped_at) = (None, None, None);
        (first.stop_code, first.stopped_reason, first.exit_code) = (None, None, None);
        first
    }

    /// The task as JSON. Answers and events differ in the format of moments and in tags.
    pub(super) fn to_json(&self, moment: impl Fn(i64) -> Value, tags: bool) -> Value {
        let id = self.id();
        let container_of = |name: &str, exit_code: Option<i32>| {
            let mut container = json!({
                "containerArn": format!("arn:aws:ecs:{REGION}:{ACCOUNT}:container/{}/{id}/{name}", self.cluster),
                "taskArn": self.arn,
                "name": name,
                "lastStatus": if self.status == Status::Provisioning { "PENDING" } else { self.status.as_str() },
                "networkInterfaces": [],
                "healthStatus": "UNKNOWN",
                "cpu": "0",
                "image": IMAGE,
            });
            if self.started_at.is_some() {
                container["imageDigest"] = DIGEST.into();
            }
            if let Some(code) = exit_code {
                container["exitCode"] = Value::from(code);
            }
            if self.stop_code == Some(StopCode::TaskFailedToStart) {
                container["reason"] = Value::from(self.stopped_reason.as_deref());
            }
            container
        };
        let has_run = self.status == Status::Stopped && self.started_at.is_some();
        let sidecars = self.definition.sidecars.iter();
        let mut containers: Vec<_> =
            sidecars.map(|sidecar| container_of(&sidecar.name, has_run.then_some(sidecar.exit_code))).collect();
        containers.push(container_of(&self.definition.container, self.exit_code));
        let mut task = json!({
            "attachments": [],
            "availabilityZone": format!("{REGION}a"),
            "clusterArn": cluster_arn(&self.cluster),
            "containers": [],
            "cpu": self.resources.cpu_units.to_string(),
            "createdAt": moment(self.created_at),
            "desiredStatus": self.desired_status(),
            "enableExecuteCommand": false,
            "group": format!("family:{}", self.definition.family),
            "healthStatus": "UNKNOWN",
            "lastStatus": self.status.as_str(),
            "launchType": if self.provider.is_fargate() { "FARGATE" } else { "MANAGED_INSTANCES" },
            "memory": self.resources.memory.to_string(),
            "overrides": *self.overrides,
            "tags": [],
            "taskArn": self.arn,
            "taskDefinitionArn": self.definition.arn(),
            "version": self.version,
        });
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                task[name] = value;
            }
        };
        let of_fargate = |value: Value| self.provider.is_fargate().then_some(value);
        set("ephemeralStorage", of_fargate(json!({ "sizeInGiB": self.resources.disk })));
        // Source: the sample event of a task on Fargate in ECS's "Amazon ECS task state change events".
        let attributes = json!([{ "name": "ecs.cpu-architecture", "value": "x86_64" }]);
        set("attributes", of_fargate(attributes));
        set("platformFamily", of_fargate("Linux".into()));
        set("platformVersion", of_fargate("1.4.0".into()));
        set("startedBy", self.started_by.as_deref().map(Value::from));
        set("pullStartedAt", self.pull_started_at.map(&moment));
        set("pullStoppedAt", self.pull_stopped_at.map(&moment));
        set("startedAt", self.started_at.map(&moment));
        set("stoppingAt", self.stopping_at.map(&moment));
        set("stoppedAt", self.stopped_at.map(&moment));
        set("stopCode", self.stop_code.map(|code| Value::from(code.as_str())));
        set("stoppedReason", self.stopped_reason.as_deref().map(Value::from));
        set("capacityProviderName", self.by_strategy.then(|| Value::from(self.provider.as_str())));
        task["containers"] = Value::from(containers);
        if tags {
            task["tags"] = tags_json(&self.tags);
        }
        task
    }
}

/// The image of all containers, and the digest that its tag stands for, which ECS knows once it is pulled. Source: ECS's
/// `Container`.
pub(super) const IMAGE: &str = "ghcr.io/actions/actions-runner:latest";
const DIGEST: &str = "sha256:4f0a2c61b7d3e85921aa6e0c7f94d18b35c2e6709d8f41b0a3e5c7d2f6981b04";

pub(super) fn tags_json(tags: &BTreeMap<String, String>) -> Value {
    tags.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
}

pub(super) fn cluster_arn(name: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{name}")
}

pub(super) fn task_arn(cluster: &str, id: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/{cluster}/{id}")
}

/// The id at the end of an ARN; anything else is an id already.
pub(super) fn id_of(arn_or_id: &str) -> &str {
    arn_or_id.rsplit('/').next().unwrap_or(arn_or_id)
}

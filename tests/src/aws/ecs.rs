//! The part of ECS that one task per job needs, on Fargate and on a capacity provider of instances: idempotent starts, quotas, lists that lag, tags that a stop
//! deletes, and task events.
//!
//! Sources: the API reference of ECS (`RunTask`, "Ensuring idempotency", "API failure reasons", `ListTasks`,
//! `StopTask`), its service quotas, and the task state change events of EventBridge.

use std::sync::Mutex;
use std::time::Duration;

use hyper::body::Bytes;
use jitgate::clock::Clock;
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{answers, millis, moment};
use crate::wire::{Answer, lock};

mod events;
mod idempotency;
mod limits;
mod reads;
mod refusal;
mod run_task;
mod state;
mod tags;
mod task;
#[cfg(test)]
mod tests;

pub use events::{Started, TaskChange};
pub use limits::{Limit, Rate};
pub use task::{Compatibility, NetworkMode, Provider, Resources, Sidecar, Status, StopCode, Task, TaskDefinition};

use refusal::Refusal;
use state::State;

pub(super) const TARGET: &str = "AmazonEC2ContainerServiceV20141113";

/// How long a stopped task stays visible. Source: `DescribeTasks`, "currently, stopped tasks appear for at least one
/// hour".
pub const STOPPED_VISIBLE: Duration = Duration::from_hours(1);

/// The most tasks in one `DescribeTasks` and in one page of `ListTasks`.
pub const PAGE: usize = 100;

/// How long tasks take.
#[derive(Clone, Debug)]
pub struct Pace {
    /// From `RunTask` to RUNNING; `None` if only [`Ecs::start`] starts tasks.
    pub start: Option<Duration>,
    /// From `StopTask` or a Spot warning to STOPPED, unless the runner exits before.
    pub stop: Duration,
    /// From `RunTask` until lists and descriptions show the task.
    pub appear: Duration,
}

impl Default for Pace {
    /// Everything happens at once.
    fn default() -> Self {
        Self { start: Some(Duration::ZERO), stop: Duration::ZERO, appear: Duration::ZERO }
    }
}

/// The stand-in. Before every call and every read it does what is due by the clock.
pub struct Ecs {
    clock: Clock,
    state: Mutex<State>,
}

impl Ecs {
    /// An ECS without clusters and task definitions.
    pub fn new(clock: Clock) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// Adds a cluster and returns its ARN.
    pub fn add_cluster(&self, name: &str) -> String {
        self.at_now(|state| state.clusters.insert(name.to_owned()));
        task::cluster_arn(name)
    }

    /// Adds a revision of a task definition and returns its ARN.
    pub fn add_task_definition(&self, definition: TaskDefinition) -> String {
        self.at_now(|state| state.add_definition(definition))
    }

    /// Associates the capacity provider `instances` with the clusters: ECS Managed Instances. A limit on its capacity shows as
    /// it does there: ECS accepts the task, and fails it later.
    pub fn add_instances(&self) {
        self.at_now(|state| state.has_instances = true);
    }

    /// The caller may pass this role to tasks. Those of the task definition may be passed anyhow.
    pub fn allow_role(&self, arn: &str) {
        self.at_now(|state| state.allowed_roles.insert(arn.to_owned()));
    }

    /// Removes a subnet: `RunTask` refuses it with EC2's message.
    pub fn forget_subnet(&self, subnet: &str) {
        self.at_now(|state| state.lost_subnets.insert(subnet.to_owned()));
    }

    /// Sets the pace of tasks started from now on.
    pub fn set_pace(&self, pace: Pace) {
        self.at_now(|state| state.pace = pace);
    }

    /// Sets the limits of On-Demand or Spot capacity.
    pub fn set_limit(&self, provider: Provider, limit: Limit) {
        self.at_now(|state| state.limits[provider.index()] = limit);
    }

    /// From now on this share of launches finds no capacity, at random by the seed: AWS has a little less than is asked for.
    pub fn set_shortage(&self, provider: Provider, share: f64, seed: u64) {
        self.at_now(|state| state.shortages[provider.index()] = Some(limits::Shortage::new(share, seed)));
    }

    /// Sets the rate limit of an operation; calls beyond it get a `ThrottlingException`.
    pub fn set_rate(&self, operation: &str, rate: Rate) {
        self.at_now(|state| state.rates.set(operation, rate));
    }

    /// The next valid `RunTask` places no task and reports that in `failures` with HTTP 200. Its client token stays
    /// unused.
    pub fn refuse_next(&self, reason: &str) {
        self.at_now(|state| state.refusals.push_back(reason.to_owned()));
    }

    /// The next task fails: it stops with `TaskFailedToStart` instead of running.
    pub fn fail_next_start(&self, reason: &str) {
        self.at_now(|state| state.bad_starts.push_back(reason.to_owned()));
    }

    /// From now on all tasks fail for this reason, or none.
    pub fn fail_starts(&self, reason: Option<&str>) {
        self.at_now(|state| state.outage = reason.map(str::to_owned));
    }

    /// From now on all tasks of this family fail for this reason, or none.
    pub fn fail_starts_of(&self, family: &str, reason: Option<&str>) {
        self.at_now(|state| match reason {
            Some(reason) => state.outages_of.insert(family.to_owned(), reason.to_owned()),
            None => state.outages_of.remove(family),
        });
    }

    /// Starts a task that is being provisioned; does nothing to any other.
    pub fn start(&self, task: &str) {
        self.at_now(|state| state.start(task));
    }

    /// The runner of a task exits: STOPPED at once with `EssentialContainerExited`.
    pub fn exit(&self, task: &str, exit_code: i32) {
        self.at_now(|state| state.exit(task, exit_code));
    }

    /// Stops a task at once with any code and reason, as from outside jitgate.
    pub fn stop(&self, task: &str, code: StopCode, reason: &str) {
        self.at_now(|state| state.stop_at_once(task, code, reason));
    }

    /// AWS reclaims Spot capacity: the task is told to stop and has the pace's `stop` left.
    pub fn reclaim_spot(&self, task: &str) {
        self.at_now(|state| state.begin_stop(task, StopCode::SpotInterruption, "Your Spot Task was interrupted."));
    }

    /// All tasks ever started, in order.
    pub fn tasks(&self) -> Vec<Task> {
        self.at_now(|state| state.tasks.clone())
    }

    /// The tasks that have not stopped yet, in order.
    pub fn live_tasks(&self) -> Vec<Task> {
        self.at_now(|state| state.tasks.iter().filter(|task| task.status != Status::Stopped).cloned().collect())
    }

    /// One task, by its ARN or id.
    pub fn task(&self, task: &str) -> Option<Task> {
        self.at_now(|state| state.find(task).map(|index| state.tasks[index].clone()))
    }

    /// The tasks with this `startedBy`, in order.
    pub fn started_by(&self, started_by: &str) -> Vec<Task> {
        self.at_now(|state| state.started_by(started_by).map(|index| state.tasks[index].clone()).collect())
    }

    /// A channel with all changes from now on, in order, from which runner stand-ins learn of their tasks.
    pub fn changes(&self) -> UnboundedReceiver<TaskChange> {
        let (sender, receiver) = unbounded_channel();
        self.at_now(|state| state.listeners.push(sender));
        receiver
    }

    /// The "ECS Task State Change" events since the last call, as EventBridge delivers them: with the overrides, and
    /// without tags.
    pub fn take_events(&self) -> Vec<Value> {
        self.at_now(State::take_events)
    }

    /// When the next task starts or stops by itself. A test may turn its clock that far without missing anything.
    pub fn next_due_at(&self) -> Option<OffsetDateTime> {
        self.at_now(|state| state.next_due_at()).map(moment)
    }

    /// Does what is due by the clock.
    pub fn settle(&self) {
        self.at_now(|_| ());
    }

    pub(super) fn answer(&self, operation: &str, body: &Bytes) -> Answer {
        self.at_now(|state| {
            if !state.rates.admit(operation, state.now) {
                return answers::throttling();
            }
            match operation {
                "RunTask" => read(body).and_then(|input| state.run_task(&input, body)),
                "StopTask" => read(body).and_then(|input| state.stop_task(&input)),
                "ListTasks" => read(body).and_then(|input| state.list_tasks(&input)),
                "DescribeTasks" => read(body).and_then(|input| state.describe_tasks(&input)),
                "TagResource" => read(body).and_then(|input| state.tag_resource(input)),
                "UntagResource" => read(body).and_then(|input| state.untag_resource(&input)),
                "ListTagsForResource" => read(body).and_then(|input| state.list_tags(&input)),
                _ => Err(Refusal::new("UnknownOperationException", operation)),
            }
            .unwrap_or_else(|refusal| refusal.to_answer())
        })
    }

    fn at_now<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let now = millis(self.clock.now());
        let mut state = lock(&self.state);
        state.settle(now);
        let outcome = act(&mut state);
        // What has no delay happens before the caller can ask.
        state.settle(now);
        outcome
    }
}

fn in_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn read<'a, T: Deserialize<'a>>(body: &'a Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|cause| Refusal::new("SerializationException", cause.to_string()))
}

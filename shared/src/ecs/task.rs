//! A task as ECS shows it, reduced to what jitgate needs.

use std::collections::HashMap;
use std::fmt;

use aws_sdk_ecs::primitives::DateTime;
use aws_sdk_ecs::types::{Container, ContainerOverride, KeyValuePair, Task, TaskOverride};
use time::OffsetDateTime;

use super::run_error::speaks_of_capacity;
use crate::job::{Message, RunnerId};

/// Carries the job's message on the task. Overrides outlive the task's stop, tags do not, so a stopped task still says
/// which job it was for.
pub const JOB_VARIABLE: &str = "JITGATE_JOB";

/// The exit code of a runner whose version GitHub turns away, if
/// [`VERSION_VARIABLE`](super::run::VERSION_VARIABLE) is set. Source: `actions/runner`, `run.sh`.
pub const VERSION_REFUSED: i32 = 7;

/// Tags that lead from a task to its job and its registration.
pub mod tag {
    /// The job's id.
    pub const JOB: &str = "jitgate:job-id";
    /// The launch's number.
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
    /// When the cleaner first saw the registration or its place gone, in seconds since the Unix epoch.
    pub const GONE_SINCE: &str = "jitgate:gone-since";
    /// When the cleaner first saw the runner busy after it had been idle. It stays: a runner has one job in its life.
    pub const BUSY_SINCE: &str = "jitgate:busy-since";
    /// When the cleaner first saw the runner offline although it had connected, in seconds since the Unix epoch.
    pub const OFFLINE_SINCE: &str = "jitgate:offline-since";
    /// Since when the idle runner is kept to show whether GitHub gives jobs to runners again, in seconds since the Unix epoch.
    pub const PROBE_SINCE: &str = "jitgate:probe-since";
}

/// Whether the runner ended as it does after a job. The job may have been another one than its own. A runner without an exit
/// code never ran: an essential sidecar ended before it.
pub fn ended_by_itself(stop_code: Option<&str>, exit_code: Option<i32>) -> bool {
    stop_code == Some("EssentialContainerExited") && exit_code == Some(0)
}

/// Our reason for stopping a task whose runner had no job for as long as its class permits.
pub const IDLE: &str = "jitgate: its runner has no job";

/// Our reason for stopping a task whose runner did not come online within its class's `start_minutes`.
pub const NEVER_CONNECTED: &str = "jitgate: its runner never connected";

/// What ECS says of a task that failed to start for a reason of a container's.
const FAILED_TO_START: &str = "Task failed to start";

/// What ECS says of a task one of whose containers ended.
pub const CONTAINER_EXITED: &str = "Essential container in task exited";

/// ECS's words for a stop. Some only say that there was one; then those about the containers, the runner's first, say why.
pub fn words_of_stop<'a>(task: Option<&'a str>, mut containers: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    match task {
        Some(FAILED_TO_START | CONTAINER_EXITED) => containers.find(|words| !words.is_empty()).or(task),
        _ => task,
    }
}

/// A task's ARN.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskArn(pub String);

impl fmt::Display for TaskArn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A task. ECS deletes its tags when it is stopped, and with them the fields that come from tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskView {
    /// Its ARN.
    pub arn: TaskArn,
    /// Whether it has stopped or is stopping.
    pub is_over: bool,
    /// The launch token, for a task of ours.
    pub started_by: String,
    /// When ECS accepted the launch.
    pub created_at: Option<OffsetDateTime>,
    /// When its containers began to run.
    pub started_at: Option<OffsetDateTime>,
    /// The registration that it runs; from a tag.
    pub runner_id: Option<RunnerId>,
    /// The registration's name; from a tag.
    pub runner_name: Option<String>,
    /// `owner/name` of the job's repository; from a tag.
    pub repository: Option<String>,
    /// The class that it was made from; from a tag.
    pub class: Option<String>,
    /// When the cleaner first saw its runner idle; from a tag.
    pub idle_since: Option<OffsetDateTime>,
    /// When the cleaner first saw its runner busy after it had been idle; from a tag.
    pub busy_since: Option<OffsetDateTime>,
    /// When the cleaner first saw its runner offline after it had connected; from a tag.
    pub offline_since: Option<OffsetDateTime>,
    /// Since when its idle runner is kept as a probe; from a tag.
    pub probe_since: Option<OffsetDateTime>,
    /// When the cleaner first saw its registration or its place gone; from a tag.
    pub gone_since: Option<OffsetDateTime>,
    /// The job's message; from the overrides, which outlive the stop.
    pub message: Option<Message>,
    /// ECS's code for the stop: `TaskFailedToStart`, `SpotInterruption`, …
    pub stop_code: Option<String>,
    /// The exit code of the class's own container, the one that carries the message; absent if it never ran. Sidecars and
    /// agents that AWS adds to tasks end as they like.
    pub exit_code: Option<i32>,
    /// The image of that container, with the beginning of the digest that its tag stood for.
    pub image: Option<String>,
    /// ECS's [words for the stop](words_of_stop).
    pub stopped_reason: Option<String>,
    /// Whether it never came onto an instance of its capacity provider. ECS waits for one for half an hour, and then says no more than
    /// that the task failed to start; or the cleaner stops it before. Source: ECS's `PROVISIONING` state; the half hour, users'
    /// reports.
    pub is_unplaced: bool,
    /// When it stopped.
    pub stopped_at: Option<OffsetDateTime>,
}

impl TaskView {
    /// Whether AWS took the capacity away: Spot was interrupted, or there turned out to be none after `RunTask` had accepted the
    /// launch. Sources: ECS's "Fargate Spot termination notices", whose example had another stop code until 2023, and "API failure
    /// reasons".
    pub fn lost_capacity(&self) -> bool {
        self.stop_code.as_deref() == Some("SpotInterruption")
            || self.says("Spot Task was interrupted")
            || self.never_got_capacity()
    }

    /// Whether it was stopped because its runner did not come online.
    pub fn never_connected(&self) -> bool {
        self.says(NEVER_CONNECTED)
    }

    fn says(&self, words: &str) -> bool {
        self.stopped_reason.as_deref().is_some_and(|reason| reason.contains(words))
    }

    /// Whether there turned out to be no capacity after `RunTask` had accepted the launch. On a capacity provider of instances,
    /// that is the usual way to hear of it.
    pub fn never_got_capacity(&self) -> bool {
        let Some(reason) = self.stopped_reason.as_deref() else { return false };
        let is_unplaced = self.is_unplaced && (reason == FAILED_TO_START || self.never_connected());
        is_unplaced || self.stop_code.as_deref() == Some("TaskFailedToStart") && speaks_of_capacity(reason)
    }

    /// Which placement the next launch of its job tries first: the next one if it lost this one's capacity, the same one
    /// otherwise. `None` if the task does not say which it was started on.
    pub fn next_placement(&self) -> Option<u8> {
        let placement = self.message.as_ref()?.progress.placement;
        Some(if self.lost_capacity() { placement.saturating_add(1) } else { placement })
    }

    /// `None` for a task without an ARN, which ECS never sends.
    pub(super) fn of(task: Task) -> Option<Self> {
        let tags: HashMap<String, String> =
            task.tags.unwrap_or_default().into_iter().filter_map(|tag| Some((tag.key?, tag.value?))).collect();
        let over = |status: Option<String>| status.is_some_and(|status| status == "STOPPED");
        let moment = |at: Option<DateTime>| at.and_then(|at| OffsetDateTime::from_unix_timestamp(at.secs()).ok());
        let noted = |key: &str| OffsetDateTime::from_unix_timestamp(tags.get(key)?.parse().ok()?).ok();
        let carrier = task.overrides.as_ref().and_then(carrier_of);
        let message = carrier.and_then(|(_, body)| Message::parse(body).ok());
        let own_container = carrier.and_then(|(container, _)| container);
        let containers = task.containers.unwrap_or_default();
        let container = containers.iter().find(|each| each.name() == own_container);
        let exit_code = container.and_then(Container::exit_code);
        let words = container.into_iter().chain(&containers).filter_map(Container::reason);
        let is_on_fargate = task.capacity_provider_name.as_deref().is_none_or(|name| name.starts_with("FARGATE"));
        Some(Self {
            arn: TaskArn(task.task_arn?),
            is_over: over(task.desired_status) || over(task.last_status),
            started_by: task.started_by.unwrap_or_default(),
            created_at: moment(task.created_at),
            started_at: moment(task.started_at),
            offline_since: noted(tag::OFFLINE_SINCE),
            probe_since: noted(tag::PROBE_SINCE),
            class: tags.get(tag::CLASS).cloned(),
            idle_since: noted(tag::IDLE_SINCE),
            busy_since: noted(tag::BUSY_SINCE),
            gone_since: noted(tag::GONE_SINCE),
            message,
            exit_code,
            image: container.and_then(image_of),
            stop_code: task.stop_code.map(|code| code.as_str().to_owned()),
            stopped_at: moment(task.stopped_at),
            repository: tags.get(tag::REPOSITORY).cloned(),
            runner_name: tags.get(tag::RUNNER_NAME).cloned(),
            runner_id: tags.get(tag::RUNNER_ID).and_then(|id| id.parse().ok()).map(RunnerId),
            stopped_reason: words_of_stop(task.stopped_reason.as_deref(), words).map(str::to_owned),
            is_unplaced: !is_on_fargate && task.pull_started_at.is_none() && task.started_at.is_none(),
        })
    }
}

/// An image's tag may stand for another image tomorrow. Twelve digits tell images apart, as with Docker's short ids.
fn image_of(container: &Container) -> Option<String> {
    let image = container.image()?;
    let digest = container.image_digest().filter(|digest| !image.contains(*digest));
    let short = |digest: &str| digest.chars().take("sha256:".len() + 12).collect::<String>();
    Some(digest.map_or_else(|| image.to_owned(), |digest| format!("{image}@{}", short(digest))))
}

/// The container that carries the message, and the message's body. It is the container that the class named when the task was
/// started, whatever the class says today.
fn carrier_of(overrides: &TaskOverride) -> Option<(Option<&str>, &str)> {
    overrides.container_overrides().iter().find_map(|container: &ContainerOverride| {
        let variables = container.environment().iter();
        let body = variables.filter(|variable| variable.name() == Some(JOB_VARIABLE)).find_map(KeyValuePair::value)?;
        Some((container.name(), body))
    })
}

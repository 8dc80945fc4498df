//! Where a task's start went, and how it ended: one log line and three metrics for each stop.
//!
//! Everything stands in ECS's event, so this costs no call. Source: ECS's "Amazon ECS task state change events".

use jitgate::ecs::{JOB_VARIABLE, ended_by_itself, words_of_stop};
use jitgate::job::{Job, Message};
use jitgate::metrics::{Metrics, Unit};
use jitgate::names::LaunchToken;
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::context::Pass;

/// What ECS's event says of a task that has stopped. Intervals are absent for what did not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    arn: String,
    started_by: String,
    /// From the job's message, which stands in the overrides. The rest of them must not reach the log: it contains the JIT
    /// config.
    job: Option<Job>,
    /// CPU units.
    cpu: Option<String>,
    /// In MiB.
    memory: Option<String>,
    /// In GiB, on Fargate.
    disk: Option<u64>,
    /// As ECS names it: `x86_64` or `arm64`.
    architecture: Option<String>,
    capacity: Option<String>,
    stop_code: Option<String>,
    /// ECS's words for the stop, which it shows for an hour only.
    stopped_reason: Option<String>,
    /// The runner's container's.
    exit_code: Option<i32>,
    /// From ECS's acceptance until the image's pull began: capacity, network.
    start_wait: Option<Duration>,
    image_pull: Option<Duration>,
    /// From the pull's end until the container ran.
    start_rest: Option<Duration>,
    /// From the container's start until the task was told to stop, or stopped by itself.
    ran: Option<Duration>,
    /// What Fargate bills: from the image's pull on until the task has stopped.
    billed: Option<Duration>,
}

impl Ended {
    /// From the event's `detail`.
    pub(crate) fn of(task: &Value) -> Self {
        let text = |key: &str| task[key].as_str().map(str::to_owned);
        let moment = |key: &str| OffsetDateTime::parse(task[key].as_str()?, &Rfc3339).ok();
        let between = |from: &str, to: &str| Some(moment(to)? - moment(from)?);
        let (container, message) = carrier_of(task).unzip();
        let message = message.and_then(|message| Message::parse(message.as_str()?).ok());
        let own = items(&task["containers"]).find(|each| Some(&each["name"]) == container);
        let exit_code = own.and_then(|own| own["exitCode"].as_i64());
        let words = own.into_iter().chain(items(&task["containers"])).filter_map(|each| each["reason"].as_str());
        Self {
            arn: text("taskArn").unwrap_or_default(),
            started_by: text("startedBy").unwrap_or_default(),
            job: message.map(|message| message.job),
            cpu: text("cpu"),
            memory: text("memory"),
            disk: task["ephemeralStorage"]["sizeInGiB"].as_u64(),
            architecture: architecture_of(task),
            capacity: text("capacityProviderName").or_else(|| text("launchType")),
            stop_code: text("stopCode"),
            stopped_reason: words_of_stop(task["stoppedReason"].as_str(), words).map(str::to_owned),
            exit_code: exit_code.and_then(|code| code.try_into().ok()),
            start_wait: between("createdAt", "pullStartedAt"),
            image_pull: between("pullStartedAt", "pullStoppedAt"),
            start_rest: between("pullStoppedAt", "startedAt"),
            ran: between("startedAt", "stoppingAt").or_else(|| between("startedAt", "stoppedAt")),
            billed: between("pullStartedAt", "stoppedAt"),
        }
    }

    /// Whether the runner ended as it does after a job.
    pub(crate) fn by_itself(&self) -> bool {
        ended_by_itself(self.stop_code.as_deref(), self.exit_code)
    }

    /// Writes the log line and the metrics, for a task of this deployment.
    pub(crate) fn tell(&self, pass: Pass<'_>) {
        let prefix = &pass.config.name_prefix;
        let Some((job, attempt)) = LaunchToken::parse(prefix, &self.started_by) else { return };
        let seconds = |interval: Option<Duration>| interval.map(Duration::as_seconds_f64);
        let of = self.job.as_ref();
        tracing::info!(
            job.id = job.0,
            job.attempt = attempt.0,
            class = of.map(|of| of.class.as_str()),
            // A warm runner of an organisation belongs to no repository.
            repository = of.filter(|of| !of.repository.is_empty()).map(Job::full_name),
            public = of.map(|of| of.is_public),
            workflow = of.and_then(|of| of.workflow.as_deref()),
            task.arn = self.arn,
            cpu = self.cpu,
            memory = self.memory,
            disk = self.disk,
            architecture = self.architecture,
            capacity = self.capacity,
            stop_code = self.stop_code,
            stopped_reason = self.stopped_reason,
            exit_code = self.exit_code,
            start_wait_seconds = seconds(self.start_wait),
            image_pull_seconds = seconds(self.image_pull),
            start_rest_seconds = seconds(self.start_rest),
            ran_seconds = seconds(self.ran),
            billed_seconds = seconds(self.billed),
            "task ended"
        );
        let mut metrics = Metrics::new(prefix, "cleaner");
        for (name, interval) in
            [("StartWait", self.start_wait), ("ImagePull", self.image_pull), ("StartRest", self.start_rest)]
        {
            if let Some(interval) = seconds(interval) {
                metrics.put(name, Unit::Seconds, interval);
            }
        }
        metrics.write(pass.clock.now());
    }
}

/// The name of the runner's container, and the message that it carries.
fn carrier_of(task: &Value) -> Option<(&Value, &Value)> {
    items(&task["overrides"]["containerOverrides"]).find_map(|container| {
        let variable = items(&container["environment"]).find(|variable| variable["name"] == JOB_VARIABLE)?;
        Some((&container["name"], &variable["value"]))
    })
}

/// Source: the attributes of a task on Fargate in ECS's "Amazon ECS task state change events".
fn architecture_of(task: &Value) -> Option<String> {
    let own = items(&task["attributes"]).find(|attribute| attribute["name"] == "ecs.cpu-architecture")?;
    own["value"].as_str().map(str::to_owned)
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The example of ECS's documentation, with the fields of a stopped task.
    fn task() -> Value {
        json!({
            "taskArn": "arn:aws:ecs:us-west-2:111122223333:task/runners/b99d40b3",
            "startedBy": "jit-4711-1", "cpu": "1024", "memory": "2048", "ephemeralStorage": { "sizeInGiB": 50 },
            "attributes": [{ "name": "ecs.cpu-architecture", "value": "arm64" }],
            "launchType": "FARGATE", "capacityProviderName": "FARGATE_SPOT", "stopCode": "EssentialContainerExited",
            "containers": [
                { "exitCode": 137, "lastStatus": "STOPPED", "name": "proxy" },
                { "exitCode": 0, "lastStatus": "STOPPED", "name": "runner" },
            ],
            "overrides": { "containerOverrides": [
                { "name": "proxy" },
                { "name": "runner", "environment": [{ "name": "JITGATE_JOB", "value": "{}" }] },
            ] },
            "createdAt": "2026-11-01T12:00:00.103Z", "pullStartedAt": "2026-11-01T12:00:11.103Z",
            "pullStoppedAt": "2026-11-01T12:00:41.603Z", "startedAt": "2026-11-01T12:00:43.103Z",
            "stoppingAt": "2026-11-01T12:10:43.103Z", "stoppedAt": "2026-11-01T12:11:00Z",
            "stoppedReason": "Essential container in task exited",
        })
    }

    #[test]
    fn the_intervals_are_those_between_ecs_moments() {
        let ended = Ended::of(&task());
        assert_eq!(ended.start_wait, Some(Duration::seconds(11)));
        assert_eq!(ended.image_pull, Some(Duration::milliseconds(30_500)));
        assert_eq!(ended.start_rest, Some(Duration::milliseconds(1500)));
        assert_eq!(ended.ran, Some(Duration::minutes(10)));
        assert_eq!(ended.billed, Some(Duration::milliseconds(648_897)), "from the pull until it has stopped");
        assert_eq!((ended.disk, ended.architecture.as_deref()), (Some(50), Some("arm64")));
        assert_eq!(ended.capacity.as_deref(), Some("FARGATE_SPOT"));
        assert_eq!(ended.stopped_reason.as_deref(), Some("Essential container in task exited"));
    }

    #[test]
    fn a_task_ended_by_itself_if_its_runner_did_whatever_its_other_containers_did() {
        let ended = Ended::of(&task());
        assert_eq!((ended.exit_code, ended.by_itself()), (Some(0), true));
        let mut killed = task();
        killed["containers"][1]["exitCode"] = 137.into();
        let ended = Ended::of(&killed);
        assert_eq!((ended.exit_code, ended.by_itself()), (Some(137), false));
        killed["containers"][0]["exitCode"] = 0.into();
        assert!(!Ended::of(&killed).by_itself());
    }

    #[test]
    fn what_did_not_happen_is_absent() {
        let mut task = task();
        for moment in ["pullStoppedAt", "startedAt", "capacityProviderName", "containers"] {
            task[moment].take();
        }
        let ended = Ended::of(&task);
        assert_eq!(ended.start_wait, Some(Duration::seconds(11)));
        assert_eq!((ended.image_pull, ended.start_rest, ended.ran), (None, None, None));
        assert_eq!((ended.capacity.as_deref(), ended.exit_code, &ended.job), (Some("FARGATE"), None, &None));
        assert_eq!(Ended::of(&json!({})).billed, None);
    }
}

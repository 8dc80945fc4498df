//! A task that has ended, from the cleaner's log line about it.

use std::collections::HashSet;

use jitgate::classes::{Architecture, Cpu, Disk, Memory, TaskSize};
use jitgate::ecs::ended_by_itself;
use jitgate::prices::LEAST_SECONDS;
use serde::{Deserialize, Deserializer};
use time::OffsetDateTime;

/// The line's message.
pub(super) const MESSAGE: &str = "task ended";

/// What the line says. Everything that may be absent, an earlier version did not log, or ECS did not say.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Task {
    #[serde(with = "time::serde::rfc3339", rename = "timestamp")]
    pub(super) ended_at: OffsetDateTime,
    message: String,
    #[serde(rename = "task.arn")]
    arn: String,
    #[serde(default)]
    pub(super) class: Option<String>,
    #[serde(default)]
    pub(super) repository: Option<String>,
    #[serde(default)]
    pub(super) workflow: Option<String>,
    /// Absent if the cleaner of an earlier version wrote the line.
    #[serde(default)]
    pub(super) public: Option<bool>,
    #[serde(default, deserialize_with = "number")]
    cpu: Option<u32>,
    #[serde(default, deserialize_with = "number")]
    memory: Option<u32>,
    #[serde(default)]
    disk: Option<u32>,
    #[serde(default)]
    architecture: Option<String>,
    #[serde(default)]
    capacity: Option<String>,
    #[serde(default)]
    stop_code: Option<String>,
    #[serde(default)]
    exit_code: Option<i32>,
    #[serde(default)]
    image_pull_seconds: Option<f64>,
    #[serde(default)]
    start_rest_seconds: Option<f64>,
    #[serde(default)]
    ran_seconds: Option<f64>,
    #[serde(default)]
    billed_seconds: Option<f64>,
}

/// What a task runs on, as far as its price goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Capacity {
    OnDemand,
    Spot,
    Provider,
}

impl Task {
    /// Reads a line; `None` for any other.
    fn read(line: &str) -> Option<Self> {
        let task: Self = serde_json::from_str(line).ok()?;
        (task.message == MESSAGE).then_some(task)
    }

    /// Its size, unless ECS did not tell it.
    pub(super) fn size(&self) -> Option<TaskSize> {
        Some(TaskSize { cpu: Cpu(self.cpu?), memory: Memory(self.memory?) })
    }

    /// Its disk, where it is on Fargate.
    pub(super) fn disk(&self) -> Option<Disk> {
        self.disk.map(Disk)
    }

    /// Its architecture, if the line has it.
    pub(super) fn architecture(&self) -> Option<Architecture> {
        self.architecture.as_ref()?.parse().ok()
    }

    /// What it ran on.
    pub(super) fn capacity(&self) -> Capacity {
        match self.capacity.as_deref() {
            Some("FARGATE_SPOT") => Capacity::Spot,
            None | Some("FARGATE") => Capacity::OnDemand,
            Some(_) => Capacity::Provider,
        }
    }

    /// What Fargate bills, in seconds. Nothing before the pull of the image, so nothing for a task that did not come so far.
    pub(super) fn billed(&self) -> f64 {
        let parts = [self.image_pull_seconds, self.start_rest_seconds, self.ran_seconds];
        let seconds = self.billed_seconds.unwrap_or_else(|| parts.into_iter().flatten().sum());
        if seconds > 0.0 { seconds.ceil().max(LEAST_SECONDS) } else { 0.0 }
    }

    /// How many minutes its job took, if its runner did one.
    pub(super) fn job_minutes(&self) -> Option<f64> {
        let ran = self.ran_seconds.filter(|_| ended_by_itself(self.stop_code.as_deref(), self.exit_code))?;
        Some(ran.max(0.0) / 60.0)
    }
}

/// The tasks of these lines, each once: ECS may announce an end twice, and the cleaner logs what it hears.
pub(super) fn read(lines: &[String]) -> Vec<Task> {
    let mut seen = HashSet::new();
    let tasks = lines.iter().filter_map(|line| Task::read(line));
    tasks.filter(|task| seen.insert(task.arn.clone())).collect()
}

/// ECS writes numbers as texts.
fn number<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u32>, D::Error> {
    let text: Option<String> = Option::deserialize(value)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_of_an_earlier_version_is_read_as_well_as_it_can_be() {
        let line = json!({
            "timestamp": "2026-11-01T12:00:00Z", "level": "INFO", "message": "task ended", "job.id": 1, "job.attempt": 1,
            "class": "default", "task.arn": "a", "cpu": "1024", "memory": "4096", "capacity": "FARGATE",
            "stop_code": "EssentialContainerExited", "exit_code": 0, "start_wait_seconds": 11.0,
            "image_pull_seconds": 30.5, "start_rest_seconds": 1.5, "ran_seconds": 600.0,
        });
        let [task] = &read(&[line.to_string(), line.to_string()])[..] else { panic!("one task, told twice") };
        assert!((task.billed() - 632.0).abs() < 1e-9 && task.job_minutes() == Some(10.0), "{task:?}");
        assert_eq!((task.public, task.architecture(), task.capacity()), (None, None, Capacity::OnDemand));
        let size = task.size().expect("a size");
        assert_eq!((size.cpu, size.memory, task.disk()), (Cpu(1024), Memory(4096), None));
    }

    #[test]
    fn what_never_pulled_its_image_is_not_billed_and_what_did_is_for_a_minute_at_least() {
        let billed = |fields: serde_json::Value| {
            let mut line = json!({ "timestamp": "2026-11-01T12:00:00Z", "message": "task ended", "task.arn": "a" });
            line.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
            read(&[line.to_string()])[0].billed()
        };
        for (fields, seconds) in [
            (json!({ "billed_seconds": null }), 0.0),
            (json!({ "billed_seconds": 3.2 }), 60.0),
            (json!({ "billed_seconds": 60.2 }), 61.0),
        ] {
            assert!((billed(fields.clone()) - seconds).abs() < 1e-9, "{fields}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_passed_over(line in ".*", cpu in ".*", number: f64, architecture in ".*") {
            read(&[line]);
            let line = json!({
                "timestamp": "2026-11-01T12:00:00Z", "message": "task ended", "task.arn": "a", "cpu": cpu,
                "architecture": architecture, "ran_seconds": number, "exit_code": 0,
                "stop_code": "EssentialContainerExited",
            });
            for task in read(&[line.to_string()]) {
                prop_assert!(task.billed() >= 0.0 && task.job_minutes().is_none_or(|minutes| minutes >= 0.0));
            }
        }
    }
}

//! What invokes the cleaner.

use jitgate::ecs::TaskArn;
use serde::Deserialize;
use serde_json::Value;

/// An invocation's payload.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Value")]
pub enum Event {
    /// The schedule, or a person: a pass over everything.
    Schedule,
    /// A task stopped otherwise than after a job: a pass over its job.
    Stopped(TaskArn),
    /// A task has come further, or ended as it does after a job. There is one such event for each job, and acting on it would
    /// cost a call each, so this is left to the schedule.
    Progress,
}

impl From<Value> for Event {
    fn from(event: Value) -> Self {
        if event["detail-type"] != "ECS Task State Change" {
            return Self::Schedule;
        }
        let task = &event["detail"];
        let mut containers = task["containers"].as_array().into_iter().flatten();
        let is_ordinary =
            task["stopCode"] == "EssentialContainerExited" && containers.all(|container| container["exitCode"] == 0);
        match (task["lastStatus"].as_str(), task["taskArn"].as_str()) {
            (Some("STOPPED"), Some(arn)) if !is_ordinary => Self::Stopped(TaskArn(arn.to_owned())),
            _ => Self::Progress,
        }
    }
}

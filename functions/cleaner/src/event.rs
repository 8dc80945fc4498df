//! What invokes the cleaner.

use jitgate::ecs::{JOB_VARIABLE, TaskArn};
use serde::Deserialize;
use serde_json::Value;

use crate::ended::Ended;

/// An invocation's payload.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Value")]
pub enum Event {
    /// The schedule, or a person: a pass over everything.
    Schedule,
    /// A task stopped otherwise than after a job: a pass over its job.
    Stopped(TaskArn, Box<Ended>),
    /// A task ended as it does after a job. There is one such event for each job, and acting on it would cost a call each,
    /// so this is left to the schedule.
    Done(Box<Ended>),
    /// A task has come further.
    Progress,
}

impl From<Value> for Event {
    fn from(event: Value) -> Self {
        if event["detail-type"] != "ECS Task State Change" {
            return Self::Schedule;
        }
        let task = &event["detail"];
        match (task["lastStatus"].as_str(), task["taskArn"].as_str()) {
            (Some("STOPPED"), Some(_)) if ended_by_itself(task) => Self::Done(Box::new(Ended::of(task))),
            (Some("STOPPED"), Some(arn)) => Self::Stopped(TaskArn(arn.to_owned()), Box::new(Ended::of(task))),
            _ => Self::Progress,
        }
    }
}

/// The same rule as [`crate::plan::ended_by_itself`], for an event: only the container that carries the message counts.
fn ended_by_itself(task: &Value) -> bool {
    fn items(list: &Value) -> impl Iterator<Item = &Value> {
        list.as_array().into_iter().flatten()
    }
    let carries = |container: &&Value| items(&container["environment"]).any(|each| each["name"] == JOB_VARIABLE);
    let own = items(&task["overrides"]["containerOverrides"]).find(carries).map(|container| &container["name"]);
    let ended_well = |own: &Value| items(&task["containers"]).any(|each| each["name"] == *own && each["exitCode"] == 0);
    task["stopCode"] == "EssentialContainerExited" && own.is_some_and(ended_well)
}

//! What invokes the cleaner.

use jitgate::ecs::TaskArn;
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
        let (Some("STOPPED"), Some(arn)) = (task["lastStatus"].as_str(), task["taskArn"].as_str()) else {
            return Self::Progress;
        };
        let ended = Box::new(Ended::of(task));
        if ended.by_itself() { Self::Done(ended) } else { Self::Stopped(TaskArn(arn.to_owned()), ended) }
    }
}

//! A task's changes: for runner stand-ins over a channel, and as EventBridge's events.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::task::{StopCode, Task};
use crate::aws::{ACCOUNT, REGION, moment};

/// A task whose container was started.
#[derive(Clone, Debug)]
pub struct Started {
    /// Its ARN.
    pub task: String,
    /// Its `startedBy`.
    pub started_by: Option<String>,
    /// The container's environment from the request's overrides, such as `ACTIONS_RUNNER_INPUT_JITCONFIG`.
    pub environment: BTreeMap<String, String>,
}

/// What happened to a task's container.
#[derive(Clone, Debug)]
pub enum TaskChange {
    /// Its container was started.
    Running(Started),
    /// Its container got SIGTERM.
    Stopping {
        /// The task's ARN.
        task: String,
        /// Why.
        code: StopCode,
    },
    /// Its container ended by itself, was killed, or never ran.
    Stopped {
        /// The task's ARN.
        task: String,
    },
}

/// A change of a task, for EventBridge.
#[derive(Debug)]
pub(super) struct StateChange {
    pub(super) at: i64,
    pub(super) task: Task,
}

impl StateChange {
    pub(super) fn to_event(&self) -> Value {
        let Self { at, task } = self;
        let mut detail = task.to_json(|at| Value::from(rfc3339(at)), false);
        let members = detail.as_object_mut().expect("a task is a JSON object");
        members.remove("tags");
        members.insert("updatedAt".to_owned(), Value::from(rfc3339(*at)));
        json!({
            "version": "0",
            "id": format!("{:08x}-0000-4000-8000-{:.12}", task.version, task.id()),
            "detail-type": "ECS Task State Change",
            "source": "aws.ecs",
            "account": ACCOUNT,
            "time": rfc3339(at / 1000 * 1000),
            "region": REGION,
            "resources": [task.arn],
            "detail": detail,
        })
    }
}

fn rfc3339(millis: i64) -> String {
    moment(millis).format(&Rfc3339).expect("a moment of this century")
}

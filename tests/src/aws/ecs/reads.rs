//! Lists, descriptions and tags.

use std::ops::Bound;

use serde::Deserialize;
use serde_json::{Value, json};

use super::PAGE;
use super::refusal::{Refusal, invalid_parameter};
use super::state::State;
use super::tags::{Tag, checked_tags};
use super::task::{id_of, tags_json, task_arn};
use crate::aws::answers;
use crate::wire::Answer;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListTasks {
    cluster: Option<String>,
    family: Option<String>,
    started_by: Option<String>,
    service_name: Option<String>,
    container_instance: Option<String>,
    desired_status: Option<String>,
    launch_type: Option<String>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct DescribeTasks {
    cluster: Option<String>,
    #[serde(default)]
    tasks: Vec<String>,
    #[serde(default)]
    include: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TagResource {
    resource_arn: String,
    tags: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UntagResource {
    resource_arn: String,
    tag_keys: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListTagsForResource {
    resource_arn: String,
}

impl State {
    /// Whether ECS still remembers a task.
    pub(super) fn is_remembered(&self, index: usize) -> bool {
        self.wanted.contains(&index) || self.ended.contains(&index)
    }

    /// Whether lists and descriptions show a task: it has appeared and is still remembered.
    fn is_visible(&self, index: usize) -> bool {
        self.tasks[index].visible_at <= self.now && self.is_remembered(index)
    }

    pub(super) fn list_tasks(&mut self, input: &ListTasks) -> Result<Answer, Refusal> {
        let cluster = self.cluster(input.cluster.as_deref())?;
        let others = input.family.is_some() || input.service_name.is_some() || input.container_instance.is_some();
        if input.started_by.is_some() && others {
            return Err(invalid_parameter("startedBy cannot be combined with another filter."));
        }
        let page = input.max_results.unwrap_or(PAGE);
        if !(1..=PAGE).contains(&page) {
            return Err(invalid_parameter("maxResults must be between 1 and 100."));
        }
        let set = match input.desired_status.as_deref().unwrap_or("RUNNING") {
            "RUNNING" => &self.wanted,
            "STOPPED" => &self.ended,
            // ECS accepts this and never finds anything.
            "PENDING" => return Ok(answers::ok(&json!({ "taskArns": [] }))),
            _ => return Err(invalid_parameter("desiredStatus must be RUNNING, PENDING or STOPPED.")),
        };
        let after = match &input.next_token {
            None => Bound::Unbounded,
            Some(token) => Bound::Excluded(read_token(token).ok_or_else(|| invalid_parameter("Invalid token"))?),
        };
        let range = (after, Bound::Unbounded);
        let found: Box<dyn Iterator<Item = usize>> = match &input.started_by {
            Some(started_by) => {
                let in_range = move |index: &usize| std::ops::RangeBounds::contains(&range, index);
                Box::new(self.started_by(started_by).filter(in_range).filter(|index| set.contains(index)))
            }
            None => Box::new(set.range(range).copied()),
        };
        let fargate = input.launch_type.as_deref().is_none_or(|kind| kind == "FARGATE");
        let mut matching = found.filter(|index| {
            let task = &self.tasks[*index];
            fargate
                && task.cluster == cluster
                && input.service_name.is_none()
                && input.container_instance.is_none()
                && input.family.as_ref().is_none_or(|family| *family == task.definition.family)
                && self.is_visible(*index)
        });
        let indexes: Vec<_> = matching.by_ref().take(page).collect();
        let more = matching.next().is_some();
        drop(matching);
        let arns: Vec<_> = indexes.iter().map(|index| self.tasks[*index].arn.as_str()).collect();
        let mut answer = json!({ "taskArns": arns });
        if let Some(last) = indexes.last().filter(|_| more) {
            answer["nextToken"] = write_token(*last).into();
        }
        Ok(answers::ok(&answer))
    }

    pub(super) fn describe_tasks(&mut self, input: &DescribeTasks) -> Result<Answer, Refusal> {
        let cluster = self.cluster(input.cluster.as_deref())?;
        if !(1..=PAGE).contains(&input.tasks.len()) {
            return Err(invalid_parameter(if input.tasks.is_empty() {
                "Tasks cannot be empty."
            } else {
                "Tasks cannot be more than 100."
            }));
        }
        let tags = input.include.iter().any(|what| what == "TAGS");
        let (mut tasks, mut failures) = (Vec::new(), Vec::new());
        for name in &input.tasks {
            let index =
                self.find(name).filter(|index| self.tasks[*index].cluster == cluster && self.is_visible(*index));
            match index {
                Some(index) => tasks.push(self.tasks[index].to_json(seconds, tags)),
                None => failures.push(json!({ "arn": task_arn(&cluster, id_of(name)), "reason": "MISSING" })),
            }
        }
        Ok(answers::ok(&json!({ "tasks": tasks, "failures": failures })))
    }

    pub(super) fn tag_resource(&mut self, input: TagResource) -> Result<Answer, Refusal> {
        let index = self.taggable(&input.resource_arn)?;
        let tags = checked_tags(input.tags)?;
        self.tasks[index].tags.extend(tags);
        Ok(answers::ok(&json!({})))
    }

    pub(super) fn untag_resource(&mut self, input: &UntagResource) -> Result<Answer, Refusal> {
        let index = self.taggable(&input.resource_arn)?;
        self.tasks[index].tags.retain(|key, _| !input.tag_keys.contains(key));
        Ok(answers::ok(&json!({})))
    }

    pub(super) fn list_tags(&mut self, input: &ListTagsForResource) -> Result<Answer, Refusal> {
        let index = self.remembered(&input.resource_arn)?;
        Ok(answers::ok(&json!({ "tags": tags_json(&self.tasks[index].tags) })))
    }

    fn taggable(&self, arn: &str) -> Result<usize, Refusal> {
        let index = self.remembered(arn)?;
        if self.tasks[index].is_wanted() {
            Ok(index)
        } else {
            Err(invalid_parameter("The specified task is stopped. Specify a running task and try again."))
        }
    }

    fn remembered(&self, arn: &str) -> Result<usize, Refusal> {
        let index = self.find(arn).filter(|index| self.tasks[*index].arn == arn && self.is_remembered(*index));
        index.ok_or_else(|| Refusal::new("ResourceNotFoundException", "The specified task could not be found."))
    }
}

/// A moment as in answers: seconds since the epoch, with a fraction.
pub(super) fn seconds(millis: i64) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this century fit 53 bits")]
    let seconds = millis as f64 / 1000.0;
    Value::from(seconds)
}

fn write_token(index: usize) -> String {
    hex::encode(format!("after {index}"))
}

fn read_token(token: &str) -> Option<usize> {
    let text = String::from_utf8(hex::decode(token).ok()?).ok()?;
    text.strip_prefix("after ")?.parse().ok()
}

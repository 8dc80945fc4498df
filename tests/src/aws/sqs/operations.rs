//! The calls of the JSON protocol.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use hyper::body::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::message::{Attribute, Message, md5_of_attributes, md5_of_body, read_handle};
use super::queue::{CannotHide, Queue};
use super::{LARGEST_MESSAGE, LONGEST_DELAY, LONGEST_VISIBILITY, Sender, State, queue_arn, queue_name};
use crate::aws::answers::{self, sqs_error};
use crate::wire::Answer;

/// The most entries of a batch, and the most messages of one receive.
const BATCH: usize = 10;

/// The most attributes of a message, and the longest group id.
const MOST_ATTRIBUTES: usize = 10;
const LONGEST_GROUP: usize = 128;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessage {
    message_body: String,
    delay_seconds: Option<u64>,
    #[serde(default)]
    message_attributes: BTreeMap<String, Attribute>,
    message_group_id: Option<String>,
    message_deduplication_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReceiveMessage {
    max_number_of_messages: Option<usize>,
    visibility_timeout: Option<u64>,
    #[serde(default)]
    attribute_names: Vec<String>,
    #[serde(default)]
    message_system_attribute_names: Vec<String>,
    #[serde(default)]
    message_attribute_names: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ByHandle {
    receipt_handle: String,
    #[serde(default)]
    visibility_timeout: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetQueueAttributes {
    #[serde(default)]
    attribute_names: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StartMessageMoveTask {
    destination_arn: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Batch {
    entries: Vec<Value>,
}

/// Why SQS refuses, in parts: a batch reports it in a different form than a call.
#[derive(Debug)]
pub(super) struct Refusal {
    shape: &'static str,
    query_code: Option<&'static str>,
    message: String,
}

impl Refusal {
    fn new(shape: &'static str, message: impl Into<String>) -> Self {
        Self { shape, query_code: None, message: message.into() }
    }

    fn no_such_queue() -> Self {
        Self {
            shape: "QueueDoesNotExist",
            query_code: Some("AWS.SimpleQueueService.NonExistentQueue"),
            message: "The specified queue does not exist.".to_owned(),
        }
    }

    /// SQS has no shape for this code; only `__type` and the query protocol's header carry it.
    fn value(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterValue", message)
    }

    pub(super) fn to_answer(&self) -> Answer {
        sqs_error(self.shape, self.query_code, &self.message)
    }

    fn to_entry(&self, id: &str) -> Value {
        let code = self.query_code.unwrap_or(self.shape);
        json!({ "Id": id, "SenderFault": true, "Code": code, "Message": self.message })
    }
}

impl State {
    pub(super) fn answer(&mut self, operation: &str, body: &Bytes, sender: Sender<'_>) -> Result<Answer, Refusal> {
        let mut input: Value = read(serde_json::from_slice(body))?;
        let now = sender.now;
        let name = queue_name(
            ["QueueUrl", "QueueName", "SourceArn"].iter().find_map(|key| input[*key].as_str()).unwrap_or_default(),
        )
        .to_owned();
        if !self.queues.contains_key(&name) {
            return Err(Refusal::no_such_queue());
        }
        let done = match operation {
            "SendMessage" => self.send(&name, from(input)?, sender),
            "SendMessageBatch" => return self.batch(from(input)?, |state, entry| state.send(&name, entry, sender)),
            "ReceiveMessage" => self.receive(&name, &from(input)?, now),
            "DeleteMessage" => self.delete(&name, &from(input)?),
            "DeleteMessageBatch" => return self.batch(from(input)?, |state, entry| state.delete(&name, &entry)),
            "ChangeMessageVisibility" => self.change_visibility(&name, &from(input)?, now),
            "ChangeMessageVisibilityBatch" => {
                return self.batch(from(input)?, |state, entry| state.change_visibility(&name, &entry, now));
            }
            "StartMessageMoveTask" => self.redrive(&name, &from(input)?, now),
            "GetQueueAttributes" => Ok(self.attributes(&name, &from(input)?, now)),
            "GetQueueUrl" => Ok(json!({ "QueueUrl": input["QueueName"].take() })),
            "PurgeQueue" => {
                self.queue(&name).purge();
                Ok(json!({}))
            }
            _ => return Err(Refusal::new("UnknownOperationException", operation)),
        };
        done.map(|answer| answers::ok(&answer))
    }

    fn queue(&mut self, name: &str) -> &mut Queue {
        self.queues.get_mut(name).expect("the call's queue was looked up first")
    }

    fn send(&mut self, queue: &str, input: SendMessage, sender: Sender<'_>) -> Result<Value, Refusal> {
        check(&input)?;
        self.sent += 1;
        let mut message = Message::new(self.sent, input.message_body, sender.now);
        message.attributes = input.message_attributes;
        message.group = input.message_group_id;
        message.trace = sender.trace.map(str::to_owned);
        let mut answer = json!({ "MessageId": message.id, "MD5OfMessageBody": md5_of_body(&message.body) });
        if let Some(digest) = md5_of_attributes(&message.attributes) {
            answer["MD5OfMessageAttributes"] = Value::from(digest);
        }
        self.queue(queue).add(message, Duration::from_secs(input.delay_seconds.unwrap_or(0)));
        Ok(answer)
    }

    /// Moves all messages of a queue to another, where they are as good as new. SQS takes a while for it.
    fn redrive(&mut self, from: &str, input: &StartMessageMoveTask, now: i64) -> Result<Value, Refusal> {
        let to = queue_name(&input.destination_arn).to_owned();
        if !self.queues.contains_key(&to) {
            return Err(Refusal::new(
                "ResourceNotFoundException",
                "The resource that you specified for DestinationArn doesn't exist.",
            ));
        }
        let moved = self.queue(from).messages();
        self.queue(from).purge();
        for old in moved {
            self.sent += 1;
            let mut message = Message::new(self.sent, old.body, now);
            message.attributes = old.attributes;
            message.group = old.group;
            self.queue(&to).add(message, Duration::ZERO);
        }
        Ok(json!({ "TaskHandle": "a-task" }))
    }

    /// Receives messages, and moves those received too often to the dead-letter queue.
    pub(super) fn take(&mut self, name: &str, most: usize, visibility: Option<Duration>, now: i64) -> Vec<Message> {
        let queue = self.queue(name);
        let (received, dead) = queue.receive(most, visibility, now);
        for message in dead {
            self.bury(name, message, now);
        }
        received
    }

    /// Moves a message to the queue's dead-letter queue, if it has one.
    pub(super) fn bury(&mut self, name: &str, mut message: Message, now: i64) {
        let target = self.queue(name).settings.redrive.as_ref().map(|(target, _)| target.clone());
        if let Some(target) = target.and_then(|target| self.queues.get_mut(&target)) {
            message.dead_letter_source = Some(queue_arn(name));
            message.receive_count = 0;
            message.visible_at = now;
            target.add(message, Duration::ZERO);
        }
    }

    pub(super) fn delete_received(&mut self, name: &str, message: &Message) {
        self.queue(name).delete(message.number, message.receive_count);
    }

    fn receive(&mut self, name: &str, input: &ReceiveMessage, now: i64) -> Result<Value, Refusal> {
        let most = input.max_number_of_messages.unwrap_or(1);
        if !(1..=BATCH).contains(&most) {
            return Err(Refusal::value("MaxNumberOfMessages must be between 1 and 10."));
        }
        let visibility = input.visibility_timeout.map(checked_visibility).transpose()?;
        let messages = self.take(name, most, visibility, now);
        if messages.is_empty() {
            return Ok(json!({}));
        }
        let messages: Vec<_> = messages.iter().map(|message| received(message, input)).collect();
        Ok(json!({ "Messages": messages }))
    }

    fn delete(&mut self, name: &str, input: &ByHandle) -> Result<Value, Refusal> {
        let (number, receive) = checked_handle(&input.receipt_handle)?;
        self.queue(name).delete(number, receive);
        Ok(json!({}))
    }

    fn change_visibility(&mut self, name: &str, input: &ByHandle, now: i64) -> Result<Value, Refusal> {
        let time = checked_visibility(input.visibility_timeout)?;
        let (number, receive) = checked_handle(&input.receipt_handle)?;
        match self.queue(name).hide(number, receive, time, now) {
            Ok(()) => Ok(json!({})),
            Err(CannotHide::TooLong) => Err(Refusal::value(format!(
                "Value {} for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds].",
                input.visibility_timeout
            ))),
            Err(CannotHide::NotInFlight) => Err(Refusal {
                shape: "MessageNotInflight",
                query_code: Some("AWS.SimpleQueueService.MessageNotInflight"),
                message: "The specified message isn't in flight.".to_owned(),
            }),
        }
    }

    fn attributes(&mut self, name: &str, input: &GetQueueAttributes, now: i64) -> Value {
        let queue = self.queue(name);
        let depth = queue.depth(now);
        let settings = &queue.settings;
        let mut all = Map::new();
        let mut set = |name: &str, value: String| all.insert(name.to_owned(), Value::from(value));
        set("QueueArn", queue_arn(name));
        set("ApproximateNumberOfMessages", depth.visible.to_string());
        set("ApproximateNumberOfMessagesNotVisible", depth.in_flight.to_string());
        set("ApproximateNumberOfMessagesDelayed", depth.delayed.to_string());
        set("VisibilityTimeout", settings.visibility.as_secs().to_string());
        set("MessageRetentionPeriod", settings.retention.as_secs().to_string());
        set("MaximumMessageSize", LARGEST_MESSAGE.to_string());
        if let Some((target, most)) = &settings.redrive {
            let policy = json!({ "deadLetterTargetArn": queue_arn(target), "maxReceiveCount": most });
            set("RedrivePolicy", policy.to_string());
        }
        let wanted = &input.attribute_names;
        all.retain(|name, _| wanted.iter().any(|wanted| wanted == "All" || wanted == name));
        json!({ "Attributes": all })
    }

    fn batch<T: DeserializeOwned>(
        &mut self,
        input: Batch,
        mut act: impl FnMut(&mut Self, T) -> Result<Value, Refusal>,
    ) -> Result<Answer, Refusal> {
        let entries = input.entries;
        let ids: Vec<_> = entries.iter().map(|entry| entry["Id"].as_str().unwrap_or_default().to_owned()).collect();
        let refuse = |shape: &'static str, code: &'static str, message: &str| {
            Err(Refusal { shape, query_code: Some(code), message: message.to_owned() })
        };
        if entries.is_empty() {
            let message = "There should be at least one entry in the request.";
            return refuse("EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest", message);
        }
        if entries.len() > BATCH {
            let message = "Maximum number of entries per request are 10.";
            return refuse(
                "TooManyEntriesInBatchRequest",
                "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
                message,
            );
        }
        if ids.iter().collect::<HashSet<_>>().len() != ids.len() {
            let message = "Two or more batch entries in the request have the same Id.";
            return refuse("BatchEntryIdsNotDistinct", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", message);
        }
        let size: usize = entries.iter().filter_map(|entry| entry["MessageBody"].as_str()).map(str::len).sum();
        if size > LARGEST_MESSAGE {
            let message = "Batch requests cannot be longer than 1048576 bytes.";
            return refuse("BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong", message);
        }
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for (id, entry) in ids.iter().zip(entries) {
            match act(self, from(entry)?) {
                Ok(mut answer) => {
                    answer["Id"] = Value::from(id.as_str());
                    successful.push(answer);
                }
                Err(refusal) => failed.push(refusal.to_entry(id)),
            }
        }
        Ok(answers::ok(&json!({ "Successful": successful, "Failed": failed })))
    }
}

fn received(message: &Message, input: &ReceiveMessage) -> Value {
    let mut answer = json!({
        "MessageId": message.id,
        "ReceiptHandle": message.handle(),
        "Body": message.body,
        "MD5OfBody": md5_of_body(&message.body),
    });
    let names: Vec<_> = input.attribute_names.iter().chain(&input.message_system_attribute_names).collect();
    let mut system = message.system_attributes();
    system.retain(|name, _| names.iter().any(|wanted| *wanted == "All" || *wanted == name));
    if !system.is_empty() {
        answer["Attributes"] = Value::Object(system);
    }
    let mut attributes = message.attributes.clone();
    attributes.retain(|name, _| {
        input.message_attribute_names.iter().any(|wanted| {
            wanted == "All" || wanted == name || wanted.strip_suffix(".*").is_some_and(|start| name.starts_with(start))
        })
    });
    if let Some(digest) = md5_of_attributes(&attributes) {
        answer["MD5OfMessageAttributes"] = Value::from(digest);
        answer["MessageAttributes"] = json!(attributes);
    }
    answer
}

fn check(input: &SendMessage) -> Result<(), Refusal> {
    if input.message_body.is_empty() {
        return Err(Refusal::new("MissingParameter", "The request must contain the parameter MessageBody."));
    }
    if !input.message_body.chars().all(is_allowed) {
        return Err(Refusal::new("InvalidMessageContents", "Invalid characters found in the body."));
    }
    let attributes: usize = input.message_attributes.iter().map(|(name, attribute)| attribute.size(name)).sum();
    if input.message_body.len() + attributes > LARGEST_MESSAGE {
        return Err(Refusal::value(
            "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.",
        ));
    }
    if input.message_attributes.len() > MOST_ATTRIBUTES {
        return Err(Refusal::value("Number of message attributes exceeds the allowed maximum 10."));
    }
    for (name, attribute) in &input.message_attributes {
        check_attribute(name, attribute)?;
    }
    if let Some(delay) = input.delay_seconds.filter(|delay| *delay > LONGEST_DELAY.as_secs()) {
        return Err(Refusal::value(format!(
            "Value {delay} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900."
        )));
    }
    if let Some(group) = &input.message_group_id {
        let fits = (1..=LONGEST_GROUP).contains(&group.len()) && group.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits {
            return Err(Refusal::value(format!("Value {group} for parameter MessageGroupId is invalid.")));
        }
    }
    if input.message_deduplication_id.is_some() {
        return Err(Refusal::value(
            "The request includes a parameter that is not valid for this queue type: MessageDeduplicationId.",
        ));
    }
    Ok(())
}

fn check_attribute(name: &str, attribute: &Attribute) -> Result<(), Refusal> {
    let named = (1..=256).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        && !name.to_lowercase().starts_with("aws.")
        && !name.to_lowercase().starts_with("amazon.");
    let value = match attribute.data_type.split('.').next() {
        Some("String" | "Number") => attribute.string_value.as_ref(),
        Some("Binary") => attribute.binary_value.as_ref(),
        _ => None,
    };
    if named && value.is_some_and(|value| !value.is_empty() && value.chars().all(is_allowed)) {
        Ok(())
    } else {
        Err(Refusal::value(format!("The message attribute '{name}' is invalid.")))
    }
}

/// Whether all characters are valid in XML 1.0, which SQS requires in its JSON protocol too.
fn is_allowed(letter: char) -> bool {
    matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fn checked_visibility(seconds: u64) -> Result<Duration, Refusal> {
    let time = Duration::from_secs(seconds);
    if time <= LONGEST_VISIBILITY {
        Ok(time)
    } else {
        Err(Refusal::value(format!(
            "Value {seconds} for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and 43200."
        )))
    }
}

fn checked_handle(handle: &str) -> Result<(u64, u32), Refusal> {
    read_handle(handle).ok_or_else(|| {
        Refusal::new(
            "ReceiptHandleIsInvalid",
            format!("The input receipt handle \"{handle}\" is not a valid receipt handle."),
        )
    })
}

fn from<T: DeserializeOwned>(value: Value) -> Result<T, Refusal> {
    read(serde_json::from_value(value))
}

fn read<T>(outcome: Result<T, serde_json::Error>) -> Result<T, Refusal> {
    outcome.map_err(|cause| Refusal::new("SerializationException", cause.to_string()))
}

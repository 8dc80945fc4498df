//! A batch as Lambda delivers it, and the answer to it.

use serde::{Deserialize, Serialize};

/// A batch of messages. Bodies stay text: one unreadable body must not fail the others.
#[derive(Debug, Deserialize)]
pub struct SqsEvent {
    #[serde(rename = "Records", default)]
    pub(crate) records: Vec<Record>,
}

/// One message.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) message_id: String,
    #[serde(default)]
    pub(crate) body: String,
    #[serde(default)]
    attributes: RecordAttributes,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RecordAttributes {
    approximate_receive_count: Option<String>,
}

impl Record {
    /// Whether SQS may have delivered the message before.
    pub(crate) fn is_repeat(&self) -> bool {
        self.attributes.approximate_receive_count.as_deref() != Some("1")
    }
}

/// The messages that must return to the queue. SQS deletes the others.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    /// One entry for each such message.
    pub batch_item_failures: Vec<BatchItemFailure>,
}

/// A message that must return.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    /// The message's id.
    pub item_identifier: String,
}

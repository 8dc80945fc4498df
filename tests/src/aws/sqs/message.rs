//! Messages, their attributes, and the digests of both.

use std::collections::BTreeMap;

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// An attribute that a sender put on a message.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Attribute {
    /// `String`, `Number` or `Binary`, with an optional suffix after a dot.
    pub data_type: String,
    /// The value of a string or a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub string_value: Option<String>,
    /// The value of a binary, as base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary_value: Option<String>,
}

/// A message. Moments are in milliseconds since the Unix epoch.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its id, which a redrive keeps.
    pub id: String,
    /// Its body.
    pub body: String,
    /// Its attributes.
    pub attributes: BTreeMap<String, Attribute>,
    /// Its message group, the tenant of a fair queue.
    pub group: Option<String>,
    /// When it was sent.
    pub sent_at: i64,
    /// When it was received for the first time.
    pub first_received_at: Option<i64>,
    /// How often it was received from this queue.
    pub receive_count: u32,
    /// When it becomes visible.
    pub visible_at: i64,
    /// On a dead-letter queue: the ARN of its source queue.
    pub dead_letter_source: Option<String>,
    /// Its sender's trace, `AWSTraceHeader`.
    pub trace: Option<String>,
    /// When it was received for the last time.
    pub(super) last_received_at: i64,
    pub(super) number: u64,
}

impl Message {
    pub(super) fn new(number: u64, body: String, now: i64) -> Self {
        Self {
            id: format!("{:08x}-0000-4000-8000-{number:012x}", number.wrapping_mul(0x9e37_79b1) & 0xffff_ffff),
            body,
            attributes: BTreeMap::new(),
            group: None,
            sent_at: now,
            first_received_at: None,
            receive_count: 0,
            visible_at: now,
            dead_letter_source: None,
            trace: None,
            last_received_at: now,
            number,
        }
    }

    /// The receipt handle. Every receive makes a new one; only the latest works.
    pub(super) fn handle(&self) -> String {
        hex::encode(format!("{} {}", self.number, self.receive_count))
    }

    /// The system attributes, with SQS's names and formats.
    pub(super) fn system_attributes(&self) -> Map<String, Value> {
        let mut all = Map::new();
        let mut set = |name: &str, value: String| all.insert(name.to_owned(), Value::from(value));
        set("SenderId", "AROAEXAMPLE:webhook".to_owned());
        set("SentTimestamp", self.sent_at.to_string());
        set("ApproximateReceiveCount", self.receive_count.to_string());
        if let Some(at) = self.first_received_at {
            set("ApproximateFirstReceiveTimestamp", at.to_string());
        }
        if let Some(group) = &self.group {
            set("MessageGroupId", group.clone());
        }
        if let Some(trace) = &self.trace {
            set("AWSTraceHeader", trace.clone());
        }
        if let Some(source) = &self.dead_letter_source {
            set("DeadLetterQueueSourceArn", source.clone());
        }
        all
    }

    /// The message as a record in Lambda's event.
    pub(super) fn to_record(&self, queue_arn: &str, region: &str) -> Value {
        let attributes: Map<String, Value> =
            self.attributes.iter().map(|(name, attribute)| (name.clone(), attribute.to_record())).collect();
        let mut record = json!({
            "messageId": self.id,
            "receiptHandle": self.handle(),
            "body": self.body,
            "attributes": self.system_attributes(),
            "messageAttributes": attributes,
            "md5OfBody": md5_of_body(&self.body),
            "eventSource": "aws:sqs",
            "eventSourceARN": queue_arn,
            "awsRegion": region,
        });
        if let Some(digest) = md5_of_attributes(&self.attributes) {
            record["md5OfMessageAttributes"] = Value::from(digest);
        }
        record
    }
}

/// Reads a handle of [`Message::handle`]: the message's number and the number of the receive.
pub(super) fn read_handle(handle: &str) -> Option<(u64, u32)> {
    let text = String::from_utf8(hex::decode(handle).ok()?).ok()?;
    let (number, receive) = text.split_once(' ')?;
    Some((number.parse().ok()?, receive.parse().ok()?))
}

impl Attribute {
    pub(super) fn size(&self, name: &str) -> usize {
        let value = self.string_value.as_ref().or(self.binary_value.as_ref()).map_or(0, String::len);
        name.len() + self.data_type.len() + value
    }

    fn to_record(&self) -> Value {
        let mut record = json!({ "stringListValues": [], "binaryListValues": [], "dataType": self.data_type });
        if let Some(value) = &self.string_value {
            record["stringValue"] = Value::from(value.as_str());
        }
        if let Some(value) = &self.binary_value {
            record["binaryValue"] = Value::from(value.as_str());
        }
        record
    }
}

pub(super) fn md5_of_body(body: &str) -> String {
    hex::encode(Md5::digest(body))
}

/// Digests all attributes in the order of their names: length and bytes of the name, of the type and of the value, with
/// a byte between the last two that is 1 for text and 2 for binary. Source: SQS developer guide, "Calculating the MD5
/// message digest for message attributes".
pub(super) fn md5_of_attributes(attributes: &BTreeMap<String, Attribute>) -> Option<String> {
    use base64::Engine as _;

    if attributes.is_empty() {
        return None;
    }
    let mut digest = Md5::new();
    let mut part = |bytes: &[u8], kind: Option<u8>| {
        digest.update(kind.as_slice());
        digest.update(u32::try_from(bytes.len()).expect("no longer than a message").to_be_bytes());
        digest.update(bytes);
    };
    for (name, attribute) in attributes {
        part(name.as_bytes(), None);
        part(attribute.data_type.as_bytes(), None);
        match (&attribute.string_value, &attribute.binary_value) {
            (Some(text), _) => part(text.as_bytes(), Some(1)),
            (None, binary) => {
                let encoded = binary.as_deref().unwrap_or_default();
                let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap_or_default();
                part(&bytes, Some(2));
            }
        }
    }
    Some(hex::encode(digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_as_others_compute_them() {
        // RFC 1321, appendix A.5.
        assert_eq!(md5_of_body("message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
        let text = Attribute { data_type: "String".to_owned(), string_value: Some("x".to_owned()), binary_value: None };
        let attributes = BTreeMap::from([("n".to_owned(), text)]);
        let bytes = b"\0\0\0\x01n\0\0\0\x06String\x01\0\0\0\x01x";
        assert_eq!(md5_of_attributes(&attributes), Some(hex::encode(Md5::digest(bytes))));
    }
}

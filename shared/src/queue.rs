//! The job queue, and the dead-letter queue for messages that are given up.

use std::fmt::Display;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use time::OffsetDateTime;

use crate::aws::words_of;
use crate::job::Message;

/// The longest delay of one message. Source: SQS's `SendMessage` reference.
pub const LONGEST_DELAY: Duration = Duration::from_mins(15);

/// The attribute of a dead letter that says why it is one.
pub const REASON_ATTRIBUTE: &str = "jitgate.reason";

/// The longest reason on a dead letter, in characters. People read it.
const LONGEST_REASON: usize = 1000;

/// A message could not be sent. Trying again may help.
#[derive(Clone, Debug, thiserror::Error)]
#[error("SQS failed: {0}")]
pub struct QueueError(String);

impl QueueError {
    /// With the words of SQS or the network.
    pub fn new(cause: &impl Display) -> Self {
        Self(cause.to_string())
    }
}

/// A client of the job queue, for sending.
#[derive(Clone, Debug)]
pub struct JobQueue {
    client: Client,
    url: String,
}

impl JobQueue {
    /// The queue of that URL.
    pub fn new(config: &SdkConfig, url: String) -> Self {
        Self { client: Client::new(config), url }
    }

    /// Sends a message, to be received after a delay of [`LONGEST_DELAY`] at most. The owner's id is its message group, which
    /// makes a standard queue a fair one: one owner's burst does not starve the others.
    pub async fn send(&self, message: &Message, delay: Duration) -> Result<(), QueueError> {
        let seconds = i32::try_from(delay.min(LONGEST_DELAY).as_secs()).unwrap_or(0);
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(message.to_body())
            .message_group_id(message.job.owner_id.to_string())
            .set_delay_seconds((seconds > 0).then_some(seconds))
            .send()
            .await
            .map_err(|error| QueueError::new(&words_of(&error)))?;
        Ok(())
    }

    /// The same, to be received at that moment or as late as SQS permits.
    pub async fn send_at(&self, message: &Message, at: OffsetDateTime, now: OffsetDateTime) -> Result<(), QueueError> {
        let delay = Duration::try_from(at - now).unwrap_or_default();
        // Rounded up: a message that comes a moment early would only be sent once more.
        self.send(message, Duration::from_secs(delay.as_secs() + u64::from(delay.subsec_nanos() > 0))).await
    }

    /// About how many messages are on the queue, including those in flight and those that are delayed.
    pub async fn depth(&self) -> Result<usize, QueueError> {
        let counts = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .set_attribute_names(Some(counts.to_vec()))
            .send()
            .await
            .map_err(|error| QueueError::new(&words_of(&error)))?;
        let counted = answer.attributes.unwrap_or_default();
        Ok(counts.iter().filter_map(|count| counted.get(count)?.parse::<usize>().ok()).sum())
    }

    /// Sends the body of a message that is given up to a dead-letter queue, with the reason as an attribute.
    pub async fn send_dead_letter(&self, queue_url: &str, body: &str, reason: &str) -> Result<(), QueueError> {
        let attribute = MessageAttributeValue::builder()
            .data_type("String")
            .string_value(readable(reason))
            .build()
            .map_err(|error| QueueError::new(&error))?;
        self.client
            .send_message()
            .queue_url(queue_url)
            .message_body(if body.is_empty() { "(empty)" } else { body })
            .message_attributes(REASON_ATTRIBUTE, attribute)
            .send()
            .await
            .map_err(|error| QueueError::new(&words_of(&error)))?;
        Ok(())
    }
}

/// What SQS accepts as an attribute's value: not empty, and no control characters but white space.
fn readable(reason: &str) -> String {
    let text: String = reason
        .chars()
        .map(|letter| if letter.is_control() && !letter.is_whitespace() { ' ' } else { letter })
        .take(LONGEST_REASON)
        .collect();
    if text.trim().is_empty() { "unknown".to_owned() } else { text }
}

//! The job queue, and the dead-letter queue for what nobody could do.

use std::fmt::Display;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};

use crate::aws::words_of;
use crate::job::Message;

/// Longest delay of one message. Source: SQS's `SendMessage` reference.
pub const LONGEST_DELAY: Duration = Duration::from_mins(15);

/// The attribute of a dead letter that says why it is one.
pub const REASON_ATTRIBUTE: &str = "jitgate.reason";

/// Longest reason on a dead letter, in characters; it is for people to read.
const LONGEST_REASON: usize = 1000;

/// A message could not be sent; trying again may help.
#[derive(Clone, Debug, thiserror::Error)]
#[error("SQS failed: {0}")]
pub struct QueueError(String);

impl QueueError {
    /// With what SQS or the network said.
    pub fn new(cause: &impl Display) -> Self {
        Self(cause.to_string())
    }
}

/// The job queue, for sending.
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

    /// Puts a job on the queue, to be seen after a delay of [`LONGEST_DELAY`] at most. The owner's id is the message's
    /// group: on a standard queue that makes it a fair one, in which one owner's storm does not starve the others.
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

    /// About how many messages are on the queue, those in flight and those still hidden included.
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

    /// Puts a body that we give up on a dead-letter queue, with the reason on it.
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

//! The dead-letter queue. The job queue is never received from: that would hold a job up.

use std::collections::BTreeMap;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{Message, QueueAttributeName};

use super::{Aws, trouble_of};
use crate::trouble::Trouble;

/// A receive returns at most ten messages, and those that it happens to meet, so it is repeated until this many in a row
/// show nothing new. Source: the API reference of `ReceiveMessage`.
const VAIN_RECEIVES: u32 = 4;

/// Enough to see what is wrong, with an end to the time that it takes.
const MOST_RECEIVES: u32 = 100;

/// A message on the dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The message's body: a job message.
    pub body: String,
    /// Why it was given up; SQS itself gives no reason.
    pub reason: Option<String>,
    /// When it came to this queue or, if SQS moved it, when it was first sent; in milliseconds since 1970.
    pub sent_at: Option<i64>,
}

impl Aws {
    /// The letters on a dead-letter queue. Each stays visible to others, and the queue has no further redrive policy that
    /// would count receives.
    pub async fn dead_letters(&self, queue: &str) -> Result<Vec<DeadLetter>, Trouble> {
        let client = Client::new(&self.sdk);
        let mut found = BTreeMap::new();
        let mut vain = 0;
        for _ in 0..MOST_RECEIVES {
            let receive = client
                .receive_message()
                .queue_url(queue)
                .max_number_of_messages(10)
                .visibility_timeout(0)
                .message_attribute_names("jitgate.reason")
                .message_system_attribute_names(aws_sdk_sqs::types::MessageSystemAttributeName::SentTimestamp);
            let answer =
                receive.send().await.map_err(|error| trouble_of("dead letters (sqs:ReceiveMessage)", &error))?;
            let before = found.len();
            for message in answer.messages.unwrap_or_default() {
                found.insert(message.message_id.clone().unwrap_or_default(), letter(message));
            }
            vain = if found.len() > before { 0 } else { vain + 1 };
            if found.is_empty() || vain >= VAIN_RECEIVES {
                break;
            }
        }
        Ok(found.into_values().collect())
    }

    /// Sends all messages of the dead-letter queue to the job queue.
    pub async fn redrive(&self, dead_letters: &str, jobs: &str) -> Result<(), Trouble> {
        let client = Client::new(&self.sdk);
        let (from, to) = tokio::try_join!(arn(&client, dead_letters), arn(&client, jobs))?;
        let start = client.start_message_move_task().source_arn(from).destination_arn(to);
        start.send().await.map_err(|error| trouble_of("dead letters (sqs:StartMessageMoveTask)", &error))?;
        Ok(())
    }

    /// Attributes of a queue that are numbers.
    pub async fn queue_numbers(&self, queue: &str) -> Result<BTreeMap<String, u64>, Trouble> {
        let client = Client::new(&self.sdk);
        let get = client.get_queue_attributes().queue_url(queue).attribute_names(QueueAttributeName::All);
        let answer = get.send().await.map_err(|error| trouble_of("a queue (sqs:GetQueueAttributes)", &error))?;
        let attributes = answer.attributes.unwrap_or_default().into_iter();
        Ok(attributes.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.parse().ok()?))).collect())
    }
}

async fn arn(client: &Client, queue: &str) -> Result<String, Trouble> {
    let get = client.get_queue_attributes().queue_url(queue).attribute_names(QueueAttributeName::QueueArn);
    let answer = get.send().await.map_err(|error| trouble_of("a queue (sqs:GetQueueAttributes)", &error))?;
    let arn = answer.attributes.and_then(|mut all| all.remove(&QueueAttributeName::QueueArn));
    arn.ok_or_else(|| Trouble::failed(format!("SQS gives no ARN of {queue}"), "run the command again"))
}

fn letter(message: Message) -> DeadLetter {
    use aws_sdk_sqs::types::MessageSystemAttributeName::SentTimestamp;
    let attributes = message.message_attributes.unwrap_or_default();
    let reason = attributes.get("jitgate.reason").and_then(|reason| reason.string_value()).map(str::to_owned);
    let sent = message.attributes.unwrap_or_default();
    let sent_at = sent.get(&SentTimestamp).and_then(|sent| sent.parse().ok());
    DeadLetter { body: message.body.unwrap_or_default(), reason, sent_at }
}

//! Lambda's event source mapping between a queue and a function.
//!
//! It receives messages, passes them to the function as one event, and deletes those that the function did not report
//! as failed. Source: Lambda's developer guide, "Using Lambda with Amazon SQS", with its conditions for the success and
//! the failure of a batch.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::message::Message;
use super::{Sqs, queue_arn};
use crate::aws::{REGION, millis};
use crate::wire::lock;

/// After about this many invocations in one chain of messages, Lambda assumes an endless loop. Source: Lambda's
/// developer guide, "Use Lambda recursive loop detection".
const LONGEST_CHAIN: u32 = 16;

/// Reads one queue for one function.
pub struct EventSource {
    sqs: Arc<Sqs>,
    queue: String,
    batch_size: usize,
    loops_allowed: bool,
    disorder: Mutex<Disorder>,
}

/// The disorder of at-least-once delivery.
struct Disorder {
    random: StdRng,
    shuffle: bool,
    /// The share of messages that are delivered twice.
    duplicates: f64,
    /// Messages to deliver again, whatever became of their first delivery.
    ghosts: VecDeque<Message>,
}

/// Messages for the function.
#[derive(Clone, Debug)]
pub struct Batch {
    messages: Vec<Message>,
    event: Value,
    /// How many invocations of the function precede this one in the chain.
    chain: u32,
}

impl Batch {
    /// The event that Lambda passes to the function.
    pub fn event(&self) -> &Value {
        &self.event
    }

    /// The invocation's trace id. The function's messages carry it on, so that Lambda can notice a loop.
    pub fn trace(&self) -> String {
        format!(
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0;Lineage={LINEAGE}:{}",
            self.chain + 1
        )
    }

    /// How many messages it carries.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Never true: a batch has at least one message.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

/// The outcome of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Ids of the deleted messages.
    pub deleted: Vec<String>,
    /// Ids of the messages that return when their visibility time-out ends.
    pub returned: Vec<String>,
}

impl EventSource {
    /// Reads a queue in batches of up to ten, in the queue's order, each message once.
    pub fn new(sqs: Arc<Sqs>, queue: &str) -> Self {
        let disorder =
            Disorder { random: StdRng::seed_from_u64(0), shuffle: false, duplicates: 0.0, ghosts: VecDeque::new() };
        Self { sqs, queue: queue.to_owned(), batch_size: 10, loops_allowed: false, disorder: Mutex::new(disorder) }
    }

    /// Sets the size of batches, 10 at most: more would need a batching window, which this does not have.
    #[must_use]
    pub fn batches_of(mut self, size: usize) -> Self {
        self.batch_size = size.clamp(1, 10);
        self
    }

    /// Lets the function send messages to its own queue without end (`RecursiveLoop: Allow`). Otherwise a message that
    /// results from 16 invocations goes to the dead-letter queue.
    #[must_use]
    pub fn allow_loops(mut self) -> Self {
        self.loops_allowed = true;
        self
    }

    /// Delivers out of order, and this share of the messages twice, both by the seed.
    #[must_use]
    pub fn disorderly(self, seed: u64, duplicates: f64) -> Self {
        {
            let mut disorder = lock(&self.disorder);
            disorder.random = StdRng::seed_from_u64(seed);
            disorder.shuffle = true;
            disorder.duplicates = duplicates;
        }
        self
    }

    /// Receives visible messages, up to a batch. A batch that is dropped returns, as if the function's process had
    /// died.
    pub fn take(&self) -> Option<Batch> {
        let mut messages = self.receive();
        self.disturb(&mut messages);
        let chain = messages.iter().filter_map(|message| chain(message.trace.as_deref()?)).max();
        if messages.is_empty() {
            return None;
        }
        let arn = queue_arn(&self.queue);
        let records: Vec<_> = messages.iter().map(|message| message.to_record(&arn, REGION)).collect();
        Some(Batch { messages, event: json!({ "Records": records }), chain: chain.unwrap_or(0) })
    }

    /// Delivers a message of the batch, by its index, again with the next batch, whatever becomes of this one.
    pub fn repeat(&self, batch: &Batch, number: usize) {
        lock(&self.disorder).ghosts.extend(batch.messages.get(number).cloned());
    }

    /// Deletes the messages that succeeded by the function's answer; an error means that the invocation failed.
    pub fn settle<E>(&self, batch: &Batch, answer: &Result<Value, E>) -> Outcome {
        let ids: HashSet<&str> = batch.messages.iter().map(|message| message.id.as_str()).collect();
        let failed = answer.as_ref().ok().and_then(|answer| failures(answer, &ids));
        let mut outcome = Outcome::default();
        for message in &batch.messages {
            if failed.as_ref().is_some_and(|failed| !failed.contains(message.id.as_str())) {
                lock(&self.sqs.state).delete_received(&self.queue, message);
                outcome.deleted.push(message.id.clone());
            } else {
                outcome.returned.push(message.id.clone());
            }
        }
        outcome
    }

    /// Takes a batch, passes it to the function and settles it; `None` if no message was visible.
    pub async fn poll<F, E>(&self, function: F) -> Option<Outcome>
    where
        F: AsyncFnOnce(Value) -> Result<Value, E>,
    {
        let batch = self.take()?;
        let answer = function(batch.event.clone()).await;
        Some(self.settle(&batch, &answer))
    }

    /// Polls until no message is visible, and returns how many batches that took.
    pub async fn drain<F, E>(&self, mut function: F) -> usize
    where
        F: AsyncFnMut(Value) -> Result<Value, E>,
    {
        let mut batches = 0;
        while self.poll(&mut function).await.is_some() {
            batches += 1;
        }
        batches
    }

    fn receive(&self) -> Vec<Message> {
        let now = millis(self.sqs.clock.now());
        let mut state = lock(&self.sqs.state);
        loop {
            let received = state.take(&self.queue, self.batch_size, None, now);
            let looping = |message: &Message| {
                let chain = message.trace.as_deref().and_then(chain);
                !self.loops_allowed && chain.is_some_and(|chain| chain >= LONGEST_CHAIN)
            };
            let nothing_left = received.is_empty();
            let (stopped, good): (Vec<_>, Vec<_>) = received.into_iter().partition(looping);
            for message in stopped {
                state.delete_received(&self.queue, &message);
                state.bury(&self.queue, message, now);
            }
            if nothing_left || !good.is_empty() {
                return good;
            }
        }
    }

    fn disturb(&self, messages: &mut Vec<Message>) {
        let mut disorder = lock(&self.disorder);
        let room = self.batch_size - messages.len();
        let repeated = disorder.ghosts.len().min(room);
        let repeated: Vec<_> = disorder.ghosts.drain(..repeated).collect();
        for message in &*messages {
            let share = disorder.duplicates;
            if disorder.random.random_bool(share) {
                disorder.ghosts.push_back(message.clone());
            }
        }
        messages.extend(repeated);
        if disorder.shuffle {
            messages.shuffle(&mut disorder.random);
        }
    }
}

impl fmt::Debug for EventSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("EventSource").field(&self.queue).finish()
    }
}

/// The function's part of a trace.
const LINEAGE: &str = "a87bd80c";

/// How many invocations of the function are in a trace.
fn chain(trace: &str) -> Option<u32> {
    let lineage = trace.split(';').find_map(|part| part.strip_prefix("Lineage="))?;
    lineage.split('|').find_map(|hop| hop.strip_prefix(LINEAGE)?.strip_prefix(':'))?.parse().ok()
}

/// The ids that the function reported; `None` if the answer makes the whole batch fail. The batch succeeds if there is
/// no answer, no list, or an empty list. It fails if an entry's `itemIdentifier` is missing, null, empty or not a
/// message of the batch.
fn failures<'a>(answer: &'a Value, ids: &HashSet<&str>) -> Option<HashSet<&'a str>> {
    let listed = match answer {
        Value::Null => return Some(HashSet::new()),
        Value::Object(members) => match members.get("batchItemFailures") {
            None | Some(Value::Null) => return Some(HashSet::new()),
            Some(listed) => listed.as_array()?,
        },
        _ => return None,
    };
    let known = |entry: &'a Value| entry["itemIdentifier"].as_str().filter(|id| ids.contains(id));
    listed.iter().map(known).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::convert::Infallible;
    use std::time::Duration;

    use jitgate::clock::Clock;
    use time::macros::datetime;

    use super::*;
    use crate::aws::sqs::{Depth, QueueSettings};

    fn queue(messages: usize) -> (Clock, Arc<Sqs>) {
        let clock = Clock::manual(datetime!(2026-11-02 10:00 UTC));
        let sqs = Arc::new(Sqs::new(clock.clone()));
        sqs.add_queue("jobs", QueueSettings::default());
        for number in 0..messages {
            sqs.put("jobs", &number.to_string());
        }
        (clock, sqs)
    }

    fn reported(outcome: &Outcome) -> (usize, usize) {
        (outcome.deleted.len(), outcome.returned.len())
    }

    #[test]
    fn a_record_is_as_lambda_makes_it() {
        let (_, sqs) = queue(1);
        let batch = EventSource::new(sqs, "jobs").take().unwrap();
        let record = &batch.event()["Records"][0];
        let id = record["messageId"].as_str().unwrap().to_owned();
        let handle = record["receiptHandle"].as_str().unwrap().to_owned();
        let expected = json!({
            "messageId": id,
            "receiptHandle": handle,
            "body": "0",
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1793613600000",
                "SenderId": "AROAEXAMPLE:webhook",
                "ApproximateFirstReceiveTimestamp": "1793613600000",
            },
            "messageAttributes": {},
            "md5OfBody": "cfcd208495d565ef66e7dff9f98764da",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:jobs",
            "awsRegion": "eu-central-1",
        });
        assert_eq!(*record, expected);
    }

    #[tokio::test]
    async fn only_what_the_function_reports_comes_again() {
        let (clock, sqs) = queue(12);
        let source = EventSource::new(Arc::clone(&sqs), "jobs");
        let outcome = source
            .poll(async |event| {
                let id = &event["Records"][3]["messageId"];
                Ok::<_, Infallible>(json!({ "batchItemFailures": [{ "itemIdentifier": id }] }))
            })
            .await;
        assert_eq!(reported(&outcome.unwrap()), (9, 1));
        assert_eq!(sqs.depth("jobs"), Depth { visible: 2, in_flight: 1, delayed: 0 });
        assert_eq!(source.drain(async |_| Ok::<_, Infallible>(Value::Null)).await, 1);
        clock.advance(Duration::from_secs(30));
        let batch = source.take().unwrap();
        assert_eq!(batch.event()["Records"][0]["body"], "3");
        assert_eq!(batch.event()["Records"][0]["attributes"]["ApproximateReceiveCount"], "2");
    }

    #[test]
    fn an_answer_that_is_no_report_fails_or_frees_the_whole_batch() {
        let frees = [json!(null), json!({}), json!({ "batchItemFailures": null }), json!({ "batchItemFailures": [] })];
        let fails = [
            json!("done"),
            json!([]),
            json!({ "batchItemFailures": {} }),
            json!({ "batchItemFailures": ["id"] }),
            json!({ "batchItemFailures": [{ "itemIdentifier": null }] }),
            json!({ "batchItemFailures": [{ "itemIdentifier": "" }] }),
            json!({ "batchItemFailures": [{ "itemIdentifier": "somebody else's" }] }),
            json!({ "batchItemFailures": [{ "itemidentifier": "id" }] }),
        ];
        let settled = |answer: Result<Value, ()>| {
            let (_, sqs) = queue(2);
            let source = EventSource::new(sqs, "jobs");
            reported(&source.settle(&source.take().unwrap(), &answer))
        };
        for answer in frees {
            assert_eq!(settled(Ok(answer.clone())), (2, 0), "{answer}");
        }
        for answer in fails {
            assert_eq!(settled(Ok(answer.clone())), (0, 2), "{answer}");
        }
        assert_eq!(settled(Err(())), (0, 2));
    }

    #[tokio::test]
    async fn disorder_repeats_and_reorders_but_loses_nothing() {
        let run = async |seed| {
            let (_, sqs) = queue(500);
            let source = EventSource::new(Arc::clone(&sqs), "jobs").batches_of(7).disorderly(seed, 0.1);
            let mut seen = Vec::new();
            source
                .drain(async |event| {
                    let records = event["Records"].as_array().unwrap().clone();
                    seen.extend(records.iter().map(|record| record["body"].as_str().unwrap().to_owned()));
                    Ok::<_, Infallible>(Value::Null)
                })
                .await;
            assert_eq!(sqs.depth("jobs").total(), 0);
            seen
        };
        let seen = run(1).await;
        let mut counts = HashMap::new();
        for body in &seen {
            *counts.entry(body).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 500);
        let repeated = counts.values().filter(|count| **count > 1).count();
        assert!((20..=80).contains(&repeated), "{repeated}");
        assert_eq!(seen, run(1).await);
        assert_ne!(seen, run(2).await);
    }
}

//! SQS: standard queues with delays, visibility, receive counts and redrive, all by the clock.
//!
//! Sources: the API reference of SQS (JSON protocol) and its quotas. Receiving never waits: `WaitTimeSeconds` is
//! taken and ignored.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use hyper::body::Bytes;
use jitgate::clock::Clock;
use time::OffsetDateTime;

use super::{ACCOUNT, REGION, millis, moment};
use crate::wire::{Answer, lock};

pub mod mapping;
mod message;
mod operations;
mod queue;
#[cfg(test)]
mod tests;

pub use message::{Attribute, Message};

use queue::Queue;

pub(super) const TARGET: &str = "AmazonSQS";

/// Longest delay of a message.
pub const LONGEST_DELAY: Duration = Duration::from_mins(15);

/// Longest time for which a received message can be kept from others.
pub const LONGEST_VISIBILITY: Duration = Duration::from_hours(12);

/// Most bytes of a message with its attributes, and of a batch.
pub const LARGEST_MESSAGE: usize = 1024 * 1024;

/// How a queue is made.
#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// For how long a received message is kept from others.
    pub visibility: Duration,
    /// How long a message is kept at all.
    pub retention: Duration,
    /// Where a message goes when it has been received this often without being deleted: name of the dead-letter
    /// queue, and `maxReceiveCount`.
    pub redrive: Option<(String, u32)>,
}

impl Default for QueueSettings {
    /// As AWS does if nothing is said: 30 seconds, four days.
    fn default() -> Self {
        Self { visibility: Duration::from_secs(30), retention: Duration::from_hours(96), redrive: None }
    }
}

/// How many messages a queue has. The real numbers are approximate; these are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Can be received.
    pub visible: usize,
    /// Received, and neither deleted nor visible again.
    pub in_flight: usize,
    /// Not yet visible for the first time.
    pub delayed: usize,
}

impl Depth {
    /// All of them.
    pub fn total(self) -> usize {
        self.visible + self.in_flight + self.delayed
    }
}

/// The stand-in.
pub struct Sqs {
    clock: Clock,
    state: Mutex<State>,
}

/// Who sends a message, as far as it shows on it.
#[derive(Clone, Copy, Debug)]
struct Sender<'a> {
    now: i64,
    trace: Option<&'a str>,
}

#[derive(Debug, Default)]
struct State {
    queues: HashMap<String, Queue>,
    /// Also the source of message ids.
    sent: u64,
}

impl Sqs {
    /// Without any queue.
    pub fn new(clock: Clock) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// Makes a queue.
    pub fn add_queue(&self, name: &str, settings: QueueSettings) {
        lock(&self.state).queues.insert(name.to_owned(), Queue::new(settings));
    }

    /// All messages of a queue, in the order in which they were sent.
    ///
    /// # Panics
    /// If there is no such queue.
    pub fn messages(&self, queue: &str) -> Vec<Message> {
        self.queue(queue, |queue, _| queue.messages())
    }

    /// How many messages a queue has.
    ///
    /// # Panics
    /// If there is no such queue.
    pub fn depth(&self, queue: &str) -> Depth {
        self.queue(queue, |queue, now| queue.depth(now))
    }

    /// When the next message of a queue becomes visible; in the past if one is. A test turns its clock to it instead of trying.
    ///
    /// # Panics
    /// If there is no such queue.
    pub fn next_visible_at(&self, queue: &str) -> Option<OffsetDateTime> {
        self.queue(queue, |queue, _| queue.next_visible_at()).map(moment)
    }

    /// Puts a body on a queue, as if somebody had sent it.
    ///
    /// # Panics
    /// If there is no such queue.
    pub fn put(&self, queue: &str, body: &str) {
        let mut state = lock(&self.state);
        let now = millis(self.clock.now());
        state.sent += 1;
        let message = Message::new(state.sent, body.to_owned(), now);
        state.queues.get_mut(queue).expect("a queue of this name").add(message, Duration::ZERO);
    }

    /// Deletes everything on a queue.
    ///
    /// # Panics
    /// If there is no such queue.
    pub fn purge(&self, queue: &str) {
        self.queue(queue, |queue, _| queue.purge());
    }

    fn queue<T>(&self, name: &str, act: impl FnOnce(&mut Queue, i64) -> T) -> T {
        let now = millis(self.clock.now());
        act(lock(&self.state).queues.get_mut(name).expect("a queue of this name"), now)
    }

    pub(super) fn answer(&self, operation: &str, body: &Bytes, trace: Option<&str>) -> Answer {
        let now = millis(self.clock.now());
        lock(&self.state).answer(operation, body, Sender { now, trace }).unwrap_or_else(|refusal| refusal.to_answer())
    }
}

/// The name at the end of a queue's URL or ARN.
fn queue_name(url: &str) -> &str {
    url.rsplit(['/', ':']).next().unwrap_or(url)
}

/// The ARN of a queue.
pub fn queue_arn(name: &str) -> String {
    format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
}

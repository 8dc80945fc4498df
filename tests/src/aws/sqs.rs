//! SQS: standard queues with delays, visibility, receive counts and redrive, all by the clock.
//!
//! Sources: the API reference of SQS (JSON protocol) and its quotas. Receiving never waits: `WaitTimeSeconds` is
//! accepted and ignored.

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

/// The longest delay of a message.
pub const LONGEST_DELAY: Duration = Duration::from_mins(15);

/// The longest visibility time-out.
pub const LONGEST_VISIBILITY: Duration = Duration::from_hours(12);

/// The most bytes of a message with its attributes, and of a batch.
pub const LARGEST_MESSAGE: usize = 1024 * 1024;

/// A queue's settings.
#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// How long a received message stays invisible.
    pub visibility: Duration,
    /// How long a message is kept.
    pub retention: Duration,
    /// The name of the dead-letter queue, and `maxReceiveCount`: a message moves there when it was received this often
    /// without being deleted.
    pub redrive: Option<(String, u32)>,
}

impl Default for QueueSettings {
    /// AWS's defaults: 30 seconds, four days.
    fn default() -> Self {
        Self { visibility: Duration::from_secs(30), retention: Duration::from_hours(96), redrive: None }
    }
}

/// How many messages a queue has. SQS's own numbers are approximate; these are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Messages that can be received.
    pub visible: usize,
    /// Messages that were received, and are neither deleted nor visible again.
    pub in_flight: usize,
    /// Delayed messages that were never visible.
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

/// What a message shows of its sender.
#[derive(Clone, Copy, Debug)]
struct Sender<'a> {
    now: i64,
    trace: Option<&'a str>,
}

#[derive(Debug, Default)]
struct State {
    queues: HashMap<String, Queue>,
    /// Also makes message ids.
    sent: u64,
}

impl Sqs {
    /// An SQS without queues.
    pub fn new(clock: Clock) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// Creates a queue.
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

    /// When the next message of a queue becomes visible; in the past if one already is. A test can turn its clock
    /// there.
    ///
    /// # Panics
    /// If there is no such queue.
    pub fn next_visible_at(&self, queue: &str) -> Option<OffsetDateTime> {
        self.queue(queue, |queue, _| queue.next_visible_at()).map(moment)
    }

    /// Puts a message with this body on a queue.
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

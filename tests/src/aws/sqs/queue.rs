//! One queue and its messages.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::message::Message;
use super::{Depth, LONGEST_VISIBILITY, QueueSettings};

/// Why a message's visibility cannot be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CannotHide {
    /// It is gone, visible, or was received again since.
    NotInFlight,
    /// It must be visible again twelve hours after its receive.
    TooLong,
}

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) settings: QueueSettings,
    messages: BTreeMap<u64, Message>,
    /// All messages, by when they become visible, then in the order of sending.
    by_visibility: BTreeSet<(i64, u64)>,
}

impl Queue {
    pub(super) fn new(settings: QueueSettings) -> Self {
        Self { settings, messages: BTreeMap::new(), by_visibility: BTreeSet::new() }
    }

    pub(super) fn messages(&self) -> Vec<Message> {
        self.messages.values().cloned().collect()
    }

    pub(super) fn depth(&self, now: i64) -> Depth {
        let mut depth = Depth { visible: 0, in_flight: 0, delayed: 0 };
        for message in self.messages.values() {
            if message.visible_at <= now {
                depth.visible += 1;
            } else if message.receive_count > 0 {
                depth.in_flight += 1;
            } else {
                depth.delayed += 1;
            }
        }
        depth
    }

    pub(super) fn next_visible_at(&self) -> Option<i64> {
        self.by_visibility.first().map(|(at, _)| *at)
    }

    pub(super) fn purge(&mut self) {
        self.messages.clear();
        self.by_visibility.clear();
    }

    pub(super) fn add(&mut self, mut message: Message, delay: Duration) {
        message.visible_at = message.visible_at.saturating_add(in_millis(delay));
        self.by_visibility.insert((message.visible_at, message.number));
        self.messages.insert(message.number, message);
    }

    /// Receives up to `most` messages. The second list contains those that were received too often: they have left this
    /// queue, for the dead-letter queue.
    pub(super) fn receive(
        &mut self,
        most: usize,
        visibility: Option<Duration>,
        now: i64,
    ) -> (Vec<Message>, Vec<Message>) {
        let hidden_until = now.saturating_add(in_millis(visibility.unwrap_or(self.settings.visibility)));
        let kept_since = now.saturating_sub(in_millis(self.settings.retention));
        let most_receives = self.settings.redrive.as_ref().map_or(u32::MAX, |(_, most)| *most);
        let (mut received, mut dead) = (Vec::new(), Vec::new());
        while received.len() < most {
            let Some((visible_at, number)) = self.by_visibility.first().copied().filter(|(at, _)| *at <= now) else {
                break;
            };
            self.by_visibility.remove(&(visible_at, number));
            let message = self.messages.get_mut(&number).expect("both indexes hold the same messages");
            if message.sent_at < kept_since {
                self.messages.remove(&number);
            } else if message.receive_count >= most_receives {
                dead.extend(self.messages.remove(&number));
            } else {
                message.receive_count += 1;
                message.first_received_at.get_or_insert(now);
                message.last_received_at = now;
                message.visible_at = hidden_until;
                received.push(message.clone());
            }
        }
        // Not before all are received: with a visibility of zero, one call could receive the same message twice.
        self.by_visibility.extend(received.iter().map(|message| (message.visible_at, message.number)));
        (received, dead)
    }

    /// Deletes a message if this is its latest receive; otherwise SQS reports no error either.
    pub(super) fn delete(&mut self, number: u64, receive: u32) {
        if let Some(message) = self.messages.get(&number)
            && message.receive_count == receive
        {
            self.by_visibility.remove(&(message.visible_at, number));
            self.messages.remove(&number);
        }
    }

    /// Makes a received message visible after this time.
    pub(super) fn hide(&mut self, number: u64, receive: u32, time: Duration, now: i64) -> Result<(), CannotHide> {
        let message = self.messages.get_mut(&number).ok_or(CannotHide::NotInFlight)?;
        if message.receive_count != receive || message.visible_at <= now {
            return Err(CannotHide::NotInFlight);
        }
        let until = now.saturating_add(in_millis(time));
        if until > message.last_received_at.saturating_add(in_millis(LONGEST_VISIBILITY)) {
            return Err(CannotHide::TooLong);
        }
        self.by_visibility.remove(&(message.visible_at, number));
        message.visible_at = until;
        self.by_visibility.insert((message.visible_at, number));
        Ok(())
    }
}

fn in_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

//! Whether the queue's messages reach the worker, as Lambda tells.
//!
//! Source: the API reference of `ListEventSourceMappings`.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::wire::{self, Answer, Request};

pub(super) const OPERATION: &str = "ListEventSourceMappings";

/// The stand-in: one mapping, which somebody may have switched off.
#[derive(Debug, Default)]
pub struct EventSources {
    is_off: AtomicBool,
}

impl EventSources {
    /// Switches it off or on.
    pub fn switch(&self, on: bool) {
        self.is_off.store(!on, Ordering::SeqCst);
    }

    pub(super) fn answer(&self) -> Answer {
        let state = if self.is_off.load(Ordering::SeqCst) { "Disabled" } else { "Enabled" };
        let mapping = json!({ "UUID": "14e0db71-5d35-4eb5-b481-8945cf9d10c2", "State": state });
        wire::json(200, &json!({ "EventSourceMappings": [mapping] }))
    }
}

pub(super) fn is_asked(request: &Request) -> bool {
    request.uri().path().starts_with("/2015-03-31/event-source-mappings")
}

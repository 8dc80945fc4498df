//! Kills a process right before or right after the n-th of its calls.

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use http::HeaderValue;
use tokio::sync::Notify;

use crate::wire::{Answer, Faults, Request, Service, befall, lock};

/// The side of a call on which a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Before the call, which is not made.
    Before,
    /// After the call, whose answer is lost.
    After,
}

/// Counts the calls of one process, and trips at one of them.
#[derive(Default)]
pub struct Tripwire {
    /// Further faults of the calls.
    pub faults: Faults,
    death: Option<(usize, Side)>,
    calls: Mutex<Vec<String>>,
    trace: Mutex<Option<HeaderValue>>,
    tripped: Notify,
}

impl Tripwire {
    /// A tripwire that only counts.
    pub fn harmless() -> Arc<Self> {
        Arc::default()
    }

    /// A tripwire that trips at this call, counted from 1.
    pub fn at(call: usize, side: Side) -> Arc<Self> {
        Arc::new(Self { death: Some((call, side)), ..Self::default() })
    }

    /// Wraps a service.
    pub fn before(self: &Arc<Self>, service: Arc<dyn Service>) -> Arc<dyn Service> {
        Arc::new(Guarded { tripwire: Arc::clone(self), service })
    }

    /// Resolves when the process must die: its driver then drops it.
    pub async fn tripped(&self) {
        self.tripped.notified().await;
    }

    /// The operations called so far.
    pub fn calls(&self) -> Vec<String> {
        lock(&self.calls).clone()
    }

    /// Sets the trace that the process's calls carry, which Lambda passes to a function's SDK.
    pub fn set_trace(&self, trace: &str) {
        *lock(&self.trace) = trace.parse().ok();
    }

    async fn dies(&self, call: usize, side: Side) {
        if self.death == Some((call, side)) {
            self.tripped.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

struct Guarded {
    tripwire: Arc<Tripwire>,
    service: Arc<dyn Service>,
}

impl Service for Guarded {
    fn operation(&self, request: &Request) -> String {
        self.service.operation(request)
    }

    fn answer<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Answer> {
        let operation = self.operation(request);
        let call = {
            let mut calls = lock(&self.tripwire.calls);
            calls.push(operation.clone());
            calls.len()
        };
        let mut request = request.clone();
        if let Some(trace) = lock(&self.tripwire.trace).clone() {
            request.headers_mut().insert("x-amzn-trace-id", trace);
        }
        Box::pin(async move {
            self.tripwire.dies(call, Side::Before).await;
            let answer = befall(self.tripwire.faults.next(&operation), &*self.service, &request).await;
            self.tripwire.dies(call, Side::After).await;
            answer
        })
    }

    fn overhear(&self, request: &Request, answer: Option<&Answer>) {
        self.service.overhear(request, answer);
    }
}

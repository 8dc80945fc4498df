//! Where all calls wait until the driver lets them through, so that it alone decides their order.

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use tokio::sync::oneshot;

use crate::wire::{self, Answer, Request, Service, lock};

/// The function of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Webhook,
    Worker,
    Cleaner,
}

/// One process: a slot, and the number of restarts in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Process {
    pub(super) kind: Kind,
    pub(super) slot: usize,
    pub(super) life: u32,
}

impl std::fmt::Display for Process {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            Kind::Webhook => "webhook",
            Kind::Worker => "worker",
            Kind::Cleaner => "cleaner",
        };
        write!(formatter, "{kind} {}.{}", self.slot, self.life)
    }
}

/// A call that waits at the turnstile.
pub(super) struct Held {
    pub(super) process: Process,
    pub(super) operation: String,
    pub(super) request: Request,
    /// The service that does the work.
    pub(super) service: Arc<dyn Service>,
    /// Takes the answer; if it is dropped, the connection is closed.
    pub(super) reply: oneshot::Sender<Answer>,
}

/// Calls that arrived since the driver last took them.
#[derive(Clone, Default)]
pub(super) struct Arrivals(Arc<Mutex<Vec<Held>>>);

impl Arrivals {
    pub(super) fn count(&self) -> usize {
        lock(&self.0).len()
    }

    /// Takes all of them, in an order that does not depend on which socket was read first.
    pub(super) fn take(&self) -> Vec<Held> {
        let mut held = std::mem::take(&mut *lock(&self.0));
        held.sort_by(|a, b| {
            let key = |held: &Held| (held.process, held.operation.clone(), held.request.uri().to_string());
            key(a).cmp(&key(b)).then_with(|| a.request.body().cmp(b.request.body()))
        });
        held
    }
}

/// Wraps a service on the port of one process.
pub(super) struct Turnstile {
    pub(super) process: Process,
    pub(super) service: Arc<dyn Service>,
    pub(super) arrivals: Arrivals,
}

impl Service for Turnstile {
    fn operation(&self, request: &Request) -> String {
        self.service.operation(request)
    }

    fn answer<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Answer> {
        let (reply, answered) = oneshot::channel();
        lock(&self.arrivals.0).push(Held {
            process: self.process,
            operation: self.service.operation(request),
            request: request.clone(),
            service: Arc::clone(&self.service),
            reply,
        });
        Box::pin(async { answered.await.unwrap_or_else(|_| wire::unheard()) })
    }
}

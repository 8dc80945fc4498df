//! Where all calls wait until the driver lets them through: it alone decides in which order things happen.

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use tokio::sync::oneshot;

use crate::wire::{self, Answer, Request, Service, lock};

/// Which kind of function a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Webhook,
    Worker,
    Cleaner,
}

/// One process: a slot, and which life of it.
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

/// A call that has come to the turnstile.
pub(super) struct Held {
    pub(super) process: Process,
    pub(super) operation: String,
    pub(super) request: Request,
    /// Does the work.
    pub(super) service: Arc<dyn Service>,
    /// Takes the answer; nothing, and the connection is closed.
    pub(super) reply: oneshot::Sender<Answer>,
}

/// Calls that have come since the driver last looked.
#[derive(Clone, Default)]
pub(super) struct Arrivals(Arc<Mutex<Vec<Held>>>);

impl Arrivals {
    pub(super) fn count(&self) -> usize {
        lock(&self.0).len()
    }

    /// All of them, in an order that does not depend on which socket was read first.
    pub(super) fn take(&self) -> Vec<Held> {
        let mut held = std::mem::take(&mut *lock(&self.0));
        held.sort_by(|a, b| {
            let key = |held: &Held| (held.process, held.operation.clone(), held.request.uri().to_string());
            key(a).cmp(&key(b)).then_with(|| a.request.body().cmp(b.request.body()))
        });
        held
    }
}

/// Stands before a service on a port that only one process knows.
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

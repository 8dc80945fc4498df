//! The parts of a run: events, calls, invocations.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cleaner::Event as CleanerEvent;
use futures::future::AbortHandle;
use jitgate::job::JobId;
use serde_json::Value;
use tokio::sync::oneshot;
use webhook::HttpResponse;

use crate::aws::ecs::Limit;
use crate::aws::sqs::mapping::Batch;
use crate::chaos::faults::Mishap;
use crate::chaos::gateway::Gateway;
use crate::chaos::incidents::{Outage, Planned};
use crate::chaos::turnstile::Process;
use crate::runner::Runner;
use crate::wire::{Answer, Request, Service};

pub(super) type Finished = (Process, Option<Ended>);

pub(super) enum Ended {
    Batch(Result<Value, serde_json::Error>),
    Delivery(HttpResponse),
    Cleaned,
}

/// A delivery in transit.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    /// GitHub's id; absent for deliveries that the driver made.
    pub(super) id: Option<u64>,
    pub(super) guid: String,
    pub(super) body: Arc<[u8]>,
    pub(super) job: JobId,
}

pub(super) enum Event {
    /// A planned job is queued.
    Come(usize),
    Cancel(JobId),
    Deliver(Parcel),
    /// A call reaches its service.
    Work(u64),
    /// Its answer reaches the caller.
    Answer(u64),
    /// Lambda ends an invocation that takes too long.
    Expire(Process, u64),
    /// The cleaner runs, for a stopped task or by its schedule.
    Clean(Option<CleanerEvent>),
    /// A runner does its next step.
    Step(String),
    /// AWS reclaims a task's Spot capacity, unless its runner already works.
    Reclaim(String),
    Limit(Limit),
    Outage(Planned),
    Recovery(Outage),
    /// Another client calls GitHub.
    Elsewhere,
}

/// A call on its way to the service, or its answer on the way back.
pub(super) struct Call {
    pub(super) process: Process,
    /// Its number among the calls of its invocation.
    pub(super) ordinal: u32,
    pub(super) operation: String,
    pub(super) request: Request,
    pub(super) service: Arc<dyn Service>,
    pub(super) reply: Option<oneshot::Sender<Answer>>,
    pub(super) mishap: Option<(&'static str, Mishap)>,
    pub(super) back: Duration,
    pub(super) answer: Option<Answer>,
    pub(super) jobs: BTreeSet<JobId>,
    /// Whether it belongs to a message that SQS delivers twice.
    pub(super) is_twin: bool,
}

/// The point at which an invocation's process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// Before this call, or, if there is no such call, when the work is done and the answer not yet given.
    Before(u32),
    After(u32),
}

pub(super) struct Invocation {
    pub(super) number: u64,
    pub(super) task: AbortHandle,
    pub(super) calls: u32,
    pub(super) death: Option<Death>,
    /// Whether it meets no faults: a message's last receive and a delivery's last try must succeed, or it would rightly
    /// be lost.
    pub(super) spared: bool,
    pub(super) batch: Option<Batch>,
    pub(super) parcel: Option<Parcel>,
    pub(super) jobs: BTreeSet<JobId>,
    /// Jobs whose messages SQS delivers twice. Once one of the two copies is deleted, the other does not return.
    pub(super) twins: BTreeSet<JobId>,
}

pub(super) struct Slot<F> {
    pub(super) process: Process,
    pub(super) function: Arc<F>,
    pub(super) gateway: Gateway,
    pub(super) invocation: Option<Invocation>,
}

/// A runner, and how long its job takes.
pub(super) struct AtWork {
    pub(super) runner: Runner,
    pub(super) work: Duration,
}

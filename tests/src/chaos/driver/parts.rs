//! What a run consists of: events, calls, invocations.

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
use crate::chaos::turnstile::Process;
use crate::runner::Runner;
use crate::wire::{Answer, Request, Service};

pub(super) type Finished = (Process, Option<Ended>);

pub(super) enum Ended {
    Batch(Result<Value, serde_json::Error>),
    Delivery(HttpResponse),
    Cleaned,
}

/// A delivery on its way.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    /// GitHub's own id of it; none for those that this driver made up.
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
    /// The cleaner hears of a task that has stopped; or of nothing, as its schedule has it.
    Clean(Option<CleanerEvent>),
    /// A runner looks up.
    Step(String),
    /// Spot takes a task back, unless it works already.
    Reclaim(String),
    Limit(Limit),
}

/// A call between its caller and its service, or back.
pub(super) struct Call {
    pub(super) process: Process,
    /// Which of its invocation's calls it is.
    pub(super) ordinal: u32,
    pub(super) operation: String,
    pub(super) request: Request,
    pub(super) service: Arc<dyn Service>,
    pub(super) reply: Option<oneshot::Sender<Answer>>,
    pub(super) mishap: Option<(&'static str, Mishap)>,
    pub(super) back: Duration,
    pub(super) answer: Option<Answer>,
    pub(super) jobs: BTreeSet<JobId>,
    /// Of a message that SQS delivers twice, if its job is known.
    pub(super) is_twin: bool,
}

/// Where an invocation's process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// And if there is no such call: when all is done, but nobody knows yet.
    Before(u32),
    After(u32),
}

pub(super) struct Invocation {
    pub(super) number: u64,
    pub(super) task: AbortHandle,
    pub(super) calls: u32,
    pub(super) death: Option<Death>,
    /// Nothing goes wrong: a message's last receive and a delivery's last tries go well, or it would rightly be lost.
    pub(super) spared: bool,
    pub(super) batch: Option<Batch>,
    pub(super) parcel: Option<Parcel>,
    pub(super) jobs: BTreeSet<JobId>,
    /// Jobs whose messages SQS delivers twice: once one of the two is done with, the other does not come again.
    pub(super) twins: BTreeSet<JobId>,
}

pub(super) struct Slot<F> {
    pub(super) process: Process,
    pub(super) function: Arc<F>,
    pub(super) gateway: Gateway,
    pub(super) invocation: Option<Invocation>,
}

/// A runner, and how long its job will take.
pub(super) struct AtWork {
    pub(super) runner: Runner,
    pub(super) work: Duration,
}

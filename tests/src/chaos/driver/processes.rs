//! Invocations of the functions, from start to end.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use cleaner::Event as CleanerEvent;
use futures::StreamExt as _;
use futures::future::{AbortHandle, Abortable, LocalBoxFuture};
use jitgate::job::{JobId, Message};

use super::Driver;
use super::parts::{Death, Ended, Event, Finished, Invocation, Slot};
use crate::aws::sqs::mapping::Batch;
use crate::chaos::gateway::Gateway;
use crate::chaos::plan::MOST_COPIES;
use crate::chaos::turnstile::{Kind, Process, Turnstile};
use crate::wire::Service;
use crate::world::{self, MOST_RECEIVES, VISIBILITY};

/// After this many polls in a row that find nothing new, all processes wait for the driver. A call over a socket takes
/// two to ten polls.
const QUIET_LOOKS: usize = 20;

/// The worker's time-out. Source: `template.yaml`.
const WORKER_TIMEOUT: Duration = Duration::from_mins(1);

/// The cleaner's time-out. Source: `template.yaml`.
const CLEANER_TIMEOUT: Duration = Duration::from_mins(5);

impl Driver {
    pub(super) async fn gateway(&self, process: Process) -> Gateway {
        let arrivals = self.arrivals.clone();
        let guard = |service: Arc<dyn Service>| -> Arc<dyn Service> {
            Arc::new(Turnstile { process, service, arrivals: arrivals.clone() })
        };
        // Some runs have workers without the SDK's retries, which otherwise hide most faults from the worker.
        let retries = process.kind != Kind::Worker || self.plan.sdk_retries;
        Gateway::open(&self.world, guard).await.with_retries(retries)
    }

    pub(super) fn invocation(&self, process: Process) -> Option<&Invocation> {
        let of = |own: Process, invocation| if own == process { invocation } else { None };
        match process.kind {
            Kind::Webhook => {
                self.webhooks.get(process.slot).and_then(|slot| of(slot.process, slot.invocation.as_ref()))
            }
            Kind::Worker => self.workers.get(process.slot).and_then(|slot| of(slot.process, slot.invocation.as_ref())),
            Kind::Cleaner => {
                self.cleaners.get(process.slot).and_then(|slot| of(slot.process, slot.invocation.as_ref()))
            }
        }
    }

    pub(super) fn invocation_mut(&mut self, process: Process) -> Option<&mut Invocation> {
        self.invocation(process)?;
        match process.kind {
            Kind::Webhook => self.webhooks[process.slot].invocation.as_mut(),
            Kind::Worker => self.workers[process.slot].invocation.as_mut(),
            Kind::Cleaner => self.cleaners[process.slot].invocation.as_mut(),
        }
    }

    fn take_invocation(&mut self, process: Process) -> Option<Invocation> {
        self.invocation(process)?;
        match process.kind {
            Kind::Webhook => self.webhooks[process.slot].invocation.take(),
            Kind::Worker => self.workers[process.slot].invocation.take(),
            Kind::Cleaner => self.cleaners[process.slot].invocation.take(),
        }
    }

    pub(super) fn invoke(
        &mut self,
        process: Process,
        work: LocalBoxFuture<'static, Ended>,
        messages: u64,
    ) -> Invocation {
        self.report.invocations += 1;
        self.serial += 1;
        let death = (self.deaths.happens(self.knobs.crashes) && !self.is_quiet).then(|| {
            let call = u32::try_from(self.deaths.between(1, 2 * messages + 3)).expect("few");
            if self.deaths.happens(0.5) { Death::Before(call) } else { Death::After(call) }
        });
        let (task, registration) = AbortHandle::new_pair();
        let work = Abortable::new(work, registration);
        self.running.push(Box::pin(async move { (process, work.await.ok()) }));
        self.stirred = true;
        Invocation {
            number: self.serial,
            task,
            calls: 0,
            death,
            spared: false,
            batch: None,
            parcel: None,
            jobs: BTreeSet::new(),
            twins: BTreeSet::new(),
        }
    }

    pub(super) async fn clean(&mut self, event: CleanerEvent) {
        let slot = if let Some(slot) = self.cleaners.iter().position(|slot| slot.invocation.is_none()) {
            slot
        } else {
            let process = Process { kind: Kind::Cleaner, slot: self.cleaners.len(), life: 0 };
            let gateway = self.gateway(process).await;
            let function = Arc::new(gateway.cleaner(&self.world));
            self.cleaners.push(Slot { process, function, gateway, invocation: None });
            process.slot
        };
        let process = self.cleaners[slot].process;
        let function = Arc::clone(&self.cleaners[slot].function);
        let until = self.now() + CLEANER_TIMEOUT;
        let work = async move {
            // An error only says that something failed, and is logged.
            let _ = function.handle_until(&event, Some(until)).await;
            Ended::Cleaned
        };
        let invocation = self.invoke(process, Box::pin(work), 5);
        let number = invocation.number;
        self.cleaners[slot].invocation = Some(invocation);
        self.after(CLEANER_TIMEOUT, Event::Expire(process, number));
    }

    /// Free workers take visible messages.
    pub(super) async fn poll(&mut self) {
        loop {
            let mut free: Vec<_> = (0..self.plan.workers)
                .filter(|slot| self.workers.get(*slot).is_none_or(|slot| slot.invocation.is_none()))
                .collect();
            if free.is_empty() {
                break;
            }
            let Some(batch) = self.source.take() else { break };
            self.chance.shuffle(&mut free);
            let slot = free[0].min(self.workers.len());
            if slot == self.workers.len() {
                let process = Process { kind: Kind::Worker, slot, life: 0 };
                let gateway = self.gateway(process).await;
                let function = Arc::new(gateway.worker(&self.world));
                self.workers.push(Slot { process, function, gateway, invocation: None });
            }
            self.start_batch(slot, batch);
            self.settle().await;
        }
    }

    fn start_batch(&mut self, slot: usize, batch: Batch) {
        let process = self.workers[slot].process;
        let event = batch.event().clone();
        let (mut jobs, mut twins, mut spared) = (BTreeSet::new(), BTreeSet::new(), false);
        for (number, record) in event["Records"].as_array().into_iter().flatten().enumerate() {
            let body = record["body"].as_str().unwrap_or_default();
            let receive: u64 =
                record["attributes"]["ApproximateReceiveCount"].as_str().and_then(|n| n.parse().ok()).unwrap_or(1);
            spared |= receive + 1 >= u64::from(MOST_RECEIVES);
            let id = record["messageId"].as_str().unwrap_or_default().to_owned();
            let receives = self.receives.entry(id).or_default();
            let is_repeat = !receives.insert(receive);
            if is_repeat {
                self.report.repeats += 1;
            } else if receive > 1 {
                self.report.returns += 1;
            }
            if let Ok(message) = Message::parse(body) {
                jobs.insert(message.job.id);
                self.promise(message.job.id, WORKER_TIMEOUT + VISIBILITY);
                let will_repeat = self.mishaps.happens(self.knobs.repeats) && self.may_copy(message.job.id);
                if will_repeat {
                    self.source.repeat(&batch, number);
                }
                if is_repeat || will_repeat {
                    twins.insert(message.job.id);
                }
            }
        }
        self.diary.note(self.now(), jobs.iter().copied(), format!("{process} takes {} messages", batch.len()));
        let function = Arc::clone(&self.workers[slot].function);
        let work = async move { Ended::Batch(world::invoke(&function, event).await) };
        let mut invocation = self.invoke(process, Box::pin(work), batch.len() as u64);
        if spared {
            invocation.death = None;
        }
        let number = invocation.number;
        invocation.spared = spared;
        invocation.batch = Some(batch);
        (invocation.jobs, invocation.twins) = (jobs, twins);
        self.workers[slot].invocation = Some(invocation);
        self.after(WORKER_TIMEOUT, Event::Expire(process, number));
    }

    /// Whether a job's message may be copied once more; if so, counts the copy.
    pub(super) fn may_copy(&mut self, job: JobId) -> bool {
        let copies = self.copies.entry(job).or_default();
        let may = *copies < MOST_COPIES && !self.is_quiet;
        *copies += u32::from(may);
        may
    }

    /// Lets all processes continue until they wait for the driver.
    pub(super) async fn settle(&mut self) {
        while self.stirred {
            self.stirred = false;
            let mut finished = Vec::new();
            let mut quiet = 0;
            let mut arrived = self.arrivals.count();
            while quiet < QUIET_LOOKS && !(self.running.is_empty() && arrived == 0) {
                let ready: Vec<Finished> = poll_fn(|context| {
                    let mut ready = Vec::new();
                    while let Poll::Ready(Some(one)) = self.running.poll_next_unpin(context) {
                        ready.push(one);
                    }
                    Poll::Ready(ready)
                })
                .await;
                let now_arrived = self.arrivals.count();
                quiet = if ready.is_empty() && now_arrived == arrived { quiet + 1 } else { 0 };
                arrived = now_arrived;
                finished.extend(ready);
                if self.running.is_empty() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            for held in self.arrivals.take() {
                self.receive(held).await;
            }
            finished.sort_by_key(|(process, _)| *process);
            for (process, ended) in finished {
                if let Some(ended) = ended {
                    self.finish(process, ended).await;
                }
            }
        }
    }

    async fn finish(&mut self, process: Process, ended: Ended) {
        let Some(invocation) = self.invocation(process) else { return };
        if invocation.death.is_some() {
            self.kill(process, "died after its work was done").await;
            return;
        }
        let Some(invocation) = self.take_invocation(process) else { return };
        match ended {
            Ended::Batch(answer) => {
                if let Some(batch) = &invocation.batch {
                    let outcome = self.source.settle(batch, &answer);
                    let text = format!("{process} is done, {} messages return", outcome.returned.len());
                    self.diary.note(self.now(), invocation.jobs, text);
                }
                self.workers[process.slot].gateway.forget_calls();
            }
            Ended::Delivery(response) => {
                if let Some(parcel) = invocation.parcel {
                    self.delivered(&parcel, response.status_code);
                }
                self.webhooks[process.slot].gateway.forget_calls();
            }
            // The next pass does what this one could not; the template has no retries.
            Ended::Cleaned => self.cleaners[process.slot].gateway.forget_calls(),
        }
    }

    /// Kills a process, with everything cached in it. Calls that it sent may still arrive.
    pub(super) async fn kill(&mut self, process: Process, how: &str) {
        let Some(invocation) = self.take_invocation(process) else { return };
        invocation.task.abort();
        self.twins_of_dead.insert(process, invocation.twins);
        self.report.crashes += 1;
        self.stirred = true;
        self.diary.note(self.now(), invocation.jobs.iter().copied(), format!("{process} {how}"));
        let orphans: Vec<_> =
            self.calls.iter().filter(|(_, call)| call.process == process).map(|(number, _)| *number).collect();
        for number in orphans {
            let arrives = self.deaths.happens(0.5);
            let call = self.calls.get_mut(&number).expect("just listed");
            call.reply = None;
            if !arrives {
                self.calls.remove(&number);
            }
        }
        if let Some(parcel) = invocation.parcel {
            self.delivered(&parcel, 502);
        }
        let process = Process { life: process.life + 1, ..process };
        let gateway = self.gateway(process).await;
        match process.kind {
            Kind::Webhook => {
                let function = Arc::new(gateway.webhook(&self.world));
                self.webhooks[process.slot] = Slot { process, function, gateway, invocation: None };
            }
            Kind::Worker => {
                let function = Arc::new(gateway.worker(&self.world));
                self.workers[process.slot] = Slot { process, function, gateway, invocation: None };
            }
            Kind::Cleaner => {
                let function = Arc::new(gateway.cleaner(&self.world));
                self.cleaners[process.slot] = Slot { process, function, gateway, invocation: None };
            }
        }
    }
}

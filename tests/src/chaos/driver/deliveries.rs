//! Jobs and their deliveries.

use std::sync::Arc;
use std::time::Duration;

use jitgate::job::JobId;

use super::parts::{Ended, Event, Parcel, Slot};
use super::{CLEANER_MENDS, Driver};
use crate::chaos::turnstile::{Kind, Process};
use crate::github::{JobSpec, JobStatus, Outcome};
use crate::lambda::http_event::Front;
use crate::payloads::sign;
use crate::world::{self, WEBHOOK_SECRET};

/// The longest time for a delivery to arrive and for its message to reach a worker.
const LONGEST_DELIVERY: Duration = Duration::from_secs(15);

/// The most tries of one delivery, the first included, by the cleaner's limit.
const MOST_TRIES: usize = 6;

impl Driver {
    pub(super) fn come(&mut self, index: usize) {
        let planned = self.plan.jobs[index].clone();
        let spec = JobSpec::labels(planned.labels).in_repository(planned.owner, &planned.repository);
        let job = self.world.github.queue_job(spec);
        self.jobs.push(job);
        self.report.jobs += 1;
        self.progress = self.now();
        self.diary.note(self.now(), [job], "queued");
        self.promise(job, LONGEST_DELIVERY);
        if let Some(delay) = planned.cancelled_after {
            self.after(delay, Event::Cancel(job));
        }
        if let Some(delay) = planned.told_again_after {
            self.again.insert(job, delay);
        }
        self.offer();
    }

    pub(super) fn cancel(&mut self, job: JobId) {
        if self.world.github.job(job).is_some_and(|job| job.status == JobStatus::Queued) {
            self.world.github.cancel_job(job);
            self.judge.cancelled(job);
            self.report.cancelled += 1;
            self.diary.note(self.now(), [job], "cancelled");
        }
    }

    /// Sends GitHub's new deliveries, with a delay.
    pub(super) fn collect_deliveries(&mut self) {
        for delivery in self.world.github.take_deliveries() {
            let Some(job) = delivery.job_id else { continue };
            let action = action_of(&delivery.body);
            if action == "in_progress" {
                // jitgate ignores it.
                self.world.github.delivered(delivery.id, Outcome { status: 200, body: String::new() });
                continue;
            }
            let parcel = Parcel { id: Some(delivery.id), guid: delivery.guid, body: delivery.body, job };
            if action == "queued"
                && let Some(delay) = self.again.remove(&job)
            {
                let again = Parcel { id: None, guid: format!("{}-again", parcel.guid), ..parcel.clone() };
                self.report.told_twice += 1;
                self.after(delay, Event::Deliver(again));
            }
            let longest = if self.knobs.as_benchmarked { 100 } else { 3000 };
            let delay = Duration::from_millis(self.chance.between(100, longest));
            self.after(delay, Event::Deliver(parcel));
        }
    }

    pub(super) async fn deliver(&mut self, parcel: Parcel) {
        let slot = if let Some(slot) = self.webhooks.iter().position(|slot| slot.invocation.is_none()) {
            slot
        } else {
            let process = Process { kind: Kind::Webhook, slot: self.webhooks.len(), life: 0 };
            let gateway = self.gateway(process).await;
            let function = Arc::new(gateway.webhook(&self.world));
            self.webhooks.push(Slot { process, function, gateway, invocation: None });
            process.slot
        };
        let process = self.webhooks[slot].process;
        let signature = sign(WEBHOOK_SECRET, &parcel.body);
        let request = world::Delivery::new("workflow_job", parcel.body.to_vec())
            .signature(&signature)
            .header("X-GitHub-Delivery", &parcel.guid);
        let event = request.event().to_event(Front::FunctionUrl);
        let function = Arc::clone(&self.webhooks[slot].function);
        let work = async move { Ended::Delivery(world::answer(&function, event).await) };
        let mut invocation = self.invoke(process, Box::pin(work), 1);
        let tries = self.tries.entry(parcel.guid.clone()).or_default();
        *tries += 1;
        self.report.redelivered += u64::from(*tries > 1);
        // The cleaner asks for at most six tries.
        invocation.spared = *tries + 2 >= MOST_TRIES;
        if invocation.spared {
            invocation.death = None;
        }
        invocation.jobs = [parcel.job].into();
        invocation.parcel = Some(parcel);
        self.webhooks[slot].invocation = Some(invocation);
    }

    /// Promises that something happens to a waiting job within this time.
    pub(super) fn promise(&mut self, job: JobId, within: Duration) {
        self.judge.promise(job, self.now() + within);
    }

    pub(super) fn delivered(&mut self, parcel: &Parcel, status: u16) {
        if !(200..300).contains(&status) {
            self.promise(parcel.job, CLEANER_MENDS);
        }
        self.diary.note(self.now(), [parcel.job], format!("delivery {} → {status}", parcel.guid));
        if let Some(id) = parcel.id {
            self.world.github.delivered(id, Outcome { status, body: String::new() });
        }
    }
}

/// The `action` of a delivery.
fn action_of(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Action {
        action: String,
    }
    serde_json::from_slice::<Action>(body).expect("GitHub's own payload").action
}
